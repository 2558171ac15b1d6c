//! One life: a process that follows, syncs and ends, or is killed.

use super::plan::{End, Life, Ordeal};
use crate::tests::{START, everything};
use crate::{DownloadLimits, Parts, Places, Settings, Sync, SyncRequest};
use paintbox_catalogue::Catalogue;
use paintbox_domain::clock::ManualClock;
use paintbox_domain::{Clock as _, crash};
use paintbox_hub::{HubConfig, Hubs, Timeouts};
use paintbox_store::Store;
use paintbox_store::hf_cache::HfCache;
use paintbox_testkit::FakeHub;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;

/// What a life is told, as a file in its home.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    civitai: String,
    hugging_face: String,
    target: String,
    clock_hours: i64,
    kill_at: Option<u64>,
    jump_at: Option<(u64, i64)>,
    is_last: bool,
}

impl Orders {
    pub(super) fn of(life: &Life, hub: &FakeHub, ordeal: &Ordeal, index: usize) -> Self {
        Self {
            civitai: hub.civitai_endpoint(),
            hugging_face: hub.hf_endpoint(),
            target: ordeal.target().to_owned(),
            clock_hours: life.clock_hours,
            kill_at: match life.end {
                End::KilledAtPoint(point) => Some(point),
                End::Finishes | End::KilledAfter(_) => None,
            },
            jump_at: life.jump_at,
            is_last: index + 1 == ordeal.lives.len(),
        }
    }

    pub(super) fn write(&self, home: impl AsRef<Path>) {
        // Beside the home, so that a full disk does not keep anybody from being told.
        let path = home.as_ref().join("../orders.json");
        std::fs::write(path, serde_json::to_string(self).unwrap()).unwrap();
    }
}

/// What the points between lasting writes do in this process.
struct Doom {
    orders: Orders,
    clock: Arc<ManualClock>,
    hubs: Hubs,
    /// Where the bytes that came so far are written down, in a place that a kill leaves.
    received: File,
    points: AtomicU64,
}

static DOOM: OnceLock<Doom> = OnceLock::new();

impl Doom {
    fn point(&self) {
        let number = self.points.fetch_add(1, Ordering::SeqCst) + 1;
        self.write_down();
        if let Some((at, hours)) = self.orders.jump_at
            && at == number
        {
            self.clock.set(paintbox_domain::Timestamp::from_unix_ms(self.clock.now().unix_ms() + hours * HOUR_MS));
        }
        if self.orders.kill_at == Some(number) {
            let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            panic!("this process was to be killed: {killed:?}");
        }
    }

    fn write_down(&self) {
        // One number in one place: a kill leaves the last one.
        self.received.write_all_at(&self.hubs.received_file_bytes().to_le_bytes(), 0).ok();
    }
}

#[test]
#[ignore = "is started, and killed, by another test"]
fn a_life() {
    let Ok(text) = std::fs::read_to_string("../orders.json") else { return };
    let orders: Orders = serde_json::from_str(&text).unwrap();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(live(orders));
}

async fn live(orders: Orders) {
    let start = START.unix_ms() + orders.clock_hours * HOUR_MS;
    let clock = Arc::new(ManualClock::at(paintbox_domain::Timestamp::from_unix_ms(start)));
    let timeouts = Timeouts {
        first_retry: Duration::from_millis(1),
        answer: Duration::from_secs(1),
        stall: Duration::from_secs(1),
        ..Timeouts::default()
    };
    let hubs = Hubs::with_timeouts(
        HubConfig {
            civitai_endpoint: orders.civitai.parse().unwrap(),
            civitai_mature_endpoint: None,
            hf_endpoint: orders.hugging_face.parse().unwrap(),
            civitai_token: None,
            hf_token: None,
            user_agent: "paintbox/test".to_owned(),
            clock: clock.clone(),
        },
        timeouts,
    )
    .unwrap();
    let is_last = orders.is_last;
    let target = orders.target.parse().unwrap();
    let received = File::create("../received").unwrap();
    let doom = Doom { orders, clock: clock.clone(), hubs: hubs.clone(), received, points: AtomicU64::new(0) };
    assert!(DOOM.set(doom).is_ok() && crash::set_hook(|_| DOOM.get().unwrap().point()));

    let ended = sync(
        Parts {
            catalogue: match Catalogue::open(Path::new("catalogue.db"), clock.clone()).await {
                Ok(catalogue) => catalogue,
                // A disk may be too small even for that.
                Err(error) => return end(is_last, &error),
            },
            hubs,
            places: match Store::open(&std::path::absolute("store").unwrap()) {
                Ok(store) => Places::of(store),
                Err(error) => return end(is_last, &error),
            },
            hf_cache: HfCache::default(),
            clock,
            surroundings: Arc::<paintbox_domain::surroundings::Said>::default(),
        },
        &target,
    )
    .await;
    DOOM.get().unwrap().write_down();
    if let Err(error) = ended {
        end(is_last, &error);
    }
}

/// Whatever goes wrong in a life that is not the last is put right in a later one.
fn end(is_last: bool, error: &dyn std::error::Error) {
    let words = paintbox_domain::classify::message_with_causes(error);
    println!("{words}");
    assert!(!is_last, "{words}");
}

async fn sync(parts: Parts, target: &paintbox_domain::follow::FollowTarget) -> Result<(), crate::SyncError> {
    let catalogue = parts.catalogue.clone();
    catalogue.interrupt_sync_runs("the daemon ended").await?;
    let limits = DownloadLimits { first_pause: Duration::from_millis(5), ..DownloadLimits::default() };
    let sync = Sync::new(parts, Settings { limits, ..Settings::default() });
    sync.take_up_downloads().await?;
    if catalogue.follow(&target.to_string()).await.is_err() {
        sync.follow(target, &everything()).await?;
    }
    let run = sync.start(&SyncRequest::default()).await?;
    let mut events = std::pin::pin!(sync.watch(&run.uid, None).await?);
    while let Some(event) = futures::StreamExt::next(&mut events).await {
        if let crate::SyncEvent::Failed(failed) = event?.1 {
            println!("{}: {}", failed.file, failed.failure);
        }
    }
    sync.shut_down().await;
    catalogue.close().await;
    Ok(())
}
