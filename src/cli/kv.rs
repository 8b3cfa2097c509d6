//! `kv put`, `kv get`, `kv del`, `kv txn`: the store, from the shell.
//!
//! Keys and values are bytes, and travel as they stand on the command line. For people a value is printed as it is, with
//! a newline behind it. In JSON, `key` and `value` hold text; bytes that are no UTF-8 stand in `key_base64` and
//! `value_base64` instead.

mod pages;
mod print;
pub(super) mod reach;
mod txn_text;

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};

use self::reach::ReachArgs;
use super::args::some_time;
use super::{CliError, CliResult, Context, Exit, Output};
use crate::client::{Client, Consistency, ControlClient, Error, Options};
use crate::cluster::{ClusterDir, Door};
use crate::kv::{DeleteRangeRequest, PutRequest, RangeRequest};

/// How much is read of a file or standard input: more than a request may have, also where each byte is written out.
const MAX_INPUT: u64 = 8 << 20;

/// How long a node may take to say why it does not serve.
const REASON_TIMEOUT: Duration = Duration::from_millis(500);

/// What there must be for a cluster to serve.
const QUORUM: &str = "enough nodes must run and reach each other: more than half of them, or more than two thirds where \
                      nodes may lie";

/// What helps against a full disk, and what a node says of one.
const ROOM: &str = "make room on the nodes' disks; they go on by themselves";
const FULL: &str = "the disk is full";

/// Said of a request above the limit, in whatever words a node refuses it.
const TOO_LARGE: &str = "the request is too large: it may have 1.5 MiB";

/// What a node says with which nothing is wrong.
const WELL: &str = "nothing is wrong here";

/// Said of what a single node answers in a cluster whose nodes may lie.
const ONE_REPLICAS_WORD: &str =
    "note: a serializable read is one replica's word: it may be old, and it may be a lie";

/// `kv …`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Exit codes: 0 done; 1 refused, or no such key; 2 wrong usage; 4 the outcome is unknown; \
                        5 no node was reached."
)]
pub struct KvArgs {
    #[command(flatten)]
    reach: ReachArgs,
    /// How long to try before giving up
    #[arg(long, global = true, value_name = "TIME", default_value = "5s", value_parser = some_time)]
    timeout: Duration,
    #[command(subcommand)]
    command: KvCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum KvCommand {
    /// Write a key
    #[command(
        after_help = "Examples:\n  consensusctl kv put colour blue\n  consensusctl kv put offset -- -3\n  \
                            consensusctl kv put photo @photo.jpg\n  date | consensusctl kv put now"
    )]
    Put {
        /// The key
        key: OsString,
        /// Its new value; `@FILE` is what a file holds, `@-` or none is standard input, `@@...` begins with one `@`
        value: Option<OsString>,
    },
    /// Print a key's value, or keys and values with a prefix
    #[command(
        after_help = "Examples:\n  consensusctl kv get colour\n  consensusctl kv get --prefix users/\n  \
                            consensusctl kv get colour --revision 7\n  \
                            consensusctl kv get --prefix '' --keys-only --limit 100\n\n\
                            Keys with a prefix are read page by page, all as of one revision, so that there may be any \
                            number of them. The result of a single request may have 60 MiB."
    )]
    Get {
        /// The key
        key: OsString,
        /// Print all keys that begin with KEY, with their values, in the order of the keys
        #[arg(long)]
        prefix: bool,
        /// Read what one node has, even if it is old: works without a leader
        #[arg(long)]
        serializable: bool,
        /// Read as of this revision
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        revision: Option<i64>,
        /// Print no more than so many keys
        #[arg(long, value_name = "N", requires = "prefix", value_parser = clap::value_parser!(i64).range(1..))]
        limit: Option<i64>,
        /// Print the keys without their values
        #[arg(long, requires = "prefix")]
        keys_only: bool,
        /// Print only how many keys there are
        #[arg(long, alias = "count", requires = "prefix", conflicts_with_all = ["limit", "keys_only"])]
        count_only: bool,
    },
    /// Delete a key, or keys with a prefix, and print how many there were
    #[command(after_help = "Examples:\n  consensusctl kv del colour\n  consensusctl kv del --prefix users/")]
    Del {
        /// The key
        key: OsString,
        /// Delete all keys that begin with KEY
        #[arg(long)]
        prefix: bool,
    },
    /// Compare, then do one of two lists of operations as one step; read from standard input
    #[command(after_help = txn_text::HELP)]
    Txn,
}

impl KvArgs {
    /// The way into the cluster that the user means.
    pub async fn door(&self, context: &mut Context<'_>) -> CliResult<Door> {
        self.reach.door(context).await
    }

    /// Carries out the command on the cluster behind `door`.
    pub async fn run(self, door: &Door, out: &mut Output) -> CliResult {
        let error = match self.attempt(door, out).await {
            Err(error) if matches!(error.exit, Exit::Unknown | Exit::Unreachable) => {
                with_reasons(error, &reasons(door.addresses()).await)
            }
            Err(error) => error,
            Ok(()) => return Ok(()),
        };
        Err(match door.local() {
            Some(dir) => with_commands(error, dir),
            None => error,
        })
    }

