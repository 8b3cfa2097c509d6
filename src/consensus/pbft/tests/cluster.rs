//! A small cluster whose messages, disks and clocks move only when the test says so. Not a simulation: nothing here is
//! random. What must hold between replicas, and of what each of them says, is checked after every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::promises::Promises;
use super::store::{Store, piece_of};
use crate::consensus::pbft::testing::{CLIENT, CLUSTER, Cast};
use crate::consensus::pbft::{
    Checker, Message, Options, Pbft, Record, Replica, Request, Sequence, Signed, View,
};
use crate::consensus::{
    Committed, Encode as _, Epoch, Event, Index, Input, Install, InstallProgress, Lsn, Message as _, NodeId,
    Outgoing, Output, PieceRequest, Pressure, Proposal, Protocol, Recovered, Rejection, RequestId, Role,
    Setup, SnapshotMeta, SnapshotPiece, Status, Time, WallTime,
};

pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// How many pieces every state has here.
pub(super) const PIECES: u32 = 6;

pub(super) struct Cluster {
    pub(super) now: Time,
    pub(super) cast: Cast,
    pub(super) nodes: BTreeMap<u64, Node>,
    /// Messages under way, oldest first.
    pub(super) network: VecDeque<Envelope>,
    blocked: BTreeSet<(u64, u64)>,
    /// Kinds of messages that get lost.
    lost: BTreeSet<&'static str>,
    /// Kinds of messages that get lost on their way to one replica.
    lost_to: BTreeSet<(&'static str, u64)>,
    /// What the client was answered, by whom.
    pub(super) replies: BTreeMap<RequestId, BTreeMap<u64, Bytes>>,
    /// What was executed anywhere.
    order: BTreeMap<Index, Vec<RequestId>>,
    /// Every state that there was, by its digest: what pieces stand for.
    states: BTreeMap<crate::consensus::Digest, Store>,
    requests: u64,
    /// Messages of this kind are held back.
    held_kind: Option<&'static str>,
    parked: Vec<Envelope>,
    /// How many messages have arrived.
    pub(super) delivered: u64,
    /// The view that the last REPLY named.
    last_reply_view: Option<u64>,
}

pub(super) struct Envelope {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) message: Message,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a switch of a test")]
pub(super) struct Node {
    pbft: Option<Pbft>,
    checker: Checker,
    setup: Setup<Pbft>,
    /// Whether the store reports at once what it has done.
    store_on: bool,
    /// What it has done since it does not.
    unreported: Vec<Input<Message>>,
    /// Whether writes become durable at once.
    pub(super) disk_on: bool,
    /// The disk is to show whether it answers.
    probed: bool,
    /// It sends pieces of its own making.
    pub(super) lies: bool,
    /// It does not find the states that it should have.
    pub(super) forgets: bool,
    durable: Vec<(Lsn, Record)>,
    pending: Vec<(Lsn, Record)>,
    /// Messages that wait for the disk.
    held: Vec<Outgoing<Message>>,
    next_lsn: Lsn,
    retained: Lsn,
    /// Takes effect with the next records that become durable.
    retain_next: Lsn,
    pub(super) store: Store,
    kept: BTreeMap<Index, Store>,
    saved: Option<(SnapshotMeta, Store)>,
    receiving: u32,
    promises: Promises,
    pub(super) answers: Vec<(RequestId, Bytes)>,
    pub(super) rejected: Vec<(RequestId, Rejection)>,
    pub(super) trace: Vec<Event>,
}

impl Node {
    fn new(setup: Setup<Pbft>) -> Self {
        Self {
            pbft: None,
            checker: Pbft::checker(&setup),
            setup,
            store_on: true,
            unreported: Vec::new(),
            disk_on: true,
            probed: false,
            lies: false,
            forgets: false,
            durable: Vec::new(),
            pending: Vec::new(),
            held: Vec::new(),
            next_lsn: Lsn(1),
            retained: Lsn(1),
            retain_next: Lsn(1),
            store: Store::default(),
            kept: BTreeMap::new(),
            saved: None,
            receiving: 0,
            promises: Promises::default(),
            answers: Vec::new(),
            rejected: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// How many bytes of records, and how many messages, wait for the disk.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let bytes = self.pending.iter().map(|(_, record)| record.to_bytes().len()).sum();
        (bytes, self.held.len())
    }

    /// The kinds of the messages that wait for the disk, each once.
    pub(super) fn held_kinds(&self) -> BTreeSet<&'static str> {
        self.held.iter().map(|outgoing| outgoing.message.kind()).collect()
    }

