//! [`Lie`]: how nodes are to lie, as it is asked for.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, Result};
use crate::consensus::Misbehaviour;
use crate::registry::{Entry, that_tolerate_lies};

/// How nodes are to lie to the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lie {
    /// The name of the behaviour; `None` for the protocol's default.
    pub behaviour: Option<String>,
    /// At what it is aimed, where the behaviour takes an aim.
    pub aim: Option<String>,
    /// On how many of a thousand occasions.
    pub per_mille: u16,
    /// From which epoch on.
    pub from_epoch: u64,
    /// Feeds its choices; `None` gives each node a seed of its own.
    pub seed: Option<u64>,
}

impl Lie {
    /// On every occasion, from the beginning, aimed at nothing.
    pub const fn always(behaviour: Option<String>) -> Self {
        Self { behaviour, aim: None, per_mille: Misbehaviour::ALWAYS, from_epoch: 0, seed: None }
    }

    /// What a node of a cluster is told; refuses what no node of the protocol can be told. Without a seed its choices are
    /// the same in every life of the cluster, and differ from those of other nodes.
    pub fn of_node(&self, entry: &Entry, cluster_id: u64, id: u64) -> Result<Misbehaviour> {
        let Self { behaviour, aim, per_mille, from_epoch, seed } = self.clone();
        let default = entry.behaviours.first().ok_or_else(|| only_crashes(entry))?.name;
        let behaviour = behaviour.unwrap_or_else(|| default.to_owned());
        let seed = seed.unwrap_or_else(|| seed_of(cluster_id, id));
        let told = Misbehaviour { behaviour, aim, per_mille, from_epoch, seed };
        check(&told, entry)?;
        Ok(told)
    }
}

fn seed_of(cluster_id: u64, id: u64) -> u64 {
    let hash = Sha256::new().chain_update(cluster_id.to_le_bytes()).chain_update(id.to_le_bytes()).finalize();
    let mut seed = [0; 8];
    seed.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(seed)
}

/// Refuses what no node of the protocol can be told.
pub fn check(told: &Misbehaviour, entry: &Entry) -> Result<()> {
    if entry.behaviours.is_empty() {
        return Err(only_crashes(entry));
    }
    (entry.check_misbehaviour)(told).map_err(|why| Error::usage(why).hint(known(entry)))
}

/// The behaviours of a protocol, for hints.
fn known(entry: &Entry) -> String {
    let line = |known: &crate::consensus::Behaviour| {
        let aim = known.aim.map(|aim| format!(", aimed at {aim}")).unwrap_or_default();
        format!("\n  {}: {}{aim}", known.name, known.summary)
    };
    format!("{} knows{}", entry.name, entry.behaviours.iter().map(line).collect::<String>())
}

/// The error for a protocol whose nodes do not lie.
pub(super) fn only_crashes(entry: &Entry) -> Error {
    let error = format!("{} tolerates crashes only: none of its nodes can be made to lie", entry.name);
    match that_tolerate_lies().as_slice() {
        [] => Error::usage(error),
        others => Error::usage(error).hint(format!("nodes of {} can", others.join(", "))),
    }
}

/// Reads a probability above 0 and up to 1, to the thousandth.
pub fn per_mille(text: &str) -> std::result::Result<u16, String> {
    let wrong =
        || format!("`{text}` is no probability: it is above 0, by at least a thousandth, and at most 1");
    let probability: f64 = text.parse().map_err(|_| wrong())?;
    let scaled = (probability * f64::from(Misbehaviour::ALWAYS)).round() as u16;
    if (0.0..=1.0).contains(&probability) && scaled > 0 { Ok(scaled) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{default_protocol, tests::lying};

    #[test]
    fn nodes_lie_by_different_seeds_and_each_always_by_the_same() {
        let seed = |cluster, id| Lie::always(None).of_node(lying(), cluster, id).unwrap().seed;
        assert_eq!(seed(7, 4), seed(7, 4));
        assert!(seed(7, 4) != seed(7, 3) && seed(7, 4) != seed(8, 4));
        let told = Lie { seed: Some(5), ..Lie::always(None) };
        assert_eq!(told.of_node(lying(), 7, 4).unwrap().seed, 5);
    }

    #[test]
    fn a_probability_is_above_0_and_at_most_1() {
        assert_eq!((per_mille("0.5"), per_mille("1"), per_mille("0.001")), (Ok(500), Ok(1000), Ok(1)));
        for wrong in ["1.5", "-0.1", "0", "0.0001", "NaN", "often"] {
            assert!(per_mille(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_no_node_can_be_told_is_refused_with_what_can() {
        let rude = Lie::always(Some("rude".to_owned())).of_node(lying(), 1, 1).unwrap_err();
        assert!(rude.hint.unwrap().contains(lying().behaviours[1].summary));
        let raft = Lie::always(None).of_node(default_protocol(), 1, 1).unwrap_err();
        assert!(raft.message.contains("tolerates crashes only"), "{raft}");
        assert!(raft.hint.unwrap().contains(lying().name));
    }
}
