//! A readable account of a run: one line for each thing that happened.

use std::collections::VecDeque;
use std::fmt;

use serde::Serialize;

/// How much of a run is told. Telling it costs more than running it, so that sweeps do without and a failing run is
/// repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// Nothing.
    Off,
    /// The last so many lines.
    Last(usize),
    /// Everything.
    All,
}

/// What a line of a trace is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceKind {
    /// A message leaves a node.
    Send,
    /// A message arrives.
    Receive,
    /// A node takes clients' requests.
    Request,
    /// A timer rings.
    Timer,
    /// What the protocol makes of it: roles, what it ignores, what it notes.
    Protocol,
    /// A record, or what the disk says.
    Disk,
    /// The store executes.
    Store,
    /// States at checkpoints, and snapshots.
    Snapshot,
    /// A node starts or stops.
    Life,
    /// A fault begins, or all end.
    Fault,
    /// A client asks, or has its answer.
    Client,
}

impl TraceKind {
    /// Its name on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Request => "request",
            Self::Timer => "timer",
            Self::Protocol => "protocol",
            Self::Disk => "disk",
            Self::Store => "store",
            Self::Snapshot => "snapshot",
            Self::Life => "life",
            Self::Fault => "fault",
            Self::Client => "client",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceLine {
    /// When, in microseconds of the run.
    pub at_us: u64,
    /// Where: a node (`n1`; the second of twins is `n1'`), a client, or the `world`.
    pub place: String,
    /// Which node that is, if it is one.
    pub node: Option<u64>,
    /// Whether that node lies.
    pub lies: bool,
    /// What it is about.
    pub kind: TraceKind,
    /// The kind of message that is sent or received.
    pub message: Option<&'static str>,
    /// What happened, in words.
    pub text: String,
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = marked(&self.place, self.lies);
        write!(f, "{:>12.6}  {place:<9} {}", self.at_us as f64 / 1e6, self.text)
    }
}

/// The name of a node in a trace: that of a liar is marked.
pub(super) fn marked(name: &str, lies: bool) -> String {
    format!("{name}{}", if lies { " (lies)" } else { "" })
}

/// The lines so far.
#[derive(Debug)]
pub(super) struct Trace {
    tracing: Tracing,
    lines: VecDeque<TraceLine>,
}

impl Trace {
    pub(super) fn new(tracing: Tracing) -> Self {
        Self { tracing, lines: VecDeque::new() }
    }

    pub(super) fn is_on(&self) -> bool {
        self.tracing != Tracing::Off
    }

    /// Adds a line.
    pub(super) fn push(&mut self, line: TraceLine) {
        if let Tracing::Last(limit) = self.tracing
            && self.lines.len() == limit
        {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub(super) fn take(&mut self) -> Vec<TraceLine> {
        std::mem::take(&mut self.lines).into()
    }
}
