//! A client of one node's `ControlService`.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tonic::{Response, Status};

use super::Error;
use super::endpoint::{Endpoint, connection_failed, words_of};
use crate::consensus::{Misbehaviour, NodeId};
use crate::transport::{Effect, Rule};
use crate::wal::DiskFault;
use crate::wire::pb::control as pb;
use crate::wire::pb::etcdserverpb::cluster_client::ClusterClient;
use crate::wire::pb::etcdserverpb::{Member, MemberListRequest};
use pb::control_service_client::ControlServiceClient;

/// How long a node has to answer, unless the caller says otherwise. A node answers these calls without waiting for
/// its disk or its peers, except for a transfer of leadership.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long a transfer of leadership may take at least: the leader waits for its successor to catch up, and for an
/// election.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest piece of evidence that is taken: two messages that each fit into a segment of the default size.
const MAX_PIECE_BYTES: usize = 16 << 20;

/// The most pieces of evidence that one node is asked for: a few of each kind against each other member.
const MAX_PIECES: u64 = 1024;

/// Asks one node how it is, and breaks it on purpose. Clones share the connection, which comes about with the first
/// call and again after it broke, so that one client outlives restarts of its node.
#[derive(Clone, Debug)]
pub struct ControlClient {
    endpoint: Endpoint,
    timeout: Duration,
}

/// Who answers at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster_id: u64,
    /// Its protocol.
    pub protocol: String,
    /// Grows with every start of the node.
    pub incarnation: u64,
}

/// How a node sees itself and the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// The node.
    pub id: u64,
    /// Its cluster.
    pub cluster_id: u64,
    /// Its cluster's name.
    pub cluster_name: String,
    /// Its protocol.
    pub protocol: String,
    /// Grows with every start of the node.
    pub incarnation: u64,
    /// `leader`, `follower` and what else [`crate::consensus::Role`] names.
    pub role: String,
    /// Its epoch.
    pub epoch: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// The highest index that it holds.
    pub last: u64,
    /// The highest index that it knows to be committed.
    pub committed: u64,
    /// The highest index that its store has executed.
    pub applied: u64,
    /// The index of its newest durable snapshot.
    pub snapshot: u64,
    /// The digest of its state at `digest_at`, in hexadecimal; `None` in a brief report.
    pub digest: Option<String>,
    /// The index that `digest` is of.
    pub digest_at: u64,
    /// The store's revision.
    pub revision: u64,
    /// How a leader sees its peers; empty elsewhere.
    pub peers: Vec<PeerReport>,
    /// What keeps it from being healthy, in words.
    pub why: Vec<String>,
    /// What it did since its start.
    pub counters: CounterReport,
    /// Peers that a partition blocks.
    pub blocked: Vec<u64>,
    /// Bytes of the store's keys and values.
    pub store_bytes: u64,
    /// Its process.
    pub pid: u64,
    /// Whether faults may be set.
    pub laboratory: bool,
    /// What only its protocol has, by name, as `low_water_mark`.
    pub details: BTreeMap<String, u64>,
    /// How it lies to the others, on purpose: the name of the behaviour.
    pub malicious: Option<String>,
    /// The same with all that was said of it.
    pub misbehaviour: Option<Misbehaviour>,
    /// Whom it can prove to lie.
    pub convicted: Vec<ConvictionReport>,
    /// Whom it suspects, without proof.
    pub suspicions: Vec<SuspicionReport>,
}

/// A node can prove that another one lied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConvictionReport {
    /// Who lied.
    pub id: u64,
    /// How many pieces of evidence the node keeps against it.
    pub pieces: u64,
    /// What the newest piece proves, in words.
    pub newest: String,
}

/// A node suspects another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SuspicionReport {
    /// Who is suspected.
    pub id: u64,
    /// Of what, as `silent`.
    pub what: String,
    /// What was observed, in words.
    pub why: String,
    /// How often.
    pub times: u64,
}

/// How a leader sees a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PeerReport {
    /// The peer.
    pub id: u64,
    /// The highest index that it is known to hold.
    pub matched: u64,
    /// Whether it was heard of lately.
    pub active: bool,
    /// What the leader is doing for it, in words.
    pub state: String,
    /// What keeps it from being well, as the leader sees it: a sentence about it, without its name.
    pub why: Option<String>,
}

/// What a node did since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CounterReport {
    /// Syncs of the log.
    pub fsyncs: u64,
    /// Batches written to the log.
    pub wal_batches: u64,
    /// Records written to the log.
    pub wal_records: u64,
    /// Bytes written to the log.
    pub wal_bytes: u64,
    /// Messages to peers.
    pub messages_sent: u64,
    /// Messages from peers.
    pub messages_received: u64,
    /// Bytes to peers.
    pub bytes_sent: u64,
    /// Commands that clients of this node proposed.
    pub proposals: u64,
    /// Commands that the store executed.
    pub applied_commands: u64,
    /// The longest sync, in microseconds.
    pub fsync_max_us: u64,
    /// The last sync, in microseconds.
    pub fsync_last_us: u64,
    /// Signatures made.
    pub signatures: u64,
    /// Signatures checked; what was remembered to be true is not among them.
    pub verifications: u64,
}

