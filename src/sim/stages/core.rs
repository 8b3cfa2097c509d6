//! The core: messages, requests, timers, reports.

use std::time::Duration;

use bytes::Bytes;

use crate::consensus::{self, Decode as _, Message as _, Proposal, ReadId, RequestId, WallTime};
use crate::engine::{Effects, Event, ExecutorWork, Ticket};
use crate::sim::agreement::Agreement;
use crate::sim::event::{Answer, Step, What};
use crate::sim::node::{Ask, Caller};
use crate::sim::simulated::{Checked, Simulated, Violation, Watch as _};
use crate::sim::trace::TraceKind;
use crate::sim::world::World;

impl<P: Simulated> World<P> {
    /// A message arrives: checked, then taken.
    pub(in crate::sim) fn deliver(&mut self, from: usize, to: usize, message: P::Message) -> Checked {
        let sender = self.nodes[from].id;
        let replica = self.replica(to);
        match P::check(&replica.checker, sender, message) {
            Ok(message) => {
                if !self.nodes[to].lies {
                    self.watch.arrived(self.nodes[to].id, message.get());
                }
                self.core(to, Event::Message { from: sender, message })
            }
            Err(_) if self.nodes[from].lies => {
                self.stats.lies_refused += 1;
                self.note_refused(to, sender);
                Ok(())
            }
            Err(refused) => Err(Violation::new(
                "honest-messages-pass",
                format!("node {} refuses a message of node {sender}: {refused}", self.nodes[to].id),
            )),
        }
    }

    /// As the links tell the core of it.
    pub(super) fn note_refused(&mut self, n: usize, from: consensus::NodeId) {
        let now = self.nodes[n].clock.at(self.now);
        self.replica(n).sequencer.note_refused(now, from, 1);
    }

    /// A client's request arrives; the core takes it when it wakes up, with all others that came by then.
    pub(in crate::sim) fn request(&mut self, n: usize, caller: Caller, ask: Ask) {
        let replica = self.replica(n);
        replica.requests.push((caller, ask));
        if !std::mem::replace(&mut replica.waking, true) {
            self.hand(n, Step::Wake);
        }
    }

    pub(super) fn wake(&mut self, n: usize) -> Checked {
        let (id, now, committed) = (self.nodes[n].id, self.now, self.agreement.last());
        let replica = self.replica(n);
        replica.waking = false;
        let (mut proposals, mut reads, mut work) = (Vec::new(), Vec::new(), Vec::new());
        for (caller, ask) in std::mem::take(&mut replica.requests) {
            match ask {
                Ask::Command(command) => {
                    replica.commands += 1;
                    let request =
                        RequestId { origin: id, incarnation: replica.incarnation, counter: replica.commands };
                    replica.waiting.insert(Ticket::Command(request), caller);
                    proposals.push(Proposal { id: request, time: WallTime(now / 1000), command });
                }
                Ask::Linearizable(op) => {
                    replica.reads += 1;
                    let id = ReadId(replica.reads);
                    replica.waiting.insert(Ticket::Read(id), caller);
                    replica.asked_at.insert(id, committed);
                    reads.push((id, op));
                }
                Ask::Serializable(op) => {
                    replica.reads += 1;
                    let id = ReadId(replica.reads);
                    replica.waiting.insert(Ticket::Read(id), caller);
                    work.push(ExecutorWork::Read { id, op, at: consensus::Index::ZERO });
                }
            }
        }
        for work in work {
            self.give_store(n, work);
        }
        let life = self.nodes[n].life;
        if !proposals.is_empty() {
            self.watch.proposed(id, &proposals);
            self.core(n, Event::Propose(proposals))?;
        }
        if !reads.is_empty() && self.nodes[n].runs(life) {
            self.core(n, Event::Read(reads))?;
        }
        Ok(())
    }

    /// The timer that was set for `at` rings. One that was set before it counts no more: were it to set another, timers
    /// would become more and more.
    pub(super) fn ring(&mut self, n: usize, at: u64) -> Checked {
        let (clock, now) = (self.nodes[n].clock, self.now);
        let replica = self.replica(n);
        if replica.timer_at != Some(at) {
            return Ok(());
        }
        replica.timer_at = None;
        if replica.sequencer.deadline().is_some_and(|deadline| deadline <= clock.at(now)) {
            return self.core(n, Event::Timeout);
        }
        self.set_timer(n);
        Ok(())
    }

    /// Sees to it that a timer rings when the protocol's deadline comes.
    pub(in crate::sim) fn set_timer(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let Some(replica) = node.replica.as_mut() else { return };
        let Some(deadline) = replica.sequencer.deadline() else { return };
        let at = node.clock.when(self.now, deadline);
        if replica.timer_at.is_none_or(|timer| timer > at) {
            replica.timer_at = Some(at);
            self.queue.at(at, What::Node { node: n, life: node.life, step: Step::Timer(at) });
        }
    }

    /// The sequencer takes one event, and its effects are carried on.
    pub(in crate::sim) fn core(&mut self, n: usize, event: Event<P>) -> Checked {
        if self.trace.is_on() {
            self.tell_event(n, &event);
        }
        let node = &mut self.nodes[n];
        let now = node.clock.at(self.now);
        let (id, life) = (node.id, node.life);
        let replica = self.nodes[n].replica.as_mut().expect("steps reach only nodes that run");
        let mut effects = std::mem::take(&mut replica.effects);
        replica.sequencer.handle(now, event, &mut effects);
        let logs = !effects.log.is_empty();
        self.watch_records(n, &effects)?;
        let replica = self.nodes[n].replica.as_ref().expect("the watch stops no node");
        if !self.nodes[n].lies {
            self.watch.stepped(id, replica.sequencer.protocol())?;
        }
        self.carry_out(n, &mut effects)?;
        if self.nodes[n].runs(life) {
            self.replica(n).effects = effects;
            if logs {
                self.poke_log(n);
            }
            self.set_timer(n);
        }
        Ok(())
    }

