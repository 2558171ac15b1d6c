//! Each rule of the format broken once, and the reference implementation's files read back.

use super::*;
use crate::test_files::{header_of, reader, safetensors_file};
use ::safetensors::tensor::TensorView;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Result<Header, HeaderError> {
    let (mut cursor, length) = reader(bytes);
    read_header(&mut cursor, length)
}

fn broken(json: &str, data_bytes: usize) -> HeaderError {
    read(&safetensors_file(json, data_bytes)).unwrap_err()
}

#[test]
fn the_tiny_checkpoint_has_955_tensors_and_its_metadata() {
    let header = header_of("tiny-model/tiny-emoji.safetensors");
    assert_eq!(header.tensors.len(), 955);
    assert_eq!(header.metadata.get("modelspec.title").map(String::as_str), Some("tiny-emoji"));
    let last = header.tensors.values().map(|info| info.end).max();
    assert_eq!(last, Some(16_138_214));
}

#[test]
fn a_tensor_lies_where_the_offsets_say_counted_from_the_beginning_of_the_file() {
    let json = r#"{"__metadata__":{"k":"v"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[4,16]},"a":{"dtype":"I32","shape":[],"data_offsets":[0,4]}}"#;
    let header = read(&safetensors_file(json, 16)).unwrap();
    let data_start = 8 + json.len() as u64;
    assert_eq!(header.data_start, data_start);
    let b = &header.tensors["b"];
    assert_eq!((b.start, b.end, b.elements(), b.len_bytes()), (data_start + 4, data_start + 16, 6, 12));
    assert_eq!(header.tensors["a"].elements(), 1);
    assert_eq!(header.metadata["k"], "v");
}

