//! What a node is told to do wrong, as `ControlService` says it.

use super::pb::control as pb;
use std::time::Duration;

use crate::consensus::{Misbehaviour, NodeId};
use crate::transport::{Direction, Effect, Rule};

impl From<Rule> for pb::LinkFault {
    fn from(rule: Rule) -> Self {
        use pb::link_fault::Effect as Wire;
        let ms = |time: Duration| time.as_millis() as u64;
        let effect = match rule.effect {
            Effect::Drop(probability) => Wire::Drop(probability),
            Effect::Delay { by, jitter } => {
                Wire::Delay(pb::LinkDelay { by_ms: ms(by), jitter_ms: ms(jitter) })
            }
            Effect::Duplicate(probability) => Wire::Duplicate(probability),
            Effect::Reorder { probability, by } => {
                Wire::Reorder(pb::LinkReorder { probability, by_ms: ms(by) })
            }
            Effect::Throttle { bytes_per_second } => Wire::Throttle(bytes_per_second),
        };
        Self {
            to: rule.peer.map_or(0, |peer| peer.0),
            kind: rule.kind.unwrap_or_default(),
            effect: Some(effect),
        }
    }
}

impl TryFrom<pb::LinkFault> for Rule {
    type Error = String;

    /// A rule about what leaves.
    fn try_from(fault: pb::LinkFault) -> Result<Self, String> {
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
        Ok(Self {
            peer: Some(fault.to).filter(|to| *to != 0).map(NodeId),
            direction: Some(Direction::Out),
            kind: Some(fault.kind).filter(|kind| !kind.is_empty()),
            effect,
        })
    }
}

impl From<Misbehaviour> for pb::Misbehaviour {
    fn from(told: Misbehaviour) -> Self {
        let Misbehaviour { behaviour, aim, per_mille, from_epoch, seed } = told;
        let per_mille = Some(per_mille.into());
        Self { behaviour, aim: aim.unwrap_or_default(), per_mille, from_epoch, seed }
    }
}

impl TryFrom<pb::Misbehaviour> for Misbehaviour {
    type Error = String;

    fn try_from(told: pb::Misbehaviour) -> Result<Self, String> {
        let pb::Misbehaviour { behaviour, aim, per_mille, from_epoch, seed } = told;
        let always = u32::from(Self::ALWAYS);
        let per_mille = u16::try_from(per_mille.unwrap_or(always))
            .map_err(|_| format!("it cannot lie on more than {always} occasions in {always}"))?;
        let aim = (!aim.is_empty()).then_some(aim);
        Ok(Self { behaviour, aim, per_mille, from_epoch, seed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_is_told_arrives_as_it_was_said() {
        let told = Misbehaviour { per_mille: 5, from_epoch: 3, ..Misbehaviour::new("lie", u64::MAX) };
        let told = told.aimed_at("client=7");
        assert_eq!(pb::Misbehaviour::from(told.clone()).try_into(), Ok(told.clone()));
        let bare = pb::Misbehaviour { behaviour: "lie".to_owned(), ..Default::default() };
        let taken = Misbehaviour::try_from(bare.clone()).unwrap();
        assert_eq!((taken.per_mille, taken.aim), (1000, None), "what is not said is everybody, always");
        let often = pb::Misbehaviour { per_mille: Some(1 << 16), ..bare };
        assert!(Misbehaviour::try_from(often).unwrap_err().contains("1000"));
    }
}
