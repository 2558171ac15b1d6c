//! The detection corpus, replayed: what a file is must be right in at least 99 of 100 files of every family and naming,
//! and an answer that is not `unknown` must never be wrong.

mod corpus;

use corpus::{Beginning, Entry, Tensors, entries};
use paintbox_domain::{Architecture, ModelKind};
use paintbox_weights::gguf::{self, GgmlType};
use paintbox_weights::{Detected, Dtype, Header, Listing, TensorInfo, detect, inspect};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Cursor;

fn judged(name: &str, Beginning { bytes, file_len }: &Beginning) -> Detected {
    inspect(&mut Cursor::new(bytes), *file_len).unwrap_or_else(|error| panic!("{name}: {error:?}")).detected
}

/// The answer for a set of tensors, without the way through a file's bytes.
fn detected(entry: &Entry, tensors: &Tensors) -> Detected {
    let shape = |shape: &[u64]| shape.iter().map(|&size| size as usize).collect();
    if entry.is_gguf() {
        let mut header = gguf::Header::default();
        for (name, (_, dimensions)) in tensors {
            let info = gguf::TensorInfo { ggml_type: GgmlType::Q8_0, shape: shape(dimensions), start: 0, end: 0 };
            header.tensors.insert(name.clone(), info);
        }
        return detect(&Listing::of_gguf(&header));
    }
    let mut header = Header::default();
    for (name, (_, dimensions)) in tensors {
        let info = TensorInfo { dtype: Dtype::F16, shape: shape(dimensions), start: 0, end: 0 };
        header.tensors.insert(name.clone(), info);
    }
    detect(&Listing::of_safetensors(&header))
}

/// Entries of one family. A mixture that loses one of its parts is the other part.
fn pure_entries() -> impl Iterator<Item = Entry> {
    entries().into_iter().filter(|entry| !entry.name.starts_with("mix-"))
}

/// Whether something was claimed: an architecture, or a kind of model.
fn is_confident(kind: &str, architecture: &str) -> bool {
    architecture != "unknown" || !matches!(kind, "unknown" | "other")
}

fn agrees(expected: &str, found: Option<&str>) -> bool {
    match expected {
        "*" => true,
        "-" => found.is_none(),
        expected => found == Some(expected),
    }
}

#[test]
fn the_corpus_is_told_apart() {
    let entries = entries();
    let mut wrong = String::new();
    let mut confusion: BTreeMap<(String, String), u32> = BTreeMap::new();
    let (mut right, mut confidently_wrong) = (0, 0);
    for entry in &entries {
        let found = judged(&entry.name, &entry.beginning(&entry.tensors()));
        let (kind, architecture) = (found.kind.as_str(), found.architecture.as_str());
        let is_named = agrees(&entry.family, found.family) && agrees(&entry.variant, found.variant);
        if (kind, architecture) == (entry.kind.as_str(), entry.architecture.as_str()) && is_named {
            right += 1;
            continue;
        }
        // An unknown architecture of the right kind is modest; another kind or another architecture is a claim.
        let is_claim = (architecture != "unknown" && architecture != entry.architecture)
            || (kind != entry.kind && is_confident(kind, architecture));
        confidently_wrong += u32::from(is_claim);
        let pair = (format!("{} {}", entry.kind, entry.architecture), format!("{kind} {architecture}"));
        *confusion.entry(pair).or_default() += 1;
        writeln!(
            wrong,
            "{}{}: {} {} {} {} was found to be {kind} {architecture} {:?} {:?}",
            if is_claim { "! " } else { "  " },
            entry.name,
            entry.kind,
            entry.architecture,
            entry.family,
            entry.variant,
            found.family,
            found.variant,
        )
        .unwrap();
    }
    for ((expected, found), count) in &confusion {
        writeln!(wrong, "{count:4} × {expected} → {found}").unwrap();
    }
    let total = entries.len();
    assert!(total >= 360, "{total} entries");
    assert_eq!(confidently_wrong, 0, "{right} of {total} right\n{wrong}");
    assert!(right * 100 >= total * 99, "{right} of {total} right\n{wrong}");
}

