//! macOS's own way to leave a file out of backups.

use objc2_foundation::{NSNumber, NSString, NSURL};
use std::io;
use std::path::Path;

/// `NSURLIsExcludedFromBackupKey`, whose value is its name (developer.apple.com/documentation/foundation).
const KEY: &str = "NSURLIsExcludedFromBackupKey";

/// Has backups leave out what lies at a path, or take it in; both may be so already.
pub(super) fn leave_out(path: &Path, left_out: bool) -> io::Result<()> {
    let text = path.to_str().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "its path is no text"))?;
    let url = NSURL::fileURLWithPath(&NSString::from_str(text));
    let (value, key) = (NSNumber::numberWithBool(left_out), NSString::from_str(KEY));
    #[expect(
        unsafe_code,
        reason = "the value must be of the key's type, which is a number that stands for a yes or no"
    )]
    let set = unsafe { url.setResourceValue_forKey_error(Some(&value), &key) };
    set.map_err(|error| io::Error::other(error.to_string()))
}
