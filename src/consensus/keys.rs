//! Who signs what: key pairs, signatures, and the keys that a replica knows.
//!
//! Signatures are Ed25519 with *strict* verification (no small-order keys, no malleable signatures), one at a time and
//! nowhere in batches: so that what one honest replica accepts every honest replica accepts. The simulator may use a
//! keyed hash instead, a [`Scheme::Tag`], whose "public" key is its secret one: no attacker there forges, and a run costs
//! a fraction. Which of the two a key is shows in the key itself, so nothing else in the crate knows the difference.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::{BufMut, BytesMut};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::codec::{Decode, DecodeError, Encode, Reader};
use super::types::NodeId;

/// How signatures are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Ed25519.
    Ed25519,
    /// A keyed hash: for the simulator alone.
    Tag,
}

/// What is needed to sign. Never printed.
#[derive(Clone)]
pub struct SecretKey(Secret);

#[derive(Clone)]
enum Secret {
    Ed25519(Box<SigningKey>),
    Tag([u8; 32]),
}

/// What is needed to check a signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(Public);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Public {
    Ed25519(VerifyingKey),
    Tag([u8; 32]),
}

/// A signature: 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 64]);

impl SecretKey {
    /// The key that 32 secret bytes make.
    pub fn from_seed(scheme: Scheme, seed: [u8; 32]) -> Self {
        Self(match scheme {
            Scheme::Ed25519 => Secret::Ed25519(Box::new(SigningKey::from_bytes(&seed))),
            Scheme::Tag => Secret::Tag(seed),
        })
    }

    /// The 32 secret bytes.
    pub fn seed(&self) -> [u8; 32] {
        match &self.0 {
            Secret::Ed25519(key) => key.to_bytes(),
            Secret::Tag(key) => *key,
        }
    }

    /// The key that checks what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey(match &self.0 {
            Secret::Ed25519(key) => Public::Ed25519(key.verifying_key()),
            Secret::Tag(key) => Public::Tag(*key),
        })
    }

    /// Signs. Deterministic: equal bytes have equal signatures.
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        Signature(match &self.0 {
            Secret::Ed25519(key) => key.sign(bytes).to_bytes(),
            Secret::Tag(key) => tag(key, bytes),
        })
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret key of {}", self.public())
    }
}

impl PublicKey {
    /// Whether `signature` was made of `bytes` with this key's secret one.
    pub fn verify(&self, bytes: &[u8], signature: &Signature) -> bool {
        match &self.0 {
            Public::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
                key.verify_strict(bytes, &signature).is_ok()
            }
            Public::Tag(key) => tag(key, bytes) == signature.0,
        }
    }

    /// Reads 64 hexadecimal digits: an Ed25519 key.
    pub fn from_hex(text: &str) -> Result<Self, BadKey> {
        let key = VerifyingKey::from_bytes(&unhex(text)?).map_err(|_| BadKey::NotAPoint)?;
        if key.is_weak() { Err(BadKey::NotAPoint) } else { Ok(Self(Public::Ed25519(key))) }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match &self.0 {
            Public::Ed25519(key) => key.to_bytes(),
            Public::Tag(key) => *key,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string()[..8])
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Encode for Signature {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_slice(&self.0);
    }
}

impl Decode for Signature {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.array().map(Self)
    }
}

/// Why text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It is not 64 hexadecimal digits.
    #[error("a key has 64 hexadecimal digits")]
    NotHex,
    /// The digits are no usable Ed25519 key.
    #[error("the digits are no usable Ed25519 public key")]
    NotAPoint,
}

/// Reads 32 bytes from 64 hexadecimal digits.
pub fn unhex(text: &str) -> Result<[u8; 32], BadKey> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(BadKey::NotHex);
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| BadKey::NotHex)?;
    }
    Ok(bytes)
}

/// One secret key, and everybody's public one. Cheap to clone. All clones count together what is signed and checked
/// with them; nothing is decided by the counts.
#[derive(Clone, Debug, Default)]
pub struct Keys(Arc<Ring>);

