//! A small cluster whose messages, disks and clocks move only when the test says so. Not a simulation: nothing here is
//! random. What must hold between servers is checked after every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;

use crate::consensus::raft::{Body, Message, Options, Raft, Record, Rpc, Term};
use crate::consensus::{
    Committed, Digest, Encode as _, Event, Index, Input, InstallProgress, Keys, Lsn, Message as _, NodeId,
    Outgoing, Output, PieceRequest, Pressure, Proposal, Protocol, ReadId, Recovered, Rejection, RequestId,
    Role, Setup, SnapshotMeta, SnapshotPiece, Status, Time, WallTime,
};

pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How many pieces every snapshot has here.
pub(super) const PIECES: u32 = 3;

pub(super) struct Cluster {
    pub(super) now: Time,
    pub(super) nodes: BTreeMap<u64, Node>,
    /// Messages under way, oldest first.
    pub(super) network: VecDeque<Envelope>,
    blocked: BTreeSet<(u64, u64)>,
    /// Everything traced and sent, for goldens.
    pub(super) journal: String,
    /// What was committed anywhere, and who led each term.
    committed: BTreeMap<Index, (Term, Vec<RequestId>)>,
    leaders: BTreeMap<Term, u64>,
    requests: u64,
}

pub(super) struct Envelope {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) message: Message,
}

pub(super) struct Node {
    raft: Option<Raft>,
    setup: Setup<Raft>,
    /// Whether writes become durable at once.
    pub(super) disk_on: bool,
    /// The disk is to show whether it answers.
    probed: bool,
    /// Whether the end of a snapshot's installation is reported at once.
    pub(super) install_on: bool,
    durable: Vec<(Lsn, Record)>,
    pending: Vec<(Lsn, Record)>,
    /// Messages that wait for the disk.
    held: Vec<Outgoing<Message>>,
    next_lsn: Lsn,
    retained: Lsn,
    /// Takes effect with the next records that become durable.
    retain_next: Lsn,
    pub(super) snapshot: Option<SnapshotMeta>,
    /// The snapshot before it, if that can still be read.
    pub(super) older: Option<SnapshotMeta>,
    installed: Option<SnapshotMeta>,
    pub(super) checkpoint: Option<Index>,
    pub(super) committed: Vec<Committed>,
    pub(super) reads: Vec<(ReadId, Result<Index, Rejection>)>,
    pub(super) rejected: Vec<(RequestId, Rejection)>,
    pub(super) trace: Vec<Event>,
}

impl Node {
    pub(super) fn raft(&self) -> &Raft {
        self.raft.as_ref().expect("the node runs")
    }

    pub(super) fn status(&self) -> Status {
        self.raft().status()
    }

    /// How many bytes of records, and how many messages, wait for the disk.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let bytes = self.pending.iter().map(|(_, record)| record.to_bytes().len()).sum();
        (bytes, self.held.len())
    }

    /// The kinds of the messages that wait for the disk.
    pub(super) fn held_kinds(&self) -> Vec<&'static str> {
        self.held.iter().map(|outgoing| outgoing.message.kind()).collect()
    }

    fn copy_setup(&self) -> Setup<Raft> {
        self.setup.clone()
    }

    pub(super) fn runs(&self) -> bool {
        self.raft.is_some()
    }

    fn last_lsn(&self) -> Lsn {
        self.next_lsn.prev()
    }
}

impl Cluster {
    pub(super) fn new(size: u64) -> Self {
        Self::with_options(size, |_| {})
    }

    pub(super) fn with_options(size: u64, change: impl Fn(&mut Options)) -> Self {
        let mut options = Options::default();
        change(&mut options);
        let members: Vec<NodeId> = (1..=size).map(NodeId).collect();
        let mut cluster = Self {
            now: Time::ZERO,
            nodes: BTreeMap::new(),
            network: VecDeque::new(),
            blocked: BTreeSet::new(),
            journal: String::new(),
            committed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            requests: 0,
        };
        for id in 1..=size {
            let setup = Setup {
                cluster_id: 1,
                keys: Keys::default(),
                id: NodeId(id),
                members: members.clone(),
                incarnation: 0,
                seed: id,
                now: Time::ZERO,
                request_timeout: REQUEST_TIMEOUT,
                options: options.clone(),
            };
            cluster.nodes.insert(id, Node::new(setup));
            cluster.restart(id);
        }
        cluster
    }

