//! The store against a model that is too slow to be wrong: a whole map for every revision.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::generate;
use crate::kv::*;

type State = BTreeMap<Bytes, KeyValue>;

/// Every revision's state, kept whole.
struct Model {
    states: BTreeMap<i64, State>,
    compacted: i64,
    sessions: u64,
}

/// A transaction under way.
struct Work {
    base: i64,
    state: State,
    changed: bool,
}

impl Work {
    fn revision(&self) -> i64 {
        self.base + i64::from(self.changed)
    }
}

fn named<'a>(state: &'a State, key: &Bytes, end: &Bytes) -> Vec<&'a KeyValue> {
    let inside = |candidate: &Bytes| match &end[..] {
        [] => candidate == key,
        [0] => candidate >= key,
        _ => candidate >= key && candidate < end,
    };
    state.iter().filter(|(candidate, _)| inside(candidate)).map(|(_, kv)| kv).collect()
}

impl Model {
    fn new() -> Self {
        Self { states: BTreeMap::from([(1, State::new())]), compacted: -1, sessions: 0 }
    }

    fn now(&self) -> i64 {
        *self.states.last_key_value().unwrap().0
    }

    fn begin(&self) -> Work {
        Work { base: self.now(), state: self.states[&self.now()].clone(), changed: false }
    }

    fn end(&mut self, work: Work) -> i64 {
        let revision = work.revision();
        self.states.insert(revision, work.state);
        revision
    }

    fn execute(&mut self, op: &Op) -> Reply {
        validate(op, &Limits { max_txn_ops: 1000 })?;
        let mut work = self.begin();
        match op {
            Op::Range(request) => self.range(&work, request).map(Response::Range),
            Op::Put(request) => {
                let response = Self::put(&mut work, request)?;
                self.end(work);
                Ok(Response::Put(response))
            }
            Op::DeleteRange(request) => {
                let response = Self::delete(&mut work, request);
                self.end(work);
                Ok(Response::DeleteRange(response))
            }
            Op::Txn(request) => {
                self.check_puts(&work, request)?;
                self.check_ranges(&work, request)?;
                let initial = work.state.clone();
                let mut response = self.txn(&initial, &mut work, request);
                response.revision = self.end(work);
                Ok(Response::Txn(response))
            }
            Op::Compact(request) => {
                if request.revision <= self.compacted {
                    return Err(KvError::Compacted);
                }
                if request.revision > self.now() {
                    return Err(KvError::FutureRevision);
                }
                self.compacted = request.revision;
                self.states.retain(|revision, _| *revision >= request.revision);
                Ok(Response::Compact(CompactionResponse { revision: self.now() }))
            }
            Op::OpenSession => {
                self.sessions += 1;
                let (revision, session) = (self.now(), self.sessions);
                Ok(Response::OpenSession(OpenSessionResponse { revision, session }))
            }
        }
    }

