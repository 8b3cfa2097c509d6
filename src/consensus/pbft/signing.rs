//! Who says what: statements, signatures and digests.
//!
//! A signature covers the domain, the cluster's id, the kind of statement and the statement's whole canonical encoding.
//! So none is good for another cluster, another kind of statement, or a statement that differs in a single bit.

use std::fmt;

use bytes::{BufMut, BytesMut};
use sha2::{Digest as _, Sha256};

use super::message::{
    Batch, Checkpoint, Commit, NewView, PrePrepare, Prepare, Reply, Request, Signed, Statement, Status,
    ViewChange,
};
use super::verified::Verified;
use crate::consensus::{Digest, Encode, Keys, NodeId, Signature};

/// Begins everything that is signed. The number changes when the meaning of any statement does.
const DOMAIN: &[u8] = b"consensusctl pbft 1";
/// Begins what names a request.
const REQUEST_DOMAIN: &[u8] = b"consensusctl pbft request 1";
/// Begins what names a batch.
const BATCH_DOMAIN: &[u8] = b"consensusctl pbft batch 1";

macro_rules! statements {
    ($($name:ident = $kind:literal by $signer:ident),+ $(,)?) => {$(
        impl Statement for $name {
            const KIND: u8 = $kind;

            fn signer(&self) -> NodeId {
                self.$signer
            }
        }
    )+};
}

statements! {
    Request = 1 by client,
    PrePrepare = 2 by replica,
    Prepare = 3 by replica,
    Commit = 4 by replica,
    Reply = 5 by replica,
    Checkpoint = 6 by replica,
    ViewChange = 7 by replica,
    NewView = 8 by replica,
    Status = 9 by replica,
}

/// The bytes that a signature of `body` covers.
fn signed_bytes<T: Statement>(cluster_id: u64, body: &T) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_slice(DOMAIN);
    bytes.put_u64_le(cluster_id);
    bytes.put_u8(T::KIND);
    body.encode(&mut bytes);
    bytes
}

/// Signs what one replica or client says. Equal statements get equal signatures, so saying the same again is not saying
/// something new.
#[derive(Clone)]
pub struct Signer {
    id: NodeId,
    cluster_id: u64,
    keys: Keys,
}

impl Signer {
    /// Signs for `id` with the secret key of `keys`, which must have one.
    pub fn new(id: NodeId, cluster_id: u64, keys: &Keys) -> Self {
        assert!(keys.secret().is_some(), "whoever takes part in PBFT has a secret key");
        Self { id, cluster_id, keys: keys.clone() }
    }

    /// For whom it signs.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Signs a statement, which must be one of this signer's.
    pub fn sign<T: Statement>(&self, body: T) -> Signed<T> {
        assert_eq!(body.signer(), self.id, "nobody signs what another says");
        let signature = self.keys.sign(&signed_bytes(self.cluster_id, &body));
        let signature = signature.expect("a signer has a secret key, as `new` made sure");
        Signed { body, signature }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the signer of {}", self.id)
    }
}

/// Checks who signed what. Cheap to clone, and all clones share what they remember.
#[derive(Clone, Debug)]
pub struct Verifier {
    cluster_id: u64,
    keys: Keys,
    verified: Verified,
}

impl Verifier {
    /// Checks with the public keys of `keys`.
    pub fn new(cluster_id: u64, keys: Keys) -> Self {
        Self { cluster_id, keys, verified: Verified::default() }
    }

    /// Whether somebody of this name is known.
    pub fn knows(&self, id: NodeId) -> bool {
        self.keys.public(id).is_some()
    }

    /// Whether the statement's signer, who must be known, signed it.
    pub fn verify<T: Statement>(&self, signed: &Signed<T>) -> bool {
        self.verify_bytes(
            signed.body.signer(),
            &signed_bytes(self.cluster_id, &signed.body),
            &signed.signature,
        )
    }

    /// As [`verify`](Self::verify), for statements that are shown again as parts of others (requests, and what
    /// certificates consist of): what was found true once costs a hash from then on. The answer is the same.
    pub fn verify_once<T: Statement>(&self, signed: &Signed<T>) -> bool {
        let who = signed.body.signer();
        let bytes = signed_bytes(self.cluster_id, &signed.body);
        let name = Sha256::new()
            .chain_update(who.0.to_le_bytes())
            .chain_update(signed.signature.0)
            .chain_update(&bytes)
            .finalize()
            .into();
        self.verified.contains(&name)
            || self.verify_bytes(who, &bytes, &signed.signature) && self.verified.insert(name)
    }

    fn verify_bytes(&self, signer: NodeId, bytes: &[u8], signature: &Signature) -> bool {
        self.keys.verify(signer, bytes, signature)
    }

    /// How many signatures were really checked.
    #[cfg(test)]
    pub(super) fn checks(&self) -> u64 {
        self.keys.uses().verifications
    }
}

impl Signed<Request> {
    /// Names the request, its signature included: the same content, signed otherwise, is another request.
    pub fn digest(&self) -> Digest {
        Digest(Sha256::new().chain_update(REQUEST_DOMAIN).chain_update(self.to_bytes()).finalize().into())
    }
}

impl Batch {
    /// Names the batch, by the names of its requests in their order. That of [`Batch::default`] is the null request's.
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new().chain_update(BATCH_DOMAIN);
        for request in &self.0 {
            hash.update(request.digest().0);
        }
        Digest(hash.finalize().into())
    }

    /// Whether it orders nothing: the null request.
    pub fn is_null(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
