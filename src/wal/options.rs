//! Whose data it is, and how the log is cut into files.

use serde::Serialize;

use super::error::WalError;
use super::segment::{BATCH_HEADER_BYTES, HEADER_BYTES, RECORD_HEADER_BYTES};
use crate::consensus::NodeId;
use std::path::Path;

/// Whose data a directory holds. Every file in it says so, and is refused by others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: u64,
    /// The member.
    #[serde(serialize_with = "node_as_number")]
    pub node: NodeId,
    /// The protocol's name: [`crate::consensus::Protocol::NAME`], at most 32 bytes.
    pub protocol: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn node_as_number<S: serde::Serializer>(node: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(node.0)
}

impl Identity {
    /// Refuses what belongs to another cluster, node or protocol.
    pub(super) fn check(&self, path: &Path, found: &Self) -> Result<(), WalError> {
        let differs = |what, found: String, expected: String| {
            Err(WalError::OtherOwner { path: path.to_owned(), what, found, expected })
        };
        if found.cluster_id != self.cluster_id {
            let (found, expected) =
                (format!("{:016x}", found.cluster_id), format!("{:016x}", self.cluster_id));
            return differs("cluster", found, expected);
        }
        if found.node != self.node {
            return differs("node", found.node.to_string(), self.node.to_string());
        }
        if found.protocol != self.protocol {
            return differs("protocol", found.protocol.clone(), self.protocol.clone());
        }
        Ok(())
    }
}

/// How the log is cut into files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// Length of a new segment, in bytes. Old ones keep theirs.
    pub segment_bytes: u64,
    /// On a full disk the log reports [`crate::consensus::Pressure::Full`] while it has less room than this, in bytes:
    /// enough for everything that may be in flight when proposals begin to be refused.
    pub full_below: u64,
    /// The end of the last segment, in bytes, that only small batches may use while no other segment is ready: room for
    /// terms and votes on a full disk.
    pub reserve: u64,
    /// What a small batch is, in bytes.
    pub small: u64,
    /// A number that clients cannot know, best another in each life of the node. It salts the checksums of new segments,
    /// so that no value can be made to look like a batch.
    pub salt: u64,
}

impl WalOptions {
    /// The proportions of the default, for segments of another length (at least 1 KiB).
    pub fn with_segment_bytes(segment_bytes: u64) -> Self {
        let segment_bytes = segment_bytes.max(2 * HEADER_BYTES).next_multiple_of(8);
        Self {
            segment_bytes,
            full_below: segment_bytes / 4,
            reserve: segment_bytes / 16,
            small: (segment_bytes / 2048).max(128),
            salt: 0,
        }
    }

    /// With longer segments, if a record of so many bytes would not fit into one.
    #[must_use]
    pub fn holding(self, record_bytes: u64) -> Self {
        let least = record_bytes + HEADER_BYTES + BATCH_HEADER_BYTES + RECORD_HEADER_BYTES;
        if self.segment_bytes >= least {
            return self;
        }
        Self { salt: self.salt, ..Self::with_segment_bytes(least) }
    }
}

impl Default for WalOptions {
    /// Segments of 8 MiB: room for five of the largest requests that etcd lets through by default (1.5 MiB), and still
    /// filled with zeros within tens of milliseconds.
    fn default() -> Self {
        Self::with_segment_bytes(8 << 20)
    }
}
