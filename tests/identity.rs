//! Clusters with the same members are kept apart: the id that is made once, written into the configuration, and checked
//! wherever something could come from another cluster.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use consensusctl::client::{ControlClient, NodeReport};
use consensusctl::config::{ClusterConfig, Draft};
use consensusctl::registry::{Entry, PROTOCOLS};
use support::{Lab, Mode, Node, eventually};
use tokio::runtime::Runtime;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Gives the laboratory's configuration an id.
#[track_caller]
fn identify(lab: &Lab) -> u64 {
    lab.run(&["cluster", "new", text(&lab.config())]).ok();
    ClusterConfig::load(&lab.config()).unwrap().cluster_id
}

/// A laboratory whose nodes are started by hand.
struct Hosts {
    lab: Lab,
    nodes: Vec<Node>,
}

impl Hosts {
    fn new(lab: Lab) -> Self {
        Self { lab, nodes: Vec::new() }
    }

    fn data_dir(&self, id: u64) -> PathBuf {
        self.lab.dir.path().join(format!("host-{id}"))
    }

    fn start(&mut self, id: u64, config: &Path, more: &[&str]) {
        let node = Node::start(&self.lab, id, config, &self.data_dir(id), more);
        self.nodes.push(node);
    }

    fn kv(&self, args: &[&str]) -> String {
        let config = self.lab.config();
        let args = [&["kv"], args, &["--config", text(&config), "--timeout", "30s"]].concat();
        self.lab.run(&args).ok().stdout.trim_end().to_owned()
    }

    fn report(&self, id: u64) -> Option<NodeReport> {
        let address = format!("127.0.0.1:{}", self.lab.ports[id as usize - 1]);
        let asked = async { ControlClient::new(&address).unwrap().status(true).await.ok() };
        Runtime::new().unwrap().block_on(asked)
    }

    /// Waits until node `id` says all of this of its links.
    #[track_caller]
    fn says(&self, id: u64, words: &[&str]) {
        eventually("the node says what is wrong with its links", || {
            let why = self.report(id)?.why;
            why.iter().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
        });
    }
}

#[test]
fn a_node_refuses_a_configuration_without_an_id_and_names_the_command_that_gives_it_one() {
    let lab = Lab::new(3, Mode::Processes);
    let path = lab.config();
    let config = text(&path);
    let before = fs::read_to_string(&path).unwrap();
    let node = ["node", "--id", "1", "--config", config, "--create"];
    let command = format!("consensusctl cluster new {config}");
    lab.run(&node).fails(2, &["has no cluster_id", &command]);
    assert!(!lab.state_dir().exists(), "something was made");
    lab.run(&["kv", "get", "a", "--config", config]).fails(2, &["has no cluster_id", &command]);

    lab.run(&["cluster", "new", config, "--nodes", "3"]).fails(2, &["is there already; nothing was changed"]);
    lab.run(&["cluster", "new", config, "--replace-id"]).fails(2, &["has no id that could be replaced"]);
    let id = identify(&lab);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("cluster_id = {id:#018x}\n\n{before}"));
    let shown = format!("{id:016x}");
    lab.run(&["cluster", "new", config])
        .fails(1, &["has the id", &shown, "nothing was changed", "--replace-id"]);
    let json = lab.run(&["cluster", "new", config, "--replace-id", "--output", "json"]).ok().json();
    let replaced = ClusterConfig::load(&path).unwrap().cluster_id;
    assert_ne!(replaced, id);
    assert_eq!(json["cluster_id"], format!("{replaced:016x}"));
}

#[test]
fn a_new_configuration_is_complete_and_nothing_is_overwritten() {
    let lab = Lab::new(1, Mode::Processes);
    for entry in PROTOCOLS {
        let dir = lab.dir.path().join(entry.name);
        fs::create_dir(&dir).unwrap();
        let path = dir.join("cluster.toml");
        let members = "a:7001,b:7001,c:7001,[::1]:7001";
        let new =
            ["cluster", "new", text(&path), "--protocol", entry.name, "--name", "ours", "--member", members];
        lab.run(&new).ok();
        let config = ClusterConfig::load(&path).unwrap();
        assert_eq!((config.name.as_str(), config.protocol, config.members.len()), ("ours", entry.name, 4));
        assert_eq!(config.members[3].address, "[::1]:7001");
        for member in &config.members {
            assert_eq!(member.key_file.as_ref().is_some_and(|file| file.exists()), entry.signs);
            assert_eq!(member.public_key.is_some(), entry.signs);
        }
        if entry.signs {
            fs::remove_file(&path).unwrap();
            lab.run(&new).fails(1, &["node-1.key is there already", "nothing was made"]);
            assert!(!path.exists());
        }
    }
    let path = lab.dir.path().join("other.toml");
    let new = |more: &[&str]| lab.run(&[&["cluster", "new", text(&path)], more].concat());
    new(&["--protocol", "paxos"]).fails(2, &["unknown protocol paxos"]);
    new(&["--member", "nowhere"]).fails(2, &["nowhere", "the port is missing"]);
    new(&["--member", "a:1,a:1"]).fails(2, &["address a:1 is there twice"]);
    new(&["--nodes", "40"]).fails(2, &["1 to 31 nodes, not 40"]);
    new(&["--name", "a/b"]).fails(2, &["a/b"]);
    new(&["--replace-id"]).fails(2, &["there is no file"]);
    lab.run(&["cluster", "new", "/nowhere/at/all.toml"]).fails(1, &["cannot write /nowhere/at/all.toml"]);
    assert!(!path.exists());
    new(&["--nodes", "3"]).ok();
    assert_eq!(ClusterConfig::load(&path).unwrap().members[2].address, "host-3:5001");
}