    /// A cluster of `size` that server 1 leads, quiet, with the no-op committed everywhere.
    pub(super) fn led(size: u64) -> Self {
        Self::led_with(size, |_| {})
    }

    pub(super) fn led_with(size: u64, change: impl Fn(&mut Options)) -> Self {
        let mut cluster = Self::with_options(size, change);
        cluster.elect(1);
        cluster
    }

    pub(super) fn node(&self, id: u64) -> &Node {
        &self.nodes[&id]
    }

    pub(super) fn node_mut(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).expect("a known node")
    }

    pub(super) fn raft(&self, id: u64) -> &Raft {
        self.node(id).raft()
    }

    pub(super) fn role(&self, id: u64) -> Role {
        self.node(id).status().role
    }

    pub(super) fn commit(&self, id: u64) -> u64 {
        self.raft(id).commit_index().0
    }

    pub(super) fn handle(&mut self, id: u64, input: Input<Message>) {
        let now = self.now;
        let node = self.node_mut(id);
        let Some(raft) = &mut node.raft else { return };
        let mut out = Output::default();
        raft.handle(now, input, &mut out);
        self.carry_out(id, out);
        self.check_between_servers(id);
        if self.node(id).disk_on {
            self.sync(id);
        }
    }

    fn carry_out(&mut self, id: u64, out: Output<Raft>) {
        let mut journal = String::new();
        let node = self.node_mut(id);
        for (lsn, record) in out.records {
            assert_eq!(lsn, node.next_lsn, "record numbers have no gaps and are never used twice");
            node.next_lsn = lsn.next();
            node.pending.push((lsn, record));
        }
        node.retain_next = node.retain_next.max(out.retain_from.unwrap_or(Lsn::ZERO));
        node.probed |= out.probe;
        for slot in out.committed {
            let last = node.committed.last().map_or_else(|| node.start(), |slot| slot.index);
            assert_eq!(slot.index, last.max(node.start()).next(), "committed has no gaps");
            node.committed.push(slot);
        }
        node.checkpoint = out.checkpoint.or(node.checkpoint);
        node.reads.extend(out.reads);
        node.rejected.extend(out.rejected);
        for event in &out.trace {
            let _ = writeln!(journal, "n{id}: {}", describe_event(event));
        }
        node.trace.extend(out.trace);
        node.held.extend(out.messages);
        self.journal += &journal;
        self.release(id);
        out.pieces.into_iter().for_each(|request| self.read_piece(id, request));
        out.install.into_iter().for_each(|install| self.store_piece(id, install.piece));
    }

    /// Sends what waits for nothing any more.
    fn release(&mut self, id: u64) {
        let node = self.node_mut(id);
        let durable = node.durable.last().map_or(Lsn::ZERO, |(lsn, _)| *lsn);
        let ready: Vec<_> = node.held.extract_if(.., |message| message.after <= durable).collect();
        let running = node.raft.is_some();
        for Outgoing { to, message, .. } in ready {
            if running {
                self.network.push_back(Envelope { from: id, to: to.0, message });
            }
        }
    }

    fn read_piece(&mut self, id: u64, request: PieceRequest) {
        let newest = self.node(id).snapshot.clone().expect("a snapshot was reported durable");
        let older = self.node(id).older.as_ref().is_some_and(|older| older.index == request.index);
        let data = (older || newest.index == request.index).then(|| Bytes::from(vec![7; 8]));
        let meta = SnapshotMeta { index: request.index, ..newest };
        self.handle(id, Input::Piece(SnapshotPiece { peer: request.to, meta, number: request.number, data }));
    }

    fn store_piece(&mut self, id: u64, piece: SnapshotPiece) {
        let (index, next) = (piece.meta.index, piece.number + 1);
        if next < PIECES {
            return self.handle(id, Input::Install(InstallProgress::Stored { index, next }));
        }
        self.node_mut(id).installed = Some(piece.meta);
        if self.node(id).install_on {
            self.finish_install(id);
        }
    }

    /// The store has taken over the snapshot.
    pub(super) fn finish_install(&mut self, id: u64) {
        let meta = self.node_mut(id).installed.take().expect("a snapshot is complete");
        self.node_mut(id).snapshot = Some(meta.clone());
        self.node_mut(id).committed.clear();
        self.handle(id, Input::Install(InstallProgress::Done(meta)));
    }

    /// Everything that was written becomes durable.
    pub(super) fn sync(&mut self, id: u64) {
        let node = self.node_mut(id);
        if node.pending.is_empty() && !std::mem::take(&mut node.probed) {
            return;
        }
        node.probed = false;
        node.durable.append(&mut node.pending);
        node.retained = node.retain_next;
        let last = node.last_lsn();
        self.release(id);
        self.handle(id, Input::Durable(last));
    }

    pub(super) fn finish_checkpoint(&mut self, id: u64) -> Index {
        let index = self.node_mut(id).checkpoint.take().expect("a checkpoint was wanted");
        let epoch = self.raft(id).term_at(index).expect("it is in the log");
        let members = self.node(id).setup.members.clone();
        let meta = SnapshotMeta { index, epoch, members, digest: Digest::default(), pieces: PIECES };
        self.node_mut(id).snapshot = Some(meta.clone());
        self.handle(id, Input::Saved(meta));
        index
    }

    pub(super) fn crash(&mut self, id: u64) {
        let node = self.node_mut(id);
        node.raft = None;
        node.pending.clear();
        node.probed = false;
        node.retain_next = node.retained;
        node.held.clear();
        node.installed = None;
        node.checkpoint = None;
    }

    pub(super) fn restart(&mut self, id: u64) {
        self.crash(id);
        let now = self.now;
        let node = self.node_mut(id);
        node.setup.now = now;
        node.setup.incarnation += 1;
        let retained = node.retained;
        node.durable.retain(|(lsn, _)| *lsn >= retained);
        let next_lsn = node.durable.last().map_or(node.retained.max(Lsn(1)), |(lsn, _)| lsn.next());
        node.next_lsn = next_lsn;
        let recovered =
            Recovered { snapshot: node.snapshot.clone(), records: node.durable.clone(), next_lsn };
        node.raft = Some(Raft::recover(node.copy_setup(), recovered).expect("a consistent disk"));
        node.committed.clear();
        node.reads.clear();
        node.rejected.clear();
    }

    pub(super) fn records(&self, id: u64) -> Vec<Record> {
        self.node(id).durable.iter().map(|(_, record)| record.clone()).collect()
    }

    /// Delivers the oldest message for which `wanted` holds.
    pub(super) fn deliver_if(&mut self, wanted: impl Fn(&Envelope) -> bool) -> bool {
        let Some(position) = self.network.iter().position(wanted) else { return false };
        let envelope = self.network.remove(position).expect("it is there");
        self.deliver(envelope);
        true
    }

    pub(super) fn deliver(&mut self, envelope: Envelope) {
        let Envelope { from, to, message } = envelope;
        if self.blocked.contains(&(from, to)) || self.node(to).raft.is_none() {
            return;
        }
        let checker = Raft::checker(&self.node(to).setup);
        let line = format!("n{from} -> n{to}: {}\n", describe(&message));
        self.journal += &line;
        let message = Raft::check(&checker, NodeId(from), message).expect("own messages pass the check");
        self.handle(to, Input::Message { from: NodeId(from), message });
    }

    /// Hands over a message that nobody here has sent.
    pub(super) fn inject(&mut self, from: u64, to: u64, term: u64, body: Body) {
        self.deliver(Envelope { from, to, message: Message { term: crate::consensus::Epoch(term), body } });
    }

    pub(super) fn deliver_kind(&mut self, kind: &str) -> bool {
        self.deliver_if(|envelope| envelope.message.kind() == kind)
    }

    /// Delivers until nothing is under way.
    pub(super) fn settle(&mut self) {
        let mut budget = 100_000;
        while let Some(envelope) = self.network.pop_front() {
            self.deliver(envelope);
            budget -= 1;
            assert!(budget > 0, "the servers talk without end");
        }
    }

    /// Takes the oldest message of a link off the network, to be delivered late.
    pub(super) fn take(&mut self, from: u64, to: u64) -> Envelope {
        let position = self.network.iter().position(|envelope| (envelope.from, envelope.to) == (from, to));
        let taken = position.and_then(|position| self.network.remove(position));
        taken.unwrap_or_else(|| panic!("nothing is on its way from n{from} to n{to}"))
    }

    pub(super) fn sent(&self, from: u64, to: u64) -> Vec<&Message> {
        let of_pair = self.network.iter().filter(|envelope| (envelope.from, envelope.to) == (from, to));
        of_pair.map(|envelope| &envelope.message).collect()
    }

    pub(super) fn block(&mut self, from: u64, to: u64) {
        self.blocked.insert((from, to));
    }

    pub(super) fn isolate(&mut self, id: u64) {
        for other in self.nodes.keys().copied().filter(|other| *other != id).collect::<Vec<_>>() {
            self.block(id, other);
            self.block(other, id);
        }
    }

    pub(super) fn heal(&mut self) {
        self.blocked.clear();
    }

    /// Lets time pass; timers fire and messages arrive as they are due.
    pub(super) fn advance(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        self.settle();
        loop {
            let deadlines = self.nodes.iter().filter_map(|(id, node)| {
                let raft = node.raft.as_ref()?;
                Some((raft.deadline()?, *id))
            });
            let Some((at, id)) = deadlines.min().filter(|(at, _)| *at <= end) else { break };
            let before = self.raft(id).deadline();
            self.now = self.now.max(at);
            self.handle(id, Input::Timeout);
            assert!(self.raft(id).deadline() != before, "n{id}: a timeout that is due moves its deadline");
            self.settle();
        }
        self.now = self.now.max(end);
    }

    /// The timer of one server runs out, and nobody else's.
    pub(super) fn timeout(&mut self, id: u64) {
        self.now = self.now.max(self.raft(id).deadline().expect("a deadline"));
        self.handle(id, Input::Timeout);
    }

    /// The election timer of one server runs out.
    pub(super) fn campaign(&mut self, id: u64) {
        let term = self.raft(id).term();
        for _ in 0..100 {
            self.timeout(id);
            if self.role(id) != Role::Follower || self.raft(id).term() > term {
                return;
            }
        }
        panic!("n{id} does not campaign: {:?}", self.node(id).status());
    }

    /// Makes a server the leader, with everything delivered.
    pub(super) fn elect(&mut self, id: u64) {
        self.settle();
        for _ in 0..10 {
            if self.role(id) == Role::Leader {
                return;
            }
            self.campaign(id);
            self.settle();
        }
        panic!("n{id} was not elected: {:?}", self.node(id).status());
    }

    pub(super) fn proposal(&mut self, id: u64, command: &'static str) -> Proposal {
        self.requests += 1;
        let incarnation = self.node(id).setup.incarnation;
        let name = RequestId { origin: NodeId(id), incarnation, counter: self.requests };
        Proposal { id: name, time: WallTime(0), command: Bytes::from_static(command.as_bytes()) }
    }

    pub(super) fn propose(&mut self, id: u64, command: &'static str) -> RequestId {
        let proposal = self.proposal(id, command);
        let name = proposal.id;
        self.handle(id, Input::Propose(vec![proposal]));
        name
    }

    pub(super) fn read(&mut self, id: u64, read: u64) {
        self.handle(id, Input::Read(vec![ReadId(read)]));
    }

    pub(super) fn storage(&mut self, id: u64, pressure: Pressure) {
        self.handle(id, Input::Storage(pressure));
    }

    /// The commands that a server has handed to its store, in order.
    pub(super) fn commands(&self, id: u64) -> Vec<String> {
        let proposals = self.node(id).committed.iter().flat_map(|slot| &slot.proposals);
        proposals.map(|proposal| String::from_utf8_lossy(&proposal.command).into_owned()).collect()
    }

    /// The terms of a server's entries from the first in memory on.
    pub(super) fn terms(&self, id: u64) -> Vec<u64> {
        let raft = self.raft(id);
        (raft.first_index().0..=raft.last_index().0)
            .map(|i| raft.term_at(Index(i)).expect("in the log").0)
            .collect()
    }

    /// Election safety (§5.2) and state machine safety (§5.4.3).
    fn check_between_servers(&mut self, id: u64) {
        let node = &self.nodes[&id];
        let raft = node.raft();
        if raft.status().role == Role::Leader {
            let leader = *self.leaders.entry(raft.term()).or_insert(id);
            assert_eq!(leader, id, "two leaders in term {}", raft.term());
        }
        for slot in node.committed.iter().rev() {
            let ids = slot.proposals.iter().map(|proposal| proposal.id).collect();
            let known = self.committed.entry(slot.index).or_insert((slot.epoch, ids));
            assert_eq!(known.0, slot.epoch, "two entries committed at {}", slot.index);
            if slot.index.0 % 8 == 0 {
                break;
            }
        }
    }
}

