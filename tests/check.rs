//! The checker against histories written by hand: what is wrong is found and the right operations are named, and what
//! only looks wrong passes. Each file says in its header what it shows.

#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Command;

use consensusctl::check::{History, Limits, Rule, Verdict, check};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/histories")
}

fn verdict(name: &str) -> Verdict {
    let path = folder().join(format!("{name}.jsonl"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let history = History::read(BufReader::new(file)).unwrap_or_else(|error| panic!("{name}: {error}"));
    check(&history, &Limits::steps(100_000))
}

/// Each bad history, the promise that it breaks, and the operations that the explanation must name, by line.
const BAD: &[(&str, Rule, &[usize])] = &[
    ("bad-stale-read", Rule::RealTime, &[4, 3]),
    ("bad-lost-write", Rule::WrongReply, &[4, 3, 2]),
    ("bad-lost-write-revision-reused", Rule::OneWritePerRevision, &[5, 3]),
    ("bad-duplicated-write", Rule::ExactlyOnce, &[4, 3]),
    ("bad-duplicated-write-version", Rule::WrongReply, &[4, 3]),
    ("bad-reordered-transactions", Rule::RealTime, &[3, 2]),
    ("bad-read-from-the-future", Rule::FromTheFuture, &[2, 3]),
    ("bad-read-shows-later-revision", Rule::FromTheFuture, &[4, 2, 3]),
    ("bad-cas-succeeds-twice", Rule::WrongReply, &[4, 3]),
    ("bad-cas-fails-for-nothing", Rule::WrongReply, &[3, 2]),
    ("bad-serializable-read-of-nothing-that-was", Rule::WrongReply, &[4, 2]),
    ("bad-serializable-read-from-the-future", Rule::FromTheFuture, &[3, 4]),
    ("bad-revision-goes-back", Rule::RealTime, &[5, 4]),
    ("bad-deleted-key-resurrected", Rule::WrongReply, &[4, 3, 2]),
    ("bad-session-retry-executed-twice", Rule::ExactlyOnce, &[3, 2]),
    ("bad-refused-write-executed", Rule::UnexplainedRevision, &[4, 3]),
    ("bad-unknown-write-seen-twice", Rule::UnexplainedRevision, &[4, 2]),
    ("bad-unknown-write-seen-before-its-call", Rule::UnexplainedRevision, &[2, 3]),
    ("bad-read-below-compaction", Rule::Compaction, &[5, 4]),
    ("bad-compacted-by-nobody", Rule::Compaction, &[3]),
    ("bad-wrong-error", Rule::WrongReply, &[3]),
    ("bad-transaction-torn", Rule::WrongReply, &[3, 2]),
    ("bad-register-stale-read", Rule::NoOrder, &[4, 3]),
];

#[test]
fn bad_histories_are_found_and_explained_by_the_right_operations() {
    let mut wrong = String::new();
    for &(name, rule, lines) in BAD {
        match verdict(name) {
            Verdict::Violated(told) if (told.rule, &told.lines[..]) == (rule, lines) => {}
            Verdict::Violated(told) => {
                let _ = write!(wrong, "{name}: {:?} {told}", told.rule);
            }
            other => {
                let _ = writeln!(wrong, "{name}: {other:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn good_histories_that_look_wrong_pass() {
    for name in names().iter().filter(|name| name.starts_with("good-")) {
        let verdict = verdict(name);
        assert!(matches!(verdict, Verdict::Passed(_)), "{name}: {verdict:?}");
    }
}

#[test]
fn every_history_in_the_folder_is_judged() {
    let listed: Vec<&str> = BAD.iter().map(|(name, ..)| *name).collect();
    for name in names() {
        assert!(name.starts_with("good-") || listed.contains(&&name[..]), "{name} is in no test");
    }
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".jsonl").to_owned())
        .collect();
    names.sort();
    names
}

/// Runs the command as a user would, and returns its exit code, its facts and its talk.
fn run(files: &[PathBuf], more: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consensusctl"));
    let output = command.arg("check").args(files).args(more).env("NO_COLOR", "1").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn command(names: &[&str], json: bool, time: &str) -> (i32, String) {
    let files: Vec<_> = names.iter().map(|name| folder().join(format!("{name}.jsonl"))).collect();
    let format = if json { "json" } else { "table" };
    let (exit, printed, _) = run(&files, &["--time", time, "--output", format]);
    (exit, printed)
}

#[test]
fn the_command_prints_a_verdict_for_each_file_and_exits_with_the_worst() {
    let (exit, printed) = command(&["good-register", "bad-stale-read"], false, "60s");
    assert_eq!(exit, 3);
    assert!(printed.contains("good-register.jsonl: passed"), "{printed}");
    assert!(printed.contains("bad-stale-read.jsonl: violated"), "{printed}");
    assert!(printed.contains("line 4: client 2 at node 3, 0.000040 s to 0.000050 s: get \"x\""), "{printed}");
    assert_eq!(command(&["good-register"], false, "60s").0, 0);
}

#[test]
fn the_command_prints_one_json_object_a_line() {
    let (exit, printed) = command(&["good-register", "bad-stale-read"], true, "60s");
    assert_eq!(exit, 3);
    let reports: Vec<serde_json::Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(reports[0]["verdict"], "passed");
    assert_eq!(reports[1]["explanation"]["rule"], "real-time");
    assert_eq!(reports[1]["explanation"]["lines"], serde_json::json!([4, 3]));
}

#[test]
fn a_file_that_is_no_history_is_a_usage_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{\"history\":\"something else\",\"version\":1}\n").unwrap();
    let (exit, _, talk) = run(&[file.path().to_owned()], &[]);
    assert_eq!(exit, 2);
    assert!(talk.contains("line 1, column 1: this is not a history"), "{talk}");
}
