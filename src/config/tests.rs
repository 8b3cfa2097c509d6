use std::path::Path;

use super::*;
use crate::consensus::{Scheme, SecretKey};
use crate::registry::PROTOCOLS;
use crate::registry::tests::lying;

fn signing(text: &str) -> Result<ClusterConfig, ConfigError> {
    Draft::parse(text, Path::new("cluster.toml"), Some(lying())).map(Draft::into_new)
}

/// The text of a public key that some number makes.
fn key(number: u8) -> String {
    SecretKey::from_seed(Scheme::Ed25519, [number; 32]).public().to_string()
}

fn member(id: u64, more: &str) -> String {
    format!("[[member]]\nid = {id}\naddress = \"a:{id}\"\n{more}\n")
}

fn client(id: u64, number: u8) -> String {
    format!("[[client]]\nid = {id}\npublic_key = \"{}\"\n", key(number))
}

fn parse(text: &str) -> Result<ClusterConfig, ConfigError> {
    Draft::parse(text, Path::new("cluster.toml"), None).map(Draft::into_new)
}

fn defaults(cluster_id: u64) -> ClusterConfig {
    ClusterConfig { cluster_id, ..ClusterConfig::defaults(&PROTOCOLS[0]) }
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config, defaults(config.cluster_id));
    let addresses: Vec<&str> = config.members.iter().map(|member| member.address.as_str()).collect();
    let expected = ["127.0.0.1:5001", "127.0.0.1:5002", "127.0.0.1:5003", "127.0.0.1:5004", "127.0.0.1:5005"];
    assert_eq!(addresses, expected);
}

#[test]
fn the_documented_example_equals_the_defaults() {
    let text = include_str!("../../cluster.toml");
    let config = parse(text).unwrap();
    assert_eq!(config, defaults(config.cluster_id));
    // Nothing is left out: every option of every protocol is shown.
    for entry in PROTOCOLS {
        let shown = text.parse::<toml::Table>().unwrap()[entry.name].as_table().unwrap().clone();
        assert_eq!(shown, (entry.default_options)());
    }
}

#[test]
fn what_is_written_is_read_back_the_same() {
    let mut config = parse("name = \"a\"\nnodes = 3\nbase_port = 7001\nlog = \"debug\"").unwrap();
    config.data_dir = Some("/var/lib/a \"b\"".into());
    assert_eq!(parse(&config.to_toml()).unwrap(), config);
}

#[test]
fn wrong_files_are_refused_with_line_and_reason() {
    let cases = [
        ("nodes = 3\nport = 1", "cluster.toml:2: unknown field `port`"),
        ("nodes = 0", "cluster.toml:1: nodes must be 1 to 31"),
        (
            "\nbase_port = 65534",
            "cluster.toml:2: there is no room for 5 ports from 65534 on: ports are 1 to 65535",
        ),
        ("protocol = \"paxos\"", "cluster.toml:1: unknown protocol paxos; known are raft"),
        ("name = \"../x\"", "cluster.toml:1: a name has"),
        ("request_timeout_ms = 5", "cluster.toml:1: request_timeout_ms must be at least 100"),
        ("nodes = \"three\"", "cluster.toml:1: invalid type"),
        ("nodes = 3\ncluster_id = 0", "cluster.toml:2: cluster_id must not be 0"),
        ("cluster_id = -1", "cluster.toml:1: invalid value"),
        (
            "nodes = 3\n[[member]]\nid = 1\naddress = \"a:1\"",
            "cluster.toml:1: `nodes` and `[[member]]` exclude",
        ),
        (
            "[[member]]\nid = 1\naddress = \"a:1\"\n[[member]]\nid = 1\naddress = \"a:2\"",
            "cluster.toml:5: id 1 is there twice",
        ),
        (
            "[[member]]\nid = 1\naddress = \"a:1\"\n[[member]]\nid = 2\naddress = \"a:1\"",
            "cluster.toml:6: address a:1 is there twice",
        ),
        ("[[member]]\nid = 0\naddress = \"a:1\"", "cluster.toml:2: ids start at 1"),
        (
            "[[member]]\nid = 1\naddress = \"10.0.0.1\"",
            "cluster.toml:3: `10.0.0.1` is not an address: the port",
        ),
        ("[[member]]\nid = 1\naddress = \"10.0.0.1:x\"", "cluster.toml:3: `10.0.0.1:x` is not an address"),
        ("[[member]]\nid = 1\naddress = \"10.0.0.400:1\"", "the host is not an IPv4 address"),
        ("[[member]]\nid = 1\naddress = \"::1:5001\"", "an IPv6 address stands in brackets"),
        (
            "[raft]\nheartbeat_interval_ms = 50\nheartbeat = 1",
            "cluster.toml:3: [raft]: unknown field `heartbeat`",
        ),
        ("[raft]\n\nheartbeat_interval_ms = \"x\"", "[raft]: invalid type"),
        ("segment_bytes = 65536", "cluster.toml:1: segment_bytes must be at least 2097152"),
        ("[[member]]\nid = 1\nadress = \"a:1\"", "cluster.toml:3: unknown field `adress`"),
    ];
    for (text, expected) in cases {
        let message = refused(text);
        assert!(message.contains(expected), "{text:?} gave {message:?}, not {expected:?}");
    }
}

