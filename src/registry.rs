//! The registry: what the rest of the program needs to know of each protocol.
//!
//! A new protocol is its folder, its proto file and one line of [`PROTOCOLS`]. No other place matches on a protocol.

use serde::de::DeserializeOwned;
use toml::de::ValueDeserializer;

/// One protocol, as the command line and the configuration see it.
#[derive(Debug)]
pub struct Entry {
    /// Its name on the command line, in data directories, and of its section in `cluster.toml`.
    pub name: &'static str,
    /// The port of the first node where nothing else is said; the others follow.
    pub base_port: u16,
    /// How many nodes a cluster has where nothing else is said.
    pub nodes: usize,
    /// Checks the protocol's own section of `cluster.toml`.
    pub check_options: fn(ValueDeserializer<'_>) -> Result<(), toml::de::Error>,
}

/// All protocols.
pub static PROTOCOLS: &[Entry] =
    &[Entry { name: "raft", base_port: 5001, nodes: 5, check_options: check::<toml::Table> }];

/// The protocol of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    PROTOCOLS.iter().find(|entry| entry.name == name)
}

/// The names of all protocols, for error messages.
pub fn names() -> String {
    PROTOCOLS.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ")
}

fn check<O: DeserializeOwned>(section: ValueDeserializer<'_>) -> Result<(), toml::de::Error> {
    O::deserialize(section).map(|_| ())
}
