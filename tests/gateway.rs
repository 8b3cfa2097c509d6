//! `gateway`: etcd's API next to an application, which then trusts no single replica.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use bytes::Bytes;
use consensusctl::client::{Client, Consistency, Options};
use consensusctl::kv::{PutRequest, RangeRequest};
use consensusctl::registry::PROTOCOLS;
use serde_json::Value;

use support::{GENEROUS, Gateway, Lab, Mode, Ran, eventually, signal};

/// An etcd client of a gateway, which repeats nothing.
async fn client_of(gateway: &Gateway) -> Client {
    let options = Options { timeout: GENEROUS, attempt_timeout: GENEROUS, sessions: false };
    Client::connect(&[&gateway.address], options).await.unwrap()
}

/// A laboratory of four replicas, with more options for `cluster up`. They can lie to each other and to clients.
fn four(more: &[&str]) -> Lab {
    let lab = Lab::new(4, Mode::InProcess);
    lab.start_with(&[&["--protocol", "pbft"], more].concat()).ok();
    lab
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn put(key: &'static str, value: String) -> PutRequest {
    PutRequest { key: Bytes::from_static(key.as_bytes()), value: value.into(), ..PutRequest::default() }
}

/// Writes a key from many callers at once, so many times each, and says how often it was written.
async fn write_at_once(gateway: &Gateway, callers: usize, each: usize) -> i64 {
    let mut writing = Vec::new();
    let client = client_of(gateway).await;
    for caller in 0..callers {
        let client = client.clone();
        writing.push(tokio::spawn(async move {
            for time in 0..each {
                client.put(put("k", format!("{caller}.{time}"))).await.unwrap();
            }
        }));
    }
    for writing in writing {
        writing.await.unwrap();
    }
    let read = RangeRequest { key: "k".into(), ..RangeRequest::default() };
    // A serializable read is no replica's own word here.
    let old = client.get(read.clone(), Consistency::Serializable).await.unwrap();
    let new = client.get(read, Consistency::Linearizable).await.unwrap();
    assert_eq!(old, new);
    new.kvs[0].version
}

/// Ways to lie that change what a client is told, or when: as a backup and as the first primary. The scenario `gateway` goes
/// through all.
#[test]
fn a_caller_is_told_the_truth_whoever_lies() {
    let known = PROTOCOLS.iter().flat_map(|entry| entry.behaviours).map(|behaviour| behaviour.name);
    let known: Vec<&str> = known.collect();
    for liar in ["1=equivocate", "1=silent", "4=wrong-digest", "2=wrong-reply"] {
        if !known.contains(&liar.split_once('=').unwrap().1) {
            continue;
        }
        let lab = four(&["--malicious", liar]);
        let gateway = Gateway::start(&lab, &[]);
        assert_eq!(gateway.said["votes"], 2);
        assert_eq!(runtime().block_on(write_at_once(&gateway, 10, 5)), 50, "{liar}");
        assert_eq!(lab.run(&["kv", "get", "k", "--endpoints", &gateway.address]).ok().stderr, "");
    }
}

#[test]
fn each_write_of_many_callers_is_executed_once_while_replicas_die() {
    let lab = four(&[]);
    let gateway = Gateway::start(&lab, &[]);
    let version = runtime().block_on(async {
        let killing = async {
            for id in ["1", "2"] {
                tokio::task::block_in_place(|| lab.run(&["kill", id]).ok());
                tokio::task::block_in_place(|| lab.run(&["cluster", "restart", id]).ok());
            }
        };
        let (version, ()) = tokio::join!(write_at_once(&gateway, 40, 20), killing);
        version
    });
    assert_eq!(version, 800);
}

#[test]
fn it_starts_before_the_cluster_and_serves_when_that_is_there() {
    let lab = four(&[]);
    lab.put("a", "1");
    lab.run(&["cluster", "down"]).ok();
    let gateway = Gateway::start(&lab, &["--timeout", "500ms"]);
    let early = lab.run(&["kv", "get", "a", "--endpoints", &gateway.address, "--timeout", "2s"]);
    assert!([1, 5].contains(&early.code), "{early:#?}");
    lab.start_with(&["--protocol", "pbft"]).ok();
    let read = || lab.run(&["kv", "get", "a", "--endpoints", &gateway.address]);
    let value = eventually("the gateway serves", || Some(read()).filter(|ran| ran.code == 0));
    assert_eq!(value.stdout, "1\n");
    assert_eq!(gateway.end("TERM"), 0);
}

#[test]
fn each_gateway_has_a_key_and_an_address_of_its_own() {
    let lab = four(&[]);
    let gateways: Vec<Gateway> = (0..4).map(|_| Gateway::start(&lab, &[])).collect();
    let clients: Vec<u64> = gateways.iter().map(|gateway| gateway.said["client"].as_u64().unwrap()).collect();
    assert_eq!(clients, [1002, 1003, 1004, 1005]);
    let refused = |args: &[&str], words: &[&str]| {
        lab.run(&[&["gateway", "--listen", "127.0.0.1:0"], args].concat()).fails(1, words);
    };
    refused(&[], &["use the keys of client 1002, client 1003, client 1004, client 1005", "--key FILE"]);
    let key = |id: &str| lab.state_dir().join(&lab.name).join("keys").join(id).to_string_lossy().into_owned();
    refused(&["--key", &key("client-1003.key")], &["another gateway on this machine uses"]);
    // The holder of an address is named.
    let taken = ["gateway", "--listen", &gateways[0].address, "--key", &key("client-1001.key")];
    let pid = gateways[0].said["pid"].to_string();
    lab.run(&taken).fails(1, &[&gateways[0].address, "is in use by", &pid, "--listen"]);
    // What one writes all others read, and a key is free again when its gateway has ended.
    let through = |gateway: &Gateway, args: &[&str]| -> Ran {
        lab.run(&[args, &["--endpoints", &gateway.address]].concat()).ok()
    };
    through(&gateways[3], &["kv", "put", "a", "1"]);
    let mut gateways = gateways.into_iter();
    assert_eq!(gateways.next().unwrap().end("INT"), 0);
    let again = Gateway::start(&lab, &[]);
    assert_eq!(again.said["client"], 1002);
    assert_eq!(through(&again, &["kv", "get", "a"]).stdout, "1\n");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_way_out() {
    let lab = Lab::of("pbft", 4, Mode::InProcess);
    lab.run(&["gateway"]).fails(5, &["no cluster"]);
    lab.start().ok();
    for address in ["2379", "127.0.0.1:x", ":2379", "127.0.0.1"] {
        lab.run(&["gateway", "--listen", address]).fails(2, &["write it as host:port"]);
    }
    lab.run(&["gateway", "--listen", "192.0.2.1:2379"]).fails(1, &["is not an address of this machine"]);
    lab.run(&["gateway", "--cluster", "nowhere"]).fails(5, &["there is no cluster nowhere"]);
    let file = |name: &str| lab.state_dir().join(&lab.name).join(name).to_string_lossy().into_owned();
    lab.run(&["gateway", "--key", &file("keys/node-1.key")])
        .fails(2, &["holds the private key of node 1, not of a client"]);
    lab.run(&["gateway", "--key", &file("keys/client-9.key")]).fails(1, &["client-9.key"]);
    // A configuration that stands elsewhere names no key files.
    lab.run(&["gateway", "--config", &file("cluster.toml")]).fails(2, &["--key FILE", "keys generate"]);
}

#[test]
fn where_nodes_are_believed_it_finds_the_leader_and_executes_once() {
    let lab = Lab::up(3, Mode::InProcess);
    let gateway = Gateway::start(&lab, &[]);
    assert_eq!((&gateway.said["votes"], &gateway.said["client"]), (&1.into(), &Value::Null));
    let version = runtime().block_on(async {
        let killing = async {
            tokio::task::block_in_place(|| lab.run(&["kill", "leader"]).ok());
            tokio::task::block_in_place(|| lab.run(&["cluster", "restart"]).ok());
        };
        let (version, ()) = tokio::join!(write_at_once(&gateway, 20, 20), killing);
        version
    });
    assert_eq!(version, 400);
    let endpoints = format!("127.0.0.1:{},127.0.0.1:{}", lab.ports[0], lab.ports[1]);
    let other = Gateway::start(&lab, &["--endpoints", &endpoints]);
    assert!(lab.run(&["kv", "get", "k", "--endpoints", &other.address]).ok().stdout.contains('.'));
    let endless = lab.run(&["gateway", "--endpoints", &endpoints, "--key", "x"]);
    endless.fails(2, &["cannot be used with"]);
}

#[test]
fn calls_in_progress_end_before_it_does() {
    let lab = four(&[]);
    lab.put("a", "1");
    lab.run(&["kill", "3", "4"]).ok();
    let gateway = Gateway::start(&lab, &["--timeout", "60s"]);
    let last = || lab.status()["nodes"][0]["last"].as_u64();
    let before = last();
    runtime().block_on(async {
        let client = client_of(&gateway).await;
        let writing = tokio::spawn(async move { client.put(put("a", "2".to_owned())).await });
        tokio::task::block_in_place(|| {
            eventually("the primary has the write", || (last() > before).then_some(()));
            signal(gateway.pid(), "TERM");
            lab.run(&["cluster", "restart", "3,4"]).ok();
        });
        writing.await.unwrap().unwrap();
    });
    assert_eq!(gateway.end("TERM"), 0);
    assert_eq!(lab.get("a"), "2");
}