    /// How many records its log holds.
    pub(super) fn log_length(&self) -> usize {
        self.durable.len()
    }

    pub(super) fn saved_index(&self) -> u64 {
        self.saved.as_ref().map_or(0, |(meta, _)| meta.index.0)
    }

    pub(super) fn traced(&self, words: &str) -> bool {
        self.trace.iter().any(|event| format!("{event:?}").contains(words))
    }
}

/// Small, so that few requests fill a window.
pub(super) fn small(options: &mut Options) {
    options.checkpoint_interval = 4;
    options.window = 8;
    options.max_in_flight = 4;
    options.snapshot_bytes = 1;
}

impl Cluster {
    pub(super) fn new(size: u64) -> Self {
        Self::with_options(size, |_| {})
    }

    pub(super) fn with_options(size: u64, change: impl Fn(&mut Options)) -> Self {
        let mut options = Options::default();
        small(&mut options);
        change(&mut options);
        options.validate().unwrap();
        let cast = Cast::new(size);
        let mut cluster = Self {
            now: Time::ZERO,
            nodes: BTreeMap::new(),
            network: VecDeque::new(),
            blocked: BTreeSet::new(),
            lost: BTreeSet::new(),
            lost_to: BTreeSet::new(),
            replies: BTreeMap::new(),
            order: BTreeMap::new(),
            states: BTreeMap::new(),
            requests: 0,
            held_kind: None,
            parked: Vec::new(),
            delivered: 0,
            last_reply_view: None,
            cast,
        };
        for id in 1..=size {
            let setup = Setup {
                cluster_id: CLUSTER,
                keys: cluster.cast.keys(id),
                id: NodeId(id),
                members: (1..=size).map(NodeId).collect(),
                incarnation: 0,
                seed: id,
                now: Time::ZERO,
                request_timeout: REQUEST_TIMEOUT,
                options: options.clone(),
            };
            cluster.nodes.insert(id, Node::new(setup));
            cluster.restart(id);
        }
        // Everybody has heard of everybody.
        cluster.advance(150);
        cluster
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn node(&self, id: u64) -> &Node {
        &self.nodes[&id]
    }

    pub(super) fn node_mut(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).expect("a known node")
    }

    pub(super) fn runs(&self, id: u64) -> bool {
        self.node(id).pbft.is_some()
    }

    pub(super) fn replica(&self, id: u64) -> &Replica {
        self.node(id).pbft.as_ref().expect("the node runs").replica()
    }

    pub(super) fn status(&self, id: u64) -> Status {
        self.node(id).pbft.as_ref().expect("the node runs").status()
    }

    pub(super) fn view(&self, id: u64) -> u64 {
        self.status(id).epoch
    }

    pub(super) fn is_active(&self, id: u64) -> bool {
        self.status(id).role != Role::Candidate
    }

    pub(super) fn applied(&self, id: u64) -> u64 {
        self.node(id).store.applied
    }

    /// How many slots a replica remembers.
    pub(super) fn slots(&self, id: u64) -> usize {
        self.replica(id).slots.len()
    }

    pub(super) fn detail(&self, id: u64, name: &str) -> u64 {
        let details = self.status(id).details;
        details.iter().find(|(found, _)| *found == name).expect("there is such a detail").1
    }

    /// The commands that a replica has executed, in order.
    pub(super) fn executed(&self, id: u64) -> Vec<String> {
        self.node(id).store.executed.clone()
    }

