//! Holds the map of layers that `src/lib.rs` states: a module uses only modules above it, the cores touch nothing, and
//! a protocol is named only in its folder, the registry and its wire conversions.

use std::fs;
use std::path::{Path, PathBuf};

/// From the top of the map to the bottom.
const LAYERS: &[&str] = &[
    "consensus",
    "kv",
    "wal",
    "engine",
    "transport",
    "client",
    "node",
    "api",
    "check",
    "sim",
    "registry",
    "cluster",
    "scenario",
    "cli",
];

/// What a layer may import although it lies below: each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    // A protocol's wire conversions lie in its folder and meet the trait of the transport.
    ("src/consensus/raft/wire", "transport"),
    ("src/consensus/toy", "transport"),
    // What a protocol brings for the simulator lies in its folder too.
    ("src/consensus/raft/simulated", "sim"),
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

fn layer_of(path: &Path) -> Option<&'static str> {
    let first = path.strip_prefix("src").unwrap().iter().next()?.to_str()?;
    LAYERS.iter().copied().find(|layer| *layer == first.trim_end_matches(".rs"))
}

/// The code of a file: without comments, and without what follows `#[cfg(test)]` at the start of a line.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_module_imports_only_modules_above_it() {
    let mut wrong = Vec::new();
    for path in sources(Path::new("src")) {
        let Some(layer) = layer_of(&path) else { continue };
        let rank = LAYERS.iter().position(|other| *other == layer).unwrap();
        let code = code(&path);
        for lower in &LAYERS[rank + 1..] {
            let text = path.to_string_lossy();
            let excepted = EXCEPTIONS.iter().any(|(file, to)| text.starts_with(file) && to == lower);
            let used = [format!("crate::{lower}::"), format!("crate::{lower};"), format!("crate::{{{lower}")];
            if !excepted && used.iter().any(|import| code.contains(import)) {
                wrong.push(format!("{} imports `{lower}`, which lies below `{layer}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_library_has_its_place_in_the_map() {
    let lib = code(Path::new("src/lib.rs"));
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let missing: Vec<_> = modules.filter(|module| !LAYERS.contains(module)).collect();
    assert!(missing.is_empty(), "not in the map of layers: {missing:?}");
}

#[test]
fn the_pure_layers_touch_no_socket_thread_clock_or_file() {
    let pure = ["consensus", "kv", "engine", "check"];
    let forbidden =
        ["std::net", "std::thread", "std::fs", "tokio", "Instant", "SystemTime", "tonic", "prost"];
    let mut wrong = Vec::new();
    for path in sources(Path::new("src")) {
        let text = path.to_string_lossy();
        let shell = text.contains("/wire") || text.contains("test");
        if shell || !layer_of(&path).is_some_and(|layer| pure.contains(&layer)) {
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
