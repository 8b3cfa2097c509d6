//! `kv` and the library's client on a cluster whose replicas may lie: what they answer, whom they believe, how they fail.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::path::PathBuf;

use bytes::Bytes;
use consensusctl::client::{Client, Consistency, Options};
use consensusctl::cluster::{Door, StateDir};
use consensusctl::kv::{PutRequest, RangeRequest};

use support::{GENEROUS, Lab, Mode};

/// A running cluster of four replicas, with more options for `cluster up`.
fn four(more: &[&str]) -> Lab {
    let lab = Lab::new(4, Mode::InProcess);
    lab.start_with(&[&["--protocol", "pbft"], more].concat()).ok();
    lab
}

fn cluster_file(lab: &Lab, name: &str) -> String {
    let path: PathBuf = lab.state_dir().join(&lab.name).join(name);
    path.to_string_lossy().into_owned()
}

#[test]
fn the_shell_sees_what_honest_replicas_answer() {
    let lab = four(&["--malicious", "4=wrong-digest"]);
    lab.put("colour", "green");
    assert_eq!(lab.get("colour"), "green");
    lab.put("colour", "blue");
    let all = lab.run(&["kv", "get", "--prefix", "", "--output", "json"]).ok().json();
    assert_eq!(all["kvs"][0]["value"], "blue");
    assert_eq!(all["kvs"][0]["version"], 2, "{all:#}");
    assert_eq!(lab.run(&["kv", "del", "colour"]).ok().stdout, "1\n");
    lab.run(&["kv", "get", "colour"]).fails(1, &["key not found"]);
    lab.run(&["kv", "get", "colour", "--revision", "99"])
        .fails(1, &["the replicas refused", "future revision"]);
}

#[test]
fn a_key_chooses_as_whom_the_shell_speaks() {
    let lab = four(&[]);
    lab.put("a", "1");
    let (config, client) = (cluster_file(&lab, "cluster.toml"), cluster_file(&lab, "keys/client-1001.key"));
    let named = ["kv", "get", "a", "--config", &config, "--key", &client];
    assert_eq!(lab.run(&named).ok().stdout, "1\n");
    let node = cluster_file(&lab, "keys/node-1.key");
    lab.run(&["kv", "get", "a", "--config", &config, "--key", &node])
        .fails(2, &["holds the private key of node 1, not of a client"]);
    lab.run(&["kv", "get", "a", "--config", &config]).fails(2, &["clients of pbft sign", "--key FILE"]);

    // Without a key any node is believed, which is said.
    let endpoints = format!("127.0.0.1:{},127.0.0.1:{}", lab.ports[1], lab.ports[2]);
    let believed = lab.run(&["kv", "get", "a", "--endpoints", &endpoints]).ok();
    assert_eq!(believed.stdout, "1\n");
    assert_eq!(believed.stderr.matches("note:").count(), 1, "{believed:#?}");
    let one = lab.run(&["kv", "get", "a", "--serializable"]).ok();
    assert!(one.stderr.contains("one replica's word"), "{one:#?}");
}

#[test]
fn replicas_that_are_missing_are_counted() {
    let lab = four(&[]);
    lab.put("a", "1");
    let put = ["kv", "put", "a", "2", "--timeout", "2s"];
    lab.run(&["kill", "3", "4"]).ok();
    lab.run(&put).fails(4, &["the outcome is unknown", "of 4 replicas answered", "node 1:"]);
    lab.run(&["kill", "2"]).ok();
    lab.run(&put).fails(1, &["1 of 4 replicas could be reached", "2 must answer alike"]);
    lab.run(&["kill", "1"]).ok();
    lab.run(&put).fails(5, &["none of the 4 replicas answers"]);
}

#[test]
fn two_clients_with_one_key_do_not_disturb_each_other() {
    const EACH: usize = 20;
    let lab = four(&[]);
    let dir = StateDir::new(Some(lab.state_dir())).unwrap().cluster(&lab.name).unwrap();
    let door = Door::to_local(&dir).unwrap();
    assert!(door.counts_votes());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = Options { timeout: GENEROUS, ..Options::default() };
        let (one, other) = (door.connect(options).await.unwrap(), door.connect(options).await.unwrap());
        let (left, right) = tokio::join!(
            tokio::spawn(write(one.clone(), "left", EACH)),
            tokio::spawn(write(other, "right", EACH))
        );
        left.unwrap();
        right.unwrap();
        for key in ["left", "right"] {
            let range = RangeRequest { key: Bytes::from(key), ..RangeRequest::default() };
            let found = one.get(range.clone(), Consistency::Linearizable).await.unwrap();
            assert_eq!(
                found.kvs[0].version, EACH as i64,
                "{key} was not written once for each acknowledgement"
            );
            one.get(range, Consistency::Serializable).await.unwrap();
        }
    });
}

/// Writes a key so many times, several at once.
async fn write(client: Client, key: &'static str, times: usize) {
    let mut writing = tokio::task::JoinSet::new();
    for time in 0..times {
        let client = client.clone();
        let put = PutRequest { key: key.into(), value: format!("{time}").into(), ..PutRequest::default() };
        writing.spawn(async move { client.put(put).await });
    }
    while let Some(written) = writing.join_next().await {
        written.unwrap().unwrap();
    }
}
