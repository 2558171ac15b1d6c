//! A crawl of CivitAI's list that never was: copies of recorded items, weighted as the site's models are (mostly LoRAs
//! with a version or two and some ten pictures, some checkpoints with many versions), each with ids, names, digests,
//! addresses and JSON of its own, so that nothing of it is the same row or text twice.

use crate::random::Random;
use crate::reader;
use paintbox_domain::hub::HubModel;
use serde_json::{Value, json};
use std::error::Error;
use std::ops::Range;
use std::path::Path;

/// Recorded items: file, how often its versions are repeated, and its share of 200. `models-list` files stand for each
/// of their items with the share.
const RECORDED: [(&str, usize, u64); 14] = [
    ("listitem-2025-04-lora-small-1052168.json", 1, 28),
    ("listitem-2025-04-lora-training-data-file-1040295.json", 1, 28),
    ("listitem-2025-04-lora-hash-missing-1200545.json", 1, 16),
    ("listitem-2025-04-lora-video-image-1161465.json", 1, 28),
    ("listitem-2025-04-dora-nonascii-1021418.json", 1, 12),
    ("listitem-2025-04-lora-early-access-1024060.json", 1, 16),
    ("listitem-2025-04-lora-creator-absent-350450.json", 1, 4),
    ("listitem-2026-08-lora-paidaccess-null-2851602.json", 1, 12),
    ("models-list-2025-05-page-metadata.json", 1, 20),
    ("models-list-2025-07-nsfw-cursor.json", 1, 8),
    ("model-2023-07-checkpoint-early-access-timeframe-15697.json", 1, 2),
    ("model-2023-07-checkpoint-pruned-model-file-3523.json", 1, 6),
    ("model-2023-07-checkpoint-pruned-model-file-3523.json", 6, 3),
    ("model-2023-07-checkpoint-pruned-model-file-3523.json", 15, 1),
];

/// Words of names, tags and trigger words that the copies draw from, and creators.
const VOCABULARY: u64 = 60_000;
const TAGS: u64 = 8_000;
const CREATORS: u64 = 15_000;
/// Where the ids begin; a crawl from new to old counts down from here.
const NEWEST: u64 = 4_000_000_000;
/// The minute at which the newest model was published, in milliseconds since 1970.
const NEWEST_MS: i64 = 1_790_000_000_000;

pub(crate) struct Crawl {
    items: Vec<Value>,
    /// For each of the shares, which item.
    shares: Vec<usize>,
}

impl Crawl {
    /// Reads the recorded items from the folder of the repository's fixtures.
    pub(crate) fn recorded(folder: &Path) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut crawl = Self { items: Vec::new(), shares: Vec::new() };
        for (name, repeated, share) in RECORDED {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let mut recorded: Value = serde_json::from_str(&text)?;
            let items = match recorded.get_mut("items") {
                Some(Value::Array(items)) => std::mem::take(items),
                _ => vec![recorded],
            };
            for mut item in items {
                if let Some(Value::Array(versions)) = item.get_mut("modelVersions") {
                    *versions = std::iter::repeat_n(versions.clone(), repeated).flatten().collect();
                }
                crawl.shares.extend(std::iter::repeat_n(crawl.items.len(), usize::try_from(share)?));
                crawl.items.push(item);
            }
        }
        Ok(crawl)
    }

    /// A part of the list, on the crawl's `visit`th reading: only counters differ between readings.
    pub(crate) fn page(&mut self, numbers: Range<u64>, visit: u64) -> Vec<HubModel> {
        numbers.map(|number| self.model(number, visit)).collect()
    }

    fn model(&mut self, number: u64, visit: u64) -> HubModel {
        let mut random = Random::new(number);
        let share = usize::try_from(random.below(self.shares.len() as u64)).unwrap_or_default();
        let item = &mut self.items[self.shares[share]];
        vary(item, number, visit, &mut random);
        let raw = serde_json::to_string(item).unwrap_or_default();
        reader::model(item, raw)
    }
}

