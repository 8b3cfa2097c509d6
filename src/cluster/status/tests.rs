use super::*;
use crate::client::PeerReport;
use crate::registry::tests::lying;

/// What is known of a node: its info, and its answer if it was asked.
pub(crate) type Known = (NodeInfo, Option<Answer>);

/// A running node's info and report; it leads if `leader` names it.
pub(crate) fn node(id: u64, leader: Option<u64>) -> Known {
    let info = NodeInfo {
        id,
        address: format!("127.0.0.1:{}", 5000 + id),
        pid: Some(100 + id as u32),
        state: NodeState::Running,
        why: None,
        log: Some("node.log".into()),
        disk: DiskFault::Ok,
        malicious: None,
        misbehaviour: None,
    };
    let report = NodeReport {
        id,
        role: if leader == Some(id) { "leader" } else { "follower" }.to_owned(),
        epoch: 3,
        leader,
        last: 10,
        committed: 10,
        applied: 10,
        digest: Some("ab".to_owned()),
        digest_at: 10,
        ..NodeReport::default()
    };
    (info, Some(Ok(report)))
}

pub(crate) fn status_of(nodes: Vec<Known>) -> ClusterStatus {
    status_under(nodes, Partition::default())
}

fn status_under(nodes: Vec<Known>, partition: Partition) -> ClusterStatus {
    assessed(registry::default_protocol(), nodes, partition)
}

pub(crate) fn assessed(entry: &Entry, nodes: Vec<Known>, partition: Partition) -> ClusterStatus {
    let roster = Roster {
        name: "lab".to_owned(),
        protocol: entry.name.to_owned(),
        cluster_id: None,
        partition,
        links: Vec::new(),
        nodes: nodes.iter().map(|(info, _)| info.clone()).collect(),
    };
    let answers = nodes.into_iter().filter_map(|(info, answer)| Some((info.id, answer?))).collect();
    let goal = committed(&roster, &answers);
    assess(entry, &roster, &answers, goal)
}

pub(crate) fn in_state(id: u64, state: NodeState, why: Option<&str>) -> Known {
    let (mut info, _) = node(id, None);
    (info.state, info.why) = (state, why.map(str::to_owned));
    (info, None)
}

pub(crate) fn report(node: &mut Known) -> &mut NodeReport {
    node.1.as_mut().unwrap().as_mut().unwrap()
}

fn holds(condition: &str, status: &ClusterStatus) -> bool {
    condition.parse::<Condition>().unwrap().missing(status).is_none()
}

#[test]
fn a_cluster_without_trouble_is_healthy_and_converged() {
    let status = status_of((1..=5).map(|id| node(id, Some(2))).collect());
    assert_eq!((status.leader, status.healthy, &status.why), (Some(2), true, &Vec::new()));
    for condition in ["leader", "healthy", "converged", "applied>=10"] {
        assert!(holds(condition, &status), "{condition}");
    }
    let missing = Condition::Applied(11).missing(&status).unwrap();
    assert!(missing.contains("node 1 applied 10"), "{missing}");
}

#[test]
fn a_node_that_was_ended_on_purpose_is_told_and_not_waited_for() {
    let mut nodes: Vec<_> = (1..=4).map(|id| node(id, Some(2))).collect();
    nodes.push(in_state(5, NodeState::Stopped, Some("ended by `kill`")));
    let status = status_of(nodes);
    assert!(status.healthy && holds("converged", &status));
    assert_eq!(status.nodes[4].why, ["ended by `kill`"]);
}

#[test]
fn a_failed_or_paused_node_keeps_the_cluster_from_being_healthy_with_its_reason() {
    let mut nodes: Vec<_> = (1..=3).map(|id| node(id, Some(2))).collect();
    nodes.push(in_state(4, NodeState::Paused, None));
    nodes.push(in_state(5, NodeState::Failed, Some("killed by SIGKILL")));
    let status = status_of(nodes);
    assert_eq!(status.leader, Some(2));
    assert_eq!(status.why, ["node 4: paused", "node 5: killed by SIGKILL"]);
    assert!(!holds("healthy", &status) && !holds("converged", &status) && holds("leader", &status));
}

