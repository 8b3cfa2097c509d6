//! The same calls to etcd, to a node and to a gateway: every answer must be equal, codes and messages included, but for what
//! docs/clients.md lists.
//!
//! Calls are drawn from a seed, which a failure names. `BESIDE_ETCD_SEEDS=100 cargo test --test beside_etcd` draws more.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at what it did not expect, and says what it did"
)]

mod support;

/// etcd's API, as it was compiled from `protos/etcd`.
mod pb {
    #![allow(clippy::all, clippy::pedantic, missing_docs, unreachable_pub, dead_code, reason = "generated")]

    pub(crate) mod etcdserverpb {
        tonic::include_proto!("etcdserverpb");
    }

    pub(crate) mod mvccpb {
        tonic::include_proto!("mvccpb");
    }
}

use std::fmt::Debug;
use std::process::{Command, Stdio};

use bytes::Bytes;
use consensusctl::cluster::{FreePorts, free_ports};
use consensusctl::registry::PROTOCOLS;
use pb::etcdserverpb::compare::TargetUnion;
use pb::etcdserverpb::kv_client::KvClient;
use pb::etcdserverpb::range_request::SortTarget;
use pb::etcdserverpb::request_op::Request as Op;
use pb::etcdserverpb::response_op::Response as Done;
use pb::etcdserverpb::{
    CompactionRequest, CompactionResponse, Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader, TxnRequest, TxnResponse,
};
use pb::mvccpb::KeyValue;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::{GENEROUS, Gateway, Lab, Mode, Running};
use tonic::transport::{Channel, Endpoint};

/// How many calls are drawn from a seed.
const CALLS: usize = 600;

/// How deep transactions are nested here. Both refuse what is deeper than they allow, at different depths.
const DEPTH: usize = 3;

/// etcd, of Debian's package, with one member and no data.
struct Etcd {
    _process: Running,
    _data: tempfile::TempDir,
    _ports: FreePorts,
    address: String,
}

impl Etcd {
    /// `None`, and a word, where it is not installed.
    fn start() -> Option<Self> {
        if Command::new("etcd").arg("--version").output().is_err() {
            println!("skipped: etcd is not installed (Debian and Ubuntu: apt-get install etcd-server)");
            return None;
        }
        let (data, ports) = (tempfile::tempdir().unwrap(), free_ports(2).unwrap());
        let urls: Vec<String> = ports.ports().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let process = Command::new("etcd")
            .args(["--data-dir", data.path().to_str().unwrap(), "--name", "beside"])
            .args(["--listen-client-urls", &urls[0], "--advertise-client-urls", &urls[0]])
            .args(["--listen-peer-urls", &urls[1], "--initial-advertise-peer-urls", &urls[1]])
            .args(["--initial-cluster", &format!("beside={}", urls[1])])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = urls[0].trim_start_matches("http://").to_owned();
        Some(Self { _process: Running(process), _data: data, _ports: ports, address })
    }
}

/// A call.
#[derive(Clone, Debug)]
enum Call {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
}

/// An answer without what differs by nature: whose it is, and the term.
#[derive(Debug, PartialEq)]
enum Answer {
    Range(RangeResponse),
    Put(PutResponse),
    Delete(DeleteRangeResponse),
    Txn(TxnResponse),
    Compact(CompactionResponse),
    Refused(tonic::Code, String),
}

/// Draws calls. Keys and values are few, so that they meet.
struct Dice {
    rng: ChaCha8Rng,
    /// The store's revision.
    revision: i64,
}

impl Dice {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn below(&mut self, count: usize) -> usize {
        self.rng.random_range(0..count)
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn key(&mut self) -> Bytes {
        if self.chance(2) {
            return self
                .of(&[vec![], vec![0], vec![0xff], vec![0xff, 0xff], b"\xffa".to_vec(), vec![b'k'; 300]])
                .into();
        }
        let depth = 1 + self.below(3);
        (0..depth).map(|_| self.of(b"abc")).collect()
    }

    fn range_end(&mut self, key: &[u8]) -> Bytes {
        match self.below(8) {
            0..=2 => Bytes::new(),
            3 => Bytes::from_static(&[0]),
            4 => self.key(),
            // All that begins with the key, and a bit more.
            5 => [key, b"\xff"].concat().into(),
            6 => [key, b"\0"].concat().into(),
            _ => key
                .iter()
                .rev()
                .skip(1)
                .rev()
                .copied()
                .chain(key.last().map(|last| last.wrapping_add(1)))
                .collect(),
        }
    }