/// Turns an item into copy `number` of it. It may be a copy already: whatever differs is set anew.
fn vary(item: &mut Value, number: u64, visit: u64, random: &mut Random) {
    let published = jiff::Timestamp::from_millisecond(NEWEST_MS - i64::try_from(number * 60_000).unwrap_or_default());
    let published = published.map(|time| format!("{time:.3}")).unwrap_or_default();
    item["id"] = json!(NEWEST / 1_000 - number);
    item["name"] = json!(sentence(random, 2, 5));
    item["description"] = json!(described(&item["description"], &sentence(random, 6, 40)));
    if item.get("creator").is_some() {
        item["creator"]["username"] = json!(format!("{}{}", random.word(CREATORS), random.skewed(CREATORS)));
    }
    item["stats"] = json!({
        "downloadCount": random.skewed(100_000) + visit, "favoriteCount": 0,
        "thumbsUpCount": random.skewed(5_000) + visit, "thumbsDownCount": 0, "commentCount": random.skewed(40),
        "ratingCount": 0, "rating": 0, "tippedAmountCount": visit,
    });
    // The site's own tags, such as `character`, are on most models; beside them stand those of the uploader.
    for (position, tag) in array(item, "tags").iter_mut().enumerate() {
        if position > 1 {
            *tag = json!(random.word(TAGS));
        }
    }
    let (mut files, mut images) = (0, 0);
    for (position, version) in (0..).zip(array(item, "modelVersions")) {
        let id = NEWEST / 100 - number * 20 - position;
        version["id"] = json!(id);
        version["name"] = json!(format!("v{}.{}", 1 + random.below(4), random.below(10)));
        version["publishedAt"] = json!(published);
        version["stats"] = json!({"downloadCount": random.skewed(50_000) + visit, "thumbsUpCount": visit});
        version["downloadUrl"] = json!(format!("https://civitai.com/api/download/models/{id}"));
        for word in array(version, "trainedWords") {
            *word = json!(sentence(random, 1, 3));
        }
        for file in array(version, "files") {
            files += 1;
            file["id"] = json!(NEWEST - number * 60 - files);
            file["name"] = json!(format!("{}.safetensors", sentence(random, 1, 3).replace(' ', "_")));
            file["sizeKB"] = json!(random.below(1 << 24) as f64 / 8.0);
            for (name, digits) in [("AutoV1", 8), ("AutoV2", 10), ("SHA256", 64), ("CRC32", 8), ("BLAKE3", 64)] {
                if let Some(hash) = file.get_mut("hashes").and_then(|hashes| hashes.get_mut(name)) {
                    *hash = json!(random.hex(digits));
                }
            }
        }
        for image in array(version, "images") {
            images += 1;
            let id = NEWEST - number * 200 - images;
            let name = random.hex(32).to_ascii_lowercase();
            image["id"] = json!(id);
            image["url"] = json!(format!(
                "https://image.civitai.com/xG1nkqKTMzGDvpLrqFT7WA/{}-{}-{}-{}-{}/width=450/{id}.jpeg",
                &name[..8],
                &name[8..12],
                &name[12..16],
                &name[16..20],
                &name[20..]
            ));
            image["hash"] = json!(format!("U{}", random.hex(35)));
        }
    }
}

fn sentence(random: &mut Random, least: u64, most: u64) -> String {
    let words: Vec<String> = (0..least + random.below(most - least + 1)).map(|_| random.word(VOCABULARY)).collect();
    words.join(" ")
}

/// The recorded description with a paragraph of this copy's own behind it.
fn described(recorded: &Value, own: &str) -> String {
    const OWN: &str = "<p class=\"own\">";
    let recorded = recorded.as_str().unwrap_or_default();
    let recorded = recorded.split(OWN).next().unwrap_or_default();
    format!("{recorded}{OWN}{own}</p>")
}

fn array<'a>(value: &'a mut Value, key: &str) -> &'a mut [Value] {
    value.get_mut(key).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}