impl ControlClient {
    /// A client of the node at `host:port`. Nothing is sent yet; must be called within a runtime.
    pub fn new(address: &str) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::new(address)?, timeout: TIMEOUT })
    }

    /// The same client with another time-out for each call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The node's address.
    pub fn address(&self) -> &str {
        self.endpoint.name()
    }

    /// Asks who is there.
    pub async fn ping(&self) -> Result<Ping, Error> {
        let pong = self.call(self.client().ping(pb::PingRequest {})).await?;
        Ok(Ping {
            node: NodeId(pong.node_id),
            cluster_id: pong.cluster_id,
            protocol: pong.protocol,
            incarnation: pong.incarnation,
        })
    }

    /// How the node sees itself and the cluster; a brief report leaves out the digest, which costs work.
    pub async fn status(&self, brief: bool) -> Result<NodeReport, Error> {
        let status = self.call(self.client().get_status(pb::GetStatusRequest { brief })).await?;
        Ok(status.into())
    }

    /// The members of the node's cluster, by id and address, as its configuration has them.
    pub async fn members(&self) -> Result<Vec<(u64, String)>, Error> {
        let mut etcd = ClusterClient::new(self.endpoint.channel());
        let answer = self.call(etcd.member_list(MemberListRequest {})).await?;
        let member = |member: Member| {
            let url = member.peer_ur_ls.into_iter().next()?;
            Some((member.id, url.strip_prefix("http://").unwrap_or(&url).to_owned()))
        };
        Ok(answer.members.into_iter().filter_map(member).collect())
    }

    /// The pieces of evidence that the node holds against others, each in its protocol's bytes: not checked yet.
    pub async fn evidence(&self) -> Result<Vec<Bytes>, Error> {
        let client = || self.client().max_decoding_message_size(MAX_PIECE_BYTES);
        let mut pieces = Vec::new();
        for number in 0..MAX_PIECES {
            let answer = self.call(client().get_evidence(pb::GetEvidenceRequest { number })).await?;
            if !answer.piece.is_empty() {
                pieces.push(answer.piece);
            }
            if number + 1 >= answer.total {
                break;
            }
        }
        Ok(pieces)
    }

    /// Cuts the node off from these peers and no others, in both directions; none heals it. Answers who is blocked.
    pub async fn set_partition(&self, blocked: &[NodeId]) -> Result<Vec<NodeId>, Error> {
        let request = pb::SetPartitionRequest {
            blocked_node_ids: blocked.iter().map(|id| id.0).collect(),
            blocked_addresses: Vec::new(),
        };
        let response = self.call(self.client().set_partition(request)).await?;
        Ok(response.blocked_node_ids.into_iter().map(NodeId).collect())
    }

    /// Replaces what is wrong with what the node sends; no rule ends it. Only rules about what leaves can be set so. Times
    /// are cut to whole milliseconds.
    pub async fn set_link_faults(&self, rules: &[Rule]) -> Result<(), Error> {
        let request = pb::SetLinkFaultsRequest { faults: rules.iter().map(rule_to_pb).collect() };
        self.call(self.client().set_link_faults(request)).await.map(drop)
    }

    /// Replaces the fault of the node's disk; [`DiskFault::Ok`] heals it. Times are cut to whole milliseconds.
    pub async fn set_disk_fault(&self, fault: DiskFault) -> Result<(), Error> {
        let request = pb::SetDiskFaultRequest { fault: fault_to_pb(fault) };
        self.call(self.client().set_disk_fault(request)).await.map(drop)
    }

    /// Makes the node lie to the others from now on, or with `None` honest. Answers when it has taken effect.
    pub async fn set_misbehaviour(&self, told: Option<&Misbehaviour>) -> Result<(), Error> {
        let request = pb::SetMisbehaviourRequest { misbehaviour: told.cloned().map(Into::into) };
        self.call(self.client().set_misbehaviour(request)).await.map(drop)
    }

    /// Asks the leader to hand over, to `to` or to whom it chooses, and answers who leads then. Has at least five
    /// seconds.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, Error> {
        let patient = self.clone().with_timeout(self.timeout.max(TRANSFER_TIMEOUT));
        let request = pb::TransferLeadershipRequest { to: to.map_or(0, |id| id.0) };
        let response = patient.call(patient.client().transfer_leadership(request)).await?;
        Ok(NodeId(response.leader))
    }

    fn client(&self) -> ControlServiceClient<tonic::transport::Channel> {
        ControlServiceClient::new(self.endpoint.channel())
    }

    async fn call<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Error> {
        let endpoint = self.address();
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) if connection_failed(&status) => {
                Err(Error::Unreachable { message: format!("{endpoint}: {}", words_of(&status)) })
            }
            Ok(Err(status)) => {
                Err(Error::Refused { message: words_of(&status), endpoint: endpoint.to_owned() })
            }
            Err(_) => Err(Error::Unreachable {
                message: format!("{endpoint}: no answer within {}", humantime::format_duration(self.timeout)),
            }),
        }
    }
}

