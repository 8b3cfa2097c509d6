//! Writing a snapshot piece by piece.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::super::disk::{DiskFile, OpenMode};
use super::super::error::{WalError, cannot};
use super::super::options::Identity;
use super::super::segment::{FORMAT, crc32c};
use super::{END_MAGIC, FIXED_BYTES, FOOTER_BYTES, MAGIC, Snapshots};
use crate::consensus::{Encode, SnapshotMeta};

/// After how many bytes what was written is synced. One sync of a whole large snapshot would take seconds, in which
/// whoever writes it could not prepare a segment for the log either.
const SYNC_BYTES: u64 = 8 << 20;

/// A snapshot that is being written. Dropped before [`finish`](Self::finish), it leaves nothing.
#[derive(Debug)]
pub struct SnapshotWriter {
    snapshots: Snapshots,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    meta: SnapshotMeta,
    /// Checksum of the header's body.
    body_crc: u32,
    /// Where each piece begins.
    table: Vec<u64>,
    end: u64,
    /// Up to where it was synced.
    synced: u64,
    finished: bool,
}

impl SnapshotWriter {
    pub(super) fn begin(snapshots: Snapshots, path: PathBuf, meta: SnapshotMeta) -> Result<Self, WalError> {
        let file = snapshots.0.disk.open(&path, OpenMode::Create).map_err(cannot("create", &path))?;
        let body = encode_body(&snapshots.0.identity, &meta);
        let body_crc = crc32c(&[&body]);
        let mut header = BytesMut::with_capacity(FIXED_BYTES as usize + body.len());
        header.put_slice(MAGIC);
        header.put_u32_le(FORMAT);
        header.put_u32_le(body_crc);
        header.put_u32_le(body.len() as u32);
        header.put_slice(&body);
        let (table, end) = (Vec::new(), 0);
        let mut writer =
            Self { snapshots, file, path, meta, body_crc, table, end, synced: 0, finished: false };
        writer.append(&header)?;
        Ok(writer)
    }

    /// What the snapshot is of.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// The number of the piece that is wanted next.
    pub fn next(&self) -> u32 {
        self.table.len() as u32
    }

    /// Writes a piece; they come in order. Nothing is durable before [`finish`](Self::finish).
    pub fn put(&mut self, number: u32, content: &[u8]) -> Result<(), WalError> {
        if number != self.next() || number >= self.meta.pieces {
            let expected = format!("piece {} of {}", self.next(), self.meta.pieces);
            return Err(WalError::WrongPiece { index: self.meta.index, number, expected });
        }
        let offset = self.end;
        let mut piece = BytesMut::with_capacity(content.len() + super::PIECE_HEADER_BYTES as usize);
        piece.put_u32_le(number);
        piece.put_u32_le(content.len() as u32);
        piece.put_u32_le(crc32c(&[&piece[..8], content]));
        piece.put_slice(content);
        self.append(&piece)?;
        self.table.push(offset);
        if self.end - self.synced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes the snapshot durable and the newest, and removes the one before it.
    pub fn finish(mut self) -> Result<SnapshotMeta, WalError> {
        if self.next() != self.meta.pieces {
            let expected = format!("the last of {}: pieces are missing", self.meta.pieces);
            let number = self.next();
            return Err(WalError::WrongPiece { index: self.meta.index, number, expected });
        }
        let footer = self.footer();
        self.append(&footer)?;
        self.sync()?;
        self.snapshots.publish(&self.path, &self.meta)?;
        self.finished = true;
        Ok(self.meta.clone())
    }

    fn footer(&self) -> BytesMut {
        let mut footer = BytesMut::new();
        self.table.iter().for_each(|offset| footer.put_u64_le(*offset));
        let crc = crc32c(&[&footer, &self.body_crc.to_le_bytes()]);
        let bytes = self.end + footer.len() as u64 + FOOTER_BYTES;
        footer.put_u64_le(self.end);
        footer.put_u32_le(self.meta.pieces);
        footer.put_u32_le(crc);
        footer.put_u64_le(bytes);
        footer.put_slice(END_MAGIC);
        footer
    }

    fn sync(&mut self) -> Result<(), WalError> {
        self.file.sync_data().map_err(cannot("sync", &self.path))?;
        self.synced = self.end;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), WalError> {
        self.file.write_at(self.end, bytes).map_err(cannot("write", &self.path))?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Only to give the room back early: what cannot be removed now is removed when the directory is next opened.
            let _ = self.snapshots.0.disk.remove(&self.path);
        }
    }
}

fn encode_body(identity: &Identity, meta: &SnapshotMeta) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u64_le(identity.cluster_id);
    identity.node.encode(&mut body);
    body.put_u32_le(identity.protocol.len() as u32);
    body.put_slice(identity.protocol.as_bytes());
    meta.encode(&mut body);
    body
}
