//! The stage that owns the snapshots: states of this replica that are kept in memory, those of them that are written to
//! disk, and snapshots that a peer sends.
//!
//! The protocol says which state is kept, when one is written, and when it may be forgotten. Keeping means memory: a
//! kept state shares what has not changed with the store, and holds what the store has overwritten since. How many are
//! kept is bounded by who releases them, the protocol.
//!
//! Snapshots on disk are written piece by piece, one piece a [`step`](Archive::step), so that a large snapshot never keeps a peer
//! waiting that wants a piece of the one before. A received snapshot is checked piece by piece against its manifest
//! and the manifest against the digest in its description, so a wrong piece is refused alone and nothing that does not
//! match reaches the store.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::consensus::{
    Digest, Epoch, Index, Install, InstallProgress, NodeId, PieceRequest, SnapshotMeta, SnapshotPiece,
};
use crate::kv::{Frozen, Restore, Retention, Store};
use crate::wal::{SnapshotReader, SnapshotWriter, Snapshots, WalError};

/// What the archive is given.
#[derive(Debug)]
pub enum ArchiveWork {
    /// A state of this replica, to be kept in memory until it is released.
    Keep(Kept),
    /// The kept state of this index is to be written to disk. One that is not kept has been overtaken by a peer's.
    Save(Index),
    /// Kept states below this index are to be forgotten.
    Release(Index),
    /// All kept states are to be forgotten: the store that they are of was wrong.
    Discard,
    /// A piece that is to be read for a peer.
    Read(PieceRequest),
    /// A piece that a peer sent.
    Receive(Install),
}

/// A state that is kept in memory. It shares what it can with the store that went on, so that it costs what was written
/// since.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The epoch of its last slot.
    pub epoch: Epoch,
    /// The members of the cluster as of that slot.
    pub members: Vec<NodeId>,
    /// The state.
    pub frozen: Arc<Frozen>,
}

impl Kept {
    /// What it is of. Finds out how many pieces there are, which takes a walk over the state when it is first asked
    /// for: not on the path of the writes.
    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            index: self.frozen.index(),
            epoch: self.epoch,
            members: self.members.clone(),
            digest: self.frozen.digest(),
            pieces: self.frozen.pieces(),
        }
    }
}

/// What came of a step.
#[derive(Debug)]
pub enum Archived {
    /// A snapshot of this replica's state is durable.
    Saved(SnapshotMeta),
    /// A piece that was asked for.
    Piece(SnapshotPiece),
    /// How far a received snapshot has come.
    Progress(InstallProgress),
    /// A received snapshot is durable and checked: it is to replace the store.
    Received {
        /// What it is of.
        meta: SnapshotMeta,
        /// The store it holds.
        store: Box<Store>,
        /// It replaces the store even if that has executed further.
        repair: bool,
    },
    /// The disk is full: the snapshot is given up for now, and [`Archive::retry`] tries it again.
    Full,
}

/// Writes, reads and receives snapshots.
#[derive(Debug)]
pub struct Archive {
    snapshots: Snapshots,
    /// What the store that a snapshot holds remembers of requests.
    retention: Retention,
    waiting: VecDeque<ArchiveWork>,
    /// States in memory. Bounded by the protocol, which asks for them one by one and releases them.
    kept: BTreeMap<Index, Kept>,
    /// The state that is to be written next, when the one before is written. A newer one takes its place.
    to_save: Option<Kept>,
    saving: Option<Saving>,
    /// A state that met a full disk.
    given_up: Option<Kept>,
    receiving: Option<Receiving>,
    /// The snapshot on disk that each peer reads. It can be read to the end when a newer one has taken its place.
    reading: BTreeMap<NodeId, Reading>,
}

#[derive(Debug)]
struct Saving {
    meta: SnapshotMeta,
    kept: Kept,
    writer: SnapshotWriter,
    next: u32,
}

#[derive(Debug)]
struct Reading {
    snapshot: SnapshotReader,
    /// Whether a piece was read since a snapshot was last saved here.
    lately: bool,
}

#[derive(Debug)]
struct Receiving {
    meta: SnapshotMeta,
    from: NodeId,
    writer: SnapshotWriter,
    restore: Restore,
    repair: bool,
    next: u32,
}

impl Archive {
    pub(super) fn new(snapshots: Snapshots, retention: Retention) -> Self {
        Self {
            snapshots,
            retention,
            waiting: VecDeque::new(),
            kept: BTreeMap::new(),
            to_save: None,
            saving: None,
            given_up: None,
            receiving: None,
            reading: BTreeMap::new(),
        }
    }

