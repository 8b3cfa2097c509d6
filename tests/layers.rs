//! Holds the map of layers that `src/lib.rs` states: a module uses only modules above it, the cores touch nothing, and
//! a protocol is named only in its folder, the registry and its wire conversions.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the top of the map to the bottom, as `src/lib.rs` lists them.
fn layers() -> Vec<String> {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let row = |line: &str| Some(line.strip_prefix("//! | [`")?.split_once("`]")?.0.to_owned());
    lib.lines().filter_map(row).collect()
}

/// What a layer may import although it lies below: each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    // A protocol's wire conversions lie in its folder and meet the trait of the transport.
    ("src/consensus/raft/wire", "transport"),
    ("src/consensus/pbft/wire", "transport"),
    ("src/consensus/toy", "transport"),
    // What a protocol brings for the simulator lies in its folder too.
    ("src/consensus/raft/simulated", "sim"),
    ("src/consensus/pbft/simulated", "sim"),
];

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The place of a file's layer in the map.
fn rank_of(path: &Path, layers: &[String]) -> Option<usize> {
    let first = path.strip_prefix("src").unwrap().iter().next()?.to_str()?;
    layers.iter().position(|layer| layer == first.trim_end_matches(".rs"))
}

/// The code of a file: without comments, and without what follows `#[cfg(test)]` at the start of a line.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_module_imports_only_modules_above_it() {
    let (layers, mut wrong) = (layers(), Vec::new());
    for path in sources(Path::new("src")) {
        let Some(rank) = rank_of(&path, &layers) else { continue };
        let (code, text) = (code(&path), path.to_string_lossy().into_owned());
        for lower in &layers[rank + 1..] {
            let excepted = EXCEPTIONS.iter().any(|(file, to)| text.starts_with(file) && to == lower);
            let used = [format!("crate::{lower}::"), format!("crate::{lower};"), format!("crate::{{{lower}")];
            if !excepted && used.iter().any(|import| code.contains(import)) {
                wrong.push(format!("{text} imports `{lower}`, which lies below `{}`", layers[rank]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_library_has_its_place_in_the_map() {
    let (lib, layers) = (code(Path::new("src/lib.rs")), layers());
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let missing: Vec<_> = modules.filter(|module| !layers.iter().any(|layer| layer == module)).collect();
    assert!(missing.is_empty(), "not in the map of layers: {missing:?}");
}

#[test]
fn the_pure_layers_touch_no_socket_thread_clock_or_file() {
    let (layers, pure) = (layers(), ["consensus", "kv", "engine", "check"]);
    let forbidden =
        ["std::net", "std::thread", "std::fs", "tokio::", "Instant", "SystemTime", "tonic::", "prost::"];
    let mut wrong = Vec::new();
    for path in sources(Path::new("src")) {
        let text = path.to_string_lossy();
        let shell = text.contains("/wire") || text.contains("test");
        if shell || !rank_of(&path, &layers).is_some_and(|rank| pure.contains(&&*layers[rank])) {
            continue;
        }
        let code = code(&path);
        for word in forbidden.iter().filter(|word| code.contains(**word)) {
            wrong.push(format!("{} touches {word}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_hint_takes_the_command_that_it_names_from_the_place_where_the_cluster_is_added() {
    let about_a_cluster = [
        "cluster up",
        "cluster down",
        "cluster restart",
        "cluster list",
        "status",
        "wait",
        "kill",
        "pause",
        "resume",
        "partition",
        "disk",
        "byzantine",
        "evidence list",
        "logs",
    ];
    let mut wrong = Vec::new();
    for path in sources(Path::new("src")) {
        let text = path.to_string_lossy().into_owned();
        let code = code(&path);
        for line in code.split("#[cfg(test)]").next().unwrap().lines().map(str::trim_start) {
            // Examples in help texts begin with the program's name.
            let example = line.starts_with("consensusctl ") || line.contains("after_help");
            let named =
                about_a_cluster.iter().any(|command| line.contains(&format!("consensusctl {command}")));
            if named && !example && !text.contains("test") {
                wrong.push(format!("{text}: {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "use `ClusterDir::command`:\n{}", wrong.join("\n"));
}

#[test]
fn a_protocol_is_named_only_in_its_folder_and_the_registry() {
    let mut wrong = Vec::new();
    for path in sources(Path::new("src")) {
        let text = path.to_string_lossy().into_owned();
        let home = ["src/consensus/raft", "src/consensus/pbft", "src/registry"];
        if home.iter().any(|place| text.starts_with(place)) || text.contains("test") {
            continue;
        }
        let code = code(&path);
        for word in ["consensus::raft", "consensus::pbft", "raft::Raft", "pbft::Pbft"] {
            if code.contains(word) {
                wrong.push(format!("{text} names {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
