//! A node that was away while one key got a history larger than any message.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use bytes::Bytes;
use consensusctl::client::Options;
use consensusctl::cluster::{Door, StateDir};
use consensusctl::kv::PutRequest;
use consensusctl::transport::MAX_MESSAGE_BYTES;

use support::{GENEROUS, Lab, Mode, eventually};

const PUTS: usize = 52;
const VALUE_BYTES: usize = 1_400_000;

/// Node 3 is killed, one key is written again and again, and node 3 comes back.
fn a_node_comes_back_to_a_key_with_a_long_history(protocol: &'static str, nodes: usize, options: &str) {
    const { assert!(PUTS * VALUE_BYTES > MAX_MESSAGE_BYTES) };
    let lab = Lab::of(protocol, nodes, Mode::Processes);
    lab.write_config(options);
    lab.start().ok();
    lab.put("small", "1");
    lab.run(&["kill", "3"]).ok();
    let dir = StateDir::new(Some(lab.state_dir())).unwrap().cluster(&lab.name).unwrap();
    let door = Door::to_local(&dir).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = door.connect(Options { timeout: GENEROUS, ..Options::default() }).await.unwrap();
        for number in 0..PUTS {
            let value = Bytes::from(vec![b'a' + (number % 26) as u8; VALUE_BYTES]);
            client.put(PutRequest { key: "k".into(), value, ..PutRequest::default() }).await.unwrap();
        }
        client.close().await;
    });
    lab.run(&["cluster", "restart", "3"]).ok();
    lab.wait_until("converged");
    let received = |text: &str| text.contains("received the snapshot") && !text.contains(": 2 pieces");
    eventually("the state came by pieces", || received(&lab.run(&["logs", "3"]).ok().stdout).then_some(()));
}

#[test]
fn raft_sends_a_state_that_no_message_could_hold() {
    a_node_comes_back_to_a_key_with_a_long_history("raft", 3, "");
}

#[test]
fn pbft_sends_a_state_that_no_message_could_hold() {
    let often = "[pbft]\ncheckpoint_interval = 8\nwindow = 16\n";
    a_node_comes_back_to_a_key_with_a_long_history("pbft", 4, often);
}
