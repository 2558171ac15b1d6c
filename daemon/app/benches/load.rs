//! How many reads of the catalogue a daemon answers while it paints, and what that costs the painting.
//!
//! `cargo bench -p paintbox-app --bench load [-- --models N] [--connections N] [--in-flight N] [--rate N] [--seconds N]
//! [--rounds N] [--painters N]`, on Linux. The real daemon paints with the tiny model of the tests, over its socket, from
//! begin to end of each measurement; in every round it is left alone first and then read from: of a hundred reads 40 are
//! GetModel with everything, 20 GetModel in the BASIC view, 20 ResolveModel in the BASIC view, and 20 SearchModels for the
//! ten newest of a kind; over one connection with fifty under way, as ghz does if not told otherwise (ghz.sh/docs/options).
//! `--rate` holds the reads of all connections together to so many a second; 0 is as fast as they are answered. Who reads
//! runs on the same processors, which is part of what the painting pays. `--painters` is how many threads paint
//! (`RAYON_NUM_THREADS`): one fewer than there are processors leaves the reads a processor, as painting on a GPU does; 0 is
//! the daemon's own choice.
//!
//! `--watchers N --queued N` instead measures memory: so many generations wait, so many streams watch them, and one more
//! connection asks for streams that it never reads.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]
#![expect(clippy::disallowed_methods, reason = "it measures a real process in real time")]

#[path = "shared/daemon.rs"]
mod daemon;
#[path = "shared/filled.rs"]
mod filled;
#[path = "load/painting.rs"]
mod painting;
#[path = "load/reading.rs"]
mod reading;
#[path = "load/watching.rs"]
mod watching;
#[path = "search/world.rs"]
mod world;

use daemon::Daemon;
use paintbox_catalogue::Catalogue;
use paintbox_domain::Timestamp;
use paintbox_domain::clock::ManualClock;
use painting::Painting;
use reading::{Reading, Reads};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// Later than everything in the world was published.
const NOW_MS: i64 = 1_795_000_000_000;
/// A catalogue that is kept for this benchmark alone, which backs nothing up and asks nobody.
const CONFIGURATION: &str = "[catalogue]\nbackups = 0\n[sync]\nautomatic = false\n[libraries]\nidentify = false\n[generation]\nmax_queued = 1000\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let wanted = Wanted::read()?;
    let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("load-{}", wanted.models));
    fill(&home, wanted.models).await?;
    println!("{} models; load {}", wanted.models, load()?.trim());
    let painters = (wanted.painters > 0).then(|| ("RAYON_NUM_THREADS", wanted.painters.to_string()));
    let daemon = Daemon::start(&home, CONFIGURATION, painters.as_slice())?;
    if wanted.watchers > 0 || wanted.queued > 0 {
        let painting = Painting::with_tiny_model(daemon.client().await?).await?;
        return watching::measure(&daemon, &painting, wanted.watchers, wanted.queued, wanted.seconds).await;
    }

    let mut reading = Reading::prepare(&daemon, wanted.connections, wanted.models).await?;
    let alone = reading.run(&wanted.reads(), || false).await?;
    println!("reads while nothing is painted: {}", alone.told());
    if wanted.rounds == 0 {
        return Ok(());
    }
    let painting = Painting::with_tiny_model(daemon.client().await?).await?;
    let mut pairs = Vec::new();
    for round in 1..=wanted.rounds {
        let quiet = painting.steps_alone(wanted.length()).await?;
        let (busy, reads) = painting.steps_beside(&mut reading, &wanted.reads()).await?;
        let slower = (busy / quiet - 1.0) * 100.0;
        println!(
            "round {round}: a step {quiet:.2} ms alone, {busy:.2} ms beside reads: {slower:+.1} %; {}",
            reads.told()
        );
        pairs.push((quiet, busy, reads.rate()));
    }
    let middle = |pick: fn(&(f64, f64, f64)) -> f64| {
        let mut values: Vec<f64> = pairs.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    println!(
        "in the middle: {:.0} reads/s, painting slower by {:.1} %; load {}",
        middle(|pair| pair.2),
        middle(|pair| (pair.1 / pair.0 - 1.0) * 100.0),
        load()?.trim()
    );
    Ok(())
}

struct Wanted {
    models: u64,
    connections: u64,
    in_flight: u64,
    rate: u64,
    seconds: u64,
    rounds: u64,
    painters: u64,
    watchers: u64,
    queued: u64,
}

impl Wanted {
    fn read() -> Result<Self, Failure> {
        let mut wanted = Self {
            models: 20_000,
            connections: 1,
            in_flight: 50,
            rate: 8_000,
            seconds: 15,
            rounds: 5,
            painters: 1,
            watchers: 0,
            queued: 0,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let value = match argument.as_str() {
                // What cargo itself says to a benchmark.
                "--bench" => continue,
                "--models" => &mut wanted.models,
                "--connections" => &mut wanted.connections,
                "--in-flight" => &mut wanted.in_flight,
                "--rate" => &mut wanted.rate,
                "--seconds" => &mut wanted.seconds,
                "--rounds" => &mut wanted.rounds,
                "--painters" => &mut wanted.painters,
                "--watchers" => &mut wanted.watchers,
                "--queued" => &mut wanted.queued,
                other => return Err(format!("{other} is not understood; see the head of benches/load.rs").into()),
            };
            *value = arguments.next().ok_or_else(|| format!("{argument} wants a number"))?.parse()?;
        }
        if wanted.models < filled::PAGE || wanted.connections == 0 || wanted.in_flight == 0 || wanted.seconds == 0 {
            return Err("there must be a thousand models, a connection, a read and a second at least".into());
        }
        Ok(wanted)
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn reads(&self) -> Reads {
        Reads { in_flight: self.in_flight, rate: self.rate, length: self.length() }
    }
}

/// The averages of one, five and fifteen minutes, of proc_loadavg(5): what else the machine does is in every figure.
fn load() -> Result<String, Failure> {
    Ok(std::fs::read_to_string("/proc/loadavg")?)
}

/// Makes the catalogue, or goes on with one that was not finished.
async fn fill(home: &Path, models: u64) -> Result<(), Failure> {
    std::fs::create_dir_all(home.join("state"))?;
    let clock = Arc::new(ManualClock::at(Timestamp::from_unix_ms(NOW_MS)));
    let catalogue = Catalogue::open(&home.join("state/catalogue.db"), clock).await?;
    let started = Instant::now();
    filled::fill(&catalogue, models).await?;
    println!("the catalogue was ready after {:.0} s", started.elapsed().as_secs_f64());
    catalogue.close().await;
    Ok(())
}
