//! [`Answer`]: what each call takes out of the store's reply.

use crate::kv::{CompactionResponse, DeleteRangeResponse, PutResponse, RangeResponse, Response, TxnResponse};

/// The answer to one kind of call.
pub(in crate::client) trait Answer: Sized {
    /// The answer, if the store's is of this kind.
    fn of(response: Response) -> Option<Self>;
}

macro_rules! answers {
    ($($kind:ident => $answer:ty),* $(,)?) => {$(
        impl Answer for $answer {
            fn of(response: Response) -> Option<Self> {
                match response {
                    Response::$kind(answer) => Some(answer),
                    _ => None,
                }
            }
        }
    )*};
}

answers! {
    Range => RangeResponse,
    Put => PutResponse,
    DeleteRange => DeleteRangeResponse,
    Txn => TxnResponse,
    Compact => CompactionResponse,
}
