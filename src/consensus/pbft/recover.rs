//! After a crash: the replica as it was when it last wrote to its log.

use std::collections::{BTreeMap, VecDeque};

use super::Pbft;
use super::checkpoint::Checkpoints;
use super::client::Client;
use super::disk::Disk;
use super::dispute::Disputes;
use super::evidence::{Book, Evidence, Memory, Said};
use super::fetch::Fetches;
use super::message::{Sequence, Signed, Stable, View, ViewChange};
use super::pace::Pace;
use super::pool::Pool;
use super::quorum::Quorum;
use super::record::Record;
use super::replica::{Peer, Replica};
use super::retransmit::Portion;
use super::signing::{Signer, Verifier};
use super::slot::{Accepted, Slot};
use super::suspicion::Suspicions;
use super::view_change::ViewChanges;
use crate::consensus::{ClientSetup, Lsn, NodeId, RecoverError, Recovered, Setup};

/// What the records come to.
#[derive(Default)]
struct Past {
    view: View,
    new_view: Option<(Signed<super::NewView>, Lsn)>,
    /// The last VIEW-CHANGE, if no NEW-VIEW followed it.
    view_change: Option<(Signed<ViewChange>, Lsn)>,
    stable: Stable,
    checkpoints: Vec<(Signed<super::Checkpoint>, Lsn)>,
    slots: BTreeMap<Sequence, Slot>,
    evidence: Vec<Evidence>,
    /// The first statement of a piece whose second is in the next record, unless the crash came between.
    half: Option<Said>,
}

impl Past {
    fn read(&mut self, lsn: Lsn, record: Record) -> Result<(), RecoverError> {
        match record {
            Record::PrePrepare { pre_prepare, batch } => {
                let said = pre_prepare.body;
                let slot = self.slots.entry(said.sequence).or_default();
                if let Some(batch) = batch {
                    slot.keep_logged_batch(said.digest, batch);
                }
                if slot.accepted.is_none_or(|kept| kept.pre_prepare.body.view <= said.view) {
                    slot.back(Accepted { pre_prepare, lsn });
                }
            }
            Record::Prepared(prepared) => {
                let slot = self.slots.entry(prepared.sequence()).or_default();
                if slot.prepared.as_ref().is_none_or(|kept| kept.view() < prepared.view()) {
                    slot.prepared = Some(prepared);
                    slot.prepared_lsn = lsn;
                }
            }
            Record::Committed { sequence, digest, batch } => {
                let slot = self.slots.entry(sequence).or_default();
                if slot.decided.is_some_and(|decided| decided != digest) {
                    let why = format!("slot {sequence} was decided to hold two different batches");
                    return Err(RecoverError { lsn, why });
                }
                if let Some(batch) = batch {
                    slot.keep_logged_batch(digest, batch);
                }
                (slot.decided, slot.decision_logged) = (Some(digest), true);
            }
            Record::Checkpoint(checkpoint) => self.checkpoints.push((checkpoint, lsn)),
            Record::Stable(stable) if stable.sequence() > self.stable.sequence() => self.stable = stable,
            Record::Stable(_) => {}
            Record::ViewChange(view_change) => self.leave(view_change, lsn)?,
            Record::NewView(new_view) => self.enter(new_view, lsn)?,
            Record::Evidence { said, more } => self.find(said, more),
        }
        Ok(())
    }

    fn find(&mut self, said: Said, more: bool) {
        if more {
            self.half = Some(said);
            return;
        }
        let piece = match self.half.take() {
            Some(half) => Evidence::pair(half, said),
            None => Evidence::alone(said),
        };
        self.evidence.push(piece);
    }

    fn leave(&mut self, view_change: Signed<ViewChange>, lsn: Lsn) -> Result<(), RecoverError> {
        let view = view_change.body.view;
        if view < self.view {
            return Err(RecoverError {
                lsn,
                why: format!("the view went back from {} to {view}", self.view),
            });
        }
        self.view = view;
        self.view_change = Some((view_change, lsn));
        Ok(())
    }

    fn enter(&mut self, new_view: Signed<super::NewView>, lsn: Lsn) -> Result<(), RecoverError> {
        let view = new_view.body.view;
        if view < self.view {
            return Err(RecoverError {
                lsn,
                why: format!("the view went back from {} to {view}", self.view),
            });
        }
        self.view = view;
        self.view_change = None;
        self.new_view = Some((new_view, lsn));
        Ok(())
    }
}

