//! How fast a library is known, and what it costs to know that nothing changed.
//!
//! `cargo bench -p paintbox-sync --bench library [-- --files N] [--tensors N] [--keep DIR]`. So many sparse safetensors
//! files with valid headers lie in a hundred folders; each header lists so many tensors, as a LoRA does (a small one has
//! some 24, one for Stable Diffusion 1.5 in kohya's form 792). Reading the files to their end is left out: that is as
//! fast as the disk. Measured are a first look, another one after a new start, and one after a hundred files moved; on
//! Linux the system is asked how many files were opened, beside our own count of what was read.
#![expect(clippy::print_stdout, reason = "a benchmark's answer is what it prints")]
#![expect(clippy::disallowed_methods, reason = "it moves files as people do")]

use futures::StreamExt as _;
use paintbox_catalogue::Catalogue;
use paintbox_domain::clock::ManualClock;
use paintbox_domain::{Clock, Timestamp};
use paintbox_hub::{HubConfig, Hubs};
use paintbox_store::Store;
use paintbox_store::hf_cache::HfCache;
use paintbox_sync::{Care, Parts, Places, ScanEvent, Scanned, Settings, Sync};
use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + std::marker::Sync>;

const FOLDERS: usize = 100;
/// What the files claim to be long; nothing of it is on the disk.
const FILE_BYTES: u64 = 150 << 20;
const NOW: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);

struct Wanted {
    files: usize,
    tensors: usize,
    keep: Option<PathBuf>,
}

fn wanted() -> Result<Wanted, Failure> {
    let mut wanted = Wanted { files: 100_000, tensors: 24, keep: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or("a value is missing");
        match argument.as_str() {
            // What cargo itself says to a benchmark.
            "--bench" => {}
            "--files" => wanted.files = value()?.parse()?,
            "--tensors" => wanted.tensors = value()?.parse()?,
            "--keep" => wanted.keep = Some(value()?.into()),
            other => return Err(format!("`{other}` is not understood").into()),
        }
    }
    Ok(wanted)
}

