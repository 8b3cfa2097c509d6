//! The commands that hints name: whoever pastes one gets the cluster that the message was about.
//!
//! A hint that names a command of this program takes it from here. It carries the name of the cluster, because others may
//! run by then, and the state directory where it is not the one that is looked in anyway.

use std::fmt::Display;

use super::{ClusterDir, StateDir};
use crate::text::shell_path;

impl StateDir {
    /// The command line of this program with these arguments, for the clusters of this directory.
    pub fn command(&self, args: impl Display) -> String {
        let mut line = format!("consensusctl {args}");
        if Self::new(None).as_ref() != Ok(self) {
            line.push_str(" --state-dir ");
            line.push_str(&shell_path(self.path()));
        }
        line
    }
}

impl ClusterDir {
    /// The command line of this program with these arguments, for this cluster.
    pub fn command(&self, args: impl Display) -> String {
        self.state_dir().command(format!("{args} --cluster {}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_the_cluster_and_a_directory_that_is_not_the_default() {
        let state = StateDir::new(Some("/srv/my clusters".into())).unwrap();
        let dir = state.cluster("lab").unwrap();
        assert_eq!(
            dir.command("cluster restart 3"),
            "consensusctl cluster restart 3 --cluster lab --state-dir '/srv/my clusters'"
        );
        if let Ok(state) = StateDir::new(None) {
            let dir = state.cluster("lab").unwrap();
            assert_eq!(dir.command("status"), "consensusctl status --cluster lab");
            assert_eq!(state.command("cluster list"), "consensusctl cluster list");
        }
    }
}
