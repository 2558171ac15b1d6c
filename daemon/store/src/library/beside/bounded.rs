//! Reading files of others without being held up or filled up by them.

use rustix::fs::OFlags;
use serde_json::{Map, Value};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A longer file is not read. The longest that tools write hold a hub's whole answer, with the workflows of its
/// pictures, and stay well below.
pub(crate) const LONGEST_BYTES: u64 = 4 * 1024 * 1024;

/// Why a file was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// Longer than what is read of its sort: 4 MiB of a note.
    TooLong,
    /// No JSON, or JSON nested deeper than 128 times.
    NotJson,
    /// JSON, but no object.
    NotAnObject,
    /// A folder, a pipe, a device, or a link that leads nowhere.
    NotAFile,
    /// Somebody else's, or on a device that does not give its bytes.
    Unreadable(io::ErrorKind),
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("it is too long"),
            Self::NotJson => f.write_str("it is no JSON"),
            Self::NotAnObject => f.write_str("it is JSON, but no object"),
            Self::NotAFile => f.write_str("it is no plain file"),
            Self::Unreadable(kind) => write!(f, "it cannot be read: {kind}"),
        }
    }
}

/// A text file; what is not UTF-8 in it becomes replacement characters, since some tools write in the system's own
/// encoding.
pub(crate) fn read_text(path: &Path) -> Result<String, Skipped> {
    let bytes = read_bytes(path, LONGEST_BYTES)?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// A picture, which may be `longest_bytes` long.
///
/// # Errors
/// Why it was left out.
pub fn read_picture(path: &Path, longest_bytes: u64) -> Result<Vec<u8>, Skipped> {
    read_bytes(path, longest_bytes)
}

fn read_bytes(path: &Path, longest_bytes: u64) -> Result<Vec<u8>, Skipped> {
    // Without waiting for somebody to write into a pipe.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| of_error(&error))?;
    let metadata = file.metadata().map_err(|error| of_error(&error))?;
    if !metadata.is_file() {
        return Err(Skipped::NotAFile);
    }
    if metadata.len() > longest_bytes {
        return Err(Skipped::TooLong);
    }
    let mut bytes = Vec::new();
    file.take(longest_bytes + 1).read_to_end(&mut bytes).map_err(|error| of_error(&error))?;
    if bytes.len() as u64 > longest_bytes {
        return Err(Skipped::TooLong);
    }
    Ok(bytes)
}

/// A file that holds one JSON object.
pub(super) fn read_object(path: &Path) -> Result<Map<String, Value>, Skipped> {
    match read_json(path)? {
        Value::Object(object) => Ok(object),
        _ => Err(Skipped::NotAnObject),
    }
}

pub(super) fn read_json(path: &Path) -> Result<Value, Skipped> {
    // The parser refuses what is nested deeper than it has a stack for.
    serde_json::from_str(&read_text(path)?).map_err(|_| Skipped::NotJson)
}

fn of_error(error: &io::Error) -> Skipped {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => Skipped::NotAFile,
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => Skipped::NotAFile,
        // A socket, which is opened in another way.
        _ if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => Skipped::NotAFile,
        kind => Skipped::Unreadable(kind),
    }
}
