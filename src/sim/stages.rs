//! What the node's tasks and threads do in production, one event at a time: carry the results of one stage to the next.
//!
//! Each hand-over takes a moment that is drawn from the seed, often none; and between any two effects of a stage the
//! node may crash.

use std::time::Duration;

use bytes::Bytes;

use super::agreement::Agreement;
use super::event::{Answer, Step, What};
use super::node::{Ask, Caller, Replica, WrongState};
use super::simulated::{Checked, Simulated, Violation, Watch as _};
use super::world::World;
use crate::consensus::{
    self, Decode as _, InstallProgress, Message as _, Pressure, Proposal, ReadId, RejectReason, Rejection,
    RequestId, WallTime,
};
use crate::engine::{ArchiveWork, Archived, Effects, Event, ExecutorWork, Ticket};
use crate::wal::{Preparation, WalError};

/// How long the archive waits before it tries a full disk again; as in production.
const FULL_DISK_RETRY: u64 = 500_000;

/// Digests are compared after every so many slots.
const DIGEST_EVERY: u64 = 64;

impl<P: Simulated> World<P> {
    /// Something happens at a node that is up.
    pub(super) fn step(&mut self, n: usize, step: Step<P>) -> Checked {
        match step {
            Step::Core(event) => self.core(n, event),
            Step::Timer => self.ring(n),
            Step::Wake => self.wake(n),
            Step::LogWrite => self.log_write(n),
            Step::LogSynced => self.log_synced(n),
            Step::Prepare(preparation) => {
                self.prepare(n, *preparation);
                Ok(())
            }
            Step::Prepared(prepared) => {
                self.replica(n).prepared = Some(*prepared);
                self.poke_log(n);
                Ok(())
            }
            Step::Retry => {
                self.retry(n);
                Ok(())
            }
            Step::Execute => self.execute(n),
            Step::Archive => self.archive(n),
        }
    }

    /// The stages of a node that is up: steps of others were dropped.
    fn replica(&mut self, n: usize) -> &mut Replica<P> {
        self.nodes[n].replica.as_mut().expect("steps reach only nodes that run")
    }

    /// The next stage gets its work: at once, or after a moment.
    fn hand(&mut self, n: usize, step: Step<P>) {
        let what = What::Node { node: n, life: self.nodes[n].life, step };
        if self.handover.chance(700) {
            self.queue.at_once(what);
        } else {
            let most = if self.handover.chance(20) { 20_000 } else { 300 };
            let delay = self.handover.between(1, most);
            self.queue.at(self.now + delay, what);
        }
    }

    fn later(&mut self, n: usize, delay: u64, step: Step<P>) {
        let what = What::Node { node: n, life: self.nodes[n].life, step };
        self.queue.at(self.now + delay, what);
    }

    // ---- The core: messages, requests, timers, reports --------------------------------------------------------------