/// How often keys were used: the work of signing, which is most of what lies cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyUses {
    /// Signatures made.
    pub signatures: u64,
    /// Signatures checked. What was only remembered to be true is not among them.
    pub verifications: u64,
}

#[derive(Debug, Default)]
struct Ring {
    secret: Option<SecretKey>,
    public: BTreeMap<NodeId, PublicKey>,
    signatures: AtomicU64,
    verifications: AtomicU64,
}

impl Keys {
    /// `secret` signs; `public` has the key of every member and every client, the owner's included.
    pub fn new(secret: SecretKey, public: BTreeMap<NodeId, PublicKey>) -> Self {
        Self(Arc::new(Ring { secret: Some(secret), public, ..Ring::default() }))
    }

    /// No secret key: enough to check what others sign.
    pub fn public_only(public: BTreeMap<NodeId, PublicKey>) -> Self {
        Self(Arc::new(Ring { public, ..Ring::default() }))
    }

    /// The own secret key.
    pub fn secret(&self) -> Option<&SecretKey> {
        self.0.secret.as_ref()
    }

    /// The public key of a member or client.
    pub fn public(&self, id: NodeId) -> Option<&PublicKey> {
        self.0.public.get(&id)
    }

    /// Signs with the own secret key; `None` if there is none.
    pub fn sign(&self, bytes: &[u8]) -> Option<Signature> {
        let secret = self.secret()?;
        self.0.signatures.fetch_add(1, Relaxed);
        Some(secret.sign(bytes))
    }

    /// Whether `signer`, who must be known, signed these bytes.
    pub fn verify(&self, signer: NodeId, bytes: &[u8], signature: &Signature) -> bool {
        let Some(key) = self.public(signer) else { return false };
        self.0.verifications.fetch_add(1, Relaxed);
        key.verify(bytes, signature)
    }

    /// How often these keys were used, through any clone.
    pub fn uses(&self) -> KeyUses {
        KeyUses {
            signatures: self.0.signatures.load(Relaxed),
            verifications: self.0.verifications.load(Relaxed),
        }
    }

    /// Everybody who has a key, in ascending order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.public.keys().copied()
    }
}

/// A hash that depends on a key.
fn tag(key: &[u8; 32], bytes: &[u8]) -> [u8; 64] {
    let mut tag = [0; 64];
    tag[..32].copy_from_slice(&Sha256::new().chain_update(key).chain_update(bytes).finalize());
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_bytes_and_its_key_alone() {
        for scheme in [Scheme::Ed25519, Scheme::Tag] {
            let key = SecretKey::from_seed(scheme, [7; 32]);
            let other = SecretKey::from_seed(scheme, [8; 32]);
            let signature = key.sign(b"promise");
            assert_eq!(signature, key.sign(b"promise"), "signing is deterministic");
            assert!(key.public().verify(b"promise", &signature));
            assert!(!key.public().verify(b"promises", &signature));
            assert!(!other.public().verify(b"promise", &signature));
            let mut changed = signature;
            changed.0[9] ^= 1;
            assert!(!key.public().verify(b"promise", &changed));
        }
    }

    #[test]
    fn a_public_key_is_read_as_it_is_written() {
        let key = SecretKey::from_seed(Scheme::Ed25519, [3; 32]).public();
        assert_eq!(PublicKey::from_hex(&key.to_string()), Ok(key));
        assert_eq!(PublicKey::from_hex("12"), Err(BadKey::NotHex));
        assert_eq!(PublicKey::from_hex(&"g".repeat(64)), Err(BadKey::NotHex));
        // The neutral element: a key of small order, with which one signature fits many messages.
        assert_eq!(PublicKey::from_hex(&format!("01{}", "0".repeat(62))), Err(BadKey::NotAPoint));
    }

    #[test]
    fn a_secret_key_is_not_printed() {
        let key = SecretKey::from_seed(Scheme::Ed25519, [0x5a; 32]);
        assert!(!format!("{key:?}").contains("5a5a"));
    }
}
