//! `etcdctl` works against any node: see `support/etcdctl.rs` for what it goes through.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test that says why it was skipped")]

#[path = "support/etcdctl.rs"]
mod etcdctl;

use consensusctl::api::serve;
use consensusctl::consensus::NodeId;
use consensusctl::node::{Member, Node};

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_can_do_with_a_cluster_what_it_can_do_with_etcd() {
    if !etcdctl::is_installed() {
        return;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let node = Node::stand_in(vec![Member { id: NodeId(1), address: address.clone() }], false);
    tokio::spawn(serve(&node, listener, std::future::pending()));
    tokio::task::spawn_blocking(move || etcdctl::session(&[address])).await.unwrap();
}
