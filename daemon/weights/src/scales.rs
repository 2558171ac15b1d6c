//! Weights that were made smaller and are brought back to size by scales beside them.
//!
//! ComfyUI's files of scaled fp8 keep a weight divided by a number, and the number in a tensor of its own: `.scale_weight`
//! in older files, which a tensor `scaled_fp8` marks (Comfy-Org/ComfyUI `comfy/ops.py` and `comfy/model_detection.py` at
//! a125cd84), `.weight_scale` in newer ones, where a JSON object says each layer's format: as bytes in `.comfy_quant` or
//! all together in the metadata's `_quantization_metadata` (`comfy/ops.py` and `comfy/quant_ops.py` at 0271a469,
//! `QUANTIZATION.md` at 311c0140). A scale is one number, or one for each row as leejet/stable-diffusion.cpp takes it
//! (`scripts/convert_fp8_scale_to_bf16.py` at 97d29908). The weight is the product, computed in f32. `.scale_input` and
//! `.input_scale` are for sums in fp8, which are not made here.
//!
//! Whatever else keeps something beside weights (blocks, four bits, rotations) would be painted wrong if it were taken for
//! one of these, so it is refused by name.

use crate::detect::{Listing, quantisation};
use crate::safetensors::{Dtype, Header, TensorInfo};
use crate::shapes::{for_message, split_last};
use paintbox_domain::{Classify, ErrorClass, reason};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

/// The JSON of one layer has about a hundred bytes.
const MAX_LAYER_JSON_BYTES: u64 = 64 << 10;
/// Formats that a scale undoes: of the whole tensor, and of each row as silveroxides/convert_to_quant names it.
const FORMATS: [&str; 3] = ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fn_rowwise"];
/// What other methods keep beside a weight, and what to call them.
const OTHER_PARTS: [(&str, &str); 6] = [
    ("weight_scale_2", "nvfp4"),
    ("pre_quant_scale", "scaled inputs (AWQ)"),
    ("weight_scalar", "hybrid_mxfp8"),
    ("weight_s_rel", "asym_w4a8_int8"),
    ("weight_codebook", "a codebook"),
    ("weight_scale_inv", "fp8 in blocks"),
];

/// What a weight is multiplied by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// The scale's own name in the file.
    pub tensor: String,
    pub info: TensorInfo,
}

/// The scales of a file by the names of the weights.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scales(BTreeMap<String, Scale>);

/// Why a file's quantised weights cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ScaleError {
    #[error("what the file says of its quantised weights could not be read")]
    Read {
        #[source]
        source: std::io::Error,
    },
    #[error("{origin} is not the JSON of quantised weights")]
    Json {
        origin: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{origin} takes {bytes} bytes, which is not the JSON of one layer")]
    NoJson { origin: String, bytes: u64 },
    #[error("the weights are quantised as {method}; fp8 is read, plain or with one scale for each tensor or row")]
    Method { method: String, tensor: Option<String> },
    #[error("scale `{tensor}` of shape {shape:?} is neither one number nor one for each row of a weight of {weight:?}")]
    Blocks { tensor: String, shape: Vec<usize>, weight: Vec<usize> },
    #[error("tensor `{tensor}` is stored as {dtype}, which {part} cannot be")]
    Type { tensor: String, dtype: Dtype, part: &'static str },
    #[error("the file has no scale for the quantised weight `{weight}`")]
    NoScale { weight: String },
    #[error("the file has no weight `{weight}` for its scale `{tensor}`")]
    NoWeight { weight: String, tensor: String },
    #[error("`{first}` and `{second}` are both a scale of `{weight}`")]
    Twice { weight: String, first: String, second: String },
}

impl Classify for ScaleError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { .. } => ErrorClass::Internal,
            Self::Method { .. } | Self::Blocks { .. } | Self::Type { .. } => ErrorClass::Unsupported,
            Self::Json { .. }
            | Self::NoJson { .. }
            | Self::NoScale { .. }
            | Self::NoWeight { .. }
            | Self::Twice { .. } => ErrorClass::DataLoss,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => reason::STORE_FAILED,
            Self::Method { .. } | Self::Blocks { .. } | Self::Type { .. } => reason::UNSUPPORTED_ARCHITECTURE,
            Self::Json { .. }
            | Self::NoJson { .. }
            | Self::NoScale { .. }
            | Self::NoWeight { .. }
            | Self::Twice { .. } => reason::MALFORMED_FILE,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Method { .. } | Self::Blocks { .. } | Self::Type { .. } => {
                Some("look for the same model in fp16, bf16 or fp8".to_owned())
            }
            _ => None,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Read { .. } => Vec::new(),
            Self::Json { origin, .. } => vec![("origin", origin.clone())],
            Self::NoJson { origin, bytes } => vec![("origin", origin.clone()), ("bytes", bytes.to_string())],
            Self::Method { method, tensor } => {
                let mut metadata = vec![("method", method.clone())];
                metadata.extend(tensor.clone().map(|tensor| ("tensor", tensor)));
                metadata
            }
            Self::Blocks { tensor, shape, weight } => vec![
                ("tensor", tensor.clone()),
                ("shape", format!("{shape:?}")),
                ("weight_shape", format!("{weight:?}")),
            ],
            Self::Type { tensor, dtype, .. } => vec![("tensor", tensor.clone()), ("dtype", dtype.to_string())],
            Self::NoScale { weight } => vec![("tensor", weight.clone())],
            Self::NoWeight { weight, tensor } => vec![("tensor", tensor.clone()), ("weight", weight.clone())],
            Self::Twice { weight, first, second } => {
                vec![("weight", weight.clone()), ("first", first.clone()), ("second", second.clone())]
            }
        }
    }
}

