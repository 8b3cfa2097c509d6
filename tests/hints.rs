//! A hint that names a command can be pasted: it is understood, and means the cluster that the message was about.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::{Lab, Mode, Ran};

/// A laboratory whose state directory is given on the command line and only there, under a name that a shell would take
/// for two.
struct Elsewhere {
    lab: Lab,
}

impl Elsewhere {
    fn new() -> Self {
        Self { lab: Lab::of("pbft", 4, Mode::InProcess) }
    }

    fn state(&self) -> PathBuf {
        self.lab.dir.path().join("my clusters")
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.env_remove("CONSENSUSCTL_STATE_DIR").env_remove("XDG_STATE_HOME");
        command.env("HOME", self.lab.dir.path().join("home")).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.prepared(Command::new(env!("CARGO_BIN_EXE_consensusctl")));
        command.args(args).arg("--state-dir").arg(self.state()).output().unwrap().into()
    }

    /// Fails, and answers the commands that the hint names.
    #[track_caller]
    fn hints(&self, code: i32, args: &[&str]) -> Vec<String> {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:#?}");
        let hint = ran.stderr.lines().find_map(|line| line.strip_prefix("hint: "));
        let parts = hint.unwrap_or_else(|| panic!("no hint: {ran:#?}")).split("consensusctl ").skip(1);
        let mut commands: Vec<String> = Vec::new();
        for part in parts {
            commands.push(format!("consensusctl {}", part.split([';', '`']).next().unwrap()));
        }
        assert!(!commands.is_empty(), "{args:?} names no command: {ran:#?}");
        commands
    }

    /// The same, where the hint names one command.
    #[track_caller]
    fn hint(&self, code: i32, args: &[&str]) -> String {
        let hints = self.hints(code, args);
        assert_eq!(hints.len(), 1, "{hints:?}");
        hints.into_iter().next().unwrap()
    }

    /// Runs a command as a shell does into which it was pasted.
    #[track_caller]
    fn paste(&self, line: &str, wanted: &str) {
        assert!(line.starts_with(&format!("consensusctl {wanted}")), "{line}");
        let program = env!("CARGO_BIN_EXE_consensusctl");
        let script = format!("consensusctl() {{ '{program}' \"$@\"; }}; {line}");
        let mut shell = self.prepared(Command::new("sh"));
        let ran: Ran = shell.args(["-c", &script]).output().unwrap().into();
        assert_eq!(ran.code, 0, "{line}: {ran:#?}");
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.run(&["cluster", "down", "--wipe"]);
    }
}

#[test]
fn a_command_that_a_hint_names_can_be_pasted() {
    let lab = Elsewhere::new();
    let config = lab.lab.config();
    lab.run(&["cluster", "up", "--in-process", "--config", config.to_str().unwrap()]).ok();
    lab.run(&["cluster", "down"]).ok();
    lab.paste(&lab.hint(5, &["status"]), "cluster up");
    lab.paste(&lab.hint(1, &["wait", "--until", "applied>=1000000", "--timeout", "1ms"]), "status");
    lab.paste(&lab.hint(1, &["evidence", "show", "nothing"]), "evidence list");

    lab.run(&["pause", "2"]).ok();
    lab.paste(&lab.hint(1, &["byzantine", "set", "2", "silent"]), "resume 2");
    lab.run(&["kill", "3,4"]).ok();
    lab.paste(&lab.hint(1, &["pause", "3"]), "cluster restart 3");
    lab.run(&["kill", "all"]).ok();
    let wait = lab.hint(1, &["kill", "primary"]);
    let helps = lab.hints(5, &["kv", "get", "a", "--timeout", "100ms"]);
    assert_eq!(helps.len(), 2, "{helps:?}");
    lab.paste(&helps[0], "status");
    lab.paste(&helps[1], "cluster restart");
    lab.paste(&wait, "wait --until primary");

    lab.paste(&lab.hint(1, &["wal", "clean"]), "cluster down");
    // What is asked for is asked for again, with the option that lets it be done.
    let other = lab.lab.dir.path().join("other file.toml");
    std::fs::write(&other, std::fs::read_to_string(&config).unwrap().replace("pbft", "raft")).unwrap();
    let afresh = lab.hint(1, &["cluster", "up", "--cluster", "lab", "--config", other.to_str().unwrap()]);
    lab.paste(&afresh, "cluster up --fresh --config");
    let list = lab.run(&["cluster", "list", "--output", "json"]).ok().json();
    assert_eq!((&list[0]["protocol"], &list[0]["state"]), (&"raft".into(), &"running".into()), "{list:#}");
}
