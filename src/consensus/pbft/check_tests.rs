//! What is refused before a replica or client looks at it.

use bytes::Bytes;

use super::*;
use crate::consensus::pbft::message::{Checkpoint, FetchBatch, FetchState, Sequence};
use crate::consensus::pbft::testing::{CLIENT, CLUSTER, Cast};
use crate::consensus::{Digest, WallTime};

fn checker(cast: &Cast) -> Checker {
    let keys = Keys::public_only(cast.public.clone());
    let options = Options { max_batch_requests: 4, max_batch_bytes: 20, window: 16, ..Options::default() };
    Checker::new(CLUSTER, cast.quorum.members(), keys, &options)
}

fn verdict(from: u64, message: Message) -> Result<(), &'static str> {
    let cast = Cast::new(4);
    checker(&cast).check(NodeId(from), message).map(|_| ()).map_err(|refused| refused.why)
}

fn digest() -> Digest {
    Digest([5; 32])
}

#[test]
fn a_client_sends_its_own_requests_alone() {
    let cast = Cast::new(4);
    let request = Message::Request(cast.request([1, 2]));
    assert_eq!(verdict(CLIENT, request.clone()), Ok(()));
    assert_eq!(verdict(2, request.clone()), Ok(()), "relayed by a replica");
    assert_eq!(verdict(9, request), Err("the sender is neither a member nor a known client"));
    let of_member = cast.signer(2).sign(Request { client: NodeId(2), ..cast.request([1]).body });
    assert_eq!(verdict(2, Message::Request(of_member.clone())), Ok(()), "a replica acts for its callers");
    let foreign = Message::Request(of_member);
    assert_eq!(verdict(CLIENT, foreign), Err("a client sends its own requests alone"));
    let prepare = Message::Prepare(cast.prepare(2, View(0), Sequence(1), digest()));
    assert_eq!(verdict(CLIENT, prepare), Err("a client sends requests alone, and replies that it disputes"));
}

#[test]
fn a_client_disputes_what_was_said_to_it_alone() {
    let cast = Cast::new(4);
    let reply = |client| {
        let results = vec![(1, Some(Bytes::from_static(b"a")))];
        let (view, client, replica) = (View(0), NodeId(client), NodeId(3));
        cast.signer(3).sign(Reply { view, client, incarnation: 1, results, replica })
    };
    assert_eq!(verdict(CLIENT, Message::Disputed(reply(CLIENT))), Ok(()));
    assert_eq!(verdict(2, Message::Disputed(reply(2))), Ok(()), "a replica for its own callers");
    let foreign = "a client disputes what was said to it alone";
    assert_eq!(verdict(CLIENT, Message::Disputed(reply(2))), Err(foreign));
    assert_eq!(verdict(2, Message::Disputed(reply(CLIENT))), Err(foreign));
    let mut made_up = reply(CLIENT);
    made_up.body.results[0].0 = 2;
    assert_eq!(verdict(CLIENT, Message::Disputed(made_up)), Err(FORGED));
}

#[test]
fn requests() {
    let cast = Cast::new(4);
    let of = |change: fn(&mut Request)| {
        let mut body = cast.request([1, 2]).body;
        change(&mut body);
        verdict(1, Message::Request(cast.signer(CLIENT).sign(body)))
    };
    assert_eq!(of(|_| ()), Ok(()));
    assert_eq!(of(|r| r.commands.clear()), Err("a request has no command"));
    assert_eq!(of(|r| r.commands.reverse()), Err("a request's counters do not ascend"));
    assert_eq!(of(|r| r.commands[1].0 = 1), Err("a request's counters do not ascend"));
    assert_eq!(
        of(|r| r.commands = (0..=MAX_COMMANDS as u64).map(|counter| (counter, Bytes::new())).collect()),
        Err("a request has too many commands")
    );
    assert_eq!(
        of(|r| r.commands[0].1 = vec![0; Options::default().max_request_bytes].into()),
        Err("a request is too large")
    );
    let mut forged = cast.request([1]);
    forged.body.time = WallTime(77);
    assert_eq!(verdict(1, Message::Request(forged)), Err(FORGED));
    let mut unknown = cast.request([1]);
    unknown.body.client = NodeId(1002);
    assert_eq!(verdict(1, Message::Request(unknown)), Err("its client is not known"));
}

/// A PRE-PREPARE of view 0's primary for a batch.
fn proposal(digest: Digest, batch: Batch) -> Message {
    let pre_prepare = Cast::new(4).pre_prepare(View(0), Sequence(1), digest);
    Message::PrePrepare { pre_prepare, batch }
}

