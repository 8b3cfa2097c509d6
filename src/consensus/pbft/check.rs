//! What a message must fulfil before any replica or client looks at it: limits, structure, membership, signatures.
//!
//! Everything that is nested in a message is checked too, requests in batches and certificates in view changes, so that
//! whoever takes a message believes all of it. Cheap checks come before signatures. The verdict is a pure function of
//! the message; what [`Verifier`] remembers of earlier ones only saves work.

use super::certificate::{check_pre_prepare, check_slot, require};
use super::client::{MAX_COMMANDS, REQUEST_BYTES};
use super::evidence::Evidence;
use super::message::{
    Batch, Commit, Message, PrePrepare, Prepare, Reply, Request, Signed, Stable, State, Statement, Status,
    View,
};
use super::numbers::NUMBERS_END;
use super::options::Options;
use super::quorum::Quorum;
use super::signing::Verifier;
use crate::consensus::{Checked, Keys, Message as _, NodeId, Refused};

/// Checks messages: on any thread, for replicas and clients alike.
#[derive(Clone, Debug)]
pub struct Checker {
    quorum: Quorum,
    verifier: Verifier,
    window: u64,
    /// Commands in a batch with more than one request.
    max_batch_commands: usize,
    /// Bytes of commands in a batch with more than one request.
    max_batch_bytes: usize,
    /// Bytes of commands in one request.
    max_request_bytes: usize,
}

/// Results in one REPLY: those of a slot, which may execute commands of a client's window and of windows before.
const MAX_RESULTS: usize = 16_384;

const FORGED: &str = "a signature does not hold";

impl Checker {
    /// For a member or client of the cluster, who needs everybody's public keys: a client the members', a replica those
    /// of the clients too.
    pub fn new(cluster_id: u64, members: &[NodeId], keys: Keys, options: &Options) -> Self {
        Self {
            quorum: Quorum::new(members),
            verifier: Verifier::new(cluster_id, keys),
            window: options.window,
            max_batch_commands: options.max_batch_requests,
            max_batch_bytes: options.max_batch_bytes,
            max_request_bytes: options.max_request_bytes.max(REQUEST_BYTES),
        }
    }

    /// What checks signatures, with what it remembers.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Checks a message that came from `from`: a member, or a client with a request of its own.
    pub fn check(&self, from: NodeId, message: Message) -> Result<Checked<Message>, Refused> {
        let verdict = self.check_sender(from, &message).and_then(|()| self.check_content(from, &message));
        match verdict {
            Ok(()) => Ok(Checked::vouch(message)),
            // What its signer should not have signed is not believed, and yet believed to have been said.
            Err(why) => match Evidence::of_refused(&message).filter(|evidence| self.proves(evidence).is_ok())
            {
                Some(evidence) => Ok(Checked::vouch(Message::Evidence(evidence))),
                None => Err(Refused { kind: message.kind(), why }),
            },
        }
    }

