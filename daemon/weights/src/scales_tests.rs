//! Every form of scales that is read, and every other one that must not be taken for it.

use super::*;
use crate::safetensors::read_header;
use std::fmt::Write as _;
use std::io::Cursor;

/// A file of these tensors, with the JSON of the metadata if there is any.
fn file(tensors: &[(&str, &str, &str, &[u8])], metadata: Option<&str>) -> Vec<u8> {
    let mut json = String::from("{");
    if let Some(text) = metadata {
        let entry = serde_json::json!({ "_quantization_metadata": text });
        write!(json, "\"__metadata__\":{entry},").unwrap();
    }
    let (mut at, mut data) = (0, Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let end = at + bytes.len();
        write!(json, "\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{at},{end}]}},").unwrap();
        at = end;
        data.extend_from_slice(bytes);
    }
    json.pop();
    json.push('}');
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    file.extend(data);
    file
}

fn scales(file: &[u8]) -> Result<(Header, Scales), ScaleError> {
    let mut reader = Cursor::new(file);
    let mut header = read_header(&mut reader, file.len() as u64).unwrap();
    Scales::take_from(&mut header, &mut reader).map(|scales| (header, scales))
}

const WEIGHT: (&str, &str, &str, &[u8]) = ("a.weight", "F8_E4M3", "[2,3]", &[0; 6]);
const FP8: &[u8] = br#"{"format":"float8_e4m3fn","full_precision_matrix_mult":true}"#;

fn bytes(text: &[u8]) -> String {
    format!("[{}]", text.len())
}

#[test]
fn a_file_without_scales_is_as_it_was() {
    let whole = file(&[WEIGHT, ("a.bias", "F16", "[2]", &[0; 4])], None);
    let (header, scales) = scales(&whole).unwrap();
    assert_eq!((header.tensors.len(), scales), (2, Scales::default()));
}

#[test]
fn scales_of_both_ages_are_found_and_what_stands_beside_them_is_taken_away() {
    let shape = bytes(FP8);
    let older = file(
        &[
            ("scaled_fp8", "F8_E4M3", "[0]", &[]),
            ("model.diffusion_model.scaled_fp8", "F8_E4M3", "[2]", &[0; 2]),
            WEIGHT,
            ("a.scale_weight", "F32", "[]", &[0; 4]),
            ("a.scale_input", "F32", "[]", &[0; 4]),
        ],
        None,
    );
    let newer = file(
        &[
            WEIGHT,
            ("a.weight_scale", "F32", "[1]", &[0; 4]),
            ("a.input_scale", "F32", "[]", &[0; 4]),
            ("a.comfy_quant", "U8", &shape, FP8),
        ],
        None,
    );
    let said = r#"{"format_version":"1.0","layers":{"a":{"format":"float8_e4m3fn"},"not.here":{"format":"nvfp4"}}}"#;
    let in_metadata = file(&[WEIGHT, ("a.weight_scale", "BF16", "[2,1]", &[0; 4])], Some(said));
    let of_rows = file(
        &[("x.in_proj_weight", "F8_E5M2", "[2,3]", &[0; 6]), ("x.in_proj_weight_scale", "F16", "[2]", &[0; 4])],
        None,
    );
    for (whole, weight, scale) in [
        (&older, "a.weight", "a.scale_weight"),
        (&newer, "a.weight", "a.weight_scale"),
        (&in_metadata, "a.weight", "a.weight_scale"),
        (&of_rows, "x.in_proj_weight", "x.in_proj_weight_scale"),
    ] {
        let (header, scales) = scales(whole).unwrap_or_else(|error| panic!("{scale}: {error}"));
        assert_eq!(header.tensors.keys().collect::<Vec<_>>(), [weight]);
        assert_eq!(scales.of(weight).map(|scale| scale.tensor.as_str()), Some(scale));
        assert_eq!(scales.of("b.weight"), None);
    }
}

