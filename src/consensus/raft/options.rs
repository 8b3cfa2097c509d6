//! Raft's section of `cluster.toml`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Raft's settings. Each limit bounds something that would grow without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The least time without a leader after which a follower tries to replace it; also how long it stands by one.
    pub election_timeout_min_ms: u64,
    /// The most; drawn at random between both, anew for each try, so that votes seldom split (§5.2).
    pub election_timeout_max_ms: u64,
    /// How often a leader shows that it is there.
    pub heartbeat_interval_ms: u64,
    /// After how long a candidate asks again those who did not answer.
    pub vote_retry_ms: u64,
    /// Entries in one `AppendEntries`: bounds how long one message keeps a follower busy.
    pub max_append_entries: usize,
    /// Bytes of entries in one `AppendEntries` or `Forward`, unless a single one is larger.
    pub max_append_bytes: usize,
    /// Unanswered `AppendEntries` for one follower: what a slow one makes the leader's links hold.
    pub max_inflight_messages: usize,
    /// Bytes of entries in them.
    pub max_inflight_bytes: usize,
    /// Bytes of one command.
    pub max_request_bytes: usize,
    /// Proposals (and, apart from them, reads) of this node's clients that wait for an answer.
    pub max_pending_requests: usize,
    /// Bytes of the proposals that wait.
    pub max_pending_bytes: usize,
    /// Bytes of entries after which a new snapshot is taken.
    pub snapshot_log_bytes: usize,
    /// Bytes of entries that are kept below a snapshot, for followers that are a little behind.
    pub keep_log_bytes: usize,
    /// Bytes of entries in memory; a leader that has more refuses proposals until a snapshot lets it forget some.
    pub max_log_bytes: usize,
    /// Pieces of a snapshot under way to one follower.
    pub max_inflight_pieces: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            election_timeout_min_ms: 300,
            election_timeout_max_ms: 600,
            heartbeat_interval_ms: 50,
            vote_retry_ms: 100,
            max_append_entries: 4096,
            max_append_bytes: MIB,
            max_inflight_messages: 64,
            max_inflight_bytes: 16 * MIB,
            // The store's limit of 1.5 MiB for a request, and what its encoding adds.
            max_request_bytes: 1536 * KIB + 64 * KIB,
            max_pending_requests: 65_536,
            max_pending_bytes: 64 * MIB,
            snapshot_log_bytes: 16 * MIB,
            keep_log_bytes: 8 * MIB,
            max_log_bytes: 128 * MIB,
            max_inflight_pieces: 4,
        }
    }
}

impl Options {
    /// Says what is wrong with the settings, in terms of their names.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("heartbeat_interval_ms", self.heartbeat_interval_ms),
            ("vote_retry_ms", self.vote_retry_ms),
            ("max_append_entries", self.max_append_entries as u64),
            ("max_append_bytes", self.max_append_bytes as u64),
            ("max_inflight_messages", self.max_inflight_messages as u64),
            ("max_inflight_bytes", self.max_inflight_bytes as u64),
            ("max_request_bytes", self.max_request_bytes as u64),
            ("max_pending_requests", self.max_pending_requests as u64),
            ("snapshot_log_bytes", self.snapshot_log_bytes as u64),
            ("max_inflight_pieces", self.max_inflight_pieces.into()),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} must be above 0"));
        }
        if self.election_timeout_min_ms < 3 * self.heartbeat_interval_ms {
            return Err(format!(
                "election_timeout_min_ms ({}) must be at least three times heartbeat_interval_ms ({}): a lost \
                 heartbeat or two must not start an election",
                self.election_timeout_min_ms, self.heartbeat_interval_ms
            ));
        }
        if self.election_timeout_max_ms <= self.election_timeout_min_ms {
            return Err(format!(
                "election_timeout_max_ms ({}) must be above election_timeout_min_ms ({}): without a random part \
                 votes split again and again",
                self.election_timeout_max_ms, self.election_timeout_min_ms
            ));
        }
        if self.max_pending_bytes < self.max_request_bytes {
            return Err(format!(
                "max_pending_bytes ({}) must not be below max_request_bytes ({})",
                self.max_pending_bytes, self.max_request_bytes
            ));
        }
        let log_bytes = self.snapshot_log_bytes.saturating_add(self.keep_log_bytes);
        if self.max_log_bytes < log_bytes.saturating_mul(2) {
            return Err(format!(
                "max_log_bytes ({}) must be at least twice snapshot_log_bytes and keep_log_bytes together ({}): \
                 writes go on while a snapshot is taken",
                self.max_log_bytes, log_bytes
            ));
        }
        Ok(())
    }

    pub(super) fn election_timeout_min(&self) -> Duration {
        Duration::from_millis(self.election_timeout_min_ms)
    }

    pub(super) fn election_timeout_max(&self) -> Duration {
        Duration::from_millis(self.election_timeout_max_ms)
    }

    pub(super) fn heartbeat_interval(&self) -> Duration {
        Duration::from_millis(self.heartbeat_interval_ms)
    }

    pub(super) fn vote_retry(&self) -> Duration {
        Duration::from_millis(self.vote_retry_ms)
    }

    /// After how long something unanswered is tried again: long enough for an election to have ended.
    pub(super) fn retry_interval(&self) -> Duration {
        self.election_timeout_max() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Options::default().validate(), Ok(()));
    }

    #[test]
    fn each_contradiction_is_named() {
        let cases: [(&str, fn(&mut Options)); 6] = [
            ("heartbeat_interval_ms", |o| o.heartbeat_interval_ms = 0),
            ("max_inflight_messages", |o| o.max_inflight_messages = 0),
            ("election_timeout_min_ms", |o| o.election_timeout_min_ms = 149),
            ("election_timeout_max_ms", |o| o.election_timeout_max_ms = 300),
            ("max_pending_bytes", |o| o.max_pending_bytes = 1),
            ("max_log_bytes", |o| o.max_log_bytes = 24 * MIB),
        ];
        for (name, spoil) in cases {
            let mut options = Options::default();
            spoil(&mut options);
            let error = options.validate().unwrap_err();
            assert!(error.starts_with(name), "{name}: {error}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(serde_json::from_str::<Options>(r#"{"election_timeout_ms": 300}"#).is_err());
        let some: Options = serde_json::from_str(r#"{"heartbeat_interval_ms": 20}"#).unwrap();
        assert_eq!((some.heartbeat_interval_ms, some.vote_retry_ms), (20, 100));
    }
}
