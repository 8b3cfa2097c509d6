//! The behaviours by name.

use super::accomplice::Accomplice;
use super::any::Any;
use super::bad_new_view::BadNewView;
use super::censor::Censor;
use super::delay::Delay;
use super::equivocate::Equivocate;
use super::flood::Flood;
use super::lie::Lie;
use super::lying_state::LyingState;
use super::silent::Silent;
use super::skip_ahead::SkipAhead;
use super::wrong_digest::WrongDigest;
use crate::consensus::{Behaviour, Misbehaviour};

/// All of them, in the order of [`BEHAVIOURS`].
const MAKERS: [Maker; BEHAVIOURS.len()] = [
    |_| Ok(Box::new(Any::default())),
    |_| Ok(Box::new(WrongDigest)),
    |_| Ok(Box::new(Equivocate::default())),
    |_| Ok(Box::new(Silent)),
    |_| Ok(Box::new(BadNewView)),
    |_| Ok(Box::new(SkipAhead)),
    |_| Ok(Box::new(LyingState)),
    |_| Ok(Box::new(Delay::default())),
    |aim| Ok(Box::new(Censor::new(aim)?)),
    |_| Ok(Box::new(Flood::default())),
    |_| Ok(Box::new(Accomplice::default())),
];

/// Makes a behaviour, given its aim: `None` where it takes none, or none was given. Refuses an aim that is none.
type Maker = fn(Option<&str>) -> Result<Box<dyn Lie>, String>;

/// What a replica can be told to do wrong.
pub(in super::super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour::new("any", "one of the tolerated ways after the other, drawn by its seed"),
    Behaviour::new(
        "wrong-digest",
        "votes for digests of nothing, and proposes batches under digests that are not theirs",
    ),
    Behaviour::new(
        "equivocate",
        "as primary proposes different batches to different backups; votes differently towards each",
    ),
    Behaviour::new("silent", "takes everything and sends nothing"),
    Behaviour::new(
        "bad-new-view",
        "as primary begins its views with something else than what prepared before",
    ),
    Behaviour::new("skip-ahead", "as primary leaves sequence numbers out"),
    Behaviour::new("lying-state", "gives who fetches its state a wrong one"),
    Behaviour::new(
        "delay",
        "as primary proposes just before the backups lose their patience; as backup votes as late",
    ),
    Behaviour::new(
        "censor",
        "ignores the requests of one client, or those with some key, and answers none of them",
    )
    .aimed_at("client=ID or key=TEXT; without it the first client that it hears of"),
    Behaviour::new("flood", "sends everybody requests, votes, questions and rubbish without end"),
    Behaviour::new(
        "accomplice",
        "votes for whatever anybody was told: harmless alone; with an equivocating primary outside the fault model of \
         four replicas, to see agreement break",
    ),
];

/// Those of which f replicas are tolerated: a run of the simulator draws one, and `any` one after the other. All are; an
/// accomplice does nothing without somebody to help.
pub(in super::super) const TOLERATED: &[&str] = &[
    "wrong-digest",
    "equivocate",
    "silent",
    "bad-new-view",
    "skip-ahead",
    "lying-state",
    "delay",
    "censor",
    "flood",
];

/// Makes the behaviour that is asked for, or says why there is no such.
pub(super) fn behaviour(misbehaviour: &Misbehaviour) -> Result<Box<dyn Lie>, String> {
    misbehaviour.check(BEHAVIOURS)?;
    let makers = BEHAVIOURS.iter().zip(MAKERS);
    let mut makers = makers.filter(|(behaviour, _)| behaviour.name == misbehaviour.behaviour);
    let (_, make) = makers.next().ok_or("the protocol does not know it")?;
    make(misbehaviour.aim.as_deref())
}
