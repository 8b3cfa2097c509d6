//! What leaves a liar, message by message.

mod messages;
mod view_change;

use std::collections::BTreeMap;

use super::super::message::{
    Batch, Checkpoint, Commit, Message, NewView, PrePrepare, Prepare, Request, Sequence, Signed, State, View,
    ViewChange,
};
use super::*;
use crate::consensus::{Digest, Keys, Lsn, Scheme, SecretKey, WallTime};

fn keys(of: u64, n: u64) -> Keys {
    let secret = |id: u64| SecretKey::from_seed(Scheme::Tag, [id as u8; 32]);
    Keys::new(secret(of), (1..=n).map(|id| (NodeId(id), secret(id).public())).collect())
}

/// Replica 1 of n, which lies.
fn adversary(behaviour: &str, n: u64) -> Adversary {
    told(&Misbehaviour::new(behaviour, 7), n).unwrap()
}

/// Replica 1 of n, which is told to do this.
fn told(misbehaviour: &Misbehaviour, n: u64) -> Result<Adversary, String> {
    let members: Vec<_> = (1..=n).map(NodeId).collect();
    let signer = Signer::new(NodeId(1), 1, &keys(1, n));
    Adversary::new(misbehaviour, signer, Quorum::new(&members), Options::default())
}

fn signer(id: u64) -> Signer {
    Signer::new(NodeId(id), 1, &keys(id, 4))
}

fn to(id: u64, message: Message) -> Outgoing<Message> {
    Outgoing { to: NodeId(id), message, after: Lsn(3) }
}

fn pre_prepare(sequence: u64, batch: &Batch) -> Message {
    let digest = batch.digest();
    let body = PrePrepare { view: View(0), sequence: Sequence(sequence), digest, replica: NodeId(1) };
    Message::PrePrepare { pre_prepare: signer(1).sign(body), batch: batch.clone() }
}

fn prepare(of: u64, view: u64, digest: Digest) -> Message {
    let body = Prepare { view: View(view), sequence: Sequence(9), digest, replica: NodeId(of) };
    Message::Prepare(signer(of).sign(body))
}

fn commit(of: u64, view: u64, digest: Digest) -> Message {
    let body = Commit { view: View(view), sequence: Sequence(9), digest, replica: NodeId(of) };
    Message::Commit(signer(of).sign(body))
}

fn checkpoint(of: u64, digest: Digest) -> Message {
    Message::Checkpoint(signer(of).sign(Checkpoint { sequence: Sequence(8), digest, replica: NodeId(of) }))
}

fn request(counter: u64) -> Signed<Request> {
    let commands = vec![(counter, bytes::Bytes::from_static(b"put"))];
    signer(4).sign(Request { client: NodeId(4), incarnation: 1, time: WallTime(0), commands })
}

fn batch(counters: &[u64]) -> Batch {
    Batch(counters.iter().map(|counter| request(*counter)).collect())
}

fn tampered(adversary: &mut Adversary, honest: Vec<Outgoing<Message>>) -> Vec<Outgoing<Message>> {
    let mut leaves = Vec::new();
    adversary.tamper(honest, &mut leaves);
    leaves
}

#[test]
fn nobody_lies_in_an_unknown_way() {
    let refused = told(&Misbehaviour::new("honest", 1), 4).unwrap_err();
    assert!(refused.contains("no behaviour `honest`") && refused.contains("wrong-digest"), "{refused}");
    let aimed = told(&Misbehaviour::new("silent", 1).aimed_at("client=1"), 4).unwrap_err();
    assert!(aimed.contains("cannot be aimed"), "{aimed}");
}

#[test]
fn it_lies_as_often_as_it_is_told_and_alike_about_one_slot() {
    let half = Misbehaviour { per_mille: 500, ..Misbehaviour::new("silent", 7) };
    let honest: Vec<_> =
        (1..=200).map(|sequence| to(2, pre_prepare(sequence, &batch(&[sequence])))).collect();
    let left = tampered(&mut told(&half, 4).unwrap(), honest.clone());
    assert!((70..130).contains(&left.len()), "{} of 200", left.len());
    let restarted = tampered(&mut told(&half, 4).unwrap(), honest);
    assert_eq!(left, restarted);
    let liar = told(&half, 4).unwrap();
    let digest = Digest([5; 32]);
    for view in 0..20 {
        assert_eq!(liar.lies_about(&prepare(1, view, digest)), liar.lies_about(&commit(1, view, digest)));
    }
}

