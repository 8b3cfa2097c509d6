//! `consensusctl byzantine`: lies on demand.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use consensusctl::registry::{Entry, PROTOCOLS};
use serde_json::Value;
use support::{Lab, Mode, eventually};

/// The protocol whose nodes may lie.
fn lying() -> &'static Entry {
    PROTOCOLS.iter().find(|entry| !entry.behaviours.is_empty()).unwrap()
}

fn lab(mode: Mode) -> Lab {
    let lab = Lab::of(lying().name, 4, mode);
    lab.start().ok();
    lab
}

/// What the status says of how each node lies.
fn lies(lab: &Lab) -> Vec<Value> {
    lab.status()["nodes"].as_array().unwrap().iter().map(|node| node["misbehaviour"].clone()).collect()
}

const HONEST: [Value; 4] = [const { Value::Null }; 4];

#[test]
fn the_list_names_every_behaviour_and_needs_no_cluster() {
    let lab = Lab::new(1, Mode::Processes);
    let listed = lab.run(&["byzantine", "list", "--output", "json"]).ok().json();
    let table = lab.run(&["byzantine", "list"]).ok().stdout;
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|one| one["behaviour"].as_str().unwrap()).collect();
    let known: Vec<&str> = lying().behaviours.iter().map(|behaviour| behaviour.name).collect();
    assert_eq!(names, known);
    assert!(known.iter().all(|name| table.contains(name)), "{table}");
    let proofs: Vec<&str> =
        listed.as_array().unwrap().iter().map(|one| one["proof"].as_str().unwrap()).collect();
    let known = lying().behaviours.iter().map(|behaviour| behaviour.proof.name());
    assert_eq!(proofs, known.collect::<Vec<_>>());
    lab.run(&["byzantine", "list", "--protocol", "raft"]).fails(2, &["raft tolerates crashes only"]);
    lab.run(&["byzantine", "list", "--protocol", "paxos"]).fails(2, &["unknown protocol paxos", "raft"]);
}

#[test]
fn a_node_lies_from_when_it_is_told_to_through_all_that_happens_to_it_until_it_is_cleared() {
    for mode in [Mode::Processes, Mode::InProcess] {
        let lab = lab(mode);
        let first = lying().behaviours[0].name;
        assert_eq!(lies(&lab), HONEST);
        let args = ["--probability", "0.5", "--from-view", "0", "--seed", "7"];
        let said = lab.run(&[&["byzantine", "set", "4", first], &args[..]].concat()).ok();
        assert!(said.stdout.starts_with(&format!("node 4 lies: {first}, 50 % of the time")), "{said:#?}");
        let told = serde_json::json!({"behaviour": first, "per_mille": 500, "from_epoch": 0, "seed": 7});
        assert_eq!((&lies(&lab)[..3], &lies(&lab)[3]), (&HONEST[..3], &told));
        let table = lab.run(&["status"]).ok().stdout;
        assert!(table.contains(&format!("{first}, 50 % of the time")), "{table}");
        lab.put("a", "1");

        lab.run(&["kill", "4"]).ok();
        lab.run(&["cluster", "restart", "4"]).ok();
        assert_eq!(lies(&lab)[3], told, "a kill made it honest");
        lab.run(&["cluster", "down"]).ok();
        lab.start().ok();
        assert_eq!(lies(&lab)[3], told, "down and up made it honest");
        assert_eq!(lab.get("a"), "1");

        let cleared = lab.run(&["byzantine", "clear", "all"]).ok();
        assert!(cleared.stdout.contains("node 4 is honest"), "{cleared:#?}");
        assert_eq!(lies(&lab), HONEST);
        lab.put("a", "2");
        lab.wait_until("converged");
        lab.run(&["cluster", "down"]).ok();
        lab.start().ok();
        assert_eq!(lies(&lab), HONEST, "down and up brought the lie back");
    }
}

#[test]
fn who_leads_can_be_made_to_lie_and_more_than_are_tolerated_are_told() {
    let lab = lab(Mode::InProcess);
    let last = lying().behaviours.last().unwrap().name;
    let json = lab.run(&["byzantine", "set", "primary", last, "--output", "json"]).ok().json();
    assert_eq!((&json[0]["id"], &json[0]["malicious"]), (&1.into(), &last.into()));
    let more = lab.run(&["byzantine", "set", "3,4", last]).ok();
    let warning = "3 of 4 replicas lie: outside the fault model, which tolerates 1";
    assert!(more.stderr.contains(warning), "{more:#?}");
    assert_eq!(lab.status()["warnings"][0], warning);
    // What a node was told before is replaced.
    let first = lying().behaviours[0].name;
    lab.run(&["byzantine", "set", "4"]).ok();
    assert_eq!(lies(&lab)[3]["behaviour"], first);
    lab.run(&["byzantine", "clear", "1,3"]).ok();
    assert_eq!((&lies(&lab)[..3], &lies(&lab)[3]["behaviour"]), (&HONEST[..3], &first.into()));
}

#[test]
fn what_no_node_can_be_told_is_refused_and_nothing_is_changed() {
    let lab = lab(Mode::InProcess);
    let name = lying().behaviours[0].name;
    let set = |args: &[&str]| lab.run(&[&["byzantine", "set"], args].concat());
    set(&["4", "rude"]).fails(2, &["`rude`", name, lying().behaviours[1].summary]);
    set(&["9", name]).fails(2, &["there is no node 9", "1, 2, 3, 4"]);
    set(&["chief", name]).fails(2, &["`primary`"]);
    set(&["4", name, "--probability", "1.5"]).fails(2, &["1.5", "at most 1"]);
    set(&["4", name, "--probability", "often"]).fails(2, &["often"]);
    set(&["4", name, "--from-view", "-1"]).fails(2, &["-1"]);
    lab.run(&["kill", "3"]).ok();
    set(&["3,4", name]).fails(1, &["cannot make lie what does not run: node 3", "cluster restart 3"]);
    lab.run(&["cluster", "restart", "3"]).ok();
    lab.run(&["pause", "4"]).ok();
    set(&["4", name]).fails(1, &["cannot make lie what is paused: node 4", "resume 4"]);
    lab.run(&["resume", "4"]).ok();
    assert_eq!(lies(&lab), HONEST);
}

