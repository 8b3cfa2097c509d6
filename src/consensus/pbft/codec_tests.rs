//! The codec: round trips, and arbitrary bytes.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::consensus::Message as _;
use crate::consensus::pbft::samples::message;

proptest! {
    #[test]
    fn messages_come_back_as_they_were(message in message()) {
        prop_assert!(Message::KINDS.contains(&message.kind()), "{} is not among the kinds", message.kind());
        prop_assert_eq!(Message::from_bytes(message.to_bytes()), Ok(message));
    }

    #[test]
    fn arbitrary_bytes_give_a_value_of_that_very_encoding_or_an_error(
        tag in 0u8..16,
        rest in vec(prop_oneof![Just(0u8), 0u8..3, any::<u8>()], 0..400),
    ) {
        let bytes = Bytes::from([vec![tag], rest].concat());
        if let Ok(message) = Message::from_bytes(bytes.clone()) {
            prop_assert_eq!(message.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_damaged_message_is_another_one_or_an_error(
        message in message(),
        at in any::<prop::sample::Index>(),
        by in 1u8..=255,
    ) {
        let mut bytes = message.to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        let bytes = Bytes::from(bytes);
        if let Ok(other) = Message::from_bytes(bytes.clone()) {
            prop_assert_ne!(&other, &message);
            prop_assert_eq!(other.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_shortened_message_is_an_error(message in message(), cut in any::<prop::sample::Index>()) {
        let bytes = message.to_bytes();
        prop_assert!(Message::from_bytes(bytes.slice(..cut.index(bytes.len()))).is_err());
    }
}

/// A list that claims to be long reserves nothing for what is not there.
#[test]
fn a_huge_count_is_an_error() {
    let mut bytes = vec![STABLE];
    bytes.extend(u32::MAX.to_le_bytes());
    assert!(matches!(Message::from_bytes(bytes.into()), Err(DecodeError::Truncated(_))));
}
