//! Folders of models that people keep themselves, or that other tools made: walked, looked at, read, and never written
//! to.
//!
//! A walk opens no file. What the system says of one (device, inode, length, time of change) is by what it is known
//! again under another name; only where that leaves a doubt are bytes read.
//!
//! Files are opened for reading alone, so that what other programs wrote beside their bytes, such as macOS's
//! `com.apple.quarantine`, stays with its value, and so do mode and times.

pub mod beside;
pub mod layout;
mod look;
pub mod medium;
mod reading;
mod walk;

pub use look::{Root, look};
pub use reading::{DigestReading, sample};
pub use walk::{Parts, SeenFile, Walked, walk, walk_parts};
