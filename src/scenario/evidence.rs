//! What is seen of a cluster in which something went wrong, before it is taken down.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cluster::{ClusterDir, ClusterStatus};

/// How many lines of a log are shown.
const TAIL_LINES: usize = 12;
/// How much of a log's end they are looked for in.
const TAIL_BYTES: u64 = 16 * 1024;

/// What was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evidence {
    /// How the cluster was, with reasons.
    pub status: Option<ClusterStatus>,
    /// Why the last call of a client that failed did.
    pub trouble: Option<String>,
    /// The ends of the logs.
    pub logs: Vec<Tail>,
}

/// The end of a log.
#[derive(Clone, Debug, Serialize)]
pub struct Tail {
    /// The log.
    pub file: PathBuf,
    /// Its last lines.
    pub lines: Vec<String>,
}

impl Evidence {
    /// Collects what there is to see.
    pub fn collect(dir: &ClusterDir, status: Option<ClusterStatus>, trouble: Option<String>) -> Self {
        let nodes = status.iter().flat_map(|status| &status.nodes).filter_map(|node| node.log.clone());
        // Nodes that are tasks share the supervisor's.
        let files: BTreeSet<PathBuf> = nodes.chain([dir.supervisor_log()]).collect();
        let tails = files.into_iter().filter_map(|file| Some(Tail { lines: tail(&file)?, file }));
        let logs = tails.filter(|tail| !tail.lines.is_empty()).collect();
        Self { status, trouble, logs }
    }
}

/// The last lines of a file; `None` if it cannot be read.
fn tail(path: &Path) -> Option<Vec<String>> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    Some(lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec())
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(status) = &self.status {
            let leader = status.leader.map_or("nobody".to_owned(), |id| format!("node {id}"));
            let health = if status.healthy { "healthy".to_owned() } else { status.why.join("; ") };
            writeln!(f, "status:   {leader} leads; {health}")?;
            for node in &status.nodes {
                let figure = |figure: Option<u64>| figure.map_or("-".to_owned(), |figure| figure.to_string());
                writeln!(
                    f,
                    "  node {}: {}, {}, epoch {}, last {}, committed {}, applied {}",
                    node.id,
                    node.state.name(),
                    node.role.as_deref().unwrap_or("no answer"),
                    figure(node.epoch),
                    figure(node.last),
                    figure(node.committed),
                    figure(node.applied),
                )?;
            }
        }
        if let Some(trouble) = &self.trouble {
            writeln!(f, "clients:  the last call that failed: {trouble}")?;
        }
        for tail in &self.logs {
            writeln!(f, "log:      {}", tail.file.display())?;
            tail.lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::StateDir;

    #[test]
    fn the_ends_of_logs_are_shown_and_missing_ones_left_out() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(Some(temp.path().to_owned())).unwrap().cluster("lab").unwrap();
        assert!(Evidence::collect(&dir, None, None).logs.is_empty());
        dir.create().unwrap();
        let lines: Vec<String> = (0..5000).map(|number| format!("line {number}")).collect();
        std::fs::write(dir.supervisor_log(), lines.join("\n") + "\n").unwrap();
        let text = Evidence::collect(&dir, None, Some("no leader".to_owned())).to_string();
        assert!(text.contains("supervisor.log") && text.contains("no leader"), "{text}");
        assert!(text.ends_with("  line 4998\n  line 4999\n"), "{text}");
        assert!(!text.contains("line 4987\n"), "more than the end is shown");
    }
}
