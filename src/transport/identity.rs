//! The metadata of a stream: who calls whom, in which cluster, with which protocol.
//!
//! They keep apart what a wrong configuration mixes up: two clusters on one machine, or two members whose addresses were
//! swapped. The receiver is named too, because a response is counted for whom the caller believes to have called: a vote
//! counted for the wrong replica could elect two leaders.
//!
//! Where nodes have keys, the caller signs this, so that no member can call in another's name: its stream would take the
//! place of the other's. The receiver is in what is signed, and nobody else takes it. Whoever listens on the network
//! could use it again, and could cut the connection as well.

use std::fmt::Display;
use std::str::FromStr;

use tonic::Status;
use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue, MetadataMap};

use crate::consensus::{Keys, NodeId, Signature};

/// The metadata's keys.
const CLUSTER_ID: &str = "cluster-id";
const NODE_ID: &str = "node-id";
const PEER_ID: &str = "peer-id";
const PROTOCOL: &str = "protocol";
const INSTANCE: &str = "instance";
const PROCESS_ID: &str = "process-id";
const SIGNATURE: &str = "signature-bin";

/// Tells what is signed here from all else that is signed with the same keys.
const DOMAIN: &[u8] = b"consensusctl stream 2";

/// One end of the links.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) cluster_id: u64,
    pub(super) me: NodeId,
    pub(super) protocol: &'static str,
    /// Tells this process from all others that run, or ran, as the same replica. Drawn at random.
    pub(super) instance: u64,
    /// Its own secret key and everybody's public one; none where the protocol signs nothing.
    pub(super) keys: Keys,
}

impl Identity {
    /// Introduces this replica to `peer`.
    pub(super) fn introduce(&self, peer: NodeId, metadata: &mut MetadataMap) {
        metadata.insert(CLUSTER_ID, AsciiMetadataValue::from(self.cluster_id));
        metadata.insert(NODE_ID, AsciiMetadataValue::from(self.me.0));
        metadata.insert(PEER_ID, AsciiMetadataValue::from(peer.0));
        metadata.insert(PROTOCOL, AsciiMetadataValue::from_static(self.protocol));
        metadata.insert(INSTANCE, AsciiMetadataValue::from(self.instance));
        metadata.insert(PROCESS_ID, AsciiMetadataValue::from(std::process::id()));
        if let Some(signature) = self.keys.sign(&self.signed(self.me, peer, self.instance)) {
            metadata.insert_bin(SIGNATURE, BinaryMetadataValue::from_bytes(&signature.0));
        }
    }

    /// What an instance of `from` signs when it calls `to`.
    fn signed(&self, from: NodeId, to: NodeId, instance: u64) -> Vec<u8> {
        let numbers = [self.cluster_id, from.0, to.0, instance];
        DOMAIN.iter().copied().chain(numbers.into_iter().flat_map(u64::to_le_bytes)).collect()
    }

    /// Who calls; refuses whoever is of another cluster or protocol, or wanted to call someone else.
    pub(super) fn identify(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let cluster_id: u64 = read(metadata, CLUSTER_ID)?;
        if cluster_id != self.cluster_id {
            let ours = self.cluster_id;
            return Err(refusal(format!(
                "this replica is of cluster {ours:016x}, not of cluster {cluster_id:016x}"
            )));
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
        let caller = read(metadata, NODE_ID).map(NodeId)?;
        let (instance, process) = (read(metadata, INSTANCE)?, read(metadata, PROCESS_ID)?);
        if self.keys.public(caller).is_some() {
            let signature = metadata.get_bin(SIGNATURE).and_then(|value| value.to_bytes().ok());
            let signature = signature.and_then(|bytes| bytes[..].try_into().map(Signature).ok());
            let signed = self.signed(caller, self.me, instance);
            if !signature.is_some_and(|signature| self.keys.verify(caller, &signed, &signature)) {
                return Err(refusal(format!("the stream is not signed with the key of {caller}")));
            }
        }
        Ok(Caller { id: caller, instance, process })
    }
}

/// Who opened a stream.
pub(super) struct Caller {
    pub(super) id: NodeId,
    /// Which of the processes that ran as this one.
    pub(super) instance: u64,
    /// Its pid.
    pub(super) process: u32,
}

/// Who a caller says it is, true or not.
pub(super) fn claimed(metadata: &MetadataMap) -> Option<NodeId> {
    read(metadata, NODE_ID).ok().map(NodeId)
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
