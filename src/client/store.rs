//! A client of the cluster's store.

use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::any_node::AnyNode;
use super::voters::{VoterConfig, Voters};
use crate::consensus::VotingClient;
use crate::kv::{
    Command, CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, Op, PutRequest,
    PutResponse, RangeRequest, RangeResponse, Reply, TxnRequest, TxnResponse,
};
use crate::transport::Wire;

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a call may take in all.
    pub timeout: Duration,
    /// How long the first attempt of a call that can be repeated may take before another node is asked; after
    /// silence the next one may take twice as long.
    pub attempt_timeout: Duration,
    /// Whether writes are part of a session, which makes them safe to repeat. The first write opens it.
    pub sessions: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), attempt_timeout: Duration::from_secs(1), sessions: true }
    }
}

/// How new what a read sees must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// All that was acknowledged before the read began.
    #[default]
    Linearizable,
    /// Whatever the node has that is asked, possibly old.
    Serializable,
}

/// A client of a cluster's store. Clones share the connections, and the session or the signing client. See the
/// [module](super).
#[derive(Clone, Debug)]
pub struct Client(Arc<Backend>);

/// Whom a client asks and believes.
#[derive(Debug)]
enum Backend {
    /// Whichever node answers.
    AnyNode(AnyNode),
    /// Enough replicas that answer alike.
    Voters(Voters),
}

impl Client {
    /// A client of the cluster whose nodes are at these addresses (`host:port`); some of them suffice. It believes the
    /// node that answers. Asks which of them leads, for a short time; that none answers shows with the first call.
    ///
    /// # Errors
    /// Only for an address that makes no sense, or for none at all.
    pub async fn connect<S: AsRef<str>>(endpoints: &[S], options: Options) -> Result<Self, Error> {
        let nodes = AnyNode::new(endpoints, options)?;
        nodes.look_for_leader().await;
        Ok(Self(Arc::new(Backend::AnyNode(nodes))))
    }

    /// A client that signs what it asks, and believes what enough replicas answer alike. `C` is the client's part of
    /// the cluster's protocol; [`crate::registry`] knows which. Must be called within a tokio runtime. That no replica
    /// is there shows with the first call.
    ///
    /// # Errors
    /// Only for an address that makes no sense, or for a key that is missing or does not fit.
    pub fn connect_as<C>(config: &VoterConfig, options: Options) -> Result<Self, Error>
    where
        C: VotingClient<Protocol: Wire>,
    {
        Voters::open::<C>(config, options).map(|voters| Self(Arc::new(Backend::Voters(voters))))
    }

    /// Reads a key or a range of keys.
    pub async fn get(&self, range: RangeRequest, consistency: Consistency) -> Result<RangeResponse, Error> {
        match &*self.0 {
            Backend::AnyNode(nodes) => nodes.get(range, consistency).await,
            Backend::Voters(voters) if consistency == Consistency::Serializable => {
                voters.one_replica().get(range, consistency).await
            }
            Backend::Voters(voters) => voters.execute(Op::Range(range)).await,
        }
    }

    /// Writes one key.
    pub async fn put(&self, put: PutRequest) -> Result<PutResponse, Error> {
        match &*self.0 {
            Backend::AnyNode(nodes) => nodes.put(put, None).await,
            Backend::Voters(voters) => voters.execute(Op::Put(put)).await,
        }
    }

    /// Deletes a key or a range of keys.
    pub async fn delete(&self, delete: DeleteRangeRequest) -> Result<DeleteRangeResponse, Error> {
        match &*self.0 {
            Backend::AnyNode(nodes) => nodes.delete(delete, None).await,
            Backend::Voters(voters) => voters.execute(Op::DeleteRange(delete)).await,
        }
    }

    /// Compares, then does one of two lists of operations as one.
    pub async fn txn(&self, txn: TxnRequest) -> Result<TxnResponse, Error> {
        match &*self.0 {
            Backend::AnyNode(nodes) => nodes.txn(txn, None).await,
            Backend::Voters(voters) => voters.execute(Op::Txn(txn)).await,
        }
    }

    /// Forgets what was superseded before a revision.
    pub async fn compact(&self, compaction: CompactionRequest) -> Result<CompactionResponse, Error> {
        match &*self.0 {
            Backend::AnyNode(nodes) => nodes.compact(compaction, None).await,
            Backend::Voters(voters) => voters.execute(Op::Compact(compaction)).await,
        }
    }

    /// Ends a client of a process that is about to end. One that counts votes takes a moment, if it must, to tell the
    /// replicas of one that answered otherwise than they did; dropping a client leaves that to chance. With clones left,
    /// this is one of them dropped.
    pub async fn close(self) {
        if let Ok(Backend::Voters(voters)) = Arc::try_unwrap(self.0) {
            voters.close().await;
        }
    }

    /// Has a command carried out on behalf of somebody else, and answers what the store says, which may be no. A read is
    /// linearizable. A command that brings a session keeps it, and is then repeated under its name; one without gets what
    /// every write of this client has.
    pub async fn execute(&self, command: Command) -> Result<Reply, Error> {
        match &*self.0 {
            Backend::AnyNode(nodes) => nodes.execute(command).await,
            Backend::Voters(voters) => voters.reply_to(&command).await,
        }
    }

    #[cfg(test)]
    pub(super) fn any_node(&self) -> &AnyNode {
        match &*self.0 {
            Backend::AnyNode(nodes) => nodes,
            Backend::Voters(_) => panic!("a client of any node was expected"),
        }
    }
}
