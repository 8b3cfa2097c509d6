//! Tests of the store as a whole.

mod codec;
mod etcd;
mod generate;
mod model;
mod requests;
mod sessions;
mod size;
mod snapshots;

use bytes::Bytes;

use super::{DeleteRangeRequest, Op, PutRequest, RangeRequest, Store};

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..PutRequest::default() }
}

fn get(key: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), ..RangeRequest::default() }
}

fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(range_end), prev_kv: false }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A store with the given keys, written one after the other.
fn store_with(keys: &[(&str, &str)]) -> Store {
    let mut store = Store::new();
    for (key, value) in keys {
        store.execute(&Op::Put(put(key, value))).unwrap();
    }
    store
}
