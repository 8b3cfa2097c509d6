//! What a supervisor does to its nodes. Each returns when it has taken effect.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::faults::list;
use super::lie::only_crashes;
use super::links::rules_of;
use super::member::{self, MemberState, Order};
use super::{
    DiskFault, Error, KillSignal, Lie, LinkFault, NodeInfo, NodeState, Partition, Request, Result,
    Supervisor, Surveyor,
};
use crate::client::ControlClient;
use crate::consensus::NodeId;
use crate::transport::Rule;

/// How long a node may take to end, its own time to stop in an orderly way included.
const END: Duration = Duration::from_secs(20);
/// How long a node may take to catch up before a rolling restart goes on.
const CATCH_UP: Duration = Duration::from_mins(1);
/// How long a control call may take.
const CONTROL: Duration = Duration::from_secs(5);
/// How often nodes are asked while something is awaited of them.
pub(super) const POLL: Duration = Duration::from_millis(10);

/// Says what is going on while an operation takes its time.
pub(super) type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

impl Supervisor {
    /// Carries out a request that changes something, unless the cluster is being taken down.
    pub(super) async fn change(self: &Arc<Self>, request: Request, progress: Progress<'_>) -> Result<()> {
        let work = async {
            let _one_at_a_time = self.changing.lock().await;
            match request {
                Request::Kill { ids, signal } => self.end(&ids, signal, "ended by `kill`").await,
                Request::Pause { ids } => self.pause(&ids).await,
                Request::Resume { ids } => self.resume(&ids).await,
                Request::Restart { ids, rolling: false } => self.restart(&ids, progress).await,
                Request::Restart { ids, rolling: true } => self.restart_rolling(&ids, progress).await,
                Request::Partition(partition) => self.partition(partition).await,
                Request::Link(fault) => self.link(fault).await,
                Request::HealLinks => self.links_healed().await,
                Request::Disk { ids, fault } => self.disk(&ids, fault).await,
                Request::Lie { ids, lie } => self.lie(&ids, lie).await,
                Request::Info | Request::Down => Ok(()),
            }
        };
        tokio::select! {
            done = work => done,
            () = self.stopping() => Err(Error::failed(format!("the cluster {} is being taken down", self.setup.config.name))),
        }
    }

