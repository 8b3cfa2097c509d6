//! A cluster of one whose clients count votes: it orders what it is asked to at once, and its own word is enough.

use serde::{Deserialize, Serialize};

use super::{NoRecord, Toy, ToyMessage};
use crate::consensus::{
    Answers, Behaviour, Checked, Committed, Epoch, Event, Index, Input, InstallProgress, Misbehaviour,
    NodeId, Outcome, Output, Proof, Protocol, Recall, RecoverError, Recovered, Refused, RejectReason,
    Rejection, RequestId, Setup, Status, Time,
};

/// It has no settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NoOptions {}

/// The protocol.
#[derive(Debug)]
pub(crate) struct Alone {
    /// The last slot that it handed out.
    committed: Index,
    /// What it heard of requests that it asked about.
    pub(crate) recalled: Vec<(RequestId, Recall)>,
    /// Whether it answers with bytes that are no reply.
    babbles: bool,
}

impl Protocol for Alone {
    type Message = ToyMessage;
    type Record = NoRecord;
    type Options = NoOptions;
    type Checker = ();

    const NAME: &'static str = "alone";
    const ANSWERS: Answers = Answers::ByVote;
    const BEHAVIOURS: &'static [Behaviour] =
        &[Behaviour::new("babble", Proof::Never, "answers with bytes that are no reply")];

    fn recover(_setup: Setup<Self>, _recovered: Recovered<NoRecord>) -> Result<Self, RecoverError> {
        Ok(Self { committed: Index::ZERO, recalled: Vec::new(), babbles: false })
    }

    fn check_options(_options: &Self::Options) -> Result<(), String> {
        Ok(())
    }

    fn checker(_setup: &Setup<Self>) -> Self::Checker {}

    fn check((): &(), from: NodeId, message: ToyMessage) -> Result<Checked<ToyMessage>, Refused> {
        Toy::check(&(), from, message)
    }

    fn handle(&mut self, _now: Time, input: Input<ToyMessage>, out: &mut Output<Self>) {
        match input {
            Input::Propose(proposals) => {
                out.recall.extend(proposals.iter().map(|proposal| proposal.id));
                self.committed = self.committed.next();
                out.committed.push(Committed { index: self.committed, epoch: Epoch(1), proposals });
            }
            Input::Applied { outcomes, .. } => outcomes.into_iter().for_each(|(id, outcome)| match outcome {
                Outcome::Answered(_) if self.babbles => out.answers.push((id, vec![0xff].into())),
                Outcome::Answered(bytes) => out.answers.push((id, bytes)),
                Outcome::Forgotten => {
                    let (reason, leader) = (RejectReason::TimedOut, None);
                    out.rejected.push((id, Rejection { reason, never_executed: false, leader }));
                }
            }),
            Input::Recalled(requests) => self.recalled.extend(requests),
            Input::Install(InstallProgress::Done(meta)) => self.committed = meta.index,
            Input::Read(_) => panic!("reads are ordered where clients count votes"),
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn describe_event(event: &Event) -> String {
        event.describe("epoch", "index")
    }

    fn status(&self) -> Status {
        Toy.status()
    }

    fn misbehave(&mut self, misbehaviour: Option<Misbehaviour>) -> Result<(), String> {
        if let Some(misbehaviour) = &misbehaviour {
            Self::check_misbehaviour(misbehaviour)?;
        }
        self.babbles = misbehaviour.is_some();
        Ok(())
    }
}
