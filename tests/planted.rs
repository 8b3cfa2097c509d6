//! The planted bugs' patches still apply to the sources; `tests/planted/run` looks for the bugs themselves.

use std::path::Path;
use std::process::Command;

#[test]
fn every_planted_bug_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches: Vec<_> = std::fs::read_dir(root.join("tests/planted"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    let pbft = patches.iter().filter(|patch| is_of_pbft(patch)).count();
    assert!(pbft >= 14 && patches.len() - pbft >= 15, "{} patches, {pbft} of PBFT", patches.len());
    for patch in patches {
        let text = std::fs::read_to_string(&patch).unwrap();
        assert!(
            text.contains("# Source: ") && text.contains("# Expected: "),
            "{}: no source",
            patch.display()
        );
        let names_pbft = text.lines().any(|line| line == "# Protocol: pbft");
        assert_eq!(names_pbft, is_of_pbft(&patch), "{}: of which protocol?", patch.display());
        let tried = Command::new("patch")
            .args(["-p1", "--dry-run", "--force", "--silent", "-i"])
            .arg(&patch)
            .current_dir(root)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&tried.stdout);
        assert!(tried.status.success(), "{}: make it anew against the sources: {said}", patch.display());
    }
}

/// As its name says.
fn is_of_pbft(patch: &Path) -> bool {
    patch.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pbft-"))
}
