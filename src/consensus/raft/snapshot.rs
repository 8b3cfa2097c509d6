//! Snapshots: taking them, forgetting the log below them, sending and receiving them by pieces (§7, Diss. §5).

use super::message::{Body, InstallOutcome, InstallSnapshot, InstallSnapshotResponse};
use super::progress::{Mode, Progress, Sending};
use super::record::Record;
use super::server::{Raft, State, ignore_kind};
use crate::consensus::{
    Event, Index, Install, InstallProgress, Lsn, NodeId, Output, PieceRequest, SnapshotMeta, SnapshotPiece,
    Time,
};
use crate::text::counted;

/// So often a follower is sent again what it did not confirm, before a newer snapshot takes the older one's place: that
/// begins from the start.
const RETRIES: u32 = 3;

/// A leader's snapshot that is on its way here.
#[derive(Debug)]
pub(super) struct Receiving {
    from: NodeId,
    meta: SnapshotMeta,
    /// All pieces below this one were handed to the store. When it has all, nothing calls them back: the store's
    /// state is about to be replaced, and no entry may be handed to it before it says how that went.
    handed: u32,
    /// When to give up waiting for the next piece.
    deadline: Time,
}

impl Receiving {
    fn is_complete(&self) -> bool {
        self.handed == self.meta.pieces
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        (!self.is_complete()).then_some(self.deadline)
    }

    /// For `status`.
    pub(super) fn describe(&self) -> String {
        format!(
            "receiving a snapshot of index {} from {}: {} of {}",
            self.meta.index,
            self.from,
            self.handed,
            counted(self.meta.pieces.into(), "piece", "pieces")
        )
    }
}

/// Taking snapshots.
impl Raft {
    /// Asks for a snapshot of what has just been committed when the log has grown enough since the last one.
    pub(super) fn want_checkpoint(&mut self, out: &mut Output<Self>) {
        let last = self.snapshot_index();
        let grown = self.log.bytes_between(last, self.commit_index) >= self.options.snapshot_log_bytes;
        if self.checkpointing.is_none() && grown {
            self.checkpointing = Some(self.commit_index);
            out.checkpoint = Some(self.commit_index);
        }
    }

    pub(super) fn snapshot_index(&self) -> Index {
        self.snapshot.as_ref().map_or(Index::ZERO, |meta| meta.index)
    }

    /// The oldest snapshot that is on its way to a follower.
    fn oldest_sending(&self) -> Option<Index> {
        let State::Leader(leader) = &self.state else { return None };
        let sending = leader.peers.values().filter(|peer| self.is_active(peer)).filter_map(Progress::sending);
        sending.map(|sending| sending.meta.index).min()
    }

    /// A snapshot of this server's own state is durable: the log below it may go, but for a tail that helps followers
    /// that are a little behind, and for what those need next that are being sent an older one, unless memory runs short.
    pub(super) fn on_saved(&mut self, meta: SnapshotMeta, out: &mut Output<Self>) {
        if self.checkpointing.is_some_and(|wanted| wanted <= meta.index) {
            self.checkpointing = None;
        }
        if meta.index <= self.snapshot_index() || meta.index > self.commit_index {
            return;
        }
        let mut point = self.log.compaction_point(meta.index, self.options.keep_log_bytes);
        if self.log.bytes() < self.options.max_log_bytes / 2 {
            point = self.oldest_sending().map_or(point, |sending| point.min(sending));
        }
        out.trace.push(Event::Noted { what: "took a snapshot", index: meta.index });
        self.snapshot = Some(meta);
        self.log.compact_to(point);
        self.retain_needed(out);
    }

    /// Lets the log on disk forget what is older than the first entry in memory. Term and vote are written anew behind
    /// it, so that they never hold old segments back.
    fn retain_needed(&mut self, out: &mut Output<Self>) {
        let hard_state = self.write_hard_state(out);
        out.retain_from = Some(self.log.first_lsn().map_or(hard_state, |first| first.min(hard_state)));
    }

    /// After a crash between the installation of a snapshot and the [`Record::Reset`] that follows it, the disk must
    /// learn that the log was thrown away before it gets the next entry.
    pub(super) fn settle_reset(&mut self, out: &mut Output<Self>) {
        if std::mem::take(&mut self.reset_owed) {
            self.reset_log(self.log.base_index(), self.log.base_term(), out);
        }
    }

    /// Throws the log away and goes on after `index`, in memory and on disk.
    fn reset_log(&mut self, index: Index, term: super::message::Term, out: &mut Output<Self>) {
        let hard_state = self.write_hard_state(out);
        let lsn = self.disk.write(self.now, Record::Reset { index, term }, &mut out.records);
        self.log.reset(index, term, lsn);
        out.retain_from = Some(hard_state);
    }
}

/// Sending them.
impl Raft {
    /// The entries that `to` lacks are gone: it gets the newest snapshot.
    pub(super) fn start_snapshot(&mut self, to: NodeId, out: &mut Output<Self>) {
        let deadline = self.now + self.options.retry_interval();
        let (State::Leader(leader), Some(meta)) = (&mut self.state, &self.snapshot) else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        peer.become_snapshot(meta.clone(), deadline);
        out.trace.push(Event::Noted { what: "sends a snapshot", index: meta.index });
        self.request_pieces(to, out);
    }

