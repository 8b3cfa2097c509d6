//! The suite `byzantine`: every way to lie that there is, told by the table of the behaviours and not by their names, with the
//! evidence that the table says is due, and none that it says cannot be.

use std::collections::BTreeSet;

use super::Scenario;
use super::stories::byzantine;
use crate::consensus::{Behaviour, Proof};
use crate::registry::PROTOCOLS;

/// The suite's name.
const SUITE: &str = "byzantine";

/// All of the suite.
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut seen = BTreeSet::new();
    let behaviours = PROTOCOLS.iter().flat_map(|entry| entry.behaviours);
    let mut scenarios: Vec<Scenario> =
        behaviours.clone().filter(|behaviour| seen.insert(behaviour.name)).map(one_of_each).collect();
    // There is a story of neglect once somebody can be told whom to neglect.
    if behaviours.clone().any(byzantine::is_aimed_at_keys) {
        scenarios.push(NEGLECTED);
    }
    scenarios.extend([COMES_AND_GOES, FAULTY_CLIENTS, TOO_MANY]);
    scenarios
}

/// One way to lie, first of the first primary and then of a backup. The words are made once and live as long as the
/// program.
fn one_of_each(behaviour: &Behaviour) -> Scenario {
    let result = match behaviour.proof {
        Proof::Due => "in vain, and convicted",
        Proof::Possible => "in vain",
        Proof::Never => "in vain, and without proof",
    };
    let shows = format!("{result}, as the first primary and as a backup: {}", behaviour.summary);
    Scenario {
        suite: SUITE,
        name: behaviour.name,
        shows: shows.leak(),
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(vec![(1, behaviour.name)].leak()),
        story: |stage| Box::pin(byzantine::one_way_to_lie(stage)),
    }
}

const NEGLECTED: Scenario = Scenario {
    suite: SUITE,
    name: "neglected-client",
    shows: "a client whom the primary leaves out, while it serves all others, is served by the next one",
    faults: 1,
    spare_nodes: 0,
    settings: &[],
    liars: Some(&[]),
    story: |stage| Box::pin(byzantine::neglected_client(stage)),
};

const COMES_AND_GOES: Scenario = Scenario {
    suite: SUITE,
    name: "comes-and-goes",
    shows: "a replica that begins to lie in the middle costs nobody anything, and is as good as any when it stops",
    faults: 1,
    spare_nodes: 0,
    settings: &[],
    liars: Some(&[]),
    story: |stage| Box::pin(byzantine::comes_and_goes(stage)),
};

const FAULTY_CLIENTS: Scenario = Scenario {
    suite: SUITE,
    name: "faulty-clients",
    shows: "clients that ask for two things under one name, forge another's signature or are not known cost others nothing",
    faults: 1,
    spare_nodes: 0,
    settings: &[],
    liars: Some(&[]),
    story: |stage| Box::pin(byzantine::faulty_clients(stage)),
};

const TOO_MANY: Scenario = Scenario {
    suite: SUITE,
    name: "two-liars",
    shows: "two liars of four are announced as outside the fault model, where nothing is promised",
    faults: 1,
    spare_nodes: 0,
    settings: &[],
    liars: Some(&[(1, "equivocate"), (2, "accomplice")]),
    story: |stage| Box::pin(byzantine::too_many(stage)),
};