#[test]
fn a_node_that_was_ended_is_named_at_once_and_the_same_is_said_later() {
    let mut nodes: Vec<_> = (1..=5).map(|id| node(id, Some(1))).collect();
    nodes[1] = in_state(2, NodeState::Stopped, Some("ended by `kill`"));
    let at_once = status_of(nodes.clone());
    let why = Some("has not answered the leader for 2.0 s".to_owned());
    report(&mut nodes[0]).peers.push(PeerReport { id: 2, why, ..PeerReport::default() });
    let later = status_of(nodes.clone());
    assert_eq!(at_once, later, "what the leader lacks was taken away on purpose");
    assert_eq!((&*later.headline, later.healthy), ("leader 1, healthy; node 2 is stopped", true));
    nodes[1] = node(2, Some(1));
    let running = status_of(nodes);
    assert_eq!(running.nodes[1].why, ["has not answered the leader for 2.0 s"]);
    assert_eq!(running.headline, "leader 1, not healthy: node 2 is not well");
}

#[test]
fn what_a_node_says_of_its_cuts_counts_where_nobody_handed_them_out() {
    let mut nodes: Vec<_> = (1..=4).map(|id| node(id, Some(1))).collect();
    for id in 1..=4 {
        report(&mut nodes[id - 1]).blocked = if id <= 2 { vec![3, 4] } else { vec![1, 2] };
    }
    let status = assessed(lying(), nodes, Partition::default());
    let headline = "no primary, not healthy: no quorum: no 3 nodes hear each other; nodes 1, 2, 3, 4 are cut off from others";
    assert_eq!((status.leader, &*status.headline), (None, headline));
}

#[test]
fn an_answer_of_another_cluster_or_node_is_none() {
    let (info, answer) = node(1, Some(1));
    let mut roster = Roster::unwatched(
        "lab".to_owned(),
        "raft".to_owned(),
        7,
        [(1, info.address.clone()), (2, info.address)],
    );
    let other = roster.recognize(1, answer.clone().unwrap()).unwrap_err();
    assert!(other.starts_with("a node of another cluster answers there"), "{other}");
    roster.cluster_id = Some(0);
    assert!(roster.recognize(1, answer.clone().unwrap()).is_ok());
    assert_eq!(roster.recognize(2, answer.unwrap()).unwrap_err(), "node 1 answers there");
}

#[test]
fn a_leader_that_only_a_minority_follows_does_not_lead() {
    let mut nodes: Vec<_> = (1..=5).map(|id| node(id, None)).collect();
    for id in [1, 2] {
        nodes[id - 1] = node(id as u64, Some(1));
    }
    let all = (1..=5).collect();
    let partition = Partition::groups(&all, vec![[1, 2].into()]).unwrap();
    let status = status_under(nodes, partition);
    assert_eq!(status.leader, None);
    assert_eq!(status.why[0], "a quorum follows no leader");
    assert_eq!(status.why[1], "partitioned: 1, 2 | 3, 4, 5");
}

#[test]
fn who_is_cut_off_from_a_primary_does_not_follow_it() {
    let nodes = || (1..=4).map(|id| node(id, Some(1))).collect::<Vec<_>>();
    let all = (1..=4).collect();
    let halves = Partition::groups(&all, vec![[1, 2].into()]).unwrap();
    let status = assessed(lying(), nodes(), halves);
    assert_eq!(status.leader, None, "in a view that no quorum shares nobody leads");
    assert_eq!(status.why, ["no quorum: no 3 nodes hear each other", "partitioned: 1, 2 | 3, 4"]);
    let one_away = Partition::groups(&all, vec![[4].into()]).unwrap();
    assert_eq!(assessed(lying(), nodes(), one_away).leader, Some(1));
}

#[test]
fn of_two_that_say_they_lead_the_later_one_does() {
    let mut nodes: Vec<_> = (1..=5).map(|id| node(id, Some(2))).collect();
    nodes[0] = node(1, Some(1));
    report(&mut nodes[0]).epoch = 2;
    let status = status_of(nodes);
    assert_eq!(status.leader, Some(2));
    assert_eq!(status.nodes[0].why, ["follows 1, not the leader 2"]);
}

#[test]
fn no_quorum_is_said_with_numbers() {
    let mut nodes = vec![node(1, None), node(2, None)];
    nodes.extend((3..=5).map(|id| in_state(id, NodeState::Stopped, None)));
    assert_eq!(status_of(nodes).why, ["no quorum: 2 of 5 nodes reachable, 3 needed"]);
}

#[test]
fn equal_indices_with_different_digests_are_not_convergence() {
    let mut nodes: Vec<_> = (1..=3).map(|id| node(id, Some(2))).collect();
    report(&mut nodes[2]).digest = Some("cd".to_owned());
    let status = status_of(nodes);
    assert_eq!(status.nodes[2].why, ["its state differs from the leader's at index 10"]);
    assert!(Condition::Converged.missing(&status).unwrap().starts_with("digests differ"));
}

