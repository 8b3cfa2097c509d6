use super::*;
use crate::cluster::{Convicted, Suspected};
use crate::consensus::Misbehaviour;
use crate::registry::{default_protocol, tests::lying};

fn node(id: u64, malicious: Option<&str>) -> NodeStatus {
    NodeStatus {
        id,
        address: format!("127.0.0.1:{}", 6000 + id),
        pid: None,
        state: NodeState::Running,
        reachable: true,
        role: Some("leader".to_owned()),
        epoch: Some(3),
        leader: Some(1),
        last: Some(10),
        committed: Some(10),
        applied: Some(10),
        digest: Some("0123456789".to_owned()),
        digest_at: Some(10),
        behind: Some(0),
        details: [("low_water_mark".to_owned(), 8)].into(),
        malicious: malicious.map(str::to_owned),
        misbehaviour: malicious.map(|name| Misbehaviour::new(name, 7)),
        why: Vec::new(),
        convicted: Vec::new(),
        suspicions: Vec::new(),
        log: "log".into(),
    }
}

fn status(protocol: &str, nodes: Vec<NodeStatus>, warnings: Vec<String>) -> ClusterStatus {
    ClusterStatus {
        name: "lab".to_owned(),
        protocol: protocol.to_owned(),
        tolerates: 0,
        leader: Some(1),
        healthy: true,
        why: Vec::new(),
        warnings,
        convicted: Vec::new(),
        suspicions: Vec::new(),
        nodes,
    }
}

#[test]
fn what_only_some_clusters_have_has_a_column_only_there() {
    let honest = render(&status(default_protocol().name, vec![node(1, None)], Vec::new()));
    assert!(honest.starts_with("lab (raft): leader 1, healthy\n\nID "), "{honest}");
    assert!(!honest.contains("LOW MARK") && !honest.contains("MALICIOUS"), "{honest}");
    assert!(honest.contains("TERM  LEADER"), "{honest}");
    let nodes = vec![node(1, None), node(2, Some("silent"))];
    let lying = render(&status(lying().name, nodes, vec!["too many lie".to_owned()]));
    assert!(lying.contains("healthy\ntoo many lie\n\n"), "{lying}");
    assert!(lying.contains("VIEW  PRIMARY") && lying.contains("LOW MARK"), "{lying}");
    assert!(lying.contains("MALICIOUS") && lying.contains("silent"), "{lying}");
}

#[test]
fn proof_and_suspicion_stand_apart_under_the_table() {
    let mut blamed = status("raft", vec![node(1, None)], Vec::new());
    blamed.convicted.push(Convicted {
        id: 4,
        newest: "two PREPAREs for view 0, sequence 7".to_owned(),
        pieces: 2,
        held_by: vec![1, 2, 3],
    });
    blamed.suspicions.push(Suspected {
        id: 1,
        what: "slow".to_owned(),
        why: "requests wait for it".to_owned(),
        times: 3,
        by: vec![2],
    });
    let shown = render(&blamed);
    let expected = "\n\nnode 4 is convicted: two PREPAREs for view 0, sequence 7 (evidence of nodes 1, 2, 3)\n\
                    node 1 is suspected: slow, requests wait for it (by node 2)";
    assert!(shown.ends_with(expected), "{shown}");
}
