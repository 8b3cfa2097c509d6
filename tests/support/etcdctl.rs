//! A session of `etcdctl`, etcd's own command line, with a cluster.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Whether `etcdctl` is there; says so if not, and how to get it.
pub(crate) fn is_installed() -> bool {
    let found = Command::new("etcdctl").arg("version").output().is_ok();
    if !found {
        println!("skipped: etcdctl is not installed (Debian and Ubuntu: apt-get install etcd-client)");
    }
    found
}

/// What a command printed.
struct Printed {
    ok: bool,
    out: String,
    err: String,
}

/// Runs `etcdctl`, each command with the next of the endpoints: any node must do.
struct Session<'a> {
    endpoints: &'a [String],
    commands: usize,
}

impl Session<'_> {
    fn run(&mut self, args: &[&str], input: &str) -> Printed {
        let endpoint = &self.endpoints[self.commands % self.endpoints.len()];
        self.commands += 1;
        Self::run_at(endpoint, args, input)
    }

    fn run_at(endpoint: &str, args: &[&str], input: &str) -> Printed {
        let mut child = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", endpoint])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        Printed {
            ok: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A command that must succeed and print this.
    #[track_caller]
    fn prints(&mut self, args: &[&str], expected: &str) {
        let printed = self.run(args, "");
        assert!(printed.ok, "etcdctl {args:?}: {}", printed.err);
        assert_eq!(printed.out, expected, "etcdctl {args:?}");
    }

    /// A command that must succeed and print JSON.
    #[track_caller]
    fn json(&mut self, args: &[&str]) -> Value {
        let printed = self.run(&[args, &["-w", "json"]].concat(), "");
        assert!(printed.ok, "etcdctl {args:?}: {}", printed.err);
        serde_json::from_str(&printed.out).unwrap()
    }

    /// A command that must be refused with these words.
    #[track_caller]
    fn refused(&mut self, args: &[&str], words: &str) {
        let printed = self.run(args, "");
        assert!(!printed.ok, "etcdctl {args:?} printed {}", printed.out);
        assert!(printed.err.contains(words), "etcdctl {args:?}: {}", printed.err);
    }

    /// A transaction in the form that `etcdctl txn` reads.
    #[track_caller]
    fn txn(&mut self, input: &str, expected: &str) {
        let printed = self.run(&["txn"], input);
        assert!(printed.ok, "{input}: {}", printed.err);
        assert_eq!(printed.out, expected, "{input}");
    }

    fn revision(&mut self) -> i64 {
        self.json(&["get", "e/"])["header"]["revision"].as_i64().unwrap()
    }
}

/// Goes through what `etcdctl` can do with a cluster. Uses keys that begin with `e/`, of which there must be none, and
/// compacts the history. What is expected is what etcd 3.4.23 prints.
pub(crate) fn session(endpoints: &[String]) {
    whole(endpoints, information);
}

/// The same through a gateway, which is asked for everything.
pub(crate) fn session_through(gateway: &str) {
    whole(&[gateway.to_owned()], information_of_a_gateway);
}