    /// All that run have executed the same, up to the same slot.
    pub(super) fn assert_equal(&self, wanted: &[&str]) {
        for id in self.ids().into_iter().filter(|id| self.runs(*id)) {
            assert_eq!(self.executed(id), wanted, "n{id}: {:?}", self.status(id));
        }
    }

    pub(super) fn handle(&mut self, id: u64, input: Input<Message>) {
        let now = self.now;
        let node = self.node_mut(id);
        let Some(pbft) = &mut node.pbft else { return };
        let mut out = Output::default();
        pbft.handle(now, input, &mut out);
        self.carry_out(id, out);
        if self.node(id).disk_on {
            self.sync(id);
        }
    }

    fn carry_out(&mut self, id: u64, out: Output<Pbft>) {
        let node = self.node_mut(id);
        for (lsn, record) in out.records {
            assert_eq!(lsn, node.next_lsn, "record numbers have no gaps and are never used twice");
            node.next_lsn = lsn.next();
            node.pending.push((lsn, record));
        }
        node.retain_next = node.retain_next.max(out.retain_from.unwrap_or(Lsn::ZERO));
        node.probed |= out.probe;
        node.held.extend(out.messages);
        node.answers.extend(out.answers);
        node.rejected.extend(out.rejected);
        node.trace.extend(out.trace);
        self.release(id);
        self.execute(id, out.committed);
        if let Some(index) = out.checkpoint {
            self.take_checkpoint(id, index);
        }
        if let Some(index) = out.release {
            let node = self.node_mut(id);
            node.kept = node.kept.split_off(&index);
        }
        if let Some(index) = out.save {
            self.save(id, index);
        }
        if !out.recall.is_empty() {
            let store = &self.node(id).store;
            let known = out.recall.into_iter().map(|request| (request, store.recall(request))).collect();
            self.report(id, Input::Recalled(known));
        }
        out.pieces.into_iter().for_each(|request| self.read_piece(id, request));
        out.install.into_iter().for_each(|install| self.store_piece(id, install));
    }

    /// Executes; the order is the same for all.
    fn execute(&mut self, id: u64, slots: Vec<Committed>) {
        let Some(last) = slots.last().map(|slot| slot.index) else { return };
        let mut outcomes = Vec::new();
        for slot in slots {
            let ids: Vec<RequestId> = slot.proposals.iter().map(|proposal| proposal.id).collect();
            let known = self.order.entry(slot.index).or_insert_with(|| ids.clone());
            assert_eq!(*known, ids, "n{id} executes something else at {}", slot.index);
            outcomes.extend(self.node_mut(id).store.apply(&slot));
        }
        self.report(id, Input::Applied { index: last, outcomes });
    }

    /// The store has done something.
    fn report(&mut self, id: u64, input: Input<Message>) {
        let node = self.node_mut(id);
        if node.store_on {
            self.handle(id, input);
        } else {
            node.unreported.push(input);
        }
    }

    /// From now on no store gets done with anything.
    pub(super) fn stop_stores(&mut self) {
        self.nodes.values_mut().for_each(|node| node.store_on = false);
    }

    /// They get done with everything.
    pub(super) fn resume_stores(&mut self) {
        for id in self.ids() {
            let node = self.node_mut(id);
            node.store_on = true;
            let unreported = std::mem::take(&mut node.unreported);
            for input in unreported {
                self.handle(id, input);
            }
        }
        self.settle();
    }

    fn take_checkpoint(&mut self, id: u64, index: Index) {
        let state = self.node(id).store.clone();
        if state.applied != index.0 {
            return; // A repair came between.
        }
        let digest = state.digest();
        self.states.insert(digest, state.clone());
        self.node_mut(id).kept.insert(index, state);
        self.report(id, Input::Checkpointed { index, digest });
    }