    /// Ends nodes, all at once, and waits until they are gone.
    pub(super) async fn end(&self, ids: &BTreeSet<u64>, signal: KillSignal, by: &str) -> Result<()> {
        let watches: Vec<_> =
            ids.iter().filter_map(|id| Some((*id, self.order(*id, Order::End(signal), Some(by))?))).collect();
        for (id, watch) in watches {
            let gone = async {
                member::wait(watch, |_| false).await;
                // Gone for whoever asks next, too.
                while self.watch(id).is_some() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            if tokio::time::timeout(END, gone).await.is_err() {
                return Err(Error::failed(format!("node {id} does not end"))
                    .hint("its process may be stuck in the kernel, as on a dead disk"));
            }
        }
        Ok(())
    }

    async fn pause(&self, ids: &BTreeSet<u64>) -> Result<()> {
        self.order_and_wait(ids, Order::Pause, &MemberState::Paused, "pause").await
    }

    async fn resume(&self, ids: &BTreeSet<u64>) -> Result<()> {
        self.order_and_wait(ids, Order::Resume, &MemberState::Running, "resume").await?;
        self.hand_out_faults(ids).await
    }

    async fn order_and_wait(
        &self,
        ids: &BTreeSet<u64>,
        order: Order,
        wanted: &MemberState,
        verb: &str,
    ) -> Result<()> {
        self.must_be_there(ids, verb)?;
        for id in ids {
            let Some(watch) = self.order(*id, order, None) else { continue };
            let reached = tokio::time::timeout(END, member::wait(watch, |state| state == wanted)).await;
            if !reached.is_ok_and(|reached| reached == *wanted) {
                return Err(Error::failed(format!(
                    "could not {verb} node {id}: it is gone or does not react"
                )));
            }
        }
        Ok(())
    }

    fn must_be_there(&self, ids: &BTreeSet<u64>, verb: &str) -> Result<()> {
        let down: BTreeSet<u64> = ids.iter().copied().filter(|id| self.watch(*id).is_none()).collect();
        if down.is_empty() {
            return Ok(());
        }
        let ids = list(&down).replace(", ", ",");
        let start = self.setup.dir.command(format!("cluster restart {ids}"));
        Err(Error::failed(format!("cannot {verb} what does not run: node {}", list(&down)))
            .hint(format!("start it with: {start}")))
    }

    fn must_not_be_paused(&self, ids: &BTreeSet<u64>, verb: &str) -> Result<()> {
        let is_paused = |node: &NodeInfo| ids.contains(&node.id) && node.state == NodeState::Paused;
        let paused: Vec<u64> =
            self.info().nodes.iter().filter(|node| is_paused(node)).map(|node| node.id).collect();
        if paused.is_empty() {
            return Ok(());
        }
        let ids = list(&paused).replace(", ", ",");
        let resume = self.setup.dir.command(format!("resume {ids}"));
        Err(Error::failed(format!("cannot {verb} what is paused: node {}", list(&paused)))
            .hint(format!("let it go on with: {resume}")))
    }

    async fn restart(self: &Arc<Self>, ids: &BTreeSet<u64>, progress: Progress<'_>) -> Result<()> {
        self.end(ids, KillSignal::Term, "stopped by `restart`").await?;
        progress(format!("stopped node {}", list(ids)));
        let failed = self.start(ids).await;
        let started: BTreeSet<u64> = ids.iter().copied().filter(|id| !failed.contains_key(id)).collect();
        if !started.is_empty() {
            progress(format!("started node {}", list(&started)));
        }
        // A cluster whose quorum is cut off or down on purpose has no leader, and that is not this command's failure.
        let _ = self.await_leader(&started, Duration::from_secs(3)).await;
        self.all_started(&failed, ids.len())
    }

    async fn restart_rolling(self: &Arc<Self>, ids: &BTreeSet<u64>, progress: Progress<'_>) -> Result<()> {
        for id in ids {
            let one = BTreeSet::from([*id]);
            self.hand_over(*id, progress).await;
            self.end(&one, KillSignal::Term, "stopped by `restart --rolling`").await?;
            let failed = self.start(&one).await;
            self.all_started(&failed, ids.len())?;
            self.await_caught_up(*id).await?;
            progress(format!("restarted node {id}"));
        }
        Ok(())
    }

    /// Moves leadership away from a node, if it leads. A leader that cannot hand over is restarted all the same: the
    /// others elect another.
    async fn hand_over(&self, id: u64, progress: Progress<'_>) {
        let status = Surveyor::default().survey(&self.info().into(), false).await;
        let Some(node) = status.node(id).filter(|_| status.leader == Some(id)) else { return };
        let Ok(client) = ControlClient::new(&node.address) else { return };
        match client.with_timeout(CONTROL).transfer_leadership(None).await {
            Ok(leader) => progress(format!("node {id} handed over to node {leader}")),
            Err(error) => progress(format!("node {id} could not hand over: {error}")),
        }
    }

    async fn await_caught_up(&self, id: u64) -> Result<()> {
        let mut surveyor = Surveyor::default();
        let mut last = String::new();
        let caught_up = async {
            loop {
                let status = surveyor.survey(&self.info().into(), false).await;
                let well = status.node(id).is_some_and(|node| {
                    let well = status.keeps_up(node) && node.leader.is_some();
                    node.reachable && (well || !node.is_honest())
                });
                if well && status.leader.is_some() {
                    return;
                }
                last = status.why.join("; ");
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(CATCH_UP, caught_up).await.is_err() {
            let look = self.setup.dir.command("status");
            return Err(Error::failed(format!(
                "node {id} did not become healthy within {CATCH_UP:?}: {last}"
            ))
            .hint(format!("the nodes after it were not restarted; see: {look}")));
        }
        Ok(())
    }

    /// Ends all nodes.
    pub(super) async fn take_down(&self) -> Result<()> {
        self.end(&self.ids(), KillSignal::Term, "stopped by `down`").await
    }

    async fn partition(&self, partition: Partition) -> Result<()> {
        self.set_partition(partition);
        self.hand_out_faults(&self.ids()).await
    }

    async fn link(&self, fault: LinkFault) -> Result<()> {
        let ids = self.ids();
        fault.check(self.setup.config.entry(), &ids)?;
        self.add_link_fault(fault);
        self.hand_out_faults(&ids).await
    }

    async fn links_healed(&self) -> Result<()> {
        self.heal_links();
        self.hand_out_faults(&self.ids()).await
    }

    async fn disk(&self, ids: &BTreeSet<u64>, fault: DiskFault) -> Result<()> {
        for id in ids {
            self.set_disk(*id, fault);
        }
        self.hand_out_faults(ids).await
    }

    /// Makes nodes lie that run, or honest whichever. What a node refuses it is not told again: then all lie as before.
    async fn lie(&self, ids: &BTreeSet<u64>, lie: Option<Lie>) -> Result<()> {
        let (entry, cluster_id) = (self.setup.config.entry(), self.setup.config.cluster_id);
        if entry.behaviours.is_empty() {
            return Err(only_crashes(entry));
        }
        let before = self.liars();
        let mut after = before.clone();
        for id in ids {
            let told = lie.as_ref().map(|lie| lie.of_node(entry, cluster_id, *id));
            after.set(*id, told.transpose()?);
        }
        if lie.is_some() {
            self.must_be_there(ids, "make lie")?;
            self.must_not_be_paused(ids, "make lie")?;
        }
        self.set_liars(after)?;
        let Err(error) = self.hand_out_faults(ids).await else { return Ok(()) };
        self.set_liars(before)?;
        // Those who did not refuse; one that cannot be reached now hears it when it starts again.
        let _ = self.hand_out_faults(ids).await;
        Err(Error { hint: Some("nothing was changed".to_owned()), ..error })
    }

    /// Gives running nodes the faults that are wanted, all at once, and waits until each has confirmed. Nodes that are
    /// down or paused get them when they start or go on.
    async fn hand_out_faults(&self, ids: &BTreeSet<u64>) -> Result<()> {
        let info = self.info();
        let mut handed = Vec::new();
        for node in
            info.nodes.iter().filter(|node| ids.contains(&node.id) && node.state == NodeState::Running)
        {
            let blocked: Vec<NodeId> = info.partition.blocked(node.id).into_iter().map(NodeId).collect();
            let links = rules_of(&info.links, node.id);
            handed.push((node.id, tokio::spawn(hand_faults(node.clone(), blocked, links))));
        }
        for (id, handed) in handed {
            let handed = handed.await.unwrap_or_else(|error| Err(error.to_string()));
            // A node that died meanwhile has no links to cut.
            if let Err(error) = handed
                && self.watch(id).is_some()
            {
                return Err(Error::failed(format!("node {id} did not take the fault: {error}"))
                    .hint("it is wanted still, and given to the node when it starts again"));
            }
        }
        Ok(())
    }
}

async fn hand_faults(
    node: NodeInfo,
    blocked: Vec<NodeId>,
    links: Vec<Rule>,
) -> std::result::Result<(), String> {
    let client = ControlClient::new(&node.address).map_err(|error| error.to_string())?.with_timeout(CONTROL);
    client.set_partition(&blocked).await.map_err(|error| error.to_string())?;
    client.set_link_faults(&links).await.map_err(|error| error.to_string())?;
    client.set_disk_fault(node.disk.into()).await.map_err(|error| error.to_string())?;
    client.set_misbehaviour(node.misbehaviour.as_ref()).await.map_err(|error| error.to_string())
}
