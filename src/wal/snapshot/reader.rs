//! Reading a snapshot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::super::disk::{Disk, DiskFile, OpenMode};
use super::super::error::{WalError, cannot};
use super::super::options::Identity;
use super::super::segment::{check_format, crc32c};
use super::{END_MAGIC, FIXED_BYTES, FOOTER_BYTES, MAGIC, PIECE_HEADER_BYTES, snapshot_index};
use crate::consensus::{Decode, DecodeError, NodeId, Reader, SnapshotMeta};

/// An open snapshot. It keeps working when the file is replaced or removed.
#[derive(Clone, Debug)]
pub struct SnapshotReader {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    identity: Identity,
    meta: SnapshotMeta,
    /// Where each piece begins.
    table: Vec<u64>,
    /// Where the pieces end.
    end: u64,
}

impl SnapshotReader {
    /// Opens a snapshot of `identity` and checks its frame.
    pub fn open(disk: &dyn Disk, path: &Path, identity: &Identity) -> Result<Self, WalError> {
        let reader = Self::open_any(disk, path)?;
        identity.check(path, &reader.identity)?;
        Ok(reader)
    }

    /// Opens anyone's snapshot and checks its frame.
    pub(in crate::wal) fn open_any(disk: &dyn Disk, path: &Path) -> Result<Self, WalError> {
        let file = disk.open(path, OpenMode::Read).map_err(cannot("open", path))?;
        let frame = Frame { path, file: &*file, bytes: file.len().map_err(cannot("read", path))? };
        let (body, body_crc) = frame.body()?;
        let (identity, meta) = decode_body(body).map_err(|error| frame.damaged(&error.to_string()))?;
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        if snapshot_index(&name) != Some(meta.index) {
            return Err(frame.damaged(&format!("it is of index {}, which its name does not say", meta.index)));
        }
        let (table, end) = frame.table(body_crc, meta.pieces)?;
        Ok(Self { path: path.to_owned(), identity, meta, table, end, file })
    }

    /// What the snapshot is of.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reads a piece and checks it.
    pub fn piece(&self, number: u32) -> Result<Bytes, WalError> {
        let Some(&offset) = self.table.get(number as usize) else {
            let expected = format!("one of {}", self.meta.pieces);
            return Err(WalError::WrongPiece { index: self.meta.index, number, expected });
        };
        let end = self.table.get(number as usize + 1).copied().unwrap_or(self.end);
        let frame = Frame { path: &self.path, file: &*self.file, bytes: self.end };
        let mut piece = Bytes::from(frame.read(offset, end.saturating_sub(offset))?);
        let damaged =
            || frame.damaged(&format!("piece {number} at offset {offset} does not match its checksum"));
        if piece.len() < PIECE_HEADER_BYTES as usize {
            return Err(damaged());
        }
        let head = piece.slice(..8);
        let (found, length, crc) = (piece.get_u32_le(), piece.get_u32_le(), piece.get_u32_le());
        if found != number || length as usize != piece.len() || crc != crc32c(&[&head, &piece]) {
            return Err(damaged());
        }
        Ok(piece)
    }
}

/// A snapshot's file while its frame is read.
struct Frame<'a> {
    path: &'a Path,
    file: &'a dyn DiskFile,
    bytes: u64,
}

impl Frame<'_> {
    fn damaged(&self, why: &str) -> WalError {
        WalError::Damaged { path: self.path.to_owned(), why: why.to_owned() }
    }

    fn read(&self, offset: u64, count: u64) -> Result<Vec<u8>, WalError> {
        if offset.checked_add(count).is_none_or(|end| end > self.bytes) {
            return Err(self.damaged("it ends too early"));
        }
        let mut buf = vec![0; count as usize];
        let read = self.file.read_at(offset, &mut buf).map_err(cannot("read", self.path))?;
        if read < buf.len() { Err(self.damaged("it ends too early")) } else { Ok(buf) }
    }

    /// The header's body and its checksum.
    fn body(&self) -> Result<(Bytes, u32), WalError> {
        let mut fixed = Bytes::from(self.read(0, FIXED_BYTES)?);
        if &fixed.split_to(8)[..] != MAGIC {
            return Err(self.damaged("it does not begin as a snapshot does"));
        }
        let (found, crc, length) = (fixed.get_u32_le(), fixed.get_u32_le(), fixed.get_u32_le());
        check_format(self.path, found)?;
        let body = self.read(FIXED_BYTES, length.into())?;
        if crc32c(&[&body]) != crc {
            return Err(self.damaged("its header does not match its checksum"));
        }
        Ok((body.into(), crc))
    }

    /// Where the pieces begin, and where they end.
    fn table(&self, body_crc: u32, pieces: u32) -> Result<(Vec<u64>, u64), WalError> {
        let mut footer = Bytes::from(self.read(self.bytes.saturating_sub(FOOTER_BYTES), FOOTER_BYTES)?);
        let (end, count, crc, bytes) =
            (footer.get_u64_le(), footer.get_u32_le(), footer.get_u32_le(), footer.get_u64_le());
        let table_bytes = u64::from(count) * 8;
        let whole = &footer[..] == END_MAGIC
            && bytes == self.bytes
            && count == pieces
            && end.checked_add(table_bytes + FOOTER_BYTES) == Some(bytes);
        if !whole {
            return Err(self.damaged("its end is missing or damaged"));
        }
        let mut table = Bytes::from(self.read(end, table_bytes)?);
        if crc32c(&[&table, &body_crc.to_le_bytes()]) != crc {
            return Err(self.damaged("its table of pieces does not match its checksum"));
        }
        Ok(((0..count).map(|_| table.get_u64_le()).collect(), end))
    }
}

fn decode_body(body: Bytes) -> Result<(Identity, SnapshotMeta), DecodeError> {
    let mut reader = Reader::new(body);
    let cluster_id = reader.u64()?;
    let node = NodeId::decode(&mut reader)?;
    let protocol = String::from_utf8_lossy(&reader.bytes()?).into_owned();
    let meta = SnapshotMeta::decode(&mut reader)?;
    reader.finish()?;
    Ok((Identity { cluster_id, node, protocol }, meta))
}
