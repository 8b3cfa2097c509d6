//! Rebuilding a server from its snapshot and its records.
//!
//! The log on disk is cut coarsely, so that what comes first may be older than the snapshot and of no use; what counts
//! is the state after the last record. Three things a crash leaves behind are put right, because each can happen
//! without any fault of the disk:
//!
//! - The snapshot is newer than the log, or the log has another entry at its index: the crash came between the
//!   installation of a leader's snapshot and the [`Record::Reset`] after it. The log is thrown away.
//! - The snapshot's term is above the last term on disk: its installation was faster than the record of the term. No
//!   promise of that term can have left, so that the server goes on in it without a vote.
//! - The log begins anywhere at or below the snapshot's index: what is below was cut.
//!
//! Everything else that does not fit is a contradiction, and the server does not start.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::disk::Disk;
use super::log::Log;
use super::message::Term;
use super::proposals::Proposals;
use super::reads::Reads;
use super::record::{Entry, Record};
use super::server::{Raft, State};
use crate::consensus::{Index, Lsn, NodeId, RecoverError, Recovered, Setup, SnapshotMeta};

/// Rebuilds a server. See [`crate::consensus::Protocol::recover`].
pub(super) fn recover(setup: Setup<Raft>, recovered: Recovered<Record>) -> Result<Raft, RecoverError> {
    let mut replay = Replay::default();
    for (lsn, record) in recovered.records {
        replay.apply(lsn, record).map_err(|why| RecoverError { lsn, why })?;
    }
    replay.check(recovered.snapshot.as_ref())?;
    let (log, reset_owed) = replay.build_log(recovered.snapshot.as_ref())?;
    let snapshot_term = recovered.snapshot.as_ref().map_or(Term::ZERO, |meta| meta.epoch);
    let (term, voted_for) = match replay.hard_state {
        Some((term, voted_for)) if term >= snapshot_term => (term, voted_for),
        _ => (snapshot_term, None),
    };
    let commit_index = recovered.snapshot.as_ref().map_or(Index::ZERO, |meta| meta.index);
    let members = recovered.snapshot.as_ref().map_or(setup.members, |meta| meta.members.clone());
    let retry_deadline = setup.now + setup.options.retry_interval();
    let mut raft = Raft {
        id: setup.id,
        members,
        options: setup.options,
        request_timeout: setup.request_timeout,
        rng: ChaCha8Rng::seed_from_u64(setup.seed),
        now: setup.now,
        term,
        voted_for,
        log,
        disk: Disk::new(recovered.next_lsn, setup.now),
        commit_index,
        applied: commit_index,
        state: State::Follower,
        leader: None,
        last_heard: setup.now,
        election_deadline: setup.now,
        proposals: Proposals::new(setup.incarnation),
        reads: Reads::new(setup.incarnation),
        retry_deadline,
        snapshot: recovered.snapshot,
        checkpointing: None,
        receiving: None,
        reset_owed,
    };
    raft.reset_election_timer();
    Ok(raft)
}

/// What the records say so far.
#[derive(Default)]
struct Replay {
    last_lsn: Lsn,
    hard_state: Option<(Term, Option<NodeId>)>,
    /// After which position the entries begin, if a record said so.
    base: Option<(Index, Term)>,
    entries: Vec<(Lsn, Entry)>,
}

impl Replay {
    fn apply(&mut self, lsn: Lsn, record: Record) -> Result<(), String> {
        if lsn <= self.last_lsn {
            return Err(format!("it follows record {}", self.last_lsn));
        }
        self.last_lsn = lsn;
        match record {
            Record::HardState { term, voted_for } => self.apply_hard_state(term, voted_for),
            Record::Entry(entry) => self.apply_entry(lsn, entry),
            Record::Reset { index, term } => {
                self.base = Some((index, term));
                self.entries.clear();
                Ok(())
            }
        }
    }

    /// Terms grow, and a vote is given once in each (§5.1, §5.2).
    fn apply_hard_state(&mut self, term: Term, voted_for: Option<NodeId>) -> Result<(), String> {
        if let Some((before, vote)) = self.hard_state {
            if term < before {
                return Err(format!("the term goes back from {before} to {term}"));
            }
            if term == before && vote.is_some() && vote != voted_for {
                return Err(format!("the vote in term {term} changes"));
            }
        }
        self.hard_state = Some((term, voted_for));
        Ok(())
    }

