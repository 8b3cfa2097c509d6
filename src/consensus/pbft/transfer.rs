//! State transfer (TOCS §4.6): the state at a stable checkpoint, piece by piece, from one replica after the other.
//!
//! Who fell behind the last stable checkpoint cannot catch up by messages: the others have forgotten them. It fetches the
//! state. Piece 0 is the manifest, whose digest the checkpoint's certificate names, and every other piece is checked
//! against it by itself, so that whoever sends something else is found out at once. The same repairs a state that turned
//! out to be wrong.
//!
//! Under load a newer checkpoint may be stable every second, and a large state takes longer. So a transfer that has begun
//! goes on: its STATUS names the state, and the others keep it, and what was ordered after it, within limits
//! ([`checkpoint`](super::checkpoint)). If they do not, it begins anew with the newest.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::message::{FetchState, Message, Sequence, State};
use super::replica::{Out, Replica};
use super::suspicion::Suspect;
use crate::consensus::{
    Digest, Event, Index, Install, InstallProgress, Lsn, NodeId, PieceRequest, SnapshotPiece, Time,
};
use crate::text::counted;

/// Pieces under way at once.
const PIECES_AT_ONCE: u32 = 4;
/// Pieces that are read for one replica at once: what it has under way, and as many that it asked for before it turned to
/// someone else and back. A flood of questions waits nowhere.
const PIECES_OF_ONE: usize = 2 * PIECES_AT_ONCE as usize;
/// The most pieces that a state is believed to have.
const MAX_PIECES: u32 = 1 << 20;
/// Status intervals without a piece after which another replica is asked.
const PATIENCE_INTERVALS: u32 = 10;
/// Status intervals after which another replica is asked in any case: a liar who sends a piece now and then holds nobody up
/// for longer.
const TURN_INTERVALS: u32 = 50;
/// Status intervals for which a gap may be filled by messages that are still on their way; again and again while something
/// is executed.
const GAP_INTERVALS: u32 = 4;

/// What becomes of the pieces that the store has, when another replica is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It goes on after them: each was checked by itself.
    Kept,
    /// It begins anew.
    Lost,
}

/// A state that is being fetched.
#[derive(Debug)]
pub(super) struct Transfer {
    sequence: Sequence,
    digest: Digest,
    /// The last stable checkpoint when that was last looked at.
    newest: Sequence,
    /// The own state has to be thrown away for it.
    repair: bool,
    source: NodeId,
    /// How many pieces it has, by the source's word.
    pieces: Option<u32>,
    /// The next piece to ask for.
    next: u32,
    /// All pieces below this one were handed to the store.
    handed: u32,
    /// Pieces that came before their turn: fewer than are under way at once.
    arrived: BTreeMap<u32, Bytes>,
    /// How many replicas in a row did not keep the state. When all of them do not, a newer one must be asked for.
    refusals: usize,
    /// When to ask someone else; to wait in the first place.
    deadline: Time,
    /// When to ask someone else in any case.
    turn: Time,
    /// It waits for messages that may fill the gap; how far had been executed then.
    waiting: Option<Sequence>,
}

impl Transfer {
    /// Whether the store is about to be replaced, so that nothing may be handed to it.
    pub(super) fn holds_the_store(&self) -> bool {
        self.is_complete()
    }

    fn is_complete(&self) -> bool {
        self.pieces.is_some_and(|pieces| self.handed == pieces)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        (!self.is_complete()).then_some(self.deadline)
    }

    /// The state that is being fetched; 0 while it is waited for messages.
    pub(super) fn fetching(&self) -> Sequence {
        if self.waiting.is_some() { Sequence::ZERO } else { self.sequence }
    }

    /// For `status`.
    pub(super) fn describe(&self) -> String {
        let Self { sequence, source, handed, .. } = self;
        if self.waiting.is_some() {
            return format!("behind the stable checkpoint {sequence}");
        }
        match self.pieces {
            Some(pieces) => {
                let pieces = counted(pieces.into(), "piece", "pieces");
                format!("fetches the state at {sequence} from {source}: {handed} of {pieces}")
            }
            None => format!("fetches the state at {sequence} from {source}"),
        }
    }
}