    /// Queues work. Bounded by who asks: few states at a time, and a window of pieces for each peer.
    pub fn push(&mut self, work: ArchiveWork) {
        self.waiting.push_back(work);
    }

    /// The newest durable snapshot.
    pub fn newest(&self) -> Option<SnapshotMeta> {
        self.snapshots.newest()
    }

    /// Whether [`step`](Self::step) has nothing to do.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.saving.is_none() && self.to_save.is_none()
    }

    /// Tries a snapshot again that met a full disk, unless a newer one waits.
    pub fn retry(&mut self) {
        let given_up = self.given_up.take();
        self.to_save = self.to_save.take().or(given_up);
    }

    /// Whether a snapshot waits for [`retry`](Self::retry).
    pub fn wants_retry(&self) -> bool {
        self.given_up.is_some()
    }

    /// Does one piece of work: what peers wait for first, then a piece of the own snapshot.
    pub fn step(&mut self) -> Result<Option<Archived>, WalError> {
        match self.waiting.pop_front() {
            Some(ArchiveWork::Keep(kept)) => {
                self.kept.insert(kept.frozen.index(), kept);
                Ok(None)
            }
            Some(ArchiveWork::Save(index)) => {
                self.to_save = self.kept.get(&index).cloned().or(self.to_save.take());
                Ok(None)
            }
            Some(ArchiveWork::Release(index)) => {
                self.kept = self.kept.split_off(&index);
                Ok(None)
            }
            Some(ArchiveWork::Discard) => {
                self.kept.clear();
                Ok(None)
            }
            Some(ArchiveWork::Read(request)) => self.read(request).map(Some),
            Some(ArchiveWork::Receive(install)) => self.receive(install),
            None => self.save(),
        }
    }

    /// Writes a piece of the snapshot that is being written, or begins the next one. One that has begun is finished
    /// first: or else a slow disk, asked for one after the other, would never finish any.
    fn save(&mut self) -> Result<Option<Archived>, WalError> {
        match (self.saving.take(), self.to_save.take()) {
            (Some(saving), waiting) => {
                self.to_save = waiting;
                self.save_piece(saving)
            }
            (None, Some(kept)) => self.begin_saving(kept),
            (None, None) => Ok(None),
        }
    }

    fn begin_saving(&mut self, kept: Kept) -> Result<Option<Archived>, WalError> {
        self.given_up = None;
        let meta = kept.meta();
        match self.snapshots.begin(meta.clone()) {
            Ok(writer) => {
                self.saving = Some(Saving { meta, kept, writer, next: 0 });
                Ok(None)
            }
            Err(error) => self.give_up(kept, error),
        }
    }

    fn save_piece(&mut self, mut saving: Saving) -> Result<Option<Archived>, WalError> {
        if saving.next < saving.meta.pieces {
            let piece =
                saving.kept.frozen.piece(saving.next).expect("a frozen state has the pieces it counts");
            if let Err(error) = saving.writer.put(saving.next, &piece) {
                return self.give_up(saving.kept, error);
            }
            saving.next += 1;
            self.saving = Some(saving);
            return Ok(None);
        }
        match saving.writer.finish() {
            Ok(meta) => {
                // Who has read nothing since the last one reads no more: its file may go.
                self.reading.retain(|_, reading| std::mem::take(&mut reading.lately));
                Ok(Some(Archived::Saved(meta)))
            }
            Err(error) => self.give_up(saving.kept, error),
        }
    }

    /// A full disk is no failure: what is durable stays, and the snapshot is tried again when there is room.
    fn give_up(&mut self, kept: Kept, error: WalError) -> Result<Option<Archived>, WalError> {
        if matches!(error, WalError::StaleSnapshot { .. }) {
            return Ok(None); // A snapshot from a peer has overtaken it.
        }
        if error.shortage().is_none() {
            return Err(error);
        }
        self.given_up = Some(kept);
        Ok(Some(Archived::Full))
    }

    /// Reads a piece of a kept state, or else of the newest snapshot on disk.
    fn read(&mut self, request: PieceRequest) -> Result<Archived, WalError> {
        let (meta, data) = match self.kept.get(&request.index) {
            Some(kept) => (kept.meta(), kept.frozen.piece(request.number)),
            None => match self.read_from_disk(request) {
                // The peer asks again.
                Err(error) if error.shortage().is_some() => (missing(request.index), None),
                read => read?,
            },
        };
        Ok(Archived::Piece(SnapshotPiece { peer: request.to, meta, number: request.number, data }))
    }

    fn read_from_disk(&mut self, request: PieceRequest) -> Result<(SnapshotMeta, Option<Bytes>), WalError> {
        let of = |snapshot: &SnapshotReader| snapshot.meta().index == request.index;
        if !self.reading.get(&request.to).is_some_and(|reading| of(&reading.snapshot)) {
            let open = self.reading.values().map(|reading| &reading.snapshot).find(|snapshot| of(snapshot));
            let snapshot = match open.cloned() {
                Some(snapshot) => Some(snapshot),
                None => self.snapshots.reader()?.filter(of),
            };
            let Some(snapshot) = snapshot else { return Ok((missing(request.index), None)) };
            self.reading.insert(request.to, Reading { snapshot, lately: true });
        }
        let Some(reading) = self.reading.get_mut(&request.to) else {
            return Ok((missing(request.index), None));
        };
        reading.lately = true;
        let meta = reading.snapshot.meta().clone();
        let known = request.number < meta.pieces;
        let data = if known { Some(reading.snapshot.piece(request.number)?) } else { None };
        Ok((meta, data))
    }

    fn receive(&mut self, install: Install) -> Result<Option<Archived>, WalError> {
        let Install { piece, repair } = install;
        let Some(data) = piece.data else { return Ok(None) };
        // The first piece starts afresh: a leader that sends it again knows nothing of what came before.
        if piece.number == 0 {
            match self.begin_receiving(piece.meta.clone(), piece.peer) {
                Ok(()) => {}
                Err(error) => return failed(piece.meta.index, error),
            }
        }
        match self.receiving.as_mut() {
            Some(receiving) if receiving.meta == piece.meta => {
                receiving.from = piece.peer;
                receiving.repair = repair;
                self.store_piece(piece.number, &data)
            }
            _ => Ok(Some(stored(piece.meta.index, 0))),
        }
    }

    fn begin_receiving(&mut self, meta: SnapshotMeta, from: NodeId) -> Result<(), WalError> {
        self.receiving = None;
        let writer = self.snapshots.begin(meta.clone())?;
        let restore = Restore::new(self.retention, meta.index, meta.digest);
        self.receiving = Some(Receiving { meta, from, writer, restore, repair: false, next: 0 });
        Ok(())
    }

    /// Stores the piece if it is the next one, and says which one is wanted next.
    fn store_piece(&mut self, number: u32, data: &Bytes) -> Result<Option<Archived>, WalError> {
        let Some(mut receiving) = self.receiving.take() else { return Ok(None) };
        let index = receiving.meta.index;
        if number == receiving.next {
            if let Err(error) = receiving.restore.add(number, data.clone()) {
                let why = format!("piece {number} from node {}: {error}", receiving.from);
                return Ok(Some(Archived::Progress(InstallProgress::Failed { index, why })));
            }
            if let Err(error) = receiving.writer.put(number, data) {
                return failed(index, error);
            }
            receiving.next += 1;
        }
        if receiving.next == receiving.meta.pieces {
            return Self::finish_receiving(receiving);
        }
        let next = receiving.next;
        self.receiving = Some(receiving);
        Ok(Some(stored(index, next)))
    }

    fn finish_receiving(receiving: Receiving) -> Result<Option<Archived>, WalError> {
        let Receiving { meta, from, writer, restore, repair, .. } = receiving;
        let store = match restore.finish() {
            Ok(store) => store,
            Err(error) => {
                let why = format!("the snapshot from node {from}: {error}");
                return Ok(Some(Archived::Progress(InstallProgress::Failed { index: meta.index, why })));
            }
        };
        match writer.finish() {
            Ok(meta) => Ok(Some(Archived::Received { meta, store: Box::new(store), repair })),
            Err(error) => failed(meta.index, error),
        }
    }
}

fn stored(index: Index, next: u32) -> Archived {
    Archived::Progress(InstallProgress::Stored { index, next })
}

/// A full disk, or a newer snapshot, ends what is being received; any other error ends the node.
fn failed(index: Index, error: WalError) -> Result<Option<Archived>, WalError> {
    if error.shortage().is_some() || matches!(error, WalError::StaleSnapshot { .. }) {
        Ok(Some(Archived::Progress(InstallProgress::Failed { index, why: error.to_string() })))
    } else {
        Err(error)
    }
}

/// Describes a snapshot that is not there.
fn missing(index: Index) -> SnapshotMeta {
    SnapshotMeta { index, epoch: Epoch::ZERO, members: Vec::new(), digest: Digest::default(), pieces: 0 }
}
