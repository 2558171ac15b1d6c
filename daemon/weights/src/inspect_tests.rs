//! Whole files: the corpus of hostile ones, and arbitrary bytes.

use super::*;
use crate::test_files::{bytes_of, reader};
use proptest::prelude::*;

fn judged(bytes: &[u8]) -> Result<Inspection, InspectError> {
    let (mut cursor, length) = reader(bytes);
    inspect(&mut cursor, length)
}

#[test]
fn the_corpus_is_judged_as_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/inspect");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let judged = judged(&std::fs::read(&path).unwrap());
        let expected = match name.as_str() {
            _ if name.starts_with("ok-") => None,
            _ if name.starts_with("malformed-") => Some(reason::MALFORMED_FILE),
            _ if name.starts_with("unsafe-") => Some(reason::UNSAFE_FORMAT),
            _ if name.starts_with("not-a-model-") => Some(reason::NOT_A_MODEL_FILE),
            // What the fuzzer adds needs no verdict, only an end.
            _ => continue,
        };
        let found = judged.as_ref().err().map(Classify::reason);
        assert_eq!(found, expected, "{name}: {judged:?}");
        seen += 1;
    }
    assert!(seen >= 79, "{seen} files of the corpus were replayed");
}

#[test]
fn a_pickle_renamed_to_safetensors_is_found_and_says_what_to_do() {
    let error = judged(b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s.").unwrap_err();
    assert_eq!(error.to_string(), "the file is a Python pickle, which can run code when it is opened");
    assert_eq!((error.class(), error.reason()), (ErrorClass::Unsupported, reason::UNSAFE_FORMAT));
    assert!(error.hint().unwrap().contains("safetensors"));
    assert_eq!(error.metadata(), [("format", "pickle".to_owned())]);
}

#[test]
fn a_broken_rule_is_the_cause_and_is_not_repeated() {
    let error = judged(&crate::test_files::safetensors_file("{}", 7)).unwrap_err();
    assert_eq!(
        paintbox_domain::classify::message_with_causes(&error),
        "the file is a broken safetensors file: 7 bytes at the end of the file belong to no tensor"
    );
    assert_eq!(error.metadata(), [("bytes", "7".to_owned())]);
}

#[test]
fn only_the_beginning_of_a_file_is_read() {
    /// Fails once more than the header has been asked for.
    struct Beginning<'a> {
        bytes: &'a [u8],
        at: usize,
        end: usize,
    }
    impl Read for Beginning<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = buffer.len().min(self.bytes.len() - self.at);
            assert!(self.at + length <= self.end, "byte {} was read", self.at + length);
            buffer[..length].copy_from_slice(&self.bytes[self.at..self.at + length]);
            self.at += length;
            Ok(length)
        }
    }
    impl Seek for Beginning<'_> {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            let SeekFrom::Start(at) = to else { panic!("{to:?}") };
            self.at = at as usize;
            Ok(at)
        }
    }
    let bytes = bytes_of("tiny-model/tiny-emoji.safetensors");
    let header_end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut file = Beginning { bytes: &bytes, at: 0, end: header_end };
    inspect(&mut file, bytes.len() as u64).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        judged(&bytes).ok();
    }

    #[test]
    fn no_changed_byte_of_a_real_header_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = bytes_of("tiny-model/embedding/lantern.safetensors");
        for (position, byte) in changes {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        judged(&bytes).ok();
    }
}
