//! [`Door`]: how clients get into a cluster, whatever its protocol.

use std::path::Path;
use std::time::Duration;

use super::{ClusterDir, Result, keys};
use crate::client::{Client, DEFAULT_RETRY, Error as ClientError, Options, VoterConfig};
use crate::config::{ClusterConfig, FIRST_CLIENT};
use crate::consensus::{Keys, NodeId, SecretKey};
use crate::node::Member;
use crate::registry::Connect;

/// What a protocol's section may call the time after which its clients send a request again, in milliseconds.
const RETRY_OPTION: &str = "client_retry_ms";

/// Where a cluster is, and as whom to speak there.
#[derive(Clone, Debug)]
pub struct Door {
    addresses: Vec<String>,
    /// What is known of the cluster, from its configuration.
    known: Option<Known>,
    /// For a protocol whose clients count votes.
    voters: Option<(Connect, VoterConfig)>,
    /// The cluster's directory, if it is of this machine.
    local: Option<ClusterDir>,
}

/// What a configuration says of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its identity.
    pub(super) cluster_id: u64,
    /// Its members in ascending order of ids.
    pub(super) members: Vec<Member>,
}

impl Door {
    /// To nodes of which each is believed.
    pub fn to_any_node(addresses: Vec<String>) -> Self {
        Self { addresses, known: None, voters: None, local: None }
    }

    /// To the cluster in this directory, as this machine's own client where the protocol signs.
    pub fn to_local(dir: &ClusterDir) -> Result<Self> {
        let config = ClusterConfig::load(&dir.config())?;
        let file = keys::file_of(&config, dir, FIRST_CLIENT);
        Ok(Self { local: Some(dir.clone()), ..Self::open(&config, FIRST_CLIENT, &file)? })
    }

    /// To the cluster of `config`, as the client `id`, whose private key is in `file`. Where the protocol does not sign,
    /// clients have neither.
    pub fn open(config: &ClusterConfig, id: u64, file: &Path) -> Result<Self> {
        let addresses = config.members.iter().map(|member| member.address.clone()).collect();
        let members = config
            .members
            .iter()
            .map(|member| Member { id: NodeId(member.id), address: member.address.clone() });
        let known = Some(Known { cluster_id: config.cluster_id, members: members.collect() });
        let entry = config.entry();
        let Some(connect) = entry.connect else {
            return Ok(Self { addresses, known, voters: None, local: None });
        };
        let members = config.members.iter().map(|member| (NodeId(member.id), member.address.clone()));
        let voters = VoterConfig {
            cluster_id: config.cluster_id,
            members: members.collect(),
            id: NodeId(id),
            keys: keys::ring(config, id, file)?,
            votes: entry.faults_of(config.members.len() as u64) as usize + 1,
            retry: retry_of(config),
        };
        Ok(Self { addresses, known, voters: Some((connect, voters)), local: None })
    }

    /// The same, through which clients of another kind get in. Without effect where clients do not count votes.
    #[must_use]
    pub fn with(mut self, kind: Connect) -> Self {
        if let Some((connect, _)) = &mut self.voters {
            *connect = kind;
        }
        self
    }

    /// The same, for one who calls himself `id` and signs with this key, which may be another one's. Without effect where
    /// clients do not sign.
    #[must_use]
    pub fn in_the_name_of(mut self, id: u64, secret: SecretKey) -> Self {
        if let Some((_, VoterConfig { id: name, keys, .. })) = &mut self.voters {
            let public = keys.ids().filter_map(|id| Some((id, *keys.public(id)?))).collect();
            (*name, *keys) = (NodeId(id), Keys::new(secret, public));
        }
        self
    }

    /// Where the nodes listen.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The cluster's directory, if it is of this machine.
    pub fn local(&self) -> Option<&ClusterDir> {
        self.local.as_ref()
    }

    /// Whether clients believe only what enough replicas answer alike.
    pub fn counts_votes(&self) -> bool {
        self.voters.is_some()
    }

    /// As which client to speak, where clients have ids.
    pub fn client(&self) -> Option<u64> {
        self.voters.as_ref().map(|(_, voters)| voters.id.0)
    }

    /// How many nodes must answer alike to be believed.
    pub fn votes(&self) -> usize {
        self.voters.as_ref().map_or(1, |(_, voters)| voters.votes)
    }

    /// What is known of the cluster.
    pub(super) fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// A client of its own. Must be called within a tokio runtime.
    pub async fn connect(&self, options: Options) -> std::result::Result<Client, ClientError> {
        match &self.voters {
            Some((connect, voters)) => connect(voters, options),
            None => Client::connect(&self.addresses, options).await,
        }
    }
}

/// As the protocol's section says, if it does.
fn retry_of(config: &ClusterConfig) -> Duration {
    let ms = config.options.get(RETRY_OPTION).and_then(toml::Value::as_integer);
    ms.and_then(|ms| u64::try_from(ms).ok()).map_or(DEFAULT_RETRY, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::StateDir;
    use crate::registry;

    fn dir(state: &Path) -> ClusterDir {
        let dir = StateDir::new(Some(state.to_owned())).unwrap().cluster("here").unwrap();
        dir.create().unwrap();
        dir
    }

    #[test]
    fn where_nodes_are_believed_no_key_is_needed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = dir(temp.path());
        let config = ClusterConfig::defaults(registry::default_protocol());
        std::fs::write(dir.config(), config.to_toml()).unwrap();
        let door = Door::to_local(&dir).unwrap();
        assert!(!door.counts_votes());
        assert_eq!(door.addresses()[4], "127.0.0.1:5005");
    }

    #[test]
    fn the_time_after_which_a_client_repeats_itself_is_the_protocols_option() {
        let mut config = ClusterConfig::defaults(registry::default_protocol());
        assert_eq!(retry_of(&config), DEFAULT_RETRY);
        config.options.insert(RETRY_OPTION.to_owned(), toml::Value::Integer(70));
        assert_eq!(retry_of(&config), Duration::from_millis(70));
    }
}