    async fn attempt(self, door: &Door, out: &mut Output) -> CliResult {
        match self.command {
            KvCommand::Put { key, value } => {
                let value = value_of(value, std::io::stdin())?;
                let put = PutRequest { key: bytes(key), value, ..Default::default() };
                let answer = once(door, self.timeout, async |client| client.put(put).await).await?;
                print::put(out, &answer.map_err(explain)?)
            }
            KvCommand::Get { key, prefix, serializable, revision, limit, keys_only, count_only } => {
                let consistency =
                    if serializable { Consistency::Serializable } else { Consistency::Linearizable };
                let name = String::from_utf8_lossy(key.as_bytes()).into_owned();
                let (key, range_end) = span(bytes(key), prefix);
                let revision = revision.unwrap_or(0);
                let limit = limit.unwrap_or(0);
                let range = RangeRequest {
                    key,
                    range_end,
                    limit,
                    revision,
                    keys_only,
                    count_only,
                    ..Default::default()
                };
                if serializable && door.counts_votes() {
                    out.note(ONE_REPLICAS_WORD);
                }
                if prefix && !count_only {
                    let mut listing = print::Listing::new(out, keys_only);
                    let read = async |client: &Client| {
                        let get = async |range| client.get(range, consistency).await;
                        pages::each_page(range, get, |page| listing.add(page)).await
                    };
                    once(door, self.timeout, read).await?.map_err(explain_read)??;
                    return listing.finish();
                }
                let get = async |client: &Client| client.get(range, consistency).await;
                let found = once(door, self.timeout, get).await?.map_err(explain_read)?;
                if count_only {
                    return print::count(out, &found);
                }
                let kv = found.kvs.first();
                let kv = kv.ok_or_else(|| CliError::failed(format!("key not found: {name:?}")))?;
                print::one(out, kv, found.revision)
            }
            KvCommand::Del { key, prefix } => {
                let (key, range_end) = span(bytes(key), prefix);
                let delete = DeleteRangeRequest { key, range_end, prev_kv: false };
                let answer = once(door, self.timeout, async |client| client.delete(delete).await).await?;
                print::deleted(out, &answer.map_err(explain)?)
            }
            KvCommand::Txn => {
                // Read and understood before anyone is asked: a mistake must not depend on the cluster.
                let txn = txn_text::parse(&transaction()?)?;
                let answer = once(door, self.timeout, async |client| client.txn(txn).await).await?;
                print::txn(out, &answer.map_err(explain)?)
            }
        }
    }
}

/// What the cluster says to one call.
async fn once<T>(
    door: &Door,
    timeout: Duration,
    call: impl AsyncFnOnce(&Client) -> Result<T, Error>,
) -> CliResult<Result<T, Error>> {
    let client = connect(door, timeout).await?;
    let answer = call(&client).await;
    client.close().await;
    Ok(answer)
}

async fn connect(door: &Door, timeout: Duration) -> CliResult<Client> {
    let options = Options { timeout, ..Default::default() };
    door.connect(options).await.map_err(|error| match error {
        // Nothing was sent yet: the only thing that can be wrong is an address.
        Error::Refused { message, .. } => CliError::usage(message),
        other => explain(other),
    })
}

fn bytes(word: OsString) -> Bytes {
    word.into_vec().into()
}

/// The range of a key alone, or of all keys that begin with it, as the store wants it.
fn span(key: Bytes, prefix: bool) -> (Bytes, Bytes) {
    /// As a start: the smallest key. As an end: no end.
    const NUL: Bytes = Bytes::from_static(b"\0");
    if !prefix {
        return (key, Bytes::new());
    }
    // The first key behind all that begin with `key`: its last byte that can grow does, and what follows it goes.
    let Some(last) = key.iter().rposition(|&byte| byte < u8::MAX) else {
        return (if key.is_empty() { NUL } else { key }, NUL);
    };
    let mut end = key[..=last].to_vec();
    end[last] += 1;
    (key, end.into())
}

/// The value that a word of the command line means. With `@` it stands in a file or on standard input, where it may be
/// longer than an argument of a program (128 KiB), and may hold any byte.
fn value_of(word: Option<OsString>, stdin: impl Read) -> CliResult<Bytes> {
    const STDIN: &str = "standard input";
    let Some(word) = word else { return read_all(STDIN, "the value", stdin) };
    match word.as_bytes() {
        b"@-" => read_all(STDIN, "the value", stdin),
        [b'@', literal @ ..] if literal.starts_with(b"@") => Ok(Bytes::copy_from_slice(literal)),
        [b'@', path @ ..] => {
            let path = Path::new(OsStr::from_bytes(path));
            let file = File::open(path).map_err(|error| unreadable("the value", path.display(), &error))?;
            read_all(path.display(), "the value", file)
        }
        _ => Ok(bytes(word)),
    }
}

