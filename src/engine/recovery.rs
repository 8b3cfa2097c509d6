//! Opens a data directory and rebuilds the four stages from it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Archive, Executor, Logger, Sequencer};
use crate::consensus::{
    Decode, DecodeError, Epoch, Index, Keys, Lsn, Misbehaviour, NodeId, Protocol, RecoverError, Recovered,
    Setup, SnapshotMeta, Time,
};
use crate::kv::{Restore, RestoreError, Retention, Store};
use crate::text::shell_path;
use crate::wal::{DataDir, Disk, Identity, Snapshots, TornTail, WalError, WalOptions};

/// What it takes to open a replica.
#[derive(Clone, Debug)]
pub struct EngineConfig<P: Protocol> {
    /// This node.
    pub id: NodeId,
    /// Which cluster the data belongs to.
    pub cluster_id: u64,
    /// This replica's secret key and everybody's public one; empty where the protocol signs nothing.
    pub keys: Keys,
    /// The members that a fresh cluster starts with, in ascending order of ids.
    pub members: Vec<NodeId>,
    /// Where the data lies.
    pub data_dir: PathBuf,
    /// Whether an empty directory may be initialised.
    pub create: bool,
    /// Feeds the protocol's random stream.
    pub seed: u64,
    /// The node's clock at its start.
    pub now: Time,
    /// After how long a request that got nowhere is rejected.
    pub request_timeout: Duration,
    /// The log's settings.
    pub wal: WalOptions,
    /// About how large the pieces of a snapshot are made; the same at all replicas.
    pub piece_bytes: usize,
    /// The protocol's settings.
    pub options: P::Options,
    /// What the replica is told to do wrong, in a laboratory.
    pub misbehaviour: Option<Misbehaviour>,
}

/// A replica, ready to go.
#[derive(Debug)]
pub struct Opened<P: Protocol> {
    /// The stage that owns the protocol.
    pub sequencer: Sequencer<P>,
    /// The stage that owns the log.
    pub logger: Logger,
    /// The stage that owns the store.
    pub executor: Executor,
    /// The stage that owns the snapshots.
    pub archive: Archive,
    /// Checks peers' messages.
    pub checker: P::Checker,
    /// Holds the directory's lock for as long as the node lives.
    pub data_dir: DataDir,
    /// What was found.
    pub recovery: Recovery,
}

/// What was found on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Which life of the node this is.
    pub incarnation: u64,
    /// The index of the snapshot that the store was loaded from.
    pub snapshot: Option<Index>,
    /// How many records the log holds.
    pub records: usize,
    /// The last record's number.
    pub last_lsn: Lsn,
    /// The torn tail that was cut, if there was one.
    pub torn: Option<TornTail>,
}

/// Why a replica cannot be opened. Nothing on disk was changed by the failure.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory, the log or a snapshot is in use, damaged, or another's.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// A snapshot passes its checksums but is not a state of the store.
    #[error("snapshot {index} in {}: {source}", path.display())]
    Snapshot {
        /// Of which index.
        index: Index,
        /// The data directory.
        path: PathBuf,
        /// What is wrong.
        source: RestoreError,
    },
    /// A record passes its checksum but is not a record of this protocol.
    #[error("record {lsn} in {}: {source}; see `consensusctl wal inspect {}`", path.display(), shell_path(path))]
    Record {
        /// Which.
        lsn: Lsn,
        /// The data directory.
        path: PathBuf,
        /// What is wrong.
        source: DecodeError,
    },
    /// The protocol's replicas cannot be told to do that.
    #[error("{0}")]
    Misbehaviour(String),
    /// The log contradicts itself or its snapshot.
    #[error("{}: {source}; see `consensusctl wal inspect {}`", path.display(), shell_path(path))]
    Recover {
        /// The data directory.
        path: PathBuf,
        /// What is wrong.
        source: RecoverError,
    },
}

/// Opens the replica whose data lies in `config.data_dir`, initialising the directory if that is allowed.
pub fn open<P: Protocol>(disk: Arc<dyn Disk>, config: EngineConfig<P>) -> Result<Opened<P>, OpenError> {
    let identity = Identity { cluster_id: config.cluster_id, node: config.id, protocol: P::NAME.to_owned() };
    let path = config.data_dir;
    let data_dir = DataDir::open(disk, &path, identity, config.wal, config.create)?;
    let incarnation = data_dir.incarnation();
    let snapshots = data_dir.open_snapshots()?;
    let retention = Retention::from(P::ANSWERS);
    let (snapshot, store) = load(&snapshots, retention, &path)?;
    let (wal, log) = data_dir.open_wal()?;
    let records = decode::<P>(log.records, &path)?;

    let setup = Setup {
        id: config.id,
        cluster_id: config.cluster_id,
        keys: config.keys,
        members: config.members,
        incarnation,
        seed: config.seed,
        now: config.now,
        request_timeout: config.request_timeout,
        options: config.options,
    };
    let checker = P::checker(&setup);
    let recovery = Recovery {
        incarnation,
        snapshot: snapshot.as_ref().map(|meta| meta.index),
        records: records.len(),
        last_lsn: log.next_lsn.prev(),
        torn: log.torn,
    };
    let epoch = snapshot.as_ref().map_or(Epoch::ZERO, |meta| meta.epoch);
    let members = snapshot.as_ref().map_or_else(|| setup.members.clone(), |meta| meta.members.clone());
    let executor =
        Executor::new(store, P::ANSWERS, (config.id, incarnation), members, epoch, config.piece_bytes);
    let recovered = Recovered { snapshot, records, next_lsn: log.next_lsn };
    let mut protocol = P::recover(setup, recovered).map_err(|source| OpenError::Recover { path, source })?;
    protocol.misbehave(config.misbehaviour).map_err(OpenError::Misbehaviour)?;
    let applied = executor.store().applied();
    Ok(Opened {
        sequencer: Sequencer::new(protocol, config.now, recovery.last_lsn, applied),
        logger: Logger::new(wal),
        executor,
        archive: Archive::new(snapshots, retention),
        checker,
        data_dir,
        recovery,
    })
}

/// Loads the store from the newest snapshot, checking every piece against the digest.
fn load(
    snapshots: &Snapshots,
    retention: Retention,
    path: &Path,
) -> Result<(Option<SnapshotMeta>, Store), OpenError> {
    let Some(reader) = snapshots.reader()? else { return Ok((None, Store::keeping(retention))) };
    let meta = reader.meta().clone();
    let damaged = |source| OpenError::Snapshot { index: meta.index, path: path.to_owned(), source };
    let mut restore = Restore::new(retention, meta.index, meta.digest);
    for number in 0..meta.pieces {
        restore.add(number, reader.piece(number)?).map_err(damaged)?;
    }
    let store = restore.finish().map_err(damaged)?;
    Ok((Some(meta), store))
}

fn decode<P: Protocol>(
    records: Vec<(Lsn, bytes::Bytes)>,
    path: &Path,
) -> Result<Vec<(Lsn, P::Record)>, OpenError> {
    let decode = |(lsn, bytes)| match P::Record::from_bytes(bytes) {
        Ok(record) => Ok((lsn, record)),
        Err(source) => Err(OpenError::Record { lsn, path: path.to_owned(), source }),
    };
    records.into_iter().map(decode).collect()
}