    fn value(&mut self) -> Bytes {
        let value = match self.below(200) {
            0 => vec![b'v'; 1 << 20],
            // Above the limit of a request.
            1 => vec![b'v'; (3 << 20) / 2],
            2 => vec![b'v'; (3 << 20) / 2 + 1024],
            3 => vec![0, 0xff, 0xc3],
            4..20 => Vec::new(),
            other => format!("{}", other % 5).into_bytes(),
        };
        value.into()
    }

    /// A revision: now, of late, long ago, never, not yet.
    fn some_revision(&mut self) -> i64 {
        match self.below(12) {
            0 => -1,
            1 => 1,
            2 => self.revision + 1,
            3 => self.revision + 1000,
            4 => self.revision,
            5 => i64::MAX,
            6 => i64::MIN,
            _ => self.rng.random_range(0..=self.revision),
        }
    }

    fn bound(&mut self) -> i64 {
        if self.chance(85) { 0 } else { self.some_revision() }
    }

    fn range(&mut self) -> RangeRequest {
        let key = self.key();
        RangeRequest {
            range_end: self.range_end(&key),
            key,
            limit: self.of(&[0, 0, 0, 1, 2, 5, 100, -1, i64::MAX]),
            revision: if self.chance(70) { 0 } else { self.some_revision() },
            sort_order: self.of(&[0, 0, 0, 1, 2]),
            sort_target: self.of(&[0, 0, 1, 2, 3, 4]),
            serializable: self.chance(20),
            keys_only: self.chance(15),
            count_only: self.chance(15),
            min_mod_revision: self.bound(),
            max_mod_revision: self.bound(),
            min_create_revision: self.bound(),
            max_create_revision: self.bound(),
        }
    }

    /// One whose answer has one order only.
    fn range_in_txn(&mut self) -> RangeRequest {
        RangeRequest { sort_target: SortTarget::Key.into(), ..self.range() }
    }

    fn put(&mut self) -> PutRequest {
        let ignore_value = self.chance(8);
        PutRequest {
            key: self.key(),
            value: if ignore_value && self.chance(80) { Bytes::new() } else { self.value() },
            lease: 0,
            prev_kv: self.chance(30),
            ignore_value,
            ignore_lease: self.chance(5),
        }
    }

    fn delete(&mut self) -> DeleteRangeRequest {
        let key = self.key();
        let range_end = if self.chance(60) { Bytes::new() } else { self.range_end(&key) };
        DeleteRangeRequest { key, range_end, prev_kv: self.chance(40) }
    }

    fn compare(&mut self) -> Compare {
        let key = self.key();
        let number = if self.chance(60) { self.rng.random_range(0..4) } else { self.some_revision() };
        let union = match self.below(6) {
            0 => Some(TargetUnion::Version(number)),
            1 => Some(TargetUnion::CreateRevision(number)),
            2 => Some(TargetUnion::ModRevision(number)),
            // Small ones: a gateway's reads have a limit, which etcd's have not.
            3 => Some(TargetUnion::Value(self.of(&["", "0", "1", "2", "3", "10"]).into())),
            4 => Some(TargetUnion::Lease(number)),
            _ => None,
        };
        let fitting = match &union {
            Some(TargetUnion::Version(_)) | None => 0,
            Some(TargetUnion::CreateRevision(_)) => 1,
            Some(TargetUnion::ModRevision(_)) => 2,
            Some(TargetUnion::Value(_)) => 3,
            Some(TargetUnion::Lease(_)) => 4,
        };
        Compare {
            result: self.of(&[0, 0, 1, 2, 3]),
            target: fitting,
            range_end: if self.chance(70) { Bytes::new() } else { self.range_end(&key) },
            key,
            target_union: union,
        }
    }

    fn ops(&mut self, depth: usize) -> Vec<RequestOp> {
        let most = if self.chance(1) { 140 } else { 4 };
        let count = self.below(most);
        (0..count).map(|_| RequestOp { request: Some(self.op(depth)) }).collect()
    }