/// A header of a LoRA in kohya's naming, told apart by a number in its metadata.
fn header(tensors: usize, number: usize) -> String {
    let mut header = format!(r#"{{"__metadata__":{{"ss_output_name":"lora {number}","ss_network_dim":"8"}}"#);
    for at in 0..tensors {
        let module = at / 3;
        let (name, shape, bytes) = match at % 3 {
            0 => ("alpha", String::new(), 2),
            1 => ("lora_down.weight", "8,320".to_owned(), 5_120),
            _ => ("lora_up.weight", "320,8".to_owned(), 5_120),
        };
        let begin = module * 10_242 + [0, 2, 5_122][at % 3];
        header.push_str(&format!(
            r#","lora_unet_down_blocks_{}_attentions_{}_transformer_blocks_0_attn1_to_q.{name}":{{"dtype":"F16","shape":[{shape}],"data_offsets":[{begin},{}]}}"#,
            module / 2,
            module % 2,
            begin + bytes
        ));
    }
    header.push('}');
    header
}

fn make(root: &Path, wanted: &Wanted) -> Result<(), Failure> {
    if root.join("made").exists() {
        return Ok(());
    }
    let length = u64::try_from(wanted.tensors / 3 * 10_242)?;
    for number in 0..wanted.files {
        let folder = root.join(format!("{:02}", number % FOLDERS));
        std::fs::create_dir_all(&folder)?;
        let header = header(wanted.tensors / 3 * 3, number);
        let mut file = File::create(folder.join(format!("lora {number}.safetensors")))?;
        file.write_all(&u64::try_from(header.len())?.to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        // The tensors' bytes, of which the disk keeps none.
        file.set_len(8 + header.len() as u64 + length)?;
        debug_assert!(length < FILE_BYTES);
    }
    File::create(root.join("made"))?;
    Ok(())
}

async fn opened(home: &Path) -> Result<Sync, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let nowhere = "http://127.0.0.1:9";
    let hubs = Hubs::new(HubConfig {
        civitai_endpoint: nowhere.parse()?,
        civitai_mature_endpoint: None,
        hf_endpoint: nowhere.parse()?,
        civitai_token: None,
        hf_token: None,
        user_agent: "paintbox/bench".to_owned(),
        clock: clock.clone(),
    })?;
    let parts = Parts {
        catalogue: Catalogue::open(&home.join("catalogue.db"), clock.clone()).await?,
        hubs,
        places: Places::of(Store::open(&home.join("store"))?),
        hf_cache: HfCache::default(),
        clock,
        surroundings: Arc::<paintbox_domain::surroundings::Said>::default(),
    };
    let care = Care { identify: false, ..Care::default() };
    Ok(Sync::new(parts, Settings { care, ..Settings::default() }))
}

async fn look(sync: &Sync) -> Result<(Scanned, Duration), Failure> {
    let started = Instant::now();
    let mut events = std::pin::pin!(sync.scan_libraries(&[]).await?);
    let mut last = Scanned::default();
    while let Some(event) = events.next().await {
        if let ScanEvent::Done { scanned: Some(scanned), .. } = event? {
            last = scanned;
        }
    }
    Ok((last, started.elapsed()))
}

/// Asks the system which files are opened in the folders of a library.
#[cfg(target_os = "linux")]
struct Opened(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Opened {
    fn watch(root: &Path) -> Result<Self, Failure> {
        use rustix::fs::inotify;
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        for entry in std::fs::read_dir(root)? {
            let path = entry?.path();
            if path.is_dir() {
                inotify::add_watch(&watch, &path, inotify::WatchFlags::OPEN)?;
            }
        }
        Ok(Self(watch))
    }

    /// Files that were opened, folders left out.
    fn files(&self) -> u64 {
        use rustix::fs::inotify;
        let mut buffer = [std::mem::MaybeUninit::uninit(); 64 << 10];
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        let mut found = 0;
        while let Ok(event) = reader.next() {
            found += u64::from(!event.events().contains(inotify::ReadFlags::ISDIR));
        }
        found
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let wanted = wanted()?;
    let scratch = tempfile::tempdir()?;
    let models = wanted.keep.clone().unwrap_or_else(|| scratch.path().join("models"));
    let home = scratch.path().join("home");
    std::fs::create_dir_all(&models)?;
    std::fs::create_dir_all(&home)?;
    make(&models, &wanted)?;
    println!("{} files, headers of {} bytes", wanted.files, header(wanted.tensors / 3 * 3, 0).len());

    let sync = opened(&home).await?;
    sync.add_library(&models).await?;
    let (scanned, time) = look(&sync).await?;
    report("first look", scanned, time);
    sync.shut_down().await;
    drop(sync);

    #[cfg(target_os = "linux")]
    let files_opened = Opened::watch(&models)?;
    let started = Instant::now();
    let sync = opened(&home).await?;
    let open = started.elapsed();
    let (scanned, time) = look(&sync).await?;
    println!("new start: catalogue open after {:.0} ms", open.as_secs_f64() * 1e3);
    report("look after a new start", scanned, open + time);
    #[cfg(target_os = "linux")]
    println!("    files opened, as the system counts them: {}", files_opened.files());

    for number in 0..100.min(wanted.files) {
        let from = models.join(format!("{:02}/lora {number}.safetensors", number % FOLDERS));
        let to = models.join(format!("{:02}/moved {number}.safetensors", (number + 1) % FOLDERS));
        // The other way round where an earlier run moved them.
        if from.exists() { std::fs::rename(from, to)? } else { std::fs::rename(to, from)? }
    }
    let (scanned, time) = look(&sync).await?;
    report("look after 100 moves", scanned, time);
    sync.shut_down().await;
    Ok(())
}

fn report(what: &str, scanned: Scanned, time: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = scanned.seen as f64 / time.as_secs_f64();
    println!(
        "{what}: {:.2} s, {rate:.0} files/s; {} new or moved ({} known again), {} gone, {} headers read",
        time.as_secs_f64(),
        scanned.arrived,
        scanned.known_again,
        scanned.gone,
        scanned.inspected
    );
}
