//! Models that never were: words as people use them (Zipf), a few creators with most of the work, labels as CivitAI has
//! them. Two versions each, with two files and four pictures, the same for the same number in every run.

use paintbox_domain::hub::{FileSize, HubFile, HubModel, HubPreview, HubVersion, ModelState, PreviewMedia};
use paintbox_domain::{FileFormat, Hub, ModelKind, Sha256, Timestamp};

const VOCABULARY: u64 = 200_000;
const CREATORS: u64 = 60_000;
const BASES: [&str; 16] = [
    "SDXL 1.0",
    "Pony",
    "SD 1.5",
    "Illustrious",
    "Flux.1 D",
    "NoobAI",
    "SD 2.1",
    "Qwen",
    "Wan Video 14B t2v",
    "SD 3.5 Large",
    "Z Image Turbo",
    "Flux.1 S",
    "Hunyuan Video",
    "SDXL Lightning",
    "Chroma",
    "Other",
];
const KINDS: [(ModelKind, u64); 6] = [
    (ModelKind::Lora, 78),
    (ModelKind::Checkpoint, 10),
    (ModelKind::TextualInversion, 6),
    (ModelKind::ControlNet, 2),
    (ModelKind::Vae, 1),
    (ModelKind::Other, 3),
];
const LICENCES: [&str; 3] = [
    r#"{"allowNoCredit":true,"allowCommercialUse":["Image","RentCivit","Rent","Sell"],"allowDerivatives":true}"#,
    r#"{"allowNoCredit":false,"allowCommercialUse":["Image"],"allowDerivatives":true}"#,
    r#"{"allowNoCredit":false,"allowCommercialUse":[],"allowDerivatives":false}"#,
];
/// One name of so many has Chinese in it.
const CHINESE_NAMES: u64 = 50;
const FIRST_ID: u64 = 1_000;
const FIRST_MS: u64 = 1_665_000_000_000;
/// Models published in a second of the hub's life, in milliseconds between two.
const APART_MS: u64 = 120_000;
const WORDS_OF_A_DESCRIPTION: usize = 40;

/// SplitMix64 (Steele, Lea, Flood 2014), enough to spread words and digests.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Below `end`, each number about as often as one over it.
    pub(crate) fn zipf(&mut self, end: u64) -> u64 {
        let part = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (((end as f64 + 1.0).powf(part) - 1.0) as u64).min(end - 1)
    }

    pub(crate) fn word(&mut self) -> String {
        word(self.zipf(VOCABULARY))
    }

    fn words(&mut self, count: usize) -> String {
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }
}

/// The made-up word of a rank: the commoner, the shorter.
fn word(rank: u64) -> String {
    const CONSONANTS: &[u8] = b"bcdfghjklmnprstvwz";
    const VOWELS: &[u8] = b"aeiou";
    let mut spread = Random::new(rank + 77);
    let syllables = 2 + u64::from(rank > 500) + u64::from(rank > 20_000);
    let mut word = String::new();
    for _ in 0..syllables {
        for letters in [CONSONANTS, VOWELS] {
            let at = usize::try_from(spread.below(letters.len() as u64)).unwrap_or_default();
            word.push(char::from(letters[at]));
        }
        // Half of the syllables are closed.
        if spread.below(2) == 0 {
            word.push(char::from(CONSONANTS[usize::try_from(spread.below(9)).unwrap_or_default()]));
        }
    }
    word
}

fn chinese(random: &mut Random) -> String {
    (0..4).filter_map(|_| char::from_u32(0x4e00 + u32::try_from(random.zipf(3_000)).unwrap_or_default())).collect()
}

pub(crate) fn creator(random: &mut Random) -> String {
    let number = random.zipf(CREATORS);
    format!("{}{number}", word(number))
}

pub(crate) fn base(random: &mut Random) -> &'static str {
    BASES[usize::try_from(random.zipf(BASES.len() as u64)).unwrap_or_default()]
}

