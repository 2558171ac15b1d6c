//! How many headers a second are read, checked and judged, as a library of thousands of files is at its first scan.
//!
//! `cargo bench -p paintbox-weights --bench detection [-- --threads N]`. Each header of the detection corpus that is as
//! large as an adapter's or smaller (up to 1,000 tensors) is judged again and again from memory, with the metadata that a
//! trainer writes; then the three largest headers alone. Printed are headers a second of all threads together, and of one processor's own time.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]

#[expect(dead_code, reason = "what the labels expect is for the tests")]
#[path = "../tests/corpus/mod.rs"]
mod corpus;

use corpus::{Beginning, entries, safetensors};
use paintbox_weights::safetensors::read_header;
use paintbox_weights::{Listing, detect, inspect};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::{Duration, Instant};

/// What is timed, at the least.
const MEASURED: Duration = Duration::from_secs(3);
const SMALL_TENSORS: usize = 1_000;

struct Sample {
    name: String,
    tensors: usize,
    beginning: Beginning,
}

fn samples() -> Vec<Sample> {
    let metadata: BTreeMap<String, String> = [
        ("format", "pt"),
        ("ss_base_model_version", "sdxl_base_v1-0"),
        ("ss_network_dim", "32"),
        ("ss_network_alpha", "16"),
        ("ss_tag_frequency", r#"{"10_a": {"1girl": 40, "lantern": 43, "night": 12, "street": 9}}"#),
        ("modelspec.title", "sample"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let entries = entries().into_iter().filter(|entry| !entry.is_gguf());
    entries
        .map(|entry| {
            let tensors = entry.tensors();
            Sample { tensors: tensors.len(), beginning: safetensors(&tensors, "f16", &metadata), name: entry.name }
        })
        .collect()
}

/// Time that this thread has had a processor for, where the system tells: other work on the machine is left out.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

/// Runs a job over the samples on so many threads, whole rounds until the time is up; prints the rate by the clock, and
/// that of one processor.
fn measure(what: &str, samples: &[&Sample], threads: usize, job: impl Fn(&Sample) + Sync) {
    let started = Instant::now();
    let work = || {
        let before = processor_time();
        let mut rounds = 0;
        while rounds == 0 || started.elapsed() < MEASURED {
            samples.iter().for_each(|sample| job(sample));
            rounds += 1;
        }
        (rounds, before.zip(processor_time()).map(|(before, after)| after.saturating_sub(before)))
    };
    let done: Vec<(usize, Option<Duration>)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
    });
    let rounds: usize = done.iter().map(|(rounds, _)| rounds).sum();
    let headers = (rounds * samples.len()) as f64;
    let by_clock = headers / started.elapsed().as_secs_f64();
    let tensors = samples.iter().map(|sample| sample.tensors).sum::<usize>() as f64 / samples.len() as f64;
    let busy: Option<Duration> = done.iter().map(|(_, busy)| *busy).sum();
    let by_processor = busy.map_or_else(|| "-".to_owned(), |busy| format!("{:.0}", headers / busy.as_secs_f64()));
    println!(
        "{what:40} {tensors:6.0} tensors each {by_clock:8.0} headers/s {by_processor:>8} headers/s of one processor"
    );
}

fn whole(sample: &Sample) {
    let judged = inspect(&mut Cursor::new(&sample.beginning.bytes), sample.beginning.file_len);
    std::hint::black_box(judged.is_ok());
}

fn parse_only(sample: &Sample) {
    let header = read_header(&mut Cursor::new(&sample.beginning.bytes), sample.beginning.file_len);
    std::hint::black_box(header.is_ok());
}

fn main() {
    let threads = std::env::args().skip_while(|argument| argument != "--threads").nth(1);
    let threads = threads.and_then(|threads| threads.parse().ok()).unwrap_or(2);
    let all = samples();
    let small: Vec<&Sample> = all.iter().filter(|sample| sample.tensors <= SMALL_TENSORS).collect();
    let loras: Vec<&Sample> = small.iter().copied().filter(|sample| sample.name.starts_with("lora-")).collect();
    let mut largest: Vec<&Sample> = all.iter().collect();
    largest.sort_by_key(|sample| std::cmp::Reverse(sample.tensors));
    largest.truncate(3);
    let checkpoint: Vec<&Sample> = all.iter().filter(|sample| sample.name == "sdxl-checkpoint").collect();
    println!("{threads} threads, {} small headers, {} of them LoRA", small.len(), loras.len());
    measure("small headers, read and judged", &small, threads, whole);
    measure("small headers, read only", &small, threads, parse_only);
    measure("LoRA headers, read and judged", &loras, threads, whole);
    measure("an SDXL checkpoint, read and judged", &checkpoint, threads, whole);
    measure("the three largest, read and judged", &largest, threads, whole);
    let headers: Vec<_> = small
        .iter()
        .filter_map(|sample| read_header(&mut Cursor::new(&sample.beginning.bytes), sample.beginning.file_len).ok())
        .collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    measure("small headers, judged only", &small, 1, |_| {
        let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % headers.len();
        std::hint::black_box(detect(&Listing::of_safetensors(&headers[index])));
    });
}