/// What a name beside weights stands for.
enum Part {
    /// A scale of this weight.
    ScaleOf(String),
    /// The JSON of the layer of this name.
    FormatOf(String),
    /// Nothing that is needed to read weights.
    Aside,
    Other(&'static str),
    /// A tensor of the model.
    None,
}

impl Part {
    fn of(name: &str) -> Self {
        let (stem, leaf) = split_last(name).unwrap_or(("", name));
        match leaf {
            "scale_weight" => Self::ScaleOf(format!("{stem}.weight")),
            // Of a layer's `weight`, and of OpenCLIP's `in_proj_weight`.
            _ if leaf.ends_with("weight_scale") => Self::ScaleOf(name.trim_end_matches("_scale").to_owned()),
            "comfy_quant" => Self::FormatOf(stem.to_owned()),
            "scale_input" | "input_scale" | "scaled_fp8" => Self::Aside,
            _ => match OTHER_PARTS.iter().find(|(part, _)| *part == leaf) {
                Some((_, method)) => Self::Other(method),
                None => Self::None,
            },
        }
    }
}

/// What is said of one layer.
#[derive(Deserialize)]
struct Layer {
    format: Option<String>,
}

/// `_quantization_metadata`.
#[derive(Deserialize)]
struct Layers {
    layers: BTreeMap<String, Layer>,
}

impl Scales {
    /// Takes what belongs to quantisation out of a file's header, so that what stays are the tensors of the model. The
    /// reader is the file's, from its beginning.
    ///
    /// # Errors
    /// See [`ScaleError`]; the file is then left alone, and the header may have lost some of it.
    pub fn take_from(header: &mut Header, reader: &mut (impl Read + Seek)) -> Result<Self, ScaleError> {
        match quantisation::find(&Listing::of_safetensors(header)) {
            None | Some("scaled_fp8" | "scaled") => {}
            Some(method) => return Err(ScaleError::Method { method: method.to_owned(), tensor: None }),
        }
        let mut scales = Self::default();
        let mut formats: Vec<(String, Layer)> = Vec::new();
        let parts: Vec<(String, Part)> = header.tensors.keys().map(|name| (name.clone(), Part::of(name))).collect();
        for (name, part) in parts {
            if matches!(part, Part::None) {
                continue;
            }
            let Some(info) = header.tensors.remove(&name) else { continue };
            match part {
                Part::None | Part::Aside => {}
                Part::Other(method) => {
                    return Err(ScaleError::Method { method: method.to_owned(), tensor: Some(for_message(&name)) });
                }
                Part::FormatOf(layer) => formats.push((layer, read_layer(&name, &info, reader)?)),
                Part::ScaleOf(weight) => {
                    let scale = Scale { tensor: name, info };
                    if let Some(first) = scales.0.get(&weight) {
                        let (first, second) = (for_message(&first.tensor), for_message(&scale.tensor));
                        return Err(ScaleError::Twice { weight: for_message(&weight), first, second });
                    }
                    scales.0.insert(weight, scale);
                }
            }
        }
        const METADATA: &str = "_quantization_metadata";
        if let Some(text) = header.metadata.get(METADATA) {
            let json = |source| ScaleError::Json { origin: METADATA.to_owned(), source };
            formats.extend(serde_json::from_str::<Layers>(text).map_err(json)?.layers);
        }
        for (layer, said) in formats {
            scales.check_format(header, &layer, said)?;
        }
        for (weight, scale) in &scales.0 {
            check_scale(header, weight, scale)?;
        }
        Ok(scales)
    }

