//! How a scenario ended.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::Evidence;
use crate::check::{Explanation, Summary, Verdict};

/// What was expected of the cluster, and what was found instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What should have been.
    pub expected: String,
    /// What was.
    pub found: String,
}

impl Failure {
    /// A failure in words.
    pub fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected that {}, but: {}", self.expected, self.found)
    }
}

/// What a scenario came to; of several troubles the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The story went as told, and the history is that of a correct store.
    Passed,
    /// The story went as told; the checker reached no verdict.
    Unknown,
    /// Something that was expected did not happen.
    Failed,
    /// The history is none that a correct store can have.
    Violated,
}

impl Outcome {
    /// The outcome in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
            Self::Violated => "violated",
        }
    }
}

/// A scenario that was run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which, as `chaos/pause`.
    pub scenario: String,
    /// What it shows.
    pub shows: &'static str,
    /// The protocol that it ran on.
    pub protocol: &'static str,
    /// The seed of its load.
    pub seed: u64,
    /// How long it took, its cluster's start and end included.
    pub took: Duration,
    /// What is to be said if more nodes lied than the protocol tolerates: then no verdict is held against it.
    pub outside_the_fault_model: Option<String>,
    /// Where the story broke off, if it did.
    pub failure: Option<Failure>,
    /// What the checker says.
    pub verdict: Verdict,
    /// How many operations the history has.
    pub operations: usize,
    /// How many writes were acknowledged.
    pub acknowledged: u64,
    /// What was seen of the cluster when the story broke off.
    pub evidence: Option<Evidence>,
    /// Where everything of the cluster lies still, if it was kept.
    pub directory: Option<PathBuf>,
    /// Where the history was written, if it was.
    pub history: Option<PathBuf>,
}

/// A report as an object of JSON.
#[derive(Debug, Serialize)]
struct Form<'a> {
    scenario: &'a str,
    shows: &'a str,
    protocol: &'a str,
    outcome: Outcome,
    seconds: f64,
    operations: usize,
    acknowledged: u64,
    seed: u64,
    outside_the_fault_model: Option<&'a str>,
    failure: Option<&'a Failure>,
    summary: Option<&'a Summary>,
    violation: Option<&'a Explanation>,
    no_verdict: Option<&'a str>,
    evidence: Option<&'a Evidence>,
    directory: Option<&'a PathBuf>,
    history: Option<&'a PathBuf>,
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (summary, violation, no_verdict) = match &self.verdict {
            Verdict::Passed(summary) => (Some(summary), None, None),
            Verdict::Violated(explanation) => (None, Some(explanation), None),
            Verdict::Unknown(why) => (None, None, Some(why.as_str())),
        };
        let form = Form {
            scenario: &self.scenario,
            shows: self.shows,
            protocol: self.protocol,
            outcome: self.outcome(),
            seconds: self.took.as_secs_f64(),
            operations: self.operations,
            acknowledged: self.acknowledged,
            seed: self.seed,
            outside_the_fault_model: self.outside_the_fault_model.as_deref(),
            failure: self.failure.as_ref(),
            summary,
            violation,
            no_verdict,
            evidence: self.evidence.as_ref(),
            directory: self.directory.as_ref(),
            history: self.history.as_ref(),
        };
        form.serialize(serializer)
    }
}

impl Report {
    /// What it came to.
    pub fn outcome(&self) -> Outcome {
        match (&self.verdict, &self.failure) {
            (_, failure) if self.outside_the_fault_model.is_some() => {
                if failure.is_some() {
                    Outcome::Failed
                } else {
                    Outcome::Passed
                }
            }
            (Verdict::Violated(_), _) => Outcome::Violated,
            (_, Some(_)) => Outcome::Failed,
            (Verdict::Unknown(_), None) => Outcome::Unknown,
            (Verdict::Passed(_), None) => Outcome::Passed,
        }
    }

    /// One line that says how it ended.
    pub fn line(&self) -> String {
        format!(
            "{:<8} {:<4} {:<36} {:>5.1} s {:>6} operations  {}{}",
            self.outcome().name(),
            self.protocol,
            self.scenario,
            self.took.as_secs_f64(),
            self.operations,
            self.shows,
            self.label().map_or_else(String::new, |label| format!(" [{label}]"))
        )
    }

    /// What came of it outside the fault model, which is held against nobody.
    fn label(&self) -> Option<String> {
        let outside = self.outside_the_fault_model.as_ref()?;
        let verdict = match &self.verdict {
            Verdict::Passed(_) => "the history is right all the same",
            Verdict::Violated(_) => "the history is violated, as it may be there",
            Verdict::Unknown(_) => "no verdict on the history",
        };
        Some(format!("{outside}; {verdict}"))
    }

