//! Downloads under everything at once: a hub that breaks off, lies and stalls, kills at the points between lasting
//! writes and at any other moment, a disk that is full, and a clock that jumps. Each ordeal is a few lives of a process
//! of its own on one home; after each life this process looks at what it left.
//!
//! What holds after every life: a name in the store belongs to bytes of that digest; what the catalogue says is here is
//! here, and right; the catalogue passes its checks. Over all lives: what was verified is not asked for again; what was
//! fetched twice is at most one chunk for each connection that a fault or a kill took. At the end everything is here.
//!
//! The seed of an ordeal that fails is printed. `PAINTBOX_ORDEAL=n cargo test -p paintbox-sync ordeal` repeats ordeal
//! `n`, `PAINTBOX_ORDEALS=n` sets how many there are.

mod life;
mod look;
mod plan;
mod room;

use super::Chance;
use look::Left;
use paintbox_catalogue::Catalogue;
use paintbox_domain::clock::ManualClock;
use paintbox_testkit::FakeHub;
use plan::{End, Ordeal};
use room::Room;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many there are where nobody says otherwise.
const ORDEALS: u64 = 2_000;
/// They mostly wait: for a process to start, for a stalled server.
const AT_ONCE: u64 = 6;
/// A life that takes longer hangs.
const LONGEST_LIFE: Duration = Duration::from_secs(120);

/// What all ordeals came to, so that a run that tried nothing is seen to have.
#[derive(Debug, Default)]
struct Tally(std::sync::Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    fn add(&self, what: &'static str, count: u64) {
        *self.0.lock().unwrap().entry(what).or_default() += count;
    }

    fn of(&self, what: &str) -> u64 {
        self.0.lock().unwrap().get(what).copied().unwrap_or_default()
    }
}

fn number(variable: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test is told by the environment what to repeat")]
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_ordeal_loses_damages_or_fetches_again() {
    let tally = Tally::default();
    if let Some(seed) = number("PAINTBOX_ORDEAL") {
        run(seed, &tally);
        println!("{tally:?}");
        return;
    }
    let count = number("PAINTBOX_ORDEALS").unwrap_or(ORDEALS);
    let next = AtomicU64::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= count {
                        return;
                    }
                    run(seed, &tally);
                }
            });
        }
    });
    println!("{count} ordeals in {:?}: {tally:?}", began.elapsed());
    // With fewer than a few hundred, chance may leave one of these out.
    if count >= 500 {
        for what in ["faults that struck", "killed at a point", "killed at a moment", "clock jumps"] {
            assert!(tally.of(what) > count / 20, "hardly any {what}: {tally:?}");
        }
    }
}

fn run(seed: u64, tally: &Tally) {
    let told = Told(seed);
    let ordeal = Ordeal::of(&mut Chance(seed ^ 0x0dea_1000_0000_0000));
    let hub = FakeHub::start_blocking();
    let truth = ordeal.publish(&hub);
    let mut room = Room::new(ordeal.small_disk.then(|| truth.bytes() * 6 / 10 + room::CATALOGUE_BYTES));
    if !ordeal.small_disk && !seed.is_multiple_of(4) {
        std::fs::write(room.path().join("catalogue.db"), empty_catalogue()).unwrap();
    }
    let mut left = Left::new(&truth);
    let mut strikes = Vec::new();
    for (index, life) in ordeal.lives.iter().enumerate() {
        hub.clear_requests();
        hub.faults().clear();
        let faults: Vec<_> = life.faults.iter().map(|fault| (fault, fault.arm(&hub))).collect();
        if life.expires_addresses {
            hub.expire_signed_urls();
        }
        if index + 1 == ordeal.lives.len() {
            room.make_room();
        }
        life::Orders::of(life, &hub, &ordeal, index).write(room.path());
        let ended = live(&room.path(), life.end);
        for (fault, handle) in faults {
            strikes.extend(std::iter::repeat_n(fault.costs(), handle.hits()));
            tally.add("faults that struck", handle.hits() as u64);
        }
        match life.end {
            End::Finishes => assert!(ended.success(), "life {index} ended with {ended}; {ordeal:#?}"),
            End::KilledAtPoint(_) if !ended.success() => tally.add("killed at a point", 1),
            End::KilledAfter(_) if !ended.success() => tally.add("killed at a moment", 1),
            // It was over before its time came.
            End::KilledAtPoint(_) | End::KilledAfter(_) => tally.add("finished before", 1),
        }
        tally.add("clock jumps", u64::from(life.jump_at.is_some() || index > 0));
        tally.add("small disks", u64::from(room.is_small() && index == 0));
        left.look(&room.path(), &hub, !ended.success());
    }
    left.finish(&strikes);
    drop(told);
}

/// Most homes begin with a catalogue that has nothing in it, because making one takes as long as the rest of a life.
fn empty_catalogue() -> &'static [u8] {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue.db");
        let clock = std::sync::Arc::new(ManualClock::at(super::START));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Catalogue::open(&path, clock).await.unwrap().close().await });
        std::fs::read(path).unwrap()
    })
}

/// Says which ordeal it was when a thread panics.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("ordeal {} failed; repeat it with PAINTBOX_ORDEAL={}", self.0, self.0);
        }
    }
}

/// One life of a process on the home, to its end.
fn live(home: &Path, end: End) -> ExitStatus {
    let log = std::fs::File::create(home.join("log")).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::ordeal::life::a_life", "--ignored", "--nocapture"])
        // The file says why.
        .env("SSL_CERT_FILE", concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/ordeal/root.pem"))
        .env_remove("SSL_CERT_DIR")
        .current_dir(home)
        .stdout(Stdio::from(log.try_clone().unwrap()))
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap();
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        let alive = began.elapsed();
        match end {
            End::KilledAfter(time) if alive >= time => child.kill().unwrap(),
            _ if alive > LONGEST_LIFE => {
                child.kill().unwrap();
                panic!("a life hangs: {}", std::fs::read_to_string(home.join("log")).unwrap_or_default());
            }
            _ => {}
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
