//! [`Authorities`]: lets clients in whose `:authority` is none.
//!
//! HTTP/2's `:authority` is a host and a port. Clients written in Go send whatever their endpoint was called, a URL or a
//! list in brackets, and Go's servers take it; the HTTP/2 library that serves here resets such a call before anybody
//! sees it. Nobody here reads the `:authority`: a port has one service, whatever it is called. So it is replaced, on its
//! way to the library, by letters of the same length, which is always a host.
//!
//! The same length twice over: as sent and as decoded, so that neither the frame nor the sender's idea of the receiver's
//! header table changes (RFC 7541, 4.1). What refers to that table later finds the replacement there. A name in Huffman
//! code has both lengths with the right mix of letters of five to eight bits.
//!
//! An empty one stays: there is no host without a letter.
//!
//! Only beginnings of header blocks are looked at: all else passes as it is, and what is not understood does, too, for the
//! library to refuse.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// What a connection of HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Length of a frame's head, and of the longest frame that the library takes (RFC 9113, 4.1 and 4.2).
const FRAME_HEAD: usize = 9;
const MAX_FRAME: usize = 16_384;

/// A frame of this type begins a header block (RFC 9113, 6.2), with these flags.
const HEADERS: u8 = 1;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// Where `:authority` stands in the table that every connection has (RFC 7541, appendix A).
const AUTHORITY: usize = 1;
/// Its name, where it is written out: plain, and in Huffman code.
const NAME: &[u8] = b":authority";
const NAME_IN_HUFFMAN: &[u8] = &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];

/// How many symbols have a code of so many bits, from none on (RFC 7541, appendix B). The codes are canonical: this tells
/// where each ends. The last one, which is no symbol and not allowed, is left out.
const CODES: [u32; 31] =
    [0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 3];

/// Letters with codes of five to eight bits: `a`, `b`, `j` and `X`.
const SHORTEST: usize = 5;
const LETTERS: [u8; 4] = [0x03, 0x23, 0x74, 0xfc];

/// How much is read at once while a header block is incomplete.
const CHUNK: usize = 4096;

/// What arrives on one connection, with every `:authority` replaced.
pub(super) struct Authorities {
    what: What,
    /// The beginning of something that must be seen as a whole.
    held: Vec<u8>,
    /// What was held, complete now, and how much of it was passed on.
    ready: Vec<u8>,
    passed: usize,
}

/// Where in the stream this is.
enum What {
    Preface,
    /// So many bytes pass as they are, and then a frame begins.
    Frames(usize),
    /// Not HTTP/2.
    Other,
}

impl Authorities {
    pub(super) fn new() -> Self {
        Self { what: What::Preface, held: Vec::new(), ready: Vec::new(), passed: 0 }
    }

    /// Whether this has turned out to be HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.what, What::Frames(_))
    }

    /// Reads from `stream`.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.passed < self.ready.len() {
                let some = (self.ready.len() - self.passed).min(buf.remaining());
                buf.put_slice(&self.ready[self.passed..][..some]);
                self.passed += some;
                return Poll::Ready(Ok(()));
            }
            if self.held.is_empty() {
                let before = buf.filled().len();
                ready!(Pin::new(&mut *stream).poll_read(context, buf))?;
                let arrived = &mut buf.filled_mut()[before..];
                let complete = self.what.replace(arrived);
                if complete == arrived.len() {
                    return Poll::Ready(Ok(()));
                }
                self.held.extend_from_slice(&arrived[complete..]);
                buf.set_filled(before + complete);
                if complete > 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                let mut chunk = [0; CHUNK];
                let mut chunk = ReadBuf::new(&mut chunk);
                ready!(Pin::new(&mut *stream).poll_read(context, &mut chunk))?;
                let complete = if chunk.filled().is_empty() {
                    // The end: whatever this was to be.
                    self.held.len()
                } else {
                    self.held.extend_from_slice(chunk.filled());
                    self.what.replace(&mut self.held)
                };
                self.ready.clear();
                self.ready.extend(self.held.drain(..complete));
                self.passed = 0;
            }
        }
    }
}