    fn save(&mut self, id: u64, index: Index) {
        let members = self.node(id).setup.members.clone();
        let Some(state) = self.node(id).kept.get(&index).cloned() else { return };
        let meta =
            SnapshotMeta { index, epoch: Epoch::ZERO, members, digest: state.digest(), pieces: PIECES };
        self.node_mut(id).saved = Some((meta.clone(), state));
        self.handle(id, Input::Saved(meta));
    }

    fn read_piece(&mut self, id: u64, request: PieceRequest) {
        let PieceRequest { to, index, number } = request;
        let node = self.node(id);
        let saved = node.saved.as_ref().filter(|(meta, _)| meta.index == index).map(|(_, state)| state);
        let digest = node.kept.get(&index).or(saved).map(Store::digest).filter(|_| !node.forgets);
        let data =
            digest.map(|digest| if node.lies { Bytes::from("a lie") } else { piece_of(&digest, number) });
        let meta = SnapshotMeta {
            index,
            epoch: Epoch::ZERO,
            members: Vec::new(),
            digest: digest.unwrap_or_default(),
            pieces: if data.is_some() { PIECES } else { 0 },
        };
        self.handle(id, Input::Piece(SnapshotPiece { peer: to, meta, number, data }));
    }

    /// As the archive does it: a first piece begins anew, each piece is checked by itself.
    fn store_piece(&mut self, id: u64, install: Install) {
        let Install { piece: SnapshotPiece { meta, number, data, .. }, repair } = install;
        let index = meta.index;
        let node = self.node_mut(id);
        if number == 0 {
            node.receiving = 0;
        }
        let right = data == Some(piece_of(&meta.digest, number)) && number == node.receiving;
        let stale = node.saved.as_ref().is_some_and(|(saved, _)| saved.index >= index);
        if !right || stale {
            let why = "a wrong piece".to_owned();
            return self.handle(id, Input::Install(InstallProgress::Failed { index, why }));
        }
        node.receiving += 1;
        let next = node.receiving;
        if next < meta.pieces {
            return self.handle(id, Input::Install(InstallProgress::Stored { index, next }));
        }
        let received = self.states[&meta.digest].clone();
        assert_eq!(meta.pieces, PIECES, "all pieces are there");
        let node = self.node_mut(id);
        if repair || received.applied > node.store.applied {
            node.store = received.clone();
            node.kept.clear();
        }
        node.saved = Some((meta.clone(), received));
        self.handle(id, Input::Install(InstallProgress::Done(meta)));
    }

    /// Sends what waits for nothing any more.
    fn release(&mut self, id: u64) {
        let node = self.node_mut(id);
        let durable = node.durable.last().map_or(node.retained.prev(), |(lsn, _)| *lsn);
        let ready: Vec<_> = node.held.extract_if(.., |message| message.after <= durable).collect();
        for Outgoing { to, message, .. } in ready {
            self.node_mut(id).promises.check(id, &message);
            self.leave(id, to.0, message);
        }
    }

    fn leave(&mut self, from: u64, to: u64, message: Message) {
        if to != CLIENT {
            self.network.push_back(Envelope { from, to, message });
        } else if let Message::Reply(reply) = message {
            let body = reply.body;
            self.last_reply_view = Some(body.view.0);
            for (counter, result) in body.results {
                let id = RequestId { origin: body.client, incarnation: body.incarnation, counter };
                let answer = result.expect("this store forgets nothing");
                let before = self.replies.entry(id).or_default().insert(from, answer.clone());
                assert!(before.is_none_or(|before| before == answer), "n{from} answers {id} in two ways");
            }
        }
    }

    /// Everything that was written becomes durable.
    pub(super) fn sync(&mut self, id: u64) {
        let node = self.node_mut(id);
        if node.pending.is_empty() && !std::mem::take(&mut node.probed) {
            return;
        }
        node.probed = false;
        for (_, record) in &node.pending {
            node.promises.note(record);
        }
        node.durable.append(&mut node.pending);
        node.retained = node.retain_next;
        let retained = node.retained;
        let last = node.next_lsn.prev();
        node.durable.retain(|(lsn, _)| *lsn >= retained);
        self.release(id);
        self.handle(id, Input::Durable(last));
    }