/// Reads `what` up to the end of its source, unless that is further away than anything that could be sent.
fn read_all(source: impl Display, what: &str, reader: impl Read) -> CliResult<Bytes> {
    let mut content = Vec::new();
    let read = reader.take(MAX_INPUT + 1).read_to_end(&mut content);
    read.map_err(|error| unreadable(what, &source, &error))?;
    if content.len() as u64 > MAX_INPUT {
        return Err(CliError::usage(format!("{source} has more than 8 MiB, and a request may have 1.5 MiB")));
    }
    Ok(content.into())
}

fn unreadable(what: &str, source: impl Display, error: &io::Error) -> CliError {
    CliError::usage(format!("cannot read {what} from {source}: {error}"))
}

/// The text of a transaction.
fn transaction() -> CliResult<String> {
    let text = read_all("standard input", "the transaction", std::io::stdin())?;
    String::from_utf8(text.into()).map_err(|_| {
        CliError::usage("the transaction is not UTF-8 text; write other bytes as \\xNN, in quotes")
    })
}

/// What the nodes themselves say of why they do not serve. Empty when none of them answers.
async fn reasons(endpoints: &[String]) -> Vec<String> {
    let asked = endpoints.iter().map(|endpoint| {
        let client = ControlClient::new(endpoint).map(|client| client.with_timeout(REASON_TIMEOUT));
        tokio::spawn(async move { client?.status(true).await })
    });
    let mut reasons = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        if let Ok(Ok(report)) = asked.await {
            let why = if report.why.is_empty() { WELL.to_owned() } else { report.why.join(", ") };
            reasons.push(format!("node {}: {why}", report.id));
        }
    }
    reasons
}

/// Adds the commands that help with a cluster of this machine.
fn with_commands(error: CliError, dir: &ClusterDir) -> CliError {
    let status = dir.command("status");
    match (error.exit, error.hint.as_deref()) {
        (Exit::Unreachable, _) => {
            let restart = dir.command("cluster restart");
            error.hint(format!("see which nodes run with: {status}; bring all back with: {restart}"))
        }
        (_, Some(QUORUM)) => error.hint(format!("{QUORUM}; see: {status}")),
        _ => error,
    }
}

/// Adds the nodes' reasons. When nodes answer, they were reached: what they did not do they have refused.
fn with_reasons(error: CliError, reasons: &[String]) -> CliError {
    if reasons.is_empty() {
        return error;
    }
    let said = reasons.join("\n  ");
    let full = reasons.iter().any(|reason| reason.contains(FULL));
    match error.exit {
        Exit::Unreachable if reasons.iter().all(|reason| reason.ends_with(WELL)) => CliError::failed(
            format!("nothing was done, though all is well with the nodes: {}", error.message),
        )
        .hint("perhaps --timeout is too short"),
        Exit::Unreachable => {
            CliError::failed(format!("nothing was done: the nodes answer but do not serve\n  {said}"))
                .hint(if full { ROOM } else { QUORUM })
        }
        _ => {
            let room = error.hint.as_ref().filter(|_| full).map(|hint| format!("{ROOM}; {hint}"));
            CliError { message: format!("{}\n  {said}", error.message), hint: room.or(error.hint), ..error }
        }
    }
}

/// The same for a read: one that got no answer has changed nothing, it was just not served.
fn explain_read(error: Error) -> CliError {
    match error {
        Error::Unknown { message } => explain(Error::Unreachable { message }),
        other => explain(other),
    }
}

/// An error of the cluster in words for the shell, with its exit code.
fn explain(error: Error) -> CliError {
    match error {
        Error::Refused { message, endpoint } => {
            let hint = hint_for(&message);
            let error = CliError::failed(format!("{endpoint} refused: {message}"));
            hint.map_or(error.clone(), |hint| error.hint(hint))
        }
        Error::Unknown { .. } => CliError::unknown(error.to_string())
            .hint("it may have been done, or may still be: read the keys before you repeat it"),
        Error::Unreachable { .. } => CliError::unreachable(error.to_string())
            .hint("enough of the cluster's nodes must run, and be reachable from here"),
    }
}

fn hint_for(message: &str) -> Option<&'static str> {
    let known = [
        ("no leader", QUORUM),
        ("timed out", QUORUM),
        ("space exceeded", ROOM),
        (
            "has been compacted",
            "revisions before the last compaction are gone; leave out --revision for the newest",
        ),
        ("could be reached", QUORUM),
        (
            "the result has more than",
            "`kv get --prefix` reads page by page; --limit and --keys-only read less",
        ),
        ("too large", TOO_LARGE),
        ("larger than max", TOO_LARGE),
    ];
    known.into_iter().find(|(part, _)| message.contains(part)).map(|(_, hint)| hint)
}

#[cfg(test)]
mod tests;