impl Replica {
    /// Looks whether the last stable checkpoint is out of reach by messages, or the own state is wrong.
    pub(super) fn consider_transfer(&mut self, out: &mut Out) {
        let stable = self.low_water_mark();
        let Some(digest) = self.checkpoints.stable().digest() else { return };
        if self.transfer.as_ref().is_some_and(|transfer| transfer.is_complete() || transfer.newest == stable)
        {
            return;
        }
        let repair = self.checkpoints.diverged().is_some();
        if repair && self.checkpoints.saved() >= stable {
            return; // The wrong state is on disk already: the next stable one replaces it.
        }
        let reachable = (self.executed.0 + 1..=stable.0).all(|sequence| self.is_at_hand(Sequence(sequence)));
        if !repair && reachable {
            self.transfer = None;
            return;
        }
        match &mut self.transfer {
            // What is there of the older one would be lost.
            Some(transfer) if transfer.waiting.is_none() && transfer.repair == repair => {
                transfer.newest = stable;
            }
            Some(transfer) if !repair && !transfer.repair => {
                (transfer.sequence, transfer.digest, transfer.newest) = (stable, digest, stable);
            }
            _ => self.begin_transfer(stable, digest, repair, out),
        }
    }

    /// Fetches the state at the last stable checkpoint, whatever was being fetched before; at first it waits for messages.
    fn begin_transfer(&mut self, stable: Sequence, digest: Digest, repair: bool, out: &mut Out) {
        let waits = !repair && self.transfer.is_none();
        let source = self.after_peer(self.transfer.as_ref().map_or(self.id, |transfer| transfer.source));
        let deadline = if waits { self.gap_deadline() } else { self.now };
        self.transfer = Some(Transfer {
            sequence: stable,
            digest,
            newest: stable,
            repair,
            source,
            pieces: None,
            next: 0,
            handed: 0,
            arrived: BTreeMap::new(),
            refusals: 0,
            deadline,
            turn: deadline,
            waiting: waits.then_some(self.executed),
        });
        self.on_transfer_timer(out);
    }

    fn gap_deadline(&self) -> Time {
        self.now + self.options.status_interval() * GAP_INTERVALS
    }

    /// Whether a slot can be executed: it is decided, and its batch is here. Who has the checkpoint may have forgotten the
    /// batch.
    fn is_at_hand(&self, sequence: Sequence) -> bool {
        self.slots
            .get(&sequence)
            .is_some_and(|slot| slot.decided.is_some_and(|digest| slot.batch(&digest).is_some()))
    }

    pub(super) fn on_transfer_timer(&mut self, out: &mut Out) {
        let due =
            self.transfer.as_ref().and_then(Transfer::deadline).is_some_and(|deadline| deadline <= self.now);
        if !due {
            return;
        }
        let repair = self.transfer.as_ref().is_some_and(|transfer| transfer.repair);
        if self.executed >= self.low_water_mark() && !repair {
            self.transfer = None; // The messages came after all.
            return;
        }
        let (executed, deadline) = (self.executed, self.gap_deadline());
        if let Some(transfer) = &mut self.transfer
            && transfer.waiting.is_some_and(|before| before < executed)
        {
            // They come.
            (transfer.waiting, transfer.deadline) = (Some(executed), deadline);
            return;
        }
        self.ask_next_source_for_newest(out);
    }

    /// Asks the next replica for what is missing; for a newer state if there is one, and nothing of the older is here.
    fn ask_next_source_for_newest(&mut self, out: &mut Out) {
        let (stable, digest) = (self.low_water_mark(), self.checkpoints.stable().digest());
        let nothing = self.transfer.as_ref().filter(|transfer| transfer.handed == 0);
        let older = nothing.filter(|transfer| transfer.waiting.is_none() && transfer.sequence < stable);
        match (older.map(|transfer| transfer.repair), digest) {
            (Some(repair), Some(digest)) => self.begin_transfer(stable, digest, repair, out),
            _ => self.ask_next_source(Progress::Kept, out),
        }
    }

