//! The clients: what they ask, how they retry, what they know of the outcome.
//!
//! A client has one call at a time. With a session it repeats a write at other nodes until it has an answer, since the
//! store executes it once; without one it repeats only what surely was not executed. A call whose outcome cannot be
//! known is recorded as unknown, and the client goes on.

use super::dice::Dice;
use super::event::{Answer, What};
use super::node::{Ask, Caller};
use super::run::RunOptions;
use super::simulated::Simulated;
use super::stages::encoded;
use super::trace::TraceKind;
use super::workload::Workload;
use super::world::World;
use crate::check::{Call, Consistency, Outcome, Ticket};
use crate::consensus::Answers;
use crate::kv::{Command, KvError, Op, Reply, Response, SessionTag};

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    number: usize,
    dice: Dice,
    workload: Workload,
    /// Whether it uses a session.
    sessions: bool,
    session: Option<u64>,
    sequence: u64,
    /// The mean time between an answer and the next call, in microseconds.
    pause: u64,
    /// How long it waits for an attempt, and for a call.
    patience: (u64, u64),
    /// The node that it asks first.
    node: usize,
    attempt: u64,
    current: Option<Current>,
    /// Whether a call that began in the calm was answered.
    pub(super) served: bool,
}

/// A call under way.
#[derive(Debug)]
struct Current {
    ticket: Option<Ticket>,
    op: Op,
    tag: Option<SessionTag>,
    consistency: Consistency,
    began: u64,
    until: u64,
    /// An attempt may have been executed without an answer.
    maybe: bool,
    attempts: u64,
}

impl Current {
    fn reads(&self) -> bool {
        self.op.is_read_only() && self.tag.is_none()
    }

    /// Whether another attempt can do no harm.
    fn repeatable(&self) -> bool {
        !self.maybe || self.tag.is_some() || self.reads()
    }
}

impl Client {
    pub(super) fn new(number: usize, mut dice: Dice, options: &RunOptions, gateways: &[usize]) -> Self {
        let per_client = 1_000_000 * options.clients as u64 / options.rate.max(1);
        Self {
            number,
            sessions: dice.chance(500),
            session: None,
            sequence: 0,
            pause: per_client,
            patience: (dice.between(150_000, 1_500_000), dice.between(500_000, 4_000_000)),
            node: *dice.pick(gateways),
            attempt: 0,
            current: None,
            served: false,
            workload: Workload::new(number, &mut dice),
            dice,
        }
    }

    /// How long a request or an answer takes.
    pub(super) fn delay(&mut self) -> u64 {
        self.dice.between(50, 400)
    }
}

impl<P: Simulated> World<P> {
    /// The client begins its next call, or makes the next attempt of the one that is under way.
    pub(super) fn on_client(&mut self, c: usize) {
        let now = self.now;
        let client = &mut self.clients[c];
        if client.current.is_none() {
            if self.quiet {
                return;
            }
            let (op, consistency) = if client.sessions && client.session.is_none() {
                (Op::OpenSession, Consistency::Linearizable)
            } else {
                client.workload.next(&mut client.dice)
            };
            let tag = client.session.filter(|_| !op.is_read_only()).map(|session| {
                client.sequence += 1;
                SessionTag { session, sequence: client.sequence }
            });
            let call = Call { client: client.number as u64, session: tag, op: op.clone(), consistency };
            let ticket = Some(self.recorder.invoke(now, call));
            let until = now + client.patience.1;
            let current =
                Current { ticket, op, tag, consistency, began: now, until, maybe: false, attempts: 0 };
            client.current = Some(current);
            self.stats.operations += 1;
        }
        self.attempt(c);
    }

    fn attempt(&mut self, c: usize) {
        let client = &mut self.clients[c];
        let Some(current) = client.current.as_mut() else { return };
        client.attempt += 1;
        current.attempts += 1;
        self.stats.retries += u64::from(current.attempts > 1);
        let caller = Caller { client: c, attempt: client.attempt };
        let ask = match (current.consistency, current.reads()) {
            (Consistency::Serializable, _) => Ask::Serializable(current.op.clone()),
            // Some reads go through the order, as those of clients that know no better; where clients count votes, all.
            (_, true) if P::ANSWERS == Answers::ByNode && !client.dice.chance(50) => {
                Ask::Linearizable(current.op.clone())
            }
            _ => Ask::Command(encoded(&Command { session: current.tag, op: current.op.clone() })),
        };
        let (node, patience) = (client.node, client.patience.0);
        if self.trace.is_on() {
            let text = format!("→ n{} {}", node + 1, Workload::describe(&current.op, current.tag));
            self.tell_of(format!("client {c}"), TraceKind::Client, text);
        }
        let delay = self.clients[c].delay();
        self.queue.at(self.now + delay, What::Request { node, caller, ask });
        self.queue.at(self.now + patience, What::GiveUp(caller));
    }

