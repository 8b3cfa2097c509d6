//! [`VotingClient`]: the client's side of a protocol whose replicas a client does not believe one by one.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;

use super::contract::{Proposal, Protocol, Rejection};
use super::keys::Keys;
use super::message::Checked;
use super::types::{NodeId, RequestId, Time};

/// The client's part of a protocol with [`Answers::ByVote`](super::Answers::ByVote): a deterministic state machine as
/// the replica is, and without I/O as well. It signs requests, sends them to whom they should go, sends them again, and
/// collects replies until enough are equal.
///
/// Its caller owes it what a replica's caller owes: a time that never goes backward, [`on_timeout`](Self::on_timeout)
/// when [`deadline`](Self::deadline) has come, and replies only after they were checked. It need not remember anything
/// over a restart, if the next life has a larger incarnation.
pub trait VotingClient: Sized + Send + 'static {
    /// Its protocol.
    type Protocol: Protocol;

    /// Begins.
    fn new(setup: ClientSetup) -> Self;

    /// What it takes to check the replies.
    fn checker(&self) -> <Self::Protocol as Protocol>::Checker;

    /// Wants these commands ordered. Their ids carry this client's id and incarnation, and counters that were not used
    /// before. Each is answered or rejected.
    fn propose(&mut self, now: Time, proposals: Vec<Proposal>, out: &mut ClientOutput<Self::Protocol>);

    /// A message of a replica arrived.
    fn on_message(
        &mut self,
        now: Time,
        from: NodeId,
        message: Checked<<Self::Protocol as Protocol>::Message>,
        out: &mut ClientOutput<Self::Protocol>,
    );

    /// The deadline may have come. An early one does nothing.
    fn on_timeout(&mut self, now: Time, out: &mut ClientOutput<Self::Protocol>);

    /// When something is to be sent again or given up.
    fn deadline(&self) -> Option<Time>;
}

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct ClientSetup {
    /// The client's id: a member's, whose node acts for its own callers, or one above all members'.
    pub id: NodeId,
    /// Which life of the client this is: larger than in every earlier one.
    pub incarnation: u64,
    /// Which cluster.
    pub cluster_id: u64,
    /// Its members, in ascending order of ids.
    pub members: Vec<NodeId>,
    /// The client's secret key, and the members' public ones.
    pub keys: Keys,
    /// After how long a request without enough replies is sent again, to everybody.
    pub retry: Duration,
    /// After how long it is given up.
    pub request_timeout: Duration,
}

/// What a client wants done.
#[derive(Debug)]
pub struct ClientOutput<P: Protocol> {
    /// To replicas.
    pub messages: Vec<(NodeId, P::Message)>,
    /// Proposals that enough replicas answered alike.
    pub answers: Vec<(RequestId, Bytes)>,
    /// Proposals that are given up.
    pub rejected: Vec<(RequestId, Rejection)>,
    /// Who answered something else than was accepted. No honest replica does; it proves nothing to others.
    pub dissenters: BTreeSet<NodeId>,
}

impl<P: Protocol> Default for ClientOutput<P> {
    fn default() -> Self {
        Self { messages: Vec::new(), answers: Vec::new(), rejected: Vec::new(), dissenters: BTreeSet::new() }
    }
}
