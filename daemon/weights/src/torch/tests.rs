//! The files of `tests/goldens/make_torch.py`: those of `torch.save` are read, all others refused, and none is run.

use super::*;
use crate::safetensors::Dtype;
use paintbox_domain::{Classify as _, ErrorClass, reason};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/torch")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn read(bytes: &[u8]) -> Result<Header, TorchError> {
    read_textual_inversion(&mut Cursor::new(bytes), bytes.len() as u64)
}

/// Every tensor with its type and shape.
fn tensors(name: &str) -> Vec<(String, Dtype, Vec<usize>)> {
    let bytes = bytes(name);
    let header = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    for info in header.tensors.values() {
        assert_eq!(info.len_bytes(), info.elements() * info.dtype.bits() / 8);
        assert!(info.start <= info.end && info.end <= bytes.len() as u64);
    }
    header.tensors.into_iter().map(|(name, info)| (name, info.dtype, info.shape)).collect()
}

#[test]
fn every_form_that_torch_saved_is_read() {
    let one = |name: &str, dtype, shape: &[usize]| vec![(name.to_owned(), dtype, shape.to_vec())];
    assert_eq!(tensors("a1111.pt"), one("string_to_param.*", Dtype::F32, &[2, 128]));
    assert_eq!(tensors("protocol-4.pt"), one("string_to_param.*", Dtype::F32, &[2, 128]));
    assert_eq!(tensors("original.pt"), one("string_to_param.*", Dtype::F32, &[1, 128]));
    assert_eq!(tensors("diffusers.bin"), one("<zz-lamp>", Dtype::F32, &[128]));
    assert_eq!(tensors("before-1.6.bin"), one("<zz-lamp>", Dtype::F16, &[128]));
    assert_eq!(tensors("view.pt"), one("<zz-lamp>", Dtype::F32, &[2, 128]));
    let pair = [one("clip_g", Dtype::BF16, &[2, 24]), one("clip_l", Dtype::BF16, &[2, 16])].concat();
    assert_eq!(tensors("xl.pt"), pair);
    let metadata = read(&bytes("a1111.pt")).unwrap().metadata;
    let said: Vec<(&str, &str)> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(said, [("name", "zz lamp"), ("sd_checkpoint_name", "tiny-emoji"), ("step", "500")]);
}

#[test]
fn everything_else_is_refused_and_what_it_asks_for_is_named() {
    let refusal = |name: &str| read(&bytes(&format!("refused-{name}"))).unwrap_err();
    for (name, asks_for) in [
        ("system.pt", "posix.system"),
        ("system-bare.pt", "posix.system"),
        ("system-protocol-0.pt", "posix.system"),
        ("eval-by-stack.pt", "builtins.eval"),
        ("other-storage.pt", "torch.ComplexFloatStorage"),
    ] {
        let error = refusal(name);
        assert!(matches!(&error, TorchError::Forbidden { name } if name == asks_for), "{name}: {error}");
        assert_eq!((error.reason(), error.class()), (reason::UNSAFE_FORMAT, ErrorClass::Unsupported));
        assert!(error.to_string().contains(asks_for));
    }
    for (name, instruction) in [("persistent.pt", b'P'), ("instance.pt", b'i'), ("extension.pt", 0x82)] {
        assert!(matches!(refusal(name), TorchError::Instruction { opcode } if opcode == instruction), "{name}");
    }
    for name in ["values.pt", "memo-growth.pt"] {
        let error = refusal(name);
        assert!(!matches!(error, TorchError::Read { .. }), "{name}: {error}");
    }
    for name in ["three-words.pt", "two-terms.pt", "list.pt", "itself.pt"] {
        assert!(matches!(refusal(name), TorchError::NoInversion { .. }), "{name}: {}", refusal(name));
    }
    let rest = [
        "strided.pt",
        "double.pt",
        "cut-off.pt",
        "program-cut-off.pt",
        "text-beyond.pt",
        "packed.pt",
        "beyond-storage.pt",
        "offset-beyond.pt",
        "huge.pt",
        "negative.pt",
        "no-storage.pt",
        "big-endian.pt",
        "memo.pt",
        "marks.pt",
        "nothing-to-take.pt",
        "mark-to-take.pt",
        "call-of-text.pt",
        "empty.pt",
    ];
    for name in rest {
        let error = refusal(name);
        assert!(matches!(error, TorchError::Broken { .. }), "{name}: {error}");
        assert_eq!(error.reason(), reason::MALFORMED_FILE, "{name}");
    }
    assert!(matches!(read(b"PK\x03\x04").unwrap_err(), TorchError::Broken { .. }));
    assert!(matches!(read(b"").unwrap_err(), TorchError::Broken { .. }));
    let long = read_textual_inversion(&mut Cursor::new(b""), MAX_FILE_BYTES + 1).unwrap_err();
    assert!(matches!(long, TorchError::TooLarge { what: "file", .. }), "{long}");
}

#[test]
fn no_file_that_is_refused_was_forgotten() {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert_eq!(read(&bytes(&name)).is_err(), name.starts_with("refused-"), "{name}");
        names.insert(name);
    }
    assert_eq!(names.len(), 39);
}

/// The target of `fuzz/fuzz_targets/torch.rs`, over files that are nearly sound.
#[test]
fn no_cut_makes_it_panic() {
    for name in ["a1111.pt", "original.pt", "before-1.6.bin", "protocol-4.pt"] {
        let whole = bytes(name);
        for length in 0..whole.len() {
            read(&whole[..length]).ok();
        }
    }
}

proptest! {
    #[test]
    fn no_changed_byte_makes_it_panic_or_read_beyond_the_file(
        name in prop::sample::select(vec!["a1111.pt", "original.pt", "before-1.6.bin", "protocol-4.pt"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = bytes(name);
        for (position, byte) in changes {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        if let Ok(header) = read(&bytes) {
            for info in header.tensors.values() {
                prop_assert!(info.start <= info.end && info.end <= bytes.len() as u64);
                prop_assert_eq!(info.len_bytes(), info.elements() * info.dtype.bits() / 8);
            }
        }
    }

    #[test]
    fn no_program_makes_it_panic(program in prop::collection::vec(any::<u8>(), 0..200)) {
        Pickle::read(&program).ok();
    }
}
