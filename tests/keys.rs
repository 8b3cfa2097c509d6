//! Keys and liars, as the command line makes and refuses them.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use consensusctl::registry::{Entry, PROTOCOLS};
use serde_json::Value;
use support::{Lab, Mode, files};

#[test]
fn keys_are_generated_once_and_for_their_owners_alone() {
    let lab = Lab::new(1, Mode::Processes);
    let out = lab.dir.path().join("keys");
    let args = ["keys", "generate", "--nodes", "4", "--clients", "2", "--out", out.to_str().unwrap()];
    let ran = lab.run(&args).ok();
    assert_eq!(ran.stdout.matches("[[member]]").count(), 4, "{ran:#?}");
    assert_eq!(ran.stdout.matches("[[client]]").count(), 2, "{ran:#?}");
    let made = files(&out);
    assert_eq!(made.len(), 6);
    for file in &made {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let before: Vec<_> = made.iter().map(|file| std::fs::read(file).unwrap()).collect();
    lab.run(&args).fails(1, &["node-1.key is there already", "nothing was made"]);
    let after: Vec<_> = made.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert_eq!(before, after, "a key was overwritten");
}

#[test]
fn generated_keys_are_told_as_json_without_what_is_private() {
    let lab = Lab::new(1, Mode::Processes);
    let out = lab.dir.path().join("keys");
    let ran = lab
        .run(&["keys", "generate", "--nodes", "1", "--out", out.to_str().unwrap(), "--output", "json"])
        .ok();
    let json = ran.json();
    assert_eq!(json["members"][0]["id"], 1);
    assert_eq!(json["clients"][0]["id"], 1001);
    let text = std::fs::read_to_string(out.join("node-1.key")).unwrap();
    assert!(text.contains(json["members"][0]["public_key"].as_str().unwrap()));
    let seed = text.lines().find_map(|line| line.strip_prefix("ed25519: ")).unwrap();
    assert!(!ran.stdout.contains(seed) && !ran.stderr.contains(seed), "the private key was printed");
}

#[test]
fn a_protocol_that_signs_nothing_refuses_keys_and_liars() {
    let lab = Lab::new(3, Mode::Processes);
    lab.start_with(&["--malicious", "3"]).fails(2, &["raft tolerates crashes only"]);
    lab.start_with(&["--malicious", "x=silent"]).fails(2, &["ID=BEHAVIOUR", "none"]);
    let config = lab.config();
    let config = config.to_str().unwrap();
    let out = lab.dir.path().join("keys");
    lab.run(&["keys", "generate", "--config", config, "--out", out.to_str().unwrap()])
        .fails(2, &["raft", "signs nothing"]);
    assert!(!out.exists());
    lab.run(&["cluster", "new", config]).ok();
    lab.run(&["node", "--id", "1", "--config", config, "--key", "/dev/null"])
        .fails(2, &["raft signs nothing"]);
    lab.run(&["node", "--id", "1", "--config", config, "--malicious", "silent"])
        .fails(2, &["raft tolerates crashes only"]);
    lab.write_config("[[client]]\nid = 1001\npublic_key = \"00\"\n");
    lab.start().fails(2, &["lab.toml", "raft signs nothing"]);
    assert!(!lab.node_dir(1).exists(), "something was made");
}

/// The protocol that signs.
fn signing() -> &'static Entry {
    PROTOCOLS.iter().find(|entry| entry.signs).unwrap()
}

fn lab(nodes: usize, mode: Mode) -> Lab {
    Lab::of(signing().name, nodes, mode)
}

