//! What clients ask for: a mix of everything that the store can do, on a few keys, so that they meet.

use bytes::Bytes;

use super::dice::Dice;
use crate::check::Consistency;
use crate::kv::{
    CompactionRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, Op, PutRequest,
    RangeRequest, Response, SessionTag, TxnOp, TxnOpResponse, TxnRequest,
};
use crate::text::counted;

/// Draws operations.
#[derive(Debug)]
pub(super) struct Workload {
    client: usize,
    keys: u64,
    /// The size of values beyond their name, in bytes, at most.
    padding: u64,
    written: u64,
    /// The last key that it read or wrote, with its revision and value.
    seen: Option<(Bytes, i64, Bytes)>,
    /// The highest revision that it has heard of.
    revision: i64,
}

impl Workload {
    pub(super) fn new(client: usize, dice: &mut Dice) -> Self {
        let (keys, padding) = (*dice.pick(&[3, 10, 10, 30]), *dice.pick(&[0, 20, 100, 400]));
        Self { client, keys, padding, written: 0, seen: None, revision: 1 }
    }

    /// The next operation.
    pub(super) fn next(&mut self, dice: &mut Dice) -> (Op, Consistency) {
        let linearizable = Consistency::Linearizable;
        match dice.weighted(&[30, 16, 10, 8, 6, 12, 8, 4, 3, 1]) {
            Some(0) => (Op::Put(self.put(dice)), linearizable),
            Some(1) => (Op::Range(self.get(dice)), linearizable),
            Some(2) => (Op::Range(self.get(dice)), Consistency::Serializable),
            Some(3) => (Op::Range(self.range(dice)), linearizable),
            Some(4) => (Op::DeleteRange(self.delete(dice)), linearizable),
            Some(5) => (Op::Txn(self.compare_and_swap(dice)), linearizable),
            Some(6) => (Op::Txn(self.transaction(dice)), linearizable),
            Some(7) => (Op::Txn(self.reading_transaction(dice)), linearizable),
            Some(8) => (Op::Range(self.old_range(dice)), linearizable),
            _ => {
                let revision = self.revision - dice.below(60) as i64;
                (Op::Compact(CompactionRequest { revision: revision.max(1) }), linearizable)
            }
        }
    }

    fn key(&self, dice: &mut Dice) -> Bytes {
        format!("k{:02}", dice.below(self.keys)).into()
    }

    /// A value that no other write has.
    fn value(&mut self, dice: &mut Dice) -> Bytes {
        self.written += 1;
        let mut value = format!("{}-{}", self.client, self.written);
        if self.padding > 0 {
            let padding = dice.below(self.padding) as usize;
            value.push_str(&".".repeat(padding));
        }
        value.into()
    }

    fn put(&mut self, dice: &mut Dice) -> PutRequest {
        let (key, value) = (self.key(dice), self.value(dice));
        PutRequest { key, value, prev_kv: dice.chance(500), ..PutRequest::default() }
    }

    fn get(&self, dice: &mut Dice) -> RangeRequest {
        RangeRequest { key: self.key(dice), ..RangeRequest::default() }
    }

    fn range(&self, dice: &mut Dice) -> RangeRequest {
        let limit = if dice.chance(300) { dice.between(1, 5) as i64 } else { 0 };
        RangeRequest {
            key: self.key(dice),
            range_end: Bytes::from_static(b"z"),
            limit,
            ..RangeRequest::default()
        }
    }

    fn old_range(&self, dice: &mut Dice) -> RangeRequest {
        let revision = (self.revision - dice.below(20) as i64).max(1);
        RangeRequest { revision, ..self.range(dice) }
    }

    fn delete(&self, dice: &mut Dice) -> DeleteRangeRequest {
        let key = self.key(dice);
        let range_end = if dice.chance(150) { Bytes::from_static(b"k\xff") } else { Bytes::new() };
        DeleteRangeRequest { key, range_end, prev_kv: dice.chance(500) }
    }