    fn op(&mut self, depth: usize) -> Op {
        match self.below(20) {
            0..8 => Op::RequestRange(self.range_in_txn()),
            8..13 => Op::RequestPut(self.put()),
            13..16 => {
                let delete = self.delete();
                // etcd overlooks that all keys from one on are deleted where others are put.
                let range_end =
                    if *delete.range_end == [0] { Bytes::from_static(b"d") } else { delete.range_end };
                Op::RequestDeleteRange(DeleteRangeRequest { range_end, ..delete })
            }
            _ if depth > 0 => Op::RequestTxn(self.txn(depth - 1)),
            _ => Op::RequestRange(self.range_in_txn()),
        }
    }

    fn txn(&mut self, depth: usize) -> TxnRequest {
        let compares = self.below(3);
        TxnRequest {
            compare: (0..compares).map(|_| self.compare()).collect(),
            success: self.ops(depth),
            failure: self.ops(depth),
        }
    }

    fn call(&mut self) -> Call {
        match self.below(40) {
            0..12 => Call::Range(self.range()),
            12..23 => Call::Put(self.put()),
            // There are no leases.
            23 => {
                let lease = self.of(&[1, -1, i64::MAX]);
                Call::Put(PutRequest { key: Bytes::from_static(b"a"), lease, ..PutRequest::default() })
            }
            24..28 => Call::Delete(self.delete()),
            // An operation that says nothing. With another fault beside it, either may be named.
            28 => {
                Call::Txn(TxnRequest { success: vec![RequestOp { request: None }], ..TxnRequest::default() })
            }
            29..39 => Call::Txn(self.txn(DEPTH)),
            _ => {
                Call::Compact(CompactionRequest { revision: self.some_revision(), physical: self.chance(50) })
            }
        }
    }
}

/// Forgets in a header what differs by nature. The revision stays.
fn plain(header: &mut Option<ResponseHeader>) {
    if let Some(header) = header {
        *header = ResponseHeader { revision: header.revision, ..ResponseHeader::default() };
    }
}

/// Keys that are equal in what they are sorted by come in any order from etcd; of those at a limit, any are left out.
fn settle_ties(range: &mut RangeResponse, target: SortTarget) {
    type Rank<'a> = (i64, &'a [u8]);
    fn rank(kv: &KeyValue, target: SortTarget) -> Rank<'_> {
        match target {
            SortTarget::Key => (0, &kv.key),
            SortTarget::Version => (kv.version, &[]),
            SortTarget::Create => (kv.create_revision, &[]),
            SortTarget::Mod => (kv.mod_revision, &[]),
            SortTarget::Value => (0, &kv.value),
        }
    }
    let last = range.kvs.last().cloned();
    for tied in range.kvs.chunk_by_mut(|one, other| rank(one, target) == rank(other, target)) {
        tied.sort_by(|one, other| one.key.cmp(&other.key));
        let at_the_limit =
            range.more && last.as_ref().is_some_and(|last| rank(last, target) == rank(&tied[0], target));
        if at_the_limit && target != SortTarget::Key {
            for kv in tied {
                let KeyValue { version, create_revision, mod_revision, value, .. } = kv.clone();
                *kv = KeyValue::default();
                match target {
                    SortTarget::Key => {}
                    SortTarget::Version => kv.version = version,
                    SortTarget::Create => kv.create_revision = create_revision,
                    SortTarget::Mod => kv.mod_revision = mod_revision,
                    SortTarget::Value => kv.value = value,
                }
            }
        }
    }
}

fn plain_txn(txn: &mut TxnResponse) {
    plain(&mut txn.header);
    for response in &mut txn.responses {
        match response.response.as_mut() {
            Some(Done::ResponseRange(range)) => plain(&mut range.header),
            Some(Done::ResponsePut(put)) => plain(&mut put.header),
            Some(Done::ResponseDeleteRange(delete)) => plain(&mut delete.header),
            Some(Done::ResponseTxn(txn)) => plain_txn(txn),
            None => {}
        }
    }
}

fn answer<T>(
    called: Result<tonic::Response<T>, tonic::Status>,
    header: impl Fn(&mut T),
    wrap: impl Fn(T) -> Answer,
) -> Answer {
    match called {
        Ok(response) => {
            let mut response = response.into_inner();
            header(&mut response);
            wrap(response)
        }
        Err(status) => Answer::Refused(status.code(), status.message().to_owned()),
    }
}