#[test]
fn json_is_refused_with_the_way_to_write_it() {
    let error = parse("{\"nodes\": [{\"id\": 1, \"port\": 5001}]}").unwrap_err();
    assert!(error.message.contains("JSON"), "{error}");
    assert!(error.hint.unwrap().contains("[[member]]"));
}

#[test]
fn a_file_without_an_id_makes_a_new_cluster_and_is_of_none_that_exists() {
    let draft = |text: &str| Draft::parse(text, Path::new("lab/cluster.toml"), None).unwrap();
    assert_eq!(draft("").named_id(), None);
    assert_ne!(draft("").into_new().cluster_id, draft("").into_new().cluster_id);
    let error = draft("nodes = 3").into_existing().unwrap_err();
    assert_eq!(
        error.to_string(),
        "lab/cluster.toml: has no cluster_id, which keeps this cluster apart from others with the same members"
    );
    assert!(error.hint.unwrap().contains("consensusctl cluster new lab/cluster.toml"));
    let named = draft("cluster_id = 0x1f");
    assert_eq!((named.named_id(), named.into_existing().unwrap().cluster_id), (Some(31), 31));
}

#[test]
fn an_id_is_written_into_a_file_and_replaced_there_and_nothing_else_is_changed() {
    let path = Path::new("cluster.toml");
    let shape = "# Ours.\nname = \"lab\" # and so on\n[raft]\nheartbeat_interval_ms = 60\n";
    let first = with_cluster_id(shape, path, 7).unwrap();
    assert_eq!(first, format!("cluster_id = 0x0000000000000007\n\n{shape}"));
    let second = with_cluster_id("nodes = 3\ncluster_id = 12 # once\n", path, u64::MAX >> 1).unwrap();
    assert_eq!(second, "nodes = 3\ncluster_id = 0x7fffffffffffffff # once\n");
    assert_eq!(parse(&second).unwrap().cluster_id, u64::MAX >> 1);
    assert!(with_cluster_id("nodes = x", path, 7).is_err());
}

#[test]
fn keys_are_read_back_as_they_are_written() {
    let text = [
        member(1, &format!("public_key = \"{}\"\nkey_file = \"keys/node-1.key\"", key(1))),
        member(2, &format!("public_key = \"{}\"", key(2).to_uppercase())),
        client(1002, 4),
        client(1001, 3),
    ];
    let config = signing(&text.concat()).unwrap();
    assert_eq!(config.public_keys().into_keys().collect::<Vec<_>>(), [1, 2, 1001, 1002]);
    assert_eq!(config.members[1].public_key.unwrap().to_string(), key(2));
    assert_eq!(signing(&config.to_toml()).unwrap(), config);
}

#[test]
fn key_files_are_found_from_the_configuration() {
    let text = member(1, &format!("public_key = \"{}\"\nkey_file = \"keys/1\"", key(1)));
    let config = Draft::parse(&text, Path::new("/etc/lab/cluster.toml"), Some(lying())).unwrap().into_new();
    assert_eq!(config.members[0].key_file.as_deref(), Some(Path::new("/etc/lab/keys/1")));
    // What is absolute already stays so wherever it is written to.
    let again =
        Draft::parse(&config.to_toml(), Path::new("/var/x/cluster.toml"), Some(lying())).unwrap().into_new();
    assert_eq!(again.members, config.members);
}

#[test]
fn another_port_keeps_the_keys() {
    let named = |number| format!("public_key = \"{}\"", key(number));
    let mut config = signing(&[member(1, &named(1)), member(2, &named(2))].concat()).unwrap();
    config.set_local_members(7001, 3);
    let keys: Vec<_> =
        config.members.iter().map(|member| member.public_key.map(|key| key.to_string())).collect();
    assert_eq!(keys, [Some(key(1)), Some(key(2)), None]);
}

#[test]
fn keys_that_do_not_fit_together_are_refused_with_line_and_reason() {
    let named = |number| format!("public_key = \"{}\"", key(number));
    let cases = [
        (member(1, "public_key = \"12\""), "cluster.toml:4: public_key: a key has 64 hexadecimal digits"),
        (member(1, &named(1)) + &member(2, &named(1)), "cluster.toml:8: member 2 has the key of member 1"),
        (member(1, &named(1)) + &client(1001, 1), "client 1001 has the key of member 1"),
        (member(1, &named(1)) + &member(2, ""), "member 2 has no public_key, and others have"),
        (member(1, "key_file = \"x\""), "cluster.toml:4: `key_file` without `public_key`"),
        (member(1, "") + &client(1000, 1), "cluster.toml:6: ids of clients start at 1001"),
        (client(1001, 1) + &client(1001, 2), "cluster.toml:5: client 1001 is there twice"),
        (member(1001, &named(1)), "member 1001 of a cluster that signs"),
    ];
    for (text, expected) in cases {
        let message = signing(&text).unwrap_err().to_string();
        assert!(message.contains(expected), "{text:?} gave {message:?}, not {expected:?}");
    }
    let raft = refused(&member(1, &named(1)));
    assert!(raft.contains("cluster.toml:4: raft signs nothing: leave the keys away"), "{raft}");
    assert!(refused(&client(1001, 1)).contains("raft signs nothing"));
}
