//! The text form of a transaction.

use bytes::Bytes;

use super::span;
use crate::cli::{CliError, CliResult};
use crate::kv::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest, RangeRequest, TxnOp, TxnRequest,
};

/// The form, as `--help` shows it.
pub(super) const HELP: &str = "\
The transaction has up to three sections. `then` is done if all comparisons hold, else `else` is.

  compare
    version colour = 0          # also: create, mod (revisions), value; also: !=, <, >
  then
    put colour blue
    put \"a key\" \"two\\nlines\"     # in quotes: \\n \\t \\\\ \\\" and \\xNN for any byte
    del old/ --prefix
  else
    get colour

Empty lines, and lines or ends of lines that begin with #, are ignored.

Example:
  printf 'compare\\n version lock = 0\\nthen\\n put lock me\\n' | consensusctl kv txn

Prints which section was done, then what each of its operations answers.";

/// Where a line belongs.
#[derive(Clone, Copy)]
enum Section {
    Compare,
    Then,
    Else,
}

/// Reads a transaction.
///
/// # Errors
/// Wrong usage, with the line and what could stand there.
pub(super) fn parse(text: &str) -> CliResult<TxnRequest> {
    let mut txn = TxnRequest::default();
    let mut section = None;
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        let at = |why: String| {
            let error = CliError::usage(format!("transaction, line {}: {why}", number + 1));
            error.hint("`consensusctl kv txn --help` shows the form")
        };
        let words = split(line).map_err(at)?;
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        match (words.as_slice(), section) {
            ([], _) => {}
            ([b"compare" | b"compare:"], _) => section = Some(Section::Compare),
            ([b"then" | b"then:"], _) => section = Some(Section::Then),
            ([b"else" | b"else:"], _) => section = Some(Section::Else),
            (words, Some(Section::Compare)) => txn.compare.push(compare(words).map_err(at)?),
            (words, Some(Section::Then)) => txn.success.push(operation(words).map_err(at)?),
            (words, Some(Section::Else)) => txn.failure.push(operation(words).map_err(at)?),
            (_, None) => return Err(at("a section must come first: compare, then or else".to_owned())),
        }
    }
    if txn.success.is_empty() && txn.failure.is_empty() {
        return Err(CliError::usage("the transaction does nothing: both `then` and `else` are empty")
            .hint("`consensusctl kv txn --help` shows the form"));
    }
    Ok(txn)
}

fn compare(words: &[&[u8]]) -> Result<Compare, String> {
    let [what, key, relation, target] = words else {
        return Err("a comparison is: version|create|mod|value KEY =|!=|<|> TARGET".to_owned());
    };
    let result = match *relation {
        b"=" => CompareResult::Equal,
        b"!=" => CompareResult::NotEqual,
        b"<" => CompareResult::Less,
        b">" => CompareResult::Greater,
        other => return Err(format!("{:?} is no relation; known are =, !=, < and >", show(other))),
    };
    let number = || {
        let text = std::str::from_utf8(target).ok();
        let number = text.and_then(|text| text.parse::<i64>().ok());
        number.ok_or_else(|| format!("{:?} must be a number", show(target)))
    };
    let target = match *what {
        b"version" => CompareTarget::Version(number()?),
        b"create" => CompareTarget::Create(number()?),
        b"mod" => CompareTarget::Mod(number()?),
        b"value" => CompareTarget::Value(copy(target)),
        other => {
            return Err(format!(
                "{:?} cannot be compared; known are version, create, mod and value",
                show(other)
            ));
        }
    };
    Ok(Compare { result, target, key: copy(key), range_end: Bytes::new() })
}

fn operation(words: &[&[u8]]) -> Result<TxnOp, String> {
    Ok(match words {
        [b"put", key, value] => {
            TxnOp::Put(PutRequest { key: copy(key), value: copy(value), ..Default::default() })
        }
        [b"get", key] => get(key, false),
        [b"get", key, b"--prefix"] | [b"get", b"--prefix", key] => get(key, true),
        [b"del", key] => delete(key, false),
        [b"del", key, b"--prefix"] | [b"del", b"--prefix", key] => delete(key, true),
        [b"put", ..] => return Err("a put is: put KEY VALUE".to_owned()),
        [b"get", ..] => return Err("a read is: get KEY [--prefix]".to_owned()),
        [b"del", ..] => return Err("a deletion is: del KEY [--prefix]".to_owned()),
        [other, ..] => {
            return Err(format!("{:?} is no operation; known are put, get and del", show(other)));
        }
        [] => unreachable!("empty lines were skipped"),
    })
}

fn get(key: &[u8], prefix: bool) -> TxnOp {
    let (key, range_end) = span(copy(key), prefix);
    TxnOp::Range(RangeRequest { key, range_end, ..Default::default() })
}

fn delete(key: &[u8], prefix: bool) -> TxnOp {
    let (key, range_end) = span(copy(key), prefix);
    TxnOp::DeleteRange(DeleteRangeRequest { key, range_end, prev_kv: false })
}

fn copy(word: &[u8]) -> Bytes {
    Bytes::copy_from_slice(word)
}

fn show(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// The words of a line, without a comment at its end.
fn split(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, after) = if let Some(quoted) = rest.strip_prefix('"') {
            unquote(quoted)?
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (rest.as_bytes()[..end].to_vec(), &rest[end..])
        };
        if !after.is_empty() && !after.starts_with(char::is_whitespace) {
            return Err("a blank must follow a closing quote".to_owned());
        }
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

/// Takes a quoted word, whose opening quote is gone, and answers what stands behind it.
fn unquote(text: &str) -> Result<(Vec<u8>, &str), String> {
    let mut word = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((word, &text[at + 1..])),
            '\\' => match chars.next().map(|(_, escape)| escape) {
                Some('n') => word.push(b'\n'),
                Some('t') => word.push(b'\t'),
                Some('\\') => word.push(b'\\'),
                Some('"') => word.push(b'"'),
                Some('x') => {
                    let digits: String = chars
                        .by_ref()
                        .take(2)
                        .map(|(_, digit)| digit)
                        .filter(char::is_ascii_hexdigit)
                        .collect();
                    let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
                    word.push(byte.ok_or_else(|| format!("\\x{digits} must have two hexadecimal digits"))?);
                }
                other => {
                    let other = other.map_or_else(String::new, String::from);
                    return Err(format!("\\{other} is no escape; known are \\n \\t \\\\ \\\" and \\xNN"));
                }
            },
            other => word.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("a closing quote is missing".to_owned())
}