impl What {
    /// Replaces what is complete in `bytes`, the next ones of the stream, and says how many that are. The rest comes again,
    /// with more behind it.
    fn replace(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        loop {
            let rest = &mut bytes[at..];
            match self {
                Self::Other => return at + rest.len(),
                Self::Preface => {
                    let some = rest.len().min(PREFACE.len());
                    if rest[..some] != PREFACE[..some] {
                        *self = Self::Other;
                    } else if some < PREFACE.len() {
                        return at;
                    } else {
                        *self = Self::Frames(PREFACE.len());
                    }
                }
                Self::Frames(skip) => {
                    let some = rest.len().min(*skip);
                    *skip -= some;
                    at += some;
                    let rest = &mut rest[some..];
                    let Some(head) = rest.first_chunk::<FRAME_HEAD>() else { return at };
                    let [high, middle, low, kind, flags, ..] = *head;
                    let frame = FRAME_HEAD + u32::from_be_bytes([0, high, middle, low]) as usize;
                    if kind == HEADERS && frame <= FRAME_HEAD + MAX_FRAME {
                        if rest.len() < frame {
                            return at;
                        }
                        replace_authority(&mut rest[FRAME_HEAD..frame], flags);
                    }
                    *skip = frame;
                }
            }
        }
    }
}

/// Replaces the `:authority` in the payload of a frame that begins a header block. `None` if there is nothing to replace.
fn replace_authority(payload: &mut [u8], flags: u8) -> Option<()> {
    let padding = if flags & PADDED == 0 { None } else { Some(*payload.first()? as usize) };
    let end = payload.len().checked_sub(padding.unwrap_or(0))?;
    let start = usize::from(padding.is_some()) + if flags & PRIORITY == 0 { 0 } else { 5 };
    let mut block = Block { bytes: payload.get_mut(start..end)?, at: 0 };
    loop {
        // How a field is written is told by its first bits (RFC 7541, 6).
        let index = match *block.bytes.get(block.at)? {
            0x80.. => {
                block.number(7)?;
                continue;
            }
            0x40.. => block.number(6)?,
            0x20.. => {
                block.number(5)?;
                continue;
            }
            _ => block.number(4)?,
        };
        let is_authority = match index {
            0 => {
                let (in_huffman, name) = block.text()?;
                *name == *if in_huffman { NAME_IN_HUFFMAN } else { NAME }
            }
            index => index == AUTHORITY,
        };
        let (in_huffman, value) = block.text()?;
        if is_authority {
            if in_huffman {
                return in_letters(value);
            }
            value.fill(b'a');
            return Some(());
        }
    }
}

/// Reads a header block.
struct Block<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Block<'_> {
    /// An integer that begins in the last `prefix` bits of a byte (RFC 7541, 5.1).
    fn number(&mut self, prefix: u32) -> Option<usize> {
        let mask = (1_usize << prefix) - 1;
        let mut number = usize::from(*self.bytes.get(self.at)?) & mask;
        self.at += 1;
        if number < mask {
            return Some(number);
        }
        // No number here is longer than a frame: three bytes more are plenty.
        for shift in [0, 7, 14] {
            let byte = usize::from(*self.bytes.get(self.at)?);
            self.at += 1;
            number += (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A text, and whether it is in Huffman code (RFC 7541, 5.2).
    fn text(&mut self) -> Option<(bool, &mut [u8])> {
        let in_huffman = *self.bytes.get(self.at)? & 0x80 != 0;
        let length = self.number(7)?;
        let start = self.at;
        self.at += length;
        Some((in_huffman, self.bytes.get_mut(start..self.at)?))
    }
}

/// Writes letters over a text in Huffman code: as many as it has characters, in as many bytes. `None`, and nothing is
/// written, if it is not in that code, or longer in it than without.
fn in_letters(text: &mut [u8]) -> Option<()> {
    let count = characters(text)?;
    let bits = 8 * text.len();
    let mut spare = bits.checked_sub(SHORTEST * count)?;
    // The last byte is filled with ones, less than eight.
    if spare >= 3 * count + 8 {
        return None;
    }
    text.fill(0xff);
    let mut at = 0;
    for _ in 0..count {
        let more = spare.min(3);
        spare -= more;
        let length = SHORTEST + more;
        for bit in (0..length).rev() {
            if LETTERS[more] >> bit & 1 == 0 {
                text[at / 8] &= !(0x80 >> (at % 8));
            }
            at += 1;
        }
    }
    Some(())
}

/// How many characters a text in Huffman code has; `None` if it is not in that code.
fn characters(text: &[u8]) -> Option<usize> {
    let (mut count, mut code, mut first, mut length) = (0, 0_u32, 0_u32, 0);
    for bit in text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)) {
        code = code << 1 | u32::from(bit);
        length += 1;
        let codes = *CODES.get(length)?;
        if code - first < codes {
            (count, code, first, length) = (count + 1, 0, 0, 0);
        } else {
            first = (first + codes) << 1;
        }
    }
    // Left over is what fills the last byte: ones.
    (length < 8 && code == (1 << length) - 1).then_some(count)
}

#[cfg(test)]
mod tests;
