//! From one view to the next (OSDI'99 §4.4, TOCS §4.5).
//!
//! A replica leaves its view when a request is not ordered in time, or when f + 1 others want to leave theirs. From then
//! on it votes for nothing until it has a NEW-VIEW, and its VIEW-CHANGE tells everything that it had prepared. Q of them
//! tell the next primary everything that can have been decided.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message::{Batch, Message, NewView, PrePrepare, Sequence, Signed, View, ViewChange};
use super::new_view::Plan;
use super::options::Options;
use super::record::Record;
use super::replica::{Out, Replica, Vote};
use super::suspicion::Suspect;
use crate::consensus::{Event, Lsn, NodeId, Time};

/// VIEW-CHANGEs that are kept of one replica: of its latest views.
const KEPT_OF_EACH: usize = 3;

/// For how many request timers a view must last to count as a good one.
const LASTING: u32 = 4;

/// VIEW-CHANGEs, and the timer of the view change.
#[derive(Debug, Default)]
pub(super) struct ViewChanges {
    /// The latest few of each replica, for views above the one that is installed; the own one once it is durable.
    of: BTreeMap<NodeId, BTreeMap<View, Signed<ViewChange>>>,
    /// This replica's own, and its record.
    own: Option<(Signed<ViewChange>, Lsn)>,
    /// When to go on to the next view if there is no NEW-VIEW by then.
    deadline: Option<Time>,
    /// How many view changes began since a request was executed in a new view: each doubles the timers.
    fruitless: u32,
    /// When this view was installed; none for the view of a start.
    installed: Option<Time>,
    /// A slot of the view that is installed, on its way through the store.
    progress: Option<Sequence>,
}

impl ViewChanges {
    /// The VIEW-CHANGE that this replica sent in an earlier life, and was waiting with.
    pub(super) fn recover(own: Signed<ViewChange>, lsn: Lsn) -> Self {
        let of = BTreeMap::from([(own.body.replica, BTreeMap::from([(own.body.view, own.clone())]))]);
        Self { of, own: Some((own, lsn)), deadline: None, fruitless: 1, ..Self::default() }
    }

    /// This replica's own VIEW-CHANGE.
    pub(super) fn own(&self) -> Option<&Signed<ViewChange>> {
        self.own.as_ref().map(|(view_change, _)| view_change)
    }

    /// Its record.
    pub(super) fn own_lsn(&self) -> Lsn {
        self.own.as_ref().map_or(Lsn::ZERO, |(_, lsn)| *lsn)
    }

    /// When the view change has taken too long.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// A slot of the view that is installed was handed to the store.
    pub(super) fn await_progress(&mut self, sequence: Sequence) {
        self.progress.get_or_insert(sequence);
    }

    /// The store has executed up to here, and `oldest` still waits. If a slot of the view that is installed was among
    /// it, the timers go back to their shortest when that shows that they are long enough: nothing waits any more, or the
    /// view has lasted for a while and nothing has waited for long. (The paper resets them at once. On a machine that is
    /// slower than they are, views would then follow each other for ever, each with a little progress.)
    pub(super) fn on_applied(
        &mut self,
        applied: Sequence,
        now: Time,
        oldest: Option<Time>,
        options: &Options,
    ) {
        if self.progress.take_if(|sequence| *sequence <= applied).is_none() {
            return;
        }
        let timer = options.request_timer();
        let lasted = self.installed.is_none_or(|installed| now.since(installed) >= timer * LASTING);
        if oldest.is_none_or(|oldest| lasted && now.since(oldest) < timer) {
            self.fruitless = 0;
        }
    }

    /// How long a request may wait.
    pub(super) fn request_timeout(&self, options: &Options) -> Duration {
        self.stretched(options.request_timer(), options)
    }

    /// How long a view change may take.
    fn timeout(&self, options: &Options) -> Duration {
        self.stretched(options.view_change_timer(), options)
    }

    fn stretched(&self, timer: Duration, options: &Options) -> Duration {
        const MAX_DOUBLINGS: u32 = 16; // Far beyond the limit of either timer.
        let doublings = self.fruitless.saturating_sub(1).min(MAX_DOUBLINGS);
        timer.saturating_mul(1 << doublings).min(options.max_timer())
    }

    fn keep(&mut self, view_change: Signed<ViewChange>) {
        let of = self.of.entry(view_change.body.replica).or_default();
        of.entry(view_change.body.view).or_insert(view_change);
        while of.len() > KEPT_OF_EACH {
            of.pop_first();
        }
    }

