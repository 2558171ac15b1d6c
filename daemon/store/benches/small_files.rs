//! How fast small blobs, such as previews, are put into the store: each flushed, renamed and its folder flushed before
//! the next step, so that a name survives a power cut and never stands for half a file.
//!
//! `cargo bench -p paintbox-store --bench small_files [-- --files N] [--threads N]`. The peer, in the same run on the same
//! volume, writes the same files without any flush: what is left is the price of the promise.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]

use paintbox_store::Store;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

type Failure = Box<dyn Error + Send + Sync>;

const FILES: u64 = 20_000;
/// As many as a sync fetches previews side by side.
const THREADS: u64 = 4;
const SMALLEST_BYTES: u64 = 4 << 10;
const LARGEST_BYTES: u64 = 64 << 10;

fn main() -> Result<(), Failure> {
    let (files, threads) = wanted()?;
    let home = tempfile::tempdir()?;
    let plain = home.path().join("plain");
    std::fs::create_dir(&plain)?;
    let peer = run(files, threads, |number, bytes| Ok(std::fs::write(plain.join(number.to_string()), bytes)?))?;
    println!("plain writes, no flush   {peer:>8.0} files/s");
    let store = Store::open(&home.path().join("store"))?;
    let ours = run(files, threads, |_, bytes| Ok(store.put_bytes(bytes).map(drop)?))?;
    println!("store, flushed           {ours:>8.0} files/s, {:.2} of the plain writes", ours / peer);
    let again = run(files, threads, |_, bytes| Ok(store.put_bytes(bytes).map(drop)?))?;
    println!("store, there already     {again:>8.0} files/s");
    let found = count(&store.blobs_folder().join("sha256"))?;
    if found == files { Ok(()) } else { Err(format!("{found} blobs of {files}").into()) }
}

fn wanted() -> Result<(u64, u64), Failure> {
    let (mut files, mut threads) = (FILES, THREADS);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = match argument.as_str() {
            // What cargo itself says to a benchmark.
            "--bench" => continue,
            "--files" => &mut files,
            "--threads" => &mut threads,
            other => return Err(format!("{other}: only --files N and --threads N are understood").into()),
        };
        *value = arguments.next().ok_or_else(|| format!("{argument} wants a number"))?.parse()?;
    }
    if files == 0 || threads == 0 { Err("nothing to store".into()) } else { Ok((files, threads)) }
}

/// Files a second.
fn run(files: u64, threads: u64, put: impl Fn(u64, &[u8]) -> Result<(), Failure> + Sync) -> Result<f64, Failure> {
    let next = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let work = || -> Result<(), Failure> {
            let mut bytes = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= files {
                    return Ok(());
                }
                fill(&mut bytes, number);
                put(number, &bytes)?;
            }
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })?;
    Ok(files as f64 / started.elapsed().as_secs_f64())
}

/// The content of a file, which is like that of no other.
fn fill(bytes: &mut Vec<u8>, number: u64) {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let length = SMALLEST_BYTES + state % (LARGEST_BYTES - SMALLEST_BYTES);
    bytes.clear();
    bytes.extend_from_slice(&number.to_le_bytes());
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
}

fn count(folder: &Path) -> Result<u64, Failure> {
    let mut found = 0;
    for shard in std::fs::read_dir(folder)? {
        found += std::fs::read_dir(shard?.path())?.count() as u64;
    }
    Ok(found)
}