    /// The scale of a weight, if it has one.
    #[must_use]
    pub fn of(&self, weight: &str) -> Option<&Scale> {
        self.0.get(weight)
    }

    /// A layer that the file says something of must be as it is said, if it is there.
    fn check_format(&self, header: &Header, layer: &str, said: Layer) -> Result<(), ScaleError> {
        let weight = format!("{layer}.weight");
        let Some(info) = header.tensors.get(&weight) else { return Ok(()) };
        let format = said.format.unwrap_or_else(|| "nothing that is named".to_owned());
        if !FORMATS.contains(&format.as_str()) {
            return Err(ScaleError::Method { method: for_message(&format), tensor: Some(for_message(&weight)) });
        }
        if !matches!(info.dtype, Dtype::F8E4M3 | Dtype::F8E5M2) {
            let part = "a weight that is said to be fp8";
            return Err(ScaleError::Type { tensor: for_message(&weight), dtype: info.dtype, part });
        }
        if self.0.contains_key(&weight) { Ok(()) } else { Err(ScaleError::NoScale { weight: for_message(&weight) }) }
    }
}

fn check_scale(header: &Header, weight: &str, scale: &Scale) -> Result<(), ScaleError> {
    let Some(info) = header.tensors.get(weight) else {
        return Err(ScaleError::NoWeight { weight: for_message(weight), tensor: for_message(&scale.tensor) });
    };
    if !info.dtype.is_float() {
        let part = "a weight that has a scale";
        return Err(ScaleError::Type { tensor: for_message(weight), dtype: info.dtype, part });
    }
    // Scales of blocks are numbers of eight bits.
    if !matches!(scale.info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
        let part = "the scale of a tensor or of rows";
        return Err(ScaleError::Type { tensor: for_message(&scale.tensor), dtype: scale.info.dtype, part });
    }
    let is_by_row = match scale.info.shape.split_first() {
        Some((rows, rest)) => Some(rows) == info.shape.first() && rest.iter().all(|size| *size == 1),
        None => false,
    };
    if scale.info.elements() == 1 || is_by_row {
        return Ok(());
    }
    let (tensor, shape, weight) = (for_message(&scale.tensor), scale.info.shape.clone(), info.shape.clone());
    Err(ScaleError::Blocks { tensor, shape, weight })
}

fn read_layer(name: &str, info: &TensorInfo, reader: &mut (impl Read + Seek)) -> Result<Layer, ScaleError> {
    let origin = || format!("tensor `{}`", for_message(name));
    if info.len_bytes() > MAX_LAYER_JSON_BYTES || info.dtype.bits() != 8 {
        return Err(ScaleError::NoJson { origin: origin(), bytes: info.len_bytes() });
    }
    let mut bytes = vec![0; info.len_bytes() as usize];
    let read = reader.seek(SeekFrom::Start(info.start)).and_then(|_| reader.read_exact(&mut bytes));
    read.map_err(|source| ScaleError::Read { source })?;
    serde_json::from_slice(&bytes).map_err(|source| ScaleError::Json { origin: origin(), source })
}

#[cfg(test)]
#[path = "scales_tests.rs"]
mod tests;
