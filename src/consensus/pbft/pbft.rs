//! [`Pbft`]: the protocol as the rest of the crate knows it, an honest replica that can be told to lie.

use super::adversary::{Adversary, BEHAVIOURS};
use super::check::Checker;
use super::message::Message;
use super::options::Options;
use super::quorum::Quorum;
use super::record::Record;
use super::recover;
use super::replica::Replica;
use super::signing::Signer;
use crate::consensus::{
    Answers, Behaviour, Checked, Input, Misbehaviour, NodeId, Output, Protocol, RecoverError, Recovered,
    Refused, Setup, Status, Time,
};

/// A PBFT replica. As long as it is told to misbehave, an adversary stands between it and the network.
#[derive(Debug)]
pub struct Pbft {
    replica: Replica,
    adversary: Option<Adversary>,
    signer: Signer,
    quorum: Quorum,
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
    const BEHAVIOURS: &'static [Behaviour] = BEHAVIOURS;

    fn recover(setup: Setup<Self>, recovered: Recovered<Record>) -> Result<Self, RecoverError> {
        let signer = Signer::new(setup.id, setup.cluster_id, &setup.keys);
        let quorum = Quorum::new(&setup.members);
        Ok(Self { replica: recover::recover(&setup, recovered)?, adversary: None, signer, quorum })
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
        let Some(adversary) = &mut self.adversary else { return self.replica.handle(now, input, out) };
        let mut leaves = std::mem::take(&mut out.messages);
        if let Input::Message { from, message } = &input {
            adversary.overhear(*from, message.get(), &mut leaves);
        }
        self.replica.handle(now, input, out);
        adversary.tamper(std::mem::take(&mut out.messages), &mut leaves);
        out.messages = leaves;
    }

    fn deadline(&self) -> Option<Time> {
        self.replica.deadline()
    }

    fn status(&self) -> Status {
        self.replica.status()
    }

    fn misbehave(&mut self, misbehaviour: Option<Misbehaviour>) -> Result<(), String> {
        self.adversary = match misbehaviour {
            None => None,
            Some(how) => Some(Adversary::new(&how, self.signer.clone(), self.quorum.clone())?),
        };
        Ok(())
    }
}