    fn range(&self, work: &Work, request: &RangeRequest) -> Result<RangeResponse, KvError> {
        let revision = work.revision();
        if request.revision > revision {
            return Err(KvError::FutureRevision);
        }
        if request.revision > 0 && request.revision < self.compacted {
            return Err(KvError::Compacted);
        }
        let state = match request.revision {
            old if old > 0 && old <= work.base => &self.states[&old],
            _ => &work.state,
        };
        let found = named(state, &request.key, &request.range_end);
        let count = found.len() as i64;
        let mut kvs: Vec<KeyValue> =
            if request.count_only { Vec::new() } else { found.into_iter().cloned().collect() };
        let (limit, plain) = (request.limit, request.sort_order == SortOrder::None);
        let filters = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        if limit > 0 && plain && filters == [0; 4] {
            kvs.truncate(limit as usize + 1);
        }
        kvs.retain(|kv| {
            (filters[0] == 0 || kv.mod_revision >= filters[0])
                && (filters[1] == 0 || kv.mod_revision <= filters[1])
                && (filters[2] == 0 || kv.create_revision >= filters[2])
                && (filters[3] == 0 || kv.create_revision <= filters[3])
        });
        match request.sort_target {
            SortTarget::Key => kvs.sort_by_key(|kv| kv.key.clone()),
            SortTarget::Version => kvs.sort_by_key(|kv| kv.version),
            SortTarget::Create => kvs.sort_by_key(|kv| kv.create_revision),
            SortTarget::Mod => kvs.sort_by_key(|kv| kv.mod_revision),
            SortTarget::Value => kvs.sort_by_key(|kv| kv.value.clone()),
        }
        if request.sort_order == SortOrder::Descend {
            // Largest first, but what is equal stays in the order of keys.
            match request.sort_target {
                SortTarget::Key => kvs.reverse(),
                SortTarget::Version => kvs.sort_by_key(|kv| std::cmp::Reverse(kv.version)),
                SortTarget::Create => kvs.sort_by_key(|kv| std::cmp::Reverse(kv.create_revision)),
                SortTarget::Mod => kvs.sort_by_key(|kv| std::cmp::Reverse(kv.mod_revision)),
                SortTarget::Value => kvs.sort_by_key(|kv| std::cmp::Reverse(kv.value.clone())),
            }
        }
        let more = limit > 0 && kvs.len() > limit as usize;
        if more {
            kvs.truncate(limit as usize);
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        Ok(RangeResponse { revision, kvs, more, count })
    }

    fn put(work: &mut Work, request: &PutRequest) -> Result<PutResponse, KvError> {
        let previous = work.state.get(&request.key).cloned();
        if previous.is_none() && (request.ignore_value || request.ignore_lease) {
            return Err(KvError::KeyNotFound);
        }
        work.changed = true;
        let revision = work.revision();
        let value = match &previous {
            Some(previous) if request.ignore_value => previous.value.clone(),
            _ => request.value.clone(),
        };
        let kv = KeyValue {
            key: request.key.clone(),
            create_revision: previous.as_ref().map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: previous.as_ref().map_or(0, |kv| kv.version) + 1,
            value,
        };
        work.state.insert(request.key.clone(), kv);
        Ok(PutResponse { revision, prev_kv: previous.filter(|_| request.prev_kv) })
    }

    fn delete(work: &mut Work, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let gone: Vec<_> =
            named(&work.state, &request.key, &request.range_end).into_iter().cloned().collect();
        work.changed |= !gone.is_empty();
        gone.iter().for_each(|kv| drop(work.state.remove(&kv.key)));
        let deleted = gone.len() as i64;
        let prev_kvs = if request.prev_kv { gone } else { Vec::new() };
        DeleteRangeResponse { revision: work.revision(), deleted, prev_kvs }
    }

    fn taken<'a>(&self, state: &State, request: &'a TxnRequest) -> (bool, &'a [TxnOp]) {
        let holds = request.compare.iter().all(|compare| compares(state, compare));
        (holds, if holds { &request.success } else { &request.failure })
    }

