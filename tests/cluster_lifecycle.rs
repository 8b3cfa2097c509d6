//! Clusters that are brought up and down, interrupted and killed, with the real binary.

mod lab;

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use lab::{Lab, signal};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

#[test]
fn a_cluster_comes_up_continues_with_its_data_and_leaves_nothing_running() {
    for mode in [&[][..], &["--in-process"][..]] {
        let lab = Lab::new();
        lab.up(mode);
        let status = lab.status();
        assert_eq!(status["nodes"].as_array().unwrap().len(), 5, "{mode:?}");
        assert!(status["leader"].is_u64(), "{mode:?}");
        lab.ok(&["wait", "--until", "healthy"]);
        lab.ok(&["cluster", "down"]);
        lab.assert_nothing_runs();
        lab.up(mode);
        lab.ok(&["cluster", "down", "--wipe"]);
        lab.assert_nothing_runs();
        assert!(!lab.path().join("raft").exists());
    }
}

#[test]
fn a_second_up_says_so_and_changes_nothing() {
    let lab = Lab::new();
    lab.up(&[]);
    let pids = lab.pids();
    let args = lab.up_args(&["--nodes", "3", "--fresh"]);
    let again = lab.command(&args).output().unwrap();
    assert!(again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("is up already; nothing was changed"));
    assert_eq!(lab.pids(), pids);
}

#[test]
fn another_size_than_the_data_has_is_refused_and_fresh_is_the_way_out() {
    let lab = Lab::new();
    lab.up(&[]);
    lab.ok(&["cluster", "down"]);
    let args = lab.up_args(&["--nodes", "3"]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let talk = lab.fails(1, &args);
    assert!(talk.contains("has data of 5 nodes, not 3") && talk.contains("--fresh"), "{talk}");
    lab.up(&["--nodes", "3", "--fresh"]);
    assert_eq!(lab.pids().len(), 3);
}

#[test]
fn a_port_in_use_is_told_with_its_holder_before_anything_starts() {
    let lab = Lab::new();
    let _holder = TcpListener::bind(("127.0.0.1", lab.first_port() + 2)).unwrap();
    let args = lab.up_args(&[]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let talk = lab.fails(1, &args);
    assert!(talk.contains("node 3: ") && talk.contains("is in use by "), "{talk}");
    if cfg!(target_os = "linux") {
        assert!(talk.contains(&format!("(pid {})", std::process::id())), "{talk}");
    }
    assert!(!lab.path().join("raft/node-1").exists(), "nothing was started");
    lab.assert_nothing_runs();
}

#[test]
fn what_a_killed_supervisor_leaves_is_swept_up_by_up_and_by_down() {
    for next in ["up", "down"] {
        let lab = Lab::new();
        lab.up(&[]);
        // A paused node does not notice that its supervisor is gone.
        lab.ok(&["pause", "2"]);
        let before = lab.pids();
        signal(lab.supervisor(), "KILL");
        let talk = lab.fails(5, &["status"]);
        assert!(talk.contains("cluster up"), "{talk}");
        if next == "up" {
            lab.up(&[]);
            assert!(lab.pids().iter().all(|pid| !before.contains(pid)));
            lab.ok(&["wait", "--until", "healthy"]);
        }
        lab.ok(&["cluster", "down"]);
        lab.assert_nothing_runs();
    }
}

#[test]
fn a_killed_node_is_told_and_comes_back_by_restart() {
    let lab = Lab::new();
    lab.up(&[]);
    lab.ok(&["kill", "follower"]);
    let states = |lab: &Lab| -> Vec<String> {
        let status = lab.status();
        let nodes = status["nodes"].as_array().unwrap().clone();
        nodes.iter().map(|node| node["state"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(states(&lab).iter().filter(|state| *state == "stopped").count(), 1);
    // Not by our command: the node has failed, and says how.
    signal(lab.pids()[3], "KILL");
    let talk = lab.fails(1, &["wait", "--until", "healthy", "--timeout", "300ms"]);
    assert!(talk.contains("killed by SIGKILL"), "{talk}");
    lab.ok(&["cluster", "restart"]);
    lab.ok(&["wait", "--until", "converged"]);
    assert_eq!(states(&lab), ["running"; 5]);
}

#[test]
fn a_paused_node_is_told_at_once_and_goes_on_when_resumed() {
    let lab = Lab::new();
    lab.up(&[]);
    lab.ok(&["pause", "5"]);
    let node = lab.status()["nodes"][4].clone();
    assert_eq!((node["state"].as_str(), node["reachable"].as_bool()), (Some("paused"), Some(false)));
    lab.ok(&["resume", "5"]);
    lab.ok(&["wait", "--until", "healthy"]);
}

#[test]
fn unknown_targets_and_clusters_are_refused_with_what_there_is() {
    let lab = Lab::new();
    lab.up(&[]);
    assert!(lab.fails(2, &["kill", "9"]).contains("the nodes are 1, 2, 3, 4, 5"));
    assert!(lab.fails(2, &["kill", "boss"]).contains("`leader`, `follower`, `all`"));
    assert!(lab.fails(5, &["status", "--cluster", "other"]).contains("the cluster other does not exist"));
}

/// Interrupts a command at a moment of the seed's choice, after which `up` must work and nothing be orphaned.
fn interrupt(lab: &Lab, command: &str, random: &mut ChaCha8Rng) {
    let what = match command {
        "up" => lab.up_args(&[]),
        _ => vec!["cluster".to_owned(), command.to_owned()],
    };
    let mut child = lab.command(&what).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // A moment in the life of the command, not a time to wait for something: any moment must do.
    let moment = Duration::from_millis(u64::from(random.next_u32() % 400));
    let (never, nothing) = std::sync::mpsc::channel::<()>();
    let _ = nothing.recv_timeout(moment);
    drop(never);
    let name = if random.next_u32().is_multiple_of(2) { "INT" } else { "TERM" };
    // It may be done already.
    let _ = std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).output();
    let ended = child.wait().unwrap();
    #[cfg(target_os = "linux")]
    if command == "up" && !ended.success() {
        assert_eq!(lab.processes(), Vec::<String>::new(), "an interrupted up ends what it began");
    }
    let _ = ended;
}

#[test]
fn commands_can_be_interrupted_at_any_moment() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let lab = Lab::new();
    for command in ["up", "restart", "down"].iter().cycle().take(20) {
        match *command {
            "up" => drop(lab.ok(&["cluster", "down"])),
            _ => drop(lab.up(&[])),
        }
        interrupt(&lab, command, &mut random);
        lab.up(&[]);
        #[cfg(target_os = "linux")]
        assert_eq!(lab.processes().len(), 6, "five nodes and their supervisor, and no orphan");
    }
    lab.ok(&["cluster", "down"]);
    lab.assert_nothing_runs();
}
