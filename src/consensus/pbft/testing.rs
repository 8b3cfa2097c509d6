//! Replicas and clients that sign for tests.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::consensus::{Digest, Keys, NodeId, PublicKey, Scheme, SecretKey, WallTime};

/// Which cluster the tests' keys sign for.
pub(super) const CLUSTER: u64 = 7;
/// The one client with a key.
pub(super) const CLIENT: u64 = 1001;

/// n replicas and a client, with cheap keys.
pub(super) struct Cast {
    pub(super) quorum: Quorum,
    pub(super) public: BTreeMap<NodeId, PublicKey>,
}

impl Cast {
    pub(super) fn new(n: u64) -> Self {
        let members: Vec<NodeId> = (1..=n).map(NodeId).collect();
        let ids = members.iter().copied().chain([NodeId(CLIENT)]);
        Self { quorum: Quorum::new(&members), public: ids.map(|id| (id, secret(id.0).public())).collect() }
    }

    pub(super) fn keys(&self, id: u64) -> Keys {
        Keys::new(secret(id), self.public.clone())
    }

    pub(super) fn signer(&self, id: u64) -> Signer {
        Signer::new(NodeId(id), CLUSTER, &self.keys(id))
    }

    pub(super) fn verifier(&self) -> Verifier {
        Verifier::new(CLUSTER, Keys::public_only(self.public.clone()))
    }

    /// A request of the client with these counters.
    pub(super) fn request(&self, counters: impl IntoIterator<Item = u64>) -> Signed<Request> {
        let commands = counters.into_iter().map(|counter| (counter, Bytes::from_static(b"put"))).collect();
        let body = Request { client: NodeId(CLIENT), incarnation: 1, time: WallTime(1), commands };
        self.signer(CLIENT).sign(body)
    }

    pub(super) fn pre_prepare(&self, view: View, sequence: Sequence, digest: Digest) -> Signed<PrePrepare> {
        let replica = self.quorum.primary(view);
        self.signer(replica.0).sign(PrePrepare { view, sequence, digest, replica })
    }

    pub(super) fn prepare(
        &self,
        replica: u64,
        view: View,
        sequence: Sequence,
        digest: Digest,
    ) -> Signed<Prepare> {
        self.signer(replica).sign(Prepare { view, sequence, digest, replica: NodeId(replica) })
    }

    /// With the PREPAREs of the first Q - 1 backups.
    pub(super) fn prepared(&self, view: View, sequence: Sequence, digest: Digest) -> Prepared {
        let pre_prepare = self.pre_prepare(view, sequence, digest);
        let backups = self.quorum.members().iter().filter(|member| **member != pre_prepare.body.replica);
        let prepares: Vec<_> = backups.map(|backup| self.prepare(backup.0, view, sequence, digest)).collect();
        Prepared::of(&self.quorum, pre_prepare, &prepares).unwrap()
    }

    pub(super) fn checkpoint(&self, replica: u64, sequence: Sequence, digest: Digest) -> Signed<Checkpoint> {
        self.signer(replica).sign(Checkpoint { sequence, digest, replica: NodeId(replica) })
    }

    /// With the CHECKPOINTs of the first Q replicas.
    pub(super) fn stable(&self, sequence: Sequence, digest: Digest) -> Stable {
        let members = self.quorum.members().iter();
        let checkpoints: Vec<_> = members.map(|member| self.checkpoint(member.0, sequence, digest)).collect();
        Stable::of(&self.quorum, &checkpoints).unwrap()
    }

    pub(super) fn view_change(
        &self,
        replica: u64,
        view: View,
        stable: Stable,
        prepared: Vec<Prepared>,
    ) -> Signed<ViewChange> {
        self.signer(replica).sign(ViewChange { view, stable, prepared, replica: NodeId(replica) })
    }

    /// As an honest primary makes it.
    pub(super) fn new_view(&self, view: View, view_changes: Vec<Signed<ViewChange>>) -> Signed<NewView> {
        let plan = Plan::of(&view_changes);
        let again =
            plan.pre_prepares.iter().map(|(sequence, digest)| self.pre_prepare(view, *sequence, *digest));
        let replica = self.quorum.primary(view);
        let pre_prepares = again.collect();
        self.signer(replica.0).sign(NewView { view, view_changes, pre_prepares, replica })
    }
}

fn secret(id: u64) -> SecretKey {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&id.to_le_bytes());
    SecretKey::from_seed(Scheme::Tag, seed)
}
