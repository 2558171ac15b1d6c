//! What the care of a large catalogue costs: a backup, both checks, an export and an import of it, and how long the writer
//! and a reader wait meanwhile.
//!
//! `cargo bench -p paintbox-catalogue --bench care [-- --models N]`. The catalogue is a crawl of recorded shapes. While each
//! of them runs, one model is recorded and the newest is asked for every 20 ms; the slowest of either is printed, and how
//! long the log was at its longest.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]

#[path = "ingest/crawl.rs"]
mod crawl;
#[path = "ingest/random.rs"]
mod random;
#[path = "ingest/reader.rs"]
mod reader;

use crawl::Crawl;
use paintbox_catalogue::{Catalogue, CheckDepth, SearchQuery};
use paintbox_domain::Timestamp;
use paintbox_domain::clock::ManualClock;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

const MODELS: u64 = 100_000;
const PAGE: u64 = 1_000;
const START_MS: i64 = 1_795_000_000_000;
/// Between two writes, and two reads.
const PACE: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let models: u64 = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => MODELS,
        (Some("--models"), Some(number)) => number.parse()?,
        _ => return Err("only --models N is understood".into()),
    };
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/hubs/civitai");
    let home = tempfile::tempdir()?;
    let path = home.path().join("catalogue.db");
    let catalogue = Catalogue::open(&path, Arc::new(ManualClock::at(Timestamp::from_unix_ms(START_MS)))).await?;
    let mut crawl = Crawl::recorded(&recorded)?;
    for first in (0..models).step_by(usize::try_from(PAGE)?) {
        catalogue.record_models(&crawl.page(first..models.min(first + PAGE), 0), None).await?;
    }
    println!("{models} models, {:.0} MB", length(&path) as f64 / 1e6);

    let backup = beside("backup", &catalogue, &mut crawl, catalogue.back_up(0)).await??;
    println!("                   {:.0} MB", backup.size_bytes as f64 / 1e6);
    for (name, depth) in [("quick check", CheckDepth::Quick), ("full check", CheckDepth::Full)] {
        let check = beside(name, &catalogue, &mut crawl, catalogue.check(depth)).await??;
        println!("                   {} problems", check.problem_count);
    }
    let text = home.path().join("catalogue.ndjson");
    let exported = async {
        let (mut pieces, mut file) = (catalogue.export("bench"), tokio::fs::File::create(&text).await?);
        while let Some(piece) = pieces.recv().await {
            tokio::io::AsyncWriteExt::write_all(&mut file, &piece?).await?;
        }
        file.sync_all().await?;
        Ok::<_, Failure>(())
    };
    beside("export", &catalogue, &mut crawl, exported).await??;
    println!("                   {:.0} MB", length(&text) as f64 / 1e6);
    let imported = async {
        let (mut import, mut file) = (catalogue.begin_import(true).await?, tokio::fs::File::open(&text).await?);
        let mut piece = vec![0; 512 << 10];
        loop {
            match tokio::io::AsyncReadExt::read(&mut file, &mut piece).await? {
                0 => return Ok::<_, Failure>(import.finish().await?),
                length => import.push(&piece[..length]).await?,
            }
        }
    };
    let imported = beside("import", &catalogue, &mut crawl, imported).await??;
    println!("                   {} rows; {:.0} MB resident at most", imported.rows, peak_megabytes()?);
    catalogue.close().await;
    Ok(())
}

/// Does `work` while models are recorded and searched, and says how long it took and what those waited at most.
async fn beside<T>(
    name: &str,
    catalogue: &Catalogue,
    crawl: &mut Crawl,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let (started, mut work) = (Instant::now(), std::pin::pin!(work));
    let (mut slowest_write, mut slowest_read, mut log) = (Duration::ZERO, Duration::ZERO, 0);
    let page = crawl.page(0..1, 1);
    loop {
        let daily = async {
            tokio::time::sleep(PACE).await;
            let at = Instant::now();
            catalogue.record_models(&page, None).await?;
            let written = at.elapsed();
            let at = Instant::now();
            catalogue.search(&SearchQuery { page_size: 10, ..Default::default() }).await?;
            Ok::<_, Failure>((written, at.elapsed()))
        };
        tokio::select! {
            biased;
            done = &mut work => {
                println!(
                    "{name:>12} {:>6.1} s; a write waited {:.0} ms at most, a read {:.0} ms; the log was {:.1} MB at most",
                    started.elapsed().as_secs_f64(),
                    slowest_write.as_secs_f64() * 1e3,
                    slowest_read.as_secs_f64() * 1e3,
                    log as f64 / 1e6,
                );
                return Ok(done);
            }
            waited = daily => {
                let (written, read) = waited?;
                (slowest_write, slowest_read) = (slowest_write.max(written), slowest_read.max(read));
                log = log.max(length(&catalogue.path().with_extension("db-wal")));
            }
        }
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

/// What the process had in memory at its fullest, where the system says so.
fn peak_megabytes() -> Result<f64, Failure> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return Ok(f64::NAN) };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1e3)
}
