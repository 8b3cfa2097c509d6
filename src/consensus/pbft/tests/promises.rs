//! What honest replicas said, over all their lives: nothing may contradict what was said before, and nothing may leave
//! whose record is not durable.

use std::collections::{BTreeMap, BTreeSet};

use crate::consensus::pbft::{Message, Record};
use crate::consensus::{Digest, Encode};

/// Kind, view and sequence number: about which there is one thing to say.
type Place = (&'static str, u64, u64);

/// What one replica promised.
#[derive(Default)]
pub(super) struct Promises {
    said: BTreeMap<Place, Vec<u8>>,
    /// What its durable records, of all times, back.
    backed: BTreeSet<(Place, Digest)>,
    last_view: u64,
}

impl Promises {
    /// A record is durable.
    pub(super) fn note(&mut self, record: &Record) {
        let none = Digest::default();
        let mut back = |kind, view, sequence, digest| {
            self.backed.insert(((kind, view, sequence), digest));
        };
        match record {
            Record::PrePrepare { pre_prepare, .. } => {
                let said = &pre_prepare.body;
                back("proposal", said.view.0, said.sequence.0, said.digest);
            }
            Record::Prepared(prepared) => {
                back("commit", prepared.view().0, prepared.sequence().0, prepared.digest());
            }
            Record::Checkpoint(said) => back("checkpoint", 0, said.body.sequence.0, said.body.digest),
            Record::ViewChange(said) => back("view-change", said.body.view.0, 0, none),
            Record::NewView(said) => back("new-view", said.body.view.0, 0, none),
            Record::Committed { .. } | Record::Stable(_) | Record::Evidence { .. } => {}
        }
    }

    /// A message leaves replica `id`.
    pub(super) fn check(&mut self, id: u64, message: &Message) {
        let none = Digest::default();
        let (place, digest, signer, bytes) = match message {
            Message::PrePrepare { pre_prepare: said, .. } => {
                let body = &said.body;
                let place = ("proposal", body.view.0, body.sequence.0);
                (place, body.digest, body.replica, said.to_bytes())
            }
            Message::Prepare(said) => {
                let body = &said.body;
                let place = ("proposal", body.view.0, body.sequence.0);
                (place, body.digest, body.replica, said.to_bytes())
            }
            Message::Commit(said) => {
                let body = &said.body;
                (("commit", body.view.0, body.sequence.0), body.digest, body.replica, said.to_bytes())
            }
            Message::Checkpoint(said) => {
                let body = &said.body;
                (("checkpoint", 0, body.sequence.0), body.digest, body.replica, said.to_bytes())
            }
            Message::ViewChange(said) => {
                (("view-change", said.body.view.0, 0), none, said.body.replica, said.to_bytes())
            }
            Message::NewView(said) => {
                (("new-view", said.body.view.0, 0), none, said.body.replica, said.to_bytes())
            }
            Message::Status(said) => {
                let view = said.body.view.0;
                assert!(
                    self.last_view <= view,
                    "n{id} says that it is in view {view}, after {}",
                    self.last_view
                );
                self.last_view = view;
                return;
            }
            _ => return,
        };
        if signer.0 != id {
            return; // Passed on.
        }
        assert!(self.backed.contains(&(place, digest)), "n{id}: nothing durable backs {place:?}");
        let before = self.said.entry(place).or_insert_with(|| bytes.to_vec());
        assert_eq!(*before, bytes.to_vec(), "n{id} contradicts what it said of {place:?}");
    }
}
