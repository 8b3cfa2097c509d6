//! The supervisor's state: which nodes there are, what should become of them, and how they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::files::replace;
use super::host::NodeStart;
use super::member::{self, Member, MemberState};
use super::{
    ClusterDir, DiskFault, Error, Info, Liars, LinkFault, NodeInfo, NodeState, Partition, Phase, ProcessId,
    Result, keys, links, node_config,
};
use crate::config::ClusterConfig;
use crate::consensus::Keys;

/// What a supervisor is to run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The cluster.
    pub config: ClusterConfig,
    /// Which of its nodes lie when it comes up.
    pub liars: Liars,
    /// Where everything of it lies.
    pub dir: ClusterDir,
    /// Whether nodes are tasks of the supervisor and not processes.
    pub in_process: bool,
    /// The binary whose `node` subcommand runs a node.
    pub program: PathBuf,
    /// Which events nodes log, in place of the configuration's.
    pub log: Option<String>,
}

/// Owns the nodes of a cluster and the faults that they are given.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) setup: Setup,
    state: Mutex<State>,
    /// Held by whatever changes the cluster, so that two changes never mix. Looking at it takes no such lock.
    pub(super) changing: tokio::sync::Mutex<()>,
    phase: watch::Sender<Phase>,
}

#[derive(Debug)]
struct State {
    slots: BTreeMap<u64, Slot>,
    partition: Partition,
    links: Vec<LinkFault>,
    liars: Liars,
}

/// A member's place, whether or not it is there.
#[derive(Debug, Default)]
struct Slot {
    member: Option<Member>,
    /// Why it was ended on purpose; `None` when it should run.
    ended_by: Option<String>,
    /// Why it is gone.
    why: Option<String>,
    disk: DiskFault,
}

