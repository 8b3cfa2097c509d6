use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use clap::Parser;

use super::*;
use crate::api::tests::start;
use crate::cli::{Exit, Format};
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
fn a_transaction_from_another_systems_editor_is_the_same_transaction() {
    let plain = "compare\n version lock = 0\nthen\n put lock me\nelse\n get lock\n";
    let windows = format!("\u{feff}{}", plain.replace('\n', "\r\n"));
    let wanted = txn_text::parse(plain).unwrap();
    assert_eq!(txn_text::parse(&windows).unwrap(), wanted);
    assert_eq!(txn_text::parse(windows.trim_end_matches('\n')).unwrap(), wanted);
}

#[test]
fn a_value_is_a_word_or_a_file_or_standard_input() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("value");
    std::fs::write(&file, b"from a file\n\xff").unwrap();
    let at_file = format!("@{}", file.display());
    let read =
        |word: Option<&str>| value_of(word.map(OsString::from), &b"typed\n"[..]).map(|value| value.to_vec());
    assert_eq!(read(Some("a word")).unwrap(), b"a word");
    assert_eq!(read(Some("@@handle")).unwrap(), b"@handle");
    assert_eq!(read(Some(&at_file)).unwrap(), b"from a file\n\xff");
    assert_eq!(read(Some("@-")).unwrap(), b"typed\n");
    assert_eq!(read(None).unwrap(), b"typed\n");
    let error = read(Some("@/no/such/file")).unwrap_err();
    assert_eq!(
        error.message,
        "cannot read the value from /no/such/file: No such file or directory (os error 2)"
    );
    assert_eq!(error.exit, Exit::Usage);
    let endless = value_of(None, io::repeat(b'x')).unwrap_err();
    assert_eq!(endless.message, "standard input has more than 8 MiB, and a request may have 1.5 MiB");
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

#[test]
fn a_full_disk_is_what_helps_is_about_and_not_who_reaches_whom() {
    let reasons = ["node 1: the disk is full".to_owned(), format!("node 2: {WELL}")];
    for error in [Error::Unreachable { message: String::new() }, Error::Unknown { message: String::new() }] {
        let hint = with_reasons(explain(error), &reasons).hint.unwrap();
        assert!(hint.starts_with(ROOM) && !hint.contains("reach"), "{hint}");
    }
    let silent =
        with_reasons(explain(Error::Unreachable { message: String::new() }), &["node 1: paused".to_owned()]);
    assert_eq!(silent.hint.as_deref(), Some(QUORUM));
}

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    kv: KvArgs,
}

/// A writer whose content the test can read afterwards.
#[derive(Clone, Default)]
struct Facts(Arc<Mutex<Vec<u8>>>);

impl Write for Facts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a command prints as facts.
async fn kv(endpoint: &str, format: Format, args: &[&str]) -> Result<String, CliError> {
    let facts = Facts::default();
    let mut out = Output::to(format, Box::new(facts.clone()), Box::new(io::sink()));
    let line = CommandLine::try_parse_from([&["kv"], args].concat()).unwrap();
    line.kv.run(&Door::to_any_node(vec![endpoint.to_owned()]), &mut out).await?;
    let facts = facts.0.lock().unwrap().clone();
    Ok(String::from_utf8(facts).unwrap())
}

