//! [`Desk`]: the calls that wait for an answer, and the sans-I/O client that gets it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::life::wall_time;
use crate::client::Error;
use crate::consensus::{
    Checked, ClientOutput, NodeId, Proposal, Protocol, Rejection, RequestId, Time, VotingClient,
};
use crate::text::counted;

/// Who refuses what never left this process.
pub(super) const HERE: &str = "this client";

/// Why a call had no turn in its time.
pub(super) const TOO_MANY: &str = "too many requests of this client wait for an answer already";

/// What a caller waits for: the agreed bytes, or why there are none.
pub(super) type Verdict = Result<Bytes, Error>;

/// A call: a command, and who waits for its answer.
pub(super) struct Call {
    /// An encoded command of the store.
    pub(super) command: Bytes,
    /// When the caller wants to be told, whatever there is to tell.
    pub(super) deadline: Time,
    /// Who waits.
    pub(super) caller: oneshot::Sender<Verdict>,
}

/// Whose desk it is.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// The client's id.
    pub(super) id: NodeId,
    /// Which life of it.
    pub(super) incarnation: u64,
    /// How many replicas the cluster has.
    pub(super) replicas: usize,
    /// How many of them must answer alike.
    pub(super) votes: usize,
}

/// A call that has its number.
struct Pending {
    deadline: Time,
    caller: oneshot::Sender<Verdict>,
    /// When it was handed on.
    asked: Option<Time>,
}

/// All calls that wait, by the counters of their proposals.
///
/// A call is handed to the sans-I/O client only when so many replicas are reached that they can answer it: before that
/// nothing of it has left, and it can end as certainly not executed.
pub(super) struct Desk<C: VotingClient> {
    owner: Owner,
    client: C,
    last: u64,
    pending: BTreeMap<u64, Pending>,
    deadlines: BTreeSet<(Time, u64)>,
    /// Commands of calls that are not handed on yet.
    waiting: BTreeMap<u64, Bytes>,
    /// When each replica was last heard.
    heard: BTreeMap<NodeId, Time>,
    /// Who was found to answer otherwise than was accepted.
    dissenters: BTreeSet<NodeId>,
    out: ClientOutput<C::Protocol>,
}

impl<C: VotingClient> Desk<C> {
    pub(super) fn new(owner: Owner, client: C) -> Self {
        Self {
            owner,
            client,
            last: 0,
            pending: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            waiting: BTreeMap::new(),
            heard: BTreeMap::new(),
            dissenters: BTreeSet::new(),
            out: ClientOutput::default(),
        }
    }

