//! GGUF headers written byte by byte, sound and broken.

use super::*;
use crate::test_files::reader;
use proptest::prelude::*;

/// Writes headers the way `gguf.h` describes them.
struct Writer(Vec<u8>);

impl Writer {
    fn new(version: u32, tensors: u64, pairs: u64) -> Self {
        let mut writer = Self(b"GGUF".to_vec());
        writer.0.extend_from_slice(&version.to_le_bytes());
        writer.u64(tensors).u64(pairs);
        writer
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.u64(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn tensor(&mut self, name: &str, dimensions: &[u64], ggml_type: u32, offset: u64) -> &mut Self {
        self.text(name).u32(dimensions.len() as u32);
        for &dimension in dimensions {
            self.u64(dimension);
        }
        self.u32(ggml_type).u64(offset)
    }

    fn data(&mut self, bytes: usize) -> &[u8] {
        let start = self.0.len().next_multiple_of(32);
        self.0.resize(start + bytes, 0);
        &self.0
    }
}

fn read(bytes: &[u8]) -> Result<Header, GgufError> {
    let (mut cursor, length) = reader(bytes);
    read_header(&mut cursor, length)
}

fn sample() -> Vec<u8> {
    let mut writer = Writer::new(3, 2, 3);
    writer.text("general.architecture").u32(TEXT).text("flux");
    writer.text("tokens").u32(LIST).u32(TEXT).u64(2).text("a").text("bc");
    writer.text("general.file_type").u32(4).u32(7);
    writer.tensor("w", &[64, 3], 8, 0).tensor("b", &[3], 0, 224);
    writer.data(224 + 12).to_vec()
}

#[test]
fn names_shapes_and_places_are_read() {
    let file = sample();
    let header = read(&file).unwrap();
    assert_eq!(header.version, 3);
    assert_eq!(header.metadata["general.architecture"], "flux");
    assert_eq!(header.metadata["general.file_type"], "7");
    assert!(!header.metadata.contains_key("tokens"));
    let w = &header.tensors["w"];
    assert_eq!((w.ggml_type, w.shape.as_slice(), w.end - w.start), (GgmlType::Q8_0, &[3, 64][..], 204));
    assert_eq!(header.tensors["b"].end, file.len() as u64);
    assert_eq!(header.data_start % 32, 0);
}

#[test]
fn counts_and_lengths_are_capped_before_anything_is_allocated() {
    let huge = |tensors, pairs| read(&Writer::new(3, tensors, pairs).0).unwrap_err();
    assert!(matches!(huge(u64::MAX, 0), GgufError::TooMany { what: "tensors", .. }));
    assert!(matches!(huge(0, u64::MAX), GgufError::TooMany { what: "pairs", .. }));
    assert!(matches!(huge(1, 0), GgufError::HeaderTooLong { .. }));
    let mut long_name = Writer::new(3, 1, 0);
    long_name.u64(1 << 40);
    assert!(matches!(read(&long_name.0).unwrap_err(), GgufError::NameTooLong { .. }));
    let mut long_text = Writer::new(3, 0, 1);
    long_text.text("k").u32(TEXT).u64(u64::MAX);
    assert!(matches!(read(&long_text.0).unwrap_err(), GgufError::HeaderTooLong { .. }));
    for element in [0, 2, 4, 10, TEXT, LIST] {
        let mut long_list = Writer::new(3, 0, 1);
        long_list.text("k").u32(LIST).u32(element).u64(u64::MAX);
        assert!(matches!(read(&long_list.0).unwrap_err(), GgufError::HeaderTooLong { .. }), "{element}");
    }
    let mut nested = Writer::new(3, 0, 1);
    nested.text("k").u32(LIST);
    for _ in 0..64 {
        nested.u32(LIST).u64(1);
    }
    assert!(matches!(read(&nested.0).unwrap_err(), GgufError::NestedTooDeeply { .. }));
}

#[test]
fn broken_rules_are_named() {
    assert!(matches!(read(b"GGUX\x03\0\0\0").unwrap_err(), GgufError::NoMagic));
    assert!(matches!(read(&Writer::new(1, 0, 0).0).unwrap_err(), GgufError::UnknownVersion { version: 1 }));
    let one = |dimensions: &[u64], ggml_type, offset| {
        let mut writer = Writer::new(2, 1, 0);
        writer.tensor("w", dimensions, ggml_type, offset);
        read(writer.data(256)).unwrap_err()
    };
    assert!(matches!(one(&[1, 1, 1, 1, 1], 0, 0), GgufError::TooManyDimensions { rank: 5, .. }));
    assert!(matches!(one(&[32], 99, 0), GgufError::UnknownType { ggml_type: 99, .. }));
    assert!(matches!(one(&[31], 8, 0), GgufError::RowsNotBlocks { block: 32, .. }));
    assert!(matches!(one(&[32], 8, 8), GgufError::Misaligned { offset: 8, .. }));
    assert!(matches!(one(&[u64::MAX, 2], 0, 0), GgufError::ShapeOverflow { .. }));
    assert!(matches!(one(&[1 << 62], 0, 0), GgufError::ShapeOverflow { .. }));
    assert!(matches!(one(&[1 << 40], 0, 0), GgufError::PastEnd { .. }));
    assert!(matches!(one(&[1], 0, u64::MAX - 31), GgufError::PastEnd { .. }));
    let mut twice = Writer::new(3, 2, 0);
    twice.tensor("w", &[8], 0, 0).tensor("w", &[8], 0, 32);
    assert!(matches!(read(twice.data(64)).unwrap_err(), GgufError::DuplicateName { .. }));
    let mut overlapping = Writer::new(3, 2, 0);
    overlapping.tensor("v", &[16], 0, 0).tensor("w", &[8], 0, 32);
    assert!(matches!(read(overlapping.data(64)).unwrap_err(), GgufError::Overlap { .. }));
    let mut alignment = Writer::new(3, 0, 1);
    alignment.text("general.alignment").u32(4).u32(0);
    assert!(matches!(read(&alignment.0).unwrap_err(), GgufError::BadAlignment { alignment: 0 }));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut file = b"GGUF\x03\0\0\0".to_vec();
        file.extend_from_slice(&bytes);
        read(&file).ok();
    }

    #[test]
    fn no_changed_byte_makes_it_panic(position in 0_usize..4_096, byte in any::<u8>(), cut in 0_usize..64) {
        let mut file = sample();
        let position = position % file.len();
        file[position] = byte;
        file.truncate(file.len() - cut);
        if let Ok(header) = read(&file) {
            prop_assert!(header.tensors.values().all(|info| info.end <= file.len() as u64));
        }
    }
}