    /// An answer arrives; one to an earlier attempt comes too late to be understood.
    pub(super) fn on_answer(&mut self, caller: Caller, node: usize, answer: Answer) {
        let client = &mut self.clients[caller.client];
        if client.attempt != caller.attempt {
            return;
        }
        let Some(current) = client.current.as_mut() else { return };
        match answer {
            Answer::Reply(reply) => self.on_reply(caller.client, node, reply),
            Answer::Unreachable => self.try_elsewhere(caller.client, "nobody listens"),
            Answer::Broken => {
                current.maybe = true;
                self.try_elsewhere(caller.client, "the connection broke");
            }
            Answer::Rejected(rejection) => {
                current.maybe |= !rejection.never_executed;
                if let Some(leader) = rejection.leader.map(|leader| leader.prev().0 as usize)
                    && self.gateways.contains(&leader)
                {
                    client.node = leader;
                }
                self.try_elsewhere(caller.client, "rejected");
            }
        }
    }

    fn on_reply(&mut self, c: usize, node: usize, reply: Reply) {
        let client = &mut self.clients[c];
        let Some(current) = client.current.as_ref() else { return };
        let writes = !current.reads();
        match reply {
            Ok(response) => {
                if let Response::OpenSession(opened) = &response {
                    client.session = Some(opened.session);
                    client.sequence = 0;
                }
                client.workload.learn(&response);
                let counts = writes || current.consistency == Consistency::Linearizable;
                client.served |= counts && self.calm.is_some_and(|calm| calm <= current.began);
                self.stats.answered += 1;
                self.end(c, Some(node), Outcome::Ok(response));
            }
            Err(error) => {
                if error == KvError::SessionExpired {
                    client.session = None;
                }
                if matches!(error, KvError::Compacted | KvError::FutureRevision) {
                    client.workload.forget_revision();
                }
                // Of a session's command that was executed before, the reply may be gone.
                if error.never_executed() {
                    self.stats.answered += 1;
                    self.end(c, Some(node), Outcome::Error(error));
                } else {
                    self.stats.unknown += 1;
                    self.end(c, Some(node), Outcome::Unknown(error.to_string()));
                }
            }
        }
    }

    /// The client has waited long enough: the attempt may have effect yet.
    pub(super) fn on_give_up(&mut self, caller: Caller) {
        let client = &mut self.clients[caller.client];
        if client.attempt != caller.attempt {
            return;
        }
        if let Some(current) = client.current.as_mut() {
            current.maybe = true;
            self.try_elsewhere(caller.client, "no answer in time");
        }
    }

    /// Tries another node if that can do no harm and there is time; else the call ends without a reply.
    fn try_elsewhere(&mut self, c: usize, why: &str) {
        let (gateways, now) = (&self.gateways, self.now);
        let client = &mut self.clients[c];
        let Some(current) = client.current.as_ref() else { return };
        client.attempt += 1;
        if current.repeatable() && now < current.until {
            if client.dice.chance(700) {
                client.node = *client.dice.pick(gateways);
            }
            let pause = client.dice.between(1000, 100_000);
            self.queue.at(now + pause, What::Client(c));
            return;
        }
        client.node = *client.dice.pick(gateways);
        if current.maybe && !current.reads() {
            self.stats.unknown += 1;
            self.end(c, None, Outcome::Unknown(why.to_owned()));
        } else {
            self.stats.refused += 1;
            self.end(c, None, Outcome::Refused(why.to_owned()));
        }
    }

    fn end(&mut self, c: usize, node: Option<usize>, outcome: Outcome) {
        if self.trace.is_on() {
            let text = match &outcome {
                Outcome::Ok(response) => format!("done, at revision {}", response.revision()),
                Outcome::Error(error) => format!("error: {error}"),
                Outcome::Refused(why) => format!("not done: {why}"),
                Outcome::Unknown(why) => format!("unknown: {why}"),
            };
            self.tell_of(format!("client {c}"), TraceKind::Client, text);
        }
        if let Outcome::Ok(response) = &outcome {
            self.mix(response.revision() as u64 ^ (c as u64) << 48);
        }
        let client = &mut self.clients[c];
        let Some(mut current) = client.current.take() else { return };
        if let Some(ticket) = current.ticket.take() {
            self.recorder.complete(self.now, ticket, node.map(|node| node as u64 + 1), outcome);
        }
        client.attempt += 1;
        let pause = client.dice.below(2 * client.pause) + 1;
        self.queue.at(self.now + pause, What::Client(c));
    }
}
