//! The metadata of a stream: who calls whom, in which cluster, with which protocol.
//!
//! They keep apart what a wrong configuration mixes up: two clusters on one machine, or two members whose addresses were
//! swapped. The receiver is named too, because a response is counted for whom the caller believes to have called: a vote
//! counted for the wrong replica could elect two leaders.

use std::fmt::Display;
use std::str::FromStr;

use tonic::Status;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use crate::consensus::NodeId;

/// The metadata's keys.
const CLUSTER_ID: &str = "cluster-id";
const NODE_ID: &str = "node-id";
const PEER_ID: &str = "peer-id";
const PROTOCOL: &str = "protocol";

/// One end of the links.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) cluster_id: u64,
    pub(super) me: NodeId,
    pub(super) protocol: &'static str,
}

impl Identity {
    /// Introduces this replica to `peer`.
    pub(super) fn introduce(&self, peer: NodeId, metadata: &mut MetadataMap) {
        metadata.insert(CLUSTER_ID, AsciiMetadataValue::from(self.cluster_id));
        metadata.insert(NODE_ID, AsciiMetadataValue::from(self.me.0));
        metadata.insert(PEER_ID, AsciiMetadataValue::from(peer.0));
        metadata.insert(PROTOCOL, AsciiMetadataValue::from_static(self.protocol));
    }

    /// Who calls; refuses whoever is of another cluster or protocol, or wanted to call someone else.
    pub(super) fn identify(&self, metadata: &MetadataMap) -> Result<NodeId, Status> {
        let cluster_id: u64 = read(metadata, CLUSTER_ID)?;
        if cluster_id != self.cluster_id {
            let ours = self.cluster_id;
            return Err(refusal(format!("this replica is of cluster {ours}, not of cluster {cluster_id}")));
        }
        let protocol: String = read(metadata, PROTOCOL)?;
        if protocol != self.protocol {
            let ours = self.protocol;
            return Err(refusal(format!("this cluster runs {ours}, not {protocol}")));
        }
        let peer: u64 = read(metadata, PEER_ID)?;
        if peer != self.me.0 {
            let me = self.me;
            return Err(refusal(format!("this is replica {me}, not {peer}: compare the members' addresses")));
        }
        read(metadata, NODE_ID).map(NodeId)
    }
}

/// Refuses a caller that is in the wrong place. Calling again does not help until a configuration has changed.
pub(super) fn refusal(why: impl Display) -> Status {
    Status::failed_precondition(why.to_string())
}

fn read<T: FromStr>(metadata: &MetadataMap, key: &'static str) -> Result<T, Status> {
    metadata.get(key).and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok()).ok_or_else(
        || {
            Status::invalid_argument(format!(
                "metadata {key:?} is missing or malformed; this service is for replicas, clients use etcdserverpb.KV"
            ))
        },
    )
}
