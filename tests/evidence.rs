//! Proof of who lied: found by a running cluster, carried elsewhere as a file, and refused once any byte of it changes.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::path::Path;

use consensusctl::cli::Proved;
use consensusctl::config::{ClusterConfig, Draft};
use consensusctl::consensus::pbft::{Evidence, Prepare, Said, Sequence, Signer, View};
use consensusctl::consensus::{Digest, Encode, Keys, NodeId, Scheme, SecretKey};
use serde_json::Value;

use support::{Lab, Mode, eventually};

fn secret(id: u64) -> SecretKey {
    SecretKey::from_seed(Scheme::Ed25519, [id as u8; 32])
}

/// A configuration with the public keys of four members, and a piece of evidence against the fourth.
fn made_up() -> (ClusterConfig, Proved) {
    let member = |id: u64| {
        let key = secret(id).public();
        format!("[[member]]\nid = {id}\naddress = \"127.0.0.1:{}\"\npublic_key = \"{key}\"\n", 6000 + id)
    };
    let members: String = (1..=4).map(member).collect();
    let text = format!("name = \"lab\"\nprotocol = \"pbft\"\n{members}");
    let config = Draft::parse(&text, Path::new("cluster.toml"), None).unwrap().into_new();
    let keys = Keys::new(secret(4), std::collections::BTreeMap::default());
    let signer = Signer::new(NodeId(4), config.cluster_id, &keys);
    let vote = |byte| {
        let digest = Digest([byte; 32]);
        Said::Prepare(signer.sign(Prepare {
            view: View(0),
            sequence: Sequence(7),
            digest,
            replica: NodeId(4),
        }))
    };
    let piece = Evidence::pair(vote(1), vote(2)).to_bytes();
    let proved = Proved::judge(&config, piece).unwrap();
    (config, proved)
}

#[test]
fn a_file_is_refused_after_any_single_byte_is_changed() {
    let (config, proved) = made_up();
    let file = proved.to_file(&config).into_bytes();
    assert_eq!(Proved::read(&config, &file).unwrap().judgement, proved.judgement);
    for at in 0..file.len() {
        for change in [1, 0x20, 0x80] {
            let mut changed = file.clone();
            changed[at] ^= change;
            assert!(Proved::read(&config, &changed).is_err(), "byte {at} xor {change:#x}");
        }
    }
    for length in 0..file.len() {
        assert!(Proved::read(&config, &file[..length]).is_err(), "cut to {length} bytes");
    }
    assert!(Proved::read(&config, &[&file[..], b"\n"].concat()).is_err(), "one byte more");
}

#[test]
fn a_file_says_in_words_what_its_proof_says() {
    let (config, proved) = made_up();
    let file: Value = serde_json::from_str(&proved.to_file(&config)).unwrap();
    assert_eq!(file["accused"], 4);
    assert_eq!(file["charge"], "two PREPAREs for view 0, sequence 7");
    assert_eq!(file["messages"][0]["message"], "PREPARE");
    assert_eq!(file["messages"][1]["sequence"], "7");
    let mut other = config;
    other.cluster_id += 1;
    let refused = Proved::read(&other, proved.to_file(&other).as_bytes());
    assert!(refused.is_err(), "signatures are good for one cluster alone");
}

/// A replica that votes for something else than everybody is proved to, by each of the others.
#[test]
fn a_cluster_proves_who_lies_and_the_proof_holds_elsewhere() {
    let lab = Lab::new(4, Mode::InProcess);
    lab.start_with(&["--protocol", "pbft", "--malicious", "4=wrong-digest"]).ok();
    for number in 0..8 {
        lab.put(&format!("k{number}"), "v");
    }
    let status = eventually("all honest nodes hold evidence", || {
        let status = lab.status();
        let held_by = status["convicted"][0]["held_by"].as_array().map_or(0, Vec::len);
        (held_by == 3).then_some(status)
    });
    let convicted = status["convicted"].as_array().unwrap();
    assert_eq!((convicted.len(), &convicted[0]["id"]), (1, &Value::from(4)), "{status:#}");
    let said = lab.run(&["status"]).ok().stdout;
    assert!(said.contains("\nnode 4 is convicted: a COMMIT for view 0"), "{said}");

    let proofs = lab.dir.path().join("proofs");
    let listed = lab.run(&["evidence", "list", "--save", proofs.to_str().unwrap()]).ok();
    assert!(listed.stdout.starts_with("N  ID"), "{listed:#?}");
    let json = lab.run(&["evidence", "list", "--output", "json"]).ok().json();
    let all = json["convictions"].as_array().unwrap();
    assert!(!all.is_empty() && all.iter().all(|piece| piece["accused"] == 4), "{json:#}");
    let shown = lab.run(&["evidence", "show", "1"]).ok().stdout;
    assert!(shown.starts_with("node 4 is convicted: ") && shown.contains("\nCOMMIT\n"), "{shown}");
    lab.run(&["evidence", "show", "nothing"]).fails(1, &["there is no evidence", "evidence list"]);
    if all.len() > 1 {
        lab.run(&["evidence", "show", ""]).fails(2, &["have an id that begins with", "evidence list"]);
    }

    // What a restart leaves.
    lab.run(&["cluster", "restart"]).ok();
    let again = lab.run(&["evidence", "list", "--output", "json"]).ok().json();
    assert!(again["convictions"].as_array().unwrap().len() >= all.len(), "{again:#}");

    // Elsewhere, with the configuration alone.
    let config = lab.dir.path().join("public.toml");
    std::fs::copy(lab.state_dir().join(&lab.name).join("cluster.toml"), &config).unwrap();
    lab.run(&["cluster", "down", "--wipe"]).ok();
    let config = config.to_str().unwrap();
    for file in support::files(&proofs) {
        let verify = ["evidence", "verify", file.to_str().unwrap(), "--config", config];
        let verified = lab.run(&verify).ok().stdout;
        assert!(verified.starts_with("node 4 is convicted: "), "{verified}");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("\"accused\": 4", "\"accused\": 3")).unwrap();
        lab.run(&verify).fails(3, &["proves nothing", "something in it was changed"]);
    }
}

#[test]
fn nobody_is_convicted_where_nobody_lies() {
    let lab = Lab::new(4, Mode::InProcess);
    lab.start_with(&["--protocol", "pbft"]).ok();
    lab.put("a", "1");
    lab.run(&["kill", "primary"]).ok();
    lab.put("b", "2");
    lab.run(&["cluster", "restart"]).ok();
    lab.put("c", "3");
    assert_eq!(lab.status()["convicted"], Value::Array(Vec::new()));
    assert!(lab.run(&["evidence", "list"]).ok().stdout.starts_with("nobody is convicted"));
}
