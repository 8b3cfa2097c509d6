//! [`TwoFaced`]: a client that breaks the one rule that no replica can check by itself.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::consensus::{Checked, ClientOutput, ClientSetup, NodeId, Proposal, Protocol, Time, VotingClient};

/// What one half of the replicas is asked for, wherever a command says so.
pub const HEADS: &str = "heads";
/// What the other half is asked for in its place: as long, so that the command stays one.
pub const TAILS: &str = "tails";

/// For scenarios: two clients of a protocol with one key, one life and the same numbers. Whatever is wanted of it, one
/// asks every other replica for, and the other asks the rest for the same with [`TAILS`] in place of [`HEADS`]: validly
/// signed, and under the same name. Its caller is told what enough replicas answered alike.
#[derive(Debug)]
pub struct TwoFaced<C> {
    heads: C,
    tails: C,
    /// Whom each speaks to in place of whom.
    to_heads: BTreeMap<NodeId, NodeId>,
    to_tails: BTreeMap<NodeId, NodeId>,
}

impl<C: VotingClient> VotingClient for TwoFaced<C> {
    type Protocol = C::Protocol;

    fn new(setup: ClientSetup) -> Self {
        let pairs: Vec<(NodeId, NodeId)> =
            setup.members.chunks(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect();
        let either = |(one, other): &(NodeId, NodeId)| [*one, *other];
        let to_heads = pairs.iter().flat_map(|pair| either(pair).map(|id| (id, pair.0))).collect();
        let to_tails = pairs.iter().flat_map(|pair| either(pair).map(|id| (id, pair.1))).collect();
        Self { heads: C::new(setup.clone()), tails: C::new(setup), to_heads, to_tails }
    }

    fn checker(&self) -> <C::Protocol as Protocol>::Checker {
        self.heads.checker()
    }

    fn propose(&mut self, now: Time, proposals: Vec<Proposal>, out: &mut ClientOutput<C::Protocol>) {
        let turned =
            |proposal: &Proposal| Proposal { command: turned(&proposal.command), ..proposal.clone() };
        let others = proposals.iter().map(turned).collect();
        self.both(
            out,
            |heads, said| heads.propose(now, proposals, said),
            |tails, said| {
                tails.propose(now, others, said);
            },
        );
    }

    fn on_message(
        &mut self,
        now: Time,
        from: NodeId,
        message: Checked<<C::Protocol as Protocol>::Message>,
        out: &mut ClientOutput<C::Protocol>,
    ) {
        let again = message.clone();
        self.both(
            out,
            |heads, said| heads.on_message(now, from, message, said),
            |tails, said| {
                tails.on_message(now, from, again, said);
            },
        );
    }

    fn on_timeout(&mut self, now: Time, out: &mut ClientOutput<C::Protocol>) {
        self.both(out, |heads, said| heads.on_timeout(now, said), |tails, said| tails.on_timeout(now, said));
    }

    fn deadline(&self) -> Option<Time> {
        [self.heads.deadline(), self.tails.deadline()].into_iter().flatten().min()
    }
}

impl<C: VotingClient> TwoFaced<C> {
    /// Lets both act. What either wants to tell a replica of the other half goes to that one's neighbour in its own.
    fn both(
        &mut self,
        out: &mut ClientOutput<C::Protocol>,
        heads: impl FnOnce(&mut C, &mut ClientOutput<C::Protocol>),
        tails: impl FnOnce(&mut C, &mut ClientOutput<C::Protocol>),
    ) {
        let (mut one, mut other) = (ClientOutput::default(), ClientOutput::default());
        heads(&mut self.heads, &mut one);
        tails(&mut self.tails, &mut other);
        out.answers.extend(one.answers);
        out.rejected.extend(one.rejected);
        let said = [(one.messages, &self.to_heads), (other.messages, &self.to_tails)];
        for (messages, to) in said {
            let turned =
                messages.into_iter().map(|(id, message)| (to.get(&id).copied().unwrap_or(id), message));
            out.messages.extend(turned);
        }
    }
}

/// The command with the other word in it.
fn turned(command: &Bytes) -> Bytes {
    let mut bytes = command.to_vec();
    let (from, to) = (HEADS.as_bytes(), TAILS.as_bytes());
    for at in 0..bytes.len().saturating_sub(from.len() - 1) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::scripted::{Scripted, checked};
    use super::*;
    use crate::consensus::toy::ToyMessage;
    use crate::consensus::{Keys, RequestId, WallTime};

    #[test]
    fn each_half_is_asked_for_something_else_under_one_name_and_one_answer_comes_of_it() {
        let id = RequestId { origin: NodeId(9), incarnation: 5, counter: 1 };
        let mut client = TwoFaced::<Scripted>::new(ClientSetup {
            id: id.origin,
            incarnation: id.incarnation,
            cluster_id: 7,
            members: (1..=4).map(NodeId).collect(),
            keys: Keys::public_only(BTreeMap::new()),
            retry: Duration::from_millis(100),
            request_timeout: Duration::from_secs(1),
        });
        let mut out = ClientOutput::default();
        let command = Bytes::from_static(b"put heads, heads");
        client.propose(Time::ZERO, vec![Proposal { id, time: WallTime(0), command }], &mut out);
        let mut asked: BTreeMap<NodeId, Vec<Bytes>> = BTreeMap::new();
        for (to, message) in std::mem::take(&mut out.messages) {
            let ToyMessage::Ask { number: 1, payload } = message else { panic!("{message:?}") };
            asked.entry(to).or_default().push(payload);
        }
        for (replica, asked) in &asked {
            let wanted = if replica.0 % 2 == 1 { "put heads, heads" } else { "put tails, tails" };
            assert!(asked.iter().all(|asked| *asked == wanted), "{replica}: {asked:?}");
        }
        assert_eq!(asked.len(), 4);
        for from in [1, 2] {
            client.on_message(Time::ZERO, NodeId(from), checked(ToyMessage::Answer { number: 3 }), &mut out);
        }
        assert_eq!(out.answers.iter().map(|(answered, _)| *answered).collect::<Vec<_>>(), [id]);
    }
}
