//! The whole text of `status` on 80 columns.

use super::*;
use crate::client::ConvictionReport;
use crate::cluster::Partition;
use crate::cluster::status::tests::{Known, assessed, in_state, node, report};
use crate::consensus::Misbehaviour;
use crate::registry::{Entry, default_protocol, tests::lying};

const SCREEN: View = View { table: Some(80), text: Some(80) };

fn shown(entry: &Entry, nodes: Vec<Known>) -> String {
    render(&assessed(entry, nodes, Partition::default()), &SCREEN).paint(false)
}

/// As many nodes as the protocol has by default, all well.
fn cluster(entry: &Entry) -> Vec<Known> {
    (1..=entry.default_nodes).map(|id| node(id, Some(1))).collect()
}

fn stop(nodes: &mut [Known], id: u64) {
    nodes[id as usize - 1] = in_state(id, NodeState::Stopped, Some("ended by `kill`"));
}

/// Followers that have lost their leader.
fn lost(nodes: &mut [Known]) {
    for node in nodes.iter_mut().filter(|(_, answer)| answer.is_some()) {
        let said = report(node);
        (said.leader, said.role) = (None, "follower".to_owned());
        said.why.push("no leader known for 1.0 s".to_owned());
    }
}

fn halves(nodes: &mut [Known]) -> Partition {
    for node in nodes.iter_mut() {
        let said = report(node);
        said.blocked = if said.id <= 2 { vec![3, 4] } else { vec![1, 2] };
        said.why.push(format!("partitioned from {}, {}", said.blocked[0], said.blocked[1]));
    }
    Partition { groups: vec![[1, 2].into(), [3, 4].into()] }
}

fn convicts(nodes: &mut [Known], accused: u64) {
    for node in nodes.iter_mut().filter(|(info, _)| info.id != accused) {
        let newest = "two PREPAREs for view 0, sequence 7".to_owned();
        report(node).convicted.push(ConvictionReport { id: accused, pieces: 1, newest });
    }
}

/// Each case with its whole text, as `golden` has it: `UPDATE_GOLDENFILES=1 cargo test golden` writes it anew.
#[test]
fn golden_status() {
    let mut texts = String::new();
    let mut case = |title: &str, shown: String| texts.extend(["# ", title, "\n\n", &shown, "\n\n"]);
    for entry in [default_protocol(), lying()] {
        let protocol = entry.name;
        case(&format!("{protocol}: all is well"), shown(entry, cluster(entry)));

        let mut nodes = cluster(entry);
        stop(&mut nodes, 2);
        case(&format!("{protocol}: one is killed"), shown(entry, nodes));

        let mut nodes = cluster(entry);
        stop(&mut nodes, 1);
        if !entry.signs {
            lost(&mut nodes);
        }
        case(&format!("{protocol}: the leader is killed"), shown(entry, nodes));

        let mut nodes = cluster(entry);
        (2..entry.default_nodes).for_each(|id| stop(&mut nodes, id));
        lost(&mut nodes);
        case(&format!("{protocol}: no quorum is left"), shown(entry, nodes));

        let mut nodes: Vec<Known> = (1..=4).map(|id| node(id, Some(1))).collect();
        let partition = halves(&mut nodes);
        let status = assessed(entry, nodes, partition);
        case(&format!("{protocol}: two sides of two"), render(&status, &SCREEN).paint(false));

        let mut nodes = cluster(entry);
        nodes[1] = in_state(2, NodeState::Failed, Some("killed by SIGKILL"));
        nodes[2] = in_state(3, NodeState::Paused, None);
        nodes[3].1 = Some(Err("no answer within 500ms".to_owned()));
        report(&mut nodes[0]).why.push("the disk is slow: new writes are refused".to_owned());
        case(&format!("{protocol}: several troubles"), shown(entry, nodes));
    }
    for (who, accused) in [("the primary", 1), ("a backup", 4)] {
        let mut nodes = cluster(lying());
        let info = &mut nodes[accused as usize - 1].0;
        info.malicious = Some("equivocate".to_owned());
        info.misbehaviour = Some(Misbehaviour::new("equivocate", 7));
        convicts(&mut nodes, accused);
        case(&format!("{}: {who} is convicted", lying().name), shown(lying(), nodes));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/status/golden");
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        std::fs::write(path, &texts).unwrap();
    }
    assert_eq!(texts, std::fs::read_to_string(path).unwrap());
    assert!(texts.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn every_column_is_shown_where_there_is_room_or_on_request() {
    let status = assessed(lying(), cluster(lying()), Partition::default());
    let wide = render(&status, &View { table: None, text: None }).paint(false);
    assert_eq!(wide, render(&status, &View { table: Some(200), text: Some(200) }).paint(false));
    for title in ["PID", "LAST", "COMMITTED", "BEHIND", "LOW MARK", "WAITING"] {
        assert!(wide.contains(title), "{title}: {wide}");
    }
    let narrow = render(&status, &View { table: Some(20), text: Some(20) }).paint(false);
    assert!(narrow.contains("ID  STATE") && !narrow.contains("DIGEST"), "{narrow}");
}
