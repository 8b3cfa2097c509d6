//! The core task: takes what has arrived, gives it to the sequencer, hands the effects on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::clock::Clock;
use super::counters::Counters;
use super::handle::Answer;
use super::reply::Reply;
use super::threads::{ToArchive, ToLog, ToStore};
use crate::consensus::{
    self, Answers, Committed, Digest, Index, InstallProgress, Lsn, Message as _, Misbehaviour, NodeId,
    Outcome, Pressure, Proposal, Protocol, ReadId, Recall, RequestId, SnapshotMeta, SnapshotPiece, Status,
};
use crate::engine::{Effects, Event, ExecutorWork, Installed, Sequencer, Ticket};
use crate::kv;
use crate::transport::{Gate, Inbox, LinkCounters, Links, Mailbox, Received, Wire};

/// How many items of one kind a turn takes: bounds how long the other kinds wait.
const TURN: usize = 1024;

/// What the handle asks of the core.
#[derive(Debug)]
pub(super) enum Request {
    Propose(Proposal, Reply),
    Read(ReadId, kv::Op, Reply),
    Status(oneshot::Sender<Said>),
    Evidence(oneshot::Sender<Vec<Bytes>>),
    TransferLeadership(Option<NodeId>),
    Misbehave(Option<Misbehaviour>, oneshot::Sender<Result<(), String>>),
}

/// How the core is.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: Status,
    pub(super) links: LinkCounters,
    pub(super) misbehaviour: Option<Misbehaviour>,
}

/// What the threads report to the core.
#[derive(Debug)]
pub(super) enum Report {
    Durable(Lsn),
    Storage(Pressure),
    Applied { index: Index, outcomes: Vec<(RequestId, Outcome)> },
    Recalled(Vec<(RequestId, Recall)>),
    Checkpointed { index: Index, digest: Digest },
    Saved(SnapshotMeta),
    Piece(SnapshotPiece),
    Install(InstallProgress),
    Installed(Installed),
}

impl<P: Protocol> From<Report> for Event<P> {
    fn from(report: Report) -> Self {
        match report {
            Report::Durable(lsn) => Self::Durable(lsn),
            Report::Storage(room) => Self::Storage(room),
            Report::Applied { index, outcomes } => Self::Applied { index, outcomes },
            Report::Recalled(requests) => Self::Recalled(requests),
            Report::Checkpointed { index, digest } => Self::Checkpointed { index, digest },
            Report::Saved(meta) => Self::Saved(meta),
            Report::Piece(piece) => Self::Piece(piece),
            Report::Install(progress) => Self::Install(progress),
            Report::Installed(installed) => Self::Installed(installed),
        }
    }
}

/// A peer's message, checked.
pub(super) type Inbound<P> = Received<<P as Protocol>::Message>;

/// Where the core's input comes from.
pub(super) struct Inputs<P: Protocol> {
    pub(super) reports: UnboundedReceiver<Report>,
    pub(super) messages: Inbox<P::Message>,
    /// Keeps `messages` open where there are no links to do so: in a cluster of one.
    pub(super) _inbox: Mailbox<P::Message>,
    pub(super) requests: UnboundedReceiver<Request>,
}

/// Where work for the threads goes.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) log: std::sync::mpsc::Sender<ToLog>,
    pub(super) store: std::sync::mpsc::Sender<ToStore>,
    pub(super) archive: std::sync::mpsc::Sender<ToArchive>,
}

/// The core task's state.
pub(super) struct Core<P: Wire> {
    pub(super) sequencer: Sequencer<P>,
    pub(super) work: Work,
    pub(super) links: Links<P>,
    pub(super) clock: Clock,
    pub(super) gate: Gate,
    pub(super) epoch: Arc<AtomicU64>,
    pub(super) counters: Arc<Counters>,
    /// Whose commands are answered here: this node, in this life.
    pub(super) origin: (NodeId, u64),
    /// Clients whose requests are with the protocol.
    pub(super) waiting: BTreeMap<Ticket, Reply>,
    pub(super) effects: Effects<P>,
    /// What the replica is told to do wrong now.
    pub(super) misbehaviour: Option<Misbehaviour>,
}

