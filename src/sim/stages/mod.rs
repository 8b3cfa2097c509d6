//! What the node's tasks and threads do in production, one event at a time: carry the results of one stage to the next.
//!
//! Each hand-over takes a moment that is drawn from the seed, often none; and between any two effects of a stage the
//! node may crash.

mod archive;
mod core;
mod log;
mod store;
mod told;

use super::event::{Step, What};
use super::node::Replica;
use super::simulated::{Checked, Simulated};
use super::world::World;

pub(super) use core::{REQUEST_TIMEOUT, encoded};

/// How long the archive waits before it tries a full disk again; as in production.
const FULL_DISK_RETRY: u64 = 500_000;

impl<P: Simulated> World<P> {
    /// Something happens at a node that is up.
    pub(super) fn step(&mut self, n: usize, step: Step<P>) -> Checked {
        match step {
            Step::Core(event) => self.core(n, event),
            Step::Timer(at) => self.ring(n, at),
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
}