    /// Writes a key if it is still what this client saw last.
    fn compare_and_swap(&mut self, dice: &mut Dice) -> TxnRequest {
        let (key, revision, value) =
            self.seen.clone().unwrap_or_else(|| (Bytes::from_static(b"k00"), 0, Bytes::new()));
        let by_value = !value.is_empty() && dice.chance(300);
        let target = if by_value { CompareTarget::Value(value) } else { CompareTarget::Mod(revision) };
        let compare =
            Compare { result: CompareResult::Equal, target, key: key.clone(), range_end: Bytes::new() };
        let value = self.value(dice);
        let read = RangeRequest { key: key.clone(), ..RangeRequest::default() };
        TxnRequest {
            compare: vec![compare],
            success: vec![TxnOp::Put(PutRequest { key, value, ..PutRequest::default() })],
            failure: vec![TxnOp::Range(read)],
        }
    }

    /// Several writes as one, on a condition over a range.
    fn transaction(&mut self, dice: &mut Dice) -> TxnRequest {
        let compare = Compare {
            result: *dice.pick(&[CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual]),
            target: CompareTarget::Version(dice.below(6) as i64),
            key: self.key(dice),
            range_end: if dice.chance(300) { Bytes::from_static(b"z") } else { Bytes::new() },
        };
        let (first, second) = (dice.below(self.keys), dice.below(self.keys));
        let mut success = vec![self.put_at(first, dice)];
        if first != second {
            success.push(self.put_at(second, dice));
        }
        success.push(TxnOp::Range(self.get(dice)));
        let failure =
            vec![TxnOp::DeleteRange(DeleteRangeRequest { key: self.key(dice), ..Default::default() })];
        TxnRequest { compare: vec![compare], success, failure }
    }

    fn put_at(&mut self, key: u64, dice: &mut Dice) -> TxnOp {
        let key = format!("k{key:02}").into();
        TxnOp::Put(PutRequest { key, value: self.value(dice), ..PutRequest::default() })
    }

    fn reading_transaction(&self, dice: &mut Dice) -> TxnRequest {
        let ops = vec![TxnOp::Range(self.get(dice)), TxnOp::Range(self.range(dice))];
        TxnRequest { compare: Vec::new(), success: ops, failure: Vec::new() }
    }

    /// Remembers what an answer shows, for what comes next.
    pub(super) fn learn(&mut self, response: &Response) {
        self.revision = self.revision.max(response.revision());
        let kvs = match response {
            Response::Range(range) => &range.kvs,
            Response::Txn(txn) => match txn.responses.first() {
                Some(TxnOpResponse::Range(range)) => &range.kvs,
                _ => return,
            },
            _ => return,
        };
        if let Some(kv) = kvs.first() {
            self.seen = Some((kv.key.clone(), kv.mod_revision, kv.value.clone()));
        }
    }

    /// The revision that it knows is of no use any more.
    pub(super) fn forget_revision(&mut self) {
        self.revision = self.seen.as_ref().map_or(1, |(_, revision, _)| (*revision).max(1));
    }

    /// An operation in words.
    pub(super) fn describe(op: &Op, tag: Option<SessionTag>) -> String {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).trim_end_matches('.').to_owned();
        let what = match op {
            Op::Range(range) if range.range_end.is_empty() => format!("get {}", text(&range.key)),
            Op::Range(range) if range.revision > 0 => {
                format!("range from {} at revision {}", text(&range.key), range.revision)
            }
            Op::Range(range) => format!("range from {}", text(&range.key)),
            Op::Put(put) => format!("put {} {}", text(&put.key), text(&put.value)),
            Op::DeleteRange(delete) => format!("delete {}", text(&delete.key)),
            Op::Txn(txn) => {
                let compared = counted(txn.compare.len() as u64, "comparison", "comparisons");
                let failure = counted(txn.failure.len() as u64, "operation", "operations");
                format!("transaction of {compared}, {} and {failure}", txn.success.len())
            }
            Op::Compact(compact) => format!("compact at {}", compact.revision),
            Op::OpenSession => "open a session".to_owned(),
        };
        match tag {
            Some(tag) => format!("{what} (session {}, number {})", tag.session, tag.sequence),
            None => what,
        }
    }
}