    pub(super) fn crash(&mut self, id: u64) {
        let node = self.node_mut(id);
        node.pbft = None;
        node.next_lsn = node.pending.first().map_or(node.next_lsn, |(lsn, _)| *lsn);
        node.pending.clear();
        node.probed = false;
        node.retain_next = node.retained;
        node.held.clear();
        node.kept.clear();
        (node.store_on, node.unreported) = (true, Vec::new());
        node.receiving = 0;
        node.store = node.saved.as_ref().map(|(_, state)| state.clone()).unwrap_or_default();
    }

    pub(super) fn restart(&mut self, id: u64) {
        self.crash(id);
        let now = self.now;
        let node = self.node_mut(id);
        node.setup.now = now;
        node.setup.incarnation += 1;
        let recovered = Recovered {
            snapshot: node.saved.as_ref().map(|(meta, _)| meta.clone()),
            records: node.durable.clone(),
            next_lsn: node.next_lsn,
        };
        node.pbft = Some(Pbft::recover(node.setup.clone(), recovered).expect("a consistent disk"));
        node.answers.clear();
        node.trace.clear();
    }

    pub(super) fn deliver(&mut self, envelope: Envelope) {
        if self.held_kind == Some(envelope.message.kind()) {
            return self.parked.push(envelope);
        }
        let Envelope { from, to, message } = envelope;
        let gone = self.blocked.contains(&(from, to)) || self.lost.contains(message.kind());
        let gone = gone || self.lost_to.contains(&(message.kind(), to));
        self.delivered += 1;
        let Some(node) = self.nodes.get(&to).filter(|node| node.pbft.is_some() && !gone) else { return };
        let message =
            Pbft::check(&node.checker, NodeId(from), message).expect("what is sent passes the check");
        self.handle(to, Input::Message { from: NodeId(from), message });
    }

    /// Delivers the oldest message for which `wanted` holds.
    pub(super) fn deliver_if(&mut self, wanted: impl Fn(&Envelope) -> bool) -> bool {
        let Some(position) = self.network.iter().position(wanted) else { return false };
        let envelope = self.network.remove(position).expect("it is there");
        self.deliver(envelope);
        true
    }

    /// Delivers all messages of these kinds, and those that follow from them.
    pub(super) fn deliver_kinds(&mut self, kinds: &[&str]) {
        while self.deliver_if(|envelope| kinds.contains(&envelope.message.kind())) {}
    }

    /// Loses what is under way, if `lost` says so.
    pub(super) fn lose(&mut self, lost: impl Fn(&Envelope) -> bool) {
        self.network.retain(|envelope| !lost(envelope));
    }

    /// Delivers until nothing is under way.
    pub(super) fn settle(&mut self) {
        let mut budget = 200_000;
        loop {
            while let Some(envelope) = self.network.pop_front() {
                self.deliver(envelope);
                budget -= 1;
                if budget == 0 {
                    let about = |envelope: &Envelope| (envelope.from, envelope.to, envelope.message.clone());
                    let talk: Vec<_> = self.network.iter().take(6).map(about).collect();
                    panic!("the replicas talk without end: {talk:?}");
                }
            }
            // What a replica wants to do at once, as handing out more after a checkpoint.
            let due: Vec<u64> = self.ids().into_iter().filter(|id| self.is_due(*id)).collect();
            if due.is_empty() {
                return;
            }
            for id in due {
                self.handle(id, Input::Timeout);
            }
            budget -= 1;
            assert!(budget > 0, "the replicas never rest");
        }
    }

    fn is_due(&self, id: u64) -> bool {
        let deadline = self.node(id).pbft.as_ref().and_then(Pbft::deadline);
        deadline.is_some_and(|at| at <= self.now)
    }

