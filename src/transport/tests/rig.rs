//! Replicas that do nothing but send and receive.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;

use crate::consensus::toy::{Toy, ToyMessage};
use crate::consensus::{Keys, NodeId, Scheme, SecretKey};
use crate::transport::{Gate, Inbox, LinkFaults, LinkSetup, Links, inbox, server};

/// How long a condition may take to come true before a test fails; never how long a test waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the cluster's members are to listen.
pub(super) struct Town {
    pub(super) members: Vec<(NodeId, SocketAddr)>,
    /// Whether all have keys.
    signs: bool,
    listeners: Vec<Option<std::net::TcpListener>>,
}

impl Town {
    /// Free ports for members 1 to `size`.
    pub(super) fn new(size: u64) -> Self {
        let listeners: Vec<_> =
            (0..size).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap());
        let members = (1..=size).map(NodeId).zip(addresses).collect();
        Self { members, signs: false, listeners: listeners.into_iter().map(Some).collect() }
    }

    /// The same, whose members and client have keys.
    pub(super) fn with_keys(size: u64) -> Self {
        Self { signs: true, ..Self::new(size) }
    }

    /// The keys of a member, or of the client.
    pub(super) fn keys(&self, id: NodeId) -> Keys {
        if !self.signs {
            return Keys::default();
        }
        let key = |id: NodeId| SecretKey::from_seed(Scheme::Ed25519, [id.0 as u8; 32]);
        let all = self.members.iter().map(|(id, _)| *id).chain([CLIENT]);
        Keys::new(key(id), all.map(|id| (id, key(id).public())).collect())
    }

    pub(super) fn address(&self, id: u64) -> SocketAddr {
        self.members[id as usize - 1].1
    }

    /// Starts a member of cluster 7.
    pub(super) async fn start(&mut self, id: u64) -> Replica {
        self.start_as(id, 7).await
    }

    /// Starts a member that takes itself for one of `cluster_id`; on its old port, if it ran before.
    pub(super) async fn start_as(&mut self, id: u64, cluster_id: u64) -> Replica {
        let listener = match self.listeners[id as usize - 1].take() {
            Some(listener) => {
                listener.set_nonblocking(true).unwrap();
                TcpListener::from_std(listener).unwrap()
            }
            None => eventually_bind(self.address(id)).await,
        };
        self.start_at(id, cluster_id, listener)
    }

    /// Starts one more process of a member, at an address that nobody knows.
    pub(super) async fn start_elsewhere(&self, id: u64) -> Replica {
        self.start_at(id, 7, TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn start_at(&self, id: u64, cluster_id: u64, listener: TcpListener) -> Replica {
        let peers = self.members.iter().map(|(id, address)| (*id, address.to_string())).collect();
        Replica::start((NodeId(id), self.keys(NodeId(id))), cluster_id, peers, listener, INBOX)
    }
}

/// A client that every replica knows.
pub(super) const CLIENT: NodeId = NodeId(1001);

/// How many messages a replica's inbox holds.
const INBOX: usize = 1024;

async fn eventually_bind(address: SocketAddr) -> TcpListener {
    let bound = timeout(PATIENCE, async {
        loop {
            if let Ok(listener) = TcpListener::bind(address).await {
                return listener;
            }
            tokio::task::yield_now().await;
        }
    });
    bound.await.expect("the port is free again")
}

/// Links, and the server on which they are mounted.
pub(super) struct Replica {
    pub(super) links: Links<Toy>,
    pub(super) faults: LinkFaults,
    pub(super) gate: Gate,
    inbox: Inbox<ToyMessage>,
    serving: JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Replica {
    pub(super) fn start(
        (me, keys): (NodeId, Keys),
        cluster_id: u64,
        peers: Vec<(NodeId, String)>,
        listener: TcpListener,
        bound: usize,
    ) -> Self {
        let (sender, inbox) = inbox(bound);
        let (faults, gate) = (LinkFaults::new(me.0), Gate::new());
        let setup = LinkSetup {
            me,
            cluster_id,
            peers,
            keys,
            clients: BTreeSet::from([CLIENT]),
            checker: (),
            faults: faults.clone(),
            gate: gate.clone(),
            inbox: sender,
        };
        let links = Links::start(setup).unwrap();
        let router = server().add_routes(links.routes());
        let serving = tokio::spawn(async move {
            let incoming = TcpListenerStream::new(listener);
            let _ = router.serve_with_incoming(incoming).await;
        });
        Self { links, faults, gate, inbox, serving }
    }

    pub(super) fn send(&self, to: u64, message: ToyMessage) {
        self.links.send(NodeId(to), message);
    }

    /// The next message.
    pub(super) async fn receive(&mut self) -> (u64, ToyMessage) {
        let received = timeout(PATIENCE, self.inbox.recv()).await.expect("a message arrives").unwrap();
        (received.from.0, received.message.into_inner())
    }

    /// A message that has arrived already.
    pub(super) fn received(&mut self) -> Option<(u64, ToyMessage)> {
        self.inbox.try_recv().map(|received| (received.from.0, received.message.into_inner()))
    }

    /// Waits until all streams to `peers` are open.
    pub(super) async fn connected_to(&self, peers: &[u64]) {
        until("connected", || self.links.connected().iter().map(|id| id.0).eq(peers.iter().copied())).await;
    }
}

/// Two replicas that are connected both ways.
pub(super) async fn pair() -> (Replica, Replica, Town) {
    let mut town = Town::new(2);
    let (one, two) = (town.start(1).await, town.start(2).await);
    one.connected_to(&[2]).await;
    two.connected_to(&[1]).await;
    (one, two, town)
}

/// Waits for a condition.
pub(super) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let met = timeout(PATIENCE, async {
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        while !condition() {
            ticks.tick().await;
        }
    });
    assert!(met.await.is_ok(), "not in {PATIENCE:?}: {what}");
}