pub(crate) fn kind(random: &mut Random) -> ModelKind {
    let mut share = random.below(100);
    for (kind, of_hundred) in KINDS {
        if share < of_hundred {
            return kind;
        }
        share -= of_hundred;
    }
    ModelKind::Other
}

pub(crate) struct World;

impl World {
    pub(crate) fn new() -> Self {
        Self
    }

    /// The words of a model's name.
    pub(crate) fn name(&self, number: u64) -> String {
        let mut random = Random::new(number);
        let mut name = random.words(4);
        if random.below(CHINESE_NAMES) == 0 {
            name = format!("{} {name}", chinese(&mut random));
        }
        name
    }

    pub(crate) fn model(&mut self, number: u64) -> HubModel {
        let id = FIRST_ID + number;
        let name = self.name(number);
        let mut random = Random::new(number ^ (1 << 40));
        let published = Timestamp::from_unix_ms(i64::try_from(FIRST_MS + number * APART_MS).unwrap_or(i64::MAX));
        let base = base(&mut random);
        HubModel {
            hub: Hub::Civitai,
            external_id: id.to_string(),
            raw: format!(r#"{{"id":{id},"name":"{name}"}}"#),
            name,
            kind: kind(&mut random),
            kind_label: Some("LORA".to_owned()),
            creator: Some(creator(&mut random)),
            creator_id: None,
            description: Some(random.words(WORDS_OF_A_DESCRIPTION)),
            tags: (0..8).map(|_| random.word()).collect(),
            nsfw_level: [1, 1, 3, 7, 15, 31][usize::try_from(random.below(6)).unwrap_or_default()],
            licence: Some(LICENCES[usize::try_from(random.zipf(3)).unwrap_or_default()].to_owned()),
            downloads: Some(1_000_000 / (1 + random.below(1_000_000))),
            likes: Some(random.zipf(10_000)),
            state: ModelState::Published,
            access_granted: None,
            published_at: Some(published),
            updated_at: None,
            versions: (0..2).map(|version| version_of(id, version, base, published, &mut random)).collect(),
            list_mark: None,
        }
    }
}

fn version_of(model: u64, version: u64, base: &str, published: Timestamp, random: &mut Random) -> HubVersion {
    let id = model * 10 + version;
    HubVersion {
        external_id: id.to_string(),
        name: format!("v{version}"),
        base_model: Some(base.to_owned()),
        trained_words: vec![random.word()],
        nsfw_level: 1,
        published_at: Some(published),
        early_access: None,
        download_allowed: true,
        files: (0..2).map(|file| file_of(id * 10 + file, file == 0, random)).collect(),
        previews: (0..4).map(|preview| preview_of(id * 10 + preview)).collect(),
    }
}

fn file_of(id: u64, primary: bool, random: &mut Random) -> HubFile {
    let mut digest = [0; 32];
    digest.as_chunks_mut::<8>().0.iter_mut().for_each(|part| *part = random.next().to_le_bytes());
    HubFile {
        external_id: id.to_string(),
        name: format!("{id}.safetensors"),
        size: Some(FileSize::About(random.below(7_000_000_000))),
        sha256: Some(Sha256::from_bytes(digest)),
        blake3: None,
        git_sha1: None,
        auto_v3: None,
        kind_label: Some(if primary { "Model" } else { "Training Data" }.to_owned()),
        format: if primary { FileFormat::Safetensors } else { FileFormat::Archive },
        precision: primary.then(|| "fp16".to_owned()),
        primary,
        locator: format!("/api/download/models/{id}"),
    }
}

fn preview_of(id: u64) -> HubPreview {
    HubPreview {
        external_id: Some(id.to_string()),
        url: format!("https://image.civitai.com/x/{id}/width=450/{id}.jpeg"),
        media: PreviewMedia::Image,
        width: Some(832),
        height: Some(1_216),
        nsfw_level: 1,
        blurhash: None,
        generation: None,
    }
}