#[test]
fn a_protocol_that_tolerates_crashes_only_has_no_liars() {
    let lab = Lab::up(3, Mode::InProcess);
    for args in [&["set", "2", "silent"][..], &["set", "2"], &["clear", "all"]] {
        lab.run(&[&["byzantine"], args].concat()).fails(2, &["raft tolerates crashes only", lying().name]);
    }
}

/// Of whom the others observe what.
fn symptoms(lab: &Lab) -> Vec<(u64, String)> {
    let suspicions = lab.status()["suspicions"].as_array().unwrap().clone();
    let one = |one: &Value| (one["id"].as_u64().unwrap(), one["what"].as_str().unwrap().to_owned());
    suspicions.iter().map(one).collect()
}

#[test]
fn what_cannot_be_proved_of_a_primary_shows_as_symptoms() {
    let cases = [
        ("delay", &["slow"][..]),
        // Where its own requests are ordered as fast as it makes them, the others have as much to say; what stands out then is
        // that it sends what nobody takes.
        ("flood", &["floods", "invalid messages"]),
        ("censor", &["leaves out requests", "censors"]),
        ("wrong-reply", &["wrong replies"]),
    ];
    for (behaviour, expected) in cases {
        let lab = lab(Mode::InProcess);
        assert_eq!(symptoms(&lab), []);
        lab.run(&["byzantine", "set", "1", behaviour]).ok();
        lab.put("a", "1");
        eventually(behaviour, || {
            lab.put("a", "2");
            let seen = symptoms(&lab);
            seen.iter().any(|(id, what)| *id == 1 && expected.contains(&&**what)).then_some(())
        });
        let shown = lab.run(&["status"]).ok().stdout;
        assert!(shown.contains("node 1 is suspected: "), "{shown}");
    }
}

#[test]
fn honest_nodes_under_a_partition_are_suspected_of_nothing() {
    let lab = lab(Mode::InProcess);
    lab.put("a", "1");
    lab.run(&["partition", "1,2", "3,4"]).ok();
    lab.run(&["kv", "put", "b", "1", "--timeout", "4s"]).fails(4, &["outcome is unknown"]);
    assert_eq!(symptoms(&lab), [], "they are cut off, as everybody knows");
    lab.run(&["partition", "heal"]).ok();
    lab.wait_until("converged");
    let lies =
        ["wrong votes", "wrong replies", "wrong state", "invalid messages", "censors", "leaves out requests"];
    let seen = symptoms(&lab);
    assert!(seen.iter().all(|(_, what)| !lies.contains(&&**what)), "{seen:?}");
}

#[test]
fn a_client_names_a_replica_whose_answers_it_does_not_believe() {
    let lab = lab(Mode::Processes);
    lab.run(&["byzantine", "set", "4", "wrong-reply"]).ok();
    let named = "node 4 answers otherwise than 2 others: its answer is not believed";
    // It is told only if the wrong answer comes before the second right one: about every other time.
    for _ in 0..1000 {
        let put = lab.run(&["kv", "put", "a", "1"]).ok();
        assert!(put.stderr.is_empty() || put.stderr.contains(named), "{put:#?}");
        if put.stderr.contains(named) {
            // What it heard it has shown to the replicas, which had no way to know.
            return eventually("the others suspect it", || {
                let suspicions = lab.status()["suspicions"].as_array()?.clone();
                suspicions.iter().any(|one| one["id"] == 4 && one["what"] == "wrong replies").then_some(())
            });
        }
    }
    panic!("no answer of node 4 ever came in time");
}

#[test]
fn evidence_list_names_who_is_told_to_lie_and_had_no_occasion() {
    let lab = lab(Mode::InProcess);
    lab.run(&["byzantine", "set", "4", "lying-state"]).ok();
    let listed = lab.run(&["evidence", "list"]).ok().stdout;
    assert_eq!(
        listed,
        "nobody is convicted\n\nTold to lie, and not seen at it so far:\nnode 4: lying-state\n"
    );
    let json = lab.run(&["evidence", "list", "--output", "json"]).ok().json();
    assert_eq!(json["unseen"][0]["id"], 4);
    assert_eq!(json["unseen"][0]["misbehaviour"]["behaviour"], "lying-state");
}

#[test]
fn a_first_primary_that_lies_to_each_differently_is_convicted_and_left() {
    let lab = Lab::of(lying().name, 4, Mode::Processes);
    lab.start_with(&["--malicious", "1=equivocate"]).ok();
    let mut written = 0;
    let status = eventually("the convicted primary is left", || {
        lab.put("colour", &written.to_string());
        written += 1;
        let status = lab.status();
        let convicted = status["convicted"].as_array().unwrap().iter().any(|one| one["id"] == 1);
        let led_by_another = status["leader"].as_u64().is_some_and(|leader| leader != 1);
        (convicted && led_by_another).then_some(status)
    });
    let first = &status["nodes"][0];
    let why = first["why"][0].as_str().unwrap_or_default();
    assert!(why.starts_with("convicted: "), "a convicted node is shown as well: {first:#}");
    // Whoever follows another primary keeps the evidence, and the view stays.
    lab.wait_until("leader");
    assert_ne!(lab.status()["leader"], 1);
}