impl Node {
    fn new(setup: Setup<Raft>) -> Self {
        Self {
            raft: None,
            setup,
            disk_on: true,
            probed: false,
            install_on: true,
            durable: Vec::new(),
            pending: Vec::new(),
            held: Vec::new(),
            next_lsn: Lsn(1),
            retained: Lsn(1),
            retain_next: Lsn(1),
            snapshot: None,
            older: None,
            installed: None,
            checkpoint: None,
            committed: Vec::new(),
            reads: Vec::new(),
            rejected: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// Where the store's state starts before anything in `committed`.
    fn start(&self) -> Index {
        if self.committed.is_empty() {
            self.snapshot.as_ref().map_or(Index::ZERO, |meta| meta.index)
        } else {
            Index::ZERO
        }
    }
}

fn describe_event(event: &Event) -> String {
    match event {
        Event::Became { role, epoch, why } => format!("{} in term {epoch}: {why}", role.name()),
        Event::Follows { leader, epoch } => format!("follows n{leader} in term {epoch}"),
        Event::Ignored { from, kind, why } => format!("ignores {kind} of n{from}: {why}"),
        Event::Noted { what, index } => format!("{what}, at {index}"),
        Event::Convicted { .. } => unreachable!("nobody proves a lie in Raft"),
    }
}

/// One line about a message.
pub(super) fn describe(message: &Message) -> String {
    let what = match &message.body {
        Body::RequestVote(request) => format!(" last={}@{}", request.last_index, request.last_term),
        Body::RequestVoteResponse(response) => {
            format!(" {}", if response.granted { "granted" } else { "refused" })
        }
        Body::AppendEntries(append) => {
            let entries: Vec<_> = append.entries.iter().map(|e| format!("{}@{}", e.index, e.term)).collect();
            format!(
                " prev={}@{} commit={} round={} [{}]",
                append.prev_index,
                append.prev_term,
                append.commit,
                append.round,
                entries.join(" ")
            )
        }
        Body::AppendEntriesResponse(response) => format!(" {:?} round={}", response.outcome, response.round),
        Body::InstallSnapshot(piece) => {
            format!(
                " {}@{} piece {} of {}",
                piece.meta.index, piece.meta.epoch, piece.number, piece.meta.pieces
            )
        }
        Body::InstallSnapshotResponse(response) => format!(" {} {:?}", response.index, response.outcome),
        Body::TimeoutNow => String::new(),
        Body::TermOver(_) => " term over".to_owned(),
        Body::Forward(forward) => format!(" {} proposals", forward.proposals.len()),
        Body::ForwardRejected(rejected) => format!(" {} proposals: {}", rejected.ids.len(), rejected.reason),
        Body::ReadIndex(attempt) => format!(" attempt {}", attempt.counter),
        Body::ReadIndexResponse(response) => {
            format!(" attempt {} at {}", response.attempt.counter, response.index)
        }
    };
    format!("T{} {}{what}", message.term, message.kind()).replace("Index(", "(").replace("Epoch(", "(")
}

impl Envelope {
    /// Whether it belongs to an election, and not to the leader that comes of it.
    pub(super) fn message_is_vote(&self) -> bool {
        matches!(
            self.message.body,
            Body::RequestVote(_) | Body::RequestVoteResponse(_) | Body::TermOver(Rpc::RequestVote)
        )
    }
}

impl Cluster {
    /// Writes what waits, but nothing that was written after a snapshot was installed.
    pub(super) fn sync_unless_installed(&mut self, id: u64) {
        if self.node(id).snapshot.is_none() {
            self.sync(id);
        }
    }
}
