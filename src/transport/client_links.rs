//! [`ClientLinks`]: a client's end of its links to the replicas.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::consensus::{Keys, NodeId};

use super::counters::{Counters, LinkCounters};
use super::dial::{Dialer, dialer};
use super::faults::LinkFaults;
use super::filter::Passage;
use super::gate::Gate;
use super::identity::Identity;
use super::inbox::Mailbox;
use super::life::Life;
use super::links::BadAddress;
use super::peer::Peer;
use super::wire::Wire;

/// What a client's links need.
pub struct ClientLinkSetup<P: Wire> {
    /// The client, whose key the replicas know.
    pub me: NodeId,
    /// The cluster's identity.
    pub cluster_id: u64,
    /// The client's secret key, with which it signs its streams.
    pub keys: Keys,
    /// The cluster's members and their addresses (host and port).
    pub members: Vec<(NodeId, String)>,
    /// What checks arriving messages.
    pub checker: P::Checker,
    /// Where checked messages go. While it is full nothing more is read.
    pub inbox: Mailbox<P::Message>,
}

/// A client's links to all replicas: on each connection a stream for each of [`Wire::CLIENT_LANES`]. A connection that
/// is lost is made anew. Dropping the links ends everything that they do, at once.
///
/// Messages may be lost, whenever a connection is; the protocol's client sends again what got no answer.
pub struct ClientLinks<P: Wire> {
    replicas: BTreeMap<NodeId, Arc<Peer<P>>>,
    counters: Arc<Counters>,
    life: Life,
    /// The dialing tasks; they end with this.
    _dialers: JoinSet<()>,
}

impl<P: Wire> ClientLinks<P> {
    /// Starts to connect to the replicas. Must be called within a tokio runtime.
    pub fn open(setup: ClientLinkSetup<P>) -> Result<Self, BadAddress> {
        let ClientLinkSetup { me, cluster_id, keys, members, checker, inbox } = setup;
        let identity = Identity { cluster_id, me, protocol: P::NAME, instance: rand::random(), keys };
        let (counters, life) = (Arc::new(Counters::default()), Life::new(Gate::new()));
        let (faults, refusals) = (LinkFaults::new(rand::random()), Arc::default());
        let (mut replicas, mut dialers) = (BTreeMap::new(), JoinSet::new());
        for (id, address) in members {
            let passage = Passage {
                peer: id,
                life: life.clone(),
                faults: faults.clone(),
                counters: Arc::clone(&counters),
            };
            let lanes = P::CLIENT_LANES.to_vec();
            let replica =
                Arc::new(Peer::new(passage, lanes, checker.clone(), inbox.clone(), Arc::clone(&refusals)));
            let dialer: Dialer<P> = dialer(&replica, identity.clone(), address)?;
            dialers.spawn(dialer.run());
            replicas.insert(id, replica);
        }
        Ok(Self { replicas, counters, life, _dialers: dialers })
    }

    /// Sends a message to a replica, or drops it: when the replica does not read, is not connected for long, or is not
    /// known. Never waits.
    pub fn send(&self, to: NodeId, message: P::Message) {
        match self.replicas.get(&to) {
            Some(replica) => replica.send(message),
            None => self.counters.dropped_unconnected(1),
        }
    }

    /// The replicas to which all streams are open, in ascending order.
    pub fn connected(&self) -> Vec<NodeId> {
        self.replicas.iter().filter(|(_, replica)| replica.is_connected()).map(|(id, _)| *id).collect()
    }

    /// Whether a replica that is connected has not been sent everything yet. What it has been sent is on its way, at most
    /// a few steps of the runtime later.
    pub fn is_sending(&self) -> bool {
        self.replicas.values().any(|replica| replica.is_sending())
    }

    /// What went over these links so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters.read()
    }
}

impl<P: Wire> Drop for ClientLinks<P> {
    fn drop(&mut self) {
        self.life.stop();
    }
}
