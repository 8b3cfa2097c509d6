//! `ControlService`: says how a node is, and breaks it on purpose.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tonic::{Request, Response, Status};

use super::errors::unanswered;
use crate::consensus::{Conviction, NodeId, Role, Suspicion};
use crate::node::{Handle, NodeStatus};
use crate::transport::{Direction, Effect, Rule};
use crate::wal::DiskFault;
use crate::wire::pb::control::{
    self as pb, control_service_server::ControlService, set_disk_fault_request::Fault,
};

/// How long a transfer of leadership may take: the successor catches up and is elected, both well within a second when
/// it can be reached.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(3);

/// How often to look whether it has happened. The replica tells nobody when it learns of another leader.
const TRANSFER_POLL: Duration = Duration::from_millis(5);

/// Serves control calls for one node.
#[derive(Clone)]
pub(super) struct Control {
    node: Handle,
}

impl Control {
    /// Serves for `node`.
    pub(super) fn new(node: Handle) -> Self {
        Self { node }
    }

    /// Faults are for clusters that were started to be broken.
    fn must_be_laboratory(&self) -> Result<(), Status> {
        if self.node.laboratory() {
            return Ok(());
        }
        Err(Status::failed_precondition(format!(
            "node {} was not started as part of a laboratory and takes no faults: use a cluster that `cluster up` \
             started",
            self.node.id()
        )))
    }

    /// A peer of this node, by id.
    fn peer(&self, id: NodeId) -> Result<NodeId, Status> {
        if id == self.node.id() {
            return Err(Status::invalid_argument(format!("node {id} cannot be cut off from itself")));
        }
        self.member(id)
    }

    /// Hands leadership over and answers who leads then.
    async fn hand_over(&self, to: Option<NodeId>) -> Result<u64, Status> {
        let me = self.node.id();
        let status = self.node.status(false).await.map_err(unanswered)?.status;
        if status.role != Role::Leader {
            let leader =
                status.leader.map_or("no node that it knows of".to_owned(), |id| format!("node {id}"));
            return Err(Status::failed_precondition(format!("node {me} does not lead: {leader} does")));
        }
        if to == Some(me) {
            return Ok(me.0);
        }
        self.node.transfer_leadership(to).map_err(unanswered)?;
        let handed_over = async {
            loop {
                let status = self.node.status(false).await.map_err(unanswered)?.status;
                if let Some(leader) = status.leader.filter(|&leader| leader != me.0) {
                    return Ok(leader);
                }
                tokio::time::sleep(TRANSFER_POLL).await;
            }
        };
        tokio::time::timeout(TRANSFER_PATIENCE, handed_over).await.unwrap_or_else(|_| {
            Err(Status::unavailable(format!(
                "no other node leads within {}: node {me} may go on; the others must be reachable and up to date",
                humantime::format_duration(TRANSFER_PATIENCE)
            )))
        })
    }

    fn member(&self, id: NodeId) -> Result<NodeId, Status> {
        let members = self.node.members();
        if members.iter().any(|member| member.id == id) {
            return Ok(id);
        }
        let known: Vec<String> = members.iter().map(|member| member.id.to_string()).collect();
        Err(Status::invalid_argument(format!(
            "node {id} is not a member of the cluster, whose nodes are {}",
            known.join(", ")
        )))
    }

    /// A peer of this node, by address.
    fn peer_at(&self, address: &str) -> Result<NodeId, Status> {
        let members = self.node.members();
        if let Some(member) = members.iter().find(|member| member.address == address) {
            return self.peer(member.id);
        }
        let known: Vec<&str> = members.iter().map(|member| member.address.as_str()).collect();
        Err(Status::invalid_argument(format!(
            "no node of the cluster is at {address:?}: its nodes are at {}",
            known.join(", ")
        )))
    }
}

