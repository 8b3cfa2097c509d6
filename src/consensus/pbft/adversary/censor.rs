//! A replica that does not want to hear of some requests.

use std::collections::BTreeSet;

use super::super::message::{Message, Reply, Request, Signed};
use super::lie::{Liar, Lie};
use crate::consensus::{NodeId, Outgoing, RequestId};

/// Of so many commands with the key it remembers that they had it, to keep their answers back as well.
const MAX_REMEMBERED: usize = 4096;

/// As if the requests of one client, or those with some text in their commands, had never come: as primary it does not
/// order them, as backup it does not pass them on; and it answers none. What others order it takes part in.
#[derive(Debug)]
pub(super) struct Censor {
    whom: Whom,
    /// Commands with the key.
    with_key: BTreeSet<RequestId>,
}

#[derive(Debug)]
enum Whom {
    /// The first client that it hears of, but for its own callers.
    First,
    Client(NodeId),
    /// Commands that contain this.
    Key(Vec<u8>),
}

impl Censor {
    /// Aimed at `client=ID` or `key=TEXT`, or at the first client that there is.
    pub(super) fn new(aim: Option<&str>) -> Result<Self, String> {
        let whom = match aim.map(|aim| aim.split_once('=').unwrap_or((aim, ""))) {
            None => Whom::First,
            Some(("client", id)) => {
                Whom::Client(NodeId(id.parse().map_err(|_| format!("`{id}` is no client's id: a number"))?))
            }
            Some(("key", text)) if !text.is_empty() => Whom::Key(text.as_bytes().to_vec()),
            Some((aim, _)) => {
                return Err(format!("`censor` is aimed at client=ID or key=TEXT, not at `{aim}`"));
            }
        };
        Ok(Self { whom, with_key: BTreeSet::new() })
    }

    fn is_censored(&mut self, me: &Liar, request: &Request) -> bool {
        match &self.whom {
            Whom::First if request.client == me.id() => false,
            Whom::First => {
                self.whom = Whom::Client(request.client);
                true
            }
            Whom::Client(client) => *client == request.client,
            Whom::Key(key) => {
                let names = |bytes: &[u8]| bytes.windows(key.len()).any(|part| part == key);
                let censored = request.commands.iter().any(|(_, command)| names(command));
                if censored {
                    self.with_key.extend(request.ids());
                }
                while self.with_key.len() > MAX_REMEMBERED {
                    self.with_key.pop_first();
                }
                censored
            }
        }
    }

    /// What is left of a REPLY.
    fn without_censored(&self, me: &Liar, reply: Signed<Reply>) -> Option<Signed<Reply>> {
        let body = &reply.body;
        if matches!(self.whom, Whom::Client(client) if client == body.client) {
            return None;
        }
        let id = |counter| RequestId { origin: body.client, incarnation: body.incarnation, counter };
        let censored = |counter| self.with_key.contains(&id(counter));
        if !body.results.iter().any(|(counter, _)| censored(*counter)) {
            return Some(reply);
        }
        let results: Vec<_> =
            body.results.iter().filter(|(counter, _)| !censored(*counter)).cloned().collect();
        (!results.is_empty()).then(|| me.sign(Reply { results, ..reply.body }))
    }
}

impl Lie for Censor {
    fn hears(&mut self, me: &Liar, _: NodeId, message: &Message) -> bool {
        match message {
            Message::Request(request) => !self.is_censored(me, &request.body),
            Message::PrePrepare { batch, .. } => {
                for request in &batch.0 {
                    self.is_censored(me, &request.body);
                }
                true
            }
            _ => true,
        }
    }

    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        let message = match message {
            Message::Reply(reply) => self.without_censored(me, reply).map(Message::Reply),
            message => Some(message),
        };
        leaves.extend(message.map(|message| Outgoing { to, message, after }));
    }
}