    /// No record number is used twice; the protocol's own invariants hear of every record.
    pub(super) fn watch_records(&mut self, n: usize, effects: &Effects<P>) -> Checked {
        let node = &mut self.nodes[n];
        let replica = node.replica.as_mut().expect("only nodes that run have effects");
        let mut told = Vec::new();
        for (lsn, bytes) in &effects.log.records {
            if *lsn != replica.last_lsn.next() || *lsn <= node.highest_lsn {
                return Err(Violation::new(
                    "record-numbers-once",
                    format!(
                        "node {} writes record {lsn} after record {}; record {} was durable before",
                        node.id, replica.last_lsn, node.highest_lsn
                    ),
                ));
            }
            replica.last_lsn = *lsn;
            replica.undurable.push_back((*lsn, bytes.len()));
            replica.undurable_bytes += bytes.len();
            let record = P::Record::from_bytes(bytes.clone()).map_err(|error| {
                Violation::new("records-decode", format!("node {}, record {lsn}: {error}", node.id))
            })?;
            if self.trace.is_on() {
                told.push(format!("writes {lsn}: {}", P::describe_record(&record)));
            }
            if !node.lies {
                self.watch.wrote(node.id, *lsn, record)?;
            }
        }
        let (id, lies, waiting) = (node.id, node.lies, replica.undurable_bytes);
        for what in told {
            self.tell(n, TraceKind::Disk, || what);
        }
        let most = P::most_undurable(&self.settings, self.cast.nodes).filter(|_| !lies);
        if let Some(most) = most.filter(|most| waiting > *most) {
            return Err(Violation::new(
                "undurable-is-bounded",
                format!("at node {id} {waiting} bytes of records wait for the disk, of {most} at most"),
            ));
        }
        Ok(())
    }

    /// Carries the effects on, one by one: between any two of them the node may crash.
    pub(super) fn carry_out(&mut self, n: usize, effects: &mut Effects<P>) -> Checked {
        if !effects.log.is_empty() {
            let work = std::mem::take(&mut effects.log);
            if self.strikes(n) {
                return Ok(());
            }
            self.replica(n).logger.push(work);
        }
        let id = self.nodes[n].id;
        for (to, message) in effects.send.drain(..) {
            if self.strikes(n) {
                return Ok(());
            }
            if !self.nodes[n].lies {
                self.watch.sent(id, to, &message)?;
            }
            self.send(n, to, &message);
        }
        for work in effects.execute.drain(..) {
            if self.strikes(n) {
                return Ok(());
            }
            self.watch_work(n, &work)?;
            self.give_store(n, work);
        }
        for work in effects.archive.drain(..) {
            if self.strikes(n) {
                return Ok(());
            }
            self.give_archive(n, work);
        }
        for (ticket, reply) in effects.answered.drain(..) {
            if let Some(caller) = self.replica(n).waiting.remove(&ticket) {
                self.answer(n, caller, Answer::Reply(reply));
            }
        }
        for (ticket, rejection) in effects.rejected.drain(..) {
            if let Ticket::Read(id) = ticket {
                self.replica(n).asked_at.remove(&id);
            }
            if let Some(caller) = self.replica(n).waiting.remove(&ticket) {
                self.answer(n, caller, Answer::Rejected(rejection));
            }
        }
        for event in &effects.trace {
            self.tell(n, TraceKind::Protocol, || P::describe_event(event));
        }
        effects.trace.clear();
        Ok(())
    }

    pub(super) fn watch_work(&mut self, n: usize, work: &ExecutorWork) -> Checked {
        let (node, lies) = (self.nodes[n].id, self.nodes[n].lies);
        match work {
            ExecutorWork::Commit(_) if lies => Ok(()),
            // The protocol's own watch first: it has better words for what went wrong.
            ExecutorWork::Commit(slots) => slots.iter().try_for_each(|slot| {
                self.watch.committed(node, slot)?;
                self.agreement.slot(node, slot)
            }),
            ExecutorWork::Read { id, at, .. } => {
                let committed = self.replica(n).asked_at.remove(id).unwrap_or_default();
                Agreement::read_point(node, *at, committed)
            }
            ExecutorWork::Checkpoint(_) | ExecutorWork::Recall(_) | ExecutorWork::Replace { .. } => Ok(()),
        }
    }

    pub(super) fn send(&mut self, from: usize, to: consensus::NodeId, message: &P::Message) {
        let to = to.prev().0 as usize;
        self.stats.messages += 1;
        if to >= self.cast.nodes {
            // For a client of its own: there are none here, each node's callers ask its gateway.
            self.stats.messages_lost += 1;
            return;
        }
        self.mix(message.size() as u64 ^ (to as u64) << 32);
        for place in self.places(from, to) {
            self.transmit(from, place, message.clone());
        }
    }
}

/// After how long a node rejects what got nowhere.
pub(in crate::sim) const REQUEST_TIMEOUT: Duration = Duration::from_millis(1500);

/// An encoded command.
pub(in crate::sim) fn encoded(command: &crate::kv::Command) -> Bytes {
    crate::consensus::Encode::to_bytes(command)
}
