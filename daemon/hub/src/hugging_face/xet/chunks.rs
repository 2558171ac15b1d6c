//! The bytes of a stored object, cut into the chunks that it is made of.
//!
//! A chunk is eight bytes and then its compressed content: a version (0), the compressed length in three bytes, the
//! compression scheme, the length in three bytes; little-endian (xet-core-structures 1.8.0,
//! `src/xorb_object/xorb_chunk_format.rs` `XorbChunkHeader`). That library's own reader is not used, because its limits
//! can be moved by environment variables in builds for debugging.

use bytes::{Buf, Bytes, BytesMut};
use xet_core_structures::xorb_object::CompressionScheme;

const HEADER_BYTES: usize = 8;
/// `MAX_CHUNK_SIZE` of `src/xorb_object/constants.rs`: twice the 64 KiB that chunks are aimed at.
const LARGEST_CHUNK_BYTES: usize = 128 << 10;
/// What does not shrink is kept as it is, so compressed is never longer; twice as much is what the library bears.
const LARGEST_COMPRESSED_BYTES: usize = 2 * LARGEST_CHUNK_BYTES;

/// Takes bytes as they arrive and gives whole chunks.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    arrived: BytesMut,
}

impl Chunks {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.arrived.extend_from_slice(bytes);
    }

    /// The next chunk; none until all of it has arrived.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, &'static str> {
        let Some(header) = self.arrived.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [version, c0, c1, c2, scheme, u0, u1, u2] = *header;
        let three = |bytes: [u8; 3]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let (compressed_bytes, chunk_bytes) = (three([c0, c1, c2]), three([u0, u1, u2]));
        if version != 0 {
            return Err("a stored object of a version that is not known");
        }
        if compressed_bytes > LARGEST_COMPRESSED_BYTES || chunk_bytes > LARGEST_CHUNK_BYTES {
            return Err("a chunk larger than any may be");
        }
        if self.arrived.len() < HEADER_BYTES + compressed_bytes {
            return Ok(None);
        }
        self.arrived.advance(HEADER_BYTES);
        let compressed = self.arrived.split_to(compressed_bytes).freeze();
        let scheme = CompressionScheme::try_from(scheme).map_err(|_| "a chunk in a compression that is not known")?;
        let chunk = match scheme {
            CompressionScheme::None => compressed,
            scheme => {
                let chunk = scheme.decompress_from_slice(&compressed);
                Bytes::from(chunk.map_err(|_| "a chunk that cannot be decompressed")?.into_owned())
            }
        };
        if chunk.len() == chunk_bytes { Ok(Some(chunk)) } else { Err("a chunk that is not as long as it says") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xet_core_structures::xorb_object::serialize_chunk;

    fn stored(chunk: &[u8], scheme: CompressionScheme) -> Vec<u8> {
        let mut bytes = Vec::new();
        serialize_chunk(chunk, &mut bytes, scheme).unwrap();
        bytes
    }

    #[test]
    fn chunks_of_every_compression_come_out_of_any_pieces() {
        let chunks: Vec<Vec<u8>> = [1usize, 5000, 131_072].map(|length| vec![7u8; length]).to_vec();
        for scheme in [CompressionScheme::None, CompressionScheme::LZ4, CompressionScheme::ByteGrouping4LZ4] {
            let object: Vec<u8> = chunks.iter().flat_map(|chunk| stored(chunk, scheme)).collect();
            for piece in [1, 7, 8, 100, object.len()] {
                let mut reader = Chunks::default();
                let mut found = Vec::new();
                for bytes in object.chunks(piece) {
                    reader.push(bytes);
                    while let Some(chunk) = reader.next().unwrap() {
                        found.push(chunk.to_vec());
                    }
                }
                assert!(found == chunks, "{scheme} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn damaged_chunks_are_refused() {
        let next = |bytes: &[u8]| {
            let mut reader = Chunks::default();
            reader.push(bytes);
            reader.next()
        };
        let good = stored(&[7; 5000], CompressionScheme::LZ4);
        assert!(next(&good).unwrap().is_some());
        assert_eq!(next(&good[..good.len() - 1]), Ok(None));
        assert_eq!(next(&[]), Ok(None));
        for (at, byte) in [(0, 1), (3, 0xff), (4, 77), (4, 99), (5, 1), (7, 0xff), (8, 0)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(next(&bad).is_err(), "byte {at}");
        }
    }
}
