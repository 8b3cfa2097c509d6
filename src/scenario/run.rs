//! From nothing to a report: one scenario with a cluster of its own, and nothing left of it.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::load::Journal;
use super::{Evidence, Report, Scenario, Stage, Told};
use crate::check::{Header, History, Limits, Verdict, check};
use crate::cluster::{self, Error, Malicious, Temporary};
use crate::config::{ClusterConfig, MIN_SEGMENT_BYTES};
use crate::registry::Entry;

/// How long the checker may search.
const VERDICT: Duration = Duration::from_mins(1);

/// What all scenarios of a run have in common.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whether nodes are tasks and not processes.
    pub in_process: bool,
    /// The binary that runs supervisors and nodes.
    pub program: PathBuf,
    /// Keep each cluster's directory, also of a scenario that passed.
    pub keep: bool,
    /// Where all histories are written to, whatever they show.
    pub histories: Option<PathBuf>,
    /// Decides what clients ask.
    pub seed: u64,
    /// Which events are logged, in place of the configuration's.
    pub log: Option<String>,
}

/// Why there is no report.
#[derive(Debug)]
pub enum Ended {
    /// Someone asked for the end; all of it is gone.
    Interrupted,
    /// It could not be carried out, for a reason that has nothing to do with what it shows.
    Broken(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// Runs a scenario with a protocol that it applies to. `tell` hears what it is doing; `interrupted` turns true when it is
/// to end.
pub async fn run(
    scenario: &'static Scenario,
    protocol: &'static Entry,
    setup: &Setup,
    mut interrupted: watch::Receiver<bool>,
    tell: impl Fn(&str) + Send + 'static,
) -> Result<Report, Ended> {
    let begun = Instant::now();
    let place = Place::new(scenario, protocol)?;
    tell("bringing up a cluster");
    let brought_up = place.up(setup, interrupted.clone()).await;
    let told = match brought_up {
        Ok(cluster) => {
            let journal = Arc::new(Journal::new(header(scenario, protocol, setup.seed)));
            let telling =
                tell_story(scenario, protocol, setup, cluster, &place, Arc::clone(&journal), Box::new(tell));
            tokio::select! {
                told = telling => Some((told, journal)),
                _ = interrupted.wait_for(|interrupted| *interrupted) => None,
            }
        }
        Err(_) if *interrupted.borrow() => None,
        Err(error) => {
            place.temporary.down().await?;
            let kept = place.temporary.keep();
            return Err(error.hint(format!("what it left is in {}", kept.display())).into());
        }
    };
    place.temporary.down().await?;
    let Some(((told, evidence), journal)) = told else { return Err(Ended::Interrupted) };
    let acknowledged = journal.acknowledged();
    let history = Arc::into_inner(journal).map(Journal::finish);
    let (history, verdict) = match history {
        Some(history) => judge(history).await,
        None => (History::default(), Verdict::Unknown("a client of the load did not end".to_owned())),
    };
    let mut report = Report {
        scenario: scenario.path(),
        shows: scenario.shows,
        protocol: protocol.name,
        seed: setup.seed,
        took: begun.elapsed(),
        outside_the_fault_model: scenario.outside_the_fault_model(protocol),
        failure: told.err(),
        verdict,
        operations: history.operations.len(),
        acknowledged,
        evidence,
        directory: None,
        history: None,
    };
    place.clear(&history, setup, &mut report)?;
    Ok(report)
}

/// Tells the story to its end, and collects what there is to see when it breaks off.
async fn tell_story(
    scenario: &Scenario,
    protocol: &'static Entry,
    setup: &Setup,
    cluster: cluster::Cluster,
    place: &Place,
    journal: Arc<Journal>,
    tell: Box<dyn Fn(&str) + Send>,
) -> (Told, Option<Evidence>) {
    let stage = Stage::open(cluster, scenario, protocol, Arc::clone(&journal), setup.seed, tell).await;
    let mut stage = match stage {
        Ok(stage) => stage,
        Err(failure) => return (Err(failure), Some(Evidence::collect(place.temporary.dir(), None, None))),
    };
    let told = match (scenario.story)(&mut stage).await {
        Ok(()) => stage.close().await,
        Err(failure) => Err(failure),
    };
    let mut evidence = None;
    if told.is_err() {
        let trouble = journal.book().trouble.clone();
        evidence = Some(Evidence::collect(place.temporary.dir(), stage.last_status().await, trouble));
    }
    stage.leave().await;
    (told, evidence)
}

fn header(scenario: &Scenario, protocol: &Entry, seed: u64) -> Header {
    let name = protocol.name;
    Header {
        protocol: name.to_owned(),
        source: format!("consensusctl test {} --protocol {name} --seed {seed}", scenario.path()),
        about: scenario.shows.to_owned(),
        ..Header::default()
    }
}

/// The verdict, searched for away from the runtime, which must stay awake for a Ctrl-C.
async fn judge(history: History) -> (History, Verdict) {
    let begun = Instant::now();
    let judging = tokio::task::spawn_blocking(move || {
        let limits = Limits { steps: u64::MAX, expired: &|| begun.elapsed() > VERDICT };
        let verdict = check(&history, &limits);
        (history, verdict)
    });
    judging.await.unwrap_or_else(|panic| {
        (History::default(), Verdict::Unknown(format!("the checker itself failed: {panic}")))
    })
}

/// Where a scenario's cluster lies: a directory and ports of its own.
struct Place {
    temporary: Temporary,
    liars: Vec<Malicious>,
}

impl Place {
    fn new(scenario: &Scenario, protocol: &'static Entry) -> Result<Self, Error> {
        let mut config = ClusterConfig::defaults(protocol);
        scenario.name.clone_into(&mut config.name);
        config.segment_bytes = MIN_SEGMENT_BYTES; // So that a story's log has several.
        let settings = scenario.settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
        config.options.extend(settings);
        let temporary = Temporary::new("consensusctl-test-", config, scenario.nodes(protocol))?;
        let liars = scenario.liars.unwrap_or_default().iter();
        let liars = liars
            .map(|(id, behaviour)| Malicious::Node { id: *id, behaviour: Some((*behaviour).to_owned()) })
            .collect();
        Ok(Self { temporary, liars })
    }

    async fn up(&self, setup: &Setup, interrupted: watch::Receiver<bool>) -> Result<cluster::Cluster, Error> {
        let mut boot = self.temporary.boot(&setup.program, setup.in_process);
        boot.wish.malicious.clone_from(&self.liars);
        boot.log.clone_from(&setup.log);
        self.temporary.up(&boot, interrupted).await
    }

    /// Writes the history where it is wanted or needed, and keeps the directory if there is a reason.
    fn clear(self, history: &History, setup: &Setup, report: &mut Report) -> Result<(), Error> {
        let keep = setup.keep || report.outcome() != super::Outcome::Passed;
        if let Some(dir) = &setup.histories {
            let name = format!("{}-{}.jsonl", report.protocol, report.scenario.replace('/', "-"));
            let path = dir.join(name);
            write_history(history, &path)?;
            report.history = Some(path);
        } else if keep {
            let path = self.temporary.path().join("history.jsonl");
            write_history(history, &path)?;
            report.history = Some(path);
        }
        if keep {
            report.directory = Some(self.temporary.keep());
        }
        Ok(())
    }
}

fn write_history(history: &History, path: &Path) -> Result<(), Error> {
    let written = File::create(path).and_then(|file| history.write(BufWriter::new(file)));
    written.map(drop).map_err(|error| Error::io(format!("cannot write {}", path.display()), &error))
}
