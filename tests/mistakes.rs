//! Everything that goes wrong around a cluster: a clear error, and nothing lost.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use support::{Lab, Mode, Running, eventually, files, signal};

#[test]
fn a_port_in_use_is_named_with_its_process_before_anything_starts() {
    let lab = Lab::new(3, Mode::Processes);
    let taken = TcpListener::bind(("127.0.0.1", lab.ports[1])).unwrap();
    let pid = std::process::id().to_string();
    lab.start().fails(1, &[&lab.ports[1].to_string(), &pid]);
    assert_eq!(lab.processes(), Vec::<u32>::new(), "something was started");
    drop(taken);
    lab.start().ok();
}

#[test]
fn a_cluster_that_is_refused_leaves_nothing_behind() {
    let lab = Lab::new(3, Mode::Processes);
    let taken = TcpListener::bind(("127.0.0.1", lab.ports[0])).unwrap();
    let (nowhere, keys) = (lab.dir.path().join("nowhere.toml"), lab.dir.path().join("keys"));
    let (nowhere, config) = (nowhere.to_str().unwrap(), lab.config());
    let up = |more: &[&str]| lab.run(&[&["cluster", "up", "--name", "lab"][..], more].concat());
    for foreground in [&[][..], &["--foreground"]] {
        let up = |more: &[&str]| up(&[more, foreground].concat());
        up(&["--protocol", "paxos"]).fails(2, &["paxos"]);
        up(&["--nodes", "1000"]).fails(2, &["1000"]);
        up(&["--port", "0"]).fails(2, &["ports"]);
        up(&["--config", nowhere]).fails(2, &["nowhere.toml"]);
        up(&["--config", config.to_str().unwrap()]).fails(1, &["in use"]);
        up(&["--malicious", "2"]).fails(2, &["crashes"]);
    }
    drop(taken);
    let out = ["--out", keys.to_str().unwrap()];
    lab.run(&[&["keys", "generate", "--nodes", "1000"], &out[..]].concat()).fails(2, &["1000"]);
    lab.run(&[&["keys", "generate", "--config", nowhere], &out[..]].concat()).fails(2, &["nowhere.toml"]);
    assert!(!lab.state_dir().exists(), "{:?}", files(&lab.state_dir()));
    assert!(!keys.exists(), "{:?}", files(&keys));
}

#[test]
fn a_second_up_says_so_and_changes_nothing() {
    let lab = Lab::up(3, Mode::Processes);
    let before = lab.pids();
    let again = lab.start().ok();
    assert!(format!("{}{}", again.stdout, again.stderr).contains("already"), "{again:#?}");
    let ignored = |ran: &support::Ran, option| {
        let warnings = ran.stderr.lines().filter(|line| line.contains("had no effect"));
        warnings.flat_map(|line| line.split([' ', ','])).any(|word| word == option)
    };
    let other = lab.start_with(&["--fresh"]).ok();
    assert!(ignored(&other, "--fresh") && !ignored(&again, "--fresh"), "{other:#?}");
    assert!(!ignored(&other, "--protocol"), "it is what was asked for: {other:#?}");
    assert_eq!(lab.pids(), before);
}

#[test]
fn up_and_down_reap_what_a_killed_supervisor_left() {
    for command in ["up", "down"] {
        let lab = Lab::up(3, Mode::Processes);
        lab.put("a", "1");
        // A paused node does not notice that its supervisor is gone.
        lab.run(&["pause", "2"]).ok();
        let nodes = lab.pids();
        let supervisor = lab.processes().into_iter().find(|pid| !nodes.contains(pid)).unwrap();
        signal(supervisor, "KILL");
        eventually("the supervisor is gone", || (!lab.processes().contains(&supervisor)).then_some(()));
        lab.run(&["status"]).fails(5, &["cluster up"]);
        if command == "up" {
            lab.start().ok();
            assert_eq!(lab.get("a"), "1");
            assert!(lab.pids().iter().all(|pid| !nodes.contains(pid)), "an orphan was kept");
        } else {
            lab.run(&["cluster", "down"]).ok();
            assert_eq!(lab.processes(), Vec::<u32>::new());
        }
    }
}

