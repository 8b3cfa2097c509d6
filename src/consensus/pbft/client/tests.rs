//! A client among replicas, f of which may say anything.

use super::*;
use crate::consensus::pbft::testing::{CLIENT, CLUSTER, Cast};
use crate::consensus::{Signature, WallTime};

const RETRY: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(5);

/// A client, and what it wanted done.
struct Stage {
    cast: Cast,
    client: Client,
    now: Time,
    sent: Vec<(u64, Signed<Request>)>,
    answers: Vec<(u64, Bytes)>,
    rejected: Vec<(u64, Rejection)>,
    dissenters: Vec<NodeId>,
    /// What was shown to whom.
    disputed: Vec<(u64, Signed<Reply>)>,
}

impl Stage {
    fn new(replicas: u64) -> Self {
        Self::with_options(replicas, &Options::default())
    }

    /// A client that has heard of view 0.
    fn with_options(replicas: u64, options: &Options) -> Self {
        let mut stage = Self::of_a_stranger(replicas, options);
        (1..=replicas).for_each(|replica| stage.client.views.insert(NodeId(replica), View::ZERO));
        stage.client.shown = Some(stage.now);
        stage
    }

    fn of_a_stranger(replicas: u64, options: &Options) -> Self {
        let cast = Cast::new(replicas);
        let setup = ClientSetup {
            id: NodeId(CLIENT),
            incarnation: 1,
            cluster_id: CLUSTER,
            members: cast.quorum.members().to_vec(),
            keys: cast.keys(CLIENT),
            retry: RETRY,
            request_timeout: TIMEOUT,
        };
        let client = Client::with_options(setup, options);
        let now = Time::ZERO;
        Self {
            cast,
            client,
            now,
            sent: Vec::new(),
            answers: Vec::new(),
            rejected: Vec::new(),
            dissenters: Vec::new(),
            disputed: Vec::new(),
        }
    }

    fn step(&mut self, act: impl FnOnce(&mut Client, Time, &mut Sends)) {
        let mut out = Sends::default();
        act(&mut self.client, self.now, &mut out);
        for (to, message) in out.messages {
            match message {
                Message::Request(request) => {
                    assert!(self.cast.verifier().verify(&request));
                    self.sent.push((to.0, request));
                }
                Message::Disputed(reply) => self.disputed.push((to.0, reply)),
                other => panic!("a client sends {other:?}"),
            }
        }
        self.answers.extend(out.answers.into_iter().map(|(id, answer)| (id.counter, answer)));
        self.dissenters.extend(out.dissenters);
        self.rejected.extend(out.rejected.into_iter().map(|(id, rejection)| (id.counter, rejection)));
    }

    fn propose(&mut self, counters: impl IntoIterator<Item = u64>) {
        self.propose_bytes(counters, 3);
    }

    fn propose_bytes(&mut self, counters: impl IntoIterator<Item = u64>, length: usize) {
        let proposal = |counter| Proposal {
            id: RequestId { origin: NodeId(CLIENT), incarnation: 1, counter },
            time: WallTime(9),
            command: vec![7; length].into(),
        };
        let proposals = counters.into_iter().map(proposal).collect();
        self.step(|client, now, out| client.on_propose(now, proposals, out));
    }

