//! A replica whose messages are almost right.

use super::super::message::{
    Batch, Checkpoint, Commit, FetchBatch, FetchState, Message, NewView, PrePrepare, Prepare, Reply,
    Sequence, Signed, State, Statement, Status, View, ViewChange,
};
use super::lie::{Liar, Lie, Vote};
use crate::consensus::{Digest, NodeId, Outgoing};

/// One of so many messages is changed.
const ONE_IN: u64 = 3;

/// Words by which choices differ, see [`Liar::choose`].
const WHETHER: u64 = 1;
const HOW: u64 = 2;

/// One thing is different in a third of what it sends, and the rest is as it should be, signed anew with its own key: the
/// view or the sequence number is one more or one less, the digest is that of the slot before, or it speaks as the next
/// replica, for which its signature cannot hold. Each receiver is told something else (what fuzzers of such protocols
/// found most with).
#[derive(Debug, Default)]
pub(super) struct Mutate {
    /// The digest of its last proposal or vote.
    neighbour: Digest,
    /// How many messages it has sent.
    sent: u64,
}

/// What is different.
#[derive(Clone, Copy)]
enum Change {
    View(i64),
    Sequence(i64),
    Neighbour(Digest),
    Speaker(NodeId),
}

impl Lie for Mutate {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        self.sent += 1;
        let about = |word| [word, me.view.0, self.sent, to.0];
        let change = match me.choose(6, &about(HOW)) {
            0 => Change::View(1),
            1 => Change::View(-1),
            2 => Change::Sequence(1),
            3 => Change::Sequence(-1),
            4 => Change::Neighbour(self.neighbour),
            _ => Change::Speaker(next(me)),
        };
        self.neighbour = digest(&message).unwrap_or(self.neighbour);
        let changes = me.choose(ONE_IN, &about(WHETHER)) == 0;
        let message = if changes { change.of(me, message) } else { message };
        leaves.push(Outgoing { to, message, after });
    }
}

/// The replica after this one.
fn next(me: &Liar) -> NodeId {
    let mut peers = me.peers();
    let first = peers.next().unwrap_or(me.id());
    me.peers().find(|id| *id > me.id()).unwrap_or(first)
}

fn digest(message: &Message) -> Option<Digest> {
    match message {
        Message::PrePrepare { pre_prepare, .. } => Some(pre_prepare.body.digest),
        message => Vote::of(message).map(|vote| vote.digest),
    }
}

impl Change {
    /// The message with the change; others' messages as they are.
    fn of(self, me: &Liar, message: Message) -> Message {
        match message {
            Message::PrePrepare { pre_prepare, batch } => self.of_pre_prepare(me, pre_prepare, batch),
            Message::Prepare(signed) => Message::Prepare(self.signed(me, signed)),
            Message::Commit(signed) => Message::Commit(self.signed(me, signed)),
            Message::Checkpoint(signed) => Message::Checkpoint(self.signed(me, signed)),
            Message::ViewChange(signed) => Message::ViewChange(self.signed(me, signed)),
            Message::NewView(signed) => Message::NewView(self.signed(me, signed)),
            Message::Reply(signed) => Message::Reply(self.signed(me, signed)),
            Message::Status(signed) => Message::Status(self.signed(me, signed)),
            Message::FetchBatch(fetch) => {
                Message::FetchBatch(FetchBatch { sequence: self.sequence(fetch.sequence), ..fetch })
            }
            Message::Batch { sequence, batch } => Message::Batch { sequence: self.sequence(sequence), batch },
            Message::FetchState(fetch) => {
                Message::FetchState(FetchState { sequence: self.sequence(fetch.sequence), ..fetch })
            }
            Message::State(state) => {
                Message::State(State { sequence: self.sequence(state.sequence), ..state })
            }
            message @ (Message::Request(_)
            | Message::Disputed(_)
            | Message::Stable(_)
            | Message::Evidence(_)) => message,
        }
    }

    /// With another digest the batch is left out, as if the receiver had it: else it would not even be looked at.
    fn of_pre_prepare(self, me: &Liar, pre_prepare: Signed<PrePrepare>, batch: Batch) -> Message {
        let pre_prepare = self.signed(me, pre_prepare);
        let fits = batch.digest() == pre_prepare.body.digest;
        Message::PrePrepare { pre_prepare, batch: if fits { batch } else { Batch::default() } }
    }

    fn signed<T: Mutable>(self, me: &Liar, signed: Signed<T>) -> Signed<T> {
        if signed.body.signer() != me.id() {
            return signed;
        }
        let Signed { mut body, signature } = signed;
        body.change(self);
        // In another's name it can only use what it has.
        if body.signer() == me.id() { me.sign(body) } else { Signed { body, signature } }
    }

    fn view(self, view: View) -> View {
        if let Self::View(by) = self { View(view.0.saturating_add_signed(by)) } else { view }
    }

    fn sequence(self, sequence: Sequence) -> Sequence {
        if let Self::Sequence(by) = self { Sequence(sequence.0.saturating_add_signed(by)) } else { sequence }
    }

    fn digest(self, digest: Digest) -> Digest {
        if let Self::Neighbour(other) = self { other } else { digest }
    }

    fn speaker(self, speaker: NodeId) -> NodeId {
        if let Self::Speaker(other) = self { other } else { speaker }
    }
}

/// A statement in which one thing can be changed, if it has that.
trait Mutable: Statement {
    fn change(&mut self, change: Change);
}

macro_rules! mutable {
    ($($name:ident: $($field:ident by $how:ident),+;)+) => {$(
        impl Mutable for $name {
            fn change(&mut self, change: Change) {
                $(self.$field = change.$how(self.$field);)+
            }
        }
    )+};
}

mutable! {
    PrePrepare: view by view, sequence by sequence, digest by digest, replica by speaker;
    Prepare: view by view, sequence by sequence, digest by digest, replica by speaker;
    Commit: view by view, sequence by sequence, digest by digest, replica by speaker;
    Checkpoint: sequence by sequence, digest by digest, replica by speaker;
    ViewChange: view by view, replica by speaker;
    NewView: view by view, replica by speaker;
    Reply: view by view, replica by speaker;
    Status:
        view by view, stable by sequence, committed by sequence, fetching by sequence, replica by speaker;
}
