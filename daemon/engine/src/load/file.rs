//! One file of tensors: its header, and its tensors read one at a time.

use super::fp8;
use crate::error::EngineError;
use candle_core::{Device, Tensor};
use half::slice::HalfFloatSliceExt;
use paintbox_weights::safetensors::{Dtype, Header, TensorInfo, read_header};
use paintbox_weights::{Scales, Sniffed, read_textual_inversion, sniff};
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Values that one thread reads and widens at once: what stays in its cache.
const LOT: usize = 64 << 10;
/// Halves that are put in order at once, for the processor's own conversion.
const PIECE: usize = 1 << 10;

/// A file whose header has been read and found sound.
#[derive(Debug)]
pub(crate) struct TensorFile {
    pub(crate) name: String,
    path: PathBuf,
    file: File,
    /// Of the model's own tensors: what belongs to quantisation is not in it.
    pub(crate) header: Header,
    scales: Scales,
}

impl TensorFile {
    /// `name` is how messages speak of the file.
    pub(crate) fn open(name: &str, path: &Path) -> Result<Self, EngineError> {
        let (file, size_bytes) = open(name, path)?;
        let mut reader = BufReader::new(&file);
        let mut header = read_header(&mut reader, size_bytes)
            .map_err(|source| EngineError::Header { file: name.to_owned(), source: Box::new(source) })?;
        let scales = Scales::take_from(&mut header, &mut reader)
            .map_err(|source| EngineError::Scales { file: name.to_owned(), source: Box::new(source) })?;
        Ok(Self { name: name.to_owned(), path: path.to_owned(), file, header, scales })
    }

    /// The same of a textual inversion, which may also be one that torch saved.
    pub(crate) fn open_embedding(name: &str, path: &Path) -> Result<Self, EngineError> {
        /// A zip's first name is in the first hundred.
        const HEAD_BYTES: u64 = 1_024;
        let (mut file, size_bytes) = open(name, path)?;
        let mut head = Vec::new();
        (&file).take(HEAD_BYTES).read_to_end(&mut head).map_err(|source| read_error(name, path, source))?;
        if sniff(&head) != Sniffed::Pickle {
            return Self::open(name, path);
        }
        let header = read_textual_inversion(&mut file, size_bytes)
            .map_err(|source| EngineError::Torch { file: name.to_owned(), source: Box::new(source) })?;
        Ok(Self { name: name.to_owned(), path: path.to_owned(), file, header, scales: Scales::default() })
    }

    /// A tensor by the name that the file has for it, in f32 on the CPU; `component` is what errors call the whole.
    ///
    /// # Errors
    /// When there is none of that name, its shape is another, or it cannot be read.
    pub(crate) fn tensor(&self, component: &'static str, name: &str, wanted: &[usize]) -> Result<Tensor, EngineError> {
        let Some(info) = self.header.tensors.get(name) else {
            return Err(EngineError::MissingTensor { component, tensor: name.to_owned() });
        };
        if info.shape != wanted {
            let (tensor, wanted, given) = (name.to_owned(), wanted.to_vec(), info.shape.clone());
            return Err(EngineError::TensorShape { tensor, wanted, given });
        }
        let values = self.read(name, info)?;
        Tensor::from_vec(values, wanted, &Device::Cpu).map_err(EngineError::computing("holding a tensor"))
    }

    /// The values of one tensor, widened to f32 and brought to size where the file keeps a scale for it. `tensor` is its
    /// name in the file, `info` where it lies, or some of its rows.
    pub(crate) fn read(&self, tensor: &str, info: &TensorInfo) -> Result<Vec<f32>, EngineError> {
        let mut values = self.widened(tensor, info)?;
        let Some(scale) = self.scales.of(tensor) else { return Ok(values) };
        let factors = self.widened(&scale.tensor, &scale.info)?;
        if let [factor] = factors[..] {
            values.iter_mut().for_each(|value| *value *= factor);
            return Ok(values);
        }
        let Some(whole) = self.header.tensors.get(tensor) else { return Ok(values) };
        let row = (whole.elements() as usize / factors.len().max(1)).max(1);
        let bits_before = (info.start - whole.start) * 8;
        let first = (bits_before / info.dtype.bits()) as usize / row;
        for (values, factor) in values.chunks_mut(row).zip(factors.iter().skip(first)) {
            values.iter_mut().for_each(|value| *value *= factor);
        }
        Ok(values)
    }

