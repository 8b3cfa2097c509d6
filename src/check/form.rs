//! The JSON forms of operations and replies: the store's own types field for field, without what has its default
//! value. `docs/history-format.md` describes them.
//!
//! The structs here are never made: they tell serde how types of [`crate::kv`], which know nothing of JSON, are
//! written and read. The compiler holds the two lists of fields together.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kv;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Bytes: a JSON string if they are UTF-8, else `{"hex": "ff00"}`. One value has one form.
mod text {
    use super::{Bytes, Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Hex {
        hex: String,
    }

    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a string, or {\"hex\": \"…\"}")]
    enum Form {
        Text(String),
        Hex(Hex),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return serializer.serialize_str(text);
        }
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
        Hex { hex }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Bytes::from(text.into_bytes())),
            Form::Hex(Hex { hex }) => unhex(&hex).ok_or_else(|| {
                serde::de::Error::custom(format!("`{hex}` is not a list of hexadecimal bytes"))
            }),
        }
    }

    fn unhex(hex: &str) -> Option<Bytes> {
        let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
        Some(digits.chunks(2).map(|pair| ((pair[0] << 4) | pair[1]) as u8).collect())
    }
}

/// Lists and options of a type that is written by one of the forms below.
macro_rules! many {
    ($module:ident, $form:ident, $real:ty) => {
        mod $module {
            use super::{Deserialize, Deserializer, Serialize, Serializer, kv, $form};

            struct Borrowed<'a>(&'a $real);

            impl Serialize for Borrowed<'_> {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    $form::serialize(self.0, serializer)
                }
            }

            struct Owned($real);

            impl<'de> Deserialize<'de> for Owned {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    $form::deserialize(deserializer).map(Self)
                }
            }

            pub(super) fn serialize<'a, S, I>(items: I, serializer: S) -> Result<S::Ok, S::Error>
            where
                S: Serializer,
                I: IntoIterator<Item = &'a $real>,
            {
                serializer.collect_seq(items.into_iter().map(Borrowed))
            }

            pub(super) fn deserialize<'de, D, C>(deserializer: D) -> Result<C, D::Error>
            where
                D: Deserializer<'de>,
                C: FromIterator<$real>,
            {
                Ok(Vec::<Owned>::deserialize(deserializer)?.into_iter().map(|owned| owned.0).collect())
            }
        }
    };
}

many!(key_values, KeyValueForm, kv::KeyValue);
many!(compares, CompareForm, kv::Compare);
many!(txn_ops, TxnOpForm, kv::TxnOp);
many!(txn_op_responses, TxnOpResponseForm, kv::TxnOpResponse);

/// A key-value pair that may be missing.
mod key_value {
    use super::{Deserialize, Deserializer, KeyValueForm, Serializer, kv};

