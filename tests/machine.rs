//! What a machine does to a cluster besides crashing: limits, locks, closed pipes, an environment that lacks things.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use support::{Lab, Mode, Node, Ran, Running, eventually, signal};

/// A shell that knows the laboratory and has the program's path as `$0`.
fn shell(lab: &Lab, script: &str) -> Ran {
    let args = lab.up_args(&[]).join(" ");
    let mut shell = Command::new("bash");
    shell.args(["-c", &script.replace("UP", &format!("$0 {args}")), env!("CARGO_BIN_EXE_consensusctl")]);
    shell.env("CONSENSUSCTL_STATE_DIR", lab.state_dir()).env("NO_COLOR", "1").current_dir(lab.dir.path());
    shell.output().unwrap().into()
}

#[test]
fn a_cluster_keeps_no_lock_and_no_pipe_of_whoever_brought_it_up() {
    let lab = Lab::new(3, Mode::Processes);
    // Descriptor 9 is a lock, 8 a pipe whose reader ends when nobody can write to it any more.
    shell(&lab, "( flock 9; UP >/dev/null 8>&1 ) 9>l && flock -n l true").ok();
    lab.run(&["cluster", "down"]).ok();
    let read =
        shell(&lab, "exec 7>&1; ( UP >/dev/null 2>&1 7>&- 8>&1; echo up ) 8> >(cat >/dev/null) | cat").ok();
    assert_eq!(read.stdout, "up\n");
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk_and_ends_no_node() {
    let lab = Lab::new(3, Mode::Processes);
    // More than a segment of the log has, less than the snapshot of what is written below.
    shell(&lab, "ulimit -f 10000 && UP").ok();
    let value = "v".repeat(1_000_000);
    let full = |id: u64| {
        let log = std::fs::read_to_string(lab.state_dir().join(format!("lab/node-{id}.log"))).unwrap();
        log.contains("the disk is full")
    };
    let mut written = 0;
    while !(1..=3).all(full) {
        assert!(written < 200, "no node finds that a file cannot grow");
        let mut put =
            lab.command(&["kv", "txn"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        put.stdin.take().unwrap().write_all(format!("then\nput {written} {value}\n").as_bytes()).unwrap();
        put.wait().unwrap();
        written += 1;
    }
    let status = lab.status();
    assert!(status["nodes"].as_array().unwrap().iter().all(|node| node["state"] == "running"), "{status:#}");
    assert_eq!(lab.run(&["kv", "get", "0", "--timeout", "30s"]).ok().stdout.len(), value.len() + 1);
}

#[test]
fn connections_that_say_nothing_take_no_descriptor_from_the_log() {
    let lab = Lab::new(3, Mode::Processes);
    let members = std::fs::read_to_string(lab.config()).unwrap();
    std::fs::write(lab.config(), format!("segment_bytes = 2097152\n{members}")).unwrap();
    shell(&lab, "ulimit -n 128 && UP").ok();
    let log = |id: u64| std::fs::read_to_string(lab.state_dir().join(format!("lab/node-{id}.log"))).unwrap();
    let mut idle = Vec::new();
    for id in 1..=3 {
        idle.extend((0..200).map(|_| TcpStream::connect(lab.address(id)).unwrap()));
        eventually("the node says that connections make way", || {
            log(id).contains("had been silent for longest").then_some(())
        });
    }
    // Each takes a new segment.
    let value = "v".repeat(1_200_000);
    for round in 0..10 {
        let mut put =
            lab.command(&["kv", "put", "a", "@-", "--timeout", "60s"]).stdin(Stdio::piped()).spawn().unwrap();
        put.stdin.take().unwrap().write_all(format!("{round}{value}").as_bytes()).unwrap();
        assert!(put.wait().unwrap().success());
    }
    lab.wait_until("converged");
    for id in 1..=3 {
        let warnings = log(id).lines().filter(|line| line.contains("WARN")).count();
        assert!(warnings < 20, "node {id} warns {warnings} times: {}", log(id));
    }
    let pids = lab.pids();
    drop(idle);
    lab.put("a", "short");
    assert_eq!((lab.get("a").as_str(), lab.pids()), ("short", pids));
}

#[test]
fn what_needs_no_state_directory_works_without_a_home() {
    let lab = Lab::new(3, Mode::Processes);
    let out = lab.dir.path().join("keys");
    let keys = ["keys", "generate", "--nodes", "4", "--out", out.to_str().unwrap()];
    let all: [&[&str]; 4] = [&["sim", "--seeds", "1"], &["test", "list"], &keys, &["--version"]];
    let bare = |args: &[&str]| -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_consensusctl"));
        command.args(args).env_clear().output().unwrap().into()
    };
    for args in all {
        bare(args).ok();
    }
    let ran = bare(&["kv", "--endpoints", "127.0.0.1:1", "get", "a", "--timeout", "1s"]);
    assert_eq!(ran.code, 5, "{ran:#?}");

    let ran = bare(&["status"]).fails(2, &[]);
    assert_eq!(
        ran.stderr,
        "error: no state directory: $XDG_STATE_HOME is not set, and $HOME is not set\n\
         hint: name one with --state-dir DIR or CONSENSUSCTL_STATE_DIR\n"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_consensusctl"));
    let ran: Ran = command.arg("status").env_clear().env("HOME", "rel").output().unwrap().into();
    assert!(ran.stderr.contains("$HOME is `rel`, not an absolute path"), "{ran:#?}");
}

#[test]
fn a_command_line_that_makes_no_sense_is_told_as_all_errors_are_and_names_only_what_was_typed() {
    let lab = Lab::new(1, Mode::Processes);
    let people = lab.run(&["kill"]).fails(2, &["<TARGET>...", "Usage: consensusctl kill <TARGET>..."]);
    assert!(!people.stderr.contains("--state-dir"), "{people:#?}");
    let programs = lab.run(&["kill", "--output", "json"]).fails(2, &[]);
    let error: serde_json::Value = serde_json::from_str(&programs.stderr).unwrap();
    assert_eq!(error["exit_code"], 2);
    assert_eq!(error["hint"], "Usage: consensusctl kill --output <OUTPUT> <TARGET>...");
}

#[test]
fn help_that_cannot_be_written_is_not_done() {
    let lab = Lab::new(1, Mode::Processes);
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let ran = shell(&lab, "$0 --help >/dev/full").fails(1, &[]);
    assert!(ran.stderr.starts_with("error: cannot write the output: "), "{ran:#?}");
}

#[test]
fn following_logs_ends_when_nobody_reads_any_more() {
    let lab = Lab::up(3, Mode::Processes);
    let mut command = lab.command(&["logs", "--follow", "all"]);
    let mut child = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    // Nobody logs anything, and so nobody finds out by writing.
    for pid in lab.pids() {
        signal(pid, "STOP");
    }
    drop(lines);
    let ended = eventually("it ends", || child.0.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_supervisor_whose_socket_was_removed_is_found_by_its_lock() {
    let lab = Lab::up(3, Mode::Processes);
    let nodes = lab.pids();
    let supervisor = lab.processes().into_iter().find(|pid| !nodes.contains(pid)).unwrap().to_string();
    std::fs::remove_file(lab.state_dir().join("lab/supervisor.sock")).unwrap();
    for command in [&["status"][..], &["cluster", "up", "--cluster", "lab"]] {
        lab.run(command)
            .fails(5, &[&format!("(pid {supervisor})"), "supervisor.sock is gone", "cluster down"]);
    }
    lab.run(&["cluster", "down"]).ok();
    assert_eq!(lab.processes(), Vec::<u32>::new());
    lab.start().ok();
}

#[test]
fn two_processes_of_one_node_are_told_by_status_and_logs() {
    for protocol in ["raft", "pbft"] {
        let lab = Lab::of(protocol, 4, Mode::Processes);
        lab.start().ok();
        lab.put("a", "1");
        // As when a directory is copied, and started on another host as well.
        lab.run(&["kill", "2"]).ok();
        let copy = lab.dir.path().join("copy");
        assert!(
            Command::new("cp").arg("-r").args([lab.node_dir(2), copy.clone()]).status().unwrap().success()
        );
        lab.run(&["cluster", "restart", "2"]).ok();
        let port = consensusctl::cluster::free_ports(1).unwrap();
        let (dir, elsewhere) = (lab.state_dir().join("lab"), lab.dir.path().join("elsewhere.toml"));
        let config = std::fs::read_to_string(dir.join("cluster.toml")).unwrap();
        let moved = config.replace(&format!(":{}\"", lab.ports[1]), &format!(":{}\"", port.first()));
        std::fs::write(&elsewhere, moved).unwrap();
        let key = dir.join("keys/node-2.key");
        let key = ["--key", key.to_str().unwrap()];
        let double = Node::start(&lab, 2, &elsewhere, &copy, if protocol == "pbft" { &key } else { &[] });
        let said = "two processes run as node 2: ";
        let both = [format!("pid {}", double.pid()), format!("pid {}", lab.pids()[1])];
        eventually("the status tells it", || {
            let status = lab.status().to_string();
            (status.contains(said) && both.iter().all(|pid| status.contains(pid))).then_some(())
        });
        eventually("the log tells it", || lab.run(&["logs", "1"]).ok().stdout.contains(said).then_some(()));
        drop(double);
        lab.wait_until("healthy");
    }
}

#[test]
fn what_belongs_to_another_user_is_said_to_be_theirs() {
    use std::fs::{Permissions, copy, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    /// Who owns nothing.
    const NOBODY: u32 = 65534;
    if !nix::unistd::Uid::effective().is_root() {
        println!("skipped: only root can run a command as another user");
        return;
    }
    let lab = Lab::up(3, Mode::InProcess);
    let open = |path: &std::path::Path| set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    open(lab.dir.path());
    // The one that was built may lie where nobody else comes.
    let program = lab.dir.path().join("consensusctl");
    copy(env!("CARGO_BIN_EXE_consensusctl"), &program).unwrap();
    open(&program);
    let run = |args: &[&str]| -> Ran {
        let mut command = Command::new(&program);
        command.args(args).uid(NOBODY).gid(NOBODY).current_dir("/");
        command.env("CONSENSUSCTL_STATE_DIR", lab.state_dir()).output().unwrap().into()
    };
    let commands = [&["status"][..], &["status", "--cluster", "lab"], &["cluster", "up", "--cluster", "lab"]];
    let list = &["cluster", "list"][..];
    // First nobody else may look into the directory of all clusters, then only into that of this one.
    for command in commands.iter().chain([&list]) {
        run(command).fails(5, &["state belongs to user root"]);
    }
    open(&lab.state_dir());
    for command in commands {
        run(command).fails(5, &["lab belongs to user root", "--state-dir"]);
    }
    let listed = run(list).ok();
    assert!(listed.stderr.contains("lab belongs to user root"), "{listed:#?}");
    run(&["cluster", "up", "--cluster", "mine"]).fails(1, &["state belongs to user root"]);
}

#[test]
fn a_cluster_that_runs_another_protocol_is_not_taken_for_the_one_that_is_wanted() {
    let lab = Lab::up(3, Mode::InProcess);
    let ran = lab.run(&["cluster", "up", "--protocol", "pbft", "--name", "lab"]);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            1,
            "error: the cluster lab runs raft, not pbft; nothing was changed\n\
             hint: another cluster needs another name: --name NAME\n"
        )
    );
    lab.run(&["kill", "2"]).ok();
    let again = lab.run(&["kill", "2"]).ok();
    assert_eq!(again.stderr, "node 2 was down already\n");
    let down = lab.run(&["cluster", "down", "--output", "json"]).ok().json();
    assert_eq!(
        (&down["name"], &down["was_up"], &down["wiped"]),
        (&"lab".into(), &true.into(), &false.into())
    );
}

#[test]
fn faults_are_open_to_the_network_only_where_the_file_says_so() {
    let lab = Lab::new(3, Mode::InProcess);
    let port = lab.ports[0];
    let file = format!("name = \"lab\"\nnodes = 3\nhost = \"0.0.0.0\"\nbase_port = {port}\n");
    std::fs::write(lab.config(), &file).unwrap();
    let refused = lab.start().fails(2, &["`faults_over_network = true`"]);
    let exposed = format!(
        "node 1 listens on 0.0.0.0:{port}, where other hosts reach it, and whoever reaches a supervised node can set \
         faults on it"
    );
    assert!(refused.stderr.starts_with(&format!("error: {exposed}\n")), "{refused:#?}");
    std::fs::write(lab.config(), file + "faults_over_network = true\n").unwrap();
    let up = lab.start().ok();
    assert!(up.stderr.contains(&format!("warning: {exposed}: use a network that you trust\n")), "{up:#?}");
}

#[test]
fn a_value_comes_from_a_file_or_standard_input_and_may_be_longer_than_an_argument() {
    let lab = Lab::up(3, Mode::InProcess);
    let value = vec![b'v'; 1 << 20];
    std::fs::write(lab.dir.path().join("value"), &value).unwrap();
    shell(&lab, "$0 kv put file @value && $0 kv put typed < value && $0 kv put handle @@me").ok();
    assert_eq!(lab.get("file").len(), value.len());
    assert_eq!(lab.get("typed").len(), value.len());
    assert_eq!(lab.get("handle"), "@me");
}
