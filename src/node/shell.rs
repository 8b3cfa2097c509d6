//! [`Node`]: starts the tasks and threads, and ends them in an orderly way or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::{Semaphore, mpsc as async_mpsc, watch};
use tokio::task::AbortHandle;

use super::clock::Clock;
use super::config::NodeConfig;
use super::core::{Core, Inputs, Work};
use super::counters::Counters;
use super::handle::{Handle, MAX_REQUESTS, Shared};
use super::threads::{self, Common, ToArchive, ToLog, ToStore};
use crate::consensus::NodeId;
use crate::engine::{self, Archive, EngineConfig, Executor, Logger, OpenError, Opened};
use crate::kv::PIECE_BYTES;
use crate::text::counted;
use crate::transport::{self, BadAddress, Gate, LinkFaults, LinkSetup, Links, Mailbox, Wire};
use crate::wal::{DataDir, DiskFault, DiskFaults, RealDisk, WalOptions};

/// Messages of each peer and client that may wait for the core; when there are so many, its links are not read.
const INBOX: usize = 1024;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node is not among the members.
    #[error("node {0} is not a member of the cluster: check the ids in the configuration")]
    NotAMember(NodeId),
    /// The protocol's section of the configuration is wrong.
    #[error("the configuration's section [{protocol}]: {why}")]
    Options {
        /// The protocol.
        protocol: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The data cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A member's address is none.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// The machine refuses a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a node stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NodeFailure(pub String);

/// A running node, with its tasks and threads. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    handle: Handle,
    routes: tonic::service::Routes,
    gate: Gate,
    killed: Arc<AtomicBool>,
    disk: DiskFaults,
    core: AbortHandle,
    work: Work,
    threads: Vec<JoinHandle<()>>,
    failure: watch::Receiver<Option<NodeFailure>>,
}

