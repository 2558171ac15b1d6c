//! Files for tests: the tiny model, listings of real architectures, and files written byte by byte.

use crate::safetensors::{Dtype, Header, TensorInfo, read_header};
use crate::stable_diffusion::{Parameters, canonical_shapes, diffusers_recipes};
use std::io::Cursor;
use std::path::PathBuf;

pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(path)
}

pub(crate) fn bytes_of(path: &str) -> Vec<u8> {
    std::fs::read(fixture(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn header_of(path: &str) -> Header {
    let mut file = std::fs::File::open(fixture(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let length = file.metadata().unwrap().len();
    read_header(&mut file, length).unwrap()
}

/// A header of half-precision tensors laid out one after another.
pub(crate) fn made_of<'a>(tensors: impl IntoIterator<Item = (&'a str, Vec<usize>)>) -> Header {
    let mut header = Header::default();
    let mut start = 0;
    for (name, shape) in tensors {
        let end = start + 2 * shape.iter().map(|&size| size as u64).product::<u64>();
        header.tensors.insert(name.to_owned(), TensorInfo { dtype: Dtype::F16, shape, start, end });
        start = end;
    }
    header
}

/// A listing under `tests/fixtures/headers`, its names behind `prefix`.
pub(crate) fn listing(name: &str, prefix: &str) -> Header {
    let text = String::from_utf8(bytes_of(&format!("headers/{name}.txt"))).unwrap();
    let lines: Vec<(String, Vec<usize>)> = text
        .lines()
        .map(|line| {
            let mut words = line.split(' ');
            let name = format!("{prefix}{}", words.next().unwrap());
            (name, words.map(|word| word.parse().unwrap()).collect())
        })
        .collect();
    made_of(lines.iter().map(|(name, shape)| (name.as_str(), shape.clone())))
}

/// The canonical parameters of the tiny model.
pub(crate) fn tiny_parameters() -> Parameters {
    let header = header_of("tiny-model/tiny-emoji.safetensors");
    canonical_shapes(&header, &diffusers_recipes(&header).unwrap())
}

/// A safetensors file of this JSON and as many zeroes.
pub(crate) fn safetensors_file(json: &str, data_bytes: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    file.resize(file.len() + data_bytes, 0);
    file
}

pub(crate) fn reader(bytes: &[u8]) -> (Cursor<&[u8]>, u64) {
    (Cursor::new(bytes), bytes.len() as u64)
}
