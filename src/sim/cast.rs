//! Who takes part in a run: how many nodes, and which of them lie.
//!
//! Beside the protocol's own behaviours there is one that only a simulator has: **twins**, a node that runs twice, with one
//! id and one key. Each of the two is honest as far as it knows; what both say together is not (Twins, OPODIS'21).

use std::collections::BTreeMap;
use std::fmt;

use super::dice::Dice;
use super::run::RunOptions;
use super::simulated::Simulated;
use crate::consensus::{Behaviour, Keys, Misbehaviour, NodeId, Scheme, SecretKey};
use crate::text::counted;

/// How often a run that may have an adversary has one, in a thousand.
const ADVERSARY_PER_MILLE: u64 = 700;

/// How often a run that may have several has more than one, in a thousand.
const SEVERAL_PER_MILLE: u64 = 400;

/// The behaviour of a node that runs twice.
pub(super) const TWIN: &str = "twin";

/// The streams of a run's seed that decide who takes part. Apart from the world's own, so that naming an adversary by
/// hand changes nothing else.
#[derive(Clone, Copy)]
enum Stream {
    Nodes = 500,
    Liars,
    Keys,
}

/// Who takes part in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cast {
    /// How many nodes there are.
    pub nodes: usize,
    /// Which of them lie, and the names of their behaviours; in ascending order.
    pub malicious: Vec<(NodeId, String)>,
    /// There are more of them than the protocol tolerates: nothing is promised then.
    pub outside_the_fault_model: bool,
}

impl Cast {
    /// Draws what the options leave open: a size, and at most as many adversaries as the protocol tolerates.
    pub(super) fn draw<P: Simulated>(options: &RunOptions) -> Self {
        let mut sizes = Dice::new(options.seed, Stream::Nodes as u64);
        let nodes = options.nodes.unwrap_or_else(|| *sizes.pick(P::SIZES));
        let mut malicious =
            options.malicious.clone().unwrap_or_else(|| adversaries::<P>(options.seed, nodes));
        malicious.sort();
        let outside_the_fault_model = malicious.len() > P::tolerates(nodes);
        Self { nodes, malicious, outside_the_fault_model }
    }

    /// The ids of all nodes.
    pub(super) fn members(&self) -> Vec<NodeId> {
        (1..=self.nodes as u64).map(NodeId).collect()
    }

    /// The ids of those that lie.
    pub(super) fn liars(&self) -> Vec<NodeId> {
        self.malicious.iter().map(|(id, _)| *id).collect()
    }

    /// The ids of those that run twice.
    pub(super) fn twins(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.malicious.iter().filter(|(_, behaviour)| behaviour == TWIN).map(|(id, _)| *id)
    }

    /// What a node is told to do wrong, if it is. Twins are told nothing.
    pub(super) fn misbehaviour(&self, id: NodeId, seed: u64) -> Option<Misbehaviour> {
        let mut told = self.malicious.iter().filter(|(_, behaviour)| behaviour != TWIN);
        let (_, behaviour) = told.find(|(liar, _)| *liar == id)?;
        Some(Misbehaviour::new(behaviour, seed ^ id.0.rotate_left(32)))
    }

    /// The liars in words, as `--malicious` takes them; `none` if nobody lies.
    pub fn liars_in_words(&self) -> String {
        let liars: Vec<_> = self.malicious.iter().map(|(id, lie)| format!("{id}={lie}")).collect();
        if liars.is_empty() { "none".to_owned() } else { liars.join(", ") }
    }
}

impl fmt::Display for Cast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.nodes as u64, "node", "nodes"))?;
        if !self.malicious.is_empty() {
            write!(f, ", malicious {}", self.liars_in_words())?;
        }
        f.write_str(if self.outside_the_fault_model { ", outside the fault model" } else { "" })
    }
}

fn adversaries<P: Simulated>(seed: u64, nodes: usize) -> Vec<(NodeId, String)> {
    let mut dice = Dice::new(seed, Stream::Liars as u64);
    let tolerated = P::tolerates(nodes) as u64;
    if P::LIES.is_empty() || tolerated == 0 || !dice.chance(ADVERSARY_PER_MILLE) {
        return Vec::new();
    }
    let mut ids: Vec<u64> = (1..=nodes as u64).collect();
    dice.shuffle(&mut ids);
    // The first primary more often than others: it has the most to lie about.
    if dice.chance(300) {
        ids.retain(|id| *id != 1);
        ids.insert(0, 1);
    }
    let several = tolerated > 1 && dice.chance(SEVERAL_PER_MILLE);
    let count = if several { dice.between(2, tolerated) } else { 1 };
    let lie = |id| {
        let drawn = dice.below(P::LIES.len() as u64 + 1) as usize;
        (NodeId(id), P::LIES.get(drawn).copied().unwrap_or(TWIN).to_owned())
    };
    ids.into_iter().take(count as usize).map(lie).collect()
}

