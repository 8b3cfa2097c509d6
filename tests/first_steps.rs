//! What the README shows, from the first command to the last, in both ways to run a cluster.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use support::{Lab, Mode, files};

fn first_steps(mode: Mode) {
    let lab = Lab::new(5, mode);
    let up = lab.start().ok();
    for port in &lab.ports {
        assert!(up.stdout.contains(&format!("127.0.0.1:{port}")), "does not say who listens where: {up:#?}");
    }

    // One after the other, with no waiting between.
    lab.put("colour", "green");
    assert_eq!(lab.get("colour"), "green");
    lab.run(&["kill", "leader"]).ok();
    assert_eq!(lab.get("colour"), "green");
    lab.put("colour", "blue");
    assert_eq!(lab.get("colour"), "blue");

    let status = lab.status();
    let stopped =
        status["nodes"].as_array().unwrap().iter().filter(|node| node["state"] != "running").count();
    assert_eq!(stopped, 1, "{status:#}");

    lab.run(&["cluster", "restart"]).ok();
    lab.wait_until("converged");
    lab.wait_until("healthy");
    let status = lab.status();
    let nodes = status["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 5);
    for node in nodes {
        for key in [
            "id",
            "address",
            "pid",
            "state",
            "reachable",
            "role",
            "epoch",
            "leader",
            "last",
            "committed",
            "applied",
            "digest",
            "digest_at",
            "behind",
            "why",
        ] {
            assert!(node.get(key).is_some(), "no {key} in {node:#}");
        }
        assert_eq!(node["state"], "running");
        assert_eq!(node["digest"], nodes[0]["digest"], "{status:#}");
        assert_eq!(node["digest_at"], nodes[0]["digest_at"], "{status:#}");
    }

    lab.run(&["cluster", "down"]).ok();
    assert_eq!(lab.processes(), Vec::<u32>::new(), "processes are left");
    let left = files(&lab.state_dir());
    let sockets = left.iter().filter(|path| path.extension().is_some_and(|end| end == "sock"));
    assert_eq!(sockets.count(), 0, "a socket is left: {left:?}");

    // The data is kept, and `up` continues with it.
    lab.start().ok();
    assert_eq!(lab.get("colour"), "blue");
    lab.run(&["cluster", "down", "--wipe"]).ok();
    assert_eq!(files(&lab.state_dir()), Vec::<std::path::PathBuf>::new(), "files are left");
}

#[test]
fn first_steps_with_processes() {
    first_steps(Mode::Processes);
}

#[test]
fn first_steps_in_process() {
    first_steps(Mode::InProcess);
}

#[test]
fn fresh_starts_without_the_old_data() {
    let lab = Lab::up(3, Mode::Processes);
    lab.put("a", "1");
    lab.run(&["cluster", "down"]).ok();
    lab.start_with(&["--fresh"]).ok();
    lab.run(&["kv", "get", "a"]).fails(1, &["not found"]);
}

#[test]
fn one_node_is_a_cluster_too() {
    let lab = Lab::up(1, Mode::Processes);
    lab.put("a", "1");
    assert_eq!(lab.get("a"), "1");
    lab.run(&["cluster", "restart", "all"]).ok();
    assert_eq!(lab.get("a"), "1");
}
