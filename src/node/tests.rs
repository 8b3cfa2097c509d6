//! A node whose protocol carries the answers.

use tempfile::TempDir;

use super::*;
use crate::consensus::toy::Alone;
use crate::consensus::{Keys, Misbehaviour, NodeId, RejectReason, Rejection};
use crate::kv::{Command, Op, PutRequest, RangeRequest, Response};
use crate::wal::{DiskFault, WalOptions};

fn config(data: &TempDir, behaviour: Option<&str>) -> NodeConfig {
    NodeConfig {
        id: NodeId(1),
        cluster_name: "test".to_owned(),
        cluster_id: 7,
        members: vec![Member { id: NodeId(1), address: "127.0.0.1:1".to_owned() }],
        keys: Keys::default(),
        data_dir: data.path().join("node"),
        create: true,
        laboratory: true,
        request_timeout: DEFAULT_REQUEST_TIMEOUT,
        wal: WalOptions::with_segment_bytes(64 << 10),
        options: toml::Table::new(),
        blocked: Vec::new(),
        link_rules: Vec::new(),
        disk_fault: DiskFault::Ok,
        misbehaviour: behaviour.map(told),
    }
}

fn told(behaviour: &str) -> Misbehaviour {
    Misbehaviour::new(behaviour, 1)
}

fn put() -> Command {
    let put = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
    Command { session: None, op: Op::Put(put) }
}

fn get() -> Op {
    Op::Range(RangeRequest { key: "k".into(), ..Default::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn where_clients_count_votes_the_protocol_answers_and_reads_are_ordered() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start::<Alone>(config(&data, None)).unwrap();
    let handle = node.handle();
    assert!(matches!(handle.execute(&put()).await.unwrap().reply, Ok(Response::Put(_))));
    let Ok(Response::Range(range)) = handle.read(get()).await.unwrap().reply else { panic!("no range") };
    assert_eq!(&range.kvs[0].value[..], b"v");
    let status = handle.status(false).await.unwrap();
    assert_eq!((status.store.applied.0, status.misbehaviour), (2, None), "the read took a slot");
    let serializable = handle.read_serializable(get()).await.unwrap().reply;
    assert_eq!(serializable, Ok(Response::Range(range)));
    assert_eq!(handle.status(false).await.unwrap().store.applied.0, 2, "this one did not");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_started_as_one_and_an_unknown_lie_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let refused = Node::start::<Alone>(config(&data, Some("moonwalk"))).unwrap_err();
    assert_eq!(refused.to_string(), "the protocol knows no behaviour `moonwalk`: babble");
    let node = Node::start::<Alone>(config(&data, Some("babble"))).unwrap();
    let handle = node.handle();
    // What enough nodes answered is no reply: all that is known is that the command was executed.
    let unknown = handle.execute(&put()).await.unwrap_err();
    assert!(matches!(unknown, NodeError::Rejected(Rejection { never_executed: false, .. })), "{unknown}");
    assert_eq!(handle.status(false).await.unwrap().misbehaviour, Some(told("babble")));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_begins_and_ends_to_lie_when_it_is_told_to() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start::<Alone>(config(&data, None)).unwrap();
    let handle = node.handle();
    let lies = async || handle.status(false).await.unwrap().misbehaviour;
    assert!(handle.execute(&put()).await.is_ok());
    handle.misbehave(Some(told("babble"))).await.unwrap().unwrap();
    assert_eq!(lies().await, Some(told("babble")));
    assert!(handle.execute(&put()).await.is_err());
    let refused = handle.misbehave(Some(told("moonwalk"))).await.unwrap();
    let unknown = "the protocol knows no behaviour `moonwalk`: babble".to_owned();
    assert_eq!((refused, lies().await), (Err(unknown), Some(told("babble"))));
    handle.misbehave(None).await.unwrap().unwrap();
    assert!(handle.execute(&put()).await.is_ok());
    assert_eq!(lies().await, None);
    node.stop().await;
}

/// Requests that wait keep their places, also when their callers give up.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_were_given_up_count_until_the_node_is_done_with_them() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start::<Alone>(config(&data, None)).unwrap();
    let handle = node.handle();
    node.pause();
    for _ in 0..handle::MAX_REQUESTS {
        let read = handle.read_serializable(get());
        tokio::select! {
            biased;
            _ = read => panic!("a paused node answers nothing"),
            () = std::future::ready(()) => {}
        }
    }
    let refused = handle.read_serializable(get()).await.unwrap_err();
    let full = |error: &NodeError| matches!(error, NodeError::Rejected(Rejection { reason, .. }) if *reason == RejectReason::TooManyRequests);
    assert!(full(&refused), "{refused}");
    node.resume();
    while let Err(error) = handle.read_serializable(get()).await {
        assert!(full(&error), "{error}");
        tokio::task::yield_now().await;
    }
    node.stop().await;
}
