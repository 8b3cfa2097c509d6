//! [`Pbft`]: the protocol as the rest of the crate knows it: the honest replica, and around it, if it is told to lie, the
//! adversary.

use bytes::Bytes;

use super::adversary::{self, Adversary, BEHAVIOURS};
use super::check::Checker;
use super::evidence::judge_bytes;
use super::message::{Message, View};
use super::options::Options;
use super::record::Record;
use super::recover;
use super::replica::Replica;
use super::sizes;
use crate::consensus::{
    Answers, Behaviour, Checked, Court, Encode, Event, Input, Judgement, Misbehaviour, NodeId, Output,
    Protocol, RecoverError, Recovered, Refused, Role, Setup, Status, Time,
};

/// A PBFT replica, which may be told to lie.
#[derive(Debug)]
pub struct Pbft {
    replica: Replica,
    adversary: Option<Adversary>,
}

impl Pbft {
    /// The honest replica.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The view that it is in, or wants to enter.
    pub fn view(&self) -> View {
        self.replica.view
    }

    /// Whether it is the primary of a view that is installed.
    pub fn is_primary(&self) -> bool {
        self.replica.is_primary()
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
        Ok(Self { replica: recover::recover(&setup, recovered)?, adversary: None })
    }

    fn check_options(options: &Options) -> Result<(), String> {
        options.validate()
    }

    fn largest_record(options: &Options, members: usize) -> u64 {
        sizes::largest_record(options, members) as u64
    }

    fn checker(setup: &Setup<Self>) -> Checker {
        Checker::new(setup.cluster_id, &setup.members, setup.keys.clone(), &setup.options)
    }

    fn check(checker: &Checker, from: NodeId, message: Message) -> Result<Checked<Message>, Refused> {
        checker.check(from, message)
    }

    fn handle(&mut self, now: Time, input: Input<Message>, out: &mut Output<Self>) {
        let Some(adversary) = &mut self.adversary else { return self.replica.handle(now, input, out) };
        let before = out.messages.len();
        let mut asides = Vec::new();
        adversary.is_at(now, self.replica.view);
        if let Input::Message { from, message } = &input {
            adversary.overhear(*from, message.get(), &mut asides);
        }
        if adversary.lets_in(&input) {
            self.replica.handle(now, input, out);
        }
        adversary.is_at(now, self.replica.view);
        let honest = out.messages.split_off(before);
        adversary.tamper(honest, &mut out.messages);
        adversary.on_time(&mut out.messages);
        out.messages.append(&mut asides);
    }

    fn deadline(&self) -> Option<Time> {
        let adversary = self.adversary.as_ref().and_then(Adversary::deadline);
        self.replica.deadline().into_iter().chain(adversary).min()
    }

    fn note_refused(&mut self, now: Time, from: NodeId, count: u64) {
        self.replica.note_refused(now, from, count);
    }

    fn describe_event(event: &Event) -> String {
        match event {
            Event::Became { role: Role::Leader, epoch, why } => {
                format!("is the primary of view {epoch}: {why}")
            }
            Event::Became { role: Role::Follower, epoch, why } => {
                format!("is a backup in view {epoch}: {why}")
            }
            Event::Became { epoch, why, .. } => format!("wants view {epoch}: {why}"),
            Event::Follows { leader, epoch } => format!("the primary of view {epoch} is node {leader}"),
            other => other.describe("view", "sequence number"),
        }
    }

    fn status(&self) -> Status {
        self.replica.status()
    }

    fn evidence(&self) -> Vec<Bytes> {
        self.replica.evidence.all().map(Encode::to_bytes).collect()
    }

    fn judge_evidence(court: &Court, piece: &Bytes) -> Result<Judgement, String> {
        judge_bytes(court, piece)
    }

    fn check_misbehaviour(misbehaviour: &Misbehaviour) -> Result<(), String> {
        adversary::check(misbehaviour)
    }

    fn misbehave(&mut self, misbehaviour: Option<Misbehaviour>) -> Result<(), String> {
        let Replica { signer, quorum, options, .. } = &self.replica;
        let adversary = |misbehaviour: Misbehaviour| {
            Adversary::new(&misbehaviour, signer.clone(), quorum.clone(), options.clone())
        };
        self.adversary = misbehaviour.map(adversary).transpose()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{Epoch, Index};

    #[test]
    fn events_are_told_in_the_words_of_pbft() {
        let became = |role| Pbft::describe_event(&Event::Became { role, epoch: Epoch(2), why: "why" });
        assert_eq!(became(Role::Candidate), "wants view 2: why");
        assert_eq!(became(Role::Leader), "is the primary of view 2: why");
        assert_eq!(became(Role::Follower), "is a backup in view 2: why");
        let follows = Event::Follows { leader: NodeId(3), epoch: Epoch(2) };
        assert_eq!(Pbft::describe_event(&follows), "the primary of view 2 is node 3");
        let noted = Event::Noted { what: "took a snapshot", index: Index(8) };
        assert_eq!(Pbft::describe_event(&noted), "took a snapshot at sequence number 8");
        let what = "two PREPAREs for view 0, sequence 3".to_owned();
        let convicted = Event::Convicted { liar: NodeId(1), from: NodeId(4), what };
        assert_eq!(
            Pbft::describe_event(&convicted),
            "node 1 is convicted: it signed two PREPAREs for view 0, sequence 3 (proof from node 4)"
        );
    }
}
