//! A laboratory for tests that run the real binary: a cluster of its own, on free ports, in a temporary directory.

// Each test file uses its part of this.
#![allow(dead_code, reason = "every test file compiles this module for itself and uses a part of it")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests stop at what they did not expect, and wait"
)]

use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use consensusctl::cluster::{FreePorts, free_ports};
use serde_json::Value;

/// How long anything may take before a test gives up on it: far more than a loaded small machine needs.
pub(crate) const GENEROUS: Duration = Duration::from_mins(1);

/// How a cluster's nodes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Processes,
    InProcess,
}

pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) name: String,
    pub(crate) ports: Vec<u16>,
    pub(crate) mode: Mode,
    /// The cluster's protocol, if it is not the default.
    pub(crate) protocol: Option<&'static str>,
    /// Keeps other tests from these ports.
    _reserved: FreePorts,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// The command failed with this code, and said all of these words.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "does not say {word:?}: {self:#?}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}: {self:#?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Lab {
    /// A laboratory with room for `nodes` nodes; nothing runs yet.
    pub(crate) fn new(nodes: usize, mode: Mode) -> Self {
        let dir = tempfile::Builder::new().prefix("cctl-test-").tempdir().unwrap();
        let reserved = free_ports(nodes as u16).unwrap();
        let ports = reserved.ports().collect();
        let name = "lab".to_owned();
        let lab = Self { dir, name, ports, mode, protocol: None, _reserved: reserved };
        lab.write_config("");
        lab
    }

    /// The same with another protocol.
    pub(crate) fn of(protocol: &'static str, nodes: usize, mode: Mode) -> Self {
        let mut lab = Self::new(nodes, mode);
        lab.protocol = Some(protocol);
        lab.write_config("");
        lab
    }

    /// A laboratory whose cluster runs.
    #[track_caller]
    pub(crate) fn up(nodes: usize, mode: Mode) -> Self {
        let lab = Self::new(nodes, mode);
        lab.start().ok();
        lab
    }

    /// Writes the configuration, with more lines for its end.
    pub(crate) fn write_config(&self, more: &str) {
        let mut text = format!("name = \"{}\"\n", self.name);
        if let Some(protocol) = self.protocol {
            writeln!(text, "protocol = \"{protocol}\"").unwrap();
        }
        for (position, port) in self.ports.iter().enumerate() {
            writeln!(text, "[[member]]\nid = {}\naddress = \"127.0.0.1:{port}\"", position + 1).unwrap();
        }
        std::fs::write(self.config(), text + more).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("lab.toml")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn node_dir(&self, id: u64) -> PathBuf {
        self.state_dir().join(&self.name).join(format!("node-{id}"))
    }

    pub(crate) fn address(&self, id: u64) -> String {
        format!("127.0.0.1:{}", self.ports[id as usize - 1])
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_consensusctl"));
        command.args(args).env("CONSENSUSCTL_STATE_DIR", self.state_dir()).env("NO_COLOR", "1");
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// The command line of `cluster up`, with `more` behind.
    pub(crate) fn up_args(&self, more: &[&str]) -> Vec<String> {
        let config = self.config();
        let mut args = vec!["cluster", "up", "--config", config.to_str().unwrap()];
        if self.mode == Mode::InProcess {
            args.push("--in-process");
        }
        args.extend(more);
        args.into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn start_with(&self, more: &[&str]) -> Ran {
        let args = self.up_args(more);
        self.run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn start(&self) -> Ran {
        self.start_with(&[])
    }

    pub(crate) fn status(&self) -> Value {
        self.run(&["status", "--output", "json"]).ok().json()
    }

    #[track_caller]
    pub(crate) fn put(&self, key: &str, value: &str) {
        self.run(&["kv", "put", key, value, "--timeout", "30s"]).ok();
    }

    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> String {
        self.run(&["kv", "get", key, "--timeout", "30s"]).ok().stdout.trim_end().to_owned()
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, condition: &str) {
        self.run(&["wait", "--until", condition, "--timeout", "60s"]).ok();
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        let status = self.status();
        let nodes = status["nodes"].as_array().unwrap();
        nodes.iter().filter_map(|node| node["pid"].as_u64()).map(|pid| pid as u32).collect()
    }

    /// All processes that belong to this laboratory.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let marker = self.dir.path().to_string_lossy().into_owned();
        let output = Command::new("ps").args(["-A", "-o", "pid=,stat=,args="]).output().unwrap();
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        let ours = listing.lines().filter(|line| line.contains("consensusctl") && line.contains(&marker));
        let running = ours.filter(|line| !line.split_whitespace().nth(1).unwrap_or("").starts_with('Z'));
        running.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.run(&["cluster", "down", "--wipe"]);
        for pid in self.processes() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    }
}

/// Waits for a condition, generously.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < GENEROUS {
        if let Some(value) = condition() {
            return value;
        }
        std::thread::yield_now();
    }
    panic!("waited {GENEROUS:?} in vain until {what}");
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
}

/// The files below a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// A child process that does not outlive the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway that runs.
pub(crate) struct Gateway {
    process: Running,
    pub(crate) address: String,
    /// What it said when it began to listen.
    pub(crate) said: Value,
}

impl Gateway {
    /// Starts one on a free port, with more options, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(lab: &Lab, more: &[&str]) -> Self {
        let args = [&["gateway", "--output", "json", "--listen", "127.0.0.1:0"], more].concat();
        let child = lab.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut process = Running(child);
        let mut line = String::new();
        BufReader::new(process.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        Self { process, address: said["address"].as_str().unwrap().to_owned(), said }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Sends it a signal, waits for its end, and answers its exit code.
    pub(crate) fn end(mut self, with: &str) -> i32 {
        signal(self.pid(), with);
        self.process.0.wait().unwrap().code().unwrap()
    }
}

/// A node that was started by hand, with its data under the laboratory's directory and its log beside it.
pub(crate) struct Node {
    process: Running,
}

impl Node {
    /// Starts member `id` of the cluster of `config`, with more options, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(lab: &Lab, id: u64, config: &Path, data_dir: &Path, more: &[&str]) -> Self {
        let id = id.to_string();
        let paths = [config.to_str().unwrap(), data_dir.to_str().unwrap()];
        let args = [&["node", "--id", &id, "--config", paths[0], "--data-dir", paths[1]], more].concat();
        let log = std::fs::File::create(data_dir.with_extension("log")).unwrap();
        let child = lab.command(&args).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut process = Running(child);
        let mut line = String::new();
        BufReader::new(process.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("listens on"), "node {id} does not listen: {line:?}");
        Self { process }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }
}