#[tokio::test]
async fn keys_are_written_read_and_deleted() {
    let node = start(false).await;
    let table = async |args: &[&str]| kv(&node.address, Format::Table, args).await;
    assert_eq!(table(&["put", "u/1", "ann"]).await.unwrap(), "OK\n");
    assert_eq!(table(&["put", "u/2", "a b"]).await.unwrap(), "OK\n");
    assert_eq!(table(&["put", "offset", "--", "-3"]).await.unwrap(), "OK\n");
    assert_eq!(table(&["get", "u/1"]).await.unwrap(), "ann\n");
    assert_eq!(table(&["get", "offset", "--serializable"]).await.unwrap(), "-3\n");
    assert_eq!(table(&["get", "--prefix", "u/"]).await.unwrap(), "u/1 ann\nu/2 a b\n");
    assert_eq!(table(&["get", "--prefix", "u/", "--revision", "2"]).await.unwrap(), "u/1 ann\n");
    assert_eq!(table(&["get", "--prefix", "none"]).await.unwrap(), "");
    assert_eq!(table(&["get", "--prefix", "u/", "--keys-only"]).await.unwrap(), "u/1\nu/2\n");
    assert_eq!(table(&["get", "--prefix", "u/", "--limit", "1"]).await.unwrap(), "u/1 ann\n");
    for count in ["--count-only", "--count"] {
        assert_eq!(table(&["get", "--prefix", "", count]).await.unwrap(), "3\n");
    }
    assert_eq!(table(&["del", "--prefix", "u/"]).await.unwrap(), "2\n");
    let missing = table(&["get", "u/1"]).await.unwrap_err();
    assert_eq!((missing.exit, &*missing.message), (Exit::Failed, "key not found: \"u/1\""));
    let refused = table(&["get", "offset", "--revision", "99"]).await.unwrap_err();
    assert_eq!(refused.exit, Exit::Failed);
    assert!(refused.message.contains("required revision is a future revision"), "{refused}");
}

#[tokio::test]
async fn json_holds_text_as_text_and_other_bytes_in_base64() {
    let node = start(false).await;
    let client = Client::connect(&[&node.address], Options::default()).await.unwrap();
    let value = Bytes::from_static(b"\xff\x00");
    client.put(PutRequest { key: "k".into(), value, ..Default::default() }).await.unwrap();
    let json = async |args: &[&str]| {
        let facts = kv(&node.address, Format::Json, args).await.unwrap();
        serde_json::from_str::<serde_json::Value>(&facts).unwrap()
    };
    let expected = serde_json::json!({
        "key": "k", "value_base64": "/wA=", "create_revision": 2, "mod_revision": 2, "version": 1, "revision": 2,
    });
    assert_eq!(json(&["get", "k"]).await, expected);
    assert_eq!(json(&["put", "k", "x"]).await, serde_json::json!({ "revision": 3 }));
    assert_eq!(json(&["get", "--prefix", ""]).await["kvs"][0]["value"], "x");
    assert_eq!(
        json(&["get", "--prefix", "", "--keys-only"]).await,
        serde_json::json!({
            "revision": 3, "count": 1, "more": false,
            "kvs": [{ "key": "k", "create_revision": 2, "mod_revision": 3, "version": 2 }],
        })
    );
    assert_eq!(
        json(&["get", "--prefix", "", "--count-only"]).await,
        serde_json::json!({ "revision": 3, "count": 1 })
    );
    assert_eq!(json(&["del", "k"]).await, serde_json::json!({ "revision": 4, "deleted": 1 }));
}

#[tokio::test]
async fn a_transaction_prints_its_section_and_its_answers() {
    let node = start(false).await;
    let client = Client::connect(&[&node.address], Options::default()).await.unwrap();
    let text = "compare\n version lock = 0\nthen\n put lock me\n get lock\n del none\nelse\n get lock\n";
    for expected in ["then\nOK\nlock me\n0\n", "else\nlock me\n"] {
        let facts = Facts::default();
        let mut out = Output::to(Format::Table, Box::new(facts.clone()), Box::new(io::sink()));
        print::txn(&mut out, &client.txn(txn_text::parse(text).unwrap()).await.unwrap()).unwrap();
        assert_eq!(*facts.0.lock().unwrap(), expected.as_bytes());
    }
}

#[tokio::test]
async fn a_cluster_that_is_away_and_a_wrong_address_have_their_exit_codes() {
    let away = kv("127.0.0.1:1", Format::Table, &["put", "a", "1", "--timeout", "200ms"]).await.unwrap_err();
    assert_eq!(away.exit, Exit::Unreachable, "{away}");
    let wrong = kv("127.0.0.1", Format::Table, &["put", "a", "1"]).await.unwrap_err();
    assert_eq!(wrong.exit, Exit::Usage, "{wrong}");
}