#[test]
fn it_is_honest_in_earlier_views() {
    let later = Misbehaviour { from_epoch: 3, ..Misbehaviour::new("silent", 7) };
    let mut liar = told(&later, 4).unwrap();
    for view in 0..5 {
        liar.is_at(Time::ZERO, View(view));
        let left = tampered(&mut liar, vec![to(2, prepare(1, view, Digest([5; 32])))]);
        assert_eq!(left.is_empty(), view >= 3, "view {view}");
    }
}

#[test]
fn without_a_name_it_lies_in_one_way_after_the_other() {
    let said = |seconds| {
        let mut liar = adversary("any", 4);
        liar.is_at(Time::from_origin(std::time::Duration::from_secs(seconds)), View(1));
        let digest = Digest([5; 32]);
        let honest = [prepare(1, 1, digest), pre_prepare(3, &batch(&[1])), checkpoint(1, digest)];
        tampered(
            &mut liar,
            honest.into_iter().flat_map(|message| [2, 3].map(|id| to(id, message.clone()))).collect(),
        )
    };
    assert_eq!(said(100), said(100));
    let ways: Vec<_> = (0..60).map(|stretch| said(stretch * 4)).collect();
    let silent = ways.iter().filter(|said| said.is_empty()).count();
    assert!((1..40).contains(&silent), "{silent} of 60 stretches are silent");
    assert!(ways.iter().any(|said| !said.is_empty() && *said != ways[0]) && ways.len() == 60);
}

#[test]
fn the_silent_one_says_nothing() {
    let digest = Digest([5; 32]);
    let mut silent = adversary("silent", 4);
    assert_eq!(tampered(&mut silent, vec![to(2, prepare(1, 1, digest)), to(3, commit(1, 1, digest))]), []);
}

