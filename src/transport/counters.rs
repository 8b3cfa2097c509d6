//! What went over the links, and what did not.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the links were started. Bytes are those of [`crate::consensus::Message::size`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Messages handed to connections.
    pub messages_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Messages that arrived and were let through.
    pub messages_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Lost to [`super::LinkFaults`], leaving or arriving.
    pub dropped_by_fault: u64,
    /// Not sent because the lane's queue was full.
    pub dropped_by_full_queue: u64,
    /// Not sent because the peer was not connected.
    pub dropped_unconnected: u64,
    /// Arrived but were malformed, or refused by the protocol's check.
    pub refused: u64,
    /// Connections that were made.
    pub connected: u64,
}

/// The counters while they count.
#[derive(Debug, Default)]
pub(super) struct Counters {
    messages_sent: AtomicU64,
    bytes_sent: AtomicU64,
    messages_received: AtomicU64,
    bytes_received: AtomicU64,
    dropped_by_fault: AtomicU64,
    dropped_by_full_queue: AtomicU64,
    dropped_unconnected: AtomicU64,
    refused: AtomicU64,
    connected: AtomicU64,
}

impl Counters {
    pub(super) fn sent(&self, bytes: usize) {
        self.messages_sent.fetch_add(1, Relaxed);
        self.bytes_sent.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.messages_received.fetch_add(1, Relaxed);
        self.bytes_received.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn dropped_by_fault(&self) {
        self.dropped_by_fault.fetch_add(1, Relaxed);
    }

    pub(super) fn dropped_by_full_queue(&self) {
        self.dropped_by_full_queue.fetch_add(1, Relaxed);
    }

    pub(super) fn dropped_unconnected(&self, messages: u64) {
        self.dropped_unconnected.fetch_add(messages, Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn connected(&self) {
        self.connected.fetch_add(1, Relaxed);
    }

    /// The counts now.
    pub(super) fn read(&self) -> LinkCounters {
        LinkCounters {
            messages_sent: self.messages_sent.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            messages_received: self.messages_received.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            dropped_by_fault: self.dropped_by_fault.load(Relaxed),
            dropped_by_full_queue: self.dropped_by_full_queue.load(Relaxed),
            dropped_unconnected: self.dropped_unconnected.load(Relaxed),
            refused: self.refused.load(Relaxed),
            connected: self.connected.load(Relaxed),
        }
    }
}
