use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::cluster::StateDir;
use crate::registry::tests::lying;

fn dir(temp: &Path) -> ClusterDir {
    let dir = StateDir::new(Some(temp.to_owned())).unwrap().cluster("lab").unwrap();
    dir.create().unwrap();
    dir
}

/// A cluster of two that has its keys.
fn with_keys(dir: &ClusterDir) -> ClusterConfig {
    let mut config = ClusterConfig::defaults(lying());
    config.set_local_members(6001, 2);
    complete(&mut config, dir).unwrap();
    config
}

#[test]
fn a_cluster_gets_keys_for_its_members_and_clients_of_this_machine_and_keeps_them() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    let config = with_keys(&dir);
    assert_eq!(config.public_keys().into_keys().collect::<Vec<_>>(), [1, 2, 1001, 1002, 1003, 1004, 1005]);
    for name in ["node-1.key", "node-2.key", "client-1001.key", "client-1005.key"] {
        let meta = fs::metadata(dir.keys().join(name)).unwrap();
        assert_eq!(meta.mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(dir.keys()).unwrap().mode() & 0o777, 0o700);
    check(&config, &dir, false, "up --fresh").unwrap();
    // An `up` that was interrupted before it wrote the configuration finds the keys that it made.
    assert_eq!(with_keys(&dir).public_keys(), config.public_keys());

    let keys = ring(&config, 2, &file_of(&config, &dir, 2)).unwrap();
    assert_eq!(keys.secret().unwrap().public(), config.members[1].public_key.unwrap());
    assert_eq!(keys.ids().take(3).collect::<Vec<_>>(), [NodeId(1), NodeId(2), NodeId(1001)]);

    fs::write(dir.keys().join("notes.txt"), "mine").unwrap();
    wipe(&dir).unwrap();
    let left: Vec<_> = fs::read_dir(dir.keys()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
    fs::remove_file(dir.keys().join("notes.txt")).unwrap();
    wipe(&dir).unwrap();
    assert!(!dir.keys().exists());
    assert_ne!(with_keys(&dir).members, config.members, "new keys are new");
}

#[test]
fn a_wrong_key_is_refused_with_whose_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    let config = with_keys(&dir);
    fs::copy(dir.key(1), dir.key(2)).unwrap();
    let error = check(&config, &dir, false, "up --fresh").unwrap_err();
    assert!(error.message.ends_with("holds the private key of node 1, not of node 2"), "{error}");
    fs::remove_file(dir.key(2)).unwrap();
    key_file::create(&dir.key(2), "node 2").unwrap();
    let error = check(&config, &dir, false, "up --fresh").unwrap_err();
    assert!(error.message.contains("of nobody in the configuration, not of node 2"), "{error}");
}

#[test]
fn a_missing_or_open_key_is_refused_with_the_way_out() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    let config = with_keys(&dir);
    fs::set_permissions(dir.key(1), Permissions::from_mode(0o644)).unwrap();
    let error = check(&config, &dir, false, "up --fresh").unwrap_err();
    assert!(error.message.contains("others may read it"), "{error}");
    fs::remove_file(dir.key(1)).unwrap();
    let error = check(&config, &dir, false, "up --fresh").unwrap_err();
    assert!(error.message.contains("the private key of node 1 is missing"), "{error}");
    assert!(error.hint.unwrap().contains("--fresh"));
}

/// A fresh start throws the directory's keys away: those that a configuration names must lie elsewhere.
#[test]
fn named_public_keys_bring_their_private_ones_to_a_fresh_start() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    let mut config = with_keys(&dir);
    let error = check(&config, &dir, true, "up --fresh").unwrap_err();
    assert!(error.hint.unwrap().contains("`key_file`"), "{}", error.message);
    for member in &mut config.members {
        let file = temp.path().join(file_name(member.id));
        fs::copy(dir.key(member.id), &file).unwrap();
        member.key_file = Some(file);
    }
    check(&config, &dir, true, "up --fresh").unwrap();
    // A client's private key may be elsewhere.
    fs::remove_file(dir.key(1001)).unwrap();
    check(&config, &dir, true, "up --fresh").unwrap();
}

#[test]
fn a_key_is_one_process_own_until_it_lets_go() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    with_keys(&dir);
    let claimed = claim(&dir.key(1002)).unwrap();
    assert!(claimed.is_some());
    assert!(claim(&dir.key(1002)).unwrap().is_none(), "two have it");
    assert!(claim(&dir.key(1003)).unwrap().is_some());
    key_file::read(&dir.key(1002)).unwrap();
    drop(claimed);
    assert!(claim(&dir.key(1002)).unwrap().is_some());
    assert!(claim(&dir.key(1999)).unwrap_err().message.contains("client-1999.key"));
}
