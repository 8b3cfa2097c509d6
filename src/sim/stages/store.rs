//! The store thread.

use crate::consensus::{self, RejectReason, Rejection};
use crate::engine::{Event, ExecutorWork, Ticket};
use crate::sim::event::{Answer, Step, What};
use crate::sim::node::WrongState;
use crate::sim::simulated::{Checked, Simulated, Watch as _};
use crate::sim::trace::TraceKind;
use crate::sim::world::World;

/// Digests are compared after every so many slots.
const DIGEST_EVERY: u64 = 64;

impl<P: Simulated> World<P> {
    pub(super) fn give_store(&mut self, n: usize, work: ExecutorWork) {
        let replica = self.replica(n);
        replica.work.push_back(work);
        if !std::mem::replace(&mut replica.executing, true) {
            self.hand(n, Step::Execute);
        }
    }

    pub(super) fn execute(&mut self, n: usize) -> Checked {
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

    pub(super) fn executed(&mut self, n: usize, done: &mut crate::engine::Executed) -> Checked {
        for (ticket, reply) in done.answers.drain(..) {
            if let Some(caller) = self.replica(n).waiting.remove(&ticket) {
                self.answer(n, caller, Answer::Reply(reply));
            }
        }
        for query in done.queries.drain(..) {
            if let Some(caller) = self.replica(n).waiting.remove(&Ticket::Read(query.id)) {
                self.answer(n, caller, Answer::Reply(query.answer()));
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
    pub(super) fn damaged(
        &mut self,
        n: usize,
        index: consensus::Index,
        mut digest: consensus::Digest,
    ) -> consensus::Digest {
        if self.nodes[n].wrong_state == WrongState::Due {
            self.nodes[n].wrong_state = WrongState::Struck;
            digest.0[0] ^= 0xff;
            self.tell(n, TraceKind::Fault, || {
                format!("✗ its state at index {index} is not what it should be")
            });
        }
        digest
    }

    /// Reports reach the core in the order in which they were made, as through a channel: at once, or after a moment.
    pub(super) fn report(&mut self, n: usize, event: Event<P>) {
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