/// Every architecture that detection can answer is in the corpus, and so is every kind.
#[test]
fn the_corpus_covers_every_architecture() {
    let entries = entries();
    let missing: Vec<_> = Architecture::ALL
        .iter()
        .filter(|architecture| !entries.iter().any(|entry| entry.architecture == architecture.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    for kind in ModelKind::ALL {
        assert!(entries.iter().any(|entry| entry.kind == kind.as_str()), "{kind}");
    }
}

/// Small numbers from a seed, the same on every machine (an xorshift, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Pairs that a loss of tensors can turn into each other, because one is the other with something added.
const DESCENDANTS: [(&str, &str); 1] = [
    // Anima is Cosmos Predict 2 with an adapter for its text encoder.
    ("anima", "cosmos"),
];

fn may_become(from: &Entry, architecture: Architecture) -> bool {
    architecture == Architecture::Unknown
        || from.architecture == architecture.as_str()
        || DESCENDANTS.contains(&(from.architecture.as_str(), architecture.as_str()))
}

#[test]
fn a_loss_of_tensors_never_turns_one_family_into_another() {
    let seed = 0x5eed_u64;
    let mut dice = Dice(seed);
    for entry in pure_entries() {
        let whole = entry.tensors();
        for percent in [1, 5, 20, 50, 80, 95] {
            let kept: Tensors = whole
                .iter()
                .filter(|_| dice.below(100) >= percent)
                .map(|(name, info)| (name.clone(), info.clone()))
                .collect();
            let found = detected(&entry, &kept);
            assert!(
                may_become(&entry, found.architecture),
                "seed {seed:#x}: {} without {percent} % of its tensors became {} {:?}",
                entry.name,
                found.architecture,
                found.family
            );
        }
    }
}

#[test]
fn losing_a_whole_group_of_tensors_never_turns_one_family_into_another() {
    for entry in pure_entries() {
        let whole = entry.tensors();
        let mut groups: Vec<String> = whole
            .keys()
            .map(|name| name.split('.').take_while(|part| part.parse::<u32>().is_err()).collect::<Vec<_>>().join("."))
            .collect();
        groups.dedup();
        groups.sort();
        groups.dedup();
        // A file of hundreds of groups has many alike.
        for group in groups.iter().step_by(groups.len().div_ceil(12).max(1)) {
            let kept: Tensors = whole
                .iter()
                .filter(|(name, _)| !name.starts_with(group.as_str()))
                .map(|(name, info)| (name.clone(), info.clone()))
                .collect();
            let found = detected(&entry, &kept);
            assert!(
                may_become(&entry, found.architecture),
                "{} without {group} became {} {:?}",
                entry.name,
                found.architecture,
                found.family
            );
        }
    }
}

#[test]
fn renamed_tensors_never_turn_one_family_into_another() {
    let seed = 0xfeed_u64;
    let mut dice = Dice(seed);
    for entry in pure_entries() {
        let renamed: Tensors = entry
            .tensors()
            .into_iter()
            .map(|(name, info)| (if dice.below(10) == 0 { format!("renamed_{name}") } else { name }, info))
            .collect();
        let found = detected(&entry, &renamed);
        assert!(
            may_become(&entry, found.architecture),
            "seed {seed:#x}: {} became {} {:?}",
            entry.name,
            found.architecture,
            found.family
        );
    }
}

#[test]
fn detection_does_not_depend_on_the_order_of_tensors() {
    for entry in entries().into_iter().filter(|entry| !entry.is_gguf()).step_by(7) {
        let tensors = entry.tensors();
        let beginning = entry.beginning(&tensors);
        let whole: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&beginning.bytes[8..]).unwrap();
        let mut json = String::from("{");
        for (index, (name, info)) in whole.iter().rev().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(json, "{comma}{}:{info}", serde_json::json!(name)).unwrap();
        }
        json.push('}');
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        let file_len = beginning.file_len - beginning.bytes.len() as u64 + bytes.len() as u64;
        let backwards = Beginning { bytes, file_len };
        assert_eq!(judged(&entry.name, &beginning), judged(&entry.name, &backwards), "{}", entry.name);
    }
}

/// Bytes changed at random in the headers of every family: an answer or an error, and no claim that sound bytes would not
/// carry. The fuzzer (`daemon/weights/fuzz`) does the same without end.
#[test]
fn changed_bytes_of_any_header_end_in_an_answer_or_an_error() {
    let seed = 0xb17e5_u64;
    let mut dice = Dice(seed);
    let (mut answers, mut errors) = (0, 0);
    for entry in entries() {
        let beginning = entry.beginning(&entry.tensors());
        for round in 0..4 {
            let mut bytes = beginning.bytes.clone();
            for _ in 0..=dice.below(3) {
                let position = dice.below(bytes.len());
                // Any byte breaks a rule as a rule; letters in place of letters are mostly other names.
                if round % 2 == 0 {
                    bytes[position] = dice.below(256) as u8;
                } else if bytes[position].is_ascii_lowercase() {
                    bytes[position] = b'a' + dice.below(26) as u8;
                }
            }
            match inspect(&mut Cursor::new(&bytes), beginning.file_len) {
                Ok(inspection) => {
                    let found = inspection.detected.architecture;
                    let is_mixture = entry.name.starts_with("mix-");
                    assert!(is_mixture || may_become(&entry, found), "seed {seed:#x}: {} became {found}", entry.name);
                    answers += 1;
                }
                Err(_) => errors += 1,
            }
        }
    }
    assert!(answers > 100 && errors > 100, "{answers} answers, {errors} errors");
}
