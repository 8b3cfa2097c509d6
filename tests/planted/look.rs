//! Looks for a planted bug: runs seeds 1..N of a protocol and prints the invariant that caught it, the seed, and the
//! seconds. `tests/planted/run` builds this as the only program of a copy that holds just the layers that are simulated.

use std::time::Instant;

use consensusctl::consensus::pbft::Pbft;
use consensusctl::consensus::raft::Raft;
use consensusctl::sim::{Outcome, RunOptions, Sweep, sweep};

fn main() {
    let mut args = std::env::args().skip(1);
    let seeds = args.next().and_then(|seeds| seeds.parse().ok()).unwrap_or(500);
    let look: fn(&Sweep) -> Outcome = match args.next().as_deref() {
        None | Some("raft") => |what| sweep::<Raft>(what, &|_| {}),
        Some("pbft") => |what| sweep::<Pbft>(what, &|_| {}),
        Some(other) => panic!("no protocol is called {other}"),
    };
    let options = RunOptions { time_us: 40_000_000, ..RunOptions::default() };
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let begun = Instant::now();
    let outcome = look(&Sweep { options, seeds, jobs });
    let seconds = begun.elapsed().as_secs_f64();
    match outcome.failure.and_then(|report| Some((report.failure?, report.seed))) {
        Some((failure, seed)) => {
            eprintln!("{}", failure.detail);
            println!("{:<26} {seed:>6} {seconds:>8.1}", failure.invariant);
        }
        None => println!("{:<26} {:>6} {seconds:>8.1}", "NOT CAUGHT", "-"),
    }
}
