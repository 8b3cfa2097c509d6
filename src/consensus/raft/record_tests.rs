//! The codec: round trips, and arbitrary bytes.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn entries() -> impl Strategy<Value = Entry> {
    let command = (any::<(u64, u64, u64, u64)>(), proptest::collection::vec(any::<u8>(), 0..100));
    (any::<u64>(), any::<u64>(), proptest::option::of(command)).prop_map(|(index, term, command)| {
        let payload = command.map_or(Payload::Noop, |((origin, incarnation, counter, time), bytes)| {
            let id = RequestId { origin: NodeId(origin), incarnation, counter };
            Payload::Command(Proposal { id, time: WallTime(time), command: bytes.into() })
        });
        Entry { index: Index(index), term: Epoch(term), payload }
    })
}

fn records() -> impl Strategy<Value = Record> {
    prop_oneof![
        (any::<u64>(), proptest::option::of(any::<u64>()))
            .prop_map(|(term, vote)| Record::HardState { term: Epoch(term), voted_for: vote.map(NodeId) }),
        entries().prop_map(Record::Entry),
        any::<(u64, u64)>()
            .prop_map(|(index, term)| Record::Reset { index: Index(index), term: Epoch(term) }),
    ]
}

proptest! {
    #[test]
    fn records_come_back_as_they_were(record in records()) {
        prop_assert_eq!(Record::from_bytes(record.to_bytes()), Ok(record));
    }

    #[test]
    fn arbitrary_bytes_give_a_value_of_that_very_encoding_or_an_error(
        bytes in proptest::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..80),
    ) {
        let bytes = Bytes::from(bytes);
        if let Ok(record) = Record::from_bytes(bytes.clone()) {
            prop_assert_eq!(record.to_bytes(), bytes.clone());
        }
        if let Ok(entry) = Entry::from_bytes(bytes.clone()) {
            prop_assert_eq!(entry.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_shortened_record_is_an_error(record in records(), cut in any::<proptest::sample::Index>()) {
        let bytes = record.to_bytes();
        prop_assert!(Record::from_bytes(bytes.slice(..cut.index(bytes.len()))).is_err());
    }
}
