//! One run: from a seed to a report.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use super::cast::Cast;
use super::faults::FaultMix;
use super::schedule::Injection;
use super::simulated::{Checked, Simulated, Violation};
use super::stats::Stats;
use super::trace::{Trace, TraceLine, Tracing};
use super::world::World;
use crate::check::{Header, History, Limits, Verdict, Witness};
use crate::consensus::{NodeId, Scheme};
use crate::kv::Retention;
use crate::text::counted;

/// How much may be spent on the verdict on a history: steps, so that the verdict is the same on any machine.
const CHECK_STEPS: u64 = 3_000_000;

/// What run is wanted. Equal options give equal runs.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Everything that is drawn is drawn from this.
    pub seed: u64,
    /// How many nodes; drawn from the seed if it is not said.
    pub nodes: Option<usize>,
    /// Which nodes lie, and how; drawn from the seed if it is not said.
    pub malicious: Option<Vec<(NodeId, String)>>,
    /// How messages are signed, where the protocol signs them.
    pub signatures: Scheme,
    /// How many clients.
    pub clients: usize,
    /// About how many operations all clients begin in a second.
    pub rate: u64,
    /// How long clients work, in microseconds; faults end after two thirds of it.
    pub time_us: u64,
    /// Which faults.
    pub faults: FaultMix,
    /// Only these injections of the schedule, by number; all of them without a list.
    pub keep: Option<Vec<usize>>,
    /// Whether the run is told.
    pub tracing: Tracing,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            nodes: None,
            malicious: None,
            signatures: Scheme::Tag,
            clients: 5,
            rate: 50,
            time_us: 60_000_000,
            faults: FaultMix::default(),
            keep: None,
            tracing: Tracing::Off,
        }
    }
}

impl RunOptions {
    /// When the faults end.
    pub(super) fn calm_at(&self) -> u64 {
        self.time_us / 3 * 2
    }

    pub(super) fn header(&self, protocol: &str, cast: &Cast) -> Header {
        let about =
            format!("{cast}, {}, faults {}", counted(self.clients as u64, "client", "clients"), self.faults);
        let source = format!("sim --seed {}", self.seed);
        Header { protocol: protocol.to_owned(), source, started: String::new(), about }
    }

    /// With those who took part named, instead of drawn.
    #[must_use]
    pub fn with<P: Simulated>(&self, cast: &Cast) -> Self {
        let malicious = (!P::LIES.is_empty()).then(|| cast.malicious.clone());
        Self { nodes: Some(cast.nodes), malicious, ..self.clone() }
    }

    /// The command that repeats the run.
    pub fn command(&self, protocol: &str) -> String {
        let nodes = self.nodes.map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
        let malicious = self.malicious.as_ref().map_or_else(String::new, |liars| match liars.as_slice() {
            [] => " --malicious none".to_owned(),
            liars => {
                let one = |(id, behaviour): &(NodeId, String)| format!(" --malicious {id}={behaviour}");
                liars.iter().map(one).collect::<Vec<_>>().concat()
            }
        });
        let signatures = match self.signatures {
            Scheme::Tag => "",
            Scheme::Ed25519 => " --signatures ed25519",
        };
        let faults = if self.faults == FaultMix::default() {
            String::new()
        } else {
            format!(" --faults={}", self.faults)
        };
        let keep = self.keep.as_ref().map_or_else(String::new, |keep| {
            let list: Vec<_> = keep.iter().map(ToString::to_string).collect();
            let list = if list.is_empty() { "none".to_owned() } else { list.join(",") };
            format!(" --keep={list}")
        });
        format!(
            "consensusctl sim --protocol {protocol} --seed {}{nodes}{malicious}{signatures} --clients {} --rate {} --time {}ms{faults}{keep}",
            self.seed,
            self.clients,
            self.rate,
            self.time_us / 1000
        )
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Who took part.
    pub cast: Cast,
    /// A digest of everything that happened: equal for equal runs, on any machine.
    pub digest: u64,
    /// What happened, in numbers.
    pub stats: Stats,
    /// The promise that was broken, if one was.
    pub failure: Option<Failure>,
    /// Why there is no verdict on the clients' history, if there is none.
    pub unknown: Option<String>,
    /// The faults, as far as they were injected.
    pub schedule: Vec<Injection>,
    /// What happened, in words, if that was wanted.
    pub trace: Vec<TraceLine>,
    /// What the clients saw.
    pub history: History,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The invariant's name; `linearizability` for the checker's verdict, `panic` for an assertion in the code.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
    /// When, in microseconds of the run.
    pub at: u64,
}

/// Runs one seed.
pub fn run<P: Simulated>(options: &RunOptions) -> Report {
    let mut world = World::<P>::new(options.clone(), Trace::new(options.tracing));
    let ended = catching(|| world.run());
    let failure = ended.err().map(|violation| Failure {
        invariant: violation.invariant,
        detail: violation.detail,
        at: world.now,
    });
    let stats = world.stats();
    let World { trace: mut told, schedule, recorder, digest, now, cast, agreement, .. } = world;
    let mut report = Report {
        seed: options.seed,
        cast,
        digest: digest.0,
        stats,
        failure,
        unknown: None,
        schedule: schedule.into_iter().filter(|injection| injection.at <= now).collect(),
        trace: told.take(),
        history: recorder.finish(),
    };
    if report.failure.is_none() {
        judge(&mut report, &agreement.witness(Retention::from(P::ANSWERS)), now);
    }
    report
}

/// The checker's verdict on what the clients saw. The order that the nodes agreed on only guides it.
fn judge(report: &mut Report, witness: &Witness, now: u64) {
    match crate::check::check_with(&report.history, witness, &Limits::steps(CHECK_STEPS)) {
        Verdict::Passed { .. } => {}
        Verdict::Violated(explanation) => {
            let (invariant, detail) = ("linearizability", explanation.to_string());
            report.failure = Some(Failure { invariant, detail, at: now });
        }
        Verdict::Unknown(why) => report.unknown = Some(why),
    }
}

thread_local! {
    /// What a panic of this thread said and where, while it is caught here.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHING: RefCell<bool> = const { RefCell::new(false) };
}

/// Turns an assertion that fails in the code under test into a violation, without a word on standard error.
fn catching(work: impl FnOnce() -> Checked) -> Checked {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.with_borrow(|catching| *catching) {
                CAUGHT.set(Some(info.to_string()));
            } else {
                before(info);
            }
        }));
    });
    CATCHING.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    result.unwrap_or_else(|_| {
        let said = CAUGHT.take().unwrap_or_else(|| "for an unknown reason".to_owned());
        Err(Violation::new("panic", said))
    })
}
