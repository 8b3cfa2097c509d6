//! A replica that takes everything and says nothing.

use super::super::message::Message;
use super::lie::{Liar, Lie};
use crate::consensus::Outgoing;

/// Sends nothing.
#[derive(Debug)]
pub(super) struct Silent;

impl Lie for Silent {
    fn tamper(&mut self, _: &Liar, _: Outgoing<Message>, _: &mut Vec<Outgoing<Message>>) {}
}
