//! [`Links`]: one replica's end of its links.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::service::Routes;

use crate::consensus::{Checked, Keys, NodeId};

use super::clients::Clients;
use super::counters::{Counters, LinkCounters};
use super::dial::dialer;
use super::doubles::Doubles;
use super::faults::LinkFaults;
use super::filter::Passage;
use super::gate::Gate;
use super::identity::Identity;
use super::inbox::Mailbox;
use super::life::Life;
use super::peer::Peer;
use super::refusals::Refusals;
use super::server::{PeerServer, PeerService};
use super::wire::Wire;

/// A checked message, and who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received<M> {
    /// Whose it is.
    pub from: NodeId,
    /// The message.
    pub message: Checked<M>,
}

/// What links need.
pub struct LinkSetup<P: Wire> {
    /// This replica.
    pub me: NodeId,
    /// The cluster, as its data directories name it.
    pub cluster_id: u64,
    /// The other members and their addresses (host and port). An entry for this replica itself is passed over.
    pub peers: Vec<(NodeId, String)>,
    /// What streams are signed with and checked by; none where the protocol signs nothing.
    pub keys: Keys,
    /// Who may open [`Wire::CLIENT_LANES`] besides the peers: the clients that have a key.
    pub clients: BTreeSet<NodeId>,
    /// What checks arriving messages.
    pub checker: P::Checker,
    /// The faults on these links.
    pub faults: LinkFaults,
    /// Stops the links while the node is paused.
    pub gate: Gate,
    /// Where checked messages go. Its bounds are those of what has arrived and was not handled.
    pub inbox: Mailbox<P::Message>,
}

/// A member's address is none.
#[derive(Debug, thiserror::Error)]
#[error("{address:?}, the address of node {node}, is not a host and port: {error}")]
pub struct BadAddress {
    /// Whose.
    pub node: NodeId,
    /// As it was given.
    pub address: String,
    /// What is wrong with it.
    pub error: tonic::transport::Error,
}

/// What all tasks of a replica's links share.
pub(super) struct Shared<P: Wire> {
    pub(super) identity: Identity,
    pub(super) peers: BTreeMap<NodeId, Arc<Peer<P>>>,
    pub(super) clients: Arc<Clients<P>>,
    pub(super) counters: Arc<Counters>,
    pub(super) life: Life,
    pub(super) refusals: Arc<Refusals>,
    pub(super) doubles: Doubles,
}

/// One replica's links to its peers and clients. Dropping them ends everything that they do, at once.
pub struct Links<P: Wire> {
    shared: Arc<Shared<P>>,
    server: PeerServer<P>,
    /// The dialing tasks; they end with this.
    _dialers: JoinSet<()>,
}

impl<P: Wire> Links<P> {
    /// Starts to connect to the peers. Must be called within a tokio runtime.
    pub fn start(setup: LinkSetup<P>) -> Result<Self, BadAddress> {
        let LinkSetup { me, cluster_id, peers, keys, clients, checker, faults, gate, inbox } = setup;
        let identity = Identity { cluster_id, me, protocol: P::NAME, instance: rand::random(), keys };
        let counters = Arc::new(Counters::default());
        let life = Life::new(gate);
        let clients = Arc::new(Clients::new(clients, &life, &counters, &checker, &inbox));
        let mut shared = Shared {
            identity: identity.clone(),
            peers: BTreeMap::new(),
            clients,
            counters,
            life,
            refusals: Arc::default(),
            doubles: Doubles::default(),
        };
        let mut dialers = JoinSet::new();
        for (id, address) in peers.into_iter().filter(|(id, _)| *id != me) {
            let passage = Passage {
                peer: id,
                life: shared.life.clone(),
                faults: faults.clone(),
                counters: Arc::clone(&shared.counters),
            };
            let lanes = (0..P::LANES.len()).collect();
            let peer = Arc::new(Peer::new(
                passage,
                lanes,
                checker.clone(),
                inbox.clone(),
                Arc::clone(&shared.refusals),
            ));
            dialers.spawn(dialer(&peer, identity.clone(), address)?.run());
            shared.peers.insert(id, peer);
        }
        let shared = Arc::new(shared);
        Ok(Self { server: PeerServer::new(Arc::clone(&shared)), shared, _dialers: dialers })
    }

    /// Sends a message, or drops it: when the receiver does not read, is not connected, or is not known. A client gets
    /// it on every stream that it has open. Never waits; for the task of the core.
    pub fn send(&self, to: NodeId, message: P::Message) {
        match self.shared.peers.get(&to) {
            Some(peer) => peer.send(message),
            None if self.shared.clients.knows(to) => self.shared.clients.send(to, &message),
            None => self.shared.counters.dropped_unconnected(1),
        }
    }

    /// The service that peers call, to be mounted on this replica's port.
    pub fn routes(&self) -> Routes {
        Routes::new(PeerService::new(self.server.clone()))
    }

    /// What went over these links so far.
    pub fn counters(&self) -> LinkCounters {
        self.shared.counters.read()
    }

    /// Which links are refused now, by a peer or here, and why, in words.
    pub fn refusals(&self) -> Vec<String> {
        self.shared.refusals.in_words()
    }

    /// As which peers two processes run now, in words.
    pub fn doubles(&self) -> Vec<String> {
        self.shared.doubles.in_words(Instant::now())
    }

    /// The peers to which this replica has its streams open, in ascending order. A partition changes nothing in this.
    pub fn connected(&self) -> Vec<NodeId> {
        self.shared.peers.iter().filter(|(_, peer)| peer.is_connected()).map(|(id, _)| *id).collect()
    }
}

impl<P: Wire> Drop for Links<P> {
    fn drop(&mut self) {
        self.server.close();
    }
}
