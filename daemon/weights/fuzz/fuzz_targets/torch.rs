//! Pickles of strangers, which are followed and never run: whatever they say, their tensors lie in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paintbox_weights::read_textual_inversion;
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len() as u64;
    let Ok(header) = read_textual_inversion(&mut Cursor::new(bytes), length) else { return };
    for info in header.tensors.values() {
        assert!(info.start <= info.end && info.end <= length);
        assert_eq!(info.len_bytes(), info.elements() * info.dtype.bits() / 8);
    }
});
