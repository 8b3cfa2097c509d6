//! [`Voters`]: a client that signs what it asks, and believes only what enough replicas answer alike.
//!
//! ```text
//!   call ─▶ queue ─▶ driver ─▶ sans-I/O client ─▶ links ─▶ replicas
//!   call ◀─ oneshot ◀───────── agreed answer ◀─── checked replies
//! ```
//!
//! One task owns the sans-I/O client, its links and its timer, so that no lock lies on the way. Whatever waits when the
//! task looks is one batch.
//!
//! # Invariants
//!
//! 1. Nothing is sent before so many replicas are connected as must answer alike. So a cluster that is not there costs
//!    no unknown outcome.
//! 2. A command has one id for ever, and the replicas execute an id once; so the client repeats it without fear, and
//!    needs no session.
//! 3. A call ends by its deadline: with the agreed answer, or with what is known of its fate.
//!
//! # Limits
//!
//! One key serves as many processes at a time as replicas remember lives of one client.

mod answer;
mod desk;
mod driver;
mod life;
mod links;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;
mod two_faced;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use self::desk::{Desk, HERE, Owner, TOO_MANY};
use self::driver::{Inboxes, MAX_CALLS, Order, Replicas, drive};
use self::life::new_life;
use super::Error;
use super::any_node::AnyNode;
use super::attempt::LIMIT;
use super::store::Options;
use crate::consensus::{ClientSetup, Decode, Encode, Keys, NodeId, Protocol, RejectReason, VotingClient};
use crate::kv::{Command, Limits, Op, Reply, validate};
use crate::transport::{ClientLinkSetup, ClientLinks, Inbox, Wire, inbox};

pub(super) use self::answer::Answer;
pub use self::two_faced::{HEADS, TAILS, TwoFaced};

/// The largest command, as at a node's own API.
const MAX_COMMAND_BYTES: usize = 3 << 19;

/// How many messages of each replica wait for the driver. Beyond that, it is not read.
const INBOX: usize = 1024;

/// After how long a request without enough replies is sent again, to all, where nothing else is said: several times
/// what ordering takes, and little against the time in which replicas replace a primary that does nothing.
pub const DEFAULT_RETRY: Duration = Duration::from_millis(300);

/// What a client needs to know of a cluster whose replicas it does not believe one by one.
#[derive(Clone, Debug)]
pub struct VoterConfig {
    /// The cluster.
    pub cluster_id: u64,
    /// Its members in ascending order of ids, with their addresses (`host:port`).
    pub members: Vec<(NodeId, String)>,
    /// The client's id: one above all members'.
    pub id: NodeId,
    /// The client's secret key, whose public one the replicas know, and the members' public ones.
    pub keys: Keys,
    /// How many replicas must answer alike: one more than may lie. While fewer are reached, nothing is asked.
    pub votes: usize,
    /// After how long a request without enough replies is sent again, to all.
    pub retry: Duration,
}

impl VoterConfig {
    /// The protocol's client in one of its lives.
    fn client<C: VotingClient>(&self, incarnation: u64, options: Options) -> C {
        C::new(ClientSetup {
            id: self.id,
            incarnation,
            cluster_id: self.cluster_id,
            members: self.members.iter().map(|(id, _)| *id).collect(),
            keys: self.keys.clone(),
            retry: self.retry,
            request_timeout: timeout_of(options),
        })
    }

    /// Refuses what could never get an answer.
    fn check(&self) -> Result<(), Error> {
        if self.keys.secret().is_none() {
            return Err(refused(HERE, format!("client {} has no private key", self.id)));
        }
        let without = self.members.iter().find(|(id, _)| self.keys.public(*id).is_none());
        without.map_or(Ok(()), |(id, _)| {
            Err(refused(
                HERE,
                format!("no public key of replica {id} is known: its replies cannot be checked"),
            ))
        })
    }
}

/// How long a call may take, as far as the clock reaches.
fn timeout_of(options: Options) -> Duration {
    options.timeout.min(LIMIT)
}

/// What replicas say, checked.
type Replies<P> = Inbox<<P as Protocol>::Message>;

