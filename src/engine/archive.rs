//! The stage that owns the snapshots on disk: those that this replica takes, and those that a peer sends.
//!
//! Both are written piece by piece, one piece a [`step`](Archive::step), so that a large snapshot never keeps a peer
//! waiting that wants a piece of the one before. A received snapshot is checked piece by piece against its manifest
//! and the manifest against the digest in its description, so a wrong piece is refused alone and nothing that does not
//! match reaches the store.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::consensus::{Index, InstallProgress, NodeId, PieceRequest, SnapshotMeta, SnapshotPiece};
use crate::kv::{Frozen, Restore, Store};
use crate::wal::{SnapshotReader, SnapshotWriter, Snapshots, WalError};

/// What the archive is given.
#[derive(Debug)]
pub enum ArchiveWork {
    /// A snapshot of this replica's state, to be written.
    Save {
        /// What it is of.
        meta: SnapshotMeta,
        /// The state.
        frozen: Box<Frozen>,
    },
    /// A piece that is to be read for a peer.
    Read(PieceRequest),
    /// A piece that a peer sent.
    Receive(SnapshotPiece),
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
    },
    /// The disk is full: the snapshot is given up for now, and [`Archive::retry`] tries it again.
    Full,
}

/// Writes, reads and receives snapshots.
#[derive(Debug)]
pub struct Archive {
    snapshots: Snapshots,
    waiting: VecDeque<ArchiveWork>,
    saving: Option<Saving>,
    /// A snapshot that met a full disk.
    given_up: Option<(SnapshotMeta, Box<Frozen>)>,
    receiving: Option<Receiving>,
    /// The snapshot that pieces were last read from.
    reading: Option<SnapshotReader>,
}

#[derive(Debug)]
struct Saving {
    meta: SnapshotMeta,
    frozen: Box<Frozen>,
    writer: SnapshotWriter,
    next: u32,
}

#[derive(Debug)]
struct Receiving {
    meta: SnapshotMeta,
    from: NodeId,
    writer: SnapshotWriter,
    restore: Restore,
    next: u32,
}

impl Archive {
    pub(super) fn new(snapshots: Snapshots) -> Self {
        Self {
            snapshots,
            waiting: VecDeque::new(),
            saving: None,
            given_up: None,
            receiving: None,
            reading: None,
        }
    }

    /// Queues work. Bounded by who asks: one own snapshot at a time, and a window of pieces for each peer.
    pub fn push(&mut self, work: ArchiveWork) {
        self.waiting.push_back(work);
    }

    /// The newest durable snapshot.
    pub fn newest(&self) -> Option<SnapshotMeta> {
        self.snapshots.newest()
    }

