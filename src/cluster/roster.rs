//! Whom to ask how a cluster is: what is known of its nodes without them.

use super::{DiskFault, Info, LinkFault, NodeInfo, NodeState, Partition};
use crate::client::NodeReport;
use crate::config::ClusterConfig;

/// The nodes of a cluster, and what is known of them before they are asked. A supervisor knows much; of a cluster whose
/// nodes somebody else started, nothing but where they listen is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// The cluster's name.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// Its id; what answers with another one is none of its nodes. `None` where its supervisor vouches for the nodes.
    pub cluster_id: Option<u64>,
    /// The partition that it was given.
    pub partition: Partition,
    /// What is wrong with links, on purpose.
    pub links: Vec<LinkFault>,
    /// All nodes, in ascending order of ids.
    pub nodes: Vec<NodeInfo>,
}

impl From<Info> for Roster {
    fn from(info: Info) -> Self {
        let Info { name, protocol, partition, links, nodes, .. } = info;
        Self { name, protocol, cluster_id: None, partition, links, nodes }
    }
}

impl From<&ClusterConfig> for Roster {
    fn from(config: &ClusterConfig) -> Self {
        let members = config.members.iter().map(|member| (member.id, member.address.clone()));
        Self::unwatched(config.name.clone(), config.protocol.to_owned(), config.cluster_id, members)
    }
}

impl Roster {
    /// Nodes that no supervisor watches, by id and address.
    pub fn unwatched(
        name: String,
        protocol: String,
        cluster_id: u64,
        members: impl IntoIterator<Item = (u64, String)>,
    ) -> Self {
        let node = |(id, address)| NodeInfo {
            id,
            address,
            pid: None,
            state: NodeState::Unknown,
            why: None,
            log: None,
            disk: DiskFault::Ok,
            malicious: None,
            misbehaviour: None,
        };
        let mut nodes: Vec<NodeInfo> = members.into_iter().map(node).collect();
        nodes.sort_by_key(|node| node.id);
        let (cluster_id, partition) = (Some(cluster_id), Partition::default());
        Self { name, protocol, cluster_id, partition, links: Vec::new(), nodes }
    }

    /// The answer of node `id`, unless somebody else gave it.
    pub(super) fn recognize(
        &self,
        id: u64,
        answer: Result<NodeReport, String>,
    ) -> Result<NodeReport, String> {
        let report = answer?;
        match self.cluster_id {
            Some(cluster) if report.cluster_id != cluster => Err(format!(
                "a node of another cluster answers there: {} (id {})",
                report.cluster_name, report.cluster_id
            )),
            Some(_) if report.id != id => Err(format!("node {} answers there", report.id)),
            _ => Ok(report),
        }
    }
}