    /// The values as they are stored.
    fn widened(&self, tensor: &str, info: &TensorInfo) -> Result<Vec<f32>, EngineError> {
        let widen: fn(&[u8], &mut [f32]) = match info.dtype {
            Dtype::F32 => |bytes, values| {
                values
                    .iter_mut()
                    .zip(four_at_a_time(bytes))
                    .for_each(|(value, four)| *value = f32::from_le_bytes(four));
            },
            Dtype::F16 => |bytes, values| {
                let mut halves = [half::f16::ZERO; PIECE];
                for (bytes, values) in bytes.chunks(2 * PIECE).zip(values.chunks_mut(PIECE)) {
                    let halves = &mut halves[..values.len()];
                    halves.iter_mut().zip(two_at_a_time(bytes)).for_each(|(h, two)| *h = half::f16::from_le_bytes(two));
                    halves.convert_to_f32_slice(values);
                }
            },
            Dtype::BF16 => |bytes, values| {
                // The upper half of an f32.
                values.iter_mut().zip(two_at_a_time(bytes)).for_each(|(value, [low, high])| {
                    *value = f32::from_le_bytes([0, 0, low, high]);
                });
            },
            Dtype::F8E4M3 => |bytes, values| look_up(&fp8::E4M3, bytes, values),
            Dtype::F8E5M2 => |bytes, values| look_up(&fp8::E5M2, bytes, values),
            other => {
                return Err(EngineError::TensorType { tensor: tensor.to_owned(), dtype: format!("{other:?}") });
            }
        };
        let width = info.dtype.bits() as usize / 8;
        // The header's offsets lie within the file, whose length fits into memory-sized numbers.
        let count = usize::try_from(info.end - info.start).unwrap_or(usize::MAX) / width;
        let mut values = vec![0.0; count];
        // Each thread reads what it widens while that is in its cache; the file as it is stored is never in memory.
        let lots = values.par_chunks_mut(LOT).enumerate();
        lots.try_for_each_init(
            || vec![0; LOT * width],
            |buffer, (number, values)| {
                let bytes = &mut buffer[..values.len() * width];
                self.file.read_exact_at(bytes, info.start + (number * LOT * width) as u64)?;
                widen(bytes, values);
                Ok(())
            },
        )
        .map_err(|source| read_error(&self.name, &self.path, source))?;
        Ok(values)
    }
}

fn look_up(table: &[f32; 256], codes: &[u8], values: &mut [f32]) {
    values.iter_mut().zip(codes).for_each(|(value, code)| *value = table[usize::from(*code)]);
}

fn two_at_a_time(bytes: &[u8]) -> impl Iterator<Item = [u8; 2]> {
    bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]])
}

fn four_at_a_time(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    bytes.chunks_exact(4).map(|four| [four[0], four[1], four[2], four[3]])
}

/// A file and its length in bytes.
pub(crate) fn open(name: &str, path: &Path) -> Result<(File, u64), EngineError> {
    let opened = File::open(path).and_then(|file| file.metadata().map(|metadata| (file, metadata.len())));
    opened.map_err(|source| read_error(name, path, source))
}

/// The whole of a small text file.
pub(crate) fn read_text(name: &str, path: &Path) -> Result<Vec<u8>, EngineError> {
    /// CLIP's `tokenizer.json` has 2 MB.
    const LIMIT_BYTES: u64 = 32 << 20;
    let (file, size_bytes) = open(name, path)?;
    if size_bytes > LIMIT_BYTES {
        return Err(EngineError::OversizedText { file: name.to_owned(), size_bytes, limit_bytes: LIMIT_BYTES });
    }
    let mut bytes = Vec::new();
    file.take(LIMIT_BYTES).read_to_end(&mut bytes).map_err(|source| read_error(name, path, source))?;
    Ok(bytes)
}

fn read_error(name: &str, path: &Path, source: std::io::Error) -> EngineError {
    EngineError::ReadFile { name: name.to_owned(), path: path.to_owned(), source }
}
