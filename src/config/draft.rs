//! [`Draft`]: a configuration that need not say which cluster it is of.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::file::{Wrong, parse};
use super::{ClusterConfig, ConfigError};
use crate::registry::Entry;
use crate::text::shell_path;

/// A configuration as it was written. One that names no `cluster_id` describes a cluster that is still to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    file: PathBuf,
    /// With an id made just now if the file names none.
    config: ClusterConfig,
    /// Where the file names the id.
    id: Option<Range<usize>>,
}

impl Draft {
    /// Reads and checks the file at `path`. With `protocol` the file is read for that one, whatever it names itself.
    pub fn load(path: &Path, protocol: Option<&'static Entry>) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, path, protocol)
    }

    /// Checks the text of a file at `path`, which messages name and from which key files are found.
    pub fn parse(text: &str, path: &Path, protocol: Option<&'static Entry>) -> Result<Self, ConfigError> {
        let (mut config, id) = parse(text, protocol).map_err(|wrong| locate(wrong, text, path))?;
        config.anchor_key_files(path.parent().unwrap_or(Path::new("")));
        Ok(Self { file: path.to_owned(), config, id })
    }

    /// The id that the file names.
    pub fn named_id(&self) -> Option<u64> {
        self.id.as_ref().map(|_| self.config.cluster_id)
    }

    /// The configuration of a cluster that may be new: with an id made just now if the file names none.
    pub fn into_new(self) -> ClusterConfig {
        self.config
    }

    /// The configuration of a cluster that exists. Refuses a file that does not say which: it could be any of this shape.
    pub fn into_existing(self) -> Result<ClusterConfig, ConfigError> {
        if self.id.is_some() {
            return Ok(self.config);
        }
        let hint = format!(
            "write one into it with `consensusctl cluster new {}`, then copy the file to every host of the cluster",
            shell_path(&self.file)
        );
        Err(ConfigError {
            file: self.file,
            line: None,
            message: "has no cluster_id, which keeps this cluster apart from others with the same members"
                .to_owned(),
            hint: Some(hint),
        })
    }
}

impl ClusterConfig {
    /// The configuration of a cluster that exists, from the file at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Draft::load(path, None)?.into_existing()
    }
}

/// The text of a configuration at `path` with this id in place of the one that it names, if it names one. The rest of the
/// text stays as it is, comments included.
pub fn with_cluster_id(text: &str, path: &Path, id: u64) -> Result<String, ConfigError> {
    let draft = Draft::parse(text, path, None)?;
    let number = format!("{id:#018x}");
    Ok(match draft.id {
        Some(Range { start, end }) => format!("{}{number}{}", &text[..start], &text[end..]),
        // At the top, it is in no section.
        None => format!("cluster_id = {number}\n\n{text}"),
    })
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError {
        file: path.to_owned(),
        line: None,
        message: format!("cannot be read: {error}"),
        hint: None,
    })
}

/// An error with the file and line at which it shows.
fn locate(wrong: Wrong, text: &str, path: &Path) -> ConfigError {
    ConfigError {
        file: path.to_owned(),
        line: wrong.at.map(|at| text[..at.start.min(text.len())].matches('\n').count() + 1),
        message: wrong.message,
        hint: wrong.hint,
    }
}
