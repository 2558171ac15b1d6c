//! The whole of sync against hubs on this machine, in a time of its own: the clock stands still until a test moves it.

mod attributes;
mod catalogue;
mod following;
mod keeping;
mod library;
mod manners;
mod ordeal;
mod queue;
mod settings;
mod simulation;
mod storms;

use crate::{Parts, Places, Settings, Sync};
use bytes::Bytes;
use paintbox_catalogue::{Catalogue, Follow, ModelId};
use paintbox_domain::clock::ManualClock;
use paintbox_domain::follow::{Backfill, FollowPolicy};
use paintbox_domain::{Clock as _, Hub, Sha256, Timestamp};
use paintbox_hub::{HubConfig, Hubs};
use paintbox_store::Store;
use paintbox_store::hf_cache::HfCache;
use paintbox_testkit::{FakeCivitaiModel, FakeFile, FakeHub, FakeVersion, PublishedModel, RecordedRequest};
use sha2::{Digest as _, Sha256 as Hasher};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// 2026-09-01T00:00:00Z, a while after everything that the fake hubs date by themselves.
const START: Timestamp = Timestamp::from_unix_ms(1_788_220_800_000);

/// A hub, a catalogue, a store and a sync that share one clock.
struct World {
    hub: FakeHub,
    clock: Arc<ManualClock>,
    catalogue: Catalogue,
    sync: Sync,
    home: TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    /// A world whose parts and settings are changed before they are put together.
    async fn with(change: impl FnOnce(&mut Parts, &mut Settings)) -> Self {
        let hub = FakeHub::start().await;
        let clock = Arc::new(ManualClock::at(START));
        // Where the system has a disk in memory: what is tested here is order, not what a disk makes of a sync.
        let memory = Path::new("/dev/shm");
        let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let catalogue = Catalogue::open(&home.path().join("catalogue.db"), clock.clone()).await.unwrap();
        let hubs = Hubs::with_first_retry(
            HubConfig {
                civitai_endpoint: hub.civitai_endpoint().parse().unwrap(),
                civitai_mature_endpoint: None,
                hf_endpoint: hub.hf_endpoint().parse().unwrap(),
                civitai_token: None,
                hf_token: None,
                user_agent: "paintbox/test".to_owned(),
                clock: clock.clone(),
            },
            Duration::from_millis(1),
        )
        .unwrap();
        let mut parts = Parts {
            catalogue: catalogue.clone(),
            hubs,
            places: Places::of(Store::open(&home.path().join("store")).unwrap()),
            hf_cache: HfCache::default(),
            clock: clock.clone(),
            surroundings: Arc::<paintbox_domain::surroundings::Said>::default(),
        };
        let mut settings = Settings { sync_interval: Some(HOUR), ..Settings::default() };
        change(&mut parts, &mut settings);
        let world = Self { hub, clock, catalogue, sync: Sync::new(parts, settings), home };
        world.tell_the_hub_the_time();
        world
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn tell_the_hub_the_time(&self) {
        self.hub.set_time(date(self.now()));
    }

    /// Follows without a backfill.
    async fn follow(&self, target: &str) -> Follow {
        self.follow_with(target, &FollowPolicy::default()).await
    }

    async fn follow_with(&self, target: &str, policy: &FollowPolicy) -> Follow {
        self.sync.follow(&target.parse().unwrap(), policy).await.unwrap()
    }

    async fn state(&self, follow: &Follow) -> Follow {
        self.catalogue.follow_by_id(follow.id).await.unwrap().unwrap()
    }

    /// Lets time pass, doing whatever comes due on the way.
    async fn pass(&self, time: Duration) {
        let end = self.now().plus(time);
        loop {
            let next = self.sync.tick().await.unwrap();
            self.sync.rest().await;
            let now = self.now();
            match next {
                Some(next) if next <= end => self.clock.advance(next.since(now)),
                _ => {
                    self.clock.advance(end.since(now));
                    return;
                }
            }
        }
    }

    /// The contents of weights that are in the store.
    async fn fetched(&self) -> BTreeSet<Sha256> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.sync.inner.parts.places.home().blobs_folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.file_name().unwrap().to_str().unwrap().parse().unwrap());
                }
            }
        }
        found
    }

    async fn model(&self, id: u64) -> ModelId {
        self.catalogue.find_model(Hub::Civitai, &id.to_string()).await.unwrap().expect("the model is known")
    }

    /// What a plan for everything says, as `op file reason` lines.
    async fn plan(&self) -> Vec<String> {
        let plan = self.sync.plan(None).await.unwrap();
        let line = |operation: &crate::Operation| {
            format!("{} {} {}", operation.kind.as_str(), operation.file, operation.reason)
        };
        plan.operations.iter().map(line).collect()
    }

    /// A version that comes out now, with one file of weights.
    fn version(&self, name: &str, content: u64) -> FakeVersion {
        let mut version = FakeVersion::new(name, "SDXL 1.0");
        version.published = date(self.now());
        version.file(FakeFile::model(&format!("{name}.safetensors"), weights(content)))
    }

    fn publish(&self, creator: &str, name: &str, content: u64) -> PublishedModel {
        let mut model = FakeCivitaiModel::new(creator, "LORA", name).version(self.version(name, content));
        model.description = Some(format!("<p>{name} as it came out</p>"));
        model.tags = vec!["style".to_owned()];
        self.hub.publish(model)
    }
}

/// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

fn date(time: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(time.unix_ms()).unwrap()
}

/// A safetensors file of one number, which makes it different from every other.
fn weights(content: u64) -> Bytes {
    let header = br#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
    let mut bytes = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(&content.to_le_bytes());
    bytes.into()
}

/// A safetensors file of about so many bytes.
fn large_weights(bytes: usize) -> Bytes {
    let header = format!(r#"{{"a":{{"dtype":"U8","shape":[{bytes}],"data_offsets":[0,{bytes}]}}}}"#);
    let mut whole = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    whole.extend_from_slice(header.as_bytes());
    let pattern: Vec<u8> = (0..=250).collect();
    whole.extend(pattern.iter().cycle().take(bytes % 251));
    whole.extend(pattern.repeat(bytes / 251));
    whole.into()
}

fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(Hasher::digest(bytes).into())
}

fn contents(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<Sha256> {
    numbers.into_iter().map(|number| digest(&weights(number))).collect()
}

fn everything() -> FollowPolicy {
    FollowPolicy { backfill: Backfill::All, ..FollowPolicy::default() }
}

/// Requests for lists of the CivitAI site.
fn list_requests(hub: &FakeHub) -> Vec<RecordedRequest> {
    hub.requests().into_iter().filter(|request| request.path() == "/api/v1/models").collect()
}