    fn sending(&mut self, to: NodeId) -> Option<&mut Sending> {
        let State::Leader(leader) = &mut self.state else { return None };
        match &mut leader.peers.get_mut(&to)?.mode {
            Mode::Snapshot(sending) => Some(sending),
            Mode::Probe { .. } | Mode::Replicate => None,
        }
    }

    /// Asks the store for pieces, up to a few that `to` has not confirmed.
    fn request_pieces(&mut self, to: NodeId, out: &mut Output<Self>) {
        let window = self.options.max_inflight_pieces;
        let Some(sending) = self.sending(to) else { return };
        let limit = sending.next.saturating_add(window).min(sending.meta.pieces);
        while sending.asked < limit {
            out.pieces.push(PieceRequest { to, index: sending.meta.index, number: sending.asked });
            sending.asked += 1;
        }
    }

    /// A piece was read: it goes out as a message. If the snapshot has been replaced, its successor is sent.
    pub(super) fn on_piece(&mut self, piece: SnapshotPiece, out: &mut Output<Self>) {
        let newest = self.snapshot_index();
        let Some(sending) = self.sending(piece.peer) else { return };
        if sending.meta.index != piece.meta.index || piece.number < sending.next {
            return;
        }
        match piece.data {
            Some(data) => {
                let meta = sending.meta.clone();
                let install = InstallSnapshot { meta, number: piece.number, data };
                self.send(piece.peer, Body::InstallSnapshot(install), Lsn::ZERO, out);
            }
            None if newest > sending.meta.index => self.start_snapshot(piece.peer, out),
            None => {}
        }
    }

    /// The follower says how far it is (§7).
    pub(super) fn on_install_snapshot_response(
        &mut self,
        from: NodeId,
        response: &InstallSnapshotResponse,
        out: &mut Output<Self>,
    ) {
        let (now, base, last_index) = (self.now, self.log.base_index(), self.log.last_index());
        let deadline = now + self.options.retry_interval();
        let State::Leader(leader) = &mut self.state else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        peer.last_heard = now;
        let Mode::Snapshot(sending) = &mut peer.mode else { return };
        if response.index != sending.meta.index || response.index > last_index {
            return ignore_kind(out, from, "InstallSnapshotResponse", "it speaks of another snapshot");
        }
        match response.outcome {
            // The follower has restarted, or another leader's snapshot came between.
            InstallOutcome::Next(0) if sending.next > 0 => (sending.next, sending.asked) = (0, 0),
            InstallOutcome::Next(next) if next > sending.next && next <= sending.asked => {
                sending.next = next;
                (sending.deadline, sending.retries) = (deadline, 0);
            }
            InstallOutcome::Failed => {
                // At the pace of the retry timer: the reason, such as a full disk, is likely to be there still.
                (sending.next, sending.asked, sending.deadline) = (0, sending.meta.pieces, deadline);
            }
            InstallOutcome::Done => {
                peer.on_matched(response.index, base);
                if matches!(peer.mode, Mode::Snapshot(_)) {
                    // A newer snapshot was taken meanwhile, and the log after this one is gone.
                    return self.start_snapshot(from, out);
                }
                return self.send_append_entries(from, out);
            }
            InstallOutcome::Next(_) => {}
        }
        self.request_pieces(from, out);
    }

    /// Sends again when nothing was confirmed for a while, and a newer snapshot if that has not helped or nothing of the
    /// older one is there.
    pub(super) fn retry_snapshot(&mut self, to: NodeId, out: &mut Output<Self>) {
        let (now, newest) = (self.now, self.snapshot_index());
        let deadline = now + self.options.retry_interval();
        let Some(sending) = self.sending(to) else { return };
        if now < sending.deadline {
            return;
        }
        if newest > sending.meta.index && (sending.next == 0 || sending.retries >= RETRIES) {
            return self.start_snapshot(to, out);
        }
        sending.retries += 1;
        sending.asked = sending.next;
        sending.deadline = deadline;
        self.request_pieces(to, out);
    }
}

/// Receiving them.
impl Raft {
    /// §7: takes a piece of the leader's snapshot, unless the log holds everything that it could bring.
    pub(super) fn on_install_snapshot(
        &mut self,
        from: NodeId,
        piece: InstallSnapshot,
        out: &mut Output<Self>,
    ) {
        if self.is_leader() {
            return ignore_kind(out, from, "InstallSnapshot", "this server leads the term");
        }
        self.follow(from, out);
        let index = piece.meta.index;
        if index <= self.commit_index {
            // A late or repeated snapshot must not drop what was acknowledged after it.
            return self.answer_install(from, index, InstallOutcome::Done, out);
        }
        if self.log.term_at(index) == Some(piece.meta.epoch) {
            // The entry is there, and so are all before it: what follows stays.
            self.abandon_receiving(out);
            self.advance_commit(index, out);
            return self.answer_install(from, index, InstallOutcome::Done, out);
        }
        self.receive_piece(from, piece, out);
    }

