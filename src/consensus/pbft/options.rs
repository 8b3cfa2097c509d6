//! PBFT's section of `cluster.toml`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// PBFT's settings. Each limit bounds something that would grow without it. `checkpoint_interval`, `window` and the
/// limits of batches and requests must be the same at all replicas: they decide what messages are let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// K: a checkpoint is taken at every sequence number that this divides (TOCS §4.4).
    pub checkpoint_interval: u64,
    /// L: how far sequence numbers may be above the last stable checkpoint; bounds the log of messages.
    pub window: u64,
    /// How long a backup waits for a request to be ordered before it wants another primary.
    pub request_timer_ms: u64,
    /// How long requests may wait for the primary, in the middle, while it has room for them: one that is slower than
    /// that, and slower than what the replicas observe of each other, is left. At most half of the request timer. 0: none
    /// is left for that.
    pub slow_primary_ms: u64,
    /// How long a replica waits for the NEW-VIEW at first; doubles with each view change that gets nowhere.
    pub view_change_timer_ms: u64,
    /// The most that either timer comes to.
    pub max_timer_ms: u64,
    /// How long a replica, as the client of its own callers, waits for replies before it asks everybody.
    pub client_retry_ms: u64,
    /// How often a replica tells the others how far it has come.
    pub status_interval_ms: u64,
    /// Commands in a batch, unless a single request has more.
    pub max_batch_requests: usize,
    /// Bytes of commands in a batch, unless a single request has more.
    pub max_batch_bytes: usize,
    /// Batches that a primary has proposed and that are not committed.
    pub max_in_flight: u64,
    /// Bytes of one command.
    pub max_request_bytes: usize,
    /// Requests that wait at a replica for being ordered; commands of its own callers likewise.
    pub max_pending_requests: usize,
    /// Bytes of either.
    pub max_pending_bytes: usize,
    /// Requests of one client that wait at a replica: one client does not take the others' place.
    pub max_client_requests: usize,
    /// Bytes of records after which a stable checkpoint is saved to disk, so that the log can forget them.
    pub snapshot_bytes: usize,
    /// Bytes of records that wait to become durable: with more of them a replica takes nothing that would have to be
    /// written, until its disk has caught up.
    pub max_undurable_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checkpoint_interval: 128,
            window: 256,
            request_timer_ms: 500,
            // Half of the request timer: far above what a loaded small machine takes for a slot.
            slow_primary_ms: 250,
            view_change_timer_ms: 1000,
            max_timer_ms: 30_000,
            client_retry_ms: 300,
            status_interval_ms: 100,
            max_batch_requests: 1024,
            max_batch_bytes: MIB,
            // One is agreed on while the next fills: more make small batches, and none faster.
            max_in_flight: 2,
            // The store's limit of 1.5 MiB for a request, and what its encoding adds.
            max_request_bytes: 1536 * KIB + 64 * KIB,
            max_pending_requests: 16_384,
            max_pending_bytes: 64 * MIB,
            max_client_requests: 1024,
            snapshot_bytes: 16 * MIB,
            // As much as the engine lets wait before it refuses clients.
            max_undurable_bytes: 32 * MIB,
        }
    }
}

