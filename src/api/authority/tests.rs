use std::collections::VecDeque;

use tokio::io::AsyncReadExt;

use super::*;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Texts of RFC 7541, appendix C.4 and C.6, in Huffman code.
const EXAMPLES: [(&str, &str); 7] = [
    ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
    ("no-cache", "a8eb10649cbf"),
    ("custom-value", "25a849e95bb8e8b4bf"),
    ("302", "6402"),
    ("Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
    ("https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"),
    (
        "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
    ),
];

/// What stands in Huffman code, if it is letters of those that are written.
fn letters(text: &[u8]) -> Option<String> {
    let bits: Vec<u8> = text.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let (mut at, mut read) = (0, String::new());
    'letters: while bits.len() - at >= SHORTEST {
        for (more, letter) in "abjX".chars().enumerate() {
            let code = bits.get(at..at + SHORTEST + more)?.iter().fold(0, |code, bit| code << 1 | bit);
            if code == LETTERS[more] {
                (at, read) = (at + SHORTEST + more, read + &letter.to_string());
                continue 'letters;
            }
        }
        break;
    }
    (bits[at..].len() < 8 && bits[at..].iter().all(|bit| *bit == 1)).then_some(read)
}

#[test]
fn characters_in_huffman_code_are_counted_and_replaced_by_as_many_letters() {
    for (text, coded) in EXAMPLES {
        let mut coded = unhex(coded);
        assert_eq!(characters(&coded), Some(text.len()), "{text}");
        let length = coded.len();
        in_letters(&mut coded).unwrap_or_else(|| panic!("{text} is not replaced"));
        assert_eq!((coded.len(), letters(&coded).unwrap().len()), (length, text.len()), "{text}");
    }
    assert_eq!(characters(NAME_IN_HUFFMAN), Some(NAME.len()));
    assert_eq!(characters(&[]), Some(0));
    for wrong in [&[0x00][..], &[0xff], &[0xff; 4], &[0x1f, 0xff]] {
        let mut text = wrong.to_vec();
        assert_eq!(in_letters(&mut text), None);
        assert_eq!(text, wrong, "what is not in that code was changed");
    }
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// A stream with every way to write an authority, and the same as it arrives.
fn stream() -> (Vec<u8>, Vec<u8>) {
    let odd = b"#initially=[http://10.0.0.1:5001]";
    let plain = |value: &[u8]| [&[value.len() as u8], value].concat();
    let huffman = unhex(EXAMPLES[5].1);
    let mut replaced = huffman.clone();
    in_letters(&mut replaced).unwrap();
    let coded = |value: &[u8]| [&[0x80 | value.len() as u8], value].concat();
    let whole = |authority: [Vec<u8>; 2]| {
        let [first, second] = authority;
        // A size update, `:method`, a literal with a name of its own, and then what counts.
        let before = [&[0x3f, 0xe1, 0x1f, 0x83, 0x00][..], &plain(b"x"), &plain(b":authority")].concat();
        let named = [&[0x10], &plain(NAME)[..], &first].concat();
        let in_huffman = [&[0x40], &coded(NAME_IN_HUFFMAN)[..], &second].concat();
        let padded = [&[3, 0, 0, 0, 0, 9, 0x41][..], &first, &[0x86, 1, 2, 3]].concat();
        [
            PREFACE,
            &frame(4, 0, &[0; 6]),
            &frame(HEADERS, 0x4, &[&before[..], &[0x41], &first, &[0x86]].concat()),
            // Bytes of a body that look like a header block are none.
            &frame(0, 0, &frame(HEADERS, 0x4, &[&[0x41], &plain(odd)[..]].concat())),
            &frame(HEADERS, 0x4, &[&[0x83, 0x01][..], &second].concat()),
            &frame(HEADERS, 0x4, &named),
            &frame(HEADERS, 0x4, &in_huffman),
            &frame(HEADERS, PADDED | PRIORITY, &padded),
            // Not understood, and passed on: cut off, padded with more than there is, empty.
            &frame(HEADERS, 0x4, &[0x41, 0x7f, b'#']),
            &frame(HEADERS, PADDED, &[9, 0x41, 1, b'#']),
            &frame(HEADERS, PADDED, &[]),
            &frame(HEADERS, 0x4, &[&[0x83, 0xbe], &[0x41][..], &first].concat()),
        ]
        .concat()
    };
    let letters = vec![b'a'; odd.len()];
    (whole([plain(odd), coded(&huffman)]), whole([plain(&letters), coded(&replaced)]))
}

/// A stream that arrives in pieces.
struct Pieces(VecDeque<Vec<u8>>);

impl Pieces {
    fn of(bytes: &[u8], size: usize) -> Self {
        Self(bytes.chunks(size).map(<[u8]>::to_vec).collect())
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

struct Reader(Authorities, Pieces);

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self(authorities, stream) = &mut *self;
        authorities.poll_read(stream, context, buf)
    }
}

async fn read(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut read = Vec::new();
    Reader(Authorities::new(), Pieces::of(bytes, size)).read_to_end(&mut read).await.unwrap();
    read
}

#[tokio::test]
async fn every_authority_is_replaced_and_nothing_else_however_the_stream_is_cut() {
    let (sent, arrives) = stream();
    assert_ne!(sent, arrives);
    for size in 1..=sent.len() {
        assert_eq!(read(&sent, size).await, arrives, "in pieces of {size} bytes");
    }
    // A stream that ends anywhere passes to its end.
    for end in 0..sent.len() {
        let read = read(&sent[..end], 7).await;
        assert_eq!(read.len(), end);
    }
}

#[tokio::test]
async fn what_is_not_http2_passes_as_it_is() {
    for text in ["GET /health HTTP/1.1\r\nhost: x\r\n\r\n", "PRI * HTTP/1.1\r\n\r\n", "P", "\0\0\0"] {
        for size in [1, 5, 100] {
            assert_eq!(read(text.as_bytes(), size).await, text.as_bytes());
        }
    }
}

proptest::proptest! {
    /// Whatever arrives, as many bytes are passed on, and the same ones outside header blocks.
    #[test]
    fn any_bytes_pass(
        frames in proptest::collection::vec((0_u8..4, proptest::num::u8::ANY, proptest::collection::vec(proptest::num::u8::ANY, 0..60)), 0..20),
        size in 1_usize..40,
    ) {
        let mut sent = PREFACE.to_vec();
        for (kind, flags, payload) in &frames {
            sent.extend(frame(*kind, *flags, payload));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let arrived = runtime.block_on(read(&sent, size));
        proptest::prop_assert_eq!(arrived.len(), sent.len());
        let mut at = PREFACE.len();
        for (kind, _, payload) in &frames {
            let end = at + FRAME_HEAD + if *kind == HEADERS { 0 } else { payload.len() };
            proptest::prop_assert_eq!(&arrived[at..end], &sent[at..end]);
            at += FRAME_HEAD + payload.len();
        }
    }
}