    #[expect(clippy::ref_option, reason = "serde asks for a function of a reference")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<kv::KeyValue>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => KeyValueForm::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<kv::KeyValue>, D::Error> {
        #[derive(Deserialize)]
        struct Owned(#[serde(with = "KeyValueForm")] kv::KeyValue);
        Ok(Option::<Owned>::deserialize(deserializer)?.map(|owned| owned.0))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::SessionTag", deny_unknown_fields)]
pub(super) struct SessionTagForm {
    session: u64,
    sequence: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::Op", rename_all = "kebab-case")]
pub(super) enum OpForm {
    Range(#[serde(with = "RangeRequestForm")] kv::RangeRequest),
    Put(#[serde(with = "PutRequestForm")] kv::PutRequest),
    DeleteRange(#[serde(with = "DeleteRangeRequestForm")] kv::DeleteRangeRequest),
    Txn(#[serde(with = "TxnRequestForm")] kv::TxnRequest),
    Compact(#[serde(with = "CompactionRequestForm")] kv::CompactionRequest),
    OpenSession,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::RangeRequest", deny_unknown_fields)]
struct RangeRequestForm {
    #[serde(default, with = "text", skip_serializing_if = "Bytes::is_empty")]
    key: Bytes,
    #[serde(default, with = "text", skip_serializing_if = "Bytes::is_empty")]
    range_end: Bytes,
    #[serde(default, skip_serializing_if = "is_default")]
    limit: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    revision: i64,
    #[serde(default, with = "SortOrderForm", skip_serializing_if = "is_default")]
    sort_order: kv::SortOrder,
    #[serde(default, with = "SortTargetForm", skip_serializing_if = "is_default")]
    sort_target: kv::SortTarget,
    #[serde(default, skip_serializing_if = "is_default")]
    keys_only: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    count_only: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    min_mod_revision: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    max_mod_revision: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    min_create_revision: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    max_create_revision: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::SortOrder", rename_all = "kebab-case")]
enum SortOrderForm {
    None,
    Ascend,
    Descend,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::SortTarget", rename_all = "kebab-case")]
enum SortTargetForm {
    Key,
    Version,
    Create,
    Mod,
    Value,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::PutRequest", deny_unknown_fields)]
struct PutRequestForm {
    #[serde(default, with = "text", skip_serializing_if = "Bytes::is_empty")]
    key: Bytes,
    #[serde(default, with = "text", skip_serializing_if = "Bytes::is_empty")]
    value: Bytes,
    #[serde(default, skip_serializing_if = "is_default")]
    prev_kv: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    ignore_value: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    ignore_lease: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::DeleteRangeRequest", deny_unknown_fields)]
struct DeleteRangeRequestForm {
    #[serde(default, with = "text", skip_serializing_if = "Bytes::is_empty")]
    key: Bytes,
    #[serde(default, with = "text", skip_serializing_if = "Bytes::is_empty")]
    range_end: Bytes,
    #[serde(default, skip_serializing_if = "is_default")]
    prev_kv: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::TxnRequest", deny_unknown_fields)]
struct TxnRequestForm {
    #[serde(default, with = "compares", skip_serializing_if = "Vec::is_empty")]
    compare: Vec<kv::Compare>,
    #[serde(default, with = "txn_ops", skip_serializing_if = "Vec::is_empty")]
    success: Vec<kv::TxnOp>,
    #[serde(default, with = "txn_ops", skip_serializing_if = "Vec::is_empty")]
    failure: Vec<kv::TxnOp>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::TxnOp", rename_all = "kebab-case")]
enum TxnOpForm {
    Range(#[serde(with = "RangeRequestForm")] kv::RangeRequest),
    Put(#[serde(with = "PutRequestForm")] kv::PutRequest),
    DeleteRange(#[serde(with = "DeleteRangeRequestForm")] kv::DeleteRangeRequest),
    Txn(#[serde(with = "TxnRequestForm")] kv::TxnRequest),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::Compare", deny_unknown_fields)]
struct CompareForm {
    #[serde(default, with = "text", skip_serializing_if = "Bytes::is_empty")]
    key: Bytes,
    #[serde(default, with = "text", skip_serializing_if = "Bytes::is_empty")]
    range_end: Bytes,
    #[serde(with = "CompareResultForm")]
    result: kv::CompareResult,
    #[serde(with = "CompareTargetForm")]
    target: kv::CompareTarget,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::CompareResult", rename_all = "kebab-case")]
enum CompareResultForm {
    Equal,
    Greater,
    Less,
    NotEqual,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::CompareTarget", rename_all = "kebab-case")]
enum CompareTargetForm {
    Version(i64),
    Create(i64),
    Mod(i64),
    Value(#[serde(with = "text")] Bytes),
    Lease(i64),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::CompactionRequest", deny_unknown_fields)]
struct CompactionRequestForm {
    #[serde(default, skip_serializing_if = "is_default")]
    revision: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::Response", rename_all = "kebab-case")]
pub(super) enum ResponseForm {
    Range(#[serde(with = "RangeResponseForm")] kv::RangeResponse),
    Put(#[serde(with = "PutResponseForm")] kv::PutResponse),
    DeleteRange(#[serde(with = "DeleteRangeResponseForm")] kv::DeleteRangeResponse),
    Txn(#[serde(with = "TxnResponseForm")] kv::TxnResponse),
    Compact(#[serde(with = "CompactionResponseForm")] kv::CompactionResponse),
    OpenSession(#[serde(with = "OpenSessionResponseForm")] kv::OpenSessionResponse),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::KeyValue", deny_unknown_fields)]
struct KeyValueForm {
    #[serde(default, with = "text", skip_serializing_if = "Bytes::is_empty")]
    key: Bytes,
    #[serde(default, with = "text", skip_serializing_if = "Bytes::is_empty")]
    value: Bytes,
    #[serde(default, rename = "create", skip_serializing_if = "is_default")]
    create_revision: i64,
    #[serde(default, rename = "mod", skip_serializing_if = "is_default")]
    mod_revision: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    version: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::RangeResponse", deny_unknown_fields)]
struct RangeResponseForm {
    #[serde(default, skip_serializing_if = "is_default")]
    revision: i64,
    #[serde(default, with = "key_values", skip_serializing_if = "Vec::is_empty")]
    kvs: Vec<kv::KeyValue>,
    #[serde(default, skip_serializing_if = "is_default")]
    more: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    count: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::PutResponse", deny_unknown_fields)]
struct PutResponseForm {
    #[serde(default, skip_serializing_if = "is_default")]
    revision: i64,
    #[serde(default, with = "key_value", skip_serializing_if = "Option::is_none")]
    prev_kv: Option<kv::KeyValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::DeleteRangeResponse", deny_unknown_fields)]
struct DeleteRangeResponseForm {
    #[serde(default, skip_serializing_if = "is_default")]
    revision: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    deleted: i64,
    #[serde(default, with = "key_values", skip_serializing_if = "Vec::is_empty")]
    prev_kvs: Vec<kv::KeyValue>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::TxnResponse", deny_unknown_fields)]
struct TxnResponseForm {
    #[serde(default, skip_serializing_if = "is_default")]
    revision: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    succeeded: bool,
    #[serde(default, with = "txn_op_responses", skip_serializing_if = "Vec::is_empty")]
    responses: Vec<kv::TxnOpResponse>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::TxnOpResponse", rename_all = "kebab-case")]
enum TxnOpResponseForm {
    Range(#[serde(with = "RangeResponseForm")] kv::RangeResponse),
    Put(#[serde(with = "PutResponseForm")] kv::PutResponse),
    DeleteRange(#[serde(with = "DeleteRangeResponseForm")] kv::DeleteRangeResponse),
    Txn(#[serde(with = "TxnResponseForm")] kv::TxnResponse),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::CompactionResponse", deny_unknown_fields)]
struct CompactionResponseForm {
    #[serde(default, skip_serializing_if = "is_default")]
    revision: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::OpenSessionResponse", deny_unknown_fields)]
struct OpenSessionResponseForm {
    #[serde(default, skip_serializing_if = "is_default")]
    revision: i64,
    #[serde(default, skip_serializing_if = "is_default")]
    session: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "kv::KvError", rename_all = "kebab-case")]
pub(super) enum KvErrorForm {
    EmptyKey,
    KeyNotFound,
    ValueProvided,
    TooManyOps,
    DuplicateKey,
    Compacted,
    FutureRevision,
    ResultTooLarge,
    Malformed,
    SessionExpired,
    SessionReplyLost,
    SessionSequenceTooOld,
}