impl Node {
    /// Recovers the replica from its disk and starts it. Its peers reach it once the caller serves
    /// [`peer_routes`](Self::peer_routes) on the node's port.
    pub fn start<P: Wire>(config: NodeConfig) -> Result<Self, StartError> {
        let clock = Clock::start();
        let disk = DiskFaults::new();
        disk.set(config.disk_fault);
        let opened = open::<P>(&config, &disk, &clock)?;
        let gate = Gate::new();
        let killed = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(Counters::new(config.keys.clone()));
        let (reports, from_threads) = async_mpsc::unbounded_channel();
        let common = Common {
            reports,
            gate: gate.clone(),
            killed: killed.clone(),
            clock,
            counters: counters.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        let Opened { sequencer, logger, executor, archive, checker, data_dir, recovery } = opened;

        let faults = LinkFaults::new(rand::random());
        let (inbox, messages) = transport::inbox::<P::Message>(INBOX);
        let links = start_links(&config, checker, &faults, &gate, &inbox)?;
        let routes = links.routes();
        let epoch = Arc::new(AtomicU64::new(sequencer.status().epoch));
        let (failed, failure) = watch::channel(None);
        let stages = Stages { logger, executor, archive, data_dir };
        let (threads, work) = start_threads(config.id, &common, stages, &epoch, &failed)?;

        let (requests, from_handle) = async_mpsc::unbounded_channel();
        let core = Core {
            sequencer,
            work: work.clone(),
            links,
            clock,
            gate: gate.clone(),
            epoch,
            counters: counters.clone(),
            origin: (config.id, recovery.incarnation),
            waiting: BTreeMap::new(),
            effects: engine::Effects::default(),
            misbehaviour: config.misbehaviour,
        };
        let inputs = Inputs { reports: from_threads, messages, _inbox: inbox, requests: from_handle };
        let core = spawn_core(core.run(inputs), failed);

        let shared = Shared {
            id: config.id,
            protocol: P::NAME,
            answers: P::ANSWERS,
            cluster_name: config.cluster_name,
            cluster_id: config.cluster_id,
            members: config.members,
            incarnation: recovery.incarnation,
            laboratory: config.laboratory,
            request_timeout: config.request_timeout,
            clock,
            requests,
            store: work.store.clone(),
            permits: Arc::new(Semaphore::new(MAX_REQUESTS)),
            next_command: AtomicU64::new(0),
            next_read: AtomicU64::new(0),
            counters,
            links: faults,
            data_dir: config.data_dir,
            disk: disk.clone(),
        };
        Ok(Self {
            handle: Handle { shared: Arc::new(shared) },
            routes,
            gate,
            killed,
            disk,
            core,
            work,
            threads,
            failure,
        })
    }

    /// What the api and the supervisor hold.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The services for peers, to be served on the node's port.
    pub fn peer_routes(&self) -> tonic::service::Routes {
        self.routes.clone()
    }

    /// Stops the node's inputs, timers and disk, as SIGSTOP would stop a process.
    pub fn pause(&self) {
        self.gate.pause();
    }

    /// Lets a paused node go on.
    pub fn resume(&self) {
        self.gate.resume();
    }

    /// Waits until the node stops by itself, and says why it did.
    pub async fn failed(&self) -> NodeFailure {
        let mut failure = self.failure.clone();
        let reason = failure.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        match reason {
            Some(reason) => reason,
            // All ended without a failure: the node was told to stop.
            None => std::future::pending().await,
        }
    }

    /// Ends the node in an orderly way: what was handed to the log becomes durable.
    pub async fn stop(mut self) {
        self.core.abort();
        self.gate.resume();
        self.end().await;
    }

    /// Ends the node as SIGKILL would: nothing more is written or said. Returns when its lock is free.
    pub async fn kill(mut self) {
        self.killed.store(true, Ordering::Release);
        self.core.abort();
        // A sync that stalls, or a paused thread, sees that it was killed.
        self.disk.set(DiskFault::Fail);
        self.gate.resume();
        self.end().await;
    }

    async fn end(&mut self) {
        self.tell_threads();
        let threads = std::mem::take(&mut self.threads);
        let join = move || threads.into_iter().for_each(|thread| drop(thread.join()));
        // A thread that panicked has said so on its way.
        let _ = tokio::task::spawn_blocking(join).await;
    }

    /// Each thread ends when it has done what was queued before. One that is gone needs no telling.
    fn tell_threads(&self) {
        let _ = self.work.log.send(ToLog::Stop);
        let _ = self.work.store.send(ToStore::Stop);
        let _ = self.work.archive.send(ToArchive::Stop);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.killed.store(true, Ordering::Release);
        self.core.abort();
        self.disk.set(DiskFault::Fail);
        self.gate.resume();
        self.tell_threads();
    }
}

fn open<P: Wire>(config: &NodeConfig, disk: &DiskFaults, clock: &Clock) -> Result<Opened<P>, StartError> {
    config.member().ok_or(StartError::NotAMember(config.id))?;
    let options: P::Options = config.options.clone().try_into().map_err(|error: toml::de::Error| {
        StartError::Options { protocol: P::NAME, why: error.message().to_owned() }
    })?;
    let wal = config.wal.holding(P::largest_record(&options, config.members.len()));
    let opened = engine::open::<P>(
        disk.wrap(Arc::new(RealDisk)),
        EngineConfig {
            keys: config.keys.clone(),
            id: config.id,
            cluster_id: config.cluster_id,
            members: config.members.iter().map(|member| member.id).collect(),
            data_dir: config.data_dir.clone(),
            create: config.create,
            seed: rand::random(),
            now: clock.now(),
            request_timeout: config.request_timeout,
            // What salts the log's checksums must be nothing that a client can know.
            wal: WalOptions { salt: rand::random(), ..wal },
            piece_bytes: PIECE_BYTES,
            options,
            misbehaviour: config.misbehaviour.clone(),
        },
    )?;
    let recovery = &opened.recovery;
    if let Some(torn) = &recovery.torn {
        tracing::warn!(
            "the log ended in a torn write of {} at {} offset {} (batch {}), which was cut: nothing durable was lost",
            counted(torn.bytes, "byte", "bytes"),
            torn.file.display(),
            torn.offset,
            torn.batch
        );
    }
    tracing::info!(
        "node {} starts (start {} of its data): snapshot of index {}, records in the log: {}",
        config.id,
        recovery.incarnation,
        recovery.snapshot.unwrap_or_default(),
        recovery.records
    );
    Ok(opened)
}

fn start_links<P: Wire>(
    config: &NodeConfig,
    checker: P::Checker,
    faults: &LinkFaults,
    gate: &Gate,
    inbox: &Mailbox<P::Message>,
) -> Result<Links<P>, BadAddress> {
    faults.set_blocked(config.blocked.iter().copied());
    faults.set_rules(config.link_rules.clone());
    Links::start(LinkSetup {
        me: config.id,
        cluster_id: config.cluster_id,
        peers: config.members.iter().map(|member| (member.id, member.address.clone())).collect(),
        keys: config.keys.clone(),
        clients: clients(config),
        checker,
        faults: faults.clone(),
        gate: gate.clone(),
        inbox: inbox.clone(),
    })
}

/// The clients: all who have a key and are no members.
fn clients(config: &NodeConfig) -> BTreeSet<NodeId> {
    let is_member = |id: &NodeId| config.members.iter().any(|member| member.id == *id);
    config.keys.ids().filter(|id| !is_member(id)).collect()
}

/// What the threads own.
struct Stages {
    logger: Logger,
    executor: Executor,
    archive: Archive,
    data_dir: DataDir,
}

/// Starts the threads; answers them and where their work goes.
fn start_threads(
    id: NodeId,
    common: &Common,
    stages: Stages,
    epoch: &Arc<AtomicU64>,
    failed: &watch::Sender<Option<NodeFailure>>,
) -> std::io::Result<(Vec<JoinHandle<()>>, Work)> {
    let Stages { logger, executor, archive, data_dir } = stages;
    let (to_log, for_log) = mpsc::channel();
    let (to_store, for_store) = mpsc::channel();
    let (to_queries, for_queries) = mpsc::channel();
    let (to_archive, for_archive) = mpsc::channel();
    let work = Work { log: to_log, store: to_store, archive: to_archive };
    let log_thread = spawn(format!("log-{id}"), failed.clone(), {
        let (common, work) = (common.clone(), work.clone());
        move || {
            // The directory's lock is held as long as the log may be written.
            let _lock = data_dir;
            threads::run_log(&common, logger, &for_log, &work.archive)
        }
    })?;
    let store_thread = spawn(format!("store-{id}"), failed.clone(), {
        let (common, work, epoch) = (common.clone(), work.clone(), epoch.clone());
        move || {
            threads::run_store(&common, executor, &for_store, &to_queries, &work.archive, &epoch);
            Ok(())
        }
    })?;
    let query_thread = spawn(format!("queries-{id}"), failed.clone(), {
        let (common, epoch) = (common.clone(), epoch.clone());
        move || {
            threads::run_queries(&common, &for_queries, &epoch);
            Ok(())
        }
    })?;
    let archive_thread = spawn(format!("archive-{id}"), failed.clone(), {
        let (common, work) = (common.clone(), work.clone());
        move || threads::run_archive(&common, archive, &for_archive, &work.log, &work.store)
    })?;
    Ok((vec![log_thread, store_thread, query_thread, archive_thread], work))
}

/// Runs the core as a task; a panic in it, which is a broken invariant, is the node's failure.
fn spawn_core(
    core: impl Future<Output = ()> + Send + 'static,
    failed: watch::Sender<Option<NodeFailure>>,
) -> AbortHandle {
    let core = tokio::spawn(core);
    let abort = core.abort_handle();
    tokio::spawn(async move {
        if core.await.is_err_and(|error| error.is_panic()) {
            failed.send_replace(Some(NodeFailure("the protocol's task panicked: see the log".to_owned())));
        }
    });
    abort
}

/// Runs `work` on a thread of its own; an error or a panic is the node's failure.
fn spawn(
    name: String,
    failed: watch::Sender<Option<NodeFailure>>,
    work: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        let why = match result {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => format!("thread {} panicked", std::thread::current().name().unwrap_or_default()),
        };
        tracing::error!("the node stops: {why}");
        failed.send_replace(Some(NodeFailure(why)));
    })
}