    /// Those of one replica.
    pub(super) fn all_of(&self, id: NodeId) -> impl Iterator<Item = &Signed<ViewChange>> + '_ {
        self.of.get(&id).into_iter().flat_map(BTreeMap::values)
    }

    /// Those for exactly this view, in ascending order of replicas.
    pub(super) fn for_view(&self, view: View) -> impl Iterator<Item = &Signed<ViewChange>> + '_ {
        self.of.values().filter_map(move |of| of.get(&view))
    }

    /// The latest view that each replica wants to enter.
    fn wanted(&self) -> impl Iterator<Item = View> + '_ {
        self.of.values().filter_map(|of| of.last_key_value().map(|(view, _)| *view))
    }

    /// How many want to enter this view or a later one.
    pub(super) fn wanting(&self, view: View) -> usize {
        self.wanted().filter(|wanted| *wanted >= view).count()
    }

    /// A view is installed: what was said of it and earlier ones is done with.
    fn installed(&mut self, view: View, now: Time) {
        self.installed = Some(now);
        self.progress = None;
        self.own = None;
        self.deadline = None;
        for of in self.of.values_mut() {
            *of = of.split_off(&view.next());
        }
    }
}

impl Replica {
    /// Leaves the view for a later one; not while the disk is so far behind that no word of it could leave.
    pub(super) fn start_view_change(&mut self, view: View, why: &'static str, out: &mut Out) {
        assert!(view > self.view, "views never go back, and none is left twice");
        if self.disk.is_behind() {
            return;
        }
        self.leave_pace();
        self.view = view;
        self.active = false;
        self.view_changes.fruitless = self.view_changes.fruitless.saturating_add(1);
        self.view_changes.progress = None;
        self.view_changes.deadline = None;
        out.trace.push(Event::Became { role: self.role(), epoch: view.into(), why });
        let low_water_mark = self.low_water_mark();
        let above = self.slots.range(low_water_mark.next()..);
        let body = ViewChange {
            view,
            stable: self.checkpoints.stable().clone(),
            prepared: above.filter_map(|(_, slot)| slot.prepared.clone()).collect(),
            replica: self.id,
        };
        let view_change = self.signer.sign(body);
        let lsn = self.write(Record::ViewChange(view_change.clone()), out);
        self.view_changes.own = Some((view_change.clone(), lsn));
        self.broadcast(&Message::ViewChange(view_change), lsn, out);
        self.votes.push_back((lsn, Vote::ViewChange(view)));
        self.settle_view_change(out);
    }

    /// The own VIEW-CHANGE is durable.
    pub(super) fn count_own_view_change(&mut self, view: View, out: &mut Out) {
        let own = self.own_view_change().filter(|own| own.body.view == view).cloned();
        if let Some(own) = own {
            self.view_changes.keep(own);
            self.settle_view_change(out);
        }
    }

    pub(super) fn on_view_change(&mut self, from: NodeId, view_change: Signed<ViewChange>, out: &mut Out) {
        let body = &view_change.body;
        if body.replica == self.id {
            return;
        }
        if body.view < self.view || self.active && body.view == self.view {
            // Whoever sent it learns of the view by its own STATUS.
            let why = "its view is not above this one";
            return out.trace.push(Event::Ignored { from, kind: "ViewChange", why });
        }
        self.view_changes.keep(view_change);
        self.settle_view_change(out);
    }

    /// Does what the VIEW-CHANGEs that are here call for.
    fn settle_view_change(&mut self, out: &mut Out) {
        self.join_view_change(out);
        if self.active {
            return;
        }
        if self.primary() == self.id && !self.disk.is_behind() {
            self.try_new_view(out);
        }
        // The timer runs from when a quorum wants to leave. Those who want a later view count as well (the paper counts
        // those for the same view alone): else replicas that lost each other's messages could wait for different views
        // for ever, with no timer running.
        let quorum_left = self.view_changes.wanting(self.view) >= self.quorum.quorum();
        if !self.active && quorum_left && self.view_changes.deadline.is_none() {
            self.view_changes.deadline = Some(self.now + self.view_changes.timeout(&self.options));
        }
    }

    /// f + 1 others want views above this one: one of them is honest, so this replica need not wait for its own timer. It
    /// goes to the smallest of their views, since the others may be the liars'.
    fn join_view_change(&mut self, out: &mut Out) {
        let others = self.view_changes.of.iter().filter(|(id, _)| **id != self.id);
        let wanted = others.filter_map(|(_, of)| of.last_key_value().map(|(view, _)| *view));
        let above: Vec<View> = wanted.filter(|view| *view > self.view).collect();
        if above.len() >= self.quorum.weak()
            && let Some(smallest) = above.into_iter().min()
        {
            self.start_view_change(smallest, "f + 1 replicas want another view", out);
        }
    }

    pub(super) fn on_view_change_timer(&mut self, out: &mut Out) {
        if self.view_changes.deadline.is_some_and(|deadline| deadline <= self.now) {
            if self.disk.is_behind() {
                // It is not the primary that keeps this replica.
                self.view_changes.deadline = Some(self.now + self.view_changes.timeout(&self.options));
                return;
            }
            self.suspect(self.primary(), Suspect::Stalls);
            self.start_view_change(self.view.next(), "the view change took too long", out);
        }
    }