/// What one turn takes.
struct Turn<P: Protocol> {
    reports: Vec<Report>,
    messages: Vec<Inbound<P>>,
    /// How many messages of whom were refused meanwhile.
    refused: Vec<(NodeId, u64)>,
    requests: Vec<Request>,
}

impl<P: Wire> Core<P> {
    /// Runs until its inputs are gone, or until it is dropped.
    pub(super) async fn run(mut self, mut inputs: Inputs<P>) {
        let (reports, messages, refused, requests) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut turn = Turn { reports, messages, refused, requests };
        while arrival(&mut inputs, &mut turn, self.due()).await {
            self.gate.passed().await;
            self.take(&mut turn);
            if self.hand_on().is_err() {
                return; // A thread is gone: it has said why, and the node is stopping.
            }
        }
    }

    /// When the sequencer wants to be woken.
    fn due(&self) -> Option<Instant> {
        self.sequencer.deadline().map(|time| self.clock.instant(time).into())
    }

    /// Gives the sequencer what the turn took: reports first, since they free what others wait for; then the due
    /// deadline, so that no flood of messages can hold back a heartbeat.
    fn take(&mut self, turn: &mut Turn<P>) {
        for report in turn.reports.drain(..) {
            if let Report::Durable(lsn) = &report {
                tracing::debug!(target: super::STORAGE, "the log is durable up to record {lsn}");
            }
            self.handle(report.into());
        }
        if self.sequencer.deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
            self.handle(Event::Timeout);
        }
        for (from, count) in turn.refused.drain(..) {
            self.sequencer.note_refused(self.clock.now(), from, count);
        }
        for Received { from, message } in turn.messages.drain(..) {
            tracing::debug!(target: super::MESSAGES, "{} from {from}", message.get().kind());
            self.handle(Event::Message { from, message });
        }
        self.take_requests(turn);
    }

    fn take_requests(&mut self, turn: &mut Turn<P>) {
        let (mut proposals, mut reads) = (Vec::new(), Vec::new());
        for request in turn.requests.drain(..) {
            match request {
                // Whoever asked has gone before anything was begun.
                Request::Propose(_, reply) | Request::Read(_, _, reply) if reply.is_abandoned() => {}
                Request::Propose(proposal, reply) => {
                    self.waiting.insert(Ticket::Command(proposal.id), reply);
                    proposals.push(proposal);
                }
                Request::Read(id, op, reply) => {
                    self.waiting.insert(Ticket::Read(id), reply);
                    reads.push((id, op));
                }
                Request::Status(reply) => {
                    let mut status = self.sequencer.status();
                    status.why.extend(self.links.refusals());
                    status.why.extend(self.links.doubles());
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(Said {
                        status,
                        links: self.links.counters(),
                        misbehaviour: self.misbehaviour.clone(),
                    });
                }
                Request::Evidence(reply) => {
                    let _ = reply.send(self.sequencer.protocol().evidence());
                }
                Request::TransferLeadership(to) => self.handle(Event::TransferLeadership(to)),
                Request::Misbehave(how, reply) => {
                    let _ = reply.send(self.misbehave(how));
                }
            }
        }
        if !proposals.is_empty() {
            self.counters.proposals.fetch_add(proposals.len() as u64, Ordering::Relaxed);
            self.handle(Event::Propose(proposals));
        }
        if !reads.is_empty() {
            self.handle(Event::Read(reads));
        }
    }

    /// Between two inputs: what follows from the one before is said as it was then. A liar that is told again what it does
    /// already does not begin anew.
    fn misbehave(&mut self, how: Option<Misbehaviour>) -> Result<(), String> {
        if how == self.misbehaviour {
            return Ok(());
        }
        self.sequencer.misbehave(how.clone())?;
        if let Some(how) = &how {
            tracing::warn!("lies to the others from now on, as it was told: {how}");
        } else {
            tracing::info!("is honest from now on, as it was told");
        }
        self.misbehaviour = how;
        Ok(())
    }

    fn handle(&mut self, event: Event<P>) {
        self.sequencer.handle(self.clock.now(), event, &mut self.effects);
    }

    /// Hands the turn's effects on. Fails when a thread is gone.
    fn hand_on(&mut self) -> Result<(), Gone> {
        if !self.effects.log.is_empty() {
            self.work.log.send(ToLog::Work(std::mem::take(&mut self.effects.log))).map_err(|_| Gone)?;
        }
        for (to, message) in self.effects.send.drain(..) {
            tracing::debug!(target: super::MESSAGES, "{} to {to}", message.kind());
            self.links.send(to, message);
        }
        for work in std::mem::take(&mut self.effects.execute) {
            let replies = self.waiters(&work);
            self.work.store.send(ToStore::Work { work, replies }).map_err(|_| Gone)?;
        }
        for work in self.effects.archive.drain(..) {
            self.work.archive.send(ToArchive::Work(work)).map_err(|_| Gone)?;
        }
        let epoch = self.epoch.load(Ordering::Relaxed);
        for (ticket, reply) in self.effects.answered.drain(..) {
            if let Some(channel) = self.waiting.remove(&ticket) {
                channel.send(Ok(Answer { reply, epoch }));
            }
        }
        for (ticket, rejection) in self.effects.rejected.drain(..) {
            if let Some(reply) = self.waiting.remove(&ticket) {
                reply.send(Err(rejection.into()));
            }
        }
        self.trace();
        Ok(())
    }

    /// Takes the channels of those who wait for this work, to travel with it. Where clients count votes, those of
    /// commands stay: it is the protocol that answers them.
    fn waiters(&mut self, work: &ExecutorWork) -> Vec<(Ticket, Reply)> {
        let mut take = |ticket| self.waiting.remove(&ticket).map(|reply| (ticket, reply));
        match work {
            ExecutorWork::Commit(_) if P::ANSWERS == Answers::ByVote => Vec::new(),
            ExecutorWork::Commit(slots) => {
                let mine =
                    |proposal: &&Proposal| (proposal.id.origin, proposal.id.incarnation) == self.origin;
                let proposals = slots.iter().flat_map(|slot: &Committed| &slot.proposals).filter(mine);
                proposals.filter_map(|proposal| take(Ticket::Command(proposal.id))).collect()
            }
            ExecutorWork::Read { id, .. } => take(Ticket::Read(*id)).into_iter().collect(),
            ExecutorWork::Checkpoint(_) | ExecutorWork::Recall(_) | ExecutorWork::Replace { .. } => {
                Vec::new()
            }
        }
    }

    fn trace(&mut self) {
        for event in self.effects.trace.drain(..) {
            if let consensus::Event::Became { epoch, .. } | consensus::Event::Follows { epoch, .. } = event {
                self.epoch.store(epoch.0, Ordering::Relaxed);
            }
            let text = P::describe_event(&event);
            match event {
                consensus::Event::Ignored { .. } => tracing::debug!("{text}"),
                consensus::Event::Convicted { .. } => tracing::warn!("{text}"),
                _ => tracing::info!("{text}"),
            }
        }
    }
}

/// Waits until something has arrived or is due, and takes what has arrived. `false` when the node is gone.
async fn arrival<P: Protocol>(inputs: &mut Inputs<P>, turn: &mut Turn<P>, due: Option<Instant>) -> bool {
    let timer = async {
        match due {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        count = inputs.reports.recv_many(&mut turn.reports, TURN) => if count == 0 { return false },
        count = inputs.messages.recv_many(&mut turn.messages, TURN) => if count == 0 { return false },
        count = inputs.requests.recv_many(&mut turn.requests, TURN) => if count == 0 { return false },
        () = timer => {}
    }
    drain(TURN, || inputs.reports.try_recv().ok(), &mut turn.reports);
    let room = TURN.saturating_sub(turn.messages.len());
    inputs.messages.take(&mut turn.messages, room);
    turn.refused = inputs.messages.take_refused();
    drain(TURN, || inputs.requests.try_recv().ok(), &mut turn.requests);
    true
}

/// A thread that takes effects is gone.
struct Gone;

fn drain<T>(limit: usize, mut next: impl FnMut() -> Option<T>, into: &mut Vec<T>) {
    while into.len() < limit
        && let Some(item) = next()
    {
        into.push(item);
    }
}