#[test]
fn a_node_that_trails_what_the_leader_had_committed_is_neither_converged_nor_healthy() {
    let mut nodes: Vec<_> = (1..=3).map(|id| node(id, Some(2))).collect();
    report(&mut nodes[0]).applied = 9;
    report(&mut nodes[0]).digest_at = 9;
    let status = status_of(nodes);
    assert_eq!(status.nodes[0].behind, Some(1));
    assert_eq!(status.why, ["node 1: 1 index behind"]);
    assert!(!holds("healthy", &status) && !holds("converged", &status));
}

/// After a restart of all, nobody has executed anything, and all are equal in that.
#[test]
fn nodes_that_are_equal_but_have_not_caught_up_with_the_log_have_not_converged() {
    let mut nodes: Vec<_> = (1..=3).map(|id| node(id, Some(2))).collect();
    for node in &mut nodes {
        (report(node).applied, report(node).committed) = (0, 0);
    }
    let missing = Condition::Converged.missing(&status_of(nodes.clone())).unwrap();
    assert!(missing.contains("last index is 10, node 1 applied 0"), "{missing}");
    for node in &mut nodes {
        (report(node).leader, report(node).last) = (None, 0);
    }
    let missing = Condition::Converged.missing(&status_of(nodes)).unwrap();
    assert!(missing.contains("no leader"), "{missing}");
}

#[test]
fn a_node_that_does_not_answer_is_unreachable_with_the_reason() {
    let mut nodes: Vec<_> = (1..=3).map(|id| node(id, Some(2))).collect();
    nodes[0].1 = Some(Err("no answer within 500ms".to_owned()));
    let status = status_of(nodes);
    assert!(!status.nodes[0].reachable);
    assert_eq!(status.why, ["node 1: does not answer: no answer within 500ms"]);
}

#[test]
fn unknown_conditions_are_refused_with_the_known_ones() {
    assert!("happy".parse::<Condition>().unwrap_err().contains("applied>=N"));
}

/// Four nodes of a protocol that tolerates one liar, of which some lie and say that nothing was done.
fn with_liars(leader: u64, liars: &[u64], change: impl Fn(&mut [Known])) -> ClusterStatus {
    let mut nodes: Vec<_> = (1..=4).map(|id| node(id, Some(leader))).collect();
    for liar in liars {
        let lying = &mut nodes[*liar as usize - 1];
        lying.0.malicious = Some("silent".to_owned());
        let said = report(lying);
        (said.applied, said.committed, said.last, said.digest) = (3, 3, 3, Some("cd".to_owned()));
    }
    change(&mut nodes);
    assessed(lying(), nodes, Partition::default())
}

#[test]
fn a_liar_counts_neither_for_nor_against_the_cluster() {
    for (leader, liar) in [(1, 4), (1, 1)] {
        let status = with_liars(leader, &[liar], |_| {});
        assert_eq!((status.leader, status.healthy, status.tolerates), (Some(leader), true, 1), "{status:#?}");
        for condition in ["leader", "healthy", "converged", "applied>=10"] {
            assert!(holds(condition, &status), "{condition} with liar {liar}");
        }
        assert_eq!(status.node(liar).unwrap().malicious.as_deref(), Some("silent"));
        assert_eq!(status.nodes.iter().filter(|node| node.malicious.is_some()).count(), 1);
        assert!(status.warnings.is_empty());
    }
}

#[test]
fn a_liar_does_not_make_up_for_an_honest_node() {
    let down = |nodes: &mut [Known]| nodes[1] = in_state(2, NodeState::Failed, Some("killed"));
    let status = with_liars(1, &[4], down);
    assert_eq!(status.leader, None, "three of four are a quorum, and only two of them are honest");
    assert_eq!(status.why[0], "no quorum: 2 of 3 honest nodes reachable, 3 needed");
    // In a cluster without a liar, three of four suffice.
    assert_eq!(with_liars(1, &[], down).leader, Some(1));
}

#[test]
fn a_liar_that_claims_to_lead_a_later_epoch_is_not_heard_alone() {
    let claims = |nodes: &mut [Known]| {
        let said = report(&mut nodes[3]);
        (said.leader, said.epoch, said.role) = (Some(4), 9, "leader".to_owned());
    };
    assert_eq!(with_liars(1, &[4], claims).leader, Some(1));
    assert_eq!(with_liars(1, &[], claims).leader, None, "an honest node that claims it is believed");
}

#[test]
fn honest_nodes_are_compared_with_each_other_when_the_leader_lies() {
    let differs = |nodes: &mut [Known]| report(&mut nodes[2]).digest = Some("ef".to_owned());
    let status = with_liars(1, &[1], differs);
    assert!(!status.healthy && !holds("converged", &status));
    assert!(status.why.iter().any(|why| why.contains("its state differs from node 4's")), "{:?}", status.why);
    let trails = |nodes: &mut [Known]| report(&mut nodes[2]).applied = 7;
    let status = with_liars(1, &[1], trails);
    assert_eq!(status.why, ["node 3: 3 indices behind"]);
}

