//! What a replica can be told to do wrong, as the shared code sees it. What the names mean is the protocol's business.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What proof of itself a way to lie leaves with the honest replicas, while it lies on every occasion, clients ask for
/// something, and what it says arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// It cannot go on for long without signing what contradicts what was signed before, towards one who notices: as
    /// leader or, at the latest, as follower. So an honest replica comes to hold evidence against it.
    Due,
    /// It may come to contradict itself, by chance or by what others do, or it may not.
    Possible,
    /// It signs only what an honest replica might sign as well, or nothing that counts. There is suspicion at most, and
    /// evidence would be a mistake of whoever believes it.
    Never,
}

impl Proof {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Possible => "possible",
            Self::Never => "never",
        }
    }
}

/// A way to lie that a protocol's replicas know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Its name on the command line, as `equivocate`.
    pub name: &'static str,
    /// Whether it convicts itself.
    pub proof: Proof,
    /// What it does, for people: one line.
    pub summary: &'static str,
    /// What it can be aimed at, as `client=ID or key=PREFIX`, for people; `None` of one that takes no aim.
    pub aim: Option<&'static str>,
}

impl Behaviour {
    /// One that takes no aim.
    pub const fn new(name: &'static str, proof: Proof, summary: &'static str) -> Self {
        Self { name, proof, summary, aim: None }
    }

    /// The same, which can be aimed at something.
    #[must_use]
    pub const fn aimed_at(self, aim: &'static str) -> Self {
        Self { aim: Some(aim), ..self }
    }
}

/// A replica is told to lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Misbehaviour {
    /// How: the name of a [`Behaviour`].
    pub behaviour: String,
    /// At what it is aimed, if the behaviour takes an aim and one is given: see [`Behaviour::aim`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aim: Option<String>,
    /// Of so many occasions in a thousand it lies; on the others it does what an honest replica does.
    #[serde(default = "always")]
    pub per_mille: u16,
    /// In epochs below it is honest.
    #[serde(default)]
    pub from_epoch: u64,
    /// Feeds its choices.
    pub seed: u64,
}

/// For [`Misbehaviour::per_mille`].
const fn always() -> u16 {
    Misbehaviour::ALWAYS
}

impl Misbehaviour {
    /// It lies wherever it could.
    pub const ALWAYS: u16 = 1000;

    /// Always, from the first epoch on, aimed at nothing.
    pub fn new(behaviour: impl Into<String>, seed: u64) -> Self {
        Self { behaviour: behaviour.into(), aim: None, per_mille: Self::ALWAYS, from_epoch: 0, seed }
    }

    /// The same, aimed at something.
    #[must_use]
    pub fn aimed_at(self, aim: impl Into<String>) -> Self {
        Self { aim: Some(aim.into()), ..self }
    }

    /// Refuses what none of the known behaviours is, with those that there are.
    ///
    /// # Errors
    ///
    /// An unknown name, an aim of a behaviour that takes none, a share that is no share.
    pub fn check(&self, known: &[Behaviour]) -> Result<(), String> {
        let Self { behaviour: name, aim, per_mille, .. } = self;
        let Some(behaviour) = known.iter().find(|behaviour| behaviour.name == name) else {
            let names: Vec<_> = known.iter().map(|behaviour| behaviour.name).collect();
            let names = if names.is_empty() { "no node of it lies".to_owned() } else { names.join(", ") };
            return Err(format!("the protocol knows no behaviour `{name}`: {names}"));
        };
        if let (Some(aim), None) = (aim, behaviour.aim) {
            return Err(format!("`{name}` cannot be aimed, also not at `{aim}`"));
        }
        if !(1..=Self::ALWAYS).contains(per_mille) {
            return Err(format!(
                "{per_mille} in {}: it is to lie at least once and at most always",
                Self::ALWAYS
            ));
        }
        Ok(())
    }
}

/// As `censor client=1001, 50 % of the time, from view 3`: where nodes may lie, epochs are called views.
impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.behaviour)?;
        if let Some(aim) = &self.aim {
            write!(f, " {aim}")?;
        }
        if self.per_mille < Self::ALWAYS {
            write!(f, ", {} % of the time", f64::from(self.per_mille) / 10.0)?;
        }
        if self.from_epoch > 0 {
            write!(f, ", from view {}", self.from_epoch)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Behaviour; 2] = [
        Behaviour::new("silent", Proof::Never, "says nothing"),
        Behaviour::new("censor", Proof::Never, "ignores").aimed_at("client=ID"),
    ];

    #[test]
    fn it_is_told_to_people_with_what_is_not_as_usual() {
        assert_eq!(Misbehaviour::new("silent", 7).to_string(), "silent");
        let sometimes = Misbehaviour { per_mille: 500, from_epoch: 3, ..Misbehaviour::new("censor", 7) };
        let sometimes = sometimes.aimed_at("client=1001");
        assert_eq!(sometimes.to_string(), "censor client=1001, 50 % of the time, from view 3");
        let seldom = Misbehaviour { per_mille: 5, ..Misbehaviour::new("silent", 7) };
        assert_eq!(seldom.to_string(), "silent, 0.5 % of the time");
    }

    #[test]
    fn what_does_not_fit_a_behaviour_is_refused() {
        let refused = |misbehaviour: Misbehaviour| misbehaviour.check(&KNOWN).unwrap_err();
        assert_eq!(Misbehaviour::new("censor", 1).aimed_at("client=1").check(&KNOWN), Ok(()));
        assert!(refused(Misbehaviour::new("rude", 1)).contains("no behaviour `rude`: silent, censor"));
        assert!(refused(Misbehaviour::new("silent", 1).aimed_at("x")).contains("cannot be aimed"));
        for per_mille in [0, 1001] {
            let misbehaviour = Misbehaviour { per_mille, ..Misbehaviour::new("silent", 1) };
            assert!(refused(misbehaviour).contains("at least once"));
        }
    }

    #[test]
    fn what_was_kept_without_details_means_always() {
        let kept: Misbehaviour = serde_json::from_str(r#"{"behaviour":"silent","seed":7}"#).unwrap();
        assert_eq!(kept, Misbehaviour::new("silent", 7));
    }
}
