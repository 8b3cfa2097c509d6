//! The bytes of a segment: its header, its batches. The drawing is in the [module](super).

use bytes::{Bytes, BytesMut};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use super::error::WalError;
use super::options::Identity;
use crate::consensus::{Lsn, NodeId, Reader};

/// The header fills a sector of its own, so that a torn first batch cannot damage it.
pub(super) const HEADER_BYTES: u64 = 512;
/// A batch without its payload.
pub(super) const BATCH_HEADER_BYTES: u64 = 40;
/// A record's length stands before it.
pub(super) const RECORD_HEADER_BYTES: u64 = 4;
/// The newest format of segments, snapshots and data directories that is known here.
pub const FORMAT: u32 = 2;

/// Refuses a file of another format.
pub(super) fn check_format(path: &Path, found: u32) -> Result<(), WalError> {
    let (path, known) = (path.to_owned(), FORMAT);
    match found.cmp(&FORMAT) {
        Ordering::Less => Err(WalError::OlderFormat { path, found, known }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(WalError::NewerFormat { path, found, known }),
    }
}

const SEGMENT_MAGIC: &[u8; 8] = b"CCTL-WAL";
const BATCH_MAGIC: &[u8; 4] = b"BTCH";
const PROTOCOL_BYTES: usize = 32;
const NAME_ENDING: &str = ".wal";
/// The ending of files that are not finished; whoever opens the directory removes them.
pub(super) const UNFINISHED: &str = ".tmp";

/// CRC32C over several pieces as if they were one.
pub(super) fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    digest.finalize() as u32
}

/// The file of segment `id`.
pub(super) fn segment_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}{NAME_ENDING}"))
}

/// The id in a segment's file name; `None` for other files.
pub(super) fn segment_id(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(NAME_ENDING)?;
    if digits.len() == 16 { u64::from_str_radix(digits, 16).ok() } else { None }
}

/// What stands at the front of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) identity: Identity,
    pub(super) id: u64,
    /// A number that clients cannot know: see [`Salt`].
    pub(super) salt: u64,
    /// The file's length.
    pub(super) bytes: u64,
    /// Old batches of another segment may stand behind this one's.
    pub(super) recycled: bool,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut buf = vec![0; HEADER_BYTES as usize];
        buf[..8].copy_from_slice(SEGMENT_MAGIC);
        buf[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let fields = [self.identity.cluster_id, self.identity.node.0, self.id, self.salt, self.bytes];
        for (at, field) in (16..).step_by(8).zip(fields) {
            buf[at..at + 8].copy_from_slice(&field.to_le_bytes());
        }
        let protocol = self.identity.protocol.as_bytes();
        buf[56..56 + protocol.len()].copy_from_slice(protocol);
        buf[88] = u8::from(self.recycled);
        let crc = crc32c(&[&buf]);
        buf[12..16].copy_from_slice(&crc.to_le_bytes());
        buf
    }

    /// Reads the header of the segment in file `path`.
    pub(super) fn decode(path: &Path, buf: &[u8]) -> Result<Self, WalError> {
        let damaged = |why: &str| WalError::Damaged { path: path.to_owned(), why: why.to_owned() };
        let Some(header) = buf.get(..HEADER_BYTES as usize) else {
            return Err(damaged("the segment ends within its header"));
        };
        if &header[..8] != SEGMENT_MAGIC {
            return Err(damaged("it does not begin as a segment of the log does"));
        }
        let found = u32_at(header, 8);
        if crc32c(&[&header[..12], &[0; 4], &header[16..]]) != u32_at(header, 12) {
            return Err(damaged("the segment's header does not match its checksum"));
        }
        check_format(path, found)?;
        let name = &header[56..56 + PROTOCOL_BYTES];
        let name = &name[..name.iter().position(|&byte| byte == 0).unwrap_or(PROTOCOL_BYTES)];
        let identity = Identity {
            cluster_id: u64_at(header, 16),
            node: NodeId(u64_at(header, 24)),
            protocol: String::from_utf8_lossy(name).into_owned(),
        };
        Ok(Self {
            identity,
            id: u64_at(header, 32),
            salt: u64_at(header, 40),
            bytes: u64_at(header, 48),
            recycled: header[88] != 0,
        })
    }
}

/// What a batch's checksums are salted with.
///
/// The segment's id keeps the old batches of a recycled segment from being taken for new ones. The second number comes
/// from outside and is unknown to clients, so that a value that was made to look like a batch is never taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Salt([u8; 16]);

impl Salt {
    pub(super) fn of(header: &SegmentHeader) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&header.id.to_le_bytes());
        bytes[8..].copy_from_slice(&header.salt.to_le_bytes());
        Self(bytes)
    }
}

