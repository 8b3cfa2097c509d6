//! `kv get --prefix`: keys of any number and size, page by page, all as of one revision.

use bytes::{BufMut, Bytes, BytesMut};

use crate::cli::CliResult;
use crate::client::Error;
use crate::kv::{KvError, RangeRequest, RangeResponse};

/// Keys in the first page, and in one whose values turned out larger than those before: so few fit into one result even if
/// each has the size of the largest request.
const FEW: i64 = 32;

/// Keys in a page at most.
const MANY: i64 = 10_000;

/// About how many bytes a page is to have.
const PAGE_BYTES: usize = 1 << 20;

/// Reads a range and hands it on by pages, in the order of keys. A limit of the range is one for all pages together.
pub(super) async fn each_page(
    mut range: RangeRequest,
    get: impl AsyncFn(RangeRequest) -> Result<RangeResponse, Error>,
    mut take: impl FnMut(RangeResponse) -> CliResult,
) -> Result<CliResult, Error> {
    let mut left = if range.limit > 0 { range.limit } else { i64::MAX };
    let mut size = FEW;
    loop {
        range.limit = size.min(left);
        let found = match get(range.clone()).await {
            Err(error) if size > FEW && is_too_large(&error) => {
                size = FEW;
                continue;
            }
            found => found?,
        };
        left -= found.kvs.len() as i64;
        let rest = found.kvs.last().filter(|_| found.more && left > 0).map(|last| behind(&last.key));
        if range.revision == 0 {
            range.revision = found.revision;
        }
        size = next_size(&found);
        if let Err(error) = take(found) {
            return Ok(Err(error));
        }
        let Some(rest) = rest else { return Ok(Ok(())) };
        range.key = rest;
    }
}

fn is_too_large(error: &Error) -> bool {
    matches!(error, Error::Refused { message, .. }
        if KvError::from_text(message) == Some(KvError::ResultTooLarge))
}

/// The first key behind this one.
fn behind(key: &[u8]) -> Bytes {
    let mut next = BytesMut::from(key);
    next.put_u8(0);
    next.freeze()
}

/// How many keys the next page should have, if they are as large as those of the last.
fn next_size(found: &RangeResponse) -> i64 {
    let bytes: usize = found.kvs.iter().map(|kv| kv.key.len() + kv.value.len() + 1).sum();
    let fit = found.kvs.len() * PAGE_BYTES / bytes.max(1);
    (fit as i64).clamp(FEW, MANY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{KeyValue, Op, PutRequest, Store};

    fn page(keys: usize, bytes: usize) -> RangeResponse {
        let value = Bytes::from(vec![0; bytes]);
        let kv = KeyValue { key: "k".into(), value, ..KeyValue::default() };
        RangeResponse { kvs: vec![kv; keys], ..RangeResponse::default() }
    }

    #[test]
    fn the_next_page_is_as_large_as_the_last_one_lets_hope() {
        assert_eq!(next_size(&page(32, 1022)), 1024);
        assert_eq!(next_size(&page(32, 0)), MANY);
        assert_eq!(next_size(&page(32, 1 << 20)), FEW);
        assert_eq!(next_size(&page(0, 0)), FEW);
    }

    #[tokio::test]
    async fn all_keys_come_in_order_as_of_one_revision_however_large_they_are() {
        let mut store = Store::new();
        let key = |number: usize| format!("k{number:04}");
        for number in 0..150 {
            // Small ones let the pages grow; then come some of which a grown page is too large for a result.
            let bytes = if (60..110).contains(&number) { 1_400_000 } else { 1 };
            let value = vec![b'v'; bytes].into();
            let put = PutRequest { key: key(number).into(), value, ..Default::default() };
            store.execute(&Op::Put(put)).unwrap();
        }
        let get = async |range: RangeRequest| {
            let refused =
                |error: KvError| Error::Refused { message: error.to_string(), endpoint: "h:1".to_owned() };
            store.range(&range).map_err(refused)
        };
        for limit in [0, 40, 149, 150] {
            let (mut keys, mut pages) = (Vec::new(), 0);
            let range =
                RangeRequest { key: "k".into(), range_end: "l".into(), limit, ..RangeRequest::default() };
            let took = each_page(range, get, |found| {
                pages += 1;
                keys.extend(found.kvs.into_iter().map(|kv| String::from_utf8(kv.key.to_vec()).unwrap()));
                Ok(())
            });
            took.await.unwrap().unwrap();
            let expected = if limit == 0 { 150 } else { limit as usize };
            assert_eq!(keys, (0..expected).map(key).collect::<Vec<_>>());
            assert!(pages > 1);
        }
    }
}
