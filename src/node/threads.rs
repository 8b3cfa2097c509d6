//! The threads that do what blocks or takes long: the log, the store, the queries, the archive.
//!
//! Each owns one stage of the engine and one queue. The queues are unbounded channels whose content is bounded at its
//! source: requests by the handle's permits, records and slots by the sequencer's backlog limits, pieces by the
//! protocol's windows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::clock::Clock;
use super::core::Report;
use super::counters::Counters;
use super::handle::Answer;
use super::reply::Reply;
use crate::consensus::{Pressure, RejectReason, Rejection, SnapshotMeta, Time};
use crate::engine::{
    Archive, ArchiveWork, Archived, Executed, Executor, ExecutorWork, LogWork, Logger, Query, StoreStatus,
    Ticket,
};
use crate::text::counted;
use crate::transport::Gate;
use crate::wal::{Preparation, Prepared};

/// How long to wait before a full disk is tried again. Only the background work waits; nobody's write does.
const FULL_DISK_RETRY: Duration = Duration::from_millis(500);

/// For the log thread.
#[derive(Debug)]
pub(super) enum ToLog {
    Work(LogWork),
    Prepared(Prepared),
    /// A full disk may have room again.
    Retry,
    /// Nothing follows.
    Stop,
}

/// For the store thread.
#[derive(Debug)]
pub(super) enum ToStore {
    /// Work from the sequencer, with the channels of those who wait for it.
    Work { work: ExecutorWork, replies: Vec<(Ticket, Reply)> },
    /// A read that needs no read point, straight from the handle.
    Read { work: ExecutorWork, reply: Reply },
    /// How is the store?
    Status { digest: bool, reply: oneshot::Sender<StoreStatus> },
    /// Nothing follows.
    Stop,
}

/// For the query thread: a read, and who waits for it. Nothing follows when the store thread is gone.
pub(super) type ToQueries = (Query, Reply);

/// For the archive thread.
#[derive(Debug)]
pub(super) enum ToArchive {
    Work(ArchiveWork),
    Prepare(Preparation),
    /// Nothing follows.
    Stop,
}

/// What every thread needs.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) reports: UnboundedSender<Report>,
    pub(super) gate: Gate,
    /// Set when the node is killed: nothing more is written or said.
    pub(super) killed: Arc<AtomicBool>,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Common {
    /// Waits while the node is paused; `false` when it was killed.
    fn go(&self) -> bool {
        if self.gate.is_paused() {
            self.runtime.block_on(self.gate.passed());
        }
        !self.killed.load(Ordering::Acquire)
    }

    /// Tells the core. A core that is gone needs to know nothing more.
    fn report(&self, report: Report) {
        let _ = self.reports.send(report);
    }
}

/// Writes and syncs. Returns when the core is gone, with the error if the disk failed.
pub(super) fn run_log(
    common: &Common,
    mut logger: Logger,
    work: &Receiver<ToLog>,
    archive: &Sender<ToArchive>,
) -> Result<(), String> {
    let mut room = Pressure::Ok;
    // The first preparation is due before the first write.
    let mut first = Some(ToLog::Retry);
    while let Some(item) = first.take().or_else(|| work.recv().ok()) {
        let mut last = false;
        for item in std::iter::once(item).chain(work.try_iter()) {
            match item {
                ToLog::Work(work) => logger.push(work),
                ToLog::Prepared(prepared) => {
                    let now = logger.prepared(prepared).map_err(|error| error.to_string())?;
                    room = report_room(common, room, now);
                }
                ToLog::Retry => logger.retry(),
                ToLog::Stop => last = true,
            }
        }
        if !common.go() {
            return Ok(());
        }
        if logger.write().map_err(|error| error.to_string())? {
            common.counters.sync_begins(common.clock.now());
            let (took, result) = common.clock.time(|| logger.sync());
            let synced = result.map_err(|error| error.to_string())?;
            common.counters.sync_ended(common.clock.now(), took, &logger.counters());
            if !common.go() {
                return Ok(());
            }
            common.report(Report::Durable(synced.durable));
            room = report_room(common, room, synced.room);
        }
        if last {
            return Ok(());
        }
        if let Some(preparation) = logger.preparation() {
            // An archive that is gone has said why.
            let _ = archive.send(ToArchive::Prepare(preparation));
        }
    }
    Ok(())
}

fn report_room(common: &Common, before: Pressure, now: Pressure) -> Pressure {
    if now != before {
        match now {
            Pressure::Full(what) => {
                tracing::warn!(target: super::STORAGE, "{}: no more proposals for now", what.in_words());
            }
            Pressure::Slow | Pressure::Ok => {
                tracing::info!(target: super::STORAGE, "the log has room again");
            }
        }
        common.report(Report::Storage(now));
    }
    now
}

/// Executes and answers.
pub(super) fn run_store(
    common: &Common,
    mut executor: Executor,
    work: &Receiver<ToStore>,
    queries: &Sender<ToQueries>,
    archive: &Sender<ToArchive>,
    epoch: &AtomicU64,
) {
    // Reads whose read point is not reached yet wait here with the executor.
    let mut waiting = BTreeMap::new();
    let mut done = Executed::default();
    while let Ok(item) = work.recv() {
        if !common.go() {
            return;
        }
        match item {
            ToStore::Work { work, replies } => {
                waiting.extend(replies);
                count_commands(common, &work);
                executor.handle(work, &mut done);
            }
            // Whoever asked has gone before it was begun.
            ToStore::Read { reply, .. } if reply.is_abandoned() => continue,
            ToStore::Status { reply, .. } if reply.is_closed() => continue,
            ToStore::Read { work, reply } => {
                if let ExecutorWork::Read { id, .. } = &work {
                    waiting.insert(Ticket::Read(*id), reply);
                }
                executor.handle(work, &mut done);
            }
            ToStore::Status { digest, reply } => {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(executor.status(digest));
            }
            ToStore::Stop => return,
        }
        hand_on_queries(&mut done, &mut waiting, queries);
        hand_on(common, &mut done, &mut waiting, archive, epoch.load(Ordering::Relaxed));
    }
}

