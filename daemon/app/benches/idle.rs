//! What the daemon costs while nothing is due: its processor time, wake-ups, memory and writes between the checks of
//! many follows.
//!
//! `cargo bench -p paintbox-app --bench idle [-- --follows N] [--seconds N]`, on Linux. The follows are in the catalogue
//! before the daemon starts, their next checks spread over the hour that begins when the measurement has ended; no hub is
//! asked anything.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]
#![expect(clippy::disallowed_methods, reason = "it measures a real process in real time")]

use paintbox_catalogue::Catalogue;
use paintbox_domain::Timestamp;
use paintbox_domain::clock::ManualClock;
use paintbox_domain::follow::FollowTarget;
use std::error::Error;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

type Failure = Box<dyn Error + Send + Sync>;

const FOLLOWS: u64 = 500;
const SECONDS: u64 = 60;
/// How long a daemon may take to answer, and then to have done what it does once.
const START: Duration = Duration::from_secs(30);
const SETTLE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(3_600);

fn main() -> Result<(), Failure> {
    let (follows, seconds) = wanted()?;
    let root = tempfile::tempdir()?;
    tokio::runtime::Runtime::new()?.block_on(fill(
        root.path(),
        follows,
        START + SETTLE + Duration::from_secs(seconds),
    ))?;
    let daemon = Daemon::start(root.path())?;
    sleep(SETTLE);

    let (before, started) = (daemon.usage()?, Instant::now());
    sleep(Duration::from_secs(seconds));
    let (after, took) = (daemon.usage()?, started.elapsed().as_secs_f64());
    let processor = (after.processor - before.processor).as_secs_f64();
    println!("{follows} follows, nothing due for {took:.0} s, {} threads", after.threads);
    println!("  processor  {:>8.1} ms, {:.4} % of one", processor * 1e3, 100.0 * processor / took);
    println!("  wake-ups   {:>8.2} a second", (after.wake_ups - before.wake_ups) as f64 / took);
    println!("  written    {:>8} bytes", after.written - before.written);
    println!("  resident   {:>8.1} MB", after.resident as f64 / 1e6);
    Ok(())
}

fn wanted() -> Result<(u64, u64), Failure> {
    let (mut follows, mut seconds) = (FOLLOWS, SECONDS);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = match argument.as_str() {
            // What cargo itself says to a benchmark.
            "--bench" => continue,
            "--follows" => &mut follows,
            "--seconds" => &mut seconds,
            other => return Err(format!("{other}: only --follows N and --seconds N are understood").into()),
        };
        *value = arguments.next().ok_or_else(|| format!("{argument} wants a number"))?.parse()?;
    }
    Ok((follows, seconds.max(1)))
}

/// A catalogue with follows that are due one after the other, once `rest` is over.
async fn fill(root: &Path, follows: u64, rest: Duration) -> Result<(), Failure> {
    std::fs::create_dir(root.join("state"))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let now = Timestamp::from_unix_ms(i64::try_from(now.as_millis())?);
    let catalogue = Catalogue::open(&root.join("state/catalogue.db"), Arc::new(ManualClock::at(now))).await?;
    let mut due = Vec::new();
    for number in 0..follows {
        let target: FollowTarget = format!("civitai:creator{number}").parse()?;
        let follow = catalogue.create_follow(&target, &Default::default()).await?;
        let spread = INTERVAL.mul_f64(number as f64 / follows as f64);
        due.push((follow.id, now.plus(rest + spread)));
    }
    catalogue.schedule_checks(&due).await?;
    catalogue.close().await;
    Ok(())
}

/// A daemon with a home of its own; ends with the benchmark.
struct Daemon(Child);

/// What a process has used since it began.
struct Usage {
    threads: usize,
    processor: Duration,
    /// How often one of its threads went to sleep, to be woken again.
    wake_ups: u64,
    written: u64,
    /// Bytes of memory now.
    resident: u64,
}

impl Daemon {
    fn start(root: &Path) -> Result<Self, Failure> {
        let process = Command::new(env!("CARGO_BIN_EXE_paintboxd"))
            .arg("run")
            .env_clear()
            .env("PAINTBOX_HOME", root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let daemon = Self(process);
        let started = Instant::now();
        while UnixStream::connect(root.join("run/paintbox.sock")).is_err() {
            if started.elapsed() > START {
                return Err("the daemon does not answer".into());
            }
            sleep(Duration::from_millis(50));
        }
        Ok(daemon)
    }

    /// From proc(5).
    fn usage(&self) -> Result<Usage, Failure> {
        let process = PathBuf::from(format!("/proc/{}", self.0.id()));
        let status = std::fs::read_to_string(process.join("status"))?;
        let mut usage = Usage {
            threads: 0,
            processor: Duration::ZERO,
            wake_ups: 0,
            written: field(&std::fs::read_to_string(process.join("io"))?, "write_bytes")?,
            resident: field(&status, "VmRSS")? * 1_024,
        };
        for thread in std::fs::read_dir(process.join("task"))? {
            let thread = thread?.path();
            let ran = std::fs::read_to_string(thread.join("schedstat"))?;
            let ran = ran.split_whitespace().next().ok_or("an empty schedstat")?;
            usage.threads += 1;
            usage.processor += Duration::from_nanos(ran.parse()?);
            usage.wake_ups += field(&std::fs::read_to_string(thread.join("status"))?, "voluntary_ctxt_switches")?;
        }
        Ok(usage)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The number in a line such as `VmRSS:   1234 kB`.
fn field(text: &str, name: &str) -> Result<u64, Failure> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or_else(|| format!("no {name} in proc(5)"))?.parse()?)
}