#[test]
fn up_after_everything_was_killed() {
    let lab = Lab::up(3, Mode::Processes);
    lab.put("a", "1");
    for pid in lab.processes() {
        signal(pid, "KILL");
    }
    eventually("all processes are gone", || lab.processes().is_empty().then_some(()));
    lab.start().ok();
    assert_eq!(lab.get("a"), "1");
}

#[test]
fn another_size_than_the_data_has_is_refused_with_the_way_out() {
    let mut lab = Lab::up(3, Mode::Processes);
    lab.put("a", "1");
    lab.run(&["cluster", "down"]).ok();
    let ports = lab.ports.clone();
    let more = consensusctl::cluster::free_ports(2).unwrap();
    lab.ports.extend(more.ports());
    lab.write_config("");
    lab.start().fails(1, &["3", "5", "--fresh"]);
    lab.ports = ports;
    lab.write_config("");
    lab.start().ok();
    assert_eq!(lab.get("a"), "1");
}

#[test]
fn an_unknown_protocol_is_refused_with_those_that_exist() {
    let lab = Lab::new(3, Mode::Processes);
    lab.run(&["cluster", "up", "--protocol", "paxos"]).fails(2, &["paxos", "raft"]);
}

#[test]
fn a_target_that_does_not_exist_is_refused_with_those_that_do() {
    let lab = Lab::up(3, Mode::Processes);
    lab.run(&["kill", "9"]).fails(2, &["1, 2, 3"]);
    lab.run(&["resume", "0"]).fails(2, &["1, 2, 3"]);
    lab.run(&["pause", "nobody"]).fails(2, &["leader", "follower", "all"]);
    lab.run(&["status", "--cluster", "other"]).fails(5, &["other", "does not exist"]);
    assert_eq!(lab.pids().len(), 3);
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    let lab = Lab::up(3, Mode::Processes);
    let value = "x".repeat(100_000);
    lab.put("fits", &value);
    // An argument has a limit of its own, so the large value comes from a transaction on standard input.
    let mut child = lab.command(&["kv", "txn"]);
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let text = format!("then\nput big {}\n", "x".repeat(2 << 20));
    // The command may refuse before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    let ran = support::Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("too large"), "{}", ran.stderr);
    assert_eq!(lab.get("fits"), value);
}

#[test]
fn garbage_on_the_port_harms_nobody() {
    let lab = Lab::up(3, Mode::Processes);
    for (number, port) in lab.ports.iter().enumerate() {
        for garbage in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[0; 3], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxx"]
        {
            let mut stream = TcpStream::connect(("127.0.0.1", *port)).unwrap();
            // The node may hang up before it has read everything.
            let _ = stream.write_all(garbage);
        }
        lab.put("a", &number.to_string());
    }
    lab.wait_until("healthy");
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let lab = Lab::up(1, Mode::Processes);
    lab.put("a", "1");
    lab.run(&["kill", "1"]).ok();
    let segment = first_segment(&lab, 1);
    let mut bytes = std::fs::read(&segment).unwrap();
    // A part of a batch that was never finished, behind the last whole one.
    let end = end_of_batches(&bytes);
    bytes.copy_within(FIRST_BATCH..FIRST_BATCH + 48, end);
    std::fs::write(&segment, bytes).unwrap();
    lab.run(&["cluster", "restart"]).ok();
    assert_eq!(lab.get("a"), "1");
    let logs = lab.run(&["logs", "1"]).ok();
    assert!(logs.stdout.contains("torn"), "the log does not say that a torn tail was cut");
}