    /// How many calls wait.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether calls wait for replicas to be reached.
    pub(super) fn waits_for_replicas(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a replica was found to answer otherwise than was accepted.
    pub(super) fn has_dissenters(&self) -> bool {
        !self.dissenters.is_empty()
    }

    /// When there is something to do if nothing happens first.
    pub(super) fn deadline(&self) -> Option<Time> {
        let first = self.deadlines.first().map(|(deadline, _)| *deadline);
        first.into_iter().chain(self.client.deadline()).min()
    }

    /// Takes a call.
    pub(super) fn on_call(&mut self, call: Call) {
        self.last += 1;
        self.waiting.insert(self.last, call.command);
        self.deadlines.insert((call.deadline, self.last));
        let pending = Pending { deadline: call.deadline, caller: call.caller, asked: None };
        self.pending.insert(self.last, pending);
    }

    /// Takes a checked message of a replica.
    pub(super) fn on_message(
        &mut self,
        now: Time,
        from: NodeId,
        message: Checked<<C::Protocol as Protocol>::Message>,
    ) {
        self.heard.insert(from, now);
        self.client.on_message(now, from, message, &mut self.out);
        for node in std::mem::take(&mut self.out.dissenters) {
            if self.dissenters.insert(node) {
                let votes = self.owner.votes;
                tracing::warn!(
                    "node {node} answers otherwise than {votes} others: its answer is not believed"
                );
            }
        }
    }

    /// Does what is due while so many replicas are reached, tells callers what there is to tell, and returns what is to
    /// be sent.
    pub(super) fn turn(
        &mut self,
        now: Time,
        reached: usize,
    ) -> Vec<(NodeId, <C::Protocol as Protocol>::Message)> {
        self.expire(now, reached, |asked| asked.is_none());
        if reached >= self.owner.votes {
            self.hand_on(now);
        }
        if self.client.deadline().is_some_and(|deadline| deadline <= now) {
            self.client.on_timeout(now, &mut self.out);
        }
        for (id, answer) in std::mem::take(&mut self.out.answers) {
            self.tell(id.counter, |_| Ok(answer));
        }
        for (id, rejection) in std::mem::take(&mut self.out.rejected) {
            self.reject(id.counter, &rejection);
        }
        // Last, because the client knows more of a call than that its time is over.
        self.expire(now, reached, |_| true);
        std::mem::take(&mut self.out.messages)
    }

    fn hand_on(&mut self, now: Time) {
        if self.waiting.is_empty() {
            return;
        }
        let Owner { id: origin, incarnation, .. } = self.owner;
        let mut proposals = Vec::with_capacity(self.waiting.len());
        for (counter, command) in std::mem::take(&mut self.waiting) {
            if let Some(pending) = self.pending.get_mut(&counter) {
                pending.asked = Some(now);
            }
            let id = RequestId { origin, incarnation, counter };
            proposals.push(Proposal { id, time: wall_time(), command });
        }
        self.client.propose(now, proposals, &mut self.out);
    }

    /// Ends calls whose time is over, of those that are meant.
    fn expire(&mut self, now: Time, reached: usize, meant: impl Fn(Option<Time>) -> bool) {
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        let asked = |counter: u64| self.pending.get(&counter).and_then(|pending| pending.asked);
        let due: Vec<u64> =
            due.map(|(_, counter)| *counter).filter(|counter| meant(asked(*counter))).collect();
        for counter in due {
            let Owner { replicas, votes, .. } = self.owner;
            if self.waiting.remove(&counter).is_some() {
                self.tell(counter, |_| Err(not_asked(reached, replicas, votes)));
            } else {
                self.tell(counter, |said| Err(unclear("timed out waiting for a quorum", &said)));
            }
        }
    }

    fn reject(&mut self, counter: u64, rejection: &Rejection) {
        let reason = rejection.reason;
        self.tell(counter, |said| {
            if rejection.never_executed {
                Err(Error::Refused { message: format!("{reason}; {said}"), endpoint: HERE.to_owned() })
            } else {
                Err(unclear(&reason.to_string(), &said))
            }
        });
    }

    /// Ends a call. It may have ended before: then nobody waits for this.
    fn tell(&mut self, counter: u64, verdict: impl FnOnce(String) -> Verdict) {
        let Some(Pending { deadline, caller, asked }) = self.pending.remove(&counter) else { return };
        self.deadlines.remove(&(deadline, counter));
        // The caller may have lost interest; what it asked for is done all the same.
        let _ = caller.send(verdict(self.said_since(asked)));
    }

    /// How many replicas said something since a call was handed on.
    fn said_since(&self, asked: Option<Time>) -> String {
        let replicas = counted(self.owner.replicas as u64, "replica", "replicas");
        let heard = self.heard.values().filter(|heard| asked.is_some_and(|asked| **heard >= asked)).count();
        format!("{heard} of {replicas} answered")
    }
}

/// The outcome of a call that was sent and got no agreed answer.
fn unclear(why: &str, said: &str) -> Error {
    Error::Unknown { message: format!("{why}; {said}") }
}

/// A call that was never sent, because there was nobody to answer it, or because others were first.
fn not_asked(reached: usize, replicas: usize, votes: usize) -> Error {
    let replicas = counted(replicas as u64, "replica", "replicas");
    let message = match reached {
        0 => return Error::Unreachable { message: format!("none of the {replicas} answers") },
        few if few < votes => {
            format!("{few} of {replicas} could be reached, and {votes} must answer alike")
        }
        _ => TOO_MANY.to_owned(),
    };
    Error::Refused { message, endpoint: HERE.to_owned() }
}