#[test]
fn empty_tensors_and_padding_and_no_tensors_at_all_are_sound() {
    let json = r#"{"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}    "#;
    assert_eq!(read(&safetensors_file(json, 1)).unwrap().tensors.len(), 2);
    assert_eq!(read(&safetensors_file("{}", 0)).unwrap().tensors.len(), 0);
    assert_eq!(read(&safetensors_file(r#"{"__metadata__":null}"#, 0)).unwrap().metadata.len(), 0);
}

#[test]
fn half_bytes_are_counted_in_bits() {
    let json = r#"{"a":{"dtype":"F4","shape":[3,2],"data_offsets":[0,3]}}"#;
    assert_eq!(read(&safetensors_file(json, 3)).unwrap().tensors["a"].len_bytes(), 3);
    let json = r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#;
    assert!(matches!(broken(json, 2), HeaderError::NotWholeBytes { bits: 12, .. }));
}

#[test]
fn the_length_in_front_is_never_trusted() {
    assert!(matches!(read(b"").unwrap_err(), HeaderError::TooShort { file_bytes: 0 }));
    assert!(matches!(read(&[2, 0, 0, 0, 0, 0, 0, 0]).unwrap_err(), HeaderError::TooShort { .. }));
    let mut huge = (1_u64 << 63).to_le_bytes().to_vec();
    huge.extend_from_slice(b"{}");
    assert!(
        matches!(read(&huge).unwrap_err(), HeaderError::HeaderTooLarge { header_bytes, .. } if header_bytes == 1 << 63)
    );
    let mut beyond = 1_000_u64.to_le_bytes().to_vec();
    beyond.extend_from_slice(b"{}");
    assert!(matches!(read(&beyond).unwrap_err(), HeaderError::HeaderPastEnd { header_bytes: 1_000, file_bytes: 10 }));
    // The file is shorter than the caller was told.
    let (mut cursor, _) = reader(&beyond);
    let error = read_header(&mut cursor, 5_000).unwrap_err();
    assert!(matches!(error, HeaderError::Read { .. }));
    assert_eq!(error.reason(), reason::MALFORMED_FILE);
}

#[test]
fn the_json_is_an_object_of_tensors_in_utf8() {
    assert!(matches!(broken("[]", 0), HeaderError::NotAnObject));
    assert!(matches!(broken(" {}", 0), HeaderError::NotAnObject));
    assert!(matches!(broken("{}x", 0), HeaderError::Json { .. }));
    assert!(matches!(broken(r#"{"a":1}"#, 0), HeaderError::Json { .. }));
    assert!(matches!(broken(r#"{"a":{"dtype":"F32"}}"#, 0), HeaderError::Json { .. }));
    assert!(matches!(
        broken(r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4),
        HeaderError::Json { .. }
    ));
    assert!(matches!(
        broken(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}"#, 4),
        HeaderError::Json { .. }
    ));
    assert!(matches!(broken(r#"{"__metadata__":{"a":1}}"#, 0), HeaderError::Json { .. }));
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(broken(&deep, 0), HeaderError::Json { .. }));
    let mut file = safetensors_file(r#"{"ab":1}"#, 0);
    file[10] = 0xff;
    assert!(matches!(read(&file).unwrap_err(), HeaderError::NotUtf8 { .. }));
}

#[test]
fn keys_that_come_twice_are_refused() {
    let tensor = r#"{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#;
    let json = format!(r#"{{"a":{tensor},"a":{tensor}}}"#);
    assert!(matches!(broken(&json, 1), HeaderError::DuplicateName { name } if name == "a"));
    let json = r#"{"__metadata__":{"k":"1","k":"2"}}"#;
    assert!(matches!(broken(json, 0), HeaderError::DuplicateMetadata { key } if key == "k"));
    let json = r#"{"__metadata__":{},"__metadata__":{}}"#;
    assert!(matches!(broken(json, 0), HeaderError::DuplicateName { .. }));
    let json = r#"{"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,1]}}"#;
    assert!(matches!(broken(json, 1), HeaderError::Json { .. }));
}

#[test]
fn types_and_shapes_are_checked_with_care_for_overflow() {
    let json = r#"{"a":{"dtype":"F128","shape":[1],"data_offsets":[0,16]}}"#;
    assert!(matches!(broken(json, 16), HeaderError::UnknownDtype { dtype, .. } if dtype == "F128"));
    let json = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}}"#;
    assert!(matches!(broken(json, 4), HeaderError::ShapeOverflow { .. }));
    let json = r#"{"a":{"dtype":"F32","shape":[9223372036854775807],"data_offsets":[0,4]}}"#;
    assert!(matches!(broken(json, 4), HeaderError::ShapeOverflow { .. }));
    let shape = vec!["1"; MAX_RANK + 1].join(",");
    let json = format!(r#"{{"a":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,1]}}}}"#);
    assert!(matches!(broken(&json, 1), HeaderError::TooManyDimensions { .. }));
    let json = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#;
    assert!(matches!(broken(json, 4), HeaderError::SpanMismatch { span_bytes: 4, shape_bytes: 8, .. }));
}

#[test]
fn offsets_cover_the_data_exactly_once() {
    let two = |first: &str, second: &str| {
        format!(
            r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{first}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{second}}}}}"#
        )
    };
    assert!(
        matches!(broken(&two("[0,4]", "[2,6]"), 8), HeaderError::Overlap { first, second } if first == "a" && second == "b")
    );
    assert!(matches!(broken(&two("[0,4]", "[0,4]"), 8), HeaderError::Overlap { .. }));
    assert!(matches!(broken(&two("[0,4]", "[6,10]"), 10), HeaderError::Hole { bytes: 2, .. }));
    assert!(matches!(broken(&two("[4,8]", "[8,12]"), 12), HeaderError::Hole { bytes: 4, .. }));
    assert!(matches!(broken(&two("[0,4]", "[4,8]"), 9), HeaderError::TrailingBytes { bytes: 1 }));
    assert!(matches!(broken(&two("[0,4]", "[4,8]"), 7), HeaderError::OffsetPastEnd { .. }));
    assert!(matches!(broken(&two("[4,0]", "[4,8]"), 8), HeaderError::OffsetsReversed { start: 4, end: 0, .. }));
    let far = two("[0,4]", "[18446744073709551612,18446744073709551615]");
    assert!(matches!(broken(&far, 8), HeaderError::OffsetPastEnd { .. }));
}

#[test]
fn more_tensors_than_any_model_has_are_refused_without_keeping_them() {
    let tensor = r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
    let mut json = String::from("{");
    for index in 0..=MAX_TENSORS {
        json.push_str(&format!("{}\"{index}\":{tensor}", if index == 0 { "" } else { "," }));
    }
    json.push('}');
    assert!(matches!(broken(&json, 0), HeaderError::TooManyTensors { limit: MAX_TENSORS }));
}

#[test]
fn long_names_are_cut_in_messages() {
    let name = "n".repeat(10_000);
    let error = broken(&format!(r#"{{"{name}":{{"dtype":"?","shape":[],"data_offsets":[0,0]}}}}"#), 0);
    assert!(error.to_string().len() < 400, "{}", error.to_string().len());
}

fn reference_dtype() -> impl Strategy<Value = (::safetensors::Dtype, Dtype)> {
    prop::sample::select(vec![
        (::safetensors::Dtype::F16, Dtype::F16),
        (::safetensors::Dtype::BF16, Dtype::BF16),
        (::safetensors::Dtype::F32, Dtype::F32),
        (::safetensors::Dtype::I64, Dtype::I64),
        (::safetensors::Dtype::U8, Dtype::U8),
        (::safetensors::Dtype::BOOL, Dtype::Bool),
        (::safetensors::Dtype::F8_E4M3, Dtype::F8E4M3),
    ])
}

proptest! {
    #[test]
    fn what_the_reference_implementation_writes_reads_back(
        tensors in prop::collection::btree_map(
            "[a-z.é\"_0-9]{1,24}",
            (reference_dtype(), prop::collection::vec(0_usize..5, 0..5)),
            // With metadata but no tensor, the reference (0.8.0) writes a header that is no JSON.
            1..12,
        ),
        metadata in prop::collection::hash_map("[a-z_.]{0,12}", ".{0,20}", 0..4),
    ) {
        let data: BTreeMap<_, _> = tensors
            .iter()
            .map(|(name, ((_, ours), shape))| {
                let bytes = shape.iter().product::<usize>() * (ours.bits() as usize / 8);
                (name.clone(), vec![name.len() as u8; bytes])
            })
            .collect();
        let views: Vec<_> = tensors
            .iter()
            .map(|(name, ((theirs, _), shape))| (name.clone(), TensorView::new(*theirs, shape.clone(), &data[name]).unwrap()))
            .collect();
        let file = ::safetensors::serialize(views, Some(metadata.clone())).unwrap();
        let header = read(&file).unwrap();
        prop_assert_eq!(header.tensors.len(), tensors.len());
        for (name, ((_, ours), shape)) in &tensors {
            let info = &header.tensors[name];
            prop_assert_eq!(info.dtype, *ours);
            prop_assert_eq!(&info.shape, shape);
            prop_assert_eq!(&file[info.start as usize..info.end as usize], data[name].as_slice());
        }
        prop_assert_eq!(header.metadata.into_iter().collect::<std::collections::HashMap<_, _>>(), metadata);
    }

    #[test]
    fn what_we_accept_of_a_mutated_file_the_reference_accepts_too(
        position in 0_usize..400,
        byte in any::<u8>(),
        cut in 0_usize..64,
    ) {
        let json = r#"{"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[],"data_offsets":[12,16]},"c":{"dtype":"F8_E4M3","shape":[0],"data_offsets":[16,16]}}"#;
        let mut file = safetensors_file(json, 16);
        let position = position % file.len();
        file[position] = byte;
        file.truncate(file.len() - cut % 20);
        if let Ok(header) = read(&file) {
            let theirs = ::safetensors::SafeTensors::deserialize(&file);
            prop_assert!(theirs.is_ok(), "{:?}", theirs.err());
            prop_assert_eq!(theirs.unwrap().len(), header.tensors.len());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), length in any::<u64>()) {
        let (mut cursor, real_length) = reader(&bytes);
        read_header(&mut cursor, real_length).ok();
        read_header(&mut cursor, length).ok();
    }
}