    fn check_puts(&self, work: &Work, request: &TxnRequest) -> Result<(), KvError> {
        for op in self.taken(&work.state, request).1 {
            match op {
                TxnOp::Put(put) if put.ignore_value || put.ignore_lease => {
                    work.state.get(&put.key).ok_or(KvError::KeyNotFound)?;
                }
                TxnOp::Txn(nested) => self.check_puts(work, nested)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn check_ranges(&self, work: &Work, request: &TxnRequest) -> Result<(), KvError> {
        for op in self.taken(&work.state, request).1 {
            match op {
                TxnOp::Range(range) if range.revision > work.base => return Err(KvError::FutureRevision),
                TxnOp::Range(range) if range.revision != 0 && range.revision < self.compacted => {
                    return Err(KvError::Compacted);
                }
                TxnOp::Txn(nested) => self.check_ranges(work, nested)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn txn(&self, initial: &State, work: &mut Work, request: &TxnRequest) -> TxnResponse {
        let (succeeded, ops) = self.taken(initial, request);
        let mut responses = Vec::new();
        for op in ops {
            responses.push(match op {
                TxnOp::Range(range) => TxnOpResponse::Range(self.range(work, range).unwrap()),
                TxnOp::Put(put) => TxnOpResponse::Put(Self::put(work, put).unwrap()),
                TxnOp::DeleteRange(delete) => TxnOpResponse::DeleteRange(Self::delete(work, delete)),
                TxnOp::Txn(nested) => TxnOpResponse::Txn(self.txn(initial, work, nested)),
            });
        }
        TxnResponse { revision: 0, succeeded, responses }
    }
}

fn compares(state: &State, compare: &Compare) -> bool {
    let found = named(state, &compare.key, &compare.range_end);
    if found.is_empty() && matches!(compare.target, CompareTarget::Value(_)) {
        return false;
    }
    let nothing = KeyValue::default();
    let all = if found.is_empty() { vec![&nothing] } else { found };
    all.into_iter().all(|kv| {
        let ordering = match &compare.target {
            CompareTarget::Version(version) => kv.version.cmp(version),
            CompareTarget::Create(revision) => kv.create_revision.cmp(revision),
            CompareTarget::Mod(revision) => kv.mod_revision.cmp(revision),
            CompareTarget::Value(value) => kv.value.cmp(value),
            CompareTarget::Lease(lease) => 0.cmp(lease),
        };
        match compare.result {
            CompareResult::Equal => ordering == Ordering::Equal,
            CompareResult::Greater => ordering == Ordering::Greater,
            CompareResult::Less => ordering == Ordering::Less,
            CompareResult::NotEqual => ordering != Ordering::Equal,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn store_answers_as_the_model_does(ops in generate::ops(40)) {
        let (mut store, mut model) = (Store::new(), Model::new());
        for op in &ops {
            prop_assert_eq!(store.execute(op), model.execute(op), "{:?}", op);
            prop_assert_eq!(store.revision(), model.now());
            prop_assert_eq!(store.compacted(), model.compacted);
        }
        // Everything that can still be read, at every revision.
        for revision in model.compacted.max(1)..=model.now() {
            let all = RangeRequest {
                key: Bytes::from_static(b"\0"),
                range_end: Bytes::from_static(b"\0"),
                revision,
                ..RangeRequest::default()
            };
            prop_assert_eq!(store.range(&all).map(Response::Range), model.execute(&Op::Range(all)));
        }
    }

    #[test]
    fn digest_depends_on_the_state_and_not_on_when_it_is_asked_for(
        ops in generate::ops(40),
        asked in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let (mut often, mut once) = (Store::new(), Store::new());
        for (op, asked) in ops.iter().zip(asked) {
            let before = often.digest();
            let (read_only, revision) = (op.is_read_only(), often.revision());
            let reply = often.execute(op);
            once.execute(op).ok();
            let changes = !read_only && reply.is_ok()
                && (often.revision() != revision || matches!(op, Op::Compact(_) | Op::OpenSession));
            if asked {
                prop_assert_eq!(often.digest() != before, changes, "{:?}", op);
            }
        }
        prop_assert_eq!(often.digest(), once.digest());
    }

    #[test]
    fn a_clone_does_not_feel_the_writes_of_its_original(before in generate::ops(20), after in generate::ops(20)) {
        let mut store = Store::new();
        before.iter().for_each(|op| drop(store.execute(op)));
        let mut clone = store.clone();
        let digest = store.digest();
        after.iter().for_each(|op| drop(store.execute(op)));
        prop_assert_eq!(clone.digest(), digest);
        after.iter().for_each(|op| drop(clone.execute(op)));
        prop_assert_eq!(clone.digest(), store.digest());
    }
}
