//! A header in the form that every writer gives it, read in one pass over its bytes.
//!
//! A general parser spends most of a header's time on what headers do not have. This one knows the plain form only:
//! objects of a type, a shape and two offsets under names without escapes. Of anything else, sound or not, it says nothing
//! (`None`), and `raw` reads the text from its beginning with all the rules of JSON and gives the error; so nothing is
//! accepted here that is refused there. A test compares the two over every header of the corpus, whole and damaged.

use super::raw::{METADATA_KEY, Pairs, RawDtype, RawEntry, RawHeader};
use super::{Dtype, MAX_RANK, MAX_TENSORS};
use std::borrow::Cow;

/// Bytes of JSON for one tensor, about, by which the lists are made large enough to grow once at the most.
const TYPICAL_ENTRY_BYTES: usize = 128;

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

/// The header, if all of it has the plain form.
pub(super) fn scan(text: &str) -> Option<RawHeader<'_>> {
    let mut scanner = Scanner { text, at: 0 };
    let mut header = RawHeader::default();
    let expected = (text.len() / TYPICAL_ENTRY_BYTES).min(MAX_TENSORS);
    header.tensors.reserve(expected);
    header.dimensions.reserve(2 * expected);
    let mut has_metadata = false;
    scanner.open(b'{')?;
    let mut is_open = !scanner.closes(b'}');
    while is_open {
        let name = scanner.string()?;
        scanner.open(b':')?;
        if name == METADATA_KEY {
            if std::mem::replace(&mut has_metadata, true) {
                return None;
            }
            header.metadata = scanner.metadata()?;
        } else if header.tensors.len() < MAX_TENSORS {
            let tensor = scanner.tensor(name, &mut header.dimensions)?;
            header.tensors.push(tensor);
        } else {
            return None;
        }
        is_open = scanner.goes_on(b'}')?;
    }
    scanner.skip_space();
    (scanner.at == text.len()).then_some(header)
}

impl<'t> Scanner<'t> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Goes past this byte, and past space on both sides of it.
    fn open(&mut self, byte: u8) -> Option<()> {
        self.closes(byte).then(|| self.skip_space())
    }

    /// Goes past this byte, and past space before it, if it is there.
    fn closes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_there = self.byte() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Goes past a comma (true) or the end of the list (false).
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        if self.closes(b',') {
            self.skip_space();
            return Some(true);
        }
        self.closes(end).then_some(false)
    }

    /// A string without escapes.
    fn string(&mut self) -> Option<&'t str> {
        let from = self.at.checked_add(1).filter(|_| self.byte() == Some(b'"'))?;
        let rest = self.text.as_bytes().get(from..)?;
        let length = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
        let string = self.text.get(from..from + length).filter(|_| rest.get(length) == Some(&b'"'))?;
        self.at = from + length + 1;
        Some(string)
    }

    /// A whole number as JSON writes it: no sign, no zeros before it.
    fn number(&mut self) -> Option<u64> {
        let from = self.at;
        let mut value = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            self.at += 1;
        }
        let is_plain = match self.at - from {
            0 => false,
            1 => true,
            _ => self.text.as_bytes().get(from) != Some(&b'0'),
        };
        is_plain.then_some(value)
    }

    fn tensor(&mut self, name: &'t str, dimensions: &mut Vec<usize>) -> Option<RawEntry<'t>> {
        let (mut dtype, mut shape, mut data_offsets) = (None, None, None);
        self.open(b'{')?;
        loop {
            let key = self.string()?;
            self.open(b':')?;
            match key {
                "dtype" if dtype.is_none() => dtype = Some(Dtype::from_name(self.string()?)?),
                "shape" if shape.is_none() => {
                    let first = dimensions.len();
                    self.open(b'[')?;
                    let mut is_open = !self.closes(b']');
                    while is_open {
                        dimensions.push(usize::try_from(self.number()?).ok()?);
                        is_open = self.goes_on(b']')?;
                    }
                    shape = Some(first..dimensions.len()).filter(|shape| shape.len() <= MAX_RANK);
                }
                "data_offsets" if data_offsets.is_none() => {
                    self.open(b'[')?;
                    let start = self.number()?;
                    self.open(b',')?;
                    data_offsets = Some((start, self.number()?));
                    self.open(b']')?;
                }
                _ => return None,
            }
            if !self.goes_on(b'}')? {
                break;
            }
        }
        Some(RawEntry {
            name: Cow::Borrowed(name),
            dtype: RawDtype::Known(dtype?),
            shape: shape?,
            has_too_many_dimensions: false,
            has_too_large_dimension: false,
            data_offsets: data_offsets?,
        })
    }

    /// The metadata, whose values are full of escapes: JSON in JSON.
    fn metadata(&mut self) -> Option<Vec<(String, String)>> {
        let rest = self.text.get(self.at..).filter(|rest| rest.starts_with('{'))?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Pairs>();
        let pairs = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(pairs.0)
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
