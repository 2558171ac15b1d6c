//! How fast one large file grows in the store: written, flushed now and then, and every digest taken on the way.
//!
//! `cargo bench -p paintbox-store --bench large_file [-- --megabytes N]`, in the folder for temporary files, which
//! `TMPDIR` names. The peers, in the same run on the same volume: writing the same bytes without any flush, and one
//! SHA-256 of bytes in memory, which nothing that verifies a file can do without.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]

use paintbox_store::{Expected, PartialKey, Store};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

type Failure = Box<dyn Error + Send + Sync>;

const MEGABYTES: u64 = 2000;
const MEGABYTE: usize = 1_000_000;
/// How much a transfer hands over at a time.
const PIECE_BYTES: usize = 1 << 20;

fn main() -> Result<(), Failure> {
    let total_bytes = wanted()?;
    let home = tempfile::tempdir()?;
    let piece = piece();
    let hashed = measure(total_bytes, || {
        let mut hash = Sha256::new();
        pieces(&piece, total_bytes, |bytes| {
            hash.update(bytes);
            Ok(())
        })?;
        std::hint::black_box(hash.finalize());
        Ok(())
    })?;
    println!("SHA-256 alone            {hashed:>8.0} MB/s");
    let plain = home.path().join("plain");
    let written = measure(total_bytes, || {
        let mut file = File::create(&plain)?;
        pieces(&piece, total_bytes, |bytes| Ok(file.write_all(bytes)?))
    })?;
    std::fs::remove_file(&plain)?;
    println!("plain write, no flush    {written:>8.0} MB/s");
    let ours = measure(total_bytes, || store(&home.path().join("store"), &piece, total_bytes))?;
    println!("store                    {ours:>8.0} MB/s, {:.2} of the slower of these", ours / hashed.min(written));
    Ok(())
}

/// Bytes to store.
fn wanted() -> Result<u64, Failure> {
    let mut megabytes = MEGABYTES;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // What cargo itself says to a benchmark.
            "--bench" => {}
            "--megabytes" => megabytes = arguments.next().ok_or("--megabytes wants a number")?.parse()?,
            other => return Err(format!("{other}: only --megabytes N is understood").into()),
        }
    }
    if megabytes == 0 { Err("nothing to store".into()) } else { Ok(megabytes * MEGABYTE as u64) }
}

/// Megabytes a second.
fn measure(total_bytes: u64, work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let started = Instant::now();
    work()?;
    Ok(total_bytes as f64 / started.elapsed().as_secs_f64() / MEGABYTE as f64)
}

/// Bytes without a pattern.
fn piece() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(PIECE_BYTES);
    while bytes.len() < PIECE_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// The content of the file, piece by piece.
fn pieces(piece: &[u8], total_bytes: u64, mut take: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut left_bytes = total_bytes;
    while left_bytes > 0 {
        let taken = usize::try_from(left_bytes).map_or(piece.len(), |left| left.min(piece.len()));
        take(&piece[..taken])?;
        left_bytes -= taken as u64;
    }
    Ok(())
}

fn store(folder: &Path, piece: &[u8], total_bytes: u64) -> Result<(), Failure> {
    let store = Store::open(folder)?;
    let mut partial = store.partial(&PartialKey::new("bench"))?;
    partial.begin(0, None, Some(total_bytes))?;
    pieces(piece, total_bytes, |bytes| Ok(partial.append(bytes)?))?;
    let digests = partial.verify(&Expected { size: Some(total_bytes), ..Expected::default() })?;
    partial.place(&digests)?;
    Ok(())
}
