//! Keys and liars, as the command line makes and refuses them.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod support;

use std::os::unix::fs::PermissionsExt;

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
    lab.run(&["node", "--id", "1", "--config", config, "--key", "/dev/null"])
        .fails(2, &["raft signs nothing"]);
    lab.run(&["node", "--id", "1", "--config", config, "--malicious", "silent"])
        .fails(2, &["raft tolerates crashes only"]);
    lab.write_config("[[client]]\nid = 1001\npublic_key = \"00\"\n");
    lab.start().fails(2, &["lab.toml", "raft signs nothing"]);
    assert!(!lab.node_dir(1).exists(), "something was made");
}
