//! The behaviours by name.

use super::accomplice::Accomplice;
use super::bad_new_view::BadNewView;
use super::equivocate::Equivocate;
use super::lie::Lie;
use super::lying_state::LyingState;
use super::silent::Silent;
use super::skip_ahead::SkipAhead;
use super::wrong_digest::WrongDigest;
use crate::consensus::Behaviour;

/// All of them, in the order of [`BEHAVIOURS`].
const MAKERS: [fn() -> Box<dyn Lie>; BEHAVIOURS.len()] = [
    || Box::new(WrongDigest),
    || Box::new(Equivocate::default()),
    || Box::new(Silent),
    || Box::new(BadNewView),
    || Box::new(SkipAhead),
    || Box::new(LyingState),
    || Box::new(Accomplice::default()),
];

/// What a replica can be told to do wrong.
pub(in super::super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "wrong-digest",
        summary: "votes for digests of nothing, and proposes batches under digests that are not theirs",
    },
    Behaviour {
        name: "equivocate",
        summary: "as primary proposes different batches to different backups; votes differently towards each",
    },
    Behaviour { name: "silent", summary: "takes everything and sends nothing" },
    Behaviour {
        name: "bad-new-view",
        summary: "as primary begins its views with something else than what prepared before",
    },
    Behaviour { name: "skip-ahead", summary: "as primary leaves sequence numbers out" },
    Behaviour { name: "lying-state", summary: "gives who fetches its state a wrong one" },
    Behaviour {
        name: "accomplice",
        summary: "votes for whatever anybody was told: harmless alone; with an equivocating primary outside the fault \
                  model of four replicas, to see agreement break",
    },
];

/// Those of which f replicas are tolerated and a run of the simulator draws one. All are; an accomplice does nothing
/// without somebody to help.
pub(in super::super) const TOLERATED: &[&str] =
    &["wrong-digest", "equivocate", "silent", "bad-new-view", "skip-ahead", "lying-state"];

/// Makes the behaviour of that name.
pub(super) fn behaviour(name: &str) -> Result<Box<dyn Lie>, String> {
    let position = BEHAVIOURS.iter().position(|behaviour| behaviour.name == name);
    position.map(|position| MAKERS[position]()).ok_or_else(|| {
        let names: Vec<_> = BEHAVIOURS.iter().map(|behaviour| behaviour.name).collect();
        format!("PBFT knows no behaviour `{name}`: one of {}", names.join(", "))
    })
}
