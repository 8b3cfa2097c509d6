//! Faults on a running cluster, from the command line: what is lost, what is refused, and what comes back.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use support::{Lab, Mode, eventually, signal};

fn partition_without_quorum(mode: Mode) {
    let lab = Lab::up(5, mode);
    lab.put("a", "1");
    lab.run(&["partition", "1", "2", "3", "4", "5"]).ok();
    let shown = lab.run(&["partition", "show"]).ok();
    assert!(!shown.stdout.trim().is_empty());

    // Refused in time, with the reason.
    let put = lab.run(&["kv", "put", "a", "2", "--timeout", "3s"]);
    assert!(put.code == 1 || put.code == 4, "{put:#?}");
    assert!(put.stderr.contains("no quorum"), "{put:#?}");
    let get = lab.run(&["kv", "get", "a", "--timeout", "3s"]);
    get.fails(1, &["no quorum"]);
    // A serializable read is one node's word and needs no quorum.
    assert_eq!(lab.run(&["kv", "get", "a", "--serializable"]).ok().stdout.trim_end(), "1");
    let status = lab.status();
    assert!(status["why"].to_string().contains("quorum"), "{status:#}");

    lab.run(&["partition", "heal"]).ok();
    lab.put("a", "3");
    assert_eq!(lab.get("a"), "3");
    lab.wait_until("converged");
}

#[test]
fn a_partition_without_quorum_refuses_and_heals() {
    partition_without_quorum(Mode::Processes);
}

#[test]
fn a_partition_without_quorum_refuses_and_heals_in_process() {
    partition_without_quorum(Mode::InProcess);
}

/// One direction is cut, and kept so through a restart; the other works.
fn deaf_to_the_leader(lab: &Lab, leader_word: &str) {
    lab.start().ok();
    lab.put("a", "1");
    let leader = || lab.status()["leader"].as_u64();
    let old = eventually("there is a leader", leader);
    let shown = lab.run(&["link", "set", leader_word, "all", "--cut"]).ok();
    assert!(shown.stdout.starts_with(&format!("links from {old} to ")), "{shown:#?}");
    assert!(shown.stdout.trim_end().ends_with(": cut"), "{shown:#?}");
    lab.put("a", "2");
    eventually("another node leads", || leader().filter(|id| *id != old));
    let warning = shown.stdout.trim_end().to_owned();
    assert_eq!(lab.status()["warnings"], serde_json::json!([warning]));

    lab.run(&["cluster", "restart", &old.to_string()]).ok();
    let shown = lab.run(&["link", "show", "--output", "json"]).ok().json();
    assert_eq!(shown["links"][0]["from"], serde_json::json!([old]), "{shown}");
    assert_eq!(shown["links"][0]["effect"]["lose"], 1000, "{shown}");
    // It hears who leads, and cannot lead itself.
    lab.put("a", "3");
    eventually("the node whose word is lost follows another", || {
        let status = lab.status();
        let follows = status["nodes"][old as usize - 1]["leader"].as_u64();
        (follows.is_some_and(|id| id != old) && follows == status["leader"].as_u64()).then_some(())
    });
    assert_eq!(lab.run(&["link", "heal"]).ok().stdout, "links: all well\n");
    lab.wait_until("converged");
    assert_eq!(lab.status()["warnings"], serde_json::json!([]));
}

#[test]
fn a_leader_that_nobody_hears_is_replaced() {
    for mode in [Mode::Processes, Mode::InProcess] {
        deaf_to_the_leader(&Lab::new(3, mode), "leader");
    }
}

#[test]
fn a_primary_that_nobody_hears_is_replaced() {
    deaf_to_the_leader(&Lab::of("pbft", 4, Mode::InProcess), "primary");
}

