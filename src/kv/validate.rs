//! The checks that need no store: what etcd's API layer refuses before it proposes anything.

use std::collections::BTreeSet;

use super::codec::MAX_TXN_DEPTH;
use super::error::KvError;
use super::interval::Interval;
use super::request::{Op, PutRequest, TxnOp, TxnRequest};

/// What a node accepts. Only the API applies it, before it proposes, so that nodes may be configured differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many comparisons, or operations in one branch, a transaction may have; a nested one has what its parent
    /// leaves.
    pub max_txn_ops: usize,
}

impl Default for Limits {
    /// etcd's defaults.
    fn default() -> Self {
        Self { max_txn_ops: 128 }
    }
}

/// Checks an operation before it is proposed, in etcd's order, so that the first error is etcd's.
pub fn validate(op: &Op, limits: &Limits) -> Result<(), KvError> {
    check_within(op, limits.max_txn_ops, MAX_TXN_DEPTH)
}

/// The part of the checks that does not depend on a node's configuration. The store repeats it when it executes a
/// command: what it may assume then does not hang on who proposed it.
pub(super) fn check(op: &Op) -> Result<(), KvError> {
    check_within(op, usize::MAX, usize::MAX)
}

fn check_within(op: &Op, ops: usize, depth: usize) -> Result<(), KvError> {
    match op {
        Op::Range(range) => check_key(&range.key),
        Op::Put(put) => check_put(put),
        Op::DeleteRange(delete) => check_key(&delete.key),
        Op::Txn(txn) => {
            check_txn(txn, ops, depth)?;
            check_overlaps(&txn.success)?;
            check_overlaps(&txn.failure).map(|_| ())
        }
        Op::Compact(_) | Op::OpenSession => Ok(()),
    }
}

fn check_key(key: &[u8]) -> Result<(), KvError> {
    if key.is_empty() { Err(KvError::EmptyKey) } else { Ok(()) }
}

fn check_put(put: &PutRequest) -> Result<(), KvError> {
    check_key(&put.key)?;
    if put.ignore_value && !put.value.is_empty() { Err(KvError::ValueProvided) } else { Ok(()) }
}

/// Checks what needs no comparison of one operation with another: counts and keys, level by level, in the order in which
/// they are written.
fn check_txn(txn: &TxnRequest, ops: usize, depth: usize) -> Result<(), KvError> {
    let count = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    if count > ops || depth == 0 {
        return Err(KvError::TooManyOps);
    }
    txn.compare.iter().try_for_each(|compare| check_key(&compare.key))?;
    txn.success.iter().chain(&txn.failure).try_for_each(|op| match op {
        TxnOp::Range(range) => check_key(&range.key),
        TxnOp::Put(put) => check_put(put),
        TxnOp::DeleteRange(delete) => check_key(&delete.key),
        TxnOp::Txn(nested) => check_txn(nested, ops - count, depth - 1),
    })
}

/// What a list of operations may write.
struct Writes<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Vec<Interval<'a>>,
}

impl<'a> Writes<'a> {
    /// Adds the puts of a nested branch, or fails if one of them meets a write of this list. Puts in `exclusive`, the
    /// other branch of the same transaction, do not count: only one of the two is done.
    fn add_puts(&mut self, puts: &BTreeSet<&'a [u8]>, exclusive: &BTreeSet<&'a [u8]>) -> Result<(), KvError> {
        for key in puts {
            let taken = self.puts.contains(key) && !exclusive.contains(key);
            if taken || self.deletes.iter().any(|delete| delete.contains(key)) {
                return Err(KvError::DuplicateKey);
            }
            self.puts.insert(key);
        }
        Ok(())
    }
}

/// Refuses operations of which two may put one key, or one may put what another deletes. Two deletes may overlap. As
/// in etcd, a put in a nested transaction is not held against deletes in nested ones behind it.
fn check_overlaps(ops: &[TxnOp]) -> Result<Writes<'_>, KvError> {
    let deletes = ops.iter().filter_map(|op| match op {
        TxnOp::DeleteRange(delete) => Some(Interval::new(&delete.key, &delete.range_end)),
        _ => None,
    });
    let mut writes = Writes { puts: BTreeSet::new(), deletes: deletes.collect() };
    for op in ops {
        let TxnOp::Txn(nested) = op else { continue };
        let (success, failure) = (check_overlaps(&nested.success)?, check_overlaps(&nested.failure)?);
        writes.add_puts(&success.puts, &BTreeSet::new())?;
        writes.add_puts(&failure.puts, &success.puts)?;
        writes.deletes.extend(success.deletes);
        writes.deletes.extend(failure.deletes);
    }
    for op in ops {
        if let TxnOp::Put(put) = op {
            writes.add_puts(&BTreeSet::from([&put.key[..]]), &BTreeSet::new())?;
        }
    }
    Ok(writes)
}