async fn ask(client: &mut KvClient<Channel>, call: &Call) -> Answer {
    match call.clone() {
        Call::Range(request) => {
            let target = request.sort_target();
            let settle = |it: &mut RangeResponse| {
                plain(&mut it.header);
                settle_ties(it, target);
            };
            answer(client.range(request).await, settle, Answer::Range)
        }
        Call::Put(request) => answer(client.put(request).await, |it| plain(&mut it.header), Answer::Put),
        Call::Delete(request) => {
            answer(client.delete_range(request).await, |it| plain(&mut it.header), Answer::Delete)
        }
        Call::Txn(request) => answer(client.txn(request).await, plain_txn, Answer::Txn),
        Call::Compact(request) => {
            answer(client.compact(request).await, |it| plain(&mut it.header), Answer::Compact)
        }
    }
}

impl Answer {
    /// The revision that it says.
    fn revision(&self) -> Option<i64> {
        let header = match self {
            Self::Range(it) => &it.header,
            Self::Put(it) => &it.header,
            Self::Delete(it) => &it.header,
            Self::Txn(it) => &it.header,
            Self::Compact(it) => &it.header,
            Self::Refused(..) => return None,
        };
        header.as_ref().map(|header| header.revision)
    }
}

/// For a message: the beginning of what something is, which may be megabytes.
fn shown(what: &impl Debug) -> String {
    let text = format!("{what:?}").replace(&"v".repeat(512 << 10), "…");
    text.chars().take(3000).collect()
}

async fn client_of(address: &str) -> KvClient<Channel> {
    let channel =
        Endpoint::from_shared(format!("http://{address}")).unwrap().timeout(GENEROUS).connect_lazy();
    let limit = 64 << 20;
    let mut client = KvClient::new(channel).max_decoding_message_size(limit).max_encoding_message_size(limit);
    let ready = async {
        let read = RangeRequest { key: Bytes::from_static(b"a"), ..RangeRequest::default() };
        while client.range(read.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(GENEROUS, ready).await.unwrap_or_else(|_| panic!("{address} does not serve"));
    client
}

async fn compare(seed: u64, etcd: &str, ours: &[(&str, &str)]) {
    let mut etcd = client_of(etcd).await;
    let mut clients = Vec::new();
    for (name, address) in ours {
        clients.push((*name, client_of(address).await));
    }
    let mut dice = Dice { rng: ChaCha8Rng::seed_from_u64(seed), revision: 1 };
    let mut refused = 0;
    for number in 0..CALLS {
        let call = dice.call();
        let expected = ask(&mut etcd, &call).await;
        for (name, client) in &mut clients {
            let answer = ask(client, &call).await;
            assert!(
                answer == expected,
                "seed {seed}, call {number} to the {name}: {}\netcd answers {}\nthe {name} {}",
                shown(&call),
                shown(&expected),
                shown(&answer)
            );
        }
        refused += usize::from(matches!(expected, Answer::Refused(..)));
        dice.revision = expected.revision().unwrap_or(dice.revision);
    }
    println!(
        "seed {seed}: {CALLS} calls, of which {refused} refused, answered alike; revision {}",
        dice.revision
    );
    assert!(dice.revision > 1 && refused > 0, "nothing was tried");
}

#[test]
fn every_answer_is_etcds() {
    let seeds = std::env::var("BESIDE_ETCD_SEEDS").map_or(4, |text| text.parse().unwrap());
    for seed in 0..seeds {
        let Some(etcd) = Etcd::start() else { return };
        let node = Lab::up(1, Mode::InProcess);
        let lying = PROTOCOLS.iter().find(|entry| entry.connect.is_some()).unwrap();
        let replicas = Lab::of(lying.name, 4, Mode::InProcess);
        replicas.start().ok();
        let gateway = Gateway::start(&replicas, &["--timeout", "30s"]);
        let ours = [("node", &*format!("127.0.0.1:{}", node.ports[0])), ("gateway", &*gateway.address)];
        tokio::runtime::Runtime::new().unwrap().block_on(compare(seed, &etcd.address, &ours));
    }
}
