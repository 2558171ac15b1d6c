//! The detection corpus: listings under `tests/detection`, put together into files as `labels.tsv` says, byte for byte
//! what a stranger's file begins with.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// One line of `labels.tsv`.
pub(crate) struct Entry {
    pub(crate) name: String,
    build: String,
    dtype: String,
    pub(crate) kind: String,
    pub(crate) architecture: String,
    /// `-` for none, `*` for any.
    pub(crate) family: String,
    pub(crate) variant: String,
}

/// A file's beginning, and how long the whole would be.
pub(crate) struct Beginning {
    pub(crate) bytes: Vec<u8>,
    pub(crate) file_len: u64,
}

pub(crate) type Tensors = BTreeMap<String, (Option<String>, Vec<u64>)>;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn read(path: &str) -> String {
    let path = folder().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn entries() -> Vec<Entry> {
    let labels = read("detection/labels.tsv");
    let lines = labels.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [name, build, dtype, kind, architecture, family, variant, _identity] = columns.as_slice() else {
                panic!("{line:?} has {} columns", columns.len());
            };
            let own = |text: &str| text.to_owned();
            Entry {
                name: own(name),
                build: own(build),
                dtype: own(dtype),
                kind: own(kind),
                architecture: own(architecture),
                family: own(family),
                variant: own(variant),
            }
        })
        .collect()
}

/// Every name that a pattern stands for: `{0-18}` is a range, `{q,k,v}` alternatives.
fn expand(pattern: &str, into: &mut Vec<String>) {
    let Some((before, rest)) = pattern.split_once('{') else {
        into.push(pattern.to_owned());
        return;
    };
    let (choices, after) = rest.split_once('}').unwrap_or_else(|| panic!("{pattern} is not closed"));
    let mut put = |choice: &str| expand(&format!("{before}{choice}{after}"), into);
    if let Some((first, last)) = choices.split_once('-')
        && let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>())
    {
        (first..=last).for_each(|number| put(&number.to_string()));
    } else {
        choices.split(',').for_each(put);
    }
}

fn listing(name: &str, prefix: &str, into: &mut Tensors) {
    let path = match name.strip_prefix("fixture:") {
        Some(fixture) => format!("fixtures/headers/{fixture}.txt"),
        None => format!("detection/listings/{name}.txt"),
    };
    for line in read(&path).lines() {
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let (pattern, dtype) = match word.rsplit_once(':') {
            Some((pattern, dtype)) => (pattern, Some(dtype.to_owned())),
            None => (word, None),
        };
        let size = |word: &str| word.parse().unwrap_or_else(|error| panic!("{name}: {line:?}: {error}"));
        let shape: Vec<u64> = words.map(size).collect();
        let mut names = Vec::new();
        expand(pattern, &mut names);
        for name in names {
            into.insert(format!("{prefix}{name}"), (dtype.clone(), shape.clone()));
        }
    }
}

impl Entry {
    pub(crate) fn is_gguf(&self) -> bool {
        self.dtype.starts_with('q')
    }

    /// The tensors of an entry: `prefix@listing + listing - part of a name`.
    pub(crate) fn tensors(&self) -> Tensors {
        let mut tensors = Tensors::new();
        let mut terms = self.build.split(' ');
        let mut sign = "+";
        while let Some(term) = terms.next() {
            match sign {
                "+" => {
                    let (prefix, name) = term.rsplit_once('@').unwrap_or(("", term));
                    // Some prefixes are themselves behind another.
                    listing(name, &prefix.replace('@', ""), &mut tensors);
                }
                "-" => tensors.retain(|name, _| !name.contains(term)),
                _ => panic!("{}: {sign:?} is no sign", self.build),
            }
            sign = terms.next().unwrap_or("+");
        }
        tensors
    }

    pub(crate) fn beginning(&self, tensors: &Tensors) -> Beginning {
        if self.is_gguf() { gguf(tensors, &self.dtype) } else { safetensors(tensors, &self.dtype, &BTreeMap::new()) }
    }
}

fn bits(dtype: &str) -> u64 {
    match dtype {
        "F64" | "I64" => 64,
        "F32" => 32,
        "F16" | "BF16" => 16,
        "F8_E4M3" | "U8" | "I8" => 8,
        other => panic!("{other} is no type of the corpus"),
    }
}

/// The header of a safetensors file of these tensors.
pub(crate) fn safetensors(tensors: &Tensors, dtype: &str, metadata: &BTreeMap<String, String>) -> Beginning {
    let usual = match dtype {
        "f16" => "F16",
        "bf16" => "BF16",
        "f32" => "F32",
        "f8" => "F8_E4M3",
        other => panic!("{other} is no type of the corpus"),
    };
    let mut entries = serde_json::Map::new();
    if !metadata.is_empty() {
        entries.insert("__metadata__".to_owned(), serde_json::json!(metadata));
    }
    let mut start = 0;
    for (name, (own, shape)) in tensors {
        let dtype = own.as_deref().unwrap_or(usual);
        let end = start + shape.iter().product::<u64>() * bits(dtype) / 8;
        let info = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
        entries.insert(name.clone(), info);
        start = end;
    }
    let json = serde_json::Value::Object(entries).to_string().into_bytes();
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    let file_len = bytes.len() as u64 + start;
    Beginning { bytes, file_len }
}

/// The header of a GGUF file: matrices quantised, what does not divide into blocks kept, as llama.cpp's tools do it.
fn gguf(tensors: &Tensors, dtype: &str) -> Beginning {
    const ALIGNMENT: u64 = 32;
    let (number, block, block_bytes) = match dtype {
        "q4_k" => (12_u32, 256, 144),
        "q8_0" => (8, 32, 34),
        other => panic!("{other} is no type of the corpus"),
    };
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    let mut offset = 0_u64;
    for (name, (_, shape)) in tensors {
        // Four dimensions are the most, so the first two of a convolution over time become one.
        let mut shape = shape.clone();
        while shape.len() > 4 {
            let first = shape.remove(0);
            shape[0] *= first;
        }
        let elements: u64 = shape.iter().product();
        let is_quantised = shape.len() == 2 && shape[1].is_multiple_of(block);
        let (number, length) = if is_quantised { (number, elements / block * block_bytes) } else { (0, elements * 4) };
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|size| bytes.extend(size.to_le_bytes()));
        bytes.extend(number.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        offset = (offset + length).next_multiple_of(ALIGNMENT);
    }
    let file_len = (bytes.len() as u64).next_multiple_of(ALIGNMENT) + offset;
    Beginning { bytes, file_len }
}