    /// An entry follows the last one, or replaces one and all after it.
    fn apply_entry(&mut self, lsn: Lsn, entry: Entry) -> Result<(), String> {
        let Some(first) = self.entries.first().map(|(_, first)| first.index) else {
            return self.apply_first_entry(lsn, entry);
        };
        let last = self.entries.last().map_or(first, |(_, last)| last.index);
        if entry.index > last.next() {
            return Err(format!("entry {} follows entry {last}: those between are missing", entry.index));
        }
        if entry.index < first {
            // It replaces entries that were cut: nothing is left of what was read so far.
            self.entries.clear();
            return self.apply_first_entry(lsn, entry);
        }
        self.entries.truncate((entry.index.0 - first.0) as usize);
        if let Some((_, before)) = self.entries.last()
            && entry.term < before.term
        {
            return Err(format!(
                "entry {} of term {} follows one of term {}",
                entry.index, entry.term, before.term
            ));
        }
        self.entries.push((lsn, entry));
        Ok(())
    }

    fn apply_first_entry(&mut self, lsn: Lsn, entry: Entry) -> Result<(), String> {
        if let Some((index, term)) = self.base {
            if entry.index != index.next() {
                return Err(format!("entry {} follows a log that was reset to {index}", entry.index));
            }
            if entry.term < term {
                return Err(format!("entry {} of term {} follows term {term}", entry.index, entry.term));
            }
        }
        if entry.index == Index::ZERO {
            return Err("there is no entry 0".to_owned());
        }
        self.entries.push((lsn, entry));
        Ok(())
    }

    /// What only the whole can show.
    fn check(&self, snapshot: Option<&SnapshotMeta>) -> Result<(), RecoverError> {
        let fail = |why: String| Err(RecoverError { lsn: self.last_lsn, why });
        let snapshot_index = snapshot.map_or(Index::ZERO, |meta| meta.index);
        let base = match (self.entries.first(), self.base) {
            (Some((_, first)), _) => first.index.prev(),
            (None, Some((index, _))) => index,
            (None, None) => Index::ZERO,
        };
        if base > snapshot_index {
            return fail(format!(
                "the log begins after index {base}, but the newest snapshot ends at {snapshot_index}: what is \
                 between them is missing"
            ));
        }
        let term = self.hard_state.map(|(term, _)| term);
        match self.entries.last() {
            Some((lsn, last)) if term.is_none_or(|term| last.term > term) => Err(RecoverError {
                lsn: *lsn,
                why: format!("entry {} is of term {}, of which no term record tells", last.index, last.term),
            }),
            _ => Ok(()),
        }
    }

    /// The log above the snapshot, and whether the one on disk had to be thrown away.
    fn build_log(&mut self, snapshot: Option<&SnapshotMeta>) -> Result<(Log, bool), RecoverError> {
        let (index, term) = snapshot.map_or((Index::ZERO, Term::ZERO), |meta| (meta.index, meta.epoch));
        let mut log = Log::new(index, term, Lsn::ZERO);
        let at_snapshot = match self.entries.iter().find(|(_, entry)| entry.index == index) {
            Some((_, entry)) => Some(entry.term),
            // Entries that begin right after the snapshot: their predecessor is the snapshot's by the cut or a reset.
            None if self.entries.first().is_some_and(|(_, first)| first.index == index.next()) => {
                Some(self.base.filter(|base| base.0 == index).map_or(term, |base| base.1))
            }
            None => None,
        };
        if at_snapshot != Some(term) {
            return Ok((
                log,
                !self.entries.is_empty() || self.base.is_some_and(|base| base != (index, term)),
            ));
        }
        for (lsn, entry) in self.entries.drain(..).filter(|(_, entry)| entry.index > index) {
            if entry.term < log.last_term() {
                let why = format!("entry {} of term {} follows the snapshot's", entry.index, entry.term);
                return Err(RecoverError { lsn, why });
            }
            log.append(entry, lsn);
        }
        log.on_durable(self.last_lsn);
        Ok((log, false))
    }
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
