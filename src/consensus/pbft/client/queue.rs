//! Commands that wait to be sent, by counter.

use std::collections::BTreeMap;

use super::super::options::Options;
use super::{MAX_COMMANDS, REQUEST_BYTES, REQUEST_SPAN};
use crate::consensus::{Proposal, RejectReason, Time};

/// What waits, within limits.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: BTreeMap<u64, (Time, Proposal)>,
    bytes: usize,
    max_commands: usize,
    max_bytes: usize,
    max_command_bytes: usize,
}

impl Queue {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            waiting: BTreeMap::new(),
            bytes: 0,
            max_commands: options.max_pending_requests,
            max_bytes: options.max_pending_bytes,
            max_command_bytes: options.max_request_bytes,
        }
    }

    /// Why a command cannot wait here.
    pub(super) fn refusal(&self, proposal: &Proposal) -> Option<RejectReason> {
        if proposal.command.len() > self.max_command_bytes {
            Some(RejectReason::TooLarge)
        } else if self.waiting.len() >= self.max_commands
            || self.bytes + proposal.command.len() > self.max_bytes
        {
            Some(RejectReason::TooManyRequests)
        } else {
            None
        }
    }

    pub(super) fn insert(&mut self, deadline: Time, proposal: Proposal) {
        self.bytes += proposal.command.len();
        let before = self.waiting.insert(proposal.id.counter, (deadline, proposal));
        assert!(before.is_none(), "a counter is used once");
    }

    /// Gives a command up; `Some` with its deadline if it waited.
    pub(super) fn remove(&mut self, counter: u64) -> Option<Time> {
        let (deadline, proposal) = self.waiting.remove(&counter)?;
        self.bytes -= proposal.command.len();
        Some(deadline)
    }

    /// Takes what fits into one request, in ascending order, with deadlines. `oldest`: the oldest counter that is
    /// outstanding, if any; none is taken that would lie out of its span.
    pub(super) fn take(&mut self, oldest: Option<u64>) -> Vec<(Time, Proposal)> {
        let first = self.waiting.keys().next().copied();
        let oldest = oldest.into_iter().chain(first).min().unwrap_or_default();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = self.waiting.first_entry() {
            let (counter, length) = (*entry.key(), entry.get().1.command.len());
            let full = taken.len() >= MAX_COMMANDS || bytes + length > REQUEST_BYTES;
            if counter - oldest >= REQUEST_SPAN || full && !taken.is_empty() {
                break;
            }
            bytes += length;
            taken.push(entry.remove());
        }
        self.bytes -= bytes;
        taken
    }

    /// Bytes of the commands that wait.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
