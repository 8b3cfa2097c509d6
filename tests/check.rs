//! The checker against histories written by hand: what is wrong is found and the right operations are named, and what
//! only looks wrong passes. Each file says in its header what it shows.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

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
            Verdict::Violated(told) => wrong.push_str(&format!("{name}: {:?} {told}", told.rule)),
            other => wrong.push_str(&format!("{name}: {other:?}\n")),
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
