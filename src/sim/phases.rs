//! The phases of a run, and what must hold at the end of each.

use super::dice::Dice;
use super::event::{Phase, What};
use super::node::Standing;
use super::simulated::{Checked, Simulated, Violation};
use super::world::{Stream, World};

/// Within so many microseconds of calm every client must have been served, and within so many of quiet all replicas
/// that can must be equal: some election time-outs, client time-outs, and the transfer of a snapshot.
pub(super) const SERVED_BOUND: u64 = 15_000_000;

/// How often convergence is looked at.
const CONVERGE_EVERY: u64 = 50_000;

impl<P: Simulated> World<P> {
    /// The run enters its next phase.
    pub(super) fn enter(&mut self, phase: Phase) -> Checked {
        match phase {
            Phase::Calm => {
                self.calm = Some(self.now);
                let dice = Dice::new(self.options.seed, Stream::Calm as u64);
                self.calm_down(dice);
                Ok(())
            }
            Phase::Served => self.all_served(),
            Phase::Quiet if self.unserved().is_empty() => {
                self.quiet = true;
                self.queue.at(self.now + CONVERGE_EVERY, What::Phase(Phase::Converge));
                Ok(())
            }
            Phase::Quiet => {
                self.queue.at(self.now + CONVERGE_EVERY, What::Phase(Phase::Quiet));
                Ok(())
            }
            Phase::Converge => self.converge(),
        }
    }

    /// Progress: every client has been served since the faults ended.
    fn all_served(&self) -> Checked {
        let unserved = self.unserved();
        if unserved.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "{} s after the faults ended, clients {unserved:?} have had no answer; {}",
            SERVED_BOUND / 1_000_000,
            self.waits()
        );
        Err(Violation::new("progress", detail))
    }

    fn unserved(&self) -> Vec<usize> {
        (0..self.clients.len()).filter(|client| !self.clients[*client].served).collect()
    }

    /// Convergence: all replicas that can have executed the same, with the same result.
    fn converge(&mut self) -> Checked {
        let able: Vec<usize> =
            self.gateways.iter().copied().filter(|node| self.can_converge(*node)).collect();
        let mut states = Vec::new();
        for n in &able {
            let id = self.nodes[*n].id;
            let Some(replica) = self.nodes[*n].replica.as_mut() else { continue };
            let store = replica.executor.status(true);
            if let Some(digest) = store.digest {
                self.agreement.digest(id, store.applied, digest)?;
                states.push((store.applied, digest));
            }
        }
        if states.len() == able.len() && states.windows(2).all(|pair| pair[0] == pair[1]) {
            if let Some((applied, digest)) = states.first() {
                self.digest.mix(applied.0);
                self.digest.bytes(&digest.0);
            }
            self.done = true;
            return Ok(());
        }
        let since = self.now - self.options.time_us.max(self.options.calm_at());
        if since > SERVED_BOUND + SERVED_BOUND {
            return Err(Violation::new(
                "convergence",
                format!("the replicas stay different; {}", self.waits()),
            ));
        }
        self.queue.at(self.now + CONVERGE_EVERY, What::Phase(Phase::Converge));
        Ok(())
    }

    fn can_converge(&self, n: usize) -> bool {
        let reaches = (0..self.nodes.len())
            .filter(|other| {
                *other != n && self.network.connects(n, *other) && self.network.connects(*other, n)
            })
            .count();
        self.nodes[n].standing == Standing::Serves && (reaches > 0 || self.nodes.len() == 1)
    }

    /// What each node waits for, in its own words.
    pub(super) fn waits(&self) -> String {
        let nodes = self.nodes.iter().map(|node| {
            let Some(replica) = &node.replica else {
                return format!("{} is down ({:?})", node.name, node.standing);
            };
            let status = replica.sequencer.status();
            format!(
                "{} is {} of epoch {}, leader {:?}, last {}, committed {}, applied {}: {}",
                node.name,
                status.role.name(),
                status.epoch,
                status.leader,
                status.last,
                status.committed,
                replica.executor.store().applied(),
                if status.why.is_empty() { "healthy".to_owned() } else { status.why.join("; ") }
            )
        });
        nodes.collect::<Vec<_>>().join("\n  ")
    }
}