fn rule_to_pb(rule: &Rule) -> pb::LinkFault {
    use pb::link_fault::Effect as Wire;
    let ms = |time: Duration| time.as_millis() as u64;
    let effect = match rule.effect {
        Effect::Drop(probability) => Wire::Drop(probability),
        Effect::Delay { by, jitter } => Wire::Delay(pb::LinkDelay { by_ms: ms(by), jitter_ms: ms(jitter) }),
        Effect::Duplicate(probability) => Wire::Duplicate(probability),
        Effect::Reorder { probability, by } => Wire::Reorder(pb::LinkReorder { probability, by_ms: ms(by) }),
        Effect::Throttle { bytes_per_second } => Wire::Throttle(bytes_per_second),
    };
    pb::LinkFault {
        to: rule.peer.map_or(0, |peer| peer.0),
        kind: rule.kind.clone().unwrap_or_default(),
        effect: Some(effect),
    }
}

fn fault_to_pb(fault: DiskFault) -> Option<pb::set_disk_fault_request::Fault> {
    use pb::set_disk_fault_request::Fault;
    match fault {
        DiskFault::Ok => None,
        DiskFault::Slow(by) => Some(Fault::SlowMs(by.as_millis() as u64)),
        DiskFault::Stall => Some(Fault::Stall(true)),
        DiskFault::Fail => Some(Fault::Fail(true)),
        DiskFault::Full => Some(Fault::Full(true)),
    }
}

impl From<pb::GetStatusResponse> for NodeReport {
    fn from(status: pb::GetStatusResponse) -> Self {
        Self {
            id: status.node_id,
            cluster_id: status.cluster_id,
            cluster_name: status.cluster_name,
            protocol: status.protocol,
            incarnation: status.incarnation,
            role: status.role,
            epoch: status.epoch,
            leader: (status.leader != 0).then_some(status.leader),
            last: status.last,
            committed: status.committed,
            applied: status.applied,
            snapshot: status.snapshot,
            digest: (!status.digest.is_empty()).then_some(status.digest),
            digest_at: status.digest_at,
            revision: status.revision,
            peers: status.peers.into_iter().map(Into::into).collect(),
            why: status.why,
            counters: status.counters.unwrap_or_default().into(),
            blocked: status.blocked,
            store_bytes: status.store_bytes,
            pid: status.pid,
            laboratory: status.laboratory,
            details: status.details,
            malicious: (!status.malicious.is_empty()).then_some(status.malicious),
            misbehaviour: status.misbehaviour.and_then(|told| told.try_into().ok()),
            convicted: status.convicted.into_iter().map(Into::into).collect(),
            suspicions: status.suspicions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<pb::Conviction> for ConvictionReport {
    fn from(conviction: pb::Conviction) -> Self {
        let pb::Conviction { id, pieces, newest } = conviction;
        Self { id, pieces, newest }
    }
}

impl From<pb::Suspicion> for SuspicionReport {
    fn from(suspicion: pb::Suspicion) -> Self {
        let pb::Suspicion { id, what, why, times } = suspicion;
        Self { id, what, why, times }
    }
}

impl From<pb::PeerStatus> for PeerReport {
    fn from(peer: pb::PeerStatus) -> Self {
        let pb::PeerStatus { id, matched, active, state, why } = peer;
        Self { id, matched, active, state, why: (!why.is_empty()).then_some(why) }
    }
}

impl From<pb::Counters> for CounterReport {
    fn from(counters: pb::Counters) -> Self {
        Self {
            fsyncs: counters.fsyncs,
            wal_batches: counters.wal_batches,
            wal_records: counters.wal_records,
            wal_bytes: counters.wal_bytes,
            messages_sent: counters.messages_sent,
            messages_received: counters.messages_received,
            bytes_sent: counters.bytes_sent,
            proposals: counters.proposals,
            applied_commands: counters.applied_commands,
            fsync_max_us: counters.fsync_max_us,
            fsync_last_us: counters.fsync_last_us,
            signatures: counters.signatures,
            verifications: counters.verifications,
        }
    }
}
