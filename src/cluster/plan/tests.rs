use super::*;
use crate::cluster::StateDir;

fn dir(temp: &Path) -> ClusterDir {
    let dir = StateDir::new(Some(temp.to_owned())).unwrap().cluster("lab").unwrap();
    dir.create().unwrap();
    dir
}

fn wish(nodes: Option<usize>, port: Option<u16>) -> Wish {
    Wish { nodes, port, ..Wish::default() }
}

#[test]
fn what_was_not_said_comes_from_the_data_and_else_from_defaults() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    let first = wish(Some(3), Some(7001)).plan(&dir, None).unwrap();
    assert_eq!((first.name.as_str(), first.members.len()), ("lab", 3));
    let again = Wish::default().plan(&dir, Some(&first)).unwrap();
    assert_eq!(again, first);
    let moved = wish(None, Some(8001)).plan(&dir, Some(&first)).unwrap();
    assert_eq!(moved.members[2].address, "127.0.0.1:8003");
    assert_eq!(moved.cluster_id, first.cluster_id, "a new address is the same cluster");
    let other = Wish::default().plan(&dir, None).unwrap();
    assert_ne!(other.cluster_id, Wish::default().plan(&dir, None).unwrap().cluster_id);
}

#[test]
fn another_size_or_protocol_than_the_data_has_is_refused_with_the_way_out() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    let data = wish(Some(5), None).plan(&dir, None).unwrap();
    let error = wish(Some(3), None).plan(&dir, Some(&data)).unwrap_err();
    assert!(error.message.contains("has data of 5 nodes, not 3"), "{error}");
    assert!(error.hint.unwrap().contains("--fresh"));
    let other = ClusterConfig { protocol: "other", ..data.clone() };
    let error = Wish::default().check_same_cluster(&dir, &other, &data).unwrap_err();
    assert!(error.message.contains("the protocol other, not raft"), "{error}");
}

#[test]
fn a_file_decides_and_flags_decide_over_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    let path = temp.path().join("my.toml");
    fs::write(&path, "name = \"mine\"\nnodes = 3\nbase_port = 7001\ncluster_id = 77\n").unwrap();
    let wish = Wish { config: Some(path), ..wish(None, Some(9001)) };
    assert_eq!(wish.default_name().unwrap(), "mine");
    let config = wish.plan(&dir, None).unwrap();
    assert_eq!((config.members[0].address.as_str(), config.cluster_id), ("127.0.0.1:9001", 77));
    let unknown = Wish { protocol: Some("paxos".to_owned()), ..Wish::default() };
    assert!(unknown.plan(&dir, None).unwrap_err().message.contains("known are raft"));
}

#[tokio::test]
async fn what_a_killed_supervisor_left_is_ended_and_strangers_are_not() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    let mut orphan = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let orphan_id = ProcessId::of(orphan.id()).unwrap();
    // The same pid as this very test, but of an earlier life.
    let stranger = ProcessId { started: "before".to_owned(), ..ProcessId::current() };
    let children = serde_json::to_string(&[orphan_id.clone(), stranger]).unwrap();
    fs::write(dir.children(), children).unwrap();
    assert_eq!(reap(&dir).await.unwrap(), [orphan_id]);
    assert!(!dir.children().exists());
    orphan.wait().unwrap();
}

#[tokio::test]
async fn wiping_takes_what_is_ours_and_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    fs::create_dir_all(dir.node_dir(12).join("wal")).unwrap();
    for path in [dir.node_log(12), dir.supervisor_log(), dir.config(), dir.served(), dir.children()] {
        fs::write(path, "x").unwrap();
    }
    let notes = dir.path().join("node-notes.txt");
    fs::write(&notes, "mine").unwrap();
    remove(&dir).await.unwrap();
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [notes.as_path()]);
    fs::remove_file(notes).unwrap();
    remove(&dir).await.unwrap();
    assert!(!dir.path().exists());
}

#[tokio::test]
async fn a_directory_that_only_has_a_nodes_name_stops_wiping_before_it_begins() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir(temp.path());
    fs::create_dir_all(dir.node_dir(1).join("wal")).unwrap();
    fs::write(dir.served(), "").unwrap();
    let thesis = dir.node_dir(2).join("thesis.tex");
    fs::create_dir(dir.node_dir(2)).unwrap();
    fs::write(&thesis, "years").unwrap();
    let error = remove(&dir).await.unwrap_err();
    assert!(error.message.contains("node-2 is no data directory: it holds thesis.tex"), "{error}");
    assert!(thesis.exists() && dir.node_dir(1).exists() && dir.served().exists());

    fs::remove_dir_all(dir.node_dir(2)).unwrap();
    let elsewhere = temp.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.node_dir(2)).unwrap();
    let error = remove(&dir).await.unwrap_err();
    assert!(error.message.contains("node-2 is a symbolic link"), "{error}");
    assert!(elsewhere.exists() && dir.node_dir(1).exists() && dir.served().exists());
}
