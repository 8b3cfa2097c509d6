//! Signatures hold for what was signed, and for nothing else.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::consensus::pbft::message::{Sequence, View};
use crate::consensus::pbft::samples::{pre_prepare, reply, request, view_change};
use crate::consensus::{Decode, Scheme, SecretKey, WallTime};

const CLUSTER: u64 = 7;

fn keys(id: u64, scheme: Scheme) -> Keys {
    let secret = SecretKey::from_seed(scheme, [id as u8; 32]);
    let public = BTreeMap::from([(NodeId(id), secret.public())]);
    Keys::new(secret, public)
}

fn pair(scheme: Scheme) -> (Signer, Verifier) {
    let keys = keys(1, scheme);
    (Signer::new(NodeId(1), CLUSTER, &keys), Verifier::new(CLUSTER, keys))
}

/// Signs the body, changes one byte of what travels (the body's or the signature's), and looks whether it still holds.
fn survives_a_change<T>(body: T, at: prop::sample::Index, by: u8) -> bool
where
    T: Statement + Decode + PartialEq + Clone + fmt::Debug,
{
    let (signer, verifier) = pair(Scheme::Ed25519);
    let whole = signer.sign(body);
    assert!(verifier.verify(&whole) && verifier.verify_once(&whole));
    let mut bytes = whole.to_bytes().to_vec();
    let at = at.index(bytes.len());
    bytes[at] ^= by;
    let changed = Signed::<T>::from_bytes(Bytes::from(bytes));
    changed.is_ok_and(|changed| verifier.verify(&changed) || verifier.verify_once(&changed))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_signature_survives_the_change_of_a_byte(
        request in request(),
        pre_prepare in pre_prepare(),
        view_change in view_change(),
        reply in reply(),
        at in any::<prop::sample::Index>(),
        by in 1u8..=255,
    ) {
        let me = NodeId(1);
        let body = Request { client: me, ..request };
        prop_assert!(!survives_a_change(body, at, by));
        let body = PrePrepare { replica: me, ..pre_prepare };
        prop_assert!(!survives_a_change(body, at, by));
        let body = ViewChange { replica: me, ..view_change };
        prop_assert!(!survives_a_change(body, at, by));
        let body = Reply { replica: me, ..reply };
        prop_assert!(!survives_a_change(body, at, by));
    }
}

#[test]
fn a_signature_of_one_kind_cluster_or_signer_is_none_of_another() {
    for scheme in [Scheme::Ed25519, Scheme::Tag] {
        let (signer, verifier) = pair(scheme);
        let (view, sequence, digest, replica) = (View(1), Sequence(2), Digest([3; 32]), NodeId(1));
        let prepare = signer.sign(Prepare { view, sequence, digest, replica });
        assert!(verifier.verify(&prepare));
        assert_eq!(prepare, signer.sign(prepare.body), "the same again is the same bytes");

        let commit = Commit { view, sequence, digest, replica };
        assert!(!verifier.verify(&Signed { body: commit, signature: prepare.signature }), "another kind");
        let elsewhere = Verifier::new(CLUSTER + 1, keys(1, scheme));
        assert!(!elsewhere.verify(&prepare), "another cluster");
        let another = Verifier::new(CLUSTER, keys(2, scheme));
        assert!(!another.verify(&prepare) && !another.knows(replica), "an unknown signer");
    }
}

#[test]
fn what_was_verified_once_is_not_verified_again() {
    let (signer, verifier) = pair(Scheme::Ed25519);
    let said = Commit { view: View(1), sequence: Sequence(2), digest: Digest::default(), replica: NodeId(1) };
    let (vote, clone) = (signer.sign(said), verifier.clone());
    assert!(verifier.verify_once(&vote) && clone.verify_once(&vote));
    assert_eq!(verifier.checks(), 1);

    let other = Signed { body: Commit { view: View(2), ..said }, signature: vote.signature };
    assert!(!verifier.verify_once(&other) && !verifier.verify_once(&other));
    assert_eq!(verifier.checks(), 3, "lies are not remembered");
}

#[test]
fn a_digest_names_the_content_the_order_and_the_signature() {
    let (signer, _) = pair(Scheme::Tag);
    let request = |counter: u64| {
        let commands = vec![(counter, Bytes::from_static(b"put"))];
        signer.sign(Request { client: NodeId(1), incarnation: 1, time: WallTime(5), commands })
    };
    let (first, second) = (request(1), request(2));
    assert_eq!(first.digest(), request(1).digest());
    assert_ne!(first.digest(), second.digest());
    let mut resigned = first.clone();
    resigned.signature.0[0] ^= 1;
    assert_ne!(first.digest(), resigned.digest());

    let batch = |requests: &[&Signed<Request>]| Batch(requests.iter().copied().cloned().collect()).digest();
    assert_ne!(batch(&[&first, &second]), batch(&[&second, &first]));
    assert_ne!(batch(&[&first]), batch(&[&first, &first]));
    assert_ne!(batch(&[]), Digest::default(), "the null request has a digest like any other");
    assert_eq!(batch(&[]), Batch::default().digest());
}
