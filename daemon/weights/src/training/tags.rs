//! The JSON objects inside metadata values: tag frequencies and folders, read entry by entry and never kept whole.
//!
//! `ss_tag_frequency` is `{"10_folder": {"1girl": 43, …}, …}` and may hold hundreds of thousands of tags;
//! `ss_dataset_dirs` is `{"10_folder": {"n_repeats": 10, "img_count": 43}, …}` (kohya-ss/sd-scripts `train_network.py`).

use super::{NAME_CHARACTERS, clean};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::collections::HashMap;
use std::fmt;

/// Different tags that are counted; real files have a tenth of it at most. What comes later is not counted.
const MOST_TAGS: usize = 100_000;

/// The most frequent tags of all folders together. Tags of equal frequency are in the order of their names. Where it
/// stops being what it should be, reading ends, and what was read until then counts.
pub(super) fn most_frequent(text: &str, kept: usize) -> Vec<(String, u64)> {
    let mut counts = HashMap::new();
    // An error ends the reading and is no error of ours: the value is a stranger's.
    Folders(&mut counts).deserialize(&mut serde_json::Deserializer::from_str(text)).ok();
    let mut sorted: Vec<(String, u64)> = counts.into_iter().collect();
    sorted.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sorted.into_iter().filter_map(|(tag, times)| Some((clean(&tag, NAME_CHARACTERS)?, times))).take(kept).collect()
}

/// The first folders, with the images in each.
pub(super) fn datasets(text: &str, kept: usize) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    Datasets { found: &mut found, kept }.deserialize(&mut serde_json::Deserializer::from_str(text)).ok();
    found
}

struct Folders<'c>(&'c mut HashMap<String, u64>);

impl<'de> DeserializeSeed<'de> for Folders<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Folders<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tags by folder")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut folders: A) -> Result<(), A::Error> {
        while folders.next_key::<IgnoredAny>()?.is_some() {
            folders.next_value_seed(Tags(self.0))?;
        }
        Ok(())
    }
}

struct Tags<'c>(&'c mut HashMap<String, u64>);

impl<'de> DeserializeSeed<'de> for Tags<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tags<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("how often, by tag")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut tags: A) -> Result<(), A::Error> {
        while let Some((tag, times)) = tags.next_entry::<String, u64>()? {
            if let Some(sum) = self.0.get_mut(&tag) {
                *sum = sum.saturating_add(times);
            } else if self.0.len() < MOST_TAGS {
                self.0.insert(tag, times);
            }
        }
        Ok(())
    }
}

struct Datasets<'c> {
    found: &'c mut Vec<(String, u64)>,
    kept: usize,
}

#[derive(Deserialize)]
struct Dataset {
    #[serde(default)]
    img_count: u64,
}

impl<'de> DeserializeSeed<'de> for Datasets<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Datasets<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("folders by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut folders: A) -> Result<(), A::Error> {
        while self.found.len() < self.kept {
            let Some((name, dataset)) = folders.next_entry::<String, Dataset>()? else { break };
            self.found.extend(clean(&name, NAME_CHARACTERS).map(|name| (name, dataset.img_count)));
        }
        // The rest is not read: a map that is left early ends as an error, which the caller does not mind.
        Ok(())
    }
}
