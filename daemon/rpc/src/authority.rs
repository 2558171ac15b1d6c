//! Lets gRPC's C clients (Python, C++, Ruby, PHP) call over a Unix socket.
//!
//! They send the socket's path as `:authority`, with `%2F` for each slash (seen from PyPI's grpcio 1.85.1:
//! `tmp%2Fpaintbox.sock`). RFC 3986 §3.2.2 allows percent-encoding in a host, but the `http` crate does not, and so
//! `h2` resets the stream with PROTOCOL_ERROR before any of our code sees it. The authority means nothing on a socket,
//! so it is made plain on its way in: in each HEADERS frame, every character of an authority with a `%` in it that a
//! host name may not have becomes `-`. No length changes, so nothing else has to.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// The client's first bytes (RFC 9113 §3.4).
const PREFACE_BYTES: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const FRAME_HEADER_BYTES: usize = 9;
/// RFC 9113 §6.2.
const HEADERS_FRAME: u8 = 1;
const FLAG_PADDED: u8 = 0x08;
const FLAG_PRIORITY: u8 = 0x20;
/// Longer HEADERS frames pass as they are; the server does not allow them anyway.
const LONGEST_HEADERS_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 16 * 1024;

/// A connection whose authorities a Rust server can read.
#[derive(Debug)]
pub(crate) struct PlainAuthority {
    stream: UnixStream,
    filter: Filter,
    /// Filtered bytes that nobody has read yet, from `read_from` on.
    ready: Vec<u8>,
    read_from: usize,
}

impl PlainAuthority {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, filter: Filter::default(), ready: Vec::new(), read_from: 0 }
    }
}