    /// Lets time pass; timers fire and messages arrive as they are due.
    pub(super) fn advance(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        self.settle();
        loop {
            let deadlines = self.nodes.values().filter_map(|node| node.pbft.as_ref()?.deadline());
            let Some(at) = deadlines.min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.settle();
        }
        self.now = end;
    }

    /// Time passes, and nobody notices: as when all of this is stopped.
    pub(super) fn pause(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// Lets time pass until `done`, or fails.
    pub(super) fn wait_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..1200 {
            if done(self) {
                return;
            }
            self.advance(50);
        }
        let statuses: Vec<_> = self.ids().into_iter().filter(|id| self.runs(*id)).collect();
        let statuses: Vec<_> = statuses.into_iter().map(|id| (id, self.status(id))).collect();
        panic!("{what} did not happen in a minute: {statuses:#?}");
    }

    /// Lets time pass until all that run have executed these commands.
    pub(super) fn wait_executed(&mut self, wanted: &[&str]) {
        self.wait_until(&format!("the execution of {wanted:?}"), |cluster| {
            cluster
                .ids()
                .into_iter()
                .all(|id| !cluster.runs(id) || cluster.executed(id).len() >= wanted.len())
        });
        self.assert_equal(wanted);
    }

    pub(super) fn block(&mut self, from: u64, to: u64) {
        self.blocked.insert((from, to));
    }

    pub(super) fn isolate(&mut self, id: u64) {
        for other in self.ids().into_iter().filter(|other| *other != id) {
            self.block(id, other);
            self.block(other, id);
        }
    }

    /// Messages of this kind get lost from now on.
    pub(super) fn lose_kind(&mut self, kind: &'static str) {
        self.lost.insert(kind);
    }

    /// Messages of this kind do not reach `id` from now on.
    pub(super) fn block_kind(&mut self, kind: &'static str, id: u64) {
        self.lost_to.insert((kind, id));
    }

    /// They do again, to whomever.
    pub(super) fn unblock_kind(&mut self, kind: &'static str) {
        self.lost_to.retain(|(lost, _)| *lost != kind);
    }

    pub(super) fn heal(&mut self) {
        self.blocked.clear();
        self.lost.clear();
        self.lost_to.clear();
    }

    pub(super) fn storage(&mut self, id: u64, pressure: Pressure) {
        self.handle(id, Input::Storage(pressure));
    }

    /// A caller of replica `id` wants a command ordered.
    pub(super) fn propose(&mut self, id: u64, command: &str) -> RequestId {
        self.requests += 1;
        let incarnation = self.node(id).setup.incarnation;
        let name = RequestId { origin: NodeId(id), incarnation, counter: self.requests };
        let command = Bytes::from(command.to_owned());
        let proposal = Proposal { id: name, time: WallTime(0), command };
        self.handle(id, Input::Propose(vec![proposal]));
        name
    }

    /// A signed request of the client, for tests that send it themselves.
    pub(super) fn sign(&self, counter: u64, command: &str) -> Signed<Request> {
        let commands = vec![(counter, Bytes::from(command.to_owned()))];
        let body = Request { client: NodeId(CLIENT), incarnation: 1, time: WallTime(0), commands };
        self.cast.signer(CLIENT).sign(body)
    }

    /// The client sends a request to a replica.
    pub(super) fn send(&mut self, to: u64, request: &Signed<Request>) {
        self.deliver(Envelope { from: CLIENT, to, message: Message::Request(request.clone()) });
    }

    /// The client asks everybody.
    pub(super) fn send_to_all(&mut self, request: &Signed<Request>) {
        self.ids().into_iter().for_each(|id| self.send(id, request));
    }

    /// The client's request reaches the primary of view 0, and everything is delivered.
    pub(super) fn put(&mut self, counter: u64, command: &str) {
        let request = self.sign(counter, command);
        self.send(1, &request);
        self.settle();
    }

