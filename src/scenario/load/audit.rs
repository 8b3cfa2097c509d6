//! What must hold at the end, checked without the checker.

use bytes::Bytes;

use super::Caller;
use super::clients::{COUNTER, LEDGER_PREFIX, TALLY};
use super::journal::Book;
use crate::client::Consistency;
use crate::kv::{KeyValue, RangeRequest};
use crate::scenario::{Failure, Told};

/// Reads the whole store once, and compares it with what clients were told.
pub async fn audit(caller: &Caller) -> Told {
    // From the lowest key on, without an end.
    let zero = Bytes::from_static(b"\0");
    let all = RangeRequest { key: zero.clone(), range_end: zero, ..RangeRequest::default() };
    let found = caller
        .get(all, Consistency::Linearizable)
        .await
        .map_err(|error| Failure::new("the whole store can be read at the end", error.to_string()))?;
    compare(&caller.journal().book(), &found.kvs)
}

fn compare(book: &Book, store: &[KeyValue]) -> Told {
    let value = |key: &[u8]| store.iter().find(|kv| kv.key == key);
    for (key, row) in &book.rows {
        let found = value(key).map(|kv| &kv.value);
        if found != Some(row) {
            let what = found.map_or("it is not there".to_owned(), |found| found.escape_ascii().to_string());
            let key = key.escape_ascii();
            return Err(Failure::new(format!("the acknowledged write of {key} is there at the end"), what));
        }
    }
    let rows = store.iter().filter(|kv| kv.key.starts_with(LEDGER_PREFIX.as_bytes())).count() as i64;
    let tally = value(TALLY.as_bytes()).map_or(0, |kv| kv.version);
    if rows != tally {
        return Err(Failure::new(
            "each row of the ledger was written in one transaction with the tally, once",
            format!("{rows} rows, and {tally} writes of the tally"),
        ));
    }
    let counted = value(COUNTER.as_bytes()).and_then(|kv| number_in(&kv.value)).unwrap_or(0);
    let least = book.increments;
    let most = least + book.doubtful_increments;
    if !(least..=most).contains(&counted) {
        return Err(Failure::new(
            format!("the counter shows the {least} acknowledged increments, and at most {most}"),
            format!("{counted}"),
        ));
    }
    Ok(())
}

/// The number that a value spells.
pub(super) fn number_in(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &str, value: &str, version: i64) -> KeyValue {
        KeyValue {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            version,
            ..KeyValue::default()
        }
    }

    fn book() -> Book {
        let rows = [("ledger/1", "a"), ("ledger/2", "b")];
        let rows = rows.map(|(key, value)| (Bytes::from(key), Bytes::from(value))).into();
        Book { rows, increments: 3, doubtful_increments: 1, trouble: None }
    }

    fn store(counter: &str, tally: i64) -> Vec<KeyValue> {
        vec![
            kv("counter", counter, 3),
            kv("ledger/1", "a", 1),
            kv("ledger/2", "b", 1),
            kv("tally", "x", tally),
        ]
    }

    #[test]
    fn what_was_acknowledged_is_there_once() {
        compare(&book(), &store("3", 2)).unwrap();
        compare(&book(), &store("4", 2)).unwrap();
        // A row whose outcome is unknown may be there.
        let mut more = store("3", 3);
        more.push(kv("ledger/3", "c", 1));
        compare(&book(), &more).unwrap();
    }

    #[test]
    fn what_is_lost_or_doubled_is_named() {
        let found = |store: &[KeyValue]| compare(&book(), store).unwrap_err().to_string();
        let mut lost = store("3", 1);
        lost.remove(2);
        assert!(found(&lost).contains("ledger/2"));
        assert!(found(&store("3", 3)).contains("3 writes of the tally"));
        assert!(found(&store("2", 2)).contains("the 3 acknowledged increments"));
        assert!(found(&store("5", 2)).contains("at most 4"));
    }
}
