//! What the operations do: etcd's `apply.go` for the operations that exist here.

use std::cmp::Ordering;

use bytes::Bytes;

use super::codec::own;
use super::error::KvError;
use super::interval::Interval;
use super::mvcc::{Mvcc, Writer};
use super::request::{
    CompactionRequest, CompareResult, DeleteRangeRequest, PutRequest, RangeRequest, SortOrder, SortTarget,
};
use super::response::{
    CompactionResponse, DeleteRangeResponse, KeyValue, PutResponse, RangeResponse, Response,
};

/// Reads while the store is at revision `current`.
pub(super) fn range(mvcc: &Mvcc, request: &RangeRequest, current: i64) -> Result<RangeResponse, KvError> {
    let revision = mvcc.read_revision(request.revision, current)?;
    let interval = Interval::new(&request.key, &request.range_end);
    // A limit cuts the scan short only if nothing is filtered or sorted behind it; one more is read to know whether
    // there is more.
    let limit = usize::try_from(request.limit).ok().filter(|&limit| limit > 0);
    let wanted = if request.count_only {
        0
    } else if is_filtered(request) || request.sort_order != SortOrder::None {
        usize::MAX
    } else {
        limit.map_or(usize::MAX, |limit| limit.saturating_add(1))
    };
    let (mut kvs, mut count) = (Vec::new(), 0);
    for history in mvcc.scan(interval, revision) {
        count += 1;
        if kvs.len() < wanted {
            kvs.extend(history.at(revision));
        }
    }
    kvs.retain(|kv| passes(request, kv));
    sort(request, &mut kvs);
    let more = limit.is_some_and(|limit| kvs.len() > limit);
    kvs.truncate(limit.unwrap_or(usize::MAX));
    if request.keys_only {
        kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
    }
    Ok(RangeResponse { revision: current, kvs, more, count })
}

fn is_filtered(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |value, min, max| (min == 0 || value >= min) && (max == 0 || value <= max);
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

/// Sorts what was read in the order of keys. A target without an order sorts ascending, but behind the limit: so does
/// etcd. Keys that are equal in the target stay in order (in etcd their order is left open).
fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) {
    let by_target = |a: &KeyValue, b: &KeyValue| match request.sort_target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    };
    match request.sort_order {
        SortOrder::Descend => kvs.sort_by(|a, b| by_target(b, a)),
        SortOrder::None | SortOrder::Ascend => kvs.sort_by(by_target),
    }
}

pub(super) fn put(writer: &mut Writer<'_>, request: &PutRequest) -> Result<PutResponse, KvError> {
    let keeps = request.ignore_value || request.ignore_lease;
    let previous =
        if keeps || request.prev_kv { writer.mvcc().get(&request.key, writer.current()) } else { None };
    let value = match &previous {
        None if keeps => return Err(KvError::KeyNotFound),
        Some(previous) if request.ignore_value => previous.value.clone(),
        _ => own(&request.value),
    };
    writer.put(&request.key, value);
    Ok(PutResponse { revision: writer.current(), prev_kv: previous.filter(|_| request.prev_kv) })
}

pub(super) fn delete_range(writer: &mut Writer<'_>, request: &DeleteRangeRequest) -> DeleteRangeResponse {
    let interval = Interval::new(&request.key, &request.range_end);
    let current = writer.current();
    let prev_kvs = if request.prev_kv {
        writer.mvcc().scan(interval, current).filter_map(|history| history.at(current)).collect()
    } else {
        Vec::new()
    };
    let deleted = writer.delete(interval);
    DeleteRangeResponse { revision: writer.current(), deleted, prev_kvs }
}

pub(super) fn compact(mvcc: &mut Mvcc, request: CompactionRequest) -> Result<Response, KvError> {
    mvcc.compact(request.revision)?;
    Ok(Response::Compact(CompactionResponse { revision: mvcc.revision }))
}

/// Whether a property that compares so to its target is in the given relation to it.
pub(super) fn holds(result: CompareResult, ordering: Ordering) -> bool {
    match result {
        CompareResult::Equal => ordering.is_eq(),
        CompareResult::NotEqual => ordering.is_ne(),
        CompareResult::Greater => ordering.is_gt(),
        CompareResult::Less => ordering.is_lt(),
    }
}
