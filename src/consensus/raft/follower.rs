//! The follower's side of replication: §5.3.

use super::message::{AppendEntries, AppendEntriesResponse, AppendOutcome, Body};
use super::record::{Entry, Payload};
use super::server::{Raft, ignore_kind};
use crate::consensus::{Event, Index, Lsn, NodeId, Output};

impl Raft {
    /// §5.3: takes the leader's entries if the one before them matches, and commits what they prove to match.
    pub(super) fn on_append_entries(&mut self, from: NodeId, append: AppendEntries, out: &mut Output<Self>) {
        if self.is_leader() {
            return ignore_kind(out, from, "AppendEntries", "this server leads the term");
        }
        self.follow(from, out);
        let (round, reply) = (append.round, append.reply);
        if let Some((outcome, promise)) = self.try_append(from, append, out)
            && reply
        {
            let response = AppendEntriesResponse { round, outcome };
            self.send(from, Body::AppendEntriesResponse(response), promise, out);
        }
    }

    /// What to answer, and the record for which the answer waits. `None` if the message contradicts what is committed.
    fn try_append(
        &mut self,
        from: NodeId,
        append: AppendEntries,
        out: &mut Output<Self>,
    ) -> Option<(AppendOutcome, Lsn)> {
        let AppendEntries { prev_index, prev_term, commit, mut entries, .. } = append;
        let last_new = Index(prev_index.0 + entries.len() as u64);
        let base = self.log.base_index();
        if prev_index >= base && self.log.term_at(prev_index) != Some(prev_term) {
            let (index, term) = self.log.last_not_above(prev_index, prev_term);
            return Some((AppendOutcome::Conflict { prev_index, index, term }, Lsn::ZERO));
        }
        // What lies below the base is committed, so that a leader's log matches there.
        if prev_index < base {
            entries.retain(|entry| entry.index > base);
        }
        self.abandon_receiving(out);
        if entries.is_empty() {
            // Without entries to promise, the answer says what is on disk by now, and does not wait.
            self.advance_commit(commit.min(last_new), out);
            return Some((AppendOutcome::Matched(last_new.min(self.log.durable_index())), Lsn::ZERO));
        }
        if self.contradicts_committed(&entries) {
            ignore_kind(out, from, "AppendEntries", "it contradicts a committed entry");
            return None;
        }
        // A no-op is small enough for the reserve, and without it a cluster whose disks are all full could not even be
        // read after an election.
        let is_small = entries.iter().all(|entry| entry.payload == Payload::Noop);
        if self.disk.pressure.is_full() && last_new > self.log.last_index() && !is_small {
            return Some((AppendOutcome::Full, Lsn::ZERO));
        }
        self.append_new(entries, out);
        self.advance_commit(commit.min(last_new), out);
        Some((AppendOutcome::Matched(last_new), self.log.lsn_at(last_new)))
    }

    /// A committed entry is never replaced (State Machine Safety, §5.4.3); a peer that asks for it is broken.
    fn contradicts_committed(&self, entries: &[Entry]) -> bool {
        entries
            .iter()
            .take_while(|entry| entry.index <= self.commit_index)
            .any(|entry| self.log.term_at(entry.index) != Some(entry.term))
    }

    /// §5.3: an entry that conflicts is replaced with all that follow it; one that is there stays, and so does what
    /// follows it, because a delayed message must not undo later ones.
    fn append_new(&mut self, entries: Vec<Entry>, out: &mut Output<Self>) {
        for entry in entries {
            match self.log.term_at(entry.index) {
                Some(term) if term == entry.term => continue,
                Some(_) => {
                    assert!(entry.index > self.commit_index, "a committed entry is never replaced");
                    out.trace.push(Event::Noted { what: "replaces uncommitted entries", index: entry.index });
                    self.log.truncate_from(entry.index);
                }
                None => {}
            }
            self.append_to_log(entry, out);
        }
    }

    /// Commits up to `index`: hands what is new to the store, in order (§5.3), and asks for a snapshot when it is time.
    /// While a received snapshot is about to replace the store's state, nothing is handed to the store.
    pub(super) fn advance_commit(&mut self, index: Index, out: &mut Output<Self>) {
        if index <= self.commit_index || self.is_installing() {
            return;
        }
        assert!(index <= self.log.last_index(), "invariant 4: what is committed is in the log");
        let from = std::mem::replace(&mut self.commit_index, index);
        let committed = self.log.range(from, index).map(|entry| crate::consensus::Committed {
            index: entry.index,
            epoch: entry.term,
            proposals: entry.proposal().cloned().into_iter().collect(),
        });
        let first_new = out.committed.len();
        out.committed.extend(committed);
        self.forget_committed(&out.committed[first_new..]);
        self.want_checkpoint(out);
    }
}
