//! Transactions: first all decisions, then all checks, then the writes, so that a refused one changed nothing.

use super::error::KvError;
use super::execute::{delete_range, holds, put, range};
use super::interval::Interval;
use super::mvcc::{Mvcc, Writer};
use super::request::{
    Compare, CompareTarget, DeleteRangeRequest, PutRequest, RangeRequest, TxnOp, TxnRequest,
};
use super::response::{KeyValue, Response, TxnOpResponse, TxnResponse};

/// The branch that a transaction takes, decided before anything is written.
struct Branch<'a> {
    succeeded: bool,
    steps: Vec<Step<'a>>,
}

/// An operation of a branch.
enum Step<'a> {
    Range(&'a RangeRequest),
    Put(&'a PutRequest),
    DeleteRange(&'a DeleteRangeRequest),
    Txn(Branch<'a>),
}

/// Executes a transaction that [`check`](super::validate::check) accepted.
pub(super) fn txn(mvcc: &mut Mvcc, request: &TxnRequest) -> Result<Response, KvError> {
    let branch = decide(mvcc, request);
    branch.check_puts(mvcc)?;
    branch.check_ranges(mvcc)?;
    let mut writer = mvcc.write();
    let responses = branch
        .run(&mut writer)
        .expect("invariant 4: no operation of a checked transaction fails, since no put comes behind a delete of its key");
    let revision = writer.finish();
    Ok(Response::Txn(TxnResponse { revision, succeeded: branch.succeeded, responses }))
}

fn decide<'a>(mvcc: &Mvcc, request: &'a TxnRequest) -> Branch<'a> {
    let succeeded = request.compare.iter().all(|compare| compares(mvcc, compare));
    let ops = if succeeded { &request.success } else { &request.failure };
    let steps = ops.iter().map(|op| match op {
        TxnOp::Range(range) => Step::Range(range),
        TxnOp::Put(put) => Step::Put(put),
        TxnOp::DeleteRange(delete) => Step::DeleteRange(delete),
        TxnOp::Txn(nested) => Step::Txn(decide(mvcc, nested)),
    });
    Branch { succeeded, steps: steps.collect() }
}

fn compares(mvcc: &Mvcc, compare: &Compare) -> bool {
    let interval = Interval::new(&compare.key, &compare.range_end);
    let mut found =
        mvcc.scan(interval, mvcc.revision).filter_map(|history| history.at(mvcc.revision)).peekable();
    if found.peek().is_some() {
        return found.all(|kv| compares_key(compare, &kv));
    }
    // What does not exist has no value, not an empty one.
    !matches!(compare.target, CompareTarget::Value(_)) && compares_key(compare, &KeyValue::default())
}

fn compares_key(compare: &Compare, kv: &KeyValue) -> bool {
    let ordering = match &compare.target {
        CompareTarget::Version(version) => kv.version.cmp(version),
        CompareTarget::Create(revision) => kv.create_revision.cmp(revision),
        CompareTarget::Mod(revision) => kv.mod_revision.cmp(revision),
        CompareTarget::Value(value) => kv.value.cmp(value),
        CompareTarget::Lease(lease) => 0.cmp(lease),
    };
    holds(compare.result, ordering)
}

impl Branch<'_> {
    /// Refuses a put that is to keep what is not there.
    fn check_puts(&self, mvcc: &Mvcc) -> Result<(), KvError> {
        self.steps.iter().try_for_each(|step| match step {
            Step::Put(put) if put.ignore_value || put.ignore_lease => {
                mvcc.get(&put.key, mvcc.revision).map(|_| ()).ok_or(KvError::KeyNotFound)
            }
            Step::Txn(nested) => nested.check_puts(mvcc),
            _ => Ok(()),
        })
    }

    /// Refuses a read of a revision that is not kept, or not there before the transaction.
    fn check_ranges(&self, mvcc: &Mvcc) -> Result<(), KvError> {
        self.steps.iter().try_for_each(|step| match step {
            Step::Range(range) if range.revision == 0 => Ok(()),
            Step::Range(range) if range.revision > mvcc.revision => Err(KvError::FutureRevision),
            Step::Range(range) if range.revision < mvcc.compacted => Err(KvError::Compacted),
            Step::Txn(nested) => nested.check_ranges(mvcc),
            _ => Ok(()),
        })
    }

    fn run(&self, writer: &mut Writer<'_>) -> Result<Vec<TxnOpResponse>, KvError> {
        let run_step = |step: &Step<'_>| {
            Ok(match step {
                Step::Range(request) => {
                    TxnOpResponse::Range(range(writer.mvcc(), request, writer.current())?)
                }
                Step::Put(request) => TxnOpResponse::Put(put(writer, request)?),
                Step::DeleteRange(request) => TxnOpResponse::DeleteRange(delete_range(writer, request)),
                Step::Txn(nested) => {
                    let (succeeded, responses) = (nested.succeeded, nested.run(writer)?);
                    // etcd gives only the outermost transaction a revision.
                    TxnOpResponse::Txn(TxnResponse { revision: 0, succeeded, responses })
                }
            })
        };
        self.steps.iter().map(run_step).collect()
    }
}