#[test]
fn pre_prepares_name_their_batch() {
    let cast = Cast::new(4);
    let batch = Batch(vec![cast.request([1]), cast.request([2])]);
    assert_eq!(verdict(1, proposal(batch.digest(), batch.clone())), Ok(()));
    assert_eq!(verdict(3, proposal(batch.digest(), batch.clone())), Ok(()), "passed on by a backup");
    let wrong = Err("a PRE-PREPARE has another digest than its batch");
    assert_eq!(verdict(1, proposal(digest(), batch.clone())), wrong);
    assert_eq!(verdict(1, proposal(Batch::default().digest(), batch.clone())), wrong);
    assert_eq!(verdict(1, proposal(Batch::default().digest(), Batch::default())), Ok(()), "the null request");
    assert_eq!(verdict(1, proposal(batch.digest(), Batch::default())), Ok(()), "you have it already");

    let mut forged = batch;
    forged.0[1].body.time = WallTime(77);
    assert_eq!(verdict(1, proposal(forged.digest(), forged)), Err(FORGED));
    let of_a_backup =
        PrePrepare { view: View(0), sequence: Sequence(1), digest: digest(), replica: NodeId(2) };
    let pre_prepare = cast.signer(2).sign(of_a_backup);
    let message = Message::PrePrepare { pre_prepare, batch: Batch::default() };
    assert_eq!(verdict(2, message), Err("a PRE-PREPARE is not of its view's primary"));
}

#[test]
fn batches_have_limits_that_only_a_single_request_may_exceed() {
    let cast = Cast::new(4);
    let batch = |requests: &[&[u64]]| {
        let requests = requests.iter().map(|counters| cast.request(counters.iter().copied())).collect();
        verdict(1, Message::Batch { sequence: Sequence(1), batch: Batch(requests) })
    };
    assert_eq!(batch(&[&[1, 2], &[3, 4]]), Ok(()));
    assert_eq!(batch(&[&[1, 2], &[3, 4], &[5]]), Err("a batch is too large"), "too many commands");
    assert_eq!(batch(&[&[1, 2, 3, 4, 5, 6, 7, 8]]), Ok(()), "or it could never be ordered");
    let mut large = cast.request([1]).body;
    large.commands[0].1 = vec![0; 30].into();
    let large = cast.signer(CLIENT).sign(large);
    let message = |requests| Message::Batch { sequence: Sequence(1), batch: Batch(requests) };
    assert_eq!(verdict(1, message(vec![large.clone()])), Ok(()));
    assert_eq!(verdict(1, message(vec![large, cast.request([2])])), Err("a batch is too large"), "bytes");
}

#[test]
fn votes() {
    let cast = Cast::new(4);
    let prepare = |replica, view, sequence| {
        Message::Prepare(cast.prepare(replica, View(view), Sequence(sequence), digest()))
    };
    assert_eq!(verdict(2, prepare(2, 0, 1)), Ok(()));
    assert_eq!(verdict(3, prepare(2, 0, 1)), Ok(()), "whoever passes it on");
    assert_eq!(verdict(1, prepare(1, 0, 1)), Err("a primary does not prepare"));
    assert_eq!(verdict(2, prepare(2, 0, 0)), Err("sequence numbers begin at 1"));
    assert_eq!(verdict(2, prepare(2, 0, u64::MAX)), Err("its sequence number is beyond all slots"));
    assert_eq!(verdict(2, prepare(2, u64::MAX, 1)), Err("its view is beyond all views"));

    let commit = Commit { view: View(0), sequence: Sequence(1), digest: digest(), replica: NodeId(1) };
    let commit = cast.signer(1).sign(commit);
    assert_eq!(verdict(1, Message::Commit(commit)), Ok(()));
    let mut altered = commit;
    altered.body.sequence = Sequence(2);
    assert_eq!(verdict(1, Message::Commit(altered)), Err(FORGED));
    let by_client = Commit { replica: NodeId(CLIENT), ..commit.body };
    let by_client = Message::Commit(cast.signer(CLIENT).sign(by_client));
    assert_eq!(verdict(1, by_client), Err("its signer is no member"));

    let checkpoint = |replica| {
        let body = Checkpoint { sequence: Sequence(8), digest: digest(), replica: NodeId(replica) };
        verdict(1, Message::Checkpoint(cast.signer(replica).sign(body)))
    };
    assert_eq!((checkpoint(2), checkpoint(CLIENT)), (Ok(()), Err("its signer is no member")));
}