#[tonic::async_trait]
impl ControlService for Control {
    async fn ping(&self, _: Request<pb::PingRequest>) -> Result<Response<pb::PingResponse>, Status> {
        Ok(Response::new(pb::PingResponse {
            node_id: self.node.id().0,
            cluster_id: self.node.cluster_id(),
            protocol: self.node.protocol().to_owned(),
            incarnation: self.node.incarnation(),
        }))
    }

    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let node = self.node.status(!request.into_inner().brief).await.map_err(unanswered)?;
        let counters = counters_to_pb(&node);
        let digest = node.digest();
        let status = node.status;
        let peers = status.peers.into_iter().map(|peer| pb::PeerStatus {
            id: peer.id,
            matched: peer.matched,
            active: peer.active,
            state: peer.state.to_owned(),
            why: peer.why.unwrap_or_default(),
        });
        let convicted = status.convicted.into_iter().map(conviction_to_pb).collect();
        let suspicions = status.suspicions.into_iter().map(suspicion_to_pb).collect();
        Ok(Response::new(pb::GetStatusResponse {
            node_id: self.node.id().0,
            cluster_id: self.node.cluster_id(),
            cluster_name: self.node.cluster_name().to_owned(),
            protocol: self.node.protocol().to_owned(),
            incarnation: self.node.incarnation(),
            role: status.role.name().to_owned(),
            epoch: status.epoch,
            leader: status.leader.unwrap_or(0),
            last: status.last,
            committed: status.committed,
            applied: status.applied,
            snapshot: status.snapshot,
            digest: digest.map_or_else(String::new, |(digest, _)| digest.to_string()),
            digest_at: digest.map_or(0, |(_, at)| at.0),
            revision: node.store.revision as u64,
            peers: peers.collect(),
            why: status.why,
            counters: Some(counters),
            blocked: node.blocked.iter().map(|id| id.0).collect(),
            store_bytes: node.store.bytes,
            pid: std::process::id().into(),
            laboratory: self.node.laboratory(),
            details: status.details.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            malicious: node.misbehaviour.as_ref().map_or_else(String::new, |told| told.behaviour.clone()),
            misbehaviour: node.misbehaviour.map(Into::into),
            convicted,
            suspicions,
        }))
    }

    async fn get_evidence(
        &self,
        request: Request<pb::GetEvidenceRequest>,
    ) -> Result<Response<pb::GetEvidenceResponse>, Status> {
        let mut pieces = self.node.evidence().await.map_err(unanswered)?;
        let (total, number) = (pieces.len(), request.into_inner().number as usize);
        let piece = if number < total { pieces.swap_remove(number) } else { Bytes::new() };
        Ok(Response::new(pb::GetEvidenceResponse { total: total as u64, piece }))
    }

    async fn set_partition(
        &self,
        request: Request<pb::SetPartitionRequest>,
    ) -> Result<Response<pb::SetPartitionResponse>, Status> {
        self.must_be_laboratory()?;
        let request = request.into_inner();
        let ids = request.blocked_node_ids.iter().map(|&id| self.peer(NodeId(id)));
        let addresses = request.blocked_addresses.iter().map(|address| self.peer_at(address));
        // All or nothing: an unknown one leaves the partition as it was.
        let blocked: BTreeSet<NodeId> = ids.chain(addresses).collect::<Result<_, _>>()?;
        self.node.set_blocked(&blocked.into_iter().collect::<Vec<_>>());
        let blocked_node_ids = self.node.blocked().iter().map(|id| id.0).collect();
        Ok(Response::new(pb::SetPartitionResponse { blocked_node_ids }))
    }

    async fn set_link_faults(
        &self,
        request: Request<pb::SetLinkFaultsRequest>,
    ) -> Result<Response<pb::SetLinkFaultsResponse>, Status> {
        self.must_be_laboratory()?;
        let rules = request.into_inner().faults.into_iter().map(|fault| {
            let rule = rule_of(fault).map_err(Status::invalid_argument)?;
            rule.peer.map_or(Ok(()), |peer| self.peer(peer).map(drop))?;
            Ok(rule)
        });
        // All or nothing: a wrong one leaves the links as they were.
        let rules = rules.collect::<Result<_, Status>>()?;
        self.node.set_link_rules(rules);
        Ok(Response::new(pb::SetLinkFaultsResponse {}))
    }

    async fn set_disk_fault(
        &self,
        request: Request<pb::SetDiskFaultRequest>,
    ) -> Result<Response<pb::SetDiskFaultResponse>, Status> {
        self.must_be_laboratory()?;
        self.node.set_disk_fault(fault_of(request.into_inner().fault));
        Ok(Response::new(pb::SetDiskFaultResponse {}))
    }

    async fn set_misbehaviour(
        &self,
        request: Request<pb::SetMisbehaviourRequest>,
    ) -> Result<Response<pb::SetMisbehaviourResponse>, Status> {
        self.must_be_laboratory()?;
        let told = request.into_inner().misbehaviour.map(TryInto::try_into);
        let told = told.transpose().map_err(Status::invalid_argument)?;
        self.node.misbehave(told).await.map_err(unanswered)?.map_err(Status::invalid_argument)?;
        Ok(Response::new(pb::SetMisbehaviourResponse {}))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::TransferLeadershipResponse>, Status> {
        // No fault: an operator asks for it before a restart, in any cluster.
        let to = match request.into_inner().to {
            0 => None,
            id => Some(self.member(NodeId(id))?),
        };
        let leader = self.hand_over(to).await?;
        Ok(Response::new(pb::TransferLeadershipResponse { leader }))
    }
}