    /// Asks the next replica for what is missing, or for everything.
    fn ask_next_source(&mut self, progress: Progress, out: &mut Out) {
        let Some(source) = self.transfer.as_ref().map(|transfer| self.after_peer(transfer.source)) else {
            return;
        };
        let deadline = self.patience();
        let turn = self.now + self.options.status_interval() * TURN_INTERVALS;
        if source == self.id {
            // A cluster of one has nobody to ask.
            self.transfer.iter_mut().for_each(|transfer| transfer.deadline = deadline);
            return;
        }
        let Some(transfer) = &mut self.transfer else { return };
        let anew = progress == Progress::Lost || transfer.handed == 0;
        transfer.source = source;
        if anew {
            (transfer.pieces, transfer.handed) = (None, 0);
            out.trace.push(Event::Noted { what: "fetches a state", index: Index(transfer.sequence.0) });
        }
        transfer.next = transfer.handed;
        transfer.arrived.clear();
        (transfer.deadline, transfer.turn, transfer.waiting) = (deadline, turn, None);
        if anew {
            self.tell_status(out); // So that the others keep it from now on.
        }
        self.ask_for_pieces(out);
    }

    fn patience(&self) -> Time {
        self.now + self.options.status_interval() * PATIENCE_INTERVALS
    }

    /// Keeps some pieces under way; one at first, until the source has said how many there are.
    fn ask_for_pieces(&mut self, out: &mut Out) {
        let Some(transfer) = &mut self.transfer else { return };
        let end = match transfer.pieces {
            Some(pieces) => pieces.min(transfer.handed + PIECES_AT_ONCE),
            None => 1, // The manifest.
        };
        let (sequence, source) = (transfer.sequence, transfer.source);
        let wanted = transfer.next..end;
        transfer.next = transfer.next.max(end);
        for number in wanted {
            self.send(source, Message::FetchState(FetchState { sequence, number }), Lsn::ZERO, out);
        }
    }

    /// A piece of the own state is wanted.
    pub(super) fn on_fetch_state(&mut self, from: NodeId, fetch: FetchState, out: &mut Out) {
        let FetchState { sequence, number } = fetch;
        if self.checkpoints.holds(sequence) {
            let Some(peer) = self.peers.get_mut(&from) else { return };
            if peer.pieces >= PIECES_OF_ONE {
                let why = "it asks for too many pieces at once";
                return out.trace.push(Event::Ignored { from, kind: "FetchState", why });
            }
            peer.pieces += 1;
            out.pieces.push(PieceRequest { to: from, index: Index(sequence.0), number });
        } else {
            let state = State { sequence, pieces: 0, number, data: None };
            self.send(from, Message::State(state), Lsn::ZERO, out);
        }
    }