    /// Whether [`step`](Self::step) has nothing to do.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.saving.is_none()
    }

    /// Tries a snapshot again that met a full disk.
    pub fn retry(&mut self) {
        if let Some((meta, frozen)) = self.given_up.take() {
            self.waiting.push_back(ArchiveWork::Save { meta, frozen });
        }
    }

    /// Whether a snapshot waits for [`retry`](Self::retry).
    pub fn wants_retry(&self) -> bool {
        self.given_up.is_some()
    }

    /// Does one piece of work: what peers wait for first, then a piece of the own snapshot.
    pub fn step(&mut self) -> Result<Option<Archived>, WalError> {
        match self.waiting.pop_front() {
            Some(ArchiveWork::Save { meta, frozen }) => self.begin_saving(meta, frozen),
            Some(ArchiveWork::Read(request)) => self.read(request).map(Some),
            Some(ArchiveWork::Receive(piece)) => self.receive(piece),
            None => self.save_piece(),
        }
    }

    fn begin_saving(
        &mut self,
        meta: SnapshotMeta,
        frozen: Box<Frozen>,
    ) -> Result<Option<Archived>, WalError> {
        self.given_up = None;
        match self.snapshots.begin(meta.clone()) {
            Ok(writer) => {
                self.saving = Some(Saving { meta, frozen, writer, next: 0 });
                Ok(None)
            }
            Err(error) => self.give_up(meta, frozen, error),
        }
    }

    fn save_piece(&mut self) -> Result<Option<Archived>, WalError> {
        let Some(mut saving) = self.saving.take() else { return Ok(None) };
        if saving.next < saving.meta.pieces {
            let piece = saving.frozen.piece(saving.next).expect("a frozen state has the pieces it counts");
            if let Err(error) = saving.writer.put(saving.next, &piece) {
                return self.give_up(saving.meta, saving.frozen, error);
            }
            saving.next += 1;
            self.saving = Some(saving);
            return Ok(None);
        }
        match saving.writer.finish() {
            Ok(meta) => Ok(Some(Archived::Saved(meta))),
            Err(error) => self.give_up(saving.meta, saving.frozen, error),
        }
    }

    /// A full disk is no failure: what is durable stays, and the snapshot is tried again when there is room.
    fn give_up(
        &mut self,
        meta: SnapshotMeta,
        frozen: Box<Frozen>,
        error: WalError,
    ) -> Result<Option<Archived>, WalError> {
        if matches!(error, WalError::StaleSnapshot { .. }) {
            return Ok(None); // A snapshot from a peer has overtaken it.
        }
        if !error.is_full() {
            return Err(error);
        }
        self.given_up = Some((meta, frozen));
        Ok(Some(Archived::Full))
    }

    fn read(&mut self, request: PieceRequest) -> Result<Archived, WalError> {
        if self.reading.as_ref().is_none_or(|reader| reader.meta().index != request.index) {
            self.reading = self.snapshots.reader()?;
        }
        let (meta, data) = match &self.reading {
            Some(reader) if reader.meta().index == request.index => {
                let known = request.number < reader.meta().pieces;
                (reader.meta().clone(), if known { Some(reader.piece(request.number)?) } else { None })
            }
            _ => (missing(request.index), None),
        };
        Ok(Archived::Piece(SnapshotPiece { peer: request.to, meta, number: request.number, data }))
    }

    fn receive(&mut self, piece: SnapshotPiece) -> Result<Option<Archived>, WalError> {
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
                self.store_piece(piece.number, &data)
            }
            _ => Ok(Some(stored(piece.meta.index, 0))),
        }
    }

    fn begin_receiving(&mut self, meta: SnapshotMeta, from: NodeId) -> Result<(), WalError> {
        self.receiving = None;
        let writer = self.snapshots.begin(meta.clone())?;
        let restore = Restore::new(meta.index, meta.digest);
        self.receiving = Some(Receiving { meta, from, writer, restore, next: 0 });
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
        let Receiving { meta, from, writer, restore, .. } = receiving;
        let store = match restore.finish() {
            Ok(store) => store,
            Err(error) => {
                let why = format!("the snapshot from node {from}: {error}");
                return Ok(Some(Archived::Progress(InstallProgress::Failed { index: meta.index, why })));
            }
        };
        match writer.finish() {
            Ok(meta) => Ok(Some(Archived::Received { meta, store: Box::new(store) })),
            Err(error) => failed(meta.index, error),
        }
    }
}

fn stored(index: Index, next: u32) -> Archived {
    Archived::Progress(InstallProgress::Stored { index, next })
}

/// A full disk, or a newer snapshot, ends what is being received; any other error ends the node.
fn failed(index: Index, error: WalError) -> Result<Option<Archived>, WalError> {
    if error.is_full() || matches!(error, WalError::StaleSnapshot { .. }) {
        Ok(Some(Archived::Progress(InstallProgress::Failed { index, why: error.to_string() })))
    } else {
        Err(error)
    }
}

/// Describes a snapshot that is not there.
fn missing(index: Index) -> SnapshotMeta {
    SnapshotMeta {
        index,
        epoch: crate::consensus::Epoch::ZERO,
        members: Vec::new(),
        digest: crate::consensus::Digest::default(),
        pieces: 0,
    }
}