/// Reads an adversary as the command line names it: `ID=BEHAVIOUR`. Which ids and behaviours there are is known later.
pub fn parse_liar(text: &str) -> Result<(NodeId, String), String> {
    let (id, behaviour) = text.split_once('=').ok_or("expected ID=BEHAVIOUR, as 1=equivocate")?;
    let id = id.parse().ok().filter(|id| *id > 0).ok_or("the id is a number from 1")?;
    Ok((NodeId(id), behaviour.to_owned()))
}

/// Refuses liars that are no nodes, are named twice, are told to do what the protocol does not know, or leave nobody
/// honest, of so many nodes, or of the smallest cluster that may be drawn.
pub fn check_liars<P: Simulated>(liars: &[(NodeId, String)], nodes: Option<usize>) -> Result<(), String> {
    check(liars, nodes.unwrap_or_else(|| P::SIZES.iter().copied().min().unwrap_or(1)), P::BEHAVIOURS)
}

fn check(liars: &[(NodeId, String)], nodes: usize, behaviours: &[Behaviour]) -> Result<(), String> {
    for (position, (id, behaviour)) in liars.iter().enumerate() {
        if behaviour != TWIN || behaviours.is_empty() {
            Misbehaviour::new(behaviour, 0).check(behaviours)?;
        }
        if id.0 > nodes as u64 {
            return Err(format!("there is no node {id} to be malicious: give --nodes"));
        }
        if liars[..position].iter().any(|(earlier, _)| earlier == id) {
            return Err(format!("node {id} is to be malicious twice"));
        }
    }
    if liars.len() >= nodes { Err("somebody has to be honest".to_owned()) } else { Ok(()) }
}

/// The keys of all nodes, each with its own secret one.
pub(super) fn keys(seed: u64, scheme: Scheme, members: &[NodeId]) -> BTreeMap<NodeId, Keys> {
    let mut dice = Dice::new(seed, Stream::Keys as u64);
    let secrets: BTreeMap<NodeId, SecretKey> =
        members.iter().map(|id| (*id, SecretKey::from_seed(scheme, secret(&mut dice)))).collect();
    let public: BTreeMap<_, _> = secrets.iter().map(|(id, secret)| (*id, secret.public())).collect();
    secrets.into_iter().map(|(id, secret)| (id, Keys::new(secret, public.clone()))).collect()
}

fn secret(dice: &mut Dice) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&dice.any().to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn liars_are_read_and_checked() {
        assert_eq!(parse_liar("2=silent"), Ok((NodeId(2), "silent".to_owned())));
        assert!(parse_liar("silent").is_err() && parse_liar("0=silent").is_err());
        let silent = Behaviour::new("silent", crate::consensus::Proof::Never, "");
        let liar = |id| (NodeId(id), "silent".to_owned());
        assert_eq!(check(&[liar(1), liar(2)], 4, &[silent]), Ok(()));
        let twin = (NodeId(1), TWIN.to_owned());
        assert_eq!(check(std::slice::from_ref(&twin), 4, &[silent]), Ok(()));
        assert!(check(&[twin], 4, &[]).is_err(), "where nobody lies nobody runs twice");
        assert!(check(&[liar(5)], 4, &[silent]).unwrap_err().contains("no node 5"));
        assert!(check(&[liar(1), liar(1)], 4, &[silent]).unwrap_err().contains("twice"));
        assert!(check(&[liar(1)], 4, &[]).unwrap_err().contains("no behaviour `silent`"));
    }

    #[test]
    fn each_node_has_a_key_of_its_own() {
        let members = [NodeId(1), NodeId(2)];
        let keys = keys(7, Scheme::Tag, &members);
        let signature = keys[&NodeId(1)].secret().unwrap().sign(b"promise");
        assert!(keys[&NodeId(2)].public(NodeId(1)).unwrap().verify(b"promise", &signature));
        assert!(!keys[&NodeId(1)].public(NodeId(2)).unwrap().verify(b"promise", &signature));
    }
}