fn whole(endpoints: &[String], information: fn(&mut Session<'_>)) {
    let mut etcdctl = Session { endpoints, commands: 0 };
    reads_and_writes(&mut etcdctl);
    transactions(&mut etcdctl);
    history(&mut etcdctl);
    refusals(&mut etcdctl);
    are_healthy(&etcdctl);
    information(&mut etcdctl);
    etcdctl.prints(&["alarm", "list"], "");
    etcdctl.prints(&["del", "--prefix", "e/"], "3\n");
}

fn reads_and_writes(etcdctl: &mut Session<'_>) {
    for (key, value) in [("e/a", "1"), ("e/b", "2"), ("e/c", "3"), ("e/d", "0")] {
        etcdctl.prints(&["put", key, value], "OK\n");
    }
    etcdctl.prints(&["put", "--prev-kv", "e/d", "4"], "OK\ne/d\n0\n");
    etcdctl.prints(&["put", "--ignore-value", "e/d"], "OK\n");
    etcdctl.prints(&["get", "e/a"], "e/a\n1\n");
    etcdctl.prints(&["get", "e/none"], "");
    etcdctl.prints(&["get", "--print-value-only", "e/d"], "4\n");
    etcdctl.prints(&["get", "--consistency=s", "e/a"], "e/a\n1\n");
    etcdctl.prints(&["get", "e/a", "e/c"], "e/a\n1\ne/b\n2\n");
    etcdctl.prints(&["get", "--prefix", "--limit=2", "e/"], "e/a\n1\ne/b\n2\n");
    etcdctl.prints(&["get", "--from-key", "--limit=1", "e/c"], "e/c\n3\n");
    etcdctl
        .prints(&["get", "--prefix", "--keys-only", "e/", "--order=DESCEND"], "e/d\n\ne/c\n\ne/b\n\ne/a\n\n");
    etcdctl
        .prints(&["get", "--prefix", "e/", "--sort-by=VERSION", "--order=DESCEND", "--limit=1"], "e/d\n4\n");
    etcdctl.prints(&["get", "--prefix", "e/", "--sort-by=VALUE", "--order=ASCEND", "--limit=1"], "e/a\n1\n");
    etcdctl
        .prints(&["get", "--prefix", "e/", "--sort-by=CREATE", "--order=DESCEND", "--limit=1"], "e/d\n4\n");
    let range = etcdctl.json(&["get", "--prefix", "e/", "--limit=3"]);
    assert_eq!((&range["count"], &range["more"]), (&4.into(), &true.into()), "{range}");
    etcdctl.prints(&["del", "e/none"], "0\n");
    etcdctl.prints(&["del", "--prev-kv", "e/d"], "1\ne/d\n4\n");
}

fn transactions(etcdctl: &mut Session<'_>) {
    let swap = "value(\"e/a\") = \"1\"\nversion(\"e/none\") = \"0\"\n\nput e/a 5\nget e/a\ndel e/none\n\nget e/b\n\n";
    etcdctl.txn(swap, "SUCCESS\n\nOK\n\ne/a\n5\n\n0\n");
    etcdctl.txn(swap, "FAILURE\n\ne/b\n2\n");
    etcdctl.txn("mod(\"e/a\") > \"1\"\ncreate(\"e/a\") < \"1\"\n\n\nget e/c\n\n", "FAILURE\n\ne/c\n3\n");
    let twice = etcdctl.run(&["txn"], "\nput e/a 1\nput e/a 2\n\n\n");
    assert!(!twice.ok && twice.err.contains("duplicate key given in txn request"), "{}", twice.err);
    let overlap = etcdctl.run(&["txn"], "\ndel --prefix e/\nput e/a 2\n\n\n");
    assert!(!overlap.ok && overlap.err.contains("duplicate key given in txn request"), "{}", overlap.err);
}

fn history(etcdctl: &mut Session<'_>) {
    let before = etcdctl.revision();
    etcdctl.prints(&["put", "e/a", "6"], "OK\n");
    etcdctl.prints(&["get", "--rev", &before.to_string(), "e/a"], "e/a\n5\n");
    let now = (before + 1).to_string();
    etcdctl.refused(
        &["get", "--rev", &(before + 9).to_string(), "e/a"],
        "required revision is a future revision",
    );
    etcdctl.refused(&["compaction", &(before + 9).to_string()], "required revision is a future revision");
    etcdctl.prints(&["compaction", &now], &format!("compacted revision {now}\n"));
    etcdctl.refused(&["compaction", &now], "required revision has been compacted");
    etcdctl.refused(&["get", "--rev", &before.to_string(), "e/a"], "required revision has been compacted");
    etcdctl.prints(&["get", "--rev", &now, "e/a"], "e/a\n6\n");
    assert_eq!(etcdctl.revision(), before + 1, "reads and refusals leave the revision");
}

fn refusals(etcdctl: &mut Session<'_>) {
    etcdctl.refused(&["put", "", "x"], "etcdserver: key is not provided");
    etcdctl.refused(&["put", "--lease=1234", "e/a", "x"], "etcdserver: requested lease not found");
    etcdctl.refused(&["put", "--ignore-value", "e/none"], "etcdserver: key not found");
    let large = etcdctl.run(&["put", "e/large"], &"x".repeat(1_700_000));
    assert!(!large.ok && large.err.contains("etcdserver: request is too large"), "{}", large.err);
}

fn are_healthy(etcdctl: &Session<'_>) {
    for endpoint in etcdctl.endpoints {
        let health = Session::run_at(endpoint, &["endpoint", "health"], "");
        let said = health.out + &health.err;
        assert!(health.ok && said.contains("is healthy"), "{endpoint}: {said}");
    }
}

fn information(etcdctl: &mut Session<'_>) {
    let status = Session::run_at(&etcdctl.endpoints.join(","), &["endpoint", "status", "-w", "json"], "");
    let statuses: Vec<Value> = serde_json::from_str(&status.out).unwrap();
    assert_eq!(statuses.len(), etcdctl.endpoints.len(), "{}", status.out);
    for status in statuses {
        assert!(status["Status"]["leader"].as_u64().is_some_and(|leader| leader > 0), "{status}");
        assert!(status["Status"]["dbSize"].as_u64().is_some_and(|size| size > 0), "{status}");
        assert!(status["Status"]["raftTerm"].as_u64().is_some_and(|term| term > 0), "{status}");
    }
    let first = format!("http://{}", etcdctl.endpoints[0]);
    for (args, answers) in
        [(&["endpoint", "status"][..], 1), (&["endpoint", "status", "--cluster"], etcdctl.endpoints.len())]
    {
        let printed = Session::run_at(&first, args, "");
        assert!(printed.ok, "{args:?} at {first}: {}", printed.err);
        assert_eq!(printed.out.lines().count(), answers, "{args:?} at {first}: {}", printed.out);
    }
    let members = etcdctl.json(&["member", "list"]);
    let urls: Vec<&str> = members["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["clientURLs"][0].as_str().unwrap().trim_start_matches("http://"))
        .collect();
    assert!(etcdctl.endpoints.iter().all(|endpoint| urls.contains(&endpoint.as_str())), "{members}");
}

/// A gateway says what it believes, and leads nobody around it.
fn information_of_a_gateway(etcdctl: &mut Session<'_>) {
    let revision = etcdctl.revision();
    let status = Session::run_at(&etcdctl.endpoints[0], &["endpoint", "status", "-w", "json"], "");
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(status[0]["Status"]["header"]["revision"], revision, "{status}");
    assert!(status[0]["Status"]["errors"].is_null(), "{status}");
    assert_eq!(status[0]["Status"]["leader"], status[0]["Status"]["header"]["member_id"], "{status}");
    let members = etcdctl.json(&["member", "list"]);
    let members = members["members"].as_array().unwrap();
    let urls: Vec<&Value> =
        members.iter().map(|member| &member["clientURLs"]).filter(|urls| !urls.is_null()).collect();
    assert_eq!(urls, [&serde_json::json!([format!("http://{}", etcdctl.endpoints[0])])], "{members:?}");
    assert!(members.iter().filter(|member| !member["peerURLs"][0].is_null()).count() >= 3, "{members:?}");
}