    /// It was read.
    pub(super) fn on_piece(&mut self, piece: SnapshotPiece, out: &mut Out) {
        let SnapshotPiece { peer, meta, number, data } = piece;
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.pieces = peer.pieces.saturating_sub(1);
        }
        let state = State { sequence: meta.index.into(), pieces: meta.pieces, number, data };
        self.send(peer, Message::State(state), Lsn::ZERO, out);
    }

    /// A piece of a state that is being fetched.
    pub(super) fn on_state(&mut self, from: NodeId, state: State, out: &mut Out) {
        let State { sequence, pieces, number, data } = state;
        let ignore = |why, out: &mut Out| out.trace.push(Event::Ignored { from, kind: "State", why });
        let wanted = self.transfer.as_ref().filter(|transfer| {
            transfer.waiting.is_none()
                && (transfer.sequence, transfer.source) == (sequence, from)
                && !transfer.is_complete()
        });
        let Some(transfer) = wanted else { return ignore("nobody asked for it", out) };
        let Some(data) = data else {
            ignore("its sender does not keep that state", out);
            return self.on_refused(out);
        };
        let consistent = transfer.pieces.is_none_or(|known| known == pieces);
        if !consistent || pieces == 0 || pieces > MAX_PIECES {
            ignore("it is cut into other pieces than before", out);
            self.suspect(from, Suspect::WrongState);
            return self.ask_next_source(Progress::Lost, out);
        }
        if (transfer.handed..transfer.next).contains(&number) {
            self.keep_piece(pieces, number, data, out);
        }
    }

    /// Hands pieces to the store, in order.
    fn keep_piece(&mut self, pieces: u32, number: u32, data: Bytes, out: &mut Out) {
        let deadline = self.patience();
        let Some(transfer) = &mut self.transfer else { return };
        transfer.pieces = Some(pieces);
        transfer.arrived.insert(number, data);
        (transfer.deadline, transfer.refusals) = (deadline.min(transfer.turn), 0);
        let (sequence, digest, repair) = (transfer.sequence, transfer.digest, transfer.repair);
        let (source, mut ready) = (transfer.source, Vec::new());
        while let Some(data) = transfer.arrived.remove(&transfer.handed) {
            ready.push((transfer.handed, data));
            transfer.handed += 1;
        }
        let meta = self.meta(sequence, digest, pieces);
        for (number, data) in ready {
            let piece = SnapshotPiece { peer: source, meta: meta.clone(), number, data: Some(data) };
            out.install.push(Install { piece, repair });
        }
        self.ask_for_pieces(out);
    }

    /// The source does not keep the state. If nobody does, a newer one is fetched; if there is none, asking goes on at the
    /// pace of STATUS, by which the proof of one comes.
    fn on_refused(&mut self, out: &mut Out) {
        let (others, pause) = (self.quorum.n() - 1, self.now + self.options.status_interval());
        let (stable, digest) = (self.low_water_mark(), self.checkpoints.stable().digest());
        let Some(transfer) = &mut self.transfer else { return };
        transfer.refusals += 1;
        if !transfer.refusals.is_multiple_of(others) {
            return self.ask_next_source(Progress::Kept, out);
        }
        transfer.deadline = pause;
        let (sequence, repair) = (transfer.sequence, transfer.repair);
        if let Some(digest) = digest.filter(|_| sequence < stable) {
            self.begin_transfer(stable, digest, repair, out);
        }
    }

    /// How the store gets on with it.
    pub(super) fn on_install(&mut self, progress: InstallProgress, out: &mut Out) {
        match progress {
            InstallProgress::Stored { index, next } => {
                let Some(transfer) = &mut self.transfer else { return };
                if transfer.sequence == index.into() && next < transfer.handed && next == 0 {
                    self.ask_next_source(Progress::Lost, out); // The store has lost it: from the start.
                }
            }
            InstallProgress::Failed { index, why: _ } => {
                if self.transfer.as_ref().is_some_and(|transfer| transfer.sequence == index.into()) {
                    out.trace.push(Event::Noted { what: "was sent a wrong state", index });
                    let source = self.transfer.as_ref().map_or(self.id, |transfer| transfer.source);
                    self.suspect(source, Suspect::WrongState);
                    self.on_install_failed();
                }
            }
            InstallProgress::Done(meta) => self.on_installed(meta, out),
        }
    }

    /// The next replica is asked at the pace of STATUS: what failed may be the own disk, which has no room for a while.
    fn on_install_failed(&mut self) {
        let pause = self.now + self.options.status_interval();
        let Some(transfer) = &mut self.transfer else { return };
        (transfer.pieces, transfer.next, transfer.handed) = (None, 0, 0);
        transfer.arrived.clear();
        transfer.deadline = pause;
    }

    /// The messages came after all, while a state was on its way that the store has no use for any more.
    pub(super) fn drop_needless_transfer(&mut self, out: &mut Out) {
        let executed = self.executed;
        let needless = |transfer: &mut Transfer| {
            !transfer.repair && !transfer.is_complete() && transfer.sequence <= executed
        };
        if let Some(transfer) = self.transfer.take_if(needless) {
            out.trace
                .push(Event::Noted { what: "needs no state any more", index: Index(transfer.sequence.0) });
        }
    }

    fn on_installed(&mut self, meta: crate::consensus::SnapshotMeta, out: &mut Out) {
        let sequence = Sequence::from(meta.index);
        let repaired = self.transfer.as_ref().is_some_and(|transfer| transfer.repair);
        out.trace.push(Event::Noted { what: "took over a state", index: meta.index });
        self.transfer = None;
        if sequence < self.executed && !repaired {
            return;
        }
        self.executed = sequence;
        self.applied = sequence;
        self.proposed = self.proposed.max(sequence);
        self.checkpoints.installed(meta);
        self.pool.forget_ordered_up_to(sequence);
        self.forget_slots();
        self.retain_needed(out);
        self.recall_all(out);
        self.consider_transfer(out);
    }
}