    /// The primary of the new view has VIEW-CHANGEs of a quorum: it says how the view begins.
    fn try_new_view(&mut self, out: &mut Out) {
        let Some(view_changes) = self.quorum_of_view_changes() else { return };
        let plan = Plan::of(&view_changes);
        let sign = |(sequence, digest): &(Sequence, _)| {
            let (view, replica) = (self.view, self.id);
            self.signer.sign(PrePrepare { view, sequence: *sequence, digest: *digest, replica })
        };
        let pre_prepares = plan.pre_prepares.iter().map(sign).collect();
        let body = NewView { view: self.view, view_changes, pre_prepares, replica: self.id };
        let new_view = self.signer.sign(body);
        let lsn = self.write(Record::NewView(new_view.clone()), out);
        self.broadcast(&Message::NewView(new_view.clone()), lsn, out);
        self.enter_view(new_view, lsn, out);
    }

    /// V: VIEW-CHANGEs of Q replicas for the view that this one is to lead, its own among them.
    fn quorum_of_view_changes(&self) -> Option<Vec<Signed<ViewChange>>> {
        let (quorum, id) = (self.quorum.quorum(), self.id);
        let own = self.view_changes.for_view(self.view).find(|said| said.body.replica == id)?;
        let others = self.view_changes.for_view(self.view).filter(|said| said.body.replica != id);
        let mut chosen: Vec<_> = others.take(quorum - 1).chain([own]).cloned().collect();
        chosen.sort_by_key(|said| said.body.replica);
        (chosen.len() == quorum).then_some(chosen)
    }

    /// A NEW-VIEW proves itself, so that it is taken by whoever was away as well.
    pub(super) fn on_new_view(&mut self, from: NodeId, new_view: Signed<NewView>, out: &mut Out) {
        let view = new_view.body.view;
        if view < self.view || view == self.view && self.active {
            let why = "its view is not above this one";
            return out.trace.push(Event::Ignored { from, kind: "NewView", why });
        }
        if self.disk.is_behind() {
            let why = "the disk does not keep up";
            return out.trace.push(Event::Ignored { from, kind: "NewView", why });
        }
        let lsn = self.write(Record::NewView(new_view.clone()), out);
        self.enter_view(new_view, lsn, out);
    }

    /// Installs a view: what may have been decided is proposed again, and executed only by who has not.
    fn enter_view(&mut self, new_view: Signed<NewView>, lsn: Lsn, out: &mut Out) {
        let body = &new_view.body;
        let plan = Plan::of(&body.view_changes);
        let pre_prepares = body.pre_prepares.clone();
        self.leave_pace();
        self.view = body.view;
        self.active = true;
        self.view_changes.installed(self.view, self.now);
        self.new_view = Some((new_view, lsn));
        out.trace.push(Event::Became {
            role: self.role(),
            epoch: self.view.into(),
            why: "the view is installed",
        });
        let (primary, epoch) = (self.primary(), self.view.into());
        out.trace.push(Event::Follows { leader: primary, epoch });
        self.become_stable(plan.stable.clone(), out);
        self.proposed = plan.last().max(self.low_water_mark());
        self.pool.restart(self.now);
        for pre_prepare in pre_prepares {
            self.take_again(pre_prepare, out);
        }
        self.take_early(out);
        self.relay_all(out);
    }

    /// A PRE-PREPARE of a NEW-VIEW's O. Its batch is one that this replica has seen, or others have: an honest one among
    /// those who prepared it.
    fn take_again(&mut self, pre_prepare: Signed<PrePrepare>, out: &mut Out) {
        let (said, primary) = (pre_prepare.body, self.primary());
        let Some(slot) = self.slot_mut(said.sequence) else { return };
        if said.digest == Batch::default().digest() {
            slot.keep_batch(said.digest, Batch::default());
        }
        if slot.batch(&said.digest).is_some() {
            return self.accept_known(pre_prepare, out);
        }
        slot.early = Some(pre_prepare);
        self.fetch_batch(said.sequence, said.digest, primary, out);
    }

    /// PRE-PREPAREs of this view that came before it was installed, or while the disk was behind, and votes likewise.
    pub(super) fn take_early(&mut self, out: &mut Out) {
        if !self.active || self.disk.is_behind() {
            return;
        }
        let view = self.view;
        let sequences: Vec<Sequence> = self.slots.keys().copied().collect();
        for sequence in sequences {
            let Some(slot) = self.slots.get_mut(&sequence) else { continue };
            let early =
                slot.early.filter(|early| early.body.view == view && slot.accepted_in(view).is_none());
            if let Some(early) = early {
                if slot.batch(&early.body.digest).is_some() {
                    self.accept_known(early, out);
                } else {
                    self.fetch_batch(sequence, early.body.digest, early.body.replica, out);
                }
            }
            self.try_prepare(sequence, out);
        }
    }
}
