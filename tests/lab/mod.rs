//! Runs the real binary on a cluster of its own: free ports, a state directory in a temporary place, and nothing left
//! behind, however the test ends.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use consensusctl::cluster::{FreePorts, free_ports};
use serde_json::Value;

/// A place for one cluster.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
    ports: FreePorts,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), ports: free_ports(5).unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn first_port(&self) -> u16 {
        self.ports.first()
    }

    /// The program with arguments, about to be started.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_consensusctl"));
        command
            .args(args)
            .env("CONSENSUSCTL_STATE_DIR", self.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs the program, which must succeed; answers its standard output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program, which must end with this exit code; answers its standard error.
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {talk}");
        talk
    }

    /// Arguments of `cluster up` on this lab's ports.
    pub(crate) fn up_args<'a>(&self, more: &[&'a str]) -> Vec<String> {
        let port = self.first_port().to_string();
        let args = ["cluster", "up", "--port", &port].map(str::to_owned);
        args.into_iter().chain(more.iter().map(|arg: &&'a str| (*arg).to_owned())).collect()
    }

    /// Brings the cluster up.
    pub(crate) fn up(&self, more: &[&str]) -> String {
        let args = self.up_args(more);
        self.ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `status --output json`.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--output", "json"])).unwrap()
    }

    /// The supervisor's pid.
    pub(crate) fn supervisor(&self) -> u64 {
        let list: Value = serde_json::from_str(&self.ok(&["cluster", "list", "--output", "json"])).unwrap();
        list[0]["supervisor"].as_u64().unwrap()
    }

    /// The nodes' pids.
    pub(crate) fn pids(&self) -> Vec<u64> {
        let status = self.status();
        status["nodes"].as_array().unwrap().iter().filter_map(|node| node["pid"].as_u64()).collect()
    }

    /// Command lines of processes that belong to this lab.
    #[cfg(target_os = "linux")]
    pub(crate) fn processes(&self) -> Vec<String> {
        let here = self.path().to_str().unwrap();
        let entries = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            // A zombie has no command line.
            let line = fs::read_to_string(entry.ok()?.path().join("cmdline")).ok()?;
            line.contains(here).then(|| line.replace('\0', " "))
        });
        entries.collect()
    }

    /// That a cluster that is down has left no process, socket or lock.
    pub(crate) fn assert_nothing_runs(&self) {
        #[cfg(target_os = "linux")]
        assert_eq!(self.processes(), Vec::<String>::new());
        for name in ["supervisor.lock", "supervisor.sock", "children.json"] {
            assert!(!self.path().join("raft").join(name).exists(), "{name} is left");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.run(&["cluster", "down"]);
    }
}

/// Sends a signal by `kill`, as a user would.
pub(crate) fn signal(pid: u64, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}