    fn receive_piece(&mut self, from: NodeId, piece: InstallSnapshot, out: &mut Output<Self>) {
        let deadline = self.now + self.options.retry_interval() * 2;
        let same = |receiving: &Receiving| receiving.from == from && receiving.meta == piece.meta;
        if self.is_installing() && !self.receiving.as_ref().is_some_and(same) {
            return ignore_kind(out, from, "InstallSnapshot", "another snapshot is being installed");
        }
        if !self.receiving.as_ref().is_some_and(same) {
            out.trace.push(Event::Noted { what: "receives a snapshot", index: piece.meta.index });
            self.receiving = Some(Receiving { from, meta: piece.meta.clone(), handed: 0, deadline });
        }
        let Some(receiving) = &mut self.receiving else { return };
        if piece.number == receiving.handed {
            receiving.handed += 1;
            receiving.deadline = deadline;
            let InstallSnapshot { meta, number, data } = piece;
            let piece = SnapshotPiece { peer: from, meta, number, data: Some(data) };
            out.install.push(Install { piece, repair: false });
        } else if !receiving.is_complete() {
            let outcome = InstallOutcome::Next(receiving.handed);
            self.answer_install(from, piece.meta.index, outcome, out);
        }
    }

    fn answer_install(&self, to: NodeId, index: Index, outcome: InstallOutcome, out: &mut Output<Self>) {
        let promise = match outcome {
            InstallOutcome::Done => self.log.lsn_at(index),
            _ => Lsn::ZERO,
        };
        self.send(
            to,
            Body::InstallSnapshotResponse(InstallSnapshotResponse { index, outcome }),
            promise,
            out,
        );
    }

    /// The store says how far the snapshot is.
    pub(super) fn on_install(&mut self, progress: InstallProgress, out: &mut Output<Self>) {
        match progress {
            InstallProgress::Stored { index, next } => self.on_stored(index, next, out),
            InstallProgress::Done(meta) => self.on_installed(meta, out),
            InstallProgress::Failed { index, .. } => self.on_install_failed(index, out),
        }
    }

    fn on_stored(&mut self, index: Index, next: u32, out: &mut Output<Self>) {
        let Some(receiving) = &self.receiving else { return };
        // That the last piece is stored is said by the installation's end.
        if receiving.meta.index == index
            && next < receiving.meta.pieces
            && self.leader == Some(receiving.from)
        {
            self.answer_install(receiving.from, index, InstallOutcome::Next(next), out);
        }
    }

    /// §7: the store's state is the snapshot now. The log goes on after it, with its suffix if it holds the snapshot's
    /// last entry, and empty otherwise.
    fn on_installed(&mut self, meta: SnapshotMeta, out: &mut Output<Self>) {
        assert!(
            meta.index > self.commit_index,
            "invariant 8: nothing is committed while a snapshot is installed that may replace it"
        );
        let from = self.receiving.take().map(|receiving| receiving.from);
        let index = meta.index;
        out.trace.push(Event::Noted { what: "installed a snapshot", index });
        if self.log.term_at(index) == Some(meta.epoch) {
            self.log.compact_to(index);
            self.retain_needed(out);
        } else {
            if self.is_leader() {
                self.become_follower(self.term, "its log lacks what is committed", out);
            }
            self.reset_log(index, meta.epoch, out);
        }
        self.commit_index = index;
        self.applied = self.applied.max(index);
        self.members.clone_from(&meta.members);
        self.snapshot = Some(meta);
        self.checkpointing = None;
        if let Some(leader) = self.leader.filter(|leader| from == Some(*leader)) {
            self.answer_install(leader, index, InstallOutcome::Done, out);
        }
        self.advance_leader_commit(out);
    }

    fn on_install_failed(&mut self, index: Index, out: &mut Output<Self>) {
        let Some(receiving) = self.receiving.take_if(|receiving| receiving.meta.index == index) else {
            return;
        };
        out.trace.push(Event::Noted { what: "could not install a snapshot", index });
        if self.leader == Some(receiving.from) {
            self.answer_install(receiving.from, index, InstallOutcome::Failed, out);
        }
    }

    /// Whether the store has all pieces of a snapshot and is about to replace its state by it.
    pub(super) fn is_installing(&self) -> bool {
        self.receiving.as_ref().is_some_and(Receiving::is_complete)
    }

    /// The log turned out to match the leader's: no snapshot is needed.
    pub(super) fn abandon_receiving(&mut self, out: &mut Output<Self>) {
        if let Some(receiving) = self.receiving.take_if(|receiving| !receiving.is_complete()) {
            out.trace.push(Event::Noted { what: "gives up a snapshot", index: receiving.meta.index });
        }
    }

    /// Gives up a snapshot of which no piece has come for a while: its leader is gone.
    pub(super) fn on_receiving_timeout(&mut self, out: &mut Output<Self>) {
        let due = self.receiving.as_ref().and_then(Receiving::deadline).is_some_and(|at| at <= self.now);
        if due {
            self.abandon_receiving(out);
        }
    }
}
