//! What several rounds have in common, and how two protocols compare.

use serde::Serialize;

use super::{Costs, Errors, Fault, Latency, Measurement, Spread};

/// All rounds of one protocol, under one fault, with one number of callers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// What was measured.
    pub protocol: String,
    /// How many nodes the cluster has.
    pub nodes: usize,
    /// How many of them were down.
    pub fault: Fault,
    /// How many callers there were.
    pub concurrency: usize,
    /// How many rounds.
    pub rounds: usize,
    /// Commands in all of them.
    pub commands: u64,
    /// Calls that failed, in all of them.
    pub errors: Errors,
    /// Commands in a second.
    pub per_second: Spread,
    /// Latencies, in milliseconds: of each percentile the median of the rounds; of `max` the longest of all.
    pub latency_ms: Latency,
    /// What a command cost all nodes together: of each figure the median of the rounds.
    pub per_command: Option<Costs>,
}

/// How one protocol compares to another under the same fault and load: round by round, so that what the machine did
/// besides cancels out as far as it can.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Whose figures are divided.
    pub protocol: String,
    /// By whose.
    pub to: String,
    /// How many nodes were down.
    pub fault: Fault,
    /// How many callers there were.
    pub concurrency: usize,
    /// Commands in a second; above 1, the first is faster.
    pub per_second: Spread,
    /// Median latency; above 1, the first is slower.
    pub p50: Spread,
    /// 99th percentile.
    pub p99: Spread,
}

/// What measurements belong to: a protocol, a fault, a number of callers.
type Group = (String, Fault, usize);

fn group(one: &Measurement) -> Group {
    (one.protocol.clone(), one.fault, one.concurrency)
}

/// The groups in the order in which they should be read: faults, then callers, then protocols as they came.
fn groups(measurements: &[Measurement]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for one in measurements.iter().filter(|one| one.round == 1) {
        if !groups.contains(&group(one)) {
            groups.push(group(one));
        }
    }
    groups.sort_by_key(|(_, fault, concurrency)| (*fault, *concurrency));
    groups
}

/// Sums up the rounds.
pub fn summarize(measurements: &[Measurement]) -> Vec<Summary> {
    let of = |group: Group| summary(group, measurements);
    groups(measurements).into_iter().filter_map(of).collect()
}

fn summary(wanted: Group, measurements: &[Measurement]) -> Option<Summary> {
    let rounds: Vec<&Measurement> = measurements.iter().filter(|one| group(one) == wanted).collect();
    let of = |figure: &dyn Fn(&Measurement) -> f64| Spread::of(rounds.iter().map(|one| figure(one)));
    let latency = |at: fn(&Latency) -> f64| of(&|one| at(&one.figures.latency_ms)).unwrap_or_default();
    let mut errors = Errors::default();
    for one in &rounds {
        errors.add(&one.figures.errors);
    }
    let (protocol, fault, concurrency) = wanted;
    Some(Summary {
        protocol,
        nodes: rounds.first()?.nodes,
        fault,
        concurrency,
        rounds: rounds.len(),
        commands: rounds.iter().map(|one| one.figures.commands).sum(),
        errors,
        per_second: of(&|one| one.figures.per_second)?,
        latency_ms: Latency {
            p50: latency(|latency| latency.p50).median,
            p90: latency(|latency| latency.p90).median,
            p99: latency(|latency| latency.p99).median,
            p99_9: latency(|latency| latency.p99_9).median,
            max: latency(|latency| latency.max).max,
        },
        per_command: costs(&rounds),
    })
}

fn costs(rounds: &[&Measurement]) -> Option<Costs> {
    let known: Vec<Costs> = rounds.iter().filter_map(|one| one.figures.per_command).collect();
    let of = |cost: fn(&Costs) -> f64| Some(Spread::of(known.iter().map(cost))?.median);
    Some(Costs {
        messages: of(|costs| costs.messages)?,
        message_bytes: of(|costs| costs.message_bytes)?,
        signatures: of(|costs| costs.signatures)?,
        verifications: of(|costs| costs.verifications)?,
        fsyncs: of(|costs| costs.fsyncs)?,
        wal_bytes: of(|costs| costs.wal_bytes)?,
    })
}