/// A rule about what leaves.
fn rule_of(fault: pb::LinkFault) -> Result<Rule, String> {
    use pb::link_fault::Effect as Wire;
    let probability = |number: f64| {
        let is_one = (0.0..=1.0).contains(&number);
        if is_one { Ok(number) } else { Err(format!("{number} is no probability: it is from 0 to 1")) }
    };
    let effect = match fault.effect.ok_or("a fault of links says what happens to messages")? {
        Wire::Drop(number) => Effect::Drop(probability(number)?),
        Wire::Delay(pb::LinkDelay { by_ms, jitter_ms }) => {
            Effect::Delay { by: Duration::from_millis(by_ms), jitter: Duration::from_millis(jitter_ms) }
        }
        Wire::Duplicate(number) => Effect::Duplicate(probability(number)?),
        Wire::Reorder(pb::LinkReorder { probability: number, by_ms }) => {
            Effect::Reorder { probability: probability(number)?, by: Duration::from_millis(by_ms) }
        }
        Wire::Throttle(bytes_per_second) => Effect::Throttle { bytes_per_second },
    };
    Ok(Rule {
        peer: Some(fault.to).filter(|to| *to != 0).map(NodeId),
        direction: Some(Direction::Out),
        kind: Some(fault.kind).filter(|kind| !kind.is_empty()),
        effect,
    })
}

fn fault_of(fault: Option<Fault>) -> DiskFault {
    match fault {
        None | Some(Fault::SlowMs(0) | Fault::Stall(false) | Fault::Fail(false) | Fault::Full(false)) => {
            DiskFault::Ok
        }
        Some(Fault::SlowMs(by)) => DiskFault::Slow(Duration::from_millis(by)),
        Some(Fault::Stall(true)) => DiskFault::Stall,
        Some(Fault::Fail(true)) => DiskFault::Fail,
        Some(Fault::Full(true)) => DiskFault::Full,
    }
}

fn conviction_to_pb(conviction: Conviction) -> pb::Conviction {
    let Conviction { id, pieces, newest } = conviction;
    pb::Conviction { id, pieces, newest }
}

fn suspicion_to_pb(suspicion: Suspicion) -> pb::Suspicion {
    let Suspicion { id, what, why, times } = suspicion;
    pb::Suspicion { id, what: what.to_owned(), why, times }
}

fn counters_to_pb(node: &NodeStatus) -> pb::Counters {
    let (counters, links) = (&node.counters, &node.links);
    pb::Counters {
        fsyncs: counters.fsyncs,
        wal_batches: counters.wal_batches,
        wal_records: counters.wal_records,
        wal_bytes: counters.wal_bytes,
        messages_sent: links.messages_sent,
        messages_received: links.messages_received,
        bytes_sent: links.bytes_sent,
        proposals: counters.proposals,
        applied_commands: counters.applied_commands,
        fsync_max_us: counters.fsync_max_us,
        fsync_last_us: counters.fsync_last_us,
        signatures: counters.signatures,
        verifications: counters.verifications,
    }
}