#[test]
fn more_liars_than_are_tolerated_are_told_and_the_rest_is_judged() {
    let status = with_liars(1, &[3, 4], |_| {});
    assert_eq!(status.warnings, ["2 of 4 replicas lie: outside the fault model, which tolerates 1"]);
    assert_eq!((status.leader, status.healthy), (Some(1), true));
}

#[test]
fn what_a_node_says_of_itself_is_shown() {
    let says = |nodes: &mut [Known]| {
        let said = report(&mut nodes[1]);
        said.malicious = Some("equivocate".to_owned());
        said.misbehaviour = Some(Misbehaviour::new("equivocate", 7));
        said.details.insert("low_water_mark".to_owned(), 128);
    };
    let status = with_liars(1, &[], says);
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["nodes"][1]["malicious"], "equivocate");
    assert_eq!(json["nodes"][1]["misbehaviour"]["seed"], 7);
    assert_eq!(json["nodes"][1]["details"]["low_water_mark"], 128);
    assert!(json["nodes"][0]["malicious"].is_null());
    assert_eq!(json["nodes"][0]["details"], serde_json::json!({}));
}

#[test]
fn what_nodes_hold_against_others_is_put_together_and_a_liars_word_left_out() {
    let status = with_liars(1, &[4], |nodes| {
        for (_, answer) in nodes.iter_mut() {
            let Some(Ok(report)) = answer else { continue };
            let (accused, what) = if report.id == 4 { (2, "a lie") } else { (4, "two PREPAREs") };
            let conviction = ConvictionReport { id: accused, pieces: report.id, newest: what.to_owned() };
            report.convicted.push(conviction);
            let (why, times) = ("it sends nothing".to_owned(), report.id);
            for why in [why, "it is not heard of".to_owned()] {
                report.suspicions.push(SuspicionReport {
                    id: accused,
                    what: "silent".to_owned(),
                    why,
                    times,
                });
            }
        }
    });
    let [convicted] = &status.convicted[..] else { panic!("{:?}", status.convicted) };
    assert_eq!((convicted.id, convicted.pieces, &convicted.held_by[..]), (4, 3, &[1, 2, 3][..]));
    assert_eq!(convicted.to_string(), "node 4 is convicted: two PREPAREs (evidence of nodes 1, 2, 3)");
    let [suspected] = &status.suspicions[..] else { panic!("{:?}", status.suspicions) };
    assert_eq!(suspected.to_string(), "node 4 is suspected: silent, it sends nothing (by nodes 1, 2, 3)");
}

#[test]
fn silence_that_was_made_on_purpose_is_no_symptom() {
    let suspect = |nodes: &mut [Known]| {
        for (_, answer) in nodes.iter_mut() {
            let Some(Ok(said)) = answer else { continue };
            if said.id == 2 {
                continue;
            }
            let (what, why) = ("silent".to_owned(), "not heard of for 4 s".to_owned());
            said.suspicions.push(SuspicionReport { id: 2, what, why, times: 1 });
        }
    };
    let mut nodes: Vec<_> = (1..=4).map(|id| node(id, Some(1))).collect();
    suspect(&mut nodes);
    assert_eq!(assessed(lying(), nodes.clone(), Partition::default()).suspicions.len(), 1);
    let alone = Partition::groups(&(1..=4).collect(), vec![[2].into()]).unwrap();
    assert_eq!(assessed(lying(), nodes.clone(), alone).suspicions, []);
    nodes[1] = in_state(2, NodeState::Stopped, None);
    assert_eq!(assessed(lying(), nodes, Partition::default()).suspicions, []);
}

#[test]
fn a_convicted_node_is_never_shown_as_well_and_the_cluster_is_not_while_it_leads() {
    for (leader, healthy) in [(1, false), (2, true)] {
        let status = with_liars(leader, &[1], |nodes| {
            let newest = "two PREPAREs".to_owned();
            report(&mut nodes[2]).convicted.push(ConvictionReport { id: 1, pieces: 1, newest });
        });
        let node = status.node(1).unwrap();
        assert_eq!(node.why[0], "convicted: two PREPAREs");
        assert_eq!(status.keeps_up(node), node.why.len() == 1);
        assert_eq!(status.healthy, healthy, "{:?}", status.why);
        assert_eq!(status.why.iter().any(|why| why.contains("1 is convicted")), !healthy);
    }
}
