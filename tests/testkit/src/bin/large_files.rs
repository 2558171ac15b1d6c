//! A few large files on both hubs as a program: what `tests/bench/downloads.py` downloads.
//!
//! `large-files [--files N] [--bytes N] [--civitai]`, by default four files of 2 GB. All of them are valid safetensors
//! files, of one repository on Hugging Face; with `--civitai` they are also the versions of one model there, which
//! takes longer to begin with, because that site lists more digests. Memory holds every byte once.
//!
//! Prints one line of JSON with the endpoints and names, then serves until standard input closes.

use bytes::Bytes;
use paintbox_testkit::{FakeCivitaiModel, FakeFile, FakeHub, FakeRepository, FakeVersion};
use serde_json::json;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};

const REPOSITORY: &str = "bench/large";
const FILES: usize = 4;
const FILE_BYTES: usize = 2_000_000_000;
/// What a file begins with, padding included: the header's length in eight bytes, and the header.
const HEADER_BYTES: usize = 256;
const LENGTH_FIELD_BYTES: usize = 8;
/// The one tensor is of f16.
const NUMBER_BYTES: usize = 2;

/// What the command line asks for.
struct Wanted {
    files: usize,
    file_bytes: usize,
    civitai: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let wanted = Wanted::from_arguments(std::env::args().skip(1))?;
    let files: BTreeMap<String, Bytes> = (1..=wanted.files)
        .map(|number| {
            let name = format!("model-{number:05}-of-{:05}.safetensors", wanted.files);
            (name, Bytes::from(safetensors(wanted.file_bytes, number as u64)))
        })
        .collect();
    let hub = FakeHub::start_blocking();
    let mut line = json!({
        "hf": hub.hf_endpoint(),
        "civitai": hub.civitai_endpoint(),
        "repository": REPOSITORY,
        "files": files.keys().collect::<Vec<_>>(),
        "civitai_references": [],
    });
    if wanted.civitai {
        line["civitai_references"] = json!(publish_on_civitai(&hub, &files));
    }
    hub.publish_repository(FakeRepository::new(REPOSITORY, files));
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    out.flush()?;
    // Whoever started this holds the other end open for as long as it wants the servers.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

impl Wanted {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut wanted = Self { files: FILES, file_bytes: FILE_BYTES, civitai: false };
        while let Some(argument) = arguments.next() {
            let value = match argument.as_str() {
                "--civitai" => {
                    wanted.civitai = true;
                    continue;
                }
                "--files" => &mut wanted.files,
                "--bytes" => &mut wanted.file_bytes,
                other => return Err(format!("{other}: only --files N, --bytes N and --civitai are understood").into()),
            };
            *value = arguments.next().ok_or_else(|| format!("{argument} wants a number"))?.parse()?;
        }
        if wanted.files == 0 || wanted.file_bytes <= HEADER_BYTES || !wanted.file_bytes.is_multiple_of(NUMBER_BYTES) {
            let least = HEADER_BYTES + NUMBER_BYTES;
            return Err(format!("at least one file, of an even number of bytes from {least} on").into());
        }
        Ok(wanted)
    }
}

/// A file of one tensor with numbers that no other `seed` gives, `file_bytes` long.
fn safetensors(file_bytes: usize, seed: u64) -> Vec<u8> {
    let tensor_bytes = file_bytes - HEADER_BYTES;
    let tensor = json!({
        "dtype": "F16", "shape": [tensor_bytes / NUMBER_BYTES], "data_offsets": [0, tensor_bytes],
    });
    let header = json!({"weight": tensor}).to_string();
    let header_bytes = HEADER_BYTES - LENGTH_FIELD_BYTES;
    let mut file = Vec::with_capacity(file_bytes);
    file.extend_from_slice(&(header_bytes as u64).to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    // The format has a header padded with spaces.
    file.resize(HEADER_BYTES, b' ');
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while file.len() < file_bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let number = state.to_le_bytes();
        file.extend_from_slice(&number[..number.len().min(file_bytes - file.len())]);
    }
    file
}

/// Makes each file a version of one model, because a version has one main file. Answers what the versions are called.
fn publish_on_civitai(hub: &FakeHub, files: &BTreeMap<String, Bytes>) -> Vec<String> {
    let mut model = FakeCivitaiModel::new("bench", "Checkpoint", "Large");
    for (name, bytes) in files {
        model = model.version(FakeVersion::new(name, "SD 1.5").file(FakeFile::model(name, bytes.clone())));
    }
    let published = hub.publish(model);
    published.versions.iter().map(|version| format!("civitai:{}@{}", published.id, version.id)).collect()
}