#[test]
fn rot_before_the_tail_stops_the_node_with_file_offset_batch_and_remedy() {
    let lab = Lab::up(1, Mode::Processes);
    for number in 0..10 {
        lab.put("a", &number.to_string());
    }
    lab.run(&["kill", "1"]).ok();
    let segment = flip_a_bit(&lab, 1);
    let bytes = std::fs::read(&segment).unwrap();
    let name = segment.file_name().unwrap().to_str().unwrap();
    let ran = lab.run(&["cluster", "restart", "1"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    for word in [name, "offset", "batch", "wal inspect"] {
        assert!(ran.stderr.contains(word), "does not say {word:?}: {ran:#?}");
    }
    let dir = lab.node_dir(1);
    let verify = lab.run(&["wal", "verify", dir.to_str().unwrap()]);
    assert_ne!(verify.code, 0, "{verify:#?}");
    assert_eq!(std::fs::read(&segment).unwrap(), bytes, "the damaged file was changed");
}

#[test]
fn a_quorum_comes_up_without_a_node_that_cannot_start_and_the_reason_is_told() {
    for mode in [Mode::Processes, Mode::InProcess] {
        let lab = Lab::up(3, mode);
        for number in 0..10 {
            lab.put("a", &number.to_string());
        }
        lab.run(&["cluster", "down"]).ok();
        flip_a_bit(&lab, 2);
        let damage = ["offset", "wal inspect", "cluster restart 2"];
        let up =
            lab.start().fails(6, &["error: the cluster lab serves, but node 2 does not run: ", damage[0]]);
        assert!(damage.iter().all(|word| up.stderr.contains(word)), "{up:#?}");
        assert_eq!(lab.get("a"), "9");
        lab.start().fails(6, &["is up already", "node 2 does not run: "]);
        lab.run(&["cluster", "restart"]).fails(6, &["node 2 of the cluster lab does not start: ", "offset"]);
        lab.run(&["cluster", "restart", "2"]).fails(1, &["node 2 of the cluster lab does not start: "]);
        lab.put("a", "more");

        lab.run(&["cluster", "down"]).ok();
        flip_a_bit(&lab, 3);
        lab.start().fails(1, &["2 nodes of the cluster lab do not start: node 2: ", "; node 3: "]);
        assert_eq!(lab.processes(), Vec::<u32>::new(), "something was left");
        flip_a_bit(&lab, 2);
        flip_a_bit(&lab, 3);
        lab.start().ok();
        assert_eq!(lab.get("a"), "more");
    }
}

#[test]
fn a_new_cluster_comes_up_with_all_of_its_nodes_or_not_at_all() {
    let lab = Lab::new(3, Mode::InProcess);
    std::fs::create_dir_all(lab.node_dir(2).parent().unwrap()).unwrap();
    std::fs::write(lab.node_dir(2), "in the way").unwrap();
    lab.start().fails(1, &["node 2 of the cluster lab does not start: "]);
    std::fs::remove_file(lab.node_dir(2)).unwrap();
    lab.start().ok();
}

/// Damages the log of a node in its middle; twice, it is whole again. Answers which file it was.
fn flip_a_bit(lab: &Lab, id: u64) -> std::path::PathBuf {
    let segment = first_segment(lab, id);
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[FIRST_BATCH + 60] ^= 0x10;
    std::fs::write(&segment, &bytes).unwrap();
    segment
}

/// Where the first batch of a segment begins; see `docs/wal-format.md`.
const FIRST_BATCH: usize = 512;

/// Where the batches of a segment end.
fn end_of_batches(segment: &[u8]) -> usize {
    let mut at = FIRST_BATCH;
    while segment[at..].starts_with(b"BTCH") {
        let length = u32::from_le_bytes(segment[at + 24..at + 28].try_into().unwrap()) as usize;
        at += (40 + length).next_multiple_of(8);
    }
    at
}

fn first_segment(lab: &Lab, id: u64) -> std::path::PathBuf {
    let wal = lab.node_dir(id).join("wal");
    files(&wal).into_iter().next().unwrap_or_else(|| panic!("no segment in {}", wal.display()))
}

#[test]
fn a_directory_of_another_node_is_refused() {
    let lab = Lab::up(3, Mode::Processes);
    lab.put("a", "1");
    lab.run(&["cluster", "down"]).ok();
    let (one, two, aside) = (lab.node_dir(1), lab.node_dir(2), lab.dir.path().join("aside"));
    std::fs::rename(&one, &aside).unwrap();
    std::fs::rename(&two, &one).unwrap();
    std::fs::rename(&aside, &two).unwrap();
    let ran = lab.start();
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("node"), "{ran:#?}");
    std::fs::rename(&one, &aside).unwrap();
    std::fs::rename(&two, &one).unwrap();
    std::fs::rename(&aside, &two).unwrap();
    lab.run(&["cluster", "down"]);
    lab.start().ok();
    assert_eq!(lab.get("a"), "1");
}

#[test]
fn a_node_makes_its_directory_only_when_it_is_told_to() {
    let lab = Lab::up(3, Mode::Processes);
    let config = lab.state_dir().join(&lab.name).join("cluster.toml");
    lab.run(&["cluster", "down"]).ok();
    let (config, nowhere) = (config.to_str().unwrap(), lab.dir.path().join("nowhere"));
    let node = ["node", "--id", "1", "--config", config, "--data-dir", nowhere.to_str().unwrap()];
    lab.run(&node).fails(1, &["holds no data", "forgotten its promises", "--create"]);
    // Messages name it by a path that means the same from everywhere.
    let mut relative = lab.command(&[&node[..6], &["nowhere"]].concat());
    let ran = support::Ran::from(relative.current_dir(lab.dir.path()).output().unwrap());
    ran.fails(1, &[nowhere.to_str().unwrap()]);
    assert!(!nowhere.exists());
}

#[test]
fn an_emptied_directory_of_a_member_is_refused() {
    let lab = Lab::up(3, Mode::Processes);
    lab.put("a", "1");
    lab.run(&["kill", "2"]).ok();
    std::fs::remove_dir_all(lab.node_dir(2)).unwrap();
    let ran = lab.run(&["cluster", "restart", "2"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("node-2"), "{ran:#?}");
    // The other two go on.
    assert_eq!(lab.get("a"), "1");
}

#[test]
fn a_full_disk_refuses_writes_keeps_the_data_and_comes_back() {
    let lab = Lab::up(1, Mode::Processes);
    lab.put("kept", "1");
    lab.run(&["disk", "1", "--full"]).ok();
    let value = "x".repeat(100_000);
    let refused = eventually("writes are refused", || {
        let ran = lab.run(&["kv", "put", "filler", &value, "--timeout", "2s"]);
        (ran.code != 0).then_some(ran)
    });
    assert!(refused.stderr.contains("space") || refused.stderr.contains("full"), "{refused:#?}");
    assert_eq!(lab.get("kept"), "1");
    lab.run(&["disk", "1", "--heal"]).ok();
    eventually("writes are taken again", || {
        (lab.run(&["kv", "put", "kept", "2", "--timeout", "2s"]).code == 0).then_some(())
    });
    assert_eq!(lab.get("kept"), "2");
}

#[test]
fn two_laboratories_do_not_disturb_each_other() {
    let first = Lab::up(3, Mode::Processes);
    let second = Lab::up(3, Mode::InProcess);
    first.put("who", "first");
    second.put("who", "second");
    assert_eq!(first.get("who"), "first");
    first.run(&["cluster", "down"]).ok();
    assert_eq!(second.get("who"), "second");
}

#[test]
fn clean_refuses_while_a_node_runs_and_tells_what_it_would_remove() {
    let lab = Lab::up(1, Mode::Processes);
    lab.put("a", "1");
    let dir = lab.node_dir(1);
    let ran = lab.run(&["wal", "clean", dir.to_str().unwrap()]);
    assert_ne!(ran.code, 0, "{ran:#?}");
    assert_eq!(lab.get("a"), "1");
    lab.run(&["cluster", "down"]).ok();
    let before = files(&dir);
    lab.run(&["wal", "clean", "--dry-run", dir.to_str().unwrap()]).ok();
    assert_eq!(files(&dir), before, "a dry run removed something");
    lab.run(&["wal", "inspect", dir.to_str().unwrap()]).ok();
    lab.run(&["wal", "verify", dir.to_str().unwrap()]).ok();
    lab.run(&["wal", "clean", dir.to_str().unwrap()]).ok();
    assert!(files(&dir).len() < before.len());
}

/// A foreground cluster ends with Ctrl-C, and leaves nothing.
#[test]
fn a_foreground_cluster_ends_on_interrupt() {
    let lab = Lab::new(3, Mode::Processes);
    let args = lab.up_args(&["--foreground"]);
    let mut command = lab.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    eventually("it serves", || (lab.run(&["kv", "put", "a", "1"]).code == 0).then_some(()));
    signal(child.0.id(), "INT");
    child.0.wait().unwrap();
    eventually("nothing is left", || lab.processes().is_empty().then_some(()));
}