impl Supervisor {
    /// A supervisor whose nodes are all down.
    pub fn new(setup: Setup) -> Arc<Self> {
        let slots = setup.config.members.iter().map(|member| (member.id, Slot::default())).collect();
        let liars = setup.liars.clone();
        let state = Mutex::new(State { slots, partition: Partition::default(), links: Vec::new(), liars });
        let (phase, _) = watch::channel(Phase::Starting);
        Arc::new(Self { setup, state, changing: tokio::sync::Mutex::new(()), phase })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain data behind, of which nothing is half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The cluster serves.
    pub(super) fn set_running(&self) {
        self.phase.send_if_modified(|phase| {
            let starting = *phase == Phase::Starting;
            if starting {
                *phase = Phase::Running;
            }
            starting
        });
    }

    /// Asks for the end of the cluster.
    pub fn stop(&self) {
        self.phase.send_replace(Phase::Stopping);
    }

    /// Waits until the end of the cluster is asked for.
    pub async fn stopping(&self) {
        // The sender lives as long as `self`.
        let _ = self.phase.subscribe().wait_for(|phase| *phase == Phase::Stopping).await;
    }

    /// All ids.
    pub fn ids(&self) -> BTreeSet<u64> {
        self.state().slots.keys().copied().collect()
    }

    /// What it knows of the cluster.
    pub fn info(&self) -> Info {
        let Setup { config, dir, in_process, .. } = &self.setup;
        let state = self.state();
        let nodes = config.members.iter().filter_map(|member| {
            let slot = state.slots.get(&member.id)?;
            let (node_state, pid) = slot.appearance();
            Some(NodeInfo {
                id: member.id,
                address: member.address.clone(),
                pid,
                state: node_state,
                why: slot.why.clone().filter(|_| slot.member.is_none()),
                log: Some(self.log_of(member.id)),
                disk: slot.disk,
                malicious: state.liars.misbehaviour(member.id).map(|told| told.behaviour.clone()),
                misbehaviour: state.liars.misbehaviour(member.id).cloned(),
            })
        });
        Info {
            name: config.name.clone(),
            protocol: config.protocol.to_owned(),
            pid: std::process::id(),
            phase: self.phase(),
            in_process: *in_process,
            directory: dir.path().to_owned(),
            partition: state.partition.clone(),
            links: state.links.clone(),
            nodes: nodes.collect(),
        }
    }

    /// Where a node's log goes: tasks share the supervisor's.
    fn log_of(&self, id: u64) -> PathBuf {
        let dir = &self.setup.dir;
        if self.setup.in_process { dir.supervisor_log() } else { dir.node_log(id) }
    }

    /// Starts a node, unless it is there. Returns once it was started; [`Self::watch`] says when it serves.
    pub(super) fn spawn_node(self: &Arc<Self>, id: u64) -> Result<()> {
        let mut state = self.state();
        // Looked at under the lock under which a take-down gives its orders: a node is either not started any more, or
        // there to be ended.
        if self.phase() == Phase::Stopping {
            return Err(Error::failed("the cluster is being taken down"));
        }
        let (blocked, malicious) = (state.partition.blocked(id), state.liars.misbehaviour(id).cloned());
        let links = state.links.clone();
        let slot = state.slots.get_mut(&id).ok_or_else(|| Error::usage(format!("there is no node {id}")))?;
        if slot.member.is_some() {
            return Ok(());
        }
        let start = NodeStart {
            id,
            data_dir: self.setup.dir.node_dir(id),
            create: !self.setup.dir.served().exists(),
            laboratory: true,
            blocked,
            links,
            disk: slot.disk,
            keys: Keys::default(),
            malicious,
        };
        let member = match self.spawn_member(start) {
            Ok(member) => member,
            Err(error) => {
                (slot.ended_by, slot.why) = (None, Some(error.message.clone()));
                return Err(error);
            }
        };
        let watch = member.watch();
        (slot.member, slot.ended_by, slot.why) = (Some(member), None, None);
        self.record_children(&state)?;
        drop(state);
        tokio::spawn(Arc::clone(self).notice_end(id, watch));
        Ok(())
    }

    fn spawn_member(&self, mut start: NodeStart) -> Result<Member> {
        let Setup { config, dir, program, in_process, log, .. } = &self.setup;
        let key_file = config.entry().signs.then(|| keys::file_of(config, dir, start.id));
        if *in_process {
            if let Some(file) = key_file {
                start.keys = keys::ring(config, start.id, &file)?;
            }
            return Ok(member::spawn_task(config.entry(), node_config(config, start)));
        }
        let mut args = vec!["node".to_owned(), "--supervised".to_owned()];
        let mut flag = |name: &str, value: String| args.extend([format!("--{name}"), value]);
        flag("id", start.id.to_string());
        flag("config", dir.config().to_string_lossy().into_owned());
        flag("data-dir", start.data_dir.to_string_lossy().into_owned());
        flag("disk-fault", start.disk.to_string());
        if !start.blocked.is_empty() {
            let ids: Vec<String> = start.blocked.iter().map(ToString::to_string).collect();
            flag("blocked", ids.join(","));
        }
        if !start.links.is_empty() {
            flag("links", serde_json::to_string(&start.links).unwrap_or_default());
        }
        if let Some(file) = key_file {
            flag("key", file.to_string_lossy().into_owned());
        }
        if let Some(told) = start.malicious {
            flag("misbehaviour", serde_json::to_string(&told).unwrap_or_default());
        }
        if let Some(log) = log {
            flag("log", log.clone());
        }
        if start.create {
            args.push("--create".to_owned());
        }
        member::spawn_process(program, &args, &self.log_of(start.id))
    }

    /// Clears a member's place when it is gone, and remembers why.
    async fn notice_end(self: Arc<Self>, id: u64, watch: watch::Receiver<MemberState>) {
        let MemberState::Ended(why) = member::wait(watch, |_| false).await else { return };
        let mut state = self.state();
        if let Some(slot) = state.slots.get_mut(&id) {
            slot.member = None;
            slot.why = Some(slot.ended_by.clone().unwrap_or_else(|| why.clone()));
            if let Some(by) = &slot.ended_by {
                tracing::info!(node = id, "node is down: {by}");
            } else {
                tracing::error!(node = id, "node ended: {why}");
            }
        }
        if let Err(error) = self.record_children(&state) {
            tracing::error!("{error}");
        }
    }

    /// Writes down which processes there are, for whoever must clean up when this supervisor is killed.
    fn record_children(&self, state: &State) -> Result<()> {
        if self.setup.in_process {
            return Ok(());
        }
        let children: Vec<&ProcessId> =
            state.slots.values().filter_map(|slot| Some(&slot.member.as_ref()?.process)).collect();
        let text = serde_json::to_string(&children).unwrap_or_default();
        replace(&self.setup.dir.children(), &text)
    }

    /// To watch a node; `None` for one that is down.
    pub(super) fn watch(&self, id: u64) -> Option<watch::Receiver<MemberState>> {
        Some(self.state().slots.get(&id)?.member.as_ref()?.watch())
    }

    /// Gives an order to a node, if it is there. An end is remembered as wanted, `by` whom.
    pub(super) fn order(
        &self,
        id: u64,
        order: member::Order,
        by: Option<&str>,
    ) -> Option<watch::Receiver<MemberState>> {
        let mut state = self.state();
        let slot = state.slots.get_mut(&id)?;
        if let Some(by) = by {
            slot.ended_by = Some(by.to_owned());
            if slot.member.is_none() {
                slot.why = Some(by.to_owned());
            }
        }
        let member = slot.member.as_ref()?;
        member.order(order);
        Some(member.watch())
    }

    /// Replaces the partition that is wanted.
    pub(super) fn set_partition(&self, partition: Partition) {
        self.state().partition = partition;
    }

    /// Adds to what is wrong with links.
    pub(super) fn add_link_fault(&self, fault: LinkFault) {
        links::add(&mut self.state().links, fault);
    }

    /// Nothing is wrong with links any more.
    pub(super) fn heal_links(&self) {
        self.state().links.clear();
    }

    /// Who lies.
    pub(super) fn liars(&self) -> Liars {
        self.state().liars.clone()
    }

    /// Replaces who lies, also for the next `up`.
    pub(super) fn set_liars(&self, liars: Liars) -> Result<()> {
        liars.keep(&self.setup.dir)?;
        self.state().liars = liars;
        Ok(())
    }

    /// Replaces the fault that is wanted of a node's disk.
    pub(super) fn set_disk(&self, id: u64, fault: DiskFault) {
        if let Some(slot) = self.state().slots.get_mut(&id) {
            slot.disk = fault;
        }
    }
}

impl Slot {
    /// How the node looks from outside.
    fn appearance(&self) -> (NodeState, Option<u32>) {
        let Some(member) = &self.member else {
            // One that was not started yet has no reason to be down, and has not failed either.
            let failed = self.ended_by.is_none() && self.why.is_some();
            return (if failed { NodeState::Failed } else { NodeState::Stopped }, None);
        };
        let state = match member.state() {
            MemberState::Starting | MemberState::Running => NodeState::Running,
            MemberState::Paused => NodeState::Paused,
            MemberState::Ended(_) if self.ended_by.is_some() => NodeState::Stopped,
            MemberState::Ended(_) => NodeState::Failed,
        };
        (state, Some(member.process.pid))
    }
}