#[test]
fn wrong_digests_are_signed_and_the_same_for_all() {
    let digest = Digest([5; 32]);
    let verifier = super::super::signing::Verifier::new(1, keys(2, 4));
    let mut wrong = adversary("wrong-digest", 4);
    let honest =
        (2..=4).flat_map(|id| [to(id, prepare(1, 1, digest)), to(id, checkpoint(1, digest))]).collect();
    let leaves = tampered(&mut wrong, honest);
    let digests: Vec<_> = leaves
        .iter()
        .map(|outgoing| match &outgoing.message {
            Message::Prepare(signed) => verifier.verify(signed).then_some(signed.body.digest),
            Message::Checkpoint(signed) => verifier.verify(signed).then_some(signed.body.digest),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(digests.len(), 6);
    assert!(
        digests.iter().all(|found| found.is_some_and(|found| found != digest && digests[0] == Some(found)))
    );
}

#[test]
fn what_others_said_is_passed_on_as_it_is() {
    let relayed = vec![to(2, commit(3, 1, Digest([5; 32])))];
    for behaviour in TOLERATED.iter().filter(|name| **name != "silent").chain(&["accomplice"]) {
        assert_eq!(tampered(&mut adversary(behaviour, 4), relayed.clone()), relayed, "{behaviour}");
    }
}

/// The digests that each backup is told for a sequence number, and those of the COMMITs that come along.
fn proposed(leaves: &[Outgoing<Message>]) -> BTreeMap<NodeId, (Digest, Digest, usize)> {
    let mut told: BTreeMap<NodeId, (Digest, Digest, usize)> = BTreeMap::new();
    for outgoing in leaves {
        let entry = told.entry(outgoing.to).or_default();
        match &outgoing.message {
            Message::PrePrepare { pre_prepare: Signed { body, .. }, batch } => {
                assert_eq!(batch.digest(), body.digest, "each side gets a batch that fits");
                (entry.0, entry.2) = (body.digest, batch.0.len());
            }
            Message::Commit(signed) => entry.1 = signed.body.digest,
            other => panic!("{other:?}"),
        }
    }
    told
}

#[test]
fn an_equivocating_primary_gives_each_side_a_batch_and_its_commit() {
    let mut liar = adversary("equivocate", 4);
    let mut again = adversary("equivocate", 4);
    let mut splits = std::collections::BTreeSet::new();
    for sequence in 1..40 {
        let message = pre_prepare(sequence, &batch(&[sequence * 10, sequence * 10 + 1]));
        let honest: Vec<_> = (2..=4).map(|id| to(id, message.clone())).collect();
        let told = proposed(&tampered(&mut liar, honest.clone()));
        assert!(told.values().all(|(proposed, committed, _)| proposed == committed));
        let digests: Vec<_> = told.values().map(|(digest, ..)| *digest).collect();
        let both = digests.iter().any(|digest| *digest != digests[0]);
        assert!(both, "sequence {sequence}: both sides have somebody");
        splits.insert(digests.iter().map(|digest| *digest == digests[0]).collect::<Vec<_>>());
        let later = proposed(&tampered(&mut liar, honest.clone()));
        assert_eq!(told, later, "it says the same when it says it again");
        let restarted = proposed(&tampered(&mut again, honest));
        assert_eq!(told, restarted, "and after a restart");
    }
    assert!(splits.len() > 1, "not always the same sides: {splits:?}");
}

#[test]
fn an_equivocating_backup_votes_differently_towards_each() {
    let digest = Digest([5; 32]);
    let mut liar = adversary("equivocate", 4);
    let leaves = tampered(&mut liar, (2..=4).map(|id| to(id, prepare(1, 1, digest))).collect());
    let said: Vec<_> = leaves
        .iter()
        .filter_map(|outgoing| lie::Vote::of(&outgoing.message))
        .map(|vote| vote.digest)
        .collect();
    assert!(said.contains(&digest) && said.iter().any(|said| *said != digest), "{said:?}");
}

#[test]
fn an_accomplice_tells_each_what_it_wants_to_hear() {
    let (one, two) = (Digest([1; 32]), Digest([2; 32]));
    let mut liar = adversary("accomplice", 4);
    // Its own replica's vote waits.
    assert_eq!(tampered(&mut liar, vec![to(3, prepare(1, 1, one))]), []);
    let mut leaves = Vec::new();
    liar.overhear(NodeId(3), &prepare(3, 1, one), &mut leaves);
    liar.overhear(NodeId(4), &prepare(4, 1, two), &mut leaves);
    let said: Vec<_> = leaves
        .iter()
        .map(|outgoing| (outgoing.to.0, lie::Vote::of(&outgoing.message).unwrap().digest))
        .collect();
    assert_eq!(said, [(3, one), (3, one), (4, two), (4, two)]);
    // Nothing new, nothing said; and its replica's vote is turned round.
    leaves.clear();
    liar.overhear(NodeId(4), &commit(4, 1, two), &mut leaves);
    assert_eq!(leaves, []);
    let turned = tampered(&mut liar, vec![to(4, commit(1, 1, one))]);
    assert_eq!(lie::Vote::of(&turned[0].message).unwrap().digest, two);
}

#[test]
fn who_skips_ahead_tells_all_the_same() {
    let mut liar = adversary("skip-ahead", 4);
    let mut skipped = 0;
    for sequence in 1..40 {
        let message = pre_prepare(sequence, &batch(&[sequence]));
        let leaves = tampered(&mut liar, vec![to(2, message.clone()), to(3, message.clone())]);
        assert_eq!(leaves[0].message, leaves[1].message);
        skipped += usize::from(leaves[0].message != message);
    }
    assert!((5..30).contains(&skipped), "{skipped} of 39");
}

#[test]
fn wrong_pieces_differ_by_a_bit() {
    let piece = bytes::Bytes::from(vec![0; 100]);
    let state =
        |sequence| State { sequence: Sequence(sequence), pieces: 40, number: 7, data: Some(piece.clone()) };
    let honest = (1..80).map(|sequence| to(2, Message::State(state(sequence)))).collect();
    let leaves = tampered(&mut adversary("lying-state", 4), honest);
    let changed = |outgoing: &Outgoing<Message>| match &outgoing.message {
        Message::State(state) => state.data.iter().flatten().map(|byte| byte.count_ones()).sum::<u32>(),
        other => panic!("{other:?}"),
    };
    let lies = leaves.iter().map(changed).inspect(|bits| assert!(*bits <= 1)).sum::<u32>();
    assert!((10..40).contains(&lies), "{lies} of 79");
}

#[test]
fn who_delays_proposes_just_below_the_request_timer_and_in_order() {
    let mut liar = adversary("delay", 4);
    let one = to(2, pre_prepare(1, &batch(&[1])));
    let two = to(2, pre_prepare(2, &batch(&[2])));
    assert_eq!(tampered(&mut liar, vec![one.clone(), two.clone()]), []);
    let timer = Options::default().request_timer();
    let due = liar.deadline().unwrap().since(Time::ZERO);
    assert!(timer / 2 < due && due < timer);
    let mut leaves = Vec::new();
    liar.on_time(&mut leaves);
    assert!(leaves.is_empty());
    liar.is_at(Time::from_origin(due), View(0));
    liar.on_time(&mut leaves);
    assert_eq!(leaves, [one, two]);
    assert_eq!(liar.deadline(), None);
}

fn lets_in(liar: &mut Adversary, message: Message) -> bool {
    let members = [1, 2, 3, 4].map(NodeId);
    let checker = super::super::Checker::new(1, &members, keys(1, 4), &Options::default());
    let message = checker.check(NodeId(4), message).unwrap();
    liar.lets_in(&Input::Message { from: NodeId(4), message })
}

#[test]
fn who_censors_hears_nothing_of_its_victim_and_answers_it_nothing() {
    let reply = |counter| {
        let results = vec![(counter, Some(bytes::Bytes::from_static(b"yes")))];
        let (view, client, incarnation, replica) = (View(0), NodeId(4), 1, NodeId(1));
        to(
            4,
            Message::Reply(signer(1).sign(super::super::Reply {
                view,
                client,
                incarnation,
                results,
                replica,
            })),
        )
    };
    for (aim, victim) in
        [(None, true), (Some("client=4"), true), (Some("client=3"), false), (Some("key=pu"), true)]
    {
        let misbehaviour = Misbehaviour { aim: aim.map(str::to_owned), ..Misbehaviour::new("censor", 7) };
        let mut liar = told(&misbehaviour, 4).unwrap();
        assert_eq!(!lets_in(&mut liar, Message::Request(request(1))), victim, "{aim:?}");
        assert_eq!(tampered(&mut liar, vec![reply(1)]).is_empty(), victim, "{aim:?}");
    }
    for aim in ["", "client=me", "key=", "node=1"] {
        assert!(told(&Misbehaviour::new("censor", 1).aimed_at(aim), 4).is_err(), "{aim}");
    }
}

#[test]
fn who_floods_sends_everybody_as_much_again_and_again_and_not_all_of_it_is_valid() {
    let mut liar = adversary("flood", 4);
    let mut leaves = Vec::new();
    liar.on_time(&mut leaves);
    let burst = leaves.len();
    assert!(burst > 40 && burst.is_multiple_of(3), "{burst}");
    let members = [1, 2, 3, 4].map(NodeId);
    let checker = super::super::Checker::new(1, &members, keys(2, 4), &Options::default());
    let valid = leaves.iter().filter(|sent| checker.check(NodeId(1), sent.message.clone()).is_ok()).count();
    assert!(burst / 2 < valid && valid < burst);
    liar.on_time(&mut leaves);
    assert_eq!(leaves.len(), burst, "not before its time");
    liar.is_at(liar.deadline().unwrap(), View(0));
    liar.on_time(&mut leaves);
    assert_eq!(leaves.len(), burst * 2);
}
