//! The client that counts votes, with a scripted sans-I/O client and replicas that the test plays.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::desk::{Call, Verdict};
use super::driver::MAX_CALLS;
use super::scripted::{GARBLED, MISTAKEN, Played, REFUSED, Scripted, VOTES, checked};
use super::*;
use crate::consensus::toy::ToyMessage;
use crate::consensus::{Scheme, SecretKey, Time};
use crate::kv::{PutRequest, PutResponse};
use crate::transport::{Mailbox, Received};

const ME: NodeId = NodeId(1001);

fn config() -> VoterConfig {
    let key = |id: u64| SecretKey::from_seed(Scheme::Tag, [id as u8; 32]);
    VoterConfig {
        cluster_id: 7,
        members: (1..=4).map(|id| (NodeId(id), "127.0.0.1:1".to_owned())).collect(),
        id: ME,
        keys: Keys::new(key(99), (1..=4).map(|id| (NodeId(id), key(id).public())).collect()),
        votes: VOTES,
        retry: Duration::from_millis(100),
    }
}

fn at(ms: u64) -> Time {
    Time::from_origin(Duration::from_millis(ms))
}

fn desk() -> Desk<Scripted> {
    let config = config();
    let options = Options { timeout: Duration::from_secs(5), ..Options::default() };
    Desk::new(Owner { id: ME, incarnation: 5, replicas: 4, votes: VOTES }, config.client(5, options))
}

fn call(desk: &mut Desk<Scripted>, deadline: Time) -> oneshot::Receiver<Verdict> {
    let (caller, verdict) = oneshot::channel();
    desk.on_call(Call { command: Bytes::from_static(b"command"), deadline, caller });
    verdict
}

fn answer(desk: &mut Desk<Scripted>, now: Time, from: u64, number: u64) {
    desk.on_message(now, NodeId(from), checked(ToyMessage::Answer { number }));
}

#[test]
fn nothing_leaves_before_enough_replicas_are_reached_and_the_call_ends_as_not_executed() {
    let mut desk = desk();
    let mut nobody = call(&mut desk, at(50));
    assert!(desk.turn(at(0), 0).is_empty());
    assert!(desk.waits_for_replicas());
    assert_eq!(desk.deadline(), Some(at(50)));
    assert!(desk.turn(at(50), 0).is_empty());
    let error = nobody.try_recv().unwrap().unwrap_err();
    assert_eq!(error, Error::Unreachable { message: "none of the 4 replicas answers".to_owned() });

    let mut one = call(&mut desk, at(100));
    assert!(desk.turn(at(60), 1).is_empty());
    assert!(desk.turn(at(100), 1).is_empty());
    let error = one.try_recv().unwrap().unwrap_err();
    assert!(error.never_executed());
    assert_eq!(error.to_string(), "1 of 4 replicas could be reached, and 2 must answer alike");
    assert_eq!((desk.pending(), desk.deadline()), (0, None));
}

#[test]
fn calls_that_waited_for_replicas_go_out_together_when_these_are_there() {
    let mut desk = desk();
    let _waiting = [call(&mut desk, at(500)), call(&mut desk, at(500))];
    assert!(desk.turn(at(0), 1).is_empty());
    let sent = desk.turn(at(10), 2);
    assert_eq!(sent.len(), 2 * 4, "each call to each replica");
    assert!(!desk.waits_for_replicas());
    assert_eq!(desk.deadline(), Some(at(110)), "when the client wants to repeat them");
    assert_eq!(desk.turn(at(110), 2).len(), 2);
}

#[test]
fn one_replica_is_not_enough_and_two_that_agree_are() {
    let mut desk = desk();
    let mut verdict = call(&mut desk, at(500));
    desk.turn(at(0), 4);
    answer(&mut desk, at(1), 4, 666);
    answer(&mut desk, at(2), 4, 666);
    answer(&mut desk, at(3), 1, 42);
    desk.turn(at(3), 4);
    assert!(verdict.try_recv().is_err(), "nothing is agreed on");
    answer(&mut desk, at(4), 2, 42);
    desk.turn(at(4), 4);
    let agreed = Reply::from_bytes(verdict.try_recv().unwrap().unwrap()).unwrap().unwrap();
    assert_eq!(PutResponse::of(agreed).unwrap().revision, 42);
    assert_eq!(desk.pending(), 0);
}

#[test]
fn a_call_without_agreement_is_unknown_and_says_how_many_answered() {
    let mut desk = desk();
    answer(&mut desk, at(0), 3, 1);
    let mut verdict = call(&mut desk, at(500));
    desk.turn(at(1), 4);
    answer(&mut desk, at(2), 1, 1);
    answer(&mut desk, at(2), 2, 2);
    desk.turn(at(500), 4);
    let error = verdict.try_recv().unwrap().unwrap_err();
    assert!(!error.never_executed());
    let text = "the outcome is unknown: timed out waiting for a quorum; 2 of 4 replicas answered";
    assert_eq!(error.to_string(), text, "replica 3 was heard before the call");
    // What is agreed on too late surprises nobody.
    answer(&mut desk, at(501), 3, 1);
    desk.turn(at(501), 4);
}