impl Options {
    /// Says what is wrong with the settings, in terms of their names.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("checkpoint_interval", self.checkpoint_interval),
            ("request_timer_ms", self.request_timer_ms),
            ("view_change_timer_ms", self.view_change_timer_ms),
            ("client_retry_ms", self.client_retry_ms),
            ("status_interval_ms", self.status_interval_ms),
            ("max_batch_requests", self.max_batch_requests as u64),
            ("max_batch_bytes", self.max_batch_bytes as u64),
            ("max_in_flight", self.max_in_flight),
            ("max_request_bytes", self.max_request_bytes as u64),
            ("max_pending_requests", self.max_pending_requests as u64),
            ("max_client_requests", self.max_client_requests as u64),
            ("snapshot_bytes", self.snapshot_bytes as u64),
            ("max_undurable_bytes", self.max_undurable_bytes as u64),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} must be above 0"));
        }
        self.validate_window()?;
        self.validate_timers()?;
        self.validate_pending()
    }

    fn validate_window(&self) -> Result<(), String> {
        if self.window < self.checkpoint_interval.saturating_mul(2) {
            return Err(format!(
                "window ({}) must be at least twice checkpoint_interval ({}): requests go on while a checkpoint \
                 becomes stable",
                self.window, self.checkpoint_interval
            ));
        }
        if self.window > MAX_WINDOW {
            return Err(format!(
                "window ({}) must be at most {MAX_WINDOW}: a view change carries proofs for all of it",
                self.window
            ));
        }
        if self.max_batch_requests > MAX_BATCH_COMMANDS {
            return Err(format!(
                "max_batch_requests ({}) must be at most {MAX_BATCH_COMMANDS}: no message holds more",
                self.max_batch_requests
            ));
        }
        if self.max_in_flight > self.window {
            return Err(format!(
                "max_in_flight ({}) must not be above window ({})",
                self.max_in_flight, self.window
            ));
        }
        Ok(())
    }

    fn validate_timers(&self) -> Result<(), String> {
        let longest = self.request_timer_ms.max(self.view_change_timer_ms);
        if self.max_timer_ms < longest {
            return Err(format!(
                "max_timer_ms ({}) must not be below request_timer_ms ({}) and view_change_timer_ms ({})",
                self.max_timer_ms, self.request_timer_ms, self.view_change_timer_ms
            ));
        }
        Ok(())
    }

    fn validate_pending(&self) -> Result<(), String> {
        if self.max_pending_bytes < self.max_request_bytes {
            return Err(format!(
                "max_pending_bytes ({}) must not be below max_request_bytes ({})",
                self.max_pending_bytes, self.max_request_bytes
            ));
        }
        if self.max_pending_requests < self.max_client_requests {
            return Err(format!(
                "max_pending_requests ({}) must not be below max_client_requests ({})",
                self.max_pending_requests, self.max_client_requests
            ));
        }
        Ok(())
    }

    /// [`request_timer_ms`](Self::request_timer_ms).
    pub fn request_timer(&self) -> Duration {
        Duration::from_millis(self.request_timer_ms)
    }

    /// [`slow_primary_ms`](Self::slow_primary_ms), and no more than half of the request timer, above which there is
    /// nothing to judge.
    pub fn slow_primary(&self) -> Duration {
        Duration::from_millis(self.slow_primary_ms).min(self.request_timer() / 2)
    }

    /// [`view_change_timer_ms`](Self::view_change_timer_ms).
    pub fn view_change_timer(&self) -> Duration {
        Duration::from_millis(self.view_change_timer_ms)
    }

    /// [`max_timer_ms`](Self::max_timer_ms).
    pub fn max_timer(&self) -> Duration {
        Duration::from_millis(self.max_timer_ms)
    }

    /// [`client_retry_ms`](Self::client_retry_ms).
    pub fn client_retry(&self) -> Duration {
        Duration::from_millis(self.client_retry_ms)
    }

    /// [`status_interval_ms`](Self::status_interval_ms).
    pub fn status_interval(&self) -> Duration {
        Duration::from_millis(self.status_interval_ms)
    }
}

/// The most commands of any batch, and so of any message.
pub(super) const MAX_BATCH_COMMANDS: usize = 1 << 16;

/// The widest window: a NEW-VIEW carries Q certificates of Q signatures for each of its sequence numbers.
const MAX_WINDOW: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Options::default().validate(), Ok(()));
    }

    #[test]
    fn each_contradiction_is_named() {
        type Spoil = fn(&mut Options);
        let cases: [(&str, Spoil); 9] = [
            ("checkpoint_interval", |o| o.checkpoint_interval = 0),
            ("max_batch_requests", |o| o.max_batch_requests = 65_537),
            ("snapshot_bytes", |o| o.snapshot_bytes = 0),
            ("window", |o| o.window = 255),
            ("window", |o| o.window = MAX_WINDOW + 1),
            ("max_in_flight", |o| o.max_in_flight = 257),
            ("max_timer_ms", |o| o.max_timer_ms = 999),
            ("max_pending_bytes", |o| o.max_pending_bytes = 1),
            ("max_pending_requests", |o| o.max_pending_requests = 1023),
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
        assert!(serde_json::from_str::<Options>(r#"{"checkpoint": 128}"#).is_err());
        let some: Options = serde_json::from_str(r#"{"window": 512}"#).unwrap();
        assert_eq!((some.window, some.checkpoint_interval), (512, 128));
    }
}