    /// What there is to say of one that did not pass; empty for one that did.
    pub fn trouble(&self) -> String {
        let mut text = String::new();
        if self.outcome() == Outcome::Passed {
            return text;
        }
        // Writing to a string cannot fail.
        if let Some(Failure { expected, found }) = &self.failure {
            let _ = writeln!(text, "expected: {expected}\nfound:    {found}");
        }
        match &self.verdict {
            Verdict::Passed(_) => {}
            Verdict::Violated(explanation) => {
                let _ = writeln!(text, "the history is violated: {}", explanation.to_string().trim_end());
            }
            Verdict::Unknown(why) => {
                let _ = writeln!(text, "no verdict on the history: {why}");
            }
        }
        if let Some(evidence) = &self.evidence {
            let _ = write!(text, "{evidence}");
        }
        let _ = writeln!(text, "seed:     {} (decides what clients asked, not when)", self.seed);
        if let Some(directory) = &self.directory {
            let _ = writeln!(text, "kept:     {}", directory.display());
        }
        if let Some(history) = &self.history {
            let path = history.display();
            let _ = writeln!(text, "history:  {path}\ncheck it: consensusctl check {path}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Rule;

    fn report(failure: Option<Failure>, verdict: Verdict) -> Report {
        let passed = failure.is_none() && matches!(verdict, Verdict::Passed(_));
        Report {
            scenario: "chaos/pause".to_owned(),
            shows: "nothing stale",
            protocol: "raft",
            seed: 7,
            took: Duration::from_millis(1500),
            outside_the_fault_model: None,
            failure,
            verdict,
            operations: 42,
            acknowledged: 40,
            evidence: None,
            directory: (!passed).then(|| "/kept/here".into()),
            history: (!passed).then(|| "/kept/here/history.jsonl".into()),
        }
    }

    fn violated() -> Verdict {
        Verdict::Violated(Explanation {
            rule: Rule::RealTime,
            story: "line 9 did not see line 3".to_owned(),
            lines: vec![9, 3],
            operations: vec!["line 9: a read".to_owned(), "line 3: a write".to_owned()],
        })
    }

    #[test]
    fn one_that_passed_says_so_in_a_line() {
        let report = report(None, Verdict::Passed(Summary::default()));
        assert_eq!(report.outcome(), Outcome::Passed);
        assert!(report.line().starts_with("passed   raft chaos/pause "), "{}", report.line());
        assert!(report.line().ends_with("1.5 s     42 operations  nothing stale"), "{}", report.line());
        assert_eq!(report.trouble(), "");
    }

    #[test]
    fn one_that_failed_says_what_was_expected_and_where_to_look() {
        let failure = Failure::new("another node leads", "after 60 s still node 2");
        let report = report(Some(failure), Verdict::Passed(Summary::default()));
        assert_eq!(report.outcome(), Outcome::Failed);
        let trouble = report.trouble();
        for words in [
            "expected: another node leads",
            "found:    after 60 s still node 2",
            "kept:     /kept/here",
            "check it: consensusctl check /kept/here/history.jsonl",
        ] {
            assert!(trouble.contains(words), "does not say {words:?}:\n{trouble}");
        }
    }

    #[test]
    fn outside_the_fault_model_a_verdict_is_told_and_held_against_nobody() {
        let outside = Some("2 of 4 replicas lie: outside the fault model, which tolerates 1".to_owned());
        let lied = Report { outside_the_fault_model: outside.clone(), ..report(None, violated()) };
        assert_eq!((lied.outcome(), lied.trouble()), (Outcome::Passed, String::new()));
        let label = "[2 of 4 replicas lie: outside the fault model, which tolerates 1; the history is violated, as it \
                     may be there]";
        assert!(lied.line().ends_with(label), "{}", lied.line());
        let failure = Some(Failure::new("the status warns", "it does not"));
        let failed = Report { outside_the_fault_model: outside, ..report(failure, violated()) };
        assert_eq!(failed.outcome(), Outcome::Failed);
    }

    #[test]
    fn a_violation_outranks_whatever_else_went_wrong() {
        let failure = Some(Failure::new("a", "b"));
        let both = report(failure.clone(), violated());
        assert_eq!(both.outcome(), Outcome::Violated);
        assert!(both.trouble().contains("line 9: a read"), "{}", both.trouble());
        assert_eq!(report(failure, Verdict::Unknown("time".into())).outcome(), Outcome::Failed);
        assert_eq!(report(None, Verdict::Unknown("time".into())).outcome(), Outcome::Unknown);
        let json = serde_json::to_value(&both).unwrap();
        assert_eq!((&json["outcome"], &json["violation"]["rule"]), (&"violated".into(), &"real-time".into()));
    }
}