#[test]
fn links_lose_duplicate_and_delay_single_kinds_of_messages_and_nothing_is_lost() {
    let lab = Lab::up(3, Mode::InProcess);
    for fault in [
        &["--lose", "0.2"][..],
        &["--duplicate", "0.5", "--kinds", "AppendEntries,AppendEntriesResponse"],
        &["--reorder", "0.3", "--by", "10ms"],
        &["--delay", "1ms", "--jitter", "5ms"],
        &["--throttle", "1000000"],
    ] {
        lab.run(&[&["link", "set", "all", "all"], fault].concat()).ok();
    }
    // The same sort on the same links takes the other's place.
    let shown = lab.run(&["link", "set", "all", "all", "--lose", "0.1"]).ok().stdout;
    let expected = "\
links from 1, 2, 3 to 1, 2, 3: AppendEntries, AppendEntriesResponse 50% duplicated
links from 1, 2, 3 to 1, 2, 3: 30% held back for 10ms
links from 1, 2, 3 to 1, 2, 3: delayed by 1ms to 6ms
links from 1, 2, 3 to 1, 2, 3: at most 1000000 bytes a second
links from 1, 2, 3 to 1, 2, 3: 10% lost
";
    assert_eq!(shown, expected);
    for round in 0..20 {
        lab.put("a", &round.to_string());
        assert_eq!(lab.get("a"), round.to_string());
    }
    lab.run(&["link", "heal"]).ok();
    lab.wait_until("converged");
}

#[test]
fn links_that_there_are_not_are_refused() {
    let lab = Lab::up(3, Mode::InProcess);
    let set = |args: &[&str]| lab.run(&[&["link", "set"], args].concat());
    set(&["1", "9", "--cut"]).fails(2, &["there is no node 9", "1, 2, 3"]);
    set(&["1", "1", "--cut"]).fails(2, &["no link to itself"]);
    set(&["1", "2"]).fails(2, &["--cut"]);
    set(&["1", "2", "--cut", "--lose", "0.5"]).fails(2, &["cannot be used with"]);
    set(&["1", "2", "--lose", "2"]).fails(2, &["probability"]);
    set(&["1", "2", "--cut", "--kinds", "Gossip"]).fails(2, &["no message Gossip", "AppendEntries"]);
    set(&["1", "2", "--cut", "--jitter", "1s"]).fails(2, &["cannot be used with", "--jitter"]);
    assert_eq!(lab.run(&["link", "show"]).ok().stdout, "links: all well\n");
    let partition = |args: &[&str]| lab.run(&[&["partition"], args].concat());
    partition(&["--ring"]).fails(2, &["a ring of 3 nodes cuts no link"]);
    partition(&["--bridge", "all"]).fails(2, &["one node is meant"]);
    partition(&["--bridge", "1", "--ring"]).fails(2, &["cannot be used with"]);
    assert_eq!(partition(&["--bridge", "2"]).ok().stdout, "partition: 1, 2 | 2, 3\n");
    assert_eq!(partition(&["--sees-all", "3"]).ok().stdout, "partition: 1, 3 | 2, 3\n");
    assert_eq!(partition(&["heal"]).ok().stdout, "partition: none\n");
}

fn isolated_leader(mode: Mode) {
    let lab = Lab::up(3, mode);
    lab.put("a", "1");
    lab.run(&["partition", "--isolate", "leader"]).ok();
    lab.put("a", "2");
    assert_eq!(lab.get("a"), "2");
    lab.run(&["partition", "heal"]).ok();
    lab.wait_until("converged");
    assert_eq!(lab.get("a"), "2");
}

#[test]
fn an_isolated_leader_is_replaced() {
    isolated_leader(Mode::Processes);
}

#[test]
fn an_isolated_leader_is_replaced_in_process() {
    isolated_leader(Mode::InProcess);
}

fn paused_leader(mode: Mode) {
    let lab = Lab::up(3, mode);
    lab.put("a", "1");
    lab.run(&["pause", "leader"]).ok();
    let paused = lab.status();
    let states: Vec<_> =
        paused["nodes"].as_array().unwrap().iter().map(|node| node["state"].clone()).collect();
    assert!(states.contains(&"paused".into()), "{paused:#}");
    lab.put("a", "2");
    lab.run(&["resume", "all"]).ok();
    assert_eq!(lab.get("a"), "2");
    lab.wait_until("healthy");
    // Of all, what does not run is not meant; by its id it is.
    lab.run(&["kill", "1"]).ok();
    lab.run(&["pause", "2"]).ok();
    lab.run(&["resume", "1,2"]).fails(1, &["cannot resume what does not run: node 1"]);
    lab.run(&["resume", "all"]).ok();
    let states: Vec<_> = (0..2).map(|node| lab.status()["nodes"][node]["state"].clone()).collect();
    assert_eq!(states, ["stopped", "running"]);
}

