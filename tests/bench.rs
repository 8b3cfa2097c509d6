//! `consensusctl bench`: what it prints, that its figures hang together, and what it leaves behind. What the figures are
//! is no test's business.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;
use serde_json::Value;
use support::{Lab, Mode, Ran, Running, eventually, signal};

/// Short, and of few callers.
const BRIEF: &[&str] = &["--seconds", "0.5", "--warm-up", "0.1", "--concurrency", "4", "--output", "json"];

/// The program, with a place of its own for temporary files, so that what it leaves can be seen.
fn command(temp: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consensusctl"));
    command.args(args).env("TMPDIR", temp).env("CONSENSUSCTL_STATE_DIR", temp.join("state"));
    command.env("NO_COLOR", "1").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(temp: &Path, args: &[&str]) -> Ran {
    command(temp, args).output().unwrap().into()
}

#[track_caller]
fn assert_nothing_is_left(temp: &Path) {
    let names = fs::read_dir(temp).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("bench")).collect::<Vec<_>>(), Vec::<String>::new());
    let listing = Command::new("ps").args(["-A", "-o", "args="]).output().unwrap();
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    assert!(!listing.lines().any(|line| line.contains(temp.to_str().unwrap())), "{listing}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[track_caller]
fn assert_sound(one: &Value) {
    assert!(one["commands"].as_u64().unwrap() > 0 && number(&one["per_second"]) > 0.0, "{one:#}");
    let latency = ["p50", "p90", "p99", "p99_9", "max"].map(|at| number(&one["latency_ms"][at]));
    assert!(latency[0] > 0.0 && latency.is_sorted(), "{one:#}");
    for kind in ["refused", "unknown", "unreachable"] {
        assert!(one["errors"][kind].is_u64(), "{one:#}");
    }
}

#[test]
fn two_protocols_are_measured_side_by_side() {
    let temp = tempfile::tempdir().unwrap();
    let plot = temp.path().join("put.svg");
    let args = ["bench", "put", "--protocol", "raft,pbft", "--in-process", "--rounds", "2"];
    let more = ["--fault", "none,one", "--plot", plot.to_str().unwrap()];
    let results = run(temp.path(), &[&args[..], &more, BRIEF].concat()).ok().json();

    let measurements = results["measurements"].as_array().unwrap();
    let of = |one: &Value| format!("{} {} {}", one["round"], one["protocol"], one["fault"]).replace('"', "");
    let order = ["1 raft none", "1 raft one", "1 pbft none", "1 pbft one", "2 pbft none", "2 pbft one"];
    assert_eq!(measurements.iter().map(of).collect::<Vec<_>>()[..6], order);
    assert_eq!(measurements.len(), 8);
    for one in measurements {
        assert_sound(one);
        let (cost, signs) = (|what: &str| number(&one["per_command"][what]), one["protocol"] == "pbft");
        for what in ["fsyncs", "messages", "message_bytes", "wal_bytes"] {
            assert!(cost(what) > 0.0, "{what}: {one:#}");
        }
        assert_eq!(cost("signatures") > 0.0, signs, "{one:#}");
        assert_eq!(cost("verifications") > 0.0, signs, "{one:#}");
    }
    assert_eq!(results["summary"].as_array().unwrap().len(), 4);
    let ratios = results["ratios"].as_array().unwrap();
    assert_eq!(ratios.len(), 2);
    for ratio in ratios {
        assert_eq!((&ratio["protocol"], &ratio["to"]), (&"pbft".into(), &"raft".into()));
        let spread = ["min", "median", "max"].map(|at| number(&ratio["per_second"][at]));
        assert!(spread[0] > 0.0 && spread.is_sorted(), "{ratio:#}");
    }
    assert!(fs::read_to_string(plot).unwrap().contains("pbft, one node down"));
    assert_nothing_is_left(temp.path());
}

#[test]
fn the_protocols_own_clients_can_be_measured_too() {
    let temp = tempfile::tempdir().unwrap();
    let args =
        ["bench", "get", "--protocol", "raft,pbft", "--in-process", "--rounds", "1", "--api", "client"];
    let results = run(temp.path(), &[&args[..], &["--keys", "20"], BRIEF].concat()).ok().json();
    results["measurements"].as_array().unwrap().iter().for_each(assert_sound);
    assert_eq!(results["load"]["api"], "client");
}

#[test]
fn a_cluster_that_runs_is_measured_as_it_is() {
    let lab = Lab::up(3, Mode::InProcess);
    let of = |args: &[&str]| lab.run(&[&["bench"], args, BRIEF].concat()).ok().json();
    let found = of(&["put"]);
    let [one] = &found["measurements"].as_array().unwrap()[..] else { panic!("{found:#}") };
    assert_sound(one);
    assert_eq!((&one["protocol"], &one["nodes"]), (&"raft".into(), &3.into()));

    let endpoint = format!("127.0.0.1:{}", lab.ports[1]);
    let found = of(&["get", "--serializable", "--endpoints", &endpoint, "--keys", "10"]);
    let one = &found["measurements"][0];
    assert_sound(one);
    assert!(number(&one["per_command"]["fsyncs"]) < 0.5, "a read takes no fsync: {one:#}");
    lab.run(&["bench", "put", "--cluster", "lab", "--protocol", "raft"]).fails(2, &["--cluster"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], words: &[&str]| {
        run(temp.path(), &[&["bench", "put"], args].concat()).fails(2, words);
    };
    let own = |more: &[&'static str]| [&["--protocol", "raft,pbft"], more].concat();
    refused(&["--concurrency", "0"], &["nobody would call"]);
    refused(&["--concurrency", "1000000"], &["at most"]);
    refused(&["--seconds", "0"], &["no time"]);
    refused(&["--seconds", "soon"], &["not a number of seconds"]);
    refused(&["--value-size", "2000000"], &["at most 1048576"]);
    refused(&["--keys", "0"], &["--keys"]);
    refused(&["--connections", "9", "--concurrency", "8"], &["only 8 callers", "hint: "]);
    refused(&["--protocol", "raft,paxos"], &["unknown protocol paxos; known are raft, pbft"]);
    refused(&["--protocol", "raft", "--endpoints", "127.0.0.1:1"], &["cannot be used with"]);
    refused(&["--fault", "one"], &["--protocol"]);
    refused(&own(&["--fault", "two"]), &["possible values: none, one"]);
    refused(&own(&["--fault", "one", "--nodes", "3"]), &["pbft", "it takes 4 for one", "hint: "]);
    refused(&own(&["--api", "client", "--connections", "40"]), &["remember 32 clients", "hint: "]);
    refused(&own(&["--plot", "/there/is/nothing/put.svg"]), &["there is no directory"]);
    refused(&["--endpoints", "nowhere"], &["host:port"]);

    let free = consensusctl::cluster::free_ports(1).unwrap();
    let nobody = format!("127.0.0.1:{}", free.first());
    run(temp.path(), &["bench", "put", "--endpoints", &nobody]).fails(5, &["no node answers", "hint: "]);
    run(temp.path(), &["bench", "get"]).fails(5, &["no cluster runs", "--protocol raft,pbft"]);
}

#[test]
fn ctrl_c_prints_what_there_is_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let args = ["bench", "put", "--protocol", "raft", "--in-process", "--rounds", "1000", "--nodes", "1"];
    let mut command = command(temp.path(), &[&args[..], BRIEF].concat());
    let mut child = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    // The second cluster comes once the first was measured.
    let mut seen = std::collections::BTreeSet::new();
    eventually("a second cluster is measured", || {
        let entries = fs::read_dir(temp.path()).unwrap().flatten().map(|entry| entry.file_name());
        seen.extend(entries.filter(|name| name.to_string_lossy().contains("consensusctl-bench-")));
        (seen.len() > 1).then_some(())
    });
    signal(child.0.id(), "INT");
    let ended = child.0.wait().unwrap();
    let (mut stdout, mut stderr) = (String::new(), String::new());
    std::io::Read::read_to_string(child.0.stdout.as_mut().unwrap(), &mut stdout).unwrap();
    std::io::Read::read_to_string(child.0.stderr.as_mut().unwrap(), &mut stderr).unwrap();
    assert_eq!(ended.code(), Some(1), "{stderr}");
    assert!(stderr.contains("of 1000 measurements"), "{stderr}");
    let results: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(results["interrupted"], true);
    assert_sound(&results["measurements"][0]);
    assert_nothing_is_left(temp.path());
}

/// The document's figures are those that its commands print, so the commands must be ones that there are.
#[test]
fn the_documents_commands_make_sense() {
    let text = fs::read_to_string("docs/raft-vs-pbft.md").unwrap();
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert_eq!(commands.len(), 3, "one for each table of figures: {commands:?}");
    for command in commands {
        let parsed = consensusctl::cli::Cli::try_parse_from(command.split_whitespace());
        assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
    }
}
