//! [`Pbft`]: the protocol as the rest of the crate knows it.

use super::check::Checker;
use super::message::Message;
use super::options::Options;
use super::record::Record;
use super::recover;
use super::replica::Replica;
use crate::consensus::{
    Answers, Checked, Input, NodeId, Output, Protocol, RecoverError, Recovered, Refused, Setup, Status, Time,
};

/// A PBFT replica.
#[derive(Debug)]
pub struct Pbft {
    replica: Replica,
}

impl Pbft {
    /// The honest replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }
}

impl Protocol for Pbft {
    type Message = Message;
    type Record = Record;
    type Options = Options;
    type Checker = Checker;

    const NAME: &'static str = "pbft";
    const ANSWERS: Answers = Answers::ByVote;

    fn recover(setup: Setup<Self>, recovered: Recovered<Record>) -> Result<Self, RecoverError> {
        Ok(Self { replica: recover::recover(&setup, recovered)? })
    }

    fn check_options(options: &Options) -> Result<(), String> {
        options.validate()
    }

    fn checker(setup: &Setup<Self>) -> Checker {
        Checker::new(setup.cluster_id, &setup.members, setup.keys.clone(), &setup.options)
    }

    fn check(checker: &Checker, from: NodeId, message: Message) -> Result<Checked<Message>, Refused> {
        checker.check(from, message)
    }

    fn handle(&mut self, now: Time, input: Input<Message>, out: &mut Output<Self>) {
        self.replica.handle(now, input, out);
    }

    fn deadline(&self) -> Option<Time> {
        self.replica.deadline()
    }

    fn status(&self) -> Status {
        self.replica.status()
    }
}
