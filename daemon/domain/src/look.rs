//! What a system says of a file without opening it.

/// A file as the system describes it. Names of one file (hard links, links) share it; other bytes under the same name
/// do not, unless somebody sets the clock back on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileLook {
    /// Where it lies. Systems number devices anew, so that another number alone means little.
    pub device: u64,
    pub inode: u64,
    pub size_bytes: u64,
    /// When its bytes last changed, in nanoseconds since 1970.
    pub modified_ns: i64,
}

impl FileLook {
    /// Whether length and time of change are the same, by which bytes are usually judged.
    #[must_use]
    pub fn seems_unchanged(&self, other: &Self) -> bool {
        (self.size_bytes, self.modified_ns) == (other.size_bytes, other.modified_ns)
    }

    /// Whether it is the same file with the same bytes, wherever its device is by now.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        self.inode == other.inode && self.seems_unchanged(other)
    }
}