impl AsyncRead for PlainAuthority {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read_from == this.ready.len() {
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.ready.clear();
            this.read_from = 0;
            this.filter.push(read.filled(), &mut this.ready);
        }
        let rest = &this.ready[this.read_from..];
        let count = rest.len().min(to.remaining());
        to.put_slice(&rest[..count]);
        this.read_from += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PlainAuthority {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Follows the frames of a connection, however its bytes are cut.
#[derive(Debug)]
enum Filter {
    /// Bytes that pass as they are: the preface, and payloads of all other frames.
    Passing(usize),
    FrameHeader(Vec<u8>),
    /// A HEADERS frame's payload, held until it is whole.
    Headers {
        flags: u8,
        length: usize,
        payload: Vec<u8>,
    },
}

impl Default for Filter {
    fn default() -> Self {
        Self::Passing(PREFACE_BYTES)
    }
}

impl Filter {
    fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            match self {
                Self::Passing(0) => *self = Self::FrameHeader(Vec::with_capacity(FRAME_HEADER_BYTES)),
                Self::Passing(left) => {
                    let taken = take(&mut bytes, *left);
                    out.extend_from_slice(taken);
                    *left -= taken.len();
                }
                Self::FrameHeader(header) => {
                    header.extend_from_slice(take(&mut bytes, FRAME_HEADER_BYTES - header.len()));
                    if let [a, b, c, kind, flags, ..] = header[..]
                        && header.len() == FRAME_HEADER_BYTES
                    {
                        out.extend_from_slice(header);
                        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                        *self = if kind == HEADERS_FRAME && (1..=LONGEST_HEADERS_BYTES).contains(&length) {
                            Self::Headers { flags, length, payload: Vec::with_capacity(length) }
                        } else {
                            Self::Passing(length)
                        };
                    }
                }
                Self::Headers { flags, length, payload } => {
                    payload.extend_from_slice(take(&mut bytes, *length - payload.len()));
                    if payload.len() == *length {
                        if let Some(block) = header_block(*flags, payload) {
                            make_authority_plain(block);
                        }
                        out.append(payload);
                        *self = Self::Passing(0);
                    }
                }
            }
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    taken
}

/// The header block fragment of a HEADERS payload (RFC 9113 §6.2). None for a malformed one, which is for the server
/// to refuse.
fn header_block(flags: u8, payload: &mut [u8]) -> Option<&mut [u8]> {
    let mut from = 0;
    let mut to = payload.len();
    if flags & FLAG_PADDED != 0 {
        to = to.checked_sub(usize::from(*payload.first()?))?;
        from += 1;
    }
    if flags & FLAG_PRIORITY != 0 {
        from += 5;
    }
    payload.get_mut(from..to)
}

/// Walks the fields of a header block by their form alone (RFC 7541 §6), which needs no table.
fn make_authority_plain(block: &mut [u8]) {
    let mut at = 0;
    while at < block.len() {
        let first = block[at];
        let prefix_bits = match first {
            0x80.. => 7,
            0x40..=0x7f => 6,
            0x20..=0x3f => 5,
            _ => 4,
        };
        let Some(index) = integer(block, &mut at, prefix_bits) else { return };
        // An indexed field or a change of the table's size has no text.
        if prefix_bits == 7 || prefix_bits == 5 {
            continue;
        }
        // Static table, RFC 7541 appendix A: 1 is `:authority`.
        let mut is_authority = index == 1;
        if index == 0 {
            let Some((huffman, name)) = string(block, &mut at) else { return };
            is_authority = !huffman && block[name] == *b":authority";
        }
        let Some((huffman, value)) = string(block, &mut at) else { return };
        // C clients do not compress this string; one that did would be refused as before.
        if is_authority && !huffman && block[value.clone()].contains(&b'%') {
            for byte in &mut block[value] {
                if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) {
                    *byte = b'-';
                }
            }
        }
    }
}

/// RFC 7541 §5.1. Moves `at` behind the integer.
fn integer(block: &[u8], at: &mut usize, prefix_bits: u32) -> Option<usize> {
    let mask = (1_usize << prefix_bits) - 1;
    let mut value = usize::from(*block.get(*at)?) & mask;
    *at += 1;
    if value < mask {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = *block.get(*at)?;
        *at += 1;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// RFC 7541 §5.2: whether the text is Huffman-coded, and where it lies. Moves `at` behind it.
fn string(block: &[u8], at: &mut usize) -> Option<(bool, std::ops::Range<usize>)> {
    let huffman = block.get(*at)? & 0x80 != 0;
    let length = integer(block, at, 7)?;
    let range = *at..at.checked_add(length).filter(|end| *end <= block.len())?;
    *at = range.end;
    Some((huffman, range))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with an indexed or literal name and a plain value.
    fn field(first: u8, name: Option<&str>, value: &str) -> Vec<u8> {
        let text = |text: &str| [vec![u8::try_from(text.len()).unwrap()], text.as_bytes().to_vec()].concat();
        [vec![first], name.map(text).unwrap_or_default(), text(value)].concat()
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn connection(authority: &str) -> Vec<u8> {
        let block = [
            vec![0x83, 0x86, 0x3f, 0x0a],
            field(0x44, None, "/paintbox.v1.DaemonService/GetServerInfo"),
            field(0x41, None, authority),
            field(0x40, Some("user-agent"), "grpc-python/1.85.1 100%25"),
        ]
        .concat();
        let padded = [&[2_u8][..], &[0, 0, 0, 0, 9], &block, &[0, 0]].concat();
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, &[0; 6]),
            frame(HEADERS_FRAME, 0x04, &block),
            frame(0, 1, b"\x41\x03a%b in a body"),
            frame(HEADERS_FRAME, 0x04 | FLAG_PADDED | FLAG_PRIORITY, &padded),
            frame(6, 0, &[7; 8]),
        ]
        .concat()
    }

    fn filtered(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut filter = Filter::default();
        let mut out = Vec::new();
        for piece in bytes.chunks(piece) {
            filter.push(piece, &mut out);
        }
        out
    }

    #[test]
    fn a_socket_path_becomes_a_plain_host_however_the_bytes_are_cut() {
        let sent = connection("tmp%2Fpb%2Frun%2Fpaintbox.sock");
        let wanted = connection("tmp-2Fpb-2Frun-2Fpaintbox.sock");
        for piece in [1, 2, 7, 64, sent.len()] {
            assert_eq!(filtered(&sent, piece), wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn everything_else_passes_as_it_is() {
        for authority in ["localhost", "localhost:50051", "[::1]:80", ""] {
            let sent = connection(authority);
            assert_eq!(filtered(&sent, 5), sent);
        }
    }

    #[test]
    fn malformed_blocks_are_left_to_the_server() {
        for block in [&[0x41_u8, 0xff][..], &[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff], &[0x40], &[0x41, 0x05, b'%']] {
            let sent = [vec![0; PREFACE_BYTES], frame(HEADERS_FRAME, 0x04, block)].concat();
            assert_eq!(filtered(&sent, 3), sent);
            let padding_too_long = [vec![0; PREFACE_BYTES], frame(HEADERS_FRAME, FLAG_PADDED, &[200, 1])].concat();
            assert_eq!(filtered(&padding_too_long, 3), padding_too_long);
        }
    }
}