#[test]
fn replies_statuses_and_questions() {
    let cast = Cast::new(4);
    let reply = |results: &[u64]| {
        let results = results.iter().map(|counter| (*counter, Some(Bytes::new()))).collect();
        let (view, client, replica) = (View(0), NodeId(CLIENT), NodeId(2));
        let body = Reply { view, client, incarnation: 1, results, replica };
        verdict(2, Message::Reply(cast.signer(2).sign(body)))
    };
    assert_eq!(reply(&[1, 2]), Ok(()));
    assert_eq!(reply(&[]), Err("a REPLY has no result"));
    assert_eq!(reply(&[2, 2]), Err("a REPLY's counters do not ascend"));
    let many: Vec<u64> = (0..=MAX_RESULTS as u64).collect();
    assert_eq!(reply(&many), Err("a REPLY has too many results"));

    let status = |from, view| {
        let (stable, committed, fetching) = (Sequence::ZERO, Sequence(3), Sequence::ZERO);
        let body = Status { view: View(view), active: true, stable, committed, fetching, replica: NodeId(2) };
        verdict(from, Message::Status(cast.signer(2).sign(body)))
    };
    assert_eq!(status(2, 0), Ok(()));
    assert_eq!(status(3, 0), Err("a STATUS is not of its sender"));
    assert_eq!(status(2, u64::MAX), Err("its view is beyond all views"));

    let state =
        |number, data| verdict(1, Message::State(State { sequence: Sequence(8), pieces: 2, number, data }));
    assert_eq!(state(1, Some(Bytes::new())), Ok(()));
    assert_eq!(state(2, Some(Bytes::new())), Err("there is no such piece"));
    assert_eq!(state(2, None), Ok(()));
    let fetch_state = |sequence| FetchState { sequence: Sequence(sequence), number: 0 };
    assert_eq!(verdict(1, Message::FetchState(fetch_state(8))), Ok(()));
    assert!(verdict(1, Message::FetchState(fetch_state(0))).is_err());
    let fetch_batch = FetchBatch { sequence: Sequence::ZERO, digest: digest() };
    assert!(verdict(1, Message::FetchBatch(fetch_batch)).is_err());
}

#[test]
fn proofs() {
    let cast = Cast::new(4);
    let stable = cast.stable(Sequence(8), digest());
    assert_eq!(verdict(1, Message::Stable(stable.clone())), Ok(()));
    assert_eq!(verdict(1, Message::Stable(Stable::default())), Err("a proof has not Q CHECKPOINTs"));
    let change = cast.view_change(2, View(1), stable, vec![cast.prepared(View(0), Sequence(9), digest())]);
    assert_eq!(verdict(1, Message::ViewChange(change.clone())), Ok(()));
    let mut forged = change.body;
    forged.prepared[0].prepares[1].signature.0[0] ^= 1;
    let forged = cast.signer(2).sign(forged);
    let taken = checker(&cast).check(NodeId(1), Message::ViewChange(forged.clone())).unwrap();
    assert!(
        matches!(taken.get(), Message::Evidence(_)),
        "taken as proof against its signer alone: {taken:?}"
    );
    let mut unsigned = forged;
    unsigned.signature.0[0] ^= 1;
    assert_eq!(verdict(1, Message::ViewChange(unsigned)), Err(FORGED), "which nobody can be blamed for");
}

/// A NEW-VIEW repeats what a replica saw one by one. It then costs the signatures that are new: its own, and O's.
#[test]
fn a_new_view_costs_only_what_was_not_seen_before() {
    const SLOTS: u64 = 10;
    let cast = Cast::new(4);
    let stable = cast.stable(Sequence(8), digest());
    let prepared: Vec<_> =
        (9..9 + SLOTS).map(|sequence| cast.prepared(View(0), Sequence(sequence), digest())).collect();
    let change = |replica| cast.view_change(replica, View(1), stable.clone(), prepared.clone());
    let changes: Vec<_> = [1, 2, 3].map(change).into();
    let new_view = Message::NewView(cast.new_view(View(1), changes.clone()));

    // Three signatures of the checkpoint's proof, three of each certificate, three VIEW-CHANGEs; O and itself.
    let (seen, new) = (3 + 3 * SLOTS + 3, SLOTS + 1);
    let unprepared = checker(&cast);
    assert!(unprepared.check(NodeId(2), new_view.clone()).is_ok());
    assert_eq!(unprepared.verifier().checks(), seen + new, "each signature once, however often it is shown");

    let checker = checker(&cast);
    for change in changes {
        assert!(checker.check(NodeId(4), Message::ViewChange(change)).is_ok());
    }
    assert_eq!(checker.verifier().checks(), seen);
    assert!(checker.clone().check(NodeId(2), new_view).is_ok());
    assert_eq!(checker.verifier().checks(), seen + new);
}