    /// The client's command is executed by all, and no CHECKPOINT reaches replica `id`.
    pub(super) fn put_without_checkpoints_to(&mut self, id: u64, counter: u64, command: &str) {
        let request = self.sign(counter, command);
        self.send(1, &request);
        let withheld =
            |envelope: &Envelope| envelope.to == id && matches!(envelope.message, Message::Checkpoint(_));
        while self.deliver_if(|envelope| !withheld(envelope)) {}
    }

    /// How many replicas gave the same answer to the client's command.
    pub(super) fn answered(&self, counter: u64) -> usize {
        let id = RequestId { origin: NodeId(CLIENT), incarnation: 1, counter };
        let Some(answers) = self.replies.get(&id) else { return 0 };
        let first = answers.values().next().expect("somebody answered");
        assert!(answers.values().all(|answer| answer == first), "{id} is answered in two ways: {answers:?}");
        answers.len()
    }

    /// A message that a liar made, or somebody kept.
    pub(super) fn inject(&mut self, from: u64, to: u64, message: Message) {
        self.deliver(Envelope { from, to, message });
    }

    /// What the checker of a replica says to a message.
    pub(super) fn refusal(&self, to: u64, from: u64, message: Message) -> Option<&'static str> {
        Pbft::check(&self.node(to).checker, NodeId(from), message).err().map(|refused| refused.why)
    }

    /// What the log of a replica holds.
    pub(super) fn durable_records(&self, id: u64) -> impl Iterator<Item = &Record> {
        self.node(id).durable.iter().map(|(_, record)| record)
    }
}

/// Shorthands.
pub(super) fn view(number: u64) -> View {
    View(number)
}

pub(super) fn sequence(number: u64) -> Sequence {
    Sequence(number)
}

impl Cluster {
    /// The view that a replica's answer to a request names.
    pub(super) fn reply_view(&mut self, id: u64, request: &Signed<Request>) -> Option<u64> {
        self.last_reply_view = None;
        self.send(id, request);
        self.last_reply_view
    }
}

/// Disorder.
impl Cluster {
    /// Time passes and timers fire, but nothing is delivered.
    pub(super) fn tick(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        for id in self.ids() {
            for _ in 0..3 {
                if self.is_due(id) {
                    self.handle(id, Input::Timeout);
                }
            }
        }
    }

    /// Messages of this kind wait for [`deliver_held`](Self::deliver_held).
    pub(super) fn hold(&mut self, kind: &'static str) {
        self.held_kind = Some(kind);
    }

    /// Delivers the first that was held back, and nothing else.
    pub(super) fn deliver_one_held(&mut self) {
        let kind = self.held_kind.take();
        if !self.parked.is_empty() {
            let envelope = self.parked.remove(0);
            self.deliver(envelope);
        }
        self.held_kind = kind;
    }

    /// Delivers what was held back, but what goes to `id` gets lost.
    pub(super) fn deliver_held_but(&mut self, id: u64) {
        let kind = self.held_kind.take();
        for envelope in std::mem::take(&mut self.parked) {
            if envelope.to != id {
                self.deliver(envelope);
            }
        }
        self.held_kind = kind;
        self.settle();
    }

    /// Nothing is held back any more.
    pub(super) fn stop_holding(&mut self) {
        self.held_kind = None;
        self.parked.clear();
    }

    /// Nothing is held back any more, and what was arrives.
    pub(super) fn stop_holding_and_deliver(&mut self) {
        self.held_kind = None;
        for envelope in std::mem::take(&mut self.parked) {
            self.deliver(envelope);
        }
    }

    /// So many messages from `from` were refused at `id`.
    pub(super) fn refuse(&mut self, id: u64, from: u64, count: u64) {
        let now = self.now;
        let pbft = self.node_mut(id).pbft.as_mut().expect("the node runs");
        pbft.note_refused(now, NodeId(from), count);
    }

    /// Delivers what was held back, the last one first.
    pub(super) fn deliver_held(&mut self) {
        let kind = self.held_kind.take();
        for envelope in std::mem::take(&mut self.parked).into_iter().rev() {
            self.deliver(envelope);
        }
        self.held_kind = kind;
    }
}
