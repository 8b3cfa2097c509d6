//! Clusters whose nodes were started by hand, as on several hosts: looked at by configuration or by address.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::path::PathBuf;

use support::{Lab, Mode, Node, eventually};

/// A cluster of `node` processes without a supervisor.
struct Hosts {
    lab: Lab,
    nodes: Vec<Node>,
}

impl Hosts {
    fn start(count: usize, more: &[&str]) -> Self {
        let hosts = Self { lab: Lab::new(count, Mode::Processes), nodes: Vec::new() };
        let members = std::fs::read_to_string(hosts.config()).unwrap();
        let data = hosts.lab.dir.path().join("data");
        std::fs::write(hosts.config(), format!("data_dir = '{}'\n{members}", data.display())).unwrap();
        hosts.lab.run(&["cluster", "new", &hosts.config()]).ok();
        std::fs::create_dir(hosts.lab.dir.path().join("data")).unwrap();
        let start = |id| {
            let (config, dir) = (hosts.lab.config(), hosts.data(id));
            Node::start(&hosts.lab, id, &config, &dir, &[&["--create"], more].concat())
        };
        let nodes = (1..=count as u64).map(start).collect();
        Self { nodes, ..hosts }
    }

    fn config(&self) -> String {
        self.lab.config().to_str().unwrap().to_owned()
    }

    fn data(&self, id: u64) -> PathBuf {
        self.lab.dir.path().join("data").join(format!("node-{id}"))
    }

    fn address(&self, id: usize) -> String {
        format!("127.0.0.1:{}", self.lab.ports[id - 1])
    }
}

#[test]
fn a_cluster_without_a_supervisor_is_seen_by_its_configuration_and_by_any_of_its_nodes() {
    let mut hosts = Hosts::start(3, &[]);
    let config = hosts.config();
    let waited = hosts.lab.run(&["wait", "--until", "healthy", "--config", &config, "--timeout", "60s"]).ok();
    assert!(
        waited.stdout.starts_with("lab (raft): leader ") && waited.stdout.contains(", healthy\n"),
        "{waited:#?}"
    );
    let second = hosts.address(2);
    for choice in [["--config", &config], ["--endpoints", &second]] {
        let status = hosts.lab.run(&[&["status", "--output", "json"][..], &choice].concat()).ok().json();
        assert_eq!(status["healthy"], true, "{status}");
        for node in status["nodes"].as_array().unwrap() {
            assert_eq!((&node["state"], &node["reachable"]), (&"running".into(), &true.into()), "{node}");
            assert!(node["pid"].is_null() && node["log"].is_null(), "only a supervisor knows: {node}");
        }
        assert!(!hosts.lab.run(&[&["status", "--wide"][..], &choice].concat()).ok().stdout.contains("PID"));
    }
    let verified = hosts.lab.run(&["wal", "verify", "--config", &config]).ok();
    assert_eq!(verified.stdout.matches(": sound").count(), 3, "{verified:#?}");
    let none = hosts.lab.run(&["evidence", "list", "--config", &config]).ok();
    assert!(none.stdout.contains("nobody is convicted"), "{none:#?}");
    let log = |id| hosts.data(id).with_extension("log").to_str().unwrap().to_owned();
    let logs = hosts.lab.run(&["logs", "--file", &log(1), "--file", &log(2)]).ok().stdout;
    assert!(logs.contains("node-1 | ") && logs.contains("node-2 | "), "{logs}");

    // One that does not answer is told apart, and asked for by nobody else.
    drop(hosts.nodes.remove(0));
    let status = eventually("node 1 is silent", || {
        let status = hosts.lab.run(&["status", "--config", &config, "--output", "json"]).ok().json();
        (status["leader"].is_u64() && status["healthy"] == false).then_some(status)
    });
    assert_eq!(status["nodes"][0]["state"], "unknown");
    assert!(status["headline"].as_str().unwrap().contains("not healthy: node 1 does not answer"), "{status}");
    let both = format!("{},{second}", hosts.address(1));
    let ran = hosts.lab.run(&["status", "--endpoints", &both]).ok();
    assert!(ran.stderr.contains(&format!("no answer from {}", hosts.address(1))), "{ran:#?}");
    assert!(ran.stdout.contains("node 1 does not answer"), "{ran:#?}");
}

#[test]
fn wrong_choices_of_a_cluster_are_told() {
    let (hosts, others) = (Hosts::start(1, &[]), Hosts::start(1, &[]));
    let (config, here, there) = (hosts.config(), hosts.address(1), others.address(1));
    let run = |args: &[&str]| hosts.lab.run(args);
    run(&["status", "--config", &config, "--endpoints", &here]).fails(2, &["cannot be used with"]);
    run(&["status", "--config", &config, "--cluster", "x"]).fails(2, &["--cluster x", "remove one"]);
    run(&["status", "--config", "/nowhere/c.toml"]).fails(2, &["/nowhere/c.toml"]);
    run(&["status", "--endpoints", "127.0.0.1:1"])
        .fails(5, &["no answer from", "127.0.0.1:1", "--endpoints"]);
    run(&["wait", "--until", "leader", "--endpoints", "nonsense"]).fails(2, &["nonsense", "host:port"]);
    let both = format!("{here},{there}");
    run(&["status", "--endpoints", &both]).fails(2, &[&here, &there, "of another cluster"]);
    run(&["evidence", "list", "--config", "/nowhere/c.toml"]).fails(2, &["/nowhere/c.toml"]);
    run(&["logs", "--file", "/nowhere/node.log"]).fails(2, &["/nowhere/node.log", "standard error"]);
    // The address leads into another cluster.
    let text = std::fs::read_to_string(&config).unwrap().replace(&here, &there);
    let wrong = hosts.lab.dir.path().join("wrong.toml");
    std::fs::write(&wrong, text).unwrap();
    let wrong = wrong.to_str().unwrap();
    let ran = run(&["status", "--config", wrong]).ok();
    assert!(ran.stdout.contains("a node of another cluster answers there"), "{ran:#?}");
    run(&["wait", "--until", "leader", "--config", wrong, "--timeout", "300ms"])
        .fails(1, &["after 300ms", "another cluster", "--timeout"]);
    std::fs::remove_dir_all(others.data(1)).unwrap();
    run(&["wal", "verify", "--config", &others.config()]).fails(1, &["no node of lab", "looked for"]);
}

#[test]
fn logs_can_be_asked_for_messages_storage_or_links_and_not_for_frames() {
    let targets = ["consensusctl::messages: ", "consensusctl::storage: ", "consensusctl::transport::"];
    let filters = [
        ("debug", [true, true, true]),
        ("warn,consensusctl::messages=debug", [true, false, false]),
        ("warn,consensusctl::storage=debug", [false, true, false]),
        ("warn,consensusctl::transport=debug", [false, false, true]),
    ];
    for (filter, wanted) in filters {
        let hosts = Hosts::start(3, &["--log", filter]);
        hosts.lab.run(&["wait", "--until", "healthy", "--config", &hosts.config(), "--timeout", "60s"]).ok();
        let text = || std::fs::read_to_string(hosts.data(1).with_extension("log")).unwrap();
        eventually(filter, || {
            let text = text();
            targets.iter().zip(wanted).all(|(target, wanted)| !wanted || text.contains(target)).then_some(())
        });
        let text = text();
        for (target, wanted) in targets.iter().zip(wanted) {
            assert_eq!(text.contains(target), wanted, "{filter}: {target}");
        }
        assert!(!text.contains(" h2::") && !text.contains(" hyper"), "{filter}: frames are told");
    }
}
