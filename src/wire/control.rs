//! What a node is told to do wrong, as `ControlService` says it.

use super::pb::control as pb;
use crate::consensus::Misbehaviour;

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