/// Answers reads that may take long, each from the state that it is to see, while the store thread goes on.
pub(super) fn run_queries(common: &Common, work: &Receiver<ToQueries>, epoch: &AtomicU64) {
    while let Ok((query, reply)) = work.recv() {
        if !common.go() {
            return;
        }
        reply.send_with(|| Answer { reply: query.answer(), epoch: epoch.load(Ordering::Relaxed) });
    }
}

fn hand_on_queries(done: &mut Executed, waiting: &mut BTreeMap<Ticket, Reply>, queries: &Sender<ToQueries>) {
    for query in done.queries.drain(..) {
        if let Some(reply) = waiting.remove(&Ticket::Read(query.id)) {
            // A query thread that is gone has said why.
            let _ = queries.send((query, reply));
        }
    }
}

fn count_commands(common: &Common, work: &ExecutorWork) {
    if let ExecutorWork::Commit(slots) = work {
        let commands: usize = slots.iter().map(|slot| slot.proposals.len()).sum();
        common.counters.applied_commands.fetch_add(commands as u64, Ordering::Relaxed);
    }
}

fn hand_on(
    common: &Common,
    done: &mut Executed,
    waiting: &mut BTreeMap<Ticket, Reply>,
    archive: &Sender<ToArchive>,
    epoch: u64,
) {
    for (ticket, reply) in done.answers.drain(..) {
        if let Some(channel) = waiting.remove(&ticket) {
            channel.send(Ok(Answer { reply, epoch }));
        }
    }
    for ticket in done.unanswered.drain(..) {
        if let Some(channel) = waiting.remove(&ticket) {
            let (reason, leader) = (RejectReason::TimedOut, None);
            channel.send(Err(Rejection { reason, never_executed: false, leader }.into()));
        }
    }
    for work in done.archive.drain(..) {
        // An archive that is gone has said why.
        let _ = archive.send(ToArchive::Work(work));
    }
    if let Some(installed) = done.installed.take() {
        common.report(Report::Installed(installed));
    }
    if let Some(index) = done.applied.take() {
        common.report(Report::Applied { index, outcomes: std::mem::take(&mut done.outcomes) });
    }
    if !done.recalled.is_empty() {
        common.report(Report::Recalled(std::mem::take(&mut done.recalled)));
    }
    // The archive has the state by now.
    if let Some((index, digest)) = done.checkpointed.take() {
        common.report(Report::Checkpointed { index, digest });
    }
}

/// Writes and reads snapshots, and prepares log segments. Returns when the others are gone, with the error if the disk
/// failed.
pub(super) fn run_archive(
    common: &Common,
    mut archive: Archive,
    work: &Receiver<ToArchive>,
    log: &Sender<ToLog>,
    store: &Sender<ToStore>,
) -> Result<(), String> {
    // When a full disk is tried again.
    let mut retry_at: Option<Time> = None;
    loop {
        let now = common.clock.now();
        if retry_at.take_if(|at| *at <= now).is_some() {
            archive.retry();
            // A log thread that is gone has said why.
            let _ = log.send(ToLog::Retry);
        }
        let item = if !archive.is_idle() {
            work.try_recv().ok()
        } else if let Some(at) = retry_at {
            match work.recv_timeout(at.since(now)) {
                Ok(item) => Some(item),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        } else {
            match work.recv() {
                Ok(item) => Some(item),
                Err(_) => return Ok(()),
            }
        };
        if !common.go() {
            return Ok(());
        }
        match item {
            Some(ToArchive::Work(work)) => archive.push(work),
            Some(ToArchive::Prepare(preparation)) => {
                let prepared = preparation.run();
                if prepared.failure().is_some_and(|error| error.shortage().is_some()) {
                    retry_at.get_or_insert(common.clock.now() + FULL_DISK_RETRY);
                }
                // A log thread that is gone has said why.
                let _ = log.send(ToLog::Prepared(prepared));
            }
            Some(ToArchive::Stop) => return Ok(()),
            None => {}
        }
        if let Some(archived) = archive.step().map_err(|error| error.to_string())? {
            report_archived(common, archived, store);
        }
        if archive.wants_retry() {
            retry_at.get_or_insert(common.clock.now() + FULL_DISK_RETRY);
        }
    }
}

fn report_archived(common: &Common, archived: Archived, store: &Sender<ToStore>) {
    match archived {
        Archived::Saved(meta) => {
            tracing::info!(target: super::STORAGE, "snapshot of index {} is durable: {}", meta.index, pieces(&meta));
            common.report(Report::Saved(meta));
        }
        Archived::Piece(piece) => common.report(Report::Piece(piece)),
        Archived::Progress(progress) => common.report(Report::Install(progress)),
        Archived::Received { meta, store: content, repair } => {
            tracing::info!(target: super::STORAGE, "received the snapshot of index {}: {}", meta.index, pieces(&meta));
            let work = ExecutorWork::Replace { meta, store: content, repair };
            // A store thread that is gone leaves nobody to replace.
            let _ = store.send(ToStore::Work { work, replies: Vec::new() });
        }
        Archived::Full => {
            tracing::warn!(target: super::STORAGE, "the disk is full: the snapshot will be tried again");
        }
    }
}

fn pieces(meta: &SnapshotMeta) -> String {
    counted(meta.pieces.into(), "piece", "pieces")
}
