//! `consensusctl test`: what it prints, what it leaves behind, and that a failure can be understood. The scenarios
//! themselves are run by `consensusctl test all`.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use consensusctl::cluster::ErrorKind;
use consensusctl::registry;
use consensusctl::scenario::{self, Ended, Failure, Outcome, Scenario, Setup};
use support::{Ran, Running, eventually, signal};
use tokio::sync::watch;

/// The program, with a place of its own for temporary files, so that what it leaves can be seen.
fn command(temp: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consensusctl"));
    command.args(args).env("TMPDIR", temp).env("NO_COLOR", "1").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(temp: &Path, args: &[&str]) -> Ran {
    command(temp, args).output().unwrap().into()
}

/// The directories of scenarios.
fn stages(temp: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(temp).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("consensusctl-test-")).collect()
}

/// Command lines that name a directory.
fn processes(dir: &Path) -> Vec<String> {
    let output = Command::new("ps").args(["-A", "-o", "args="]).output().unwrap();
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    listing.lines().filter(|line| line.contains(dir.to_str().unwrap())).map(str::to_owned).collect()
}

#[track_caller]
fn assert_nothing_is_left(temp: &Path) {
    assert_eq!(stages(temp), Vec::<PathBuf>::new());
    assert_eq!(processes(temp), Vec::<String>::new());
}

#[test]
fn the_list_names_every_scenario() {
    let temp = tempfile::tempdir().unwrap();
    let listed = run(temp.path(), &["test", "list", "--output", "json"]).ok().json();
    let listed: Vec<&str> =
        listed.as_array().unwrap().iter().map(|one| one["scenario"].as_str().unwrap()).collect();
    for known in ["election/failover", "replication/wal-persistence", "chaos/network-partition"] {
        assert!(listed.contains(&known), "{known} is not in {listed:?}");
    }
    run(temp.path(), &["test", "chaos/weather"]).fails(2, &["chaos/weather", "election, replication, chaos"]);
    run(temp.path(), &["test", "all", "--protocol", "paxos"]).fails(2, &["unknown protocol paxos", "raft"]);
}

#[test]
fn a_scenario_passes_and_leaves_nothing_but_the_history_that_was_asked_for() {
    let temp = tempfile::tempdir().unwrap();
    let histories = temp.path().join("histories");
    let histories = histories.to_str().unwrap();
    let args = [
        "test",
        "election/leader-election",
        "--protocol",
        "raft",
        "--in-process",
        "--seed",
        "5",
        "--history",
    ];
    let passed = run(temp.path(), &[&args[..], &[histories]].concat()).ok();
    let lines: Vec<&str> = passed.stdout.lines().collect();
    assert!(lines[0].starts_with("passed   raft election/leader-election"), "{passed:#?}");
    assert_eq!(lines[1..], ["1 passed, 0 failed"]);
    let history = format!("{histories}/raft-election-leader-election.jsonl");
    run(temp.path(), &["check", &history]).ok();
    assert!(fs::read_to_string(&history).unwrap().contains("--seed 5"));
    assert_nothing_is_left(temp.path());
}

#[test]
fn ctrl_c_ends_everything() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = command(temp.path(), &["test", "replication", "--protocol", "raft"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut child = Running(child);
    eventually("nodes run", || {
        let nodes = processes(temp.path()).iter().filter(|line| line.contains(" node ")).count();
        (nodes == 5).then_some(())
    });
    signal(child.0.id(), "INT");
    assert_eq!(child.0.wait().unwrap().code(), Some(1));
    assert_nothing_is_left(temp.path());
}

/// A story in which something goes wrong that no cluster can help.
static RIGGED: Scenario = Scenario {
    suite: "rigged",
    name: "to-fail",
    shows: "what a failure looks like",
    faults: 1,
    spare_nodes: 0,
    settings: &[],
    liars: None,
    story: |stage| {
        Box::pin(async move {
            stage.acknowledged(20).await?;
            stage.kill(&[1]).await?;
            Err(Failure::new("pigs fly", "they do not"))
        })
    },
};

fn setup(program: &str) -> Setup {
    Setup { in_process: false, program: program.into(), keep: false, histories: None, seed: 1, log: None }
}

#[tokio::test]
async fn a_scenario_that_fails_keeps_what_it_takes_to_understand_it() {
    let (_interrupt, interrupted) = watch::channel(false);
    let setup = setup(env!("CARGO_BIN_EXE_consensusctl"));
    let report = Box::pin(scenario::run(&RIGGED, registry::default_protocol(), &setup, interrupted, |_| {}))
        .await
        .unwrap();
    assert_eq!(report.outcome(), Outcome::Failed);
    let (trouble, kept) = (report.trouble(), report.directory.clone().unwrap());
    for words in
        ["expected: pigs fly", "found:    they do not", "node 1: stopped", "node-2.log", "check it: "]
    {
        assert!(trouble.contains(words), "does not say {words:?}:\n{trouble}");
    }
    run(&kept, &["check", report.history.unwrap().to_str().unwrap()]).ok();
    assert!(kept.join("to-fail").join("node-1.log").exists());
    assert_eq!(processes(&kept), Vec::<String>::new());
    fs::remove_dir_all(kept).unwrap();
}

#[tokio::test]
async fn a_cluster_that_does_not_come_up_is_no_verdict() {
    let (_interrupt, interrupted) = watch::channel(false);
    let ended = Box::pin(scenario::run(
        &RIGGED,
        registry::default_protocol(),
        &setup("/there/is/no/such/program"),
        interrupted,
        |_| {},
    ))
    .await;
    let Err(Ended::Broken(error)) = ended else { panic!("{ended:?}") };
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.message.contains("/there/is/no/such/program"), "{error}");
    let hint = error.hint.unwrap();
    fs::remove_dir_all(hint.strip_prefix("what it left is in ").unwrap()).unwrap();
}