/// A batch that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Where it begins in its segment.
    pub(super) offset: u64,
    /// How much it takes there.
    pub(super) bytes: u64,
    pub(super) sequence: u64,
    pub(super) first: Lsn,
    pub(super) count: u32,
}

impl Batch {
    pub(super) const fn end(&self) -> u64 {
        self.offset + self.bytes
    }

    /// The number behind its last record's.
    pub(super) const fn next_lsn(&self) -> Lsn {
        Lsn(self.first.0.saturating_add(self.count as u64))
    }
}

/// What a batch of these records takes in a segment.
pub(super) fn batch_bytes(records: &[(Lsn, Bytes)]) -> u64 {
    let payload: u64 = records.iter().map(|(_, record)| RECORD_HEADER_BYTES + record.len() as u64).sum();
    (BATCH_HEADER_BYTES + payload).next_multiple_of(8)
}

/// Fills `buf` with the batch of these records, whose numbers are consecutive.
pub(super) fn encode_batch(buf: &mut Vec<u8>, salt: Salt, sequence: u64, records: &[(Lsn, Bytes)]) {
    buf.clear();
    buf.resize(BATCH_HEADER_BYTES as usize, 0);
    for (_, record) in records {
        buf.extend_from_slice(&(record.len() as u32).to_le_bytes());
        buf.extend_from_slice(record);
    }
    let payload = buf.len() - BATCH_HEADER_BYTES as usize;
    buf.resize(buf.len().next_multiple_of(8), 0);
    buf[..4].copy_from_slice(BATCH_MAGIC);
    buf[8..16].copy_from_slice(&sequence.to_le_bytes());
    buf[16..24].copy_from_slice(&records[0].0.0.to_le_bytes());
    buf[24..28].copy_from_slice(&(payload as u32).to_le_bytes());
    buf[28..32].copy_from_slice(&(records.len() as u32).to_le_bytes());
    let header_crc = crc32c(&[&salt.0, &buf[8..32]]);
    buf[32..36].copy_from_slice(&header_crc.to_le_bytes());
    let crc = crc32c(&[&salt.0, &buf[8..]]);
    buf[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// What stands at an offset of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Valid(Batch),
    /// The header of a batch of this segment, whose rest does not match it.
    Headed {
        bytes: u64,
    },
    Nothing,
}

/// Looks for a batch at `offset` of a whole segment.
pub(super) fn parse_batch(segment: &[u8], offset: u64, salt: Salt) -> Parsed {
    let Some(rest) = segment.get(offset as usize..) else { return Parsed::Nothing };
    let Some(header) = rest.get(..BATCH_HEADER_BYTES as usize) else { return Parsed::Nothing };
    // The magic alone rejects nearly every offset, which keeps the search for later batches cheap.
    if &header[..4] != BATCH_MAGIC || crc32c(&[&salt.0, &header[8..32]]) != u32_at(header, 32) {
        return Parsed::Nothing;
    }
    let (payload, count) = (u64::from(u32_at(header, 24)), u32_at(header, 28));
    let bytes = (BATCH_HEADER_BYTES + payload).next_multiple_of(8);
    let Some(batch) = rest.get(..bytes as usize) else { return Parsed::Nothing };
    if crc32c(&[&salt.0, &batch[8..]]) != u32_at(header, 4) {
        return Parsed::Headed { bytes };
    }
    if !is_framed(&batch[BATCH_HEADER_BYTES as usize..][..payload as usize], count) {
        return Parsed::Nothing;
    }
    let first = Lsn(u64_at(header, 16));
    Parsed::Valid(Batch { offset, bytes, sequence: u64_at(header, 8), first, count })
}

/// Whether a payload is this many records and no more. A batch that matches its checksums is, unless someone made it up.
fn is_framed(mut payload: &[u8], count: u32) -> bool {
    for _ in 0..count {
        let Some((length, rest)) = payload.split_at_checked(RECORD_HEADER_BYTES as usize) else {
            return false;
        };
        let Some(rest) = rest.get(u32_at(length, 0) as usize..) else { return false };
        payload = rest;
    }
    count > 0 && payload.is_empty()
}

/// The records of a batch that [`parse_batch`] found valid. They share one copy of the payload.
pub(super) fn records_of(segment: &[u8], batch: &Batch) -> Vec<(Lsn, Bytes)> {
    let payload = &segment[(batch.offset + BATCH_HEADER_BYTES) as usize..batch.end() as usize];
    let mut reader = Reader::new(BytesMut::from(payload).freeze());
    (batch.first.0..batch.next_lsn().0)
        .map(|lsn| (Lsn(lsn), reader.bytes().expect("a valid batch is framed")))
        .collect()
}

fn u32_at(buf: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(buf[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(buf: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(buf[at..at + 8].try_into().expect("eight bytes"))
}