    /// A message arrives: checked, then taken.
    pub(super) fn deliver(&mut self, from: usize, to: usize, message: P::Message) -> Checked {
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
    fn note_refused(&mut self, n: usize, from: consensus::NodeId) {
        let now = self.nodes[n].clock.at(self.now);
        self.replica(n).sequencer.note_refused(now, from, 1);
    }

    /// A client's request arrives; the core takes it when it wakes up, with all others that came by then.
    pub(super) fn request(&mut self, n: usize, caller: Caller, ask: Ask) {
        let replica = self.replica(n);
        replica.requests.push((caller, ask));
        if !std::mem::replace(&mut replica.waking, true) {
            self.hand(n, Step::Wake);
        }
    }

    fn wake(&mut self, n: usize) -> Checked {
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

    fn ring(&mut self, n: usize) -> Checked {
        let (clock, now) = (self.nodes[n].clock, self.now);
        let replica = self.replica(n);
        replica.timer_at = None;
        if replica.sequencer.deadline().is_some_and(|deadline| deadline <= clock.at(now)) {
            return self.core(n, Event::Timeout);
        }
        self.set_timer(n);
        Ok(())
    }

    /// Sees to it that a timer rings when the protocol's deadline comes.
    pub(super) fn set_timer(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let Some(replica) = node.replica.as_mut() else { return };
        let Some(deadline) = replica.sequencer.deadline() else { return };
        let at = node.clock.when(self.now, deadline);
        if replica.timer_at.is_none_or(|timer| timer > at) {
            replica.timer_at = Some(at);
            self.queue.at(at, What::Node { node: n, life: node.life, step: Step::Timer });
        }
    }

    /// The sequencer takes one event, and its effects are carried on.
    pub(super) fn core(&mut self, n: usize, event: Event<P>) -> Checked {
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
    fn watch_records(&mut self, n: usize, effects: &Effects<P>) -> Checked {
        let node = &mut self.nodes[n];
        let replica = node.replica.as_mut().expect("only nodes that run have effects");
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
            let record = P::Record::from_bytes(bytes.clone()).map_err(|error| {
                Violation::new("records-decode", format!("node {}, record {lsn}: {error}", node.id))
            })?;
            if self.trace.is_on() {
                self.trace.push(
                    self.now,
                    &node.name,
                    &format!("writes {lsn}: {}", P::describe_record(&record)),
                );
            }
            if !node.lies {
                self.watch.wrote(node.id, *lsn, record)?;
            }
        }
        Ok(())
    }

    /// Carries the effects on, one by one: between any two of them the node may crash.
    fn carry_out(&mut self, n: usize, effects: &mut Effects<P>) -> Checked {
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
            self.send(n, to, message);
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
        if self.trace.is_on() {
            for event in &effects.trace {
                let text = describe_event(event);
                self.trace.push(self.now, &self.nodes[n].name, &text);
            }
        }
        effects.trace.clear();
        Ok(())
    }

    fn watch_work(&mut self, n: usize, work: &ExecutorWork) -> Checked {
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

    fn send(&mut self, from: usize, to: consensus::NodeId, message: P::Message) {
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

    // ---- The log thread ---------------------------------------------------------------------------------------------

    fn poke_log(&mut self, n: usize) {
        let replica = self.replica(n);
        if !std::mem::replace(&mut replica.logging, true) {
            self.hand(n, Step::LogWrite);
        }
    }

    fn log_write(&mut self, n: usize) -> Checked {
        if self.strikes(n) {
            return Ok(());
        }
        if let Some(prepared) = self.replica(n).prepared.take() {
            match self.replica(n).logger.prepared(prepared) {
                Ok(room) => self.report_room(n, room),
                Err(error) => return self.disk_failed(n, &error),
            }
        }
        match self.replica(n).logger.write() {
            Ok(true) => {
                self.replica(n).syncing = true;
                let delay = self.sync_delay(n);
                self.later(n, delay, Step::LogSynced);
                Ok(())
            }
            Ok(false) => {
                self.end_of_turn(n, false);
                Ok(())
            }
            Err(error) => self.disk_failed(n, &error),
        }
    }

    fn sync_delay(&mut self, n: usize) -> u64 {
        let rare = if self.handover.chance(10) { self.handover.between(1000, 30_000) } else { 0 };
        self.handover.between(100, 600) + rare + self.nodes[n].slow_sync
    }

    /// The sync returns: what it made durable is durable from this moment on, not before.
    fn log_synced(&mut self, n: usize) -> Checked {
        if self.nodes[n].stalled > 0 {
            self.replica(n).sync_waits = true;
            return Ok(());
        }
        if self.strikes(n) {
            return Ok(());
        }
        self.replica(n).syncing = false;
        let logged = match self.replica(n).logger.sync() {
            Ok(logged) => logged,
            Err(error) => return self.disk_failed(n, &error),
        };
        if self.trace.is_on() {
            self.trace.push(self.now, &self.nodes[n].name, &format!("durable up to {}", logged.durable));
        }
        self.mix(logged.durable.0);
        self.nodes[n].highest_lsn = logged.durable;
        if !self.nodes[n].lies {
            self.watch.durable(self.nodes[n].id, logged.durable)?;
        }
        self.report(n, Event::Durable(logged.durable));
        self.report_room(n, logged.room);
        self.end_of_turn(n, true);
        Ok(())
    }

    /// The log thread has done a turn: a segment may have to be made ready, and more may wait to be written. What could
    /// not be written for want of room waits for a segment, or until the disk is tried again.
    fn end_of_turn(&mut self, n: usize, wrote: bool) {
        let replica = self.replica(n);
        replica.logging = false;
        let more = replica.prepared.is_some() || (wrote && !replica.logger.is_idle());
        if let Some(preparation) = replica.logger.preparation() {
            let delay = self.handover.between(100, 5000);
            self.later(n, delay, Step::Prepare(Box::new(preparation)));
        }
        if more {
            self.poke_log(n);
        }
    }

    fn report_room(&mut self, n: usize, room: Pressure) {
        if std::mem::replace(&mut self.replica(n).room, room) != room {
            self.report(n, Event::Storage(room));
        }
    }

    fn prepare(&mut self, n: usize, preparation: Preparation) {
        if self.strikes(n) {
            return;
        }
        let prepared = preparation.run();
        if prepared.failure().is_some_and(WalError::is_full) {
            self.later(n, FULL_DISK_RETRY, Step::Retry);
        }
        self.hand(n, Step::Prepared(Box::new(prepared)));
    }

    fn retry(&mut self, n: usize) {
        let replica = self.replica(n);
        replica.logger.retry();
        replica.archive.retry();
        self.poke_archive(n);
        self.poke_log(n);
    }

    // ---- The store thread -------------------------------------------------------------------------------------------

    fn give_store(&mut self, n: usize, work: ExecutorWork) {
        let replica = self.replica(n);
        replica.work.push_back(work);
        if !std::mem::replace(&mut replica.executing, true) {
            self.hand(n, Step::Execute);
        }
    }

    fn execute(&mut self, n: usize) -> Checked {
        self.replica(n).executing = false;
        while let Some(work) = self.replica(n).work.pop_front() {
            if self.strikes(n) {
                return Ok(());
            }
            for work in split(work) {
                let replica = self.replica(n);
                let mut done = std::mem::take(&mut replica.done);
                replica.executor.handle(work, &mut done);
                self.executed(n, &mut done)?;
                self.replica(n).done = done;
            }
        }
        Ok(())
    }

    fn executed(&mut self, n: usize, done: &mut crate::engine::Executed) -> Checked {
        for (ticket, reply) in done.answers.drain(..) {
            if let Some(caller) = self.replica(n).waiting.remove(&ticket) {
                self.answer(n, caller, Answer::Reply(reply));
            }
        }
        for ticket in done.unanswered.drain(..) {
            if let Some(caller) = self.replica(n).waiting.remove(&ticket) {
                let (reason, leader) = (RejectReason::TimedOut, None);
                let unknown = Rejection { reason, never_executed: false, leader };
                self.answer(n, caller, Answer::Rejected(unknown));
            }
        }
        for work in done.archive.drain(..) {
            self.give_archive(n, work);
        }
        let (id, lies) = (self.nodes[n].id, self.nodes[n].lies);
        if let Some(installed) = done.installed.take() {
            self.stats.installs += 1;
            self.report(n, Event::Installed(installed));
        }
        if let Some(index) = done.applied.take() {
            let replica = self.replica(n);
            let revision = replica.executor.store().revision();
            let digest = index.0.is_multiple_of(DIGEST_EVERY).then(|| replica.executor.status(true).digest);
            if !lies {
                self.agreement.revision(id, index, revision)?;
                digest.flatten().map_or(Ok(()), |digest| self.agreement.digest(id, index, digest))?;
            }
            let outcomes = std::mem::take(&mut done.outcomes);
            if !lies {
                self.watch.executed(id, &outcomes)?;
            }
            self.report(n, Event::Applied { index, outcomes });
        }
        if !done.recalled.is_empty() {
            self.report(n, Event::Recalled(std::mem::take(&mut done.recalled)));
        }
        if let Some((index, digest)) = done.checkpointed.take() {
            if !lies {
                self.agreement.digest(id, index, digest)?;
            }
            let digest = self.damaged(n, index, digest);
            self.report(n, Event::Checkpointed { index, digest });
        }
        Ok(())
    }

    /// The digest as the node hears it: another one, once, if its state was damaged in memory.
    fn damaged(
        &mut self,
        n: usize,
        index: consensus::Index,
        mut digest: consensus::Digest,
    ) -> consensus::Digest {
        if self.nodes[n].wrong_state == WrongState::Due {
            self.nodes[n].wrong_state = WrongState::Struck;
            digest.0[0] ^= 0xff;
            self.tell(n, || format!("✗ its state at index {index} is not what it should be"));
        }
        digest
    }

    /// Reports reach the core in the order in which they were made, as through a channel: at once, or after a moment.
    fn report(&mut self, n: usize, event: Event<P>) {
        let delay = if self.handover.chance(700) { 0 } else { self.handover.between(1, 300) };
        let (now, life) = (self.now, self.nodes[n].life);
        let replica = self.replica(n);
        let what = What::Node { node: n, life, step: Step::Core(event) };
        if delay == 0 && replica.reports_at < now {
            self.queue.at_once(what);
        } else {
            replica.reports_at = replica.reports_at.max(now + delay);
            let at = replica.reports_at;
            self.queue.at(at, what);
        }
    }

    // ---- The archive thread -----------------------------------------------------------------------------------------

    fn give_archive(&mut self, n: usize, work: ArchiveWork) {
        self.replica(n).archive.push(work);
        self.poke_archive(n);
    }

    fn poke_archive(&mut self, n: usize) {
        let replica = self.replica(n);
        if !std::mem::replace(&mut replica.archiving, true) {
            let delay = self.handover.between(20, self.piece_delay);
            self.later(n, delay, Step::Archive);
        }
    }

    fn archive(&mut self, n: usize) -> Checked {
        if self.strikes(n) {
            return Ok(());
        }
        let archived = match self.replica(n).archive.step() {
            Ok(archived) => archived,
            Err(error) => return self.disk_failed(n, &error),
        };
        let replica = self.replica(n);
        replica.archiving = false;
        let idle = replica.archive.is_idle();
        if let Some(archived) = archived {
            self.archived(n, archived);
        }
        if !idle {
            self.poke_archive(n);
        }
        Ok(())
    }

    fn archived(&mut self, n: usize, archived: Archived) {
        let id = self.nodes[n].id;
        match archived {
            Archived::Saved(meta) => {
                self.stats.snapshots += 1;
                if !self.nodes[n].lies {
                    self.watch.snapshot(id, &meta);
                }
                self.tell(n, || format!("snapshot of index {} is durable", meta.index));
                self.report(n, Event::Saved(meta));
            }
            Archived::Piece(piece) => self.report(n, Event::Piece(piece)),
            Archived::Progress(progress) => self.report(n, Event::Install(progress)),
            Archived::Received { meta, store, repair } => {
                if !self.nodes[n].lies {
                    self.watch.snapshot(id, &meta);
                }
                self.tell(n, || format!("received the snapshot of index {}", meta.index));
                self.give_store(n, ExecutorWork::Replace { meta, store, repair });
            }
            Archived::Full => self.later(n, FULL_DISK_RETRY, Step::Retry),
        }
    }

    // ---- Traces -----------------------------------------------------------------------------------------------------

    pub(super) fn tell(&mut self, n: usize, what: impl FnOnce() -> String) {
        if self.trace.is_on() {
            let what = what();
            self.trace.push(self.now, &self.nodes[n].name, &what);
        }
    }

    fn tell_event(&mut self, n: usize, event: &Event<P>) {
        let text = match event {
            Event::Message { from, message } => format!("← n{from} {}", P::describe(message.get())),
            Event::Propose(proposals) => {
                let ids: Vec<_> = proposals.iter().map(|proposal| proposal.id.to_string()).collect();
                format!("takes commands {}", ids.join(", "))
            }
            Event::Read(reads) => {
                let ids: Vec<_> = reads.iter().map(|(id, _)| id.to_string()).collect();
                format!("takes reads {}", ids.join(", "))
            }
            Event::Timeout => "timeout".to_owned(),
            Event::Durable(lsn) => format!("hears that record {lsn} is durable"),
            Event::Applied { index, .. } => format!("executed up to {index}"),
            Event::Recalled(requests) => {
                let ids: Vec<_> = requests.iter().map(|(id, _)| id.to_string()).collect();
                format!("hears what is known of commands {}", ids.join(", "))
            }
            Event::Checkpointed { index, digest } => {
                format!("checkpoint of index {index}: {}", digest.short())
            }
            Event::Saved(meta) => format!("hears that the snapshot of index {} is durable", meta.index),
            Event::Storage(room) => format!("the disk is {room:?}"),
            Event::Piece(piece) => format!("read piece {} of snapshot {}", piece.number, piece.meta.index),
            Event::Install(progress) => match progress {
                InstallProgress::Stored { index, next } => {
                    format!("stored snapshot {index} up to piece {next}")
                }
                InstallProgress::Done(meta) => format!("installed the snapshot of index {}", meta.index),
                InstallProgress::Failed { index, why } => format!("cannot install snapshot {index}: {why}"),
            },
            Event::Installed(installed) => {
                let again = if installed.repair { ", to repair the store" } else { "" };
                format!("installed the snapshot of index {}{again}", installed.meta.index)
            }
            Event::TransferLeadership(to) => format!("is to hand over to {to:?}"),
        };
        self.trace.push(self.now, &self.nodes[n].name, &text);
    }
}

/// Slots are executed up to where digests are compared, and then on.
fn split(work: ExecutorWork) -> Vec<ExecutorWork> {
    let ExecutorWork::Commit(mut slots) = work else { return vec![work] };
    let mut parts = Vec::new();
    while let Some(end) = slots
        .iter()
        .position(|slot| slot.index.0.is_multiple_of(DIGEST_EVERY))
        .filter(|end| end + 1 < slots.len())
    {
        let rest = slots.split_off(end + 1);
        parts.push(ExecutorWork::Commit(std::mem::replace(&mut slots, rest)));
    }
    parts.push(ExecutorWork::Commit(slots));
    parts
}

fn describe_event(event: &consensus::Event) -> String {
    match event {
        consensus::Event::Became { role, epoch, why } => {
            format!("becomes {} of epoch {epoch}: {why}", role.name())
        }
        consensus::Event::Follows { leader, epoch } => format!("follows n{leader} in epoch {epoch}"),
        consensus::Event::Ignored { from, kind, why } => format!("ignores {kind} of n{from}: {why}"),
        consensus::Event::Noted { what, index } => format!("{what}, index {index}"),
    }
}

/// After how long a node rejects what got nowhere.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_millis(1500);

/// An encoded command.
pub(super) fn encoded(command: &crate::kv::Command) -> Bytes {
    crate::consensus::Encode::to_bytes(command)
}