#[test]
fn what_is_not_one_scale_for_a_tensor_or_a_row_is_refused_by_name() {
    let blocks = scales(&file(&[WEIGHT, ("a.scale_weight", "F32", "[2,3,1]", &[0; 24])], None)).unwrap_err();
    assert!(matches!(&blocks, ScaleError::Blocks { shape, .. } if *shape == [2, 3, 1]), "{blocks}");
    let columns = scales(&file(&[WEIGHT, ("a.weight_scale", "F32", "[3]", &[0; 12])], None)).unwrap_err();
    assert!(matches!(columns, ScaleError::Blocks { .. }), "{columns}");
    let exponents = scales(&file(&[WEIGHT, ("a.weight_scale", "U8", "[2]", &[0; 2])], None)).unwrap_err();
    assert!(matches!(exponents, ScaleError::Type { dtype: Dtype::U8, .. }), "{exponents}");
    let integers = [("a.weight", "I8", "[2,3]", &[0; 6][..]), ("a.weight_scale", "F32", "[]", &[0; 4])];
    let integers = scales(&file(&integers, None)).unwrap_err();
    assert!(matches!(integers, ScaleError::Type { dtype: Dtype::I8, .. }), "{integers}");

    for (format, part) in [("nvfp4", "F8_E4M3"), ("mxfp8", "F8_E4M3"), ("int8_tensorwise", "F8_E4M3")] {
        let json = format!(r#"{{"format":"{format}"}}"#);
        let shape = bytes(json.as_bytes());
        let layer =
            [WEIGHT, ("a.weight_scale", part, "[2]", &[0; 2]), ("a.comfy_quant", "U8", &shape, json.as_bytes())];
        let error = scales(&file(&layer, None)).unwrap_err();
        assert!(error.to_string().contains(format), "{error}");
        assert_eq!(error.reason(), reason::UNSUPPORTED_ARCHITECTURE);
        let metadata = format!(r#"{{"layers":{{"a":{json}}}}}"#);
        assert!(scales(&file(&[WEIGHT], Some(&metadata))).unwrap_err().to_string().contains(format));
    }
    for (part, method) in OTHER_PARTS {
        let error = scales(&file(&[WEIGHT, (&format!("a.{part}"), "F32", "[]", &[0; 4])], None)).unwrap_err();
        assert!(error.to_string().contains(method), "{error}");
    }
    let nf4 = [("a.weight", "U8", "[3,1]", &[0; 3][..]), ("a.weight.quant_state.bitsandbytes__nf4", "U8", "[1]", &[0])];
    assert!(scales(&file(&nf4, None)).unwrap_err().to_string().contains("nf4"));
}

#[test]
fn files_that_contradict_themselves_are_told() {
    let scale = ("a.weight_scale", "F32", "[]", &[0; 4][..]);
    let twice = scales(&file(&[WEIGHT, scale, ("a.scale_weight", "F32", "[]", &[0; 4])], None)).unwrap_err();
    assert!(matches!(twice, ScaleError::Twice { .. }), "{twice}");
    let alone = scales(&file(&[("b.weight", "F8_E4M3", "[1]", &[0]), scale], None)).unwrap_err();
    assert!(matches!(alone, ScaleError::NoWeight { .. }), "{alone}");
    let shape = bytes(FP8);
    let format = ("a.comfy_quant", "U8", shape.as_str(), FP8);
    let without = scales(&file(&[WEIGHT, format], None)).unwrap_err();
    assert!(matches!(without, ScaleError::NoScale { .. }), "{without}");
    let packed = [("a.weight", "F16", "[2,3]", &[0; 12][..]), scale, format];
    assert!(matches!(scales(&file(&packed, None)).unwrap_err(), ScaleError::Type { dtype: Dtype::F16, .. }));
    let text = scales(&file(&[WEIGHT, scale, ("a.comfy_quant", "U8", "[3]", b"fp8")], None)).unwrap_err();
    assert!(matches!(text, ScaleError::Json { .. }), "{text}");
    let wide = scales(&file(&[WEIGHT, scale, ("a.comfy_quant", "F32", "[1]", b"null")], None)).unwrap_err();
    assert!(matches!(wide, ScaleError::NoJson { .. }), "{wide}");
    assert!(matches!(scales(&file(&[WEIGHT], Some("[]"))).unwrap_err(), ScaleError::Json { .. }));
}

#[test]
fn a_long_json_is_not_read() {
    let long = vec![b' '; MAX_LAYER_JSON_BYTES as usize + 1];
    let shape = bytes(&long);
    let error = scales(&file(&[WEIGHT, ("a.comfy_quant", "U8", &shape, &long)], None)).unwrap_err();
    assert!(matches!(error, ScaleError::NoJson { bytes, .. } if bytes == MAX_LAYER_JSON_BYTES + 1), "{error}");
}
