//! Who lies, and how: `--malicious 4=equivocate`, `byzantine set 4 equivocate`.
//!
//! It is kept in the cluster's directory, beside the configuration and not in it: a configuration says what a cluster
//! is, on every host; that a node lies is an experiment of this laboratory.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::faults::list;
use super::files::{remove_if_there, replace};
use super::{ClusterDir, Error, Lie, Result};
use crate::config::ClusterConfig;
use crate::consensus::Misbehaviour;
use crate::registry::Entry;
use crate::text::counted;

/// One node that is to lie, as `4` or `4=equivocate`; or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malicious {
    /// Nobody lies.
    None,
    /// This node lies.
    Node {
        /// Which.
        id: u64,
        /// How; `None` leaves it to the protocol's default.
        behaviour: Option<String>,
    },
}

impl Malicious {
    fn node(&self) -> Option<(u64, Option<&str>)> {
        match self {
            Self::None => None,
            Self::Node { id, behaviour } => Some((*id, behaviour.as_deref())),
        }
    }
}

impl FromStr for Malicious {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let (id, behaviour) = text.split_once('=').map_or((text, None), |(id, name)| (id, Some(name)));
        let id = id.trim().parse().map_err(|_| {
            format!("`{text}` names no node: it is ID or ID=BEHAVIOUR, as 4 or 4=equivocate, or `none`")
        })?;
        Ok(Self::Node { id, behaviour: behaviour.map(|name| name.trim().to_owned()) })
    }
}

impl fmt::Display for Malicious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Node { id, behaviour: None } => write!(f, "{id}"),
            Self::Node { id, behaviour: Some(name) } => write!(f, "{id}={name}"),
        }
    }
}

/// The nodes that lie, each in its way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Liars(BTreeMap<u64, Misbehaviour>);

impl Liars {
    /// What the user asked for, checked against the cluster and what its protocol knows.
    pub fn choose(wanted: &[Malicious], entry: &Entry, config: &ClusterConfig) -> Result<Self> {
        let nodes: Vec<_> = wanted.iter().filter_map(Malicious::node).collect();
        if nodes.is_empty() {
            return Ok(Self::default());
        }
        if nodes.len() < wanted.len() {
            return Err(Error::usage("--malicious none excludes nodes that lie"));
        }
        let mut liars = BTreeMap::new();
        for (id, behaviour) in nodes {
            let lie = Lie::always(behaviour.map(str::to_owned));
            let told = lie.of_node(entry, config.cluster_id, id)?;
            if config.member(id).is_none() {
                let ids: Vec<u64> = config.members.iter().map(|member| member.id).collect();
                return Err(Error::usage(format!("there is no node {id}"))
                    .hint(format!("the nodes are {}", list(&ids))));
            }
            if liars.insert(id, told.clone()).is_some_and(|other| other != told) {
                return Err(Error::usage(format!("node {id} can lie in one way at a time")));
            }
        }
        Ok(Self(liars))
    }

    /// What was kept; nobody if nothing was.
    pub fn load(dir: &ClusterDir) -> Result<Self> {
        let path = dir.malicious();
        let trouble = |why: String| Error::failed(format!("cannot read {}: {why}", path.display()));
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| trouble(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(trouble(error.to_string())),
        }
    }

    /// Keeps it for the next `up`.
    pub(super) fn keep(&self, dir: &ClusterDir) -> Result<()> {
        if self.0.is_empty() {
            return remove_if_there(&dir.malicious());
        }
        replace(&dir.malicious(), &serde_json::to_string(self).unwrap_or_default())
    }

    /// How a node lies, if it does.
    pub fn misbehaviour(&self, id: u64) -> Option<&Misbehaviour> {
        self.0.get(&id)
    }

    /// Makes a node lie, or with `None` honest.
    pub(super) fn set(&mut self, id: u64, told: Option<Misbehaviour>) {
        match told {
            Some(told) => self.0.insert(id, told),
            None => self.0.remove(&id),
        };
    }

    /// The name of how each lies.
    pub fn behaviours(&self) -> BTreeMap<u64, String> {
        self.0.iter().map(|(id, told)| (*id, told.behaviour.clone())).collect()
    }

    /// How many lie.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody lies.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is to be said of so many liars among so many nodes: nothing if the protocol tolerates them.
pub fn beyond_the_model(entry: &Entry, nodes: usize, liars: usize) -> Option<String> {
    let tolerated = entry.faults_of(nodes as u64);
    let verb = if liars == 1 { "lies" } else { "lie" };
    let replicas = counted(nodes as u64, "replica", "replicas");
    (liars as u64 > tolerated).then(|| {
        format!("{liars} of {replicas} {verb}: outside the fault model, which tolerates {tolerated}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{default_protocol, tests::lying};

    fn choose(words: &str) -> Result<Liars> {
        let wanted: Vec<Malicious> = words.split(',').map(|word| word.parse().unwrap()).collect();
        let mut config = ClusterConfig::defaults(lying());
        config.set_local_members(6001, 4);
        Liars::choose(&wanted, lying(), &config)
    }

    #[test]
    fn liars_are_named_with_or_without_a_behaviour() {
        let liars = choose("4,1=silent").unwrap();
        let first = lying().behaviours[0].name;
        assert_eq!(liars.behaviours(), [(1, "silent".to_owned()), (4, first.to_owned())].into());
        let behaviour = |id| liars.misbehaviour(id).map(|told| told.behaviour.as_str());
        assert_eq!((behaviour(1), behaviour(2)), (Some("silent"), None));
        assert!(choose("none").unwrap().is_empty());
        for text in ["4", "4=silent", "none"] {
            assert_eq!(text.parse::<Malicious>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_does_not_exist_is_refused_with_what_does() {
        assert!(choose("9").unwrap_err().hint.unwrap().contains("1, 2, 3, 4"));
        let behaviour = choose("4=rude").unwrap_err();
        assert!(behaviour.hint.unwrap().contains("silent: "));
        assert!(choose("4=silent,4").unwrap_err().message.contains("one way at a time"));
        assert!(choose("none,4").unwrap_err().message.contains("excludes"));
        assert!("x=silent".parse::<Malicious>().unwrap_err().contains("ID=BEHAVIOUR"));
        let raft = default_protocol();
        let error = Liars::choose(&["4".parse().unwrap()], raft, &ClusterConfig::defaults(raft)).unwrap_err();
        assert!(error.message.contains("raft tolerates crashes only"), "{error}");
    }

    #[test]
    fn who_lies_is_kept_until_nobody_does() {
        let temp = tempfile::tempdir().unwrap();
        let dir =
            crate::cluster::StateDir::new(Some(temp.path().to_owned())).unwrap().cluster("lab").unwrap();
        dir.create().unwrap();
        assert!(Liars::load(&dir).unwrap().is_empty());
        let liars = choose("4").unwrap();
        liars.keep(&dir).unwrap();
        assert_eq!(Liars::load(&dir).unwrap(), liars);
        Liars::default().keep(&dir).unwrap();
        assert!(!dir.malicious().exists());
    }

    #[test]
    fn more_liars_than_are_tolerated_are_outside_the_model() {
        assert_eq!(beyond_the_model(lying(), 4, 1), None);
        assert_eq!(
            beyond_the_model(lying(), 4, 2).unwrap(),
            "2 of 4 replicas lie: outside the fault model, which tolerates 1"
        );
        assert!(beyond_the_model(lying(), 3, 1).unwrap().starts_with("1 of 3 replicas lies"));
    }
}
