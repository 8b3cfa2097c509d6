//! SIGINT and SIGTERM at seeded moments of `up`, `restart` and `down`: afterwards `up` works and nothing is orphaned.

mod support;

use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use support::{Lab, Mode, Running, eventually, signal};

/// A moment within what a command takes, from a seed: mostly early, where most happens.
fn moment(seed: u64) -> Duration {
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    Duration::from_millis(mixed % [20, 100, 400, 1000][(seed % 4) as usize])
}

/// Waits for a moment: what is to be hit lies somewhere behind it.
fn pass(moment: Duration) {
    let (_keep, nothing) = mpsc::channel::<()>();
    let _ = nothing.recv_timeout(moment);
}

#[test]
fn an_interrupted_command_leaves_a_cluster_that_up_can_bring_back() {
    let lab = Lab::up(3, Mode::Processes);
    lab.put("a", "1");
    for seed in 0..20 {
        let args: Vec<String> = match seed % 3 {
            0 => {
                lab.run(&["cluster", "down"]).ok();
                lab.up_args(&[])
            }
            1 => vec!["cluster".into(), "restart".into(), "all".into()],
            _ => vec!["cluster".into(), "down".into()],
        };
        let mut command = lab.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut child = Running(child);
        pass(moment(seed));
        signal(child.0.id(), if seed % 2 == 0 { "INT" } else { "TERM" });
        child.0.wait().unwrap();

        let up = lab.start();
        assert_eq!(up.code, 0, "seed {seed}: `up` after an interrupted {args:?}: {up:#?}");
        lab.run(&["cluster", "restart"]).ok();
        assert_eq!(lab.get("a"), "1", "seed {seed}");
        // The supervisor and its three nodes, nobody else.
        eventually("no process is orphaned", || (lab.processes().len() == 4).then_some(()));
    }
}
