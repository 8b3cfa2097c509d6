//! What stories do to the cluster.

use std::collections::BTreeSet;

use tokio::time::{Instant, sleep};

use super::{Failure, HOPELESS, POLL, Stage, Told, everything, may_convict};
use crate::client::Consistency;
use crate::cluster::{DiskFault, KillSignal, Lie, LinkEffect, LinkFault, Partition};
use crate::scenario::PATIENCE;
use crate::scenario::load::Manner;

/// How many reads wait for a node that wakes.
const WAITING_READS: usize = 4;

impl Stage {
    /// Ends nodes as a crash would.
    pub async fn kill(&mut self, ids: &[u64]) -> Told {
        let what = self.note(&format!("kill nodes {ids:?}"));
        done(&what, self.cluster.kill(set(ids), KillSignal::Kill).await)
    }

    /// Starts nodes, after stopping those that run.
    pub async fn restart(&mut self, ids: &[u64]) -> Told {
        let what = self.note(&format!("restart nodes {ids:?}"));
        done(&what, self.cluster.restart(set(ids), false, |_| {}).await)
    }

    /// Restarts all nodes one after the other, leadership handed over first.
    pub async fn rolling_restart(&mut self) -> Told {
        let what = self.note("restart all nodes one after the other");
        done(&what, self.cluster.restart(set(&self.nodes()), true, |_| {}).await)
    }

    /// Stops nodes in their tracks.
    pub async fn pause(&mut self, ids: &[u64]) -> Told {
        let what = self.note(&format!("pause nodes {ids:?}"));
        done(&what, self.cluster.pause(set(ids)).await)
    }

    /// Lets paused nodes go on.
    pub async fn resume(&mut self, ids: &[u64]) -> Told {
        let what = self.note(&format!("resume nodes {ids:?}"));
        let done = insist(async || self.cluster.resume(set(ids)).await).await;
        self::done(&what, done)
    }

    /// Lets a paused node go on while linearizable reads wait at its door, so that its first act is to answer them. They
    /// may fail; if they are answered, the checker sees whether they were stale.
    pub async fn resume_into_reads(&mut self, id: u64) -> Told {
        let mut waiting = Vec::new();
        for _ in 0..WAITING_READS {
            let caller = self.caller_of(id, Manner::For(HOPELESS)).await?;
            let read = async move { caller.get(everything(), Consistency::Linearizable).await };
            waiting.push(tokio::spawn(read));
        }
        // Gives the reads a turn to leave.
        tokio::task::yield_now().await;
        self.resume(&[id]).await?;
        for read in waiting {
            let _ = read.await;
        }
        Ok(())
    }

    /// Lets nodes talk only within these groups, which may share nodes.
    pub async fn connect_only(&mut self, groups: &[Vec<u64>]) -> Told {
        let partition = Partition::overlapping(groups.iter().map(|group| set(group)).collect());
        let what = self.note(&format!("only links within {partition}"));
        let done = insist(async || self.cluster.partition(partition.clone()).await).await;
        self::done(&what, done)
    }

    /// Restores all links.
    pub async fn heal(&mut self) -> Told {
        let what = self.note("restore all links");
        let done = insist(async || self.cluster.partition(Partition::default()).await).await;
        self::done(&what, done)?;
        let done = insist(async || self.cluster.heal_links().await).await;
        self::done(&what, done)
    }

    /// Does something to what `from` send to `to`, besides what was done before.
    pub async fn link(&mut self, from: &[u64], to: &[u64], effect: LinkEffect) -> Told {
        let fault = LinkFault { from: set(from), to: set(to), kinds: BTreeSet::new(), effect };
        let what = self.note(&format!("links {fault}"));
        let done = insist(async || self.cluster.link(fault.clone()).await).await;
        self::done(&what, done)
    }

    /// Makes nodes lie from now on.
    pub async fn lie(&mut self, ids: &[u64], lie: Lie) -> Told {
        let behaviour = lie.behaviour.as_deref().unwrap_or("the default");
        let what = self.note(&format!("nodes {ids:?} lie: {behaviour}"));
        if may_convict(self.protocol, lie.behaviour.as_deref()) {
            self.culprits.extend(ids);
        }
        let done = insist(async || self.cluster.lie(set(ids), Some(lie.clone())).await).await;
        self.liars.retain(|id| !ids.contains(id));
        self.liars.extend(ids);
        self::done(&what, done)
    }

    /// Makes all nodes honest.
    pub async fn all_honest(&mut self) -> Told {
        let what = self.note("nobody lies any more");
        let ids = self.nodes();
        let done = insist(async || self.cluster.lie(set(&ids), None).await).await;
        self.liars.clear();
        self::done(&what, done)
    }

    /// Makes a node's disk misbehave.
    pub async fn disk(&mut self, id: u64, fault: DiskFault) -> Told {
        let what = self.note(&format!("disk of node {id}: {fault}"));
        let done = insist(async || self.cluster.disk(set(&[id]), fault).await).await;
        self::done(&what, done)
    }
}

fn set(ids: &[u64]) -> BTreeSet<u64> {
    ids.iter().copied().collect()
}

/// Asks again for what can be asked twice, as long as there is patience: on a machine whose disk is busy with other
/// things, a node may not answer for seconds.
async fn insist<T>(mut ask: impl AsyncFnMut() -> crate::cluster::Result<T>) -> crate::cluster::Result<T> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(_) if begun.elapsed() < PATIENCE => sleep(POLL).await,
            answer => return answer,
        }
    }
}

fn done<T>(what: &str, result: crate::cluster::Result<T>) -> Told {
    result.map(drop).map_err(|error| Failure::new(format!("this can be done: {what}"), error.to_string()))
}