/// The effective configuration.
fn effective(lab: &Lab) -> toml::Table {
    let path = lab.state_dir().join(&lab.name).join("cluster.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn public_keys(config: &toml::Table) -> Vec<String> {
    let all = ["member", "client"].iter().flat_map(|kind| config[*kind].as_array().unwrap());
    all.map(|section| section["public_key"].as_str().unwrap().to_owned()).collect()
}

fn key(lab: &Lab, name: &str) -> PathBuf {
    lab.state_dir().join(&lab.name).join("keys").join(name)
}

#[test]
fn keys_survive_down_and_up_and_a_fresh_start_makes_new_ones() {
    let lab = lab(4, Mode::Processes);
    lab.start().ok();
    let (first, id) = (public_keys(&effective(&lab)), effective(&lab)["cluster_id"].clone());
    assert_eq!(first.len(), 4 + 5, "one for each node, for `kv`, and for four gateways");
    for name in ["node-1.key", "node-4.key", "client-1001.key"] {
        let mode = key(&lab, name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    lab.run(&["cluster", "down"]).ok();
    lab.start().ok();
    assert_eq!(public_keys(&effective(&lab)), first);
    lab.run(&["cluster", "down"]).ok();
    lab.start_with(&["--fresh"]).ok();
    let fresh = public_keys(&effective(&lab));
    assert!(first.iter().all(|key| !fresh.contains(key)), "a fresh cluster has an old key");
    assert_ne!(effective(&lab)["cluster_id"], id);
    lab.run(&["cluster", "down", "--wipe"]).ok();
    assert_eq!(files(&lab.state_dir()), Vec::<PathBuf>::new(), "files are left");
}

#[test]
fn a_private_key_that_does_not_fit_is_refused_before_anything_starts() {
    let lab = lab(4, Mode::InProcess);
    lab.start().ok();
    lab.run(&["cluster", "down"]).ok();
    let (one, two, aside) = (key(&lab, "node-1.key"), key(&lab, "node-2.key"), key(&lab, "aside"));
    let refused = |words: &[&str]| {
        lab.start().fails(1, words);
        assert_eq!(lab.processes(), Vec::<u32>::new(), "something was started");
    };
    std::fs::rename(&two, &aside).unwrap();
    refused(&["the private key of node 2 is missing", "hint:", "node-2.key"]);
    std::fs::copy(&one, &two).unwrap();
    refused(&["node-2.key holds the private key of node 1, not of node 2"]);
    std::fs::copy(&aside, &two).unwrap();
    std::fs::set_permissions(&two, Permissions::from_mode(0o644)).unwrap();
    refused(&["node-2.key: others may read it", "chmod 600"]);
    std::fs::rename(&aside, &two).unwrap();
    lab.start().ok();
}

#[test]
fn another_key_than_the_data_has_is_refused_with_the_way_out() {
    let lab = lab(4, Mode::InProcess);
    lab.start().ok();
    lab.run(&["cluster", "down"]).ok();
    let (out, bare) = (lab.dir.path().join("keys"), lab.config());
    let args = ["keys", "generate", "--config", bare.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let sections = lab.run(&args).ok().stdout;
    let (id, sections) = sections.split_once("\n\n").unwrap();
    assert!(id.starts_with("cluster_id = 0x"), "{id}");
    let head = format!("name = \"{}\"\nprotocol = \"{}\"\n", lab.name, signing().name);
    std::fs::write(&bare, head + sections).unwrap();
    lab.run(&args).fails(2, &["names public keys already"]);
    lab.start().fails(1, &["has data of the key", "node 1", "--fresh"]);
    lab.start_with(&["--fresh"]).ok();
    let keys = public_keys(&effective(&lab));
    // What it does not name is made: the keys of gateways.
    let (named, made) = keys.split_at(5);
    assert!(named.iter().all(|key| sections.contains(key)), "the keys are not those of the configuration");
    assert_eq!(made.len(), 4);
    lab.run(&["cluster", "down"]).ok();
    lab.start().ok();
}

#[test]
fn a_node_by_itself_needs_its_own_private_key() {
    let lab = lab(4, Mode::Processes);
    let config = lab.config();
    let config = config.to_str().unwrap();
    let node = |more: &[&str]| lab.run(&[&["node", "--id", "2", "--config", config], more].concat());
    lab.run(&["cluster", "new", config]).ok();
    node(&[]).fails(2, &["node 2 has no private key", "--key FILE", "keys generate"]);
    let out = lab.dir.path().join("keys");
    let out = out.to_str().unwrap();
    let sections = lab.run(&["keys", "generate", "--config", config, "--out", out]).ok().stdout;
    assert!(!sections.contains("cluster_id"), "the file has an id already");
    let (one, two) = (format!("{out}/node-1.key"), format!("{out}/node-2.key"));
    node(&["--key", &two]).fails(2, &["no public_key of node 2", "keys generate"]);
    let head = format!("name = \"{}\"\nprotocol = \"{}\"\n", lab.name, signing().name);
    std::fs::write(config, head + &sections).unwrap();
    lab.run(&["cluster", "new", config]).ok();
    node(&["--key", &one]).fails(1, &["holds the private key of node 1, not of node 2"]);
    node(&["--key", "/nowhere"]).fails(1, &["/nowhere", "cannot be read"]);
    let behaviour = signing().behaviours[0].name;
    node(&["--key", &two, "--malicious", behaviour]).fails(2, &["--laboratory"]);
    node(&["--key", &two, "--malicious", "rude", "--laboratory"]).fails(2, &["rude", behaviour]);
}

#[test]
fn liars_are_shown_and_kept_until_told_otherwise() {
    for mode in [Mode::Processes, Mode::InProcess] {
        let lab = lab(4, mode);
        let (first, other) = (signing().behaviours[0].name, signing().behaviours[1].name);
        let lies = || -> Vec<Value> {
            let nodes = lab.status()["nodes"].as_array().unwrap().clone();
            nodes.into_iter().map(|node| node["malicious"].clone()).collect()
        };
        let honest = Value::Null;
        let up = lab.start_with(&["--malicious", "4"]).ok();
        assert!(up.stderr.contains(&format!("node 4 lies: {first}")), "{up:#?}");
        assert!(up.stderr.contains("a cluster of 4 nodes tolerates 1 fault"), "{up:#?}");
        assert_eq!(lies(), [honest.clone(), honest.clone(), honest.clone(), first.into()]);
        let table = lab.run(&["status"]).ok().stdout;
        assert!(table.contains("MALICIOUS") && table.contains(first), "{table}");
        lab.wait_until("healthy");
        let list = lab.run(&["cluster", "list", "--output", "json"]).ok().json();
        assert_eq!((&list[0]["malicious"]["4"], &list[0]["tolerates"]), (&first.into(), &1.into()));

        let again = lab.start_with(&["--malicious", "1"]).ok();
        assert!(again.stderr.contains("already; nothing was changed"), "{again:#?}");
        lab.run(&["cluster", "down"]).ok();
        lab.start().ok();
        assert_eq!(lies()[3], first, "down and up made it honest");
        lab.run(&["cluster", "down"]).ok();
        lab.start_with(&["--malicious", &format!("4={other}")]).ok();
        assert_eq!(lies()[3], other);
        lab.run(&["cluster", "down"]).ok();
        lab.start_with(&["--malicious", "none"]).ok();
        assert_eq!(lies(), [const { Value::Null }; 4]);
    }
}

#[test]
fn liars_that_do_not_exist_are_refused_and_too_many_are_told() {
    let lab = lab(4, Mode::InProcess);
    let first = signing().behaviours[0].name;
    lab.start_with(&["--malicious", "9"]).fails(2, &["there is no node 9", "1, 2, 3, 4"]);
    lab.start_with(&["--malicious", "4=rude"]).fails(2, &["rude", first]);
    lab.start_with(&["--malicious", "none,4"]).fails(2, &["none"]);
    let warning = "2 of 4 replicas lie: outside the fault model, which tolerates 1";
    let up = lab.start_with(&["--malicious", "3,4"]).ok();
    assert!(up.stderr.contains(warning), "{up:#?}");
    assert_eq!(lab.status()["warnings"][0], warning);
    assert!(lab.run(&["status"]).ok().stdout.contains(warning));
}

#[test]
fn a_cluster_that_is_too_small_says_that_it_tolerates_nothing() {
    let lab = lab(3, Mode::InProcess);
    let up = lab.start().ok();
    assert!(up.stderr.contains("a cluster of 3 nodes tolerates no fault: it takes 4 for one"), "{up:#?}");
    lab.run(&["kill", "backup"]).ok();
    lab.run(&["kill", "chief"]).fails(2, &["`primary`", "`backup`"]);
}