    fn reply(&mut self, replica: u64, view: u64, results: &[(u64, Option<&'static str>)]) {
        let bytes = |text: &&'static str| Bytes::from_static(text.as_bytes());
        let body = Reply {
            view: View(view),
            client: NodeId(CLIENT),
            incarnation: 1,
            results: results.iter().map(|(counter, result)| (*counter, result.as_ref().map(bytes))).collect(),
            replica: NodeId(replica),
        };
        let message = Message::Reply(self.cast.signer(replica).sign(body));
        let checked = self.client.checker.check(NodeId(replica), message).unwrap();
        let Message::Reply(reply) = checked.into_inner() else { panic!("a reply stays one") };
        self.step(|client, now, out| client.on_reply(now, reply, out));
    }

    fn replies(&mut self, replicas: impl IntoIterator<Item = u64>, counter: u64, result: &'static str) {
        for replica in replicas {
            self.reply(replica, 0, &[(counter, Some(result))]);
        }
    }

    fn wait(&mut self, pause: Duration) {
        self.now = self.now + pause;
        self.step(Client::on_time);
    }

    /// To whom the last messages went, since this was asked before.
    fn receivers(&mut self) -> Vec<u64> {
        self.sent.drain(..).map(|(to, _)| to).collect()
    }

    fn counters(&self) -> Vec<Vec<u64>> {
        let of =
            |request: &Signed<Request>| request.body.commands.iter().map(|(counter, _)| *counter).collect();
        self.sent.iter().map(|(_, request)| of(request)).collect()
    }
}

#[test]
fn who_knows_no_view_asks_everybody_and_then_the_primary_alone() {
    let mut stage = Stage::of_a_stranger(4, &Options::default());
    stage.propose([1]);
    assert_eq!(stage.receivers(), [1, 2, 3, 4]);
    stage.reply(4, 9, &[(1, Some("a"))]);
    stage.propose([2]);
    assert_eq!(stage.receivers(), [1, 2, 3, 4], "one replica's word for a view is none");
    stage.reply(2, 2, &[(1, Some("a"))]);
    stage.propose([3]);
    assert_eq!(stage.receivers(), [3], "f + 1 have reached view 2");
}

#[test]
fn f_plus_1_equal_results_are_an_answer_and_fewer_are_none() {
    for (n, f) in [(1, 0), (4, 1), (6, 1), (7, 2), (10, 3)] {
        let mut stage = Stage::new(n);
        stage.propose([1]);
        stage.replies(1..=f, 1, "yes");
        assert!(stage.answers.is_empty(), "n = {n}: f replies are no answer");
        stage.replies([f + 1], 1, "yes");
        assert_eq!(stage.answers, [(1, Bytes::from_static(b"yes"))], "n = {n}");
        stage.replies(1..=n, 1, "yes");
        assert_eq!(stage.answers.len(), 1, "answered once");
        assert_eq!(stage.client.next_deadline(), None, "nothing is left to do");
    }
}

#[test]
fn f_liars_cannot_make_it_accept_and_cannot_keep_it_from_accepting() {
    let mut stage = Stage::new(7);
    stage.propose([1]);
    for _ in 0..3 {
        stage.replies([6, 7], 1, "lie");
    }
    stage.replies([1, 2], 1, "truth");
    assert!(stage.answers.is_empty());
    stage.replies([3], 1, "truth");
    assert_eq!(stage.answers, [(1, Bytes::from_static(b"truth"))]);
}

#[test]
fn a_replica_counts_once_whatever_it_repeats_or_changes() {
    let mut stage = Stage::new(4);
    stage.propose([1]);
    stage.replies([4, 4, 4], 1, "a");
    assert!(stage.answers.is_empty(), "repeating does not count");
    stage.replies([4], 1, "b");
    stage.replies([3], 1, "a");
    assert!(stage.answers.is_empty(), "what it said before does not count any more");
    stage.replies([4], 1, "a");
    assert_eq!(stage.answers.len(), 1);
}

#[test]
fn results_are_compared_command_by_command_in_whatever_portions_they_come() {
    let mut stage = Stage::new(4);
    stage.propose([1, 2, 3]);
    stage.reply(1, 0, &[(1, Some("a")), (2, Some("b")), (3, Some("c"))]);
    stage.reply(2, 5, &[(2, Some("b")), (9, Some("never asked"))]);
    assert_eq!(stage.answers, [(2, Bytes::from_static(b"b"))], "views are not compared");
    stage.reply(3, 0, &[(1, Some("a")), (3, Some("c"))]);
    assert_eq!(stage.answers.len(), 3);
}

#[test]
fn a_result_that_f_plus_1_forgot_is_an_unknown_outcome() {
    let mut stage = Stage::new(4);
    stage.propose([1]);
    stage.reply(1, 0, &[(1, None)]);
    stage.reply(2, 0, &[(1, Some("a"))]);
    assert!(stage.answers.is_empty() && stage.rejected.is_empty());
    stage.reply(3, 0, &[(1, None)]);
    let wanted = Rejection { reason: RejectReason::TimedOut, never_executed: false, leader: Some(NodeId(1)) };
    assert_eq!(stage.rejected, [(1, wanted)]);
}

#[test]
fn replies_to_another_life_do_not_count() {
    let mut stage = Stage::new(4);
    stage.propose([1]);
    for replica in 1..=4 {
        let results = vec![(1, Some(Bytes::new()))];
        let reply = Reply {
            view: View(3),
            client: NodeId(CLIENT),
            incarnation: 2,
            results,
            replica: NodeId(replica),
        };
        let reply = stage.cast.signer(replica).sign(reply);
        stage.step(|client, now, out| client.on_reply(now, reply, out));
    }
    assert!(stage.answers.is_empty());
    assert_eq!(stage.client.view(), View(0));
}

#[test]
fn what_waits_is_one_request_to_the_primary() {
    let mut stage = Stage::new(4);
    stage.propose([5, 6, 7]);
    assert_eq!(stage.counters(), [[5, 6, 7]]);
    assert_eq!(stage.receivers(), [1]);
    stage.propose(8..=8 + MAX_COMMANDS as u64);
    assert_eq!(stage.counters().iter().map(Vec::len).collect::<Vec<_>>(), [MAX_COMMANDS, 1]);
}

#[test]
fn a_request_has_a_limit_in_bytes_that_only_a_single_command_may_exceed() {
    let mut stage = Stage::new(4);
    stage.propose_bytes(1..=4, REQUEST_BYTES / 2);
    assert_eq!(stage.counters(), [[1, 2], [3, 4]]);
    stage.propose_bytes([5, 6], REQUEST_BYTES + 1);
    assert_eq!(stage.counters()[2..], [[5], [6]]);
    stage.propose_bytes([7], Options::default().max_request_bytes + 1);
    assert_eq!((stage.rejected[0].0, stage.rejected[0].1.reason), (7, RejectReason::TooLarge));
    assert!(stage.rejected[0].1.never_executed);
}

#[test]
fn without_an_answer_everybody_gets_the_same_request_again_ever_more_seldom() {
    let mut stage = Stage::new(4);
    stage.propose([1]);
    let first = stage.sent[0].1.clone();
    assert_eq!(stage.receivers(), [1]);
    for doubled in [1, 2, 4, 8, 8] {
        let pause = RETRY * doubled;
        assert_eq!(stage.client.next_deadline(), Some(stage.now + pause));
        stage.wait(pause / 2);
        assert!(stage.receivers().is_empty(), "too early");
        stage.wait(pause / 2);
        assert!(stage.sent.iter().all(|(_, request)| *request == first));
        assert_eq!(stage.receivers(), [1, 2, 3, 4]);
    }
    stage.replies([2, 3], 1, "yes");
    stage.wait(RETRY * 8);
    assert!(stage.receivers().is_empty(), "it was answered");
}

#[test]
fn the_primary_is_whom_f_plus_1_replicas_take_for_it() {
    let mut stage = Stage::new(4);
    stage.propose([1, 2, 3]);
    stage.reply(4, 1_000_002, &[(1, Some("lie"))]);
    assert_eq!(stage.client.view(), View(0), "one replica is not believed");
    stage.reply(2, 1, &[(1, Some("a"))]);
    assert_eq!(stage.client.view(), View(1), "one honest replica at least is there");
    stage.reply(3, 2, &[(1, Some("a"))]);
    stage.reply(3, 1, &[(2, Some("a"))]);
    assert_eq!(stage.client.view(), View(2), "views do not go back");
    stage.sent.clear();
    stage.propose([4]);
    assert_eq!(stage.receivers(), [3]);
}

#[test]
fn outstanding_counters_span_no_more_than_the_store_remembers() {
    let mut stage = Stage::new(4);
    stage.propose(1..=REQUEST_SPAN + 10);
    let sent = |stage: &Stage| stage.counters().into_iter().flatten().max().unwrap();
    assert_eq!(sent(&stage), REQUEST_SPAN);
    stage.replies([1, 2], 2, "yes");
    assert_eq!(sent(&stage), REQUEST_SPAN, "the oldest is still outstanding");
    stage.replies([1, 2], 1, "yes");
    assert_eq!(sent(&stage), REQUEST_SPAN + 2, "1 and 2 are answered");

    stage.sent.clear();
    stage.propose([REQUEST_SPAN + 500]);
    assert!(stage.sent.is_empty());
    let mut stage = Stage::new(4);
    stage.propose([5000]);
    stage.propose([5000 - REQUEST_SPAN, 5001 - REQUEST_SPAN]);
    let refused = &stage.rejected[0];
    assert_eq!((refused.0, refused.1.reason), (5000 - REQUEST_SPAN, RejectReason::TooManyRequests));
    assert!(refused.1.never_executed && stage.rejected.len() == 1, "the other one is within the span");
    assert_eq!(stage.counters(), [[5000], [5001 - REQUEST_SPAN]]);
}

#[test]
fn what_waits_in_the_client_is_bounded() {
    let options = Options { max_pending_requests: 3, max_client_requests: 1, ..Options::default() };
    let mut stage = Stage::with_options(4, &options);
    stage.propose([1]);
    stage.propose([REQUEST_SPAN + 1, REQUEST_SPAN + 2, REQUEST_SPAN + 3, REQUEST_SPAN + 4]);
    let (counter, rejection) = &stage.rejected[0];
    assert_eq!((*counter, rejection.reason), (REQUEST_SPAN + 4, RejectReason::TooManyRequests));
    assert!(rejection.never_executed);
    stage.replies([1, 2], 1, "yes");
    assert_eq!(stage.counters()[1..], [[REQUEST_SPAN + 1, REQUEST_SPAN + 2, REQUEST_SPAN + 3]]);
    assert_eq!(stage.client.queue.bytes(), 0);
}

#[test]
fn what_is_given_up_was_never_executed_only_if_it_was_never_sent() {
    let mut stage = Stage::new(4);
    stage.propose([1, REQUEST_SPAN + 1]);
    stage.wait(TIMEOUT);
    let outcomes: Vec<_> =
        stage.rejected.iter().map(|(counter, r)| (*counter, r.reason, r.never_executed)).collect();
    let timed_out = RejectReason::TimedOut;
    assert_eq!(outcomes, [(1, timed_out, false), (REQUEST_SPAN + 1, timed_out, true)]);
    assert_eq!(stage.client.next_deadline(), None);
    stage.replies([1, 2, 3], 1, "late");
    assert!(stage.answers.is_empty(), "rejected is rejected");
}

#[test]
fn a_liars_large_results_take_no_room() {
    let mut votes = Votes::default();
    let mut say = |replica, result: Option<Bytes>| {
        let results = vec![(1, result.clone())];
        let (view, client, replica) = (View::ZERO, NodeId(CLIENT), NodeId(replica));
        let body = Reply { view, client, incarnation: 1, results, replica };
        let reply = Arc::new(Signed { body, signature: Signature([0; 64]) });
        (votes.insert(&reply, result.as_ref()), Arc::strong_count(&reply))
    };
    let large = Some(Bytes::from(vec![1; 1 << 20]));
    assert_eq!(say(1, large.clone()), (1, 1), "it is counted, and not kept");
    assert_eq!(say(2, large), (2, 1));
    assert_eq!(say(3, None), (1, 2), "a short one is kept, for others to see");
}

#[test]
fn one_request_in_a_while_is_shown_to_everybody() {
    let mut stage = Stage::new(4);
    stage.propose([1]);
    assert_eq!(stage.receivers(), [1], "one was shown just now");
    stage.replies([2, 3], 1, "yes");
    stage.wait(SHOW_PAUSE);
    stage.propose([2]);
    assert_eq!(stage.receivers(), [1, 2, 3, 4]);
    stage.propose([3]);
    assert_eq!(stage.receivers(), [1]);
}

#[test]
fn who_answers_something_else_than_what_is_accepted_is_named() {
    let mut stage = Stage::new(4);
    stage.propose([1, 2]);
    stage.reply(4, 0, &[(1, Some("lie")), (2, None)]);
    stage.replies([2, 3], 1, "yes");
    stage.replies([2, 3], 2, "yes");
    assert_eq!(stage.dissenters, [NodeId(4)], "who has forgotten a result gave none");
}

#[test]
fn an_answer_that_others_contradict_is_shown_to_them_once_in_a_while() {
    let mut stage = Stage::new(4);
    let mut shown = |pause, counter| {
        stage.wait(pause);
        stage.propose([counter]);
        stage.reply(4, 0, &[(counter, Some("lie"))]);
        stage.replies([2, 3], counter, "yes");
        stage.disputed.drain(..).map(|(to, reply)| (to, reply.body.replica.0)).collect::<Vec<_>>()
    };
    assert_eq!(shown(Duration::ZERO, 1), [(1, 4), (2, 4), (3, 4)], "not to the liar itself");
    assert_eq!(shown(DISPUTE_PAUSE / 2, 2), []);
    assert_eq!(shown(DISPUTE_PAUSE / 2, 3).len(), 3);
    stage.wait(DISPUTE_PAUSE);
    stage.propose([4]);
    stage.reply(4, 0, &[(4, None)]);
    stage.replies([2, 3], 4, "yes");
    assert_eq!(stage.disputed, [], "who has forgotten says nothing wrong");
}
