//! The behaviours by name.

use super::accomplice::Accomplice;
use super::any::Any;
use super::bad_view_change::BadViewChange;
use super::censor::Censor;
use super::corrupt_signature::CorruptSignature;
use super::delay::Delay;
use super::equivocate::Equivocate;
use super::flood::Flood;
use super::lie::Lie;
use super::lying_state::LyingState;
use super::mutate::Mutate;
use super::replay::Replay;
use super::silent::Silent;
use super::skip_ahead::SkipAhead;
use super::wrong_digest::WrongDigest;
use super::wrong_reply::WrongReply;
use crate::consensus::{Behaviour, Misbehaviour, Proof};

/// All of them, in the order of [`BEHAVIOURS`].
const MAKERS: [Maker; BEHAVIOURS.len()] = [
    |_| Ok(Box::new(Any::default())),
    |_| Ok(Box::new(WrongDigest)),
    |_| Ok(Box::new(Equivocate::default())),
    |_| Ok(Box::new(Silent)),
    |_| Ok(Box::new(CorruptSignature)),
    |_| Ok(Box::new(Replay::default())),
    |_| Ok(Box::new(BadViewChange::default())),
    |_| Ok(Box::new(SkipAhead)),
    |_| Ok(Box::new(LyingState::default())),
    |_| Ok(Box::new(WrongReply)),
    |_| Ok(Box::new(Mutate::default())),
    |_| Ok(Box::new(Delay::default())),
    |aim| Ok(Box::new(Censor::new(aim)?)),
    |_| Ok(Box::new(Flood::default())),
    |_| Ok(Box::new(Accomplice::default())),
];

/// Makes a behaviour, given its aim: `None` where it takes none, or none was given. Refuses an aim that is none.
type Maker = fn(Option<&str>) -> Result<Box<dyn Lie>, String>;

/// What a replica can be told to do wrong, and whether that convicts it. Of those of which proof is due:
///
/// - the COMMITs of `wrong-digest` are for something else than what prepared where they arrive; as primary it has nothing
///   prepared, and is convicted as the backup that it is after the view change;
/// - of `equivocate` a side that heard the lie as primary is shown the truth in certificates and in COMMITs that are
///   passed on; as backup its COMMITs towards those whom it lies to are as wrong as above, and somebody always is;
/// - the unasked VIEW-CHANGEs of `bad-view-change`, with each STATUS, tell of no certificate for what it has committed to
///   since;
/// - of `mutate` a vote with a number that is one off is followed, or was preceded, by its own vote for that number.
///
/// `skip-ahead` convicts itself where it comes to a number that it has skipped to, `flood` where its made-up votes fall
/// upon numbers that are under way, `accomplice` where it voted for what its replica never had prepared.
pub(in super::super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour::new("any", Proof::Possible, "one of the tolerated ways after the other, drawn by its seed"),
    Behaviour::new(
        "wrong-digest",
        Proof::Due,
        "votes for digests of nothing, and proposes batches under digests that are not theirs",
    ),
    Behaviour::new(
        "equivocate",
        Proof::Due,
        "as primary proposes different batches to different backups; votes differently towards each",
    ),
    Behaviour::new("silent", Proof::Never, "takes everything and sends nothing"),
    Behaviour::new(
        "corrupt-signature",
        Proof::Never,
        "signs so that it does not hold: everything, or some kinds of messages",
    ),
    Behaviour::new("replay", Proof::Never, "sends old messages of anybody again, as they were"),
    Behaviour::new(
        "bad-view-change",
        Proof::Due,
        "tells forged, stale or no certificates, asks for ever later views, and begins its own with something wrong",
    ),
    Behaviour::new("skip-ahead", Proof::Possible, "as primary leaves sequence numbers out"),
    Behaviour::new(
        "lying-state",
        Proof::Never,
        "gives who fetches its state a wrong one, an endless one, or none",
    ),
    Behaviour::new("wrong-reply", Proof::Never, "gives clients other results than the right ones"),
    Behaviour::new(
        "mutate",
        Proof::Due,
        "sends messages that are almost right: another view, number, digest or name in them",
    ),
    Behaviour::new(
        "delay",
        Proof::Never,
        "as primary proposes just before the backups lose their patience; as backup votes as late",
    ),
    Behaviour::new(
        "censor",
        Proof::Never,
        "ignores the requests of one client, or those with some key, and answers none of them",
    )
    .aimed_at("client=ID or key=TEXT; without it the first client that it hears of"),
    Behaviour::new(
        "flood",
        Proof::Possible,
        "sends everybody requests, votes, questions and rubbish without end",
    ),
    Behaviour::new(
        "accomplice",
        Proof::Possible,
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
    "corrupt-signature",
    "replay",
    "bad-view-change",
    "skip-ahead",
    "lying-state",
    "wrong-reply",
    "mutate",
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
