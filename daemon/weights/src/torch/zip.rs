//! The entries of a zip that are stored as they are, by its central directory (PKWARE APPNOTE 6.3.10, 4.3).

use super::TorchError;
use std::collections::BTreeMap;

pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
const DIRECTORY_END: &[u8] = b"PK\x05\x06";
const DIRECTORY_ENTRY: &[u8] = b"PK\x01\x02";
/// Lengths of the fixed parts.
const LOCAL_BYTES: usize = 30;
const ENTRY_BYTES: usize = 46;
const END_BYTES: usize = 22;
/// What may stand behind the directory's end.
const MAX_COMMENT_BYTES: usize = 0xffff;
/// A textual inversion has seven entries.
const MAX_ENTRIES: usize = 256;

fn broken(problem: &'static str) -> TorchError {
    TorchError::Broken { what: "zip", problem }
}

fn two(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 2).map_or(0, |two| usize::from(u16::from_le_bytes([two[0], two[1]])))
}

fn four(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..at + 4).map_or(0, |four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
}

/// Where the contents of the entries lie, first and one past last byte.
pub(super) fn entries(bytes: &[u8]) -> Result<BTreeMap<String, (usize, usize)>, TorchError> {
    let tail = bytes.len().saturating_sub(END_BYTES + MAX_COMMENT_BYTES);
    let found = bytes[tail..].windows(END_BYTES).rposition(|window| window.starts_with(DIRECTORY_END));
    let end = &bytes[tail + found.ok_or(broken("it has no directory"))?..];
    let (count, mut at) = (two(end, 10), four(end, 16));
    if count > MAX_ENTRIES {
        return Err(TorchError::TooLarge { what: "directory", size: count as u64, limit: MAX_ENTRIES as u64 });
    }
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let entry = bytes.get(at..).filter(|rest| rest.len() >= ENTRY_BYTES && rest.starts_with(DIRECTORY_ENTRY));
        let entry = entry.ok_or(broken("its directory is cut off"))?;
        let (is_encrypted, method, packed, size) =
            (two(entry, 8) & 1 == 1, two(entry, 10), four(entry, 20), four(entry, 24));
        let (name, extra, comment) = (two(entry, 28), two(entry, 30), two(entry, 32));
        if is_encrypted || method != 0 || packed != size {
            return Err(broken("an entry is packed, which torch never does"));
        }
        let name_bytes = entry.get(ENTRY_BYTES..ENTRY_BYTES + name).ok_or(broken("its directory is cut off"))?;
        let name_text = std::str::from_utf8(name_bytes).map_err(|_| broken("a name is no text"))?;
        let place = content(bytes, four(entry, 42), size)?;
        if entries.insert(name_text.to_owned(), place).is_some() {
            return Err(broken("it has an entry twice"));
        }
        at += ENTRY_BYTES + name + extra + comment;
    }
    Ok(entries)
}

/// What stands behind the header at `at`.
fn content(bytes: &[u8], at: usize, size: usize) -> Result<(usize, usize), TorchError> {
    let local = bytes.get(at..).filter(|rest| rest.len() >= LOCAL_BYTES && rest.starts_with(MAGIC));
    let local = local.ok_or(broken("an entry is not where the directory says"))?;
    let start = at + LOCAL_BYTES + two(local, 26) + two(local, 28);
    let end = start + size;
    if end > bytes.len() { Err(broken("an entry ends beyond the file")) } else { Ok((start, end)) }
}