/// Rebuilds the replica. Nothing leaves before the first input.
pub(super) fn recover(setup: &Setup<Pbft>, recovered: Recovered<Record>) -> Result<Replica, RecoverError> {
    let Recovered { snapshot, records, next_lsn } = recovered;
    let (mut past, mut disk) =
        (Past::default(), Disk::new(next_lsn, setup.options.max_undurable_bytes, setup.now));
    for (lsn, record) in records {
        disk.note(lsn, &record);
        past.read(lsn, record)?;
    }
    let executed = snapshot.as_ref().map_or(Sequence::ZERO, |meta| meta.index.into());
    disk.saved(executed);
    let mut checkpoints = Checkpoints::new(past.stable, snapshot);
    for (checkpoint, lsn) in past.checkpoints {
        if checkpoint.body.sequence > checkpoints.stable().sequence() {
            checkpoints.recover_signed(checkpoint, lsn);
        }
    }
    let verifier = Verifier::new(setup.cluster_id, setup.keys.clone());
    let mut evidence = Book::new(Quorum::new(&setup.members), verifier);
    past.evidence.iter().for_each(|piece| evidence.recover(piece));
    let active = past.view_change.is_none();
    let view_changes =
        past.view_change.map_or_else(ViewChanges::default, |(own, lsn)| ViewChanges::recover(own, lsn));
    let mut replica = Replica {
        id: setup.id,
        quorum: Quorum::new(&setup.members),
        options: setup.options.clone(),
        signer: Signer::new(setup.id, setup.cluster_id, &setup.keys),
        now: setup.now,
        disk,
        votes: VecDeque::new(),
        view: past.view,
        active,
        view_changes,
        new_view: past.new_view,
        slots: past.slots,
        proposed: Sequence::ZERO,
        executed,
        applied: executed,
        more: true,
        checkpoints,
        transfer: None,
        fetches: Fetches::default(),
        pool: Pool::default(),
        pace: Pace::default(),
        suspicions: Suspicions::default(),
        disputes: Disputes::default(),
        judges_since: None,
        keys: setup.keys.clone(),
        client: client(setup),
        peers: peers(&setup.members, setup.id, setup),
        status_due: setup.now,
        memory: Memory::default(),
        evidence,
    };
    replica.settle_past();
    Ok(replica)
}

impl Replica {
    /// Drops what the saved state covers, and counts what this replica has said again: it is durable. The saved state may
    /// be ahead of what the log knows to be stable, since either may be the first on disk: above the low water mark this
    /// replica votes, and must know what it has said.
    fn settle_past(&mut self) {
        self.slots = self.slots.split_off(&self.executed.min(self.low_water_mark()).next());
        self.resume_new_view();
        let last = self.slots.iter().filter(|(_, slot)| slot.accepted_in(self.view).is_some());
        let last = last.map(|(sequence, _)| *sequence).max().unwrap_or_default();
        let begun = self.new_view.as_ref().map_or(Sequence::ZERO, |(new_view, _)| {
            new_view.body.pre_prepares.last().map_or(Sequence::ZERO, |last| last.body.sequence)
        });
        self.proposed = last.max(begun).max(self.low_water_mark()).max(self.executed);
        let (view, id) = (self.view, self.id);
        let said: Vec<_> = self
            .slots
            .iter()
            .map(|(sequence, slot)| {
                let accepted = slot.accepted_in(view).map(|accepted| accepted.pre_prepare.body);
                let prepare = accepted.filter(|said| said.replica != id).map(|said| self.own_prepare(&said));
                let commit = slot
                    .prepared
                    .as_ref()
                    .map(|prepared| self.own_commit(prepared.view(), *sequence, prepared.digest()));
                (*sequence, prepare, commit)
            })
            .collect();
        for (sequence, prepare, commit) in said {
            let Some(slot) = self.slots.get_mut(&sequence) else { continue };
            if let Some(prepare) = prepare {
                slot.keep_prepare(&prepare);
            }
            if let Some(commit) = commit {
                slot.keep_commit(&commit);
            }
            slot.keep_null_batch();
        }
    }
}

impl Replica {
    /// What the NEW-VIEW of this view proposes and no record says was accepted: the crash came between, or a batch was not
    /// here yet.
    fn resume_new_view(&mut self) {
        let Some((new_view, _)) = self.new_view.as_ref().filter(|_| self.active) else { return };
        for pre_prepare in new_view.body.pre_prepares.clone() {
            if let Some(slot) = self.slot_mut(pre_prepare.body.sequence)
                && slot.accepted_in(pre_prepare.body.view).is_none()
            {
                slot.early = Some(pre_prepare);
            }
        }
    }
}

fn peers(members: &[NodeId], id: NodeId, setup: &Setup<Pbft>) -> BTreeMap<NodeId, Peer> {
    let others = members.iter().copied().filter(|member| *member != id);
    let (heard, returned) = (setup.now, Some(setup.now));
    let (portion, helped) = (Portion::default(), None);
    let peer =
        Peer { status: None, heard, returned, helped, portion, batches: 0, pieces: 0, catches_up: false };
    others.map(|member| (member, peer.clone())).collect()
}

/// The client that acts for this node's own callers.
fn client(setup: &Setup<Pbft>) -> Client {
    let client = ClientSetup {
        id: setup.id,
        incarnation: setup.incarnation,
        cluster_id: setup.cluster_id,
        members: setup.members.clone(),
        keys: setup.keys.clone(),
        retry: setup.options.client_retry(),
        request_timeout: setup.request_timeout,
    };
    Client::with_options(client, &setup.options)
}