#[test]
fn a_rejection_says_whether_it_may_have_been_executed() {
    for (number, never_executed) in [(2, true), (3, false)] {
        let mut desk = desk();
        let mut verdict = call(&mut desk, at(500));
        desk.turn(at(0), 4);
        desk.on_message(at(1), NodeId(1), checked(ToyMessage::Tell { number }));
        desk.turn(at(1), 4);
        let error = verdict.try_recv().unwrap().unwrap_err();
        assert_eq!(error.never_executed(), never_executed);
        assert!(error.to_string().contains("too many requests; 1 of 4 replicas answered"), "{error}");
    }
}

/// A client whose driver runs, and what the test plays the replicas with.
struct Stage {
    voters: Voters,
    reached: watch::Sender<usize>,
    sent: mpsc::UnboundedReceiver<(NodeId, ToyMessage)>,
    replies: Mailbox<ToyMessage>,
}

fn stage(timeout: Duration) -> Stage {
    let (reached, watched) = watch::channel(4);
    let (sending, sent) = mpsc::unbounded_channel();
    let (replies, taken) = inbox(64);
    let options = Options { timeout, ..Options::default() };
    let config = config();
    let client: Scripted = config.client(1, options);
    let played = Played { reached: watched, sent: sending };
    let voters = Voters::start(&config, options, (1, client), played, taken).unwrap();
    Stage { voters, reached, sent, replies }
}

impl Stage {
    /// Lets two replicas answer the next call, once it was sent.
    async fn agree(&mut self, number: u64) {
        self.sent.recv().await.unwrap();
        for id in [2, 3] {
            let message = checked(ToyMessage::Answer { number });
            self.replies.send(Received { from: NodeId(id), message }).await.unwrap();
        }
        while self.sent.try_recv().is_ok() {}
    }
}

fn a_put() -> Op {
    Op::Put(PutRequest { key: Bytes::from_static(b"k"), ..PutRequest::default() })
}

/// Long enough for anything that is going to happen.
const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_put_is_what_two_replicas_say() {
    let mut stage = stage(LONG);
    stage.reached.send_replace(0);
    let voters = std::sync::Arc::new(stage.voters);
    let calling = tokio::spawn({
        let voters = std::sync::Arc::clone(&voters);
        async move { voters.execute::<PutResponse>(a_put()).await }
    });
    tokio::task::yield_now().await;
    stage.reached.send_replace(2);
    let (_, asked) = stage.sent.recv().await.unwrap();
    let ToyMessage::Ask { payload, .. } = asked else { panic!("{asked:?} is no request") };
    assert_eq!(Command::from_bytes(payload), Ok(Command { session: None, op: a_put() }));
    for id in [1, 4] {
        let message = checked(ToyMessage::Answer { number: 42 });
        stage.replies.send(Received { from: NodeId(id), message }).await.unwrap();
    }
    assert_eq!(calling.await.unwrap().unwrap().revision, 42);
    drop(voters);
    while stage.sent.recv().await.is_some() {}
}

#[tokio::test]
async fn what_the_replicas_agree_on_may_be_a_refusal_or_nonsense() {
    for (number, text) in [
        (GARBLED + 1, "the outcome is unknown: the replicas' answer cannot be read"),
        (REFUSED + 1, "etcdserver: key not found"),
        (
            MISTAKEN + 1,
            "the outcome is unknown: the replicas' answer cannot be read: it answers another question",
        ),
    ] {
        let mut stage = stage(LONG);
        let voters = std::mem::replace(&mut stage.voters, self::stage(LONG).voters);
        let (answer, ()) = tokio::join!(voters.execute::<PutResponse>(a_put()), stage.agree(number));
        let error = answer.unwrap_err();
        assert!(error.to_string().starts_with(text), "{error}");
    }
}

#[tokio::test]
async fn what_is_wrong_in_itself_is_not_sent() {
    let mut stage = stage(LONG);
    let empty = stage.voters.execute::<PutResponse>(Op::Put(PutRequest::default())).await.unwrap_err();
    assert!(empty.to_string().contains("key is not provided"), "{empty}");
    let value = Bytes::from(vec![0; MAX_COMMAND_BYTES]);
    let large = Op::Put(PutRequest { key: Bytes::from_static(b"k"), value, ..PutRequest::default() });
    let large = stage.voters.execute::<PutResponse>(large).await.unwrap_err();
    assert!(large.never_executed() && large.to_string().contains("too large"), "{large}");
    assert!(stage.sent.try_recv().is_err());
}

#[tokio::test]
async fn more_calls_than_are_kept_are_refused_and_none_is_left_waiting() {
    let stage = stage(Duration::from_millis(300));
    let calls = (0..3 * MAX_CALLS).map(|_| stage.voters.execute::<PutResponse>(a_put()));
    let mut unknown = 0;
    let mut refused = 0;
    for ended in futures_of(calls).await {
        match ended.unwrap_err() {
            Error::Unknown { .. } => unknown += 1,
            Error::Refused { .. } => refused += 1,
            other @ Error::Unreachable { .. } => panic!("{other}"),
        }
    }
    assert_eq!(unknown + refused, 3 * MAX_CALLS);
    assert!(unknown >= MAX_CALLS, "{unknown} were sent");
    assert!(refused > 0, "nothing is bounded");
}

/// Carries out all of them at once.
async fn futures_of<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = all.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut ready = true;
        for (future, output) in waiting.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(cx) {
                std::task::Poll::Ready(done) => *output = Some(done),
                std::task::Poll::Pending => ready = false,
            }
        }
        if ready { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}