/// Compares every protocol to the first one of them. What nobody answered is not compared.
pub fn ratios(measurements: &[Measurement]) -> Vec<Ratio> {
    let Some(first) = measurements.first().map(|one| one.protocol.clone()) else { return Vec::new() };
    let others = groups(measurements).into_iter().filter(|(protocol, ..)| *protocol != first);
    others.filter_map(|group| ratio(group, &first, measurements)).collect()
}

fn ratio(wanted: Group, to: &str, measurements: &[Measurement]) -> Option<Ratio> {
    let base = (to.to_owned(), wanted.1, wanted.2);
    let pairs: Vec<(&Measurement, &Measurement)> = measurements
        .iter()
        .filter(|one| group(one) == wanted && one.figures.commands > 0)
        .filter_map(|one| {
            let same = |other: &&Measurement| group(other) == base && other.round == one.round;
            let other = measurements.iter().find(same).filter(|other| other.figures.commands > 0)?;
            Some((one, other))
        })
        .collect();
    let of = |figure: fn(&Measurement) -> f64| {
        Spread::of(pairs.iter().map(|(one, other)| figure(one) / figure(other)))
    };
    let (protocol, fault, concurrency) = wanted;
    Some(Ratio {
        protocol,
        to: to.to_owned(),
        fault,
        concurrency,
        per_second: of(|one| one.figures.per_second)?,
        p50: of(|one| one.figures.latency_ms.p50)?,
        p99: of(|one| one.figures.latency_ms.p99)?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::Figures;

    pub(crate) fn measurement(protocol: &str, round: u32, per_second: f64, p50: f64) -> Measurement {
        Measurement {
            protocol: protocol.to_owned(),
            nodes: 4,
            fault: Fault::None,
            concurrency: 64,
            round,
            figures: Figures {
                seconds: 1.0,
                commands: per_second as u64,
                per_second,
                latency_ms: Latency { p50, p99: 2.0 * p50, max: 3.0 * p50, ..Latency::default() },
                errors: Errors { refused: 1, ..Errors::default() },
                per_command: Some(Costs { fsyncs: p50, ..Costs::default() }),
            },
        }
    }

    #[test]
    fn rounds_are_summed_up() {
        let rounds = [
            measurement("a", 1, 100.0, 1.0),
            measurement("a", 2, 300.0, 3.0),
            measurement("a", 3, 200.0, 2.0),
        ];
        let [summary] = &summarize(&rounds)[..] else { panic!("one protocol, one fault, one load") };
        assert_eq!(summary.per_second, Spread { min: 100.0, median: 200.0, max: 300.0 });
        assert_eq!((summary.rounds, summary.commands, summary.errors.refused), (3, 600, 3));
        assert_eq!(summary.latency_ms, Latency { p50: 2.0, p99: 4.0, max: 9.0, ..Latency::default() });
        assert_eq!(summary.per_command.map(|costs| costs.fsyncs), Some(2.0));
    }

    #[test]
    fn protocols_are_compared_within_each_round() {
        // A machine that was twice as fast in the second round changes no ratio.
        let rounds = [
            measurement("a", 1, 100.0, 2.0),
            measurement("b", 1, 50.0, 4.0),
            measurement("b", 2, 100.0, 2.0),
            measurement("a", 2, 200.0, 1.0),
            measurement("b", 3, 70.0, 1.0),
        ];
        let [ratio] = &ratios(&rounds)[..] else { panic!("one pair, whatever the third round lacks") };
        assert_eq!((&*ratio.protocol, &*ratio.to), ("b", "a"));
        assert_eq!(ratio.per_second, Spread { min: 0.5, median: 0.5, max: 0.5 });
        assert_eq!(ratio.p50, Spread { min: 2.0, median: 2.0, max: 2.0 });
    }

    #[test]
    fn what_nobody_answered_is_not_compared() {
        let rounds = [measurement("a", 1, 0.0, 0.0), measurement("b", 1, 50.0, 4.0)];
        assert_eq!(ratios(&rounds), []);
        assert_eq!(ratios(&[]), []);
    }
}