    fn check_sender(&self, from: NodeId, message: &Message) -> Result<(), &'static str> {
        if self.quorum.contains(from) {
            return Ok(());
        }
        require(self.verifier.knows(from), "the sender is neither a member nor a known client")?;
        match message {
            Message::Request(request) => {
                require(request.body.client == from, "a client sends its own requests alone")
            }
            Message::Disputed(_) => Ok(()),
            _ => Err("a client sends requests alone, and replies that it disputes"),
        }
    }

    fn check_content(&self, from: NodeId, message: &Message) -> Result<(), &'static str> {
        match message {
            Message::Request(request) => self.check_request(request),
            Message::PrePrepare { pre_prepare, batch } => self.check_proposal(pre_prepare, batch),
            Message::Prepare(prepare) => self.check_prepare(prepare),
            Message::Commit(commit) => self.check_commit(commit),
            Message::Reply(reply) => self.check_reply(reply),
            Message::Disputed(reply) => {
                require(reply.body.client == from, "a client disputes what was said to it alone")?;
                self.check_reply(reply)
            }
            Message::Checkpoint(checkpoint) => {
                self.check_member(checkpoint.body.replica)?;
                check_slot(checkpoint.body.sequence)?;
                self.check_signature_once(checkpoint)
            }
            Message::Stable(stable) => self.check_stable(stable),
            Message::ViewChange(view_change) => {
                view_change.body.check(&self.quorum, self.window)?;
                self.check_signature_once(view_change)?;
                require(view_change.body.verify_proofs(&self.verifier), FORGED)
            }
            Message::NewView(new_view) => {
                new_view.body.check(&self.quorum, self.window)?;
                self.check_signature(new_view)?;
                require(new_view.body.verify_proofs(&self.verifier), FORGED)
            }
            Message::Status(status) => self.check_status(from, status),
            Message::FetchBatch(fetch) => check_slot(fetch.sequence),
            Message::Batch { sequence, batch } => {
                check_slot(*sequence)?;
                self.check_batch(batch)
            }
            Message::FetchState(fetch) => check_slot(fetch.sequence),
            Message::State(state) => check_state(state),
            Message::Evidence(evidence) => self.proves(evidence),
        }
    }

    /// Whether somebody is convicted by it.
    fn proves(&self, evidence: &Evidence) -> Result<(), &'static str> {
        evidence.judge(&self.quorum, &self.verifier).map(drop)
    }

    fn check_member(&self, replica: NodeId) -> Result<(), &'static str> {
        require(self.quorum.contains(replica), "its signer is no member")
    }

    fn check_signature<T: Statement>(&self, signed: &Signed<T>) -> Result<(), &'static str> {
        require(self.verifier.verify(signed), FORGED)
    }

    fn check_signature_once<T: Statement>(&self, signed: &Signed<T>) -> Result<(), &'static str> {
        require(self.verifier.verify_once(signed), FORGED)
    }

    fn check_request(&self, request: &Signed<Request>) -> Result<(), &'static str> {
        let Request { client, commands, .. } = &request.body;
        require(self.verifier.knows(*client), "its client is not known")?;
        require(!commands.is_empty(), "a request has no command")?;
        require(commands.len() <= MAX_COMMANDS, "a request has too many commands")?;
        require(request.body.command_bytes() <= self.max_request_bytes, "a request is too large")?;
        require(commands.is_sorted_by(|(a, _), (b, _)| a < b), "a request's counters do not ascend")?;
        self.check_signature_once(request)
    }

    fn check_batch(&self, batch: &Batch) -> Result<(), &'static str> {
        let bytes: usize = batch.0.iter().map(|request| request.body.command_bytes()).sum();
        let fits = batch.commands() <= self.max_batch_commands && bytes <= self.max_batch_bytes;
        require(batch.0.len() <= 1 || fits, "a batch is too large")?;
        batch.0.iter().try_for_each(|request| self.check_request(request))
    }

    /// A PRE-PREPARE with its batch; without requests the batch is the null one, or one that the receiver has already.
    fn check_proposal(&self, pre_prepare: &Signed<PrePrepare>, batch: &Batch) -> Result<(), &'static str> {
        check_pre_prepare(&self.quorum, &pre_prepare.body)?;
        self.check_signature_once(pre_prepare)?;
        self.check_batch(batch)?;
        let named = batch.is_null() || batch.digest() == pre_prepare.body.digest;
        require(named, "a PRE-PREPARE has another digest than its batch")
    }

    fn check_prepare(&self, prepare: &Signed<Prepare>) -> Result<(), &'static str> {
        let Prepare { view, sequence, replica, .. } = prepare.body;
        self.check_member(replica)?;
        check_view(view)?;
        check_slot(sequence)?;
        require(replica != self.quorum.primary(view), "a primary does not prepare")?;
        self.check_signature_once(prepare)
    }

    fn check_commit(&self, commit: &Signed<Commit>) -> Result<(), &'static str> {
        self.check_member(commit.body.replica)?;
        check_view(commit.body.view)?;
        check_slot(commit.body.sequence)?;
        self.check_signature(commit)
    }

    fn check_reply(&self, reply: &Signed<Reply>) -> Result<(), &'static str> {
        let Reply { view, results, replica, .. } = &reply.body;
        self.check_member(*replica)?;
        check_view(*view)?;
        require(!results.is_empty(), "a REPLY has no result")?;
        require(results.len() <= MAX_RESULTS, "a REPLY has too many results")?;
        require(results.is_sorted_by(|(a, _), (b, _)| a < b), "a REPLY's counters do not ascend")?;
        self.check_signature(reply)
    }

    /// The empty proof is true, but nobody misses it.
    fn check_stable(&self, stable: &Stable) -> Result<(), &'static str> {
        require(!stable.checkpoints.is_empty(), "a proof has not Q CHECKPOINTs")?;
        stable.check(&self.quorum)?;
        require(stable.verify(&self.verifier), FORGED)
    }

    /// Nobody passes on another's STATUS, which would be answered to the wrong one.
    fn check_status(&self, from: NodeId, status: &Signed<Status>) -> Result<(), &'static str> {
        let Status { view, stable, committed, fetching, replica, .. } = status.body;
        require(replica == from, "a STATUS is not of its sender")?;
        check_view(view)?;
        require(
            [stable, committed, fetching].iter().all(|sequence| sequence.0 < NUMBERS_END),
            "its sequence number is beyond all slots",
        )?;
        self.check_signature(status)
    }
}

fn check_view(view: View) -> Result<(), &'static str> {
    require(view.0 < NUMBERS_END, "its view is beyond all views")
}

fn check_state(state: &State) -> Result<(), &'static str> {
    check_slot(state.sequence)?;
    require(state.data.is_none() || state.number < state.pieces, "there is no such piece")
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
