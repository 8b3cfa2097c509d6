//! Answers of the store, for people and as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::cli::{CliResult, Output};
use crate::kv::{DeleteRangeResponse, KeyValue, PutResponse, RangeResponse, TxnOpResponse, TxnResponse};

/// A write.
pub(super) fn put(out: &mut Output, put: &PutResponse) -> CliResult {
    if out.is_json() {
        return out.document(&json!({ "revision": put.revision }));
    }
    out.line("OK")
}

/// One key's value.
pub(super) fn one(out: &mut Output, kv: &KeyValue, revision: i64) -> CliResult {
    if out.is_json() {
        let mut document = kv_to_json(kv);
        document.insert("revision".to_owned(), revision.into());
        return out.document(&document);
    }
    out.raw(&[&kv.value, &b"\n"[..]].concat())
}

/// Keys and values that come by pages: lines as they come, or one document at the end.
pub(super) struct Listing<'a> {
    out: &'a mut Output,
    keys_only: bool,
    /// What came, for the document.
    all: Option<RangeResponse>,
}

impl<'a> Listing<'a> {
    pub(super) fn new(out: &'a mut Output, keys_only: bool) -> Self {
        Self { out, keys_only, all: None }
    }

    /// The next page.
    pub(super) fn add(&mut self, page: RangeResponse) -> CliResult {
        if !self.out.is_json() {
            let lines = if self.keys_only { keys(&page) } else { lines(&page) };
            return self.out.raw(&lines);
        }
        match &mut self.all {
            // Revision and count are those of the first page: it began where the range does.
            Some(all) => {
                all.kvs.extend(page.kvs);
                all.more = page.more;
            }
            None => self.all = Some(page),
        }
        Ok(())
    }

    /// There are no more.
    pub(super) fn finish(self) -> CliResult {
        let Some(all) = self.all else { return Ok(()) };
        let kv = |kv: &KeyValue| {
            let mut json = kv_to_json(kv);
            if self.keys_only {
                json.remove("value");
            }
            json.into()
        };
        let kvs: Vec<Value> = all.kvs.iter().map(kv).collect();
        let document = json!({ "revision": all.revision, "count": all.count, "more": all.more, "kvs": kvs });
        self.out.document(&document)
    }
}

/// How many keys there are.
pub(super) fn count(out: &mut Output, range: &RangeResponse) -> CliResult {
    if out.is_json() {
        return out.document(&json!({ "revision": range.revision, "count": range.count }));
    }
    out.line(&range.count.to_string())
}

/// A deletion.
pub(super) fn deleted(out: &mut Output, delete: &DeleteRangeResponse) -> CliResult {
    if out.is_json() {
        return out.document(&json!({ "revision": delete.revision, "deleted": delete.deleted }));
    }
    out.line(&delete.deleted.to_string())
}

/// A transaction: which branch was done, then what each of its operations answered.
pub(super) fn txn(out: &mut Output, txn: &TxnResponse) -> CliResult {
    if out.is_json() {
        let mut document = txn_to_json(txn);
        document.insert("revision".to_owned(), txn.revision.into());
        return out.document(&document);
    }
    out.line(branch(txn))?;
    txn.responses.iter().try_for_each(|response| match response {
        TxnOpResponse::Range(range) => out.raw(&lines(range)),
        TxnOpResponse::Put(_) => out.line("OK"),
        TxnOpResponse::DeleteRange(delete) => out.line(&delete.deleted.to_string()),
        TxnOpResponse::Txn(nested) => out.line(branch(nested)),
    })
}

fn branch(txn: &TxnResponse) -> &'static str {
    if txn.succeeded { "then" } else { "else" }
}

fn lines(range: &RangeResponse) -> Vec<u8> {
    range.kvs.iter().flat_map(|kv| [&kv.key, &b" "[..], &kv.value, b"\n"]).flatten().copied().collect()
}

fn keys(range: &RangeResponse) -> Vec<u8> {
    range.kvs.iter().flat_map(|kv| [&kv.key, &b"\n"[..]]).flatten().copied().collect()
}

fn kv_to_json(kv: &KeyValue) -> Map<String, Value> {
    let (key, value) = (bytes_to_json("key", &kv.key), bytes_to_json("value", &kv.value));
    let counters =
        [("create_revision", kv.create_revision), ("mod_revision", kv.mod_revision), ("version", kv.version)];
    let counters = counters.into_iter().map(|(name, number)| (name.to_owned(), number.into()));
    [key, value].into_iter().chain(counters).collect()
}

/// Text under its name; bytes that are no text in base64, under the name with `_base64` behind it.
fn bytes_to_json(name: &str, bytes: &[u8]) -> (String, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), text.into()),
        Err(_) => (format!("{name}_base64"), STANDARD.encode(bytes).into()),
    }
}

fn range_to_json(range: &RangeResponse) -> Value {
    let kvs: Vec<Value> = range.kvs.iter().map(|kv| kv_to_json(kv).into()).collect();
    json!({ "revision": range.revision, "count": range.count, "kvs": kvs })
}

fn txn_to_json(txn: &TxnResponse) -> Map<String, Value> {
    let responses = txn.responses.iter().map(|response| match response {
        TxnOpResponse::Range(range) => json!({ "get": range_to_json(range) }),
        TxnOpResponse::Put(put) => json!({ "put": { "revision": put.revision } }),
        TxnOpResponse::DeleteRange(delete) => {
            json!({ "del": { "revision": delete.revision, "deleted": delete.deleted } })
        }
        TxnOpResponse::Txn(nested) => json!({ "txn": txn_to_json(nested) }),
    });
    let responses: Vec<Value> = responses.collect();
    [("succeeded".to_owned(), txn.succeeded.into()), ("responses".to_owned(), responses.into())]
        .into_iter()
        .collect()
}