#[test]
fn a_paused_leader_is_replaced() {
    paused_leader(Mode::Processes);
}

#[test]
fn a_paused_leader_is_replaced_in_process() {
    paused_leader(Mode::InProcess);
}

fn all_killed(mode: Mode) {
    let lab = Lab::up(5, mode);
    for number in 0..20 {
        lab.put(&format!("key-{number}"), &number.to_string());
    }
    lab.run(&["kill", "all"]).ok();
    lab.run(&["kv", "get", "key-0", "--timeout", "1s"]).fails(5, &[]);
    lab.run(&["cluster", "restart"]).ok();
    for number in 0..20 {
        assert_eq!(lab.get(&format!("key-{number}")), number.to_string());
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_all_nodes_are_killed() {
    all_killed(Mode::Processes);
}

#[test]
fn nothing_acknowledged_is_lost_when_all_tasks_are_killed() {
    all_killed(Mode::InProcess);
}

#[test]
fn a_node_that_was_killed_from_outside_is_seen_and_brought_back() {
    let lab = Lab::up(3, Mode::Processes);
    lab.put("a", "1");
    signal(lab.pids()[0], "KILL");
    eventually("the node is seen to have failed", || {
        let status = lab.status();
        (status["nodes"][0]["state"] == "failed").then_some(())
    });
    let waited = lab.run(&["wait", "--until", "healthy", "--timeout", "300ms"]);
    waited.fails(1, &["killed by SIGKILL"]);
    lab.run(&["cluster", "restart", "1"]).ok();
    lab.wait_until("healthy");
    assert_eq!(lab.get("a"), "1");
}

#[test]
fn a_rolling_restart_serves_throughout() {
    let lab = Lab::up(3, Mode::Processes);
    lab.put("a", "1");
    let before = lab.pids();
    lab.run(&["cluster", "restart", "--rolling"]).ok();
    let after = lab.pids();
    assert!(before.iter().all(|pid| !after.contains(pid)), "a node was not restarted: {before:?} {after:?}");
    lab.wait_until("healthy");
    assert_eq!(lab.get("a"), "1");
}

fn failing_disk(mode: Mode) {
    let lab = Lab::up(3, mode);
    lab.put("a", "1");
    lab.run(&["disk", "1", "--fail"]).ok();
    for number in 0..3 {
        lab.put("a", &number.to_string());
    }
    let why = eventually("the node stops rather than trust its disk", || {
        let node = lab.status()["nodes"][0].clone();
        (node["state"] == "failed").then(|| node["why"].to_string())
    });
    assert!(why.contains("sync") || why.contains("write"), "does not show the node's last error: {why}");
    // A wanted fault outlives the node: it is still there until it is healed.
    lab.run(&["cluster", "restart", "1"]).fails(1, &["input/output error"]);
    lab.run(&["disk", "1", "--heal"]).ok();
    lab.run(&["cluster", "restart", "1"]).ok();
    lab.wait_until("converged");
}

#[test]
fn a_failing_fsync_stops_the_node_and_loses_nothing() {
    failing_disk(Mode::Processes);
}

#[test]
fn a_failing_fsync_stops_the_task_and_loses_nothing() {
    failing_disk(Mode::InProcess);
}

#[test]
fn a_leader_whose_fsync_stalls_is_replaced() {
    let lab = Lab::up(3, Mode::Processes);
    lab.put("a", "1");
    let leader = lab.status()["leader"].as_u64().unwrap();
    lab.run(&["disk", "leader", "--stall"]).ok();
    lab.put("a", "2");
    eventually("another node leads", || {
        let now = lab.status()["leader"].as_u64()?;
        (now != leader).then_some(())
    });
    lab.run(&["disk", &leader.to_string(), "--heal"]).ok();
    lab.wait_until("converged");
    assert_eq!(lab.get("a"), "2");
}

#[test]
fn a_slow_disk_is_named() {
    let lab = Lab::up(3, Mode::Processes);
    lab.run(&["disk", "follower", "--slow", "1s"]).ok();
    lab.put("a", "1");
    eventually("status names the slow fsync", || {
        let status = lab.status().to_string();
        status.contains("fsync").then_some(())
    });
    lab.run(&["disk", "all", "--heal"]).ok();
    lab.wait_until("converged");
}
