use super::*;
use crate::cli::Exit;
use crate::kv::{CompareResult, CompareTarget, TxnOp};

fn prefix(key: &'static [u8]) -> (Vec<u8>, Vec<u8>) {
    let (key, end) = span(Bytes::from_static(key), true);
    (key.to_vec(), end.to_vec())
}

/// As etcd's own tools do it: a prefix of nothing is everything, and one that cannot grow has no end.
#[test]
fn a_prefix_is_the_range_up_to_the_next_key_that_does_not_begin_with_it() {
    assert_eq!(prefix(b"ab"), (b"ab".to_vec(), b"ac".to_vec()));
    assert_eq!(prefix(b"a\xff\xff"), (b"a\xff\xff".to_vec(), b"b".to_vec()));
    assert_eq!(prefix(b"\xff"), (b"\xff".to_vec(), b"\0".to_vec()));
    assert_eq!(prefix(b""), (b"\0".to_vec(), b"\0".to_vec()));
}

#[test]
fn a_transaction_is_read_from_its_text_form() {
    let text = "compare\n  version lock = 0 # free\n  value \"a key\" != \"x\\x00\\n\"\n\nthen\n  put lock me\n  \
                del old/ --prefix\nelse\n  get lock\n";
    let txn = txn_text::parse(text).unwrap();
    assert_eq!(txn.compare.len(), 2);
    assert_eq!(txn.compare[0].target, CompareTarget::Version(0));
    assert_eq!(txn.compare[1].key, "a key");
    assert_eq!(txn.compare[1].result, CompareResult::NotEqual);
    assert_eq!(txn.compare[1].target, CompareTarget::Value(Bytes::from_static(b"x\0\n")));
    let TxnOp::Put(put) = &txn.success[0] else { panic!("{:?}", txn.success) };
    assert_eq!((&put.key[..], &put.value[..]), (&b"lock"[..], &b"me"[..]));
    let TxnOp::DeleteRange(delete) = &txn.success[1] else { panic!("{:?}", txn.success) };
    assert_eq!((&delete.key[..], &delete.range_end[..]), (&b"old/"[..], &b"old0"[..]));
    assert!(matches!(&txn.failure[..], [TxnOp::Range(range)] if range.key == "lock"));
}

#[test]
fn a_mistake_in_a_transaction_is_told_with_its_line() {
    for (text, line, words) in [
        ("put a b\n", 1, "a section must come first"),
        ("then\n\n pt a b\n", 3, "\"pt\" is no operation"),
        ("compare\n version a ~ 1\nthen\n put a b\n", 2, "\"~\" is no relation"),
        ("compare\n version a = x\nthen\n put a b\n", 2, "\"x\" must be a number"),
        ("compare\n size a = 1\n", 2, "\"size\" cannot be compared"),
        ("then\n put \"a b\n", 2, "closing quote is missing"),
        ("then\n put \"a\"b c\n", 2, "a blank must follow"),
        ("then\n put \"\\x1\" b\n", 2, "two hexadecimal digits"),
        ("then\n put \"\\q\" b\n", 2, "is no escape"),
        ("then\n put a\n", 2, "a put is: put KEY VALUE"),
    ] {
        let error = txn_text::parse(text).unwrap_err();
        assert_eq!(error.exit, Exit::Usage, "{text:?}");
        assert!(error.message.contains(&format!("line {line}:")), "{text:?}: {}", error.message);
        assert!(error.message.contains(words), "{text:?}: {}", error.message);
    }
    assert!(txn_text::parse("compare\n version a = 1\n").unwrap_err().message.contains("does nothing"));
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    let refused = Error::Refused { message: "etcdserver: no leader".to_owned(), endpoint: "h:1".to_owned() };
    let refused = explain(refused);
    assert_eq!(refused.exit, Exit::Failed);
    assert_eq!(refused.message, "h:1 refused: etcdserver: no leader");
    assert!(refused.hint.is_some_and(|hint| hint.contains("more than half")));
    assert_eq!(explain(Error::Unknown { message: String::new() }).exit, Exit::Unknown);
    assert_eq!(explain(Error::Unreachable { message: String::new() }).exit, Exit::Unreachable);
}