/// One wrong address makes a node of one cluster call a node of another one with the same name, protocol and ids.
#[test]
fn a_wrong_address_leads_into_no_other_cluster_and_both_sides_say_so() {
    let [mut ours, mut theirs] = [(); 2].map(|()| Hosts::new(Lab::new(3, Mode::Processes)));
    let (our_id, their_id) = (identify(&ours.lab), identify(&theirs.lab));
    let (our_config, their_config) = (ours.lab.config(), theirs.lab.config());
    for id in 1..=3 {
        theirs.start(id, &their_config, &["--create"]);
    }
    theirs.kv(&["put", "whose", "theirs"]);
    // Host 1 has a wrong address of node 3.
    let mistaken = ours.lab.dir.path().join("mistaken.toml");
    let (right, wrong) = (format!(":{}", ours.lab.ports[2]), format!(":{}", theirs.lab.ports[2]));
    fs::write(&mistaken, fs::read_to_string(&our_config).unwrap().replace(&right, &wrong)).unwrap();
    ours.start(1, &mistaken, &["--create"]);
    ours.start(2, &our_config, &["--create"]);
    for round in 0..20 {
        ours.kv(&["put", "whose", &format!("ours {round}")]);
    }
    let (our_id, their_id) = (format!("{our_id:016x}"), format!("{their_id:016x}"));
    let said = format!("this replica is of cluster {their_id}, not of cluster {our_id}");
    ours.says(1, &["node 3 at", &wrong, "refuses the link", &said]);
    theirs.says(3, &["refuses a link from 127.0.0.1, which calls itself node 1", &said]);
    assert_eq!(theirs.kv(&["get", "whose"]), "theirs");
    theirs.kv(&["put", "whose", "theirs again"]);
    assert_eq!(theirs.kv(&["get", "whose"]), "theirs again");
    assert_eq!(ours.kv(&["get", "whose"]), "ours 19");
}

fn signing() -> &'static Entry {
    PROTOCOLS.iter().find(|entry| entry.signs).unwrap()
}

/// Data that one host still has of a cluster that was thrown away must not come back into the one that was made anew.
#[test]
fn a_cluster_made_anew_takes_nothing_of_the_old_ones_data() {
    for entry in PROTOCOLS {
        let mut hosts = Hosts::new(Lab::of(entry.name, 4, Mode::Processes));
        let path = hosts.lab.dir.path().join("cluster.toml");
        let members: Vec<_> = hosts.lab.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let new = ["cluster", "new", text(&path), "--protocol", entry.name, "--member", &members.join(",")];
        hosts.lab.run(&new).ok();
        fs::rename(&path, hosts.lab.config()).unwrap();
        let config = hosts.lab.config();
        let old_id = ClusterConfig::load(&config).unwrap().cluster_id;
        for id in 1..=4 {
            hosts.start(id, &config, &["--create"]);
        }
        for round in 0..10 {
            hosts.kv(&["put", "age", &format!("old {round}")]);
        }
        hosts.nodes.clear();
        hosts.lab.run(&["cluster", "new", "--replace-id", text(&config)]).ok();
        let new_id = ClusterConfig::load(&config).unwrap().cluster_id;
        // Host 4 is forgotten.
        for id in 1..=3 {
            fs::remove_dir_all(hosts.data_dir(id)).unwrap();
            hosts.start(id, &config, &["--create"]);
        }
        let data_dir = hosts.data_dir(4);
        let node = ["node", "--id", "4", "--config", text(&config), "--data-dir", text(&data_dir)];
        let (old, new) = (format!("{old_id:016x}"), format!("{new_id:016x}"));
        hosts.lab.run(&node).fails(1, &["cluster", &old, &new]);
        hosts.kv(&["put", "age", "new"]);
        assert_eq!(hosts.kv(&["get", "age"]), "new");
        for id in 1..=3 {
            assert!(hosts.report(id).unwrap().convicted.is_empty(), "an honest node is convicted");
        }
    }
}

#[test]
fn a_fresh_start_never_takes_the_old_datas_id() {
    let lab = Lab::of(signing().name, 4, Mode::InProcess);
    let (config, id) = (lab.config(), identify(&lab));
    let effective = || ClusterConfig::load(&lab.state_dir().join(&lab.name).join("cluster.toml")).unwrap();
    lab.start().ok();
    assert_eq!(effective().cluster_id, id);
    lab.run(&["cluster", "down"]).ok();
    let hint = format!("consensusctl cluster new --replace-id {}", text(&config));
    lab.start_with(&["--fresh"]).fails(1, &[&format!("{id:016x}"), "the data to be thrown away", &hint]);
    let keys = effective().public_keys();
    lab.start().ok();
    lab.run(&["cluster", "down"]).ok();
    lab.run(&["cluster", "new", "--replace-id", text(&config)]).ok();
    lab.start().fails(1, &["has data of the cluster_id", "--fresh"]);
    lab.start_with(&["--fresh"]).ok();
    assert_eq!(Some(effective().cluster_id), Draft::load(&config, None).unwrap().named_id());
    assert!(effective().public_keys().values().all(|key| keys.values().all(|old| old != key)));
}
