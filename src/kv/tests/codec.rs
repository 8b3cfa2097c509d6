//! The encodings of commands and replies.

use bytes::Bytes;
use proptest::prelude::*;

use super::{generate, put};
use crate::consensus::{Committed, Decode, Encode, Epoch, NodeId, Proposal, RequestId, WallTime};
use crate::kv::*;

fn command() -> impl Strategy<Value = Command> {
    let tag = (any::<u64>(), any::<u64>()).prop_map(|(session, sequence)| SessionTag { session, sequence });
    (proptest::option::of(tag), generate::op()).prop_map(|(session, op)| Command { session, op })
}

proptest! {
    #[test]
    fn commands_survive_their_encoding(command in command()) {
        prop_assert_eq!(Command::from_bytes(command.to_bytes()), Ok(command));
    }

    #[test]
    fn replies_survive_their_encoding(ops in generate::ops(20)) {
        let mut store = Store::new();
        for op in &ops {
            let reply = store.execute(op);
            prop_assert_eq!(Reply::from_bytes(reply.to_bytes()), Ok(reply));
        }
    }

    #[test]
    fn damaged_commands_are_executed_or_refused_and_never_panic(
        command in command(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = command.to_bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let cut = cut.index(bytes.len() + 1);
        for bytes in [bytes[..cut].to_vec(), bytes] {
            Reply::from_bytes(bytes.clone().into()).ok();
            if let Ok(command) = Command::from_bytes(bytes.clone().into()) {
                prop_assert_eq!(&command.to_bytes()[..], &bytes[..], "one command has one encoding");
            }
            let mut store = Store::new();
            let replies = store.apply(&slot(bytes.into()));
            prop_assert_eq!(replies.len(), 1);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        Reply::from_bytes(bytes.clone().into()).ok();
        prop_assert_eq!(Store::new().apply(&slot(bytes.into())).len(), 1);
    }
}

fn slot(command: Bytes) -> Committed {
    let id = RequestId { origin: NodeId(1), incarnation: 1, counter: 1 };
    let proposal = Proposal { id, time: WallTime::default(), command };
    Committed { index: crate::consensus::Index(1), epoch: Epoch(1), proposals: vec![proposal] }
}

fn nested(depth: usize) -> TxnRequest {
    let innermost = TxnRequest { success: vec![TxnOp::Put(put("k", "v"))], ..TxnRequest::default() };
    (1..depth)
        .fold(innermost, |inner, _| TxnRequest { success: vec![TxnOp::Txn(inner)], ..TxnRequest::default() })
}

#[test]
fn transactions_nest_as_deep_as_the_limit_and_no_deeper() {
    let op = Op::Txn(nested(MAX_TXN_DEPTH));
    assert_eq!(Op::from_bytes(op.to_bytes()).as_ref(), Ok(&op));
    assert_eq!(validate(&op, &Limits { max_txn_ops: 1000 }), Ok(()));
    let reply = Store::new().execute(&op);
    assert_eq!(Reply::from_bytes(reply.to_bytes()), Ok(reply));

    let deeper = Op::Txn(nested(MAX_TXN_DEPTH + 1));
    Op::from_bytes(deeper.to_bytes()).unwrap_err();
    assert_eq!(validate(&deeper, &Limits { max_txn_ops: 1000 }), Err(KvError::TooManyOps));
}