/// The way to replicas that answer alike.
#[derive(Debug)]
pub(super) struct Voters {
    orders: mpsc::Sender<Order>,
    driver: JoinHandle<()>,
    timeout: Duration,
    /// For reads that are content with one replica's word.
    one: AnyNode,
}

impl Voters {
    /// Connects to the replicas. Must be called within a tokio runtime.
    pub(super) fn open<C>(config: &VoterConfig, options: Options) -> Result<Self, Error>
    where
        C: VotingClient<Protocol: Wire>,
    {
        config.check()?;
        let (mailbox, replies) = inbox(INBOX);
        let life = new_life();
        let client: C = config.client(life, options);
        let links = ClientLinks::open(ClientLinkSetup {
            me: config.id,
            cluster_id: config.cluster_id,
            keys: config.keys.clone(),
            members: config.members.clone(),
            checker: client.checker(),
            inbox: mailbox,
        });
        let links = links.map_err(|error| refused(HERE, error.to_string()))?;
        Self::start(config, options, (life, client), links, replies)
    }

    /// Starts the driver of a client in this life, over `replicas`, which say what comes through `replies`.
    fn start<C: VotingClient>(
        config: &VoterConfig,
        options: Options,
        (incarnation, client): (u64, C),
        replicas: impl Replicas<C::Protocol>,
        replies: Replies<C::Protocol>,
    ) -> Result<Self, Error> {
        let owner = Owner { id: config.id, incarnation, replicas: config.members.len(), votes: config.votes };
        let addresses: Vec<&str> = config.members.iter().map(|(_, address)| address.as_str()).collect();
        let one = AnyNode::new(&addresses, options)?;
        let (orders, taken) = mpsc::channel(MAX_CALLS);
        let inboxes = Inboxes { orders: taken, replies };
        let driver = tokio::spawn(drive(Desk::new(owner, client), replicas, inboxes));
        Ok(Self { orders, driver, timeout: timeout_of(options), one })
    }

    /// Ends the client, after a moment in which it tells the replicas of one that answered otherwise than the others.
    pub(super) async fn close(self) {
        drop(self.orders);
        if let Err(error) = self.driver.await {
            tracing::error!(%error, "the client's driver failed");
        }
    }

    /// Answers of one replica, of which nothing but its own word is known.
    pub(super) fn one_replica(&self) -> &AnyNode {
        &self.one
    }

    /// Has an operation ordered and executed, and answers what enough replicas answered alike.
    pub(super) async fn execute<A: Answer>(&self, op: Op) -> Result<A, Error> {
        validate(&op, &Limits::default()).map_err(|error| refused(HERE, error.to_string()))?;
        match self.reply_to(&Command { session: None, op }).await? {
            Ok(response) => A::of(response).ok_or_else(|| unreadable("it answers another question")),
            Err(error) if error.never_executed() => Err(refused("the replicas", error.to_string())),
            Err(error) => Err(Error::Unknown { message: error.to_string() }),
        }
    }

    /// Has a command ordered and executed, and answers what enough replicas answered alike, which may be no.
    pub(super) async fn reply_to(&self, command: &Command) -> Result<Reply, Error> {
        let command = command.to_bytes();
        if command.len() > MAX_COMMAND_BYTES {
            return Err(refused(HERE, RejectReason::TooLarge.to_string()));
        }
        let deadline = Instant::now() + self.timeout;
        let (caller, verdict) = oneshot::channel();
        let order = Order { command, deadline, caller };
        match timeout_at(deadline, self.orders.send(order)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Error::Unreachable { message: "the client has ended".to_owned() }),
            Err(_) => return Err(refused(HERE, TOO_MANY.to_owned())),
        }
        let lost = |_| Error::Unknown { message: "the client has ended".to_owned() };
        let agreed = verdict.await.map_err(lost)??;
        Reply::from_bytes(agreed).map_err(|error| unreadable(&error.to_string()))
    }
}

/// The replicas agreed on something that this client does not understand.
fn unreadable(why: &str) -> Error {
    Error::Unknown { message: format!("the replicas' answer cannot be read: {why}") }
}

fn refused(who: &str, message: String) -> Error {
    Error::Refused { message, endpoint: who.to_owned() }
}
