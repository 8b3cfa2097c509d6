//! How nodes come up: all at once, and each for itself.
//!
//! A node that cannot start keeps none of the others down. A cluster that has served before comes up with a quorum, and
//! whoever asked is told what is missing, and why; a new one comes up with all of its nodes or not at all, because
//! nothing is lost yet and the cause is most likely a mistake in what was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::member::{self, MemberState};
use super::operations::POLL;
use super::{ClusterStatus, Door, Error, ErrorKind, NodeState, Result, Supervisor, Surveyor};
use crate::client::{Consistency, Options};
use crate::kv::RangeRequest;
use crate::text::counted;

/// How long nodes may take from their start until they serve: they may have a long log to read.
const START: Duration = Duration::from_mins(1);
/// How long a cluster may take to have a leader that serves.
const SERVE: Duration = Duration::from_secs(20);
/// How long all that are honest may take to follow it; then it is enough that the cluster answers.
const SETTLE: Duration = Duration::from_secs(3);
/// How long it may take to answer then.
const ANSWER: Duration = Duration::from_secs(5);

/// The nodes that could not be started, each with the reason.
pub(super) type Failed = BTreeMap<u64, String>;

impl Supervisor {
    /// Starts all nodes that can be, and waits until the cluster serves.
    pub(super) async fn bring_up(self: &Arc<Self>) -> Result<ClusterStatus> {
        let _one_at_a_time = self.changing.lock().await;
        let ids = self.ids();
        let failed = self.start(&ids).await;
        if !self.suffices(ids.len() - failed.len()) {
            self.all_started(&failed, failed.len())?;
        }
        self.await_leader(&ids, SERVE).await
    }

    /// Whether the cluster can serve with so many of its nodes; see the [module](self).
    fn suffices(&self, running: usize) -> bool {
        let all = self.setup.config.members.len() as u64;
        let is_new = !self.setup.dir.served().exists();
        running as u64 >= if is_new { all } else { self.setup.config.entry().quorum(all) }
    }

    /// Starts nodes that are down, all at once, and waits until they serve. Answers which do not.
    pub(super) async fn start(self: &Arc<Self>, ids: &BTreeSet<u64>) -> Failed {
        let mut failed = Failed::new();
        for id in ids {
            if let Err(error) = self.spawn_node(*id) {
                failed.insert(*id, error.message);
            }
        }
        let limit = tokio::time::Instant::now() + START;
        for id in ids.iter().filter(|id| !failed.contains_key(id)).copied().collect::<Vec<_>>() {
            if let Err(why) = self.await_start(id, limit).await {
                failed.insert(id, why);
            }
        }
        failed
    }

    async fn await_start(&self, id: u64, limit: tokio::time::Instant) -> std::result::Result<(), String> {
        let Some(watch) = self.watch(id) else {
            let node = self.info().nodes.into_iter().find(|node| node.id == id);
            return Err(node.and_then(|node| node.why).unwrap_or_default());
        };
        let serving = member::wait(watch, |state| *state != MemberState::Starting);
        match tokio::time::timeout_at(limit, serving).await {
            Ok(MemberState::Ended(why)) => Err(why),
            Ok(_) => Ok(()),
            Err(_) => Err(format!("it does not serve after {START:?}")),
        }
    }

    /// The error for whoever asked for `wanted` nodes of which these could not be started, if there are any.
    pub(super) fn all_started(&self, failed: &Failed, wanted: usize) -> Result<()> {
        let name = &self.setup.config.name;
        let mut reasons = failed.iter();
        let (message, hint) = match (reasons.next(), reasons.len()) {
            (None, _) => return Ok(()),
            (Some((id, why)), 0) => {
                let node = self.info().nodes.into_iter().find(|node| node.id == *id);
                let log = node.and_then(|node| node.log).unwrap_or_else(|| self.setup.dir.supervisor_log());
                let message = format!("node {id} of the cluster {name} does not start: {why}");
                (message, format!("its log is {}", log.display()))
            }
            _ => {
                let nodes = counted(failed.len() as u64, "node", "nodes");
                let reasons: Vec<String> =
                    failed.iter().map(|(id, why)| format!("node {id}: {why}")).collect();
                let message = format!("{nodes} of the cluster {name} do not start: {}", reasons.join("; "));
                (message, format!("their logs are in {}", self.setup.dir.path().display()))
            }
        };
        let kind = if failed.len() < wanted { ErrorKind::Partial } else { ErrorKind::Failed };
        Err(Error { kind, message, hint: Some(hint) })
    }

    /// Waits until a leader has committed all that it held when it was first seen leading, its own no-op included, and
    /// all of `ids` that run and do not lie follow it: then the cluster serves writes and linearizable reads. If that
    /// takes long, it is asked whether it does: a quorum serves although a node trails, and a node that says nothing as a
    /// primary is replaced only when somebody wants something.
    pub(super) async fn await_leader(&self, ids: &BTreeSet<u64>, limit: Duration) -> Result<ClusterStatus> {
        let mut surveyor = Surveyor::default();
        let mut seen: Option<(u64, Option<u64>, Option<u64>)> = None;
        let mut last = None;
        let settles = tokio::time::Instant::now() + SETTLE;
        let served = async {
            loop {
                let status = surveyor.survey(&self.info().into(), false).await;
                let failed: Failed = status
                    .nodes
                    .iter()
                    .filter(|node| ids.contains(&node.id) && node.state == NodeState::Failed)
                    .map(|node| (node.id, node.why.join(", ")))
                    .collect();
                if !self.suffices(status.nodes.len() - failed.len()) {
                    self.all_started(&failed, failed.len())?;
                }
                if let Some(leader) = status.leader.and_then(|id| status.node(id)) {
                    let (id, epoch) = (leader.id, leader.epoch);
                    let held = seen
                        .filter(|seen| (seen.0, seen.1) == (id, epoch))
                        .map_or(leader.last, |seen| seen.2);
                    seen = Some((id, epoch, held));
                    // What a liar says that it holds need never be committed.
                    let committed = !leader.is_honest() || leader.committed >= held;
                    let mut honest = status.nodes.iter().filter(|node| {
                        ids.contains(&node.id) && !failed.contains_key(&node.id) && node.is_honest()
                    });
                    if committed && honest.all(|node| node.leader == Some(id)) {
                        return Ok(status);
                    }
                }
                if tokio::time::Instant::now() >= settles && self.answers().await {
                    return Ok(surveyor.survey(&self.info().into(), false).await);
                }
                last = Some(status);
                tokio::time::sleep(POLL).await;
            }
        };
        if let Ok(served) = tokio::time::timeout(limit, served).await {
            return served;
        }
        let why = last.map(|status| status.why.join("; ")).unwrap_or_default();
        let name = &self.setup.config.name;
        Err(Error::failed(format!("the cluster {name} does not serve after {limit:?}: {why}"))
            .hint(format!("its logs are in {}", self.setup.dir.path().display())))
    }

    /// Whether a linearizable read is answered.
    async fn answers(&self) -> bool {
        let options = Options { timeout: ANSWER, ..Options::default() };
        let Ok(door) = Door::to_local(&self.setup.dir) else { return false };
        let Ok(client) = door.connect(options).await else { return false };
        let anything = RangeRequest { key: Bytes::from_static(b"\0"), ..RangeRequest::default() };
        client.get(anything, Consistency::Linearizable).await.is_ok()
    }
}
