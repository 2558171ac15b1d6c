//! What the CivitAI site holds: accounts, models as the widest JSON that any endpoint shows of them, and bytes.

use super::bytes::{ServedFile, content_type_of};
use super::civitai_hashes::hashes;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The account part of every image URL (civitai/civitai, `src/client-utils/edge-url.ts`).
pub(super) const IMAGE_ACCOUNT: &str = "xG1nkqKTMzGDvpLrqFT7WA";

/// A model to publish. Start from [`FakeCivitaiModel::new`] and set what the test is about.
#[derive(Debug, Clone)]
pub struct FakeCivitaiModel {
    /// None: the hub counts one up.
    pub id: Option<u64>,
    pub name: String,
    pub creator: String,
    /// The hub's word, such as `Checkpoint` or `LORA`.
    pub kind: String,
    /// HTML.
    pub description: Option<String>,
    pub tags: Vec<String>,
    /// Bitmask: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX; 0 is not rated yet and listed nowhere.
    pub nsfw_level: u32,
    /// None, `Archived` or `TakenDown`.
    pub mode: Option<String>,
    pub versions: Vec<FakeVersion>,
    /// Left out of list pages after they were cut, as filtered models are: pages get shorter, or empty.
    pub withheld_from_lists: bool,
}

impl FakeCivitaiModel {
    /// A public model without versions.
    #[must_use]
    pub fn new(creator: &str, kind: &str, name: &str) -> Self {
        Self {
            id: None,
            name: name.to_owned(),
            creator: creator.to_owned(),
            kind: kind.to_owned(),
            description: None,
            tags: Vec::new(),
            nsfw_level: 1,
            mode: None,
            versions: Vec::new(),
            withheld_from_lists: false,
        }
    }

    /// Adds a version; the newest is added last.
    #[must_use]
    pub fn version(mut self, version: FakeVersion) -> Self {
        self.versions.push(version);
        self
    }
}

/// A version of a model.
#[derive(Debug, Clone)]
pub struct FakeVersion {
    /// None: the hub counts one up.
    pub id: Option<u64>,
    pub name: String,
    pub base_model: String,
    pub trained_words: Vec<String>,
    pub description: Option<String>,
    pub published: Timestamp,
    /// 0 is a fresh version that nobody has rated: `/model-versions/{id}` then answers 404.
    pub nsfw_level: u32,
    /// `Download`, `Generation`, … Anything but `Download` can never be downloaded.
    pub usage_control: String,
    /// `Public`, `Private`, …
    pub availability: String,
    /// Some while it must be paid for.
    pub paid_access: Option<PaidAccess>,
    pub files: Vec<FakeFile>,
    pub images: Vec<FakeImage>,
}

/// `paidAccess` of a version: until when it must be paid for; none means for ever.
pub type PaidAccess = Option<Timestamp>;

impl FakeVersion {
    /// A free version without files, published on 11 August 2026.
    #[must_use]
    pub fn new(name: &str, base_model: &str) -> Self {
        Self {
            id: None,
            name: name.to_owned(),
            base_model: base_model.to_owned(),
            trained_words: Vec::new(),
            description: None,
            published: "2026-08-11T21:25:04.626Z".parse().expect("a date as the site writes them"),
            nsfw_level: 1,
            usage_control: "Download".to_owned(),
            availability: "Public".to_owned(),
            paid_access: None,
            files: Vec::new(),
            images: Vec::new(),
        }
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, file: FakeFile) -> Self {
        self.files.push(file);
        self
    }

    /// Adds an example picture.
    #[must_use]
    pub fn image(mut self, image: FakeImage) -> Self {
        self.images.push(image);
        self
    }
}

/// A file of a version, with real bytes. Size and hashes in the API are computed from them.
#[derive(Debug, Clone)]
pub struct FakeFile {
    /// None: the hub counts one up.
    pub id: Option<u64>,
    pub name: String,
    /// The hub's word, such as `Model`, `Config` or `Training Data`.
    pub kind: String,
    /// `metadata.format`, such as `SafeTensor`; none is `null`.
    pub format: Option<String>,
    /// `metadata.fp`, such as `fp16`.
    pub precision: Option<String>,
    pub primary: bool,
    pub bytes: Bytes,
    /// Leaves `hashes` empty, as while the scan is pending.
    pub scan_pending: bool,
}

impl FakeFile {
    /// The main file of a version.
    #[must_use]
    pub fn model(name: &str, bytes: impl Into<Bytes>) -> Self {
        Self {
            id: None,
            name: name.to_owned(),
            kind: "Model".to_owned(),
            format: Some("SafeTensor".to_owned()),
            precision: Some("fp16".to_owned()),
            primary: true,
            bytes: bytes.into(),
            scan_pending: false,
        }
    }

    /// A file beside the main one.
    #[must_use]
    pub fn beside(name: &str, kind: &str, bytes: impl Into<Bytes>) -> Self {
        Self {
            kind: kind.to_owned(),
            format: Some("Other".to_owned()),
            precision: None,
            primary: false,
            ..Self::model(name, bytes)
        }
    }
}

/// An example picture with real bytes.
#[derive(Debug, Clone)]
pub struct FakeImage {
    pub bytes: Bytes,
    pub width: u32,
    pub height: u32,
    pub nsfw_level: u32,
    pub blurhash: Option<String>,
    /// The generation data; null when the poster hid it.
    pub meta: Value,
}

/// The ids that a published model got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedModel {
    pub id: u64,
    /// In the order they were given.
    pub versions: Vec<PublishedVersion>,
}

/// The ids that a published version got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedVersion {
    pub id: u64,
    /// In the order they were given.
    pub files: Vec<u64>,
}

/// A file on the storage.
#[derive(Debug, Clone)]
pub(super) struct StoredFile {
    pub(super) served: ServedFile,
    pub(super) download_name: String,
}

/// The site.
#[derive(Debug, Default)]
pub(crate) struct Civitai {
    pub(super) require_download_token: bool,
    pub(super) most_items_per_page: Option<usize>,
    pub(super) creators: BTreeSet<String>,
    /// Newest last, in order of publication.
    pub(super) models: Vec<Value>,
    pub(super) files: BTreeMap<u64, StoredFile>,
    /// Image id in the URL → bytes.
    pub(super) images: BTreeMap<String, Bytes>,
    ids_given: u64,
}

impl Civitai {
    pub(super) fn add_creator(&mut self, username: &str) {
        self.creators.insert(username.to_owned());
    }

    pub(super) fn remove_creator(&mut self, username: &str) {
        self.creators.remove(username);
        for model in &mut self.models {
            if creator_of(model) == Some(username)
                && let Some(model) = model.as_object_mut()
            {
                model.remove("creator");
            }
        }
    }

    /// Small numbers, far from the recorded ids, so that the two never meet.
    fn next_id(&mut self) -> u64 {
        self.ids_given += 1;
        1000 + self.ids_given
    }

    pub(super) fn publish(&mut self, model: FakeCivitaiModel, images_origin: &str) -> PublishedModel {
        self.add_creator(&model.creator);
        let id = model.id.unwrap_or_else(|| self.next_id());
        let mut published = PublishedModel { id, versions: Vec::new() };
        let newest = model.versions.iter().map(|version| version.published).max();
        let base_models: BTreeSet<String> = model.versions.iter().map(|version| version.base_model.clone()).collect();
        let mut versions = Vec::new();
        for (index, version) in model.versions.into_iter().rev().enumerate() {
            let (record, ids) = self.version_record(version, index, images_origin);
            versions.push(record);
            published.versions.insert(0, ids);
        }
        let record = json!({
            "id": id,
            "name": model.name,
            "description": model.description,
            "allowNoCredit": true,
            "allowCommercialUse": ["Image", "RentCivit"],
            "allowDerivatives": true,
            "allowDifferentLicense": true,
            "type": model.kind,
            "minor": false,
            "sfwOnly": false,
            "poi": false,
            "nsfw": model.nsfw_level & !3 != 0,
            "nsfwLevel": model.nsfw_level,
            "availability": "Public",
            "userId": user_id(&model.creator),
            "baseModels": base_models,
            "cosmetic": null,
            "supportsGeneration": false,
            "mode": model.mode,
            "stats": {
                "downloadCount": 12, "thumbsUpCount": 3, "thumbsDownCount": 0, "commentCount": 1,
                "tippedAmountCount": null,
            },
            "creator": {"username": model.creator, "image": null},
            "tags": model.tags,
            "modelVersions": versions,
            LAST_VERSION_AT: newest.map(|time| time.to_string()),
            WITHHELD: model.withheld_from_lists,
        });
        self.models.retain(|other| other["id"] != record["id"]);
        self.models.push(record);
        published
    }

    fn version_record(&mut self, version: FakeVersion, index: usize, origin: &str) -> (Value, PublishedVersion) {
        let id = version.id.unwrap_or_else(|| self.next_id());
        let mut ids = PublishedVersion { id, files: Vec::new() };
        let mut files = Vec::new();
        for file in version.files {
            let file_id = file.id.unwrap_or_else(|| self.next_id());
            ids.files.push(file_id);
            files.push(file_record(&file, file_id));
            self.files.insert(file_id, stored(&file.name, file.bytes));
        }
        let images: Vec<Value> = version.images.into_iter().map(|image| self.image_record(image, origin)).collect();
        let published = version.published.to_string();
        let record = json!({
            "id": id,
            "index": index,
            "name": version.name,
            "baseModel": version.base_model,
            "baseModelType": "Standard",
            "createdAt": published,
            "updatedAt": published,
            "publishedAt": published,
            "status": "Published",
            "flags": 0,
            "availability": version.availability,
            "nsfwLevel": version.nsfw_level,
            "description": version.description,
            "trainedWords": version.trained_words,
            "vaeId": null,
            "usageControl": version.usage_control,
            "paidAccess": version.paid_access.map(|ends| {
                json!({"permanent": ends.is_none(), "endsAt": ends.map(|time| time.to_string())})
            }),
            "stats": {"downloadCount": 12, "thumbsUpCount": 3, "thumbsDownCount": 0},
            "supportsGeneration": false,
            "files": files,
            "images": images,
        });
        (record, ids)
    }

    fn image_record(&mut self, image: FakeImage, origin: &str) -> Value {
        let id = self.next_id();
        let uuid = format!("00000000-0000-4000-8000-{id:012x}");
        self.images.insert(uuid.clone(), image.bytes);
        json!({
            "id": id,
            "url": format!("{origin}/{IMAGE_ACCOUNT}/{uuid}/original=true/{id}.jpeg"),
            "nsfwLevel": image.nsfw_level,
            "width": image.width,
            "height": image.height,
            "hash": image.blurhash,
            "type": "image",
            "minor": false,
            "poi": false,
            "hasMeta": !image.meta.is_null(),
            "hasPositivePrompt": image.meta.get("prompt").is_some(),
            "onSite": false,
            "remixOfId": null,
            "meta": image.meta,
        })
    }

    pub(super) fn publish_recorded(&mut self, mut record: Value, images_origin: &str) -> u64 {
        let id = record["id"].as_u64().expect("a recorded model has its id");
        if let Some(creator) = creator_of(&record).map(str::to_owned) {
            self.add_creator(&creator);
        }
        let newest = versions(&record).filter_map(published_at).max();
        if record.get(LAST_VERSION_AT).is_none() {
            // A model whose versions are all hidden still has their date in the database, which is not in the record.
            let newest = newest.map_or_else(|| "2023-06-01T00:00:00Z".to_owned(), |time| time.to_string());
            record[LAST_VERSION_AT] = Value::String(newest);
        }
        for version in record["modelVersions"].as_array_mut().into_iter().flatten() {
            for image in version["images"].as_array_mut().into_iter().flatten() {
                self.adopt_image(image, images_origin);
            }
        }
        self.models.retain(|other| other["id"] != record["id"]);
        self.models.push(record);
        id
    }

    /// Points a recorded image at this hub. All recorded images show one picture: theirs are not ours to keep.
    fn adopt_image(&mut self, image: &mut Value, origin: &str) {
        let Some(url) = image["url"].as_str() else { return };
        let Some((_, path)) = url.split_once(&format!("/{IMAGE_ACCOUNT}/")) else { return };
        let uuid = path.split('/').next().unwrap_or_default().to_owned();
        let path = format!("{origin}/{IMAGE_ACCOUNT}/{path}");
        image["url"] = Value::String(path);
        self.images.entry(uuid).or_insert_with(|| Bytes::from_static(STAND_IN_PICTURE));
    }

    pub(super) fn record_mut(&mut self, model_id: u64) -> Option<&mut Value> {
        self.models.iter_mut().find(|model| model["id"] == model_id)
    }

    pub(super) fn model(&self, model_id: u64) -> Option<&Value> {
        self.models.iter().find(|model| model["id"] == model_id)
    }

    /// A version with the model it belongs to.
    pub(super) fn version(&self, version_id: u64) -> Option<(&Value, &Value)> {
        self.models
            .iter()
            .flat_map(|model| versions(model).map(move |version| (model, version)))
            .find(|(_, version)| version["id"] == version_id)
    }

    pub(super) fn replace_file_bytes(&mut self, file_id: u64, bytes: Bytes) -> bool {
        let Some(file) = self.files.get_mut(&file_id) else { return false };
        *file = stored(&file.download_name, bytes);
        true
    }

    pub(super) fn remove(&mut self, model_id: u64) -> bool {
        let before = self.models.len();
        self.models.retain(|model| model["id"] != model_id);
        self.models.len() < before
    }
}

/// A picture of one grey pixel.
const STAND_IN_PICTURE: &[u8] = include_bytes!("../../../fixtures/pictures/grey.png");

/// Keys of a record that no endpoint shows.
pub(super) const LAST_VERSION_AT: &str = "lastVersionAt";
pub(super) const WITHHELD: &str = "withheldFromLists";

pub(super) fn versions(model: &Value) -> impl Iterator<Item = &Value> {
    model["modelVersions"].as_array().into_iter().flatten()
}

pub(super) fn creator_of(model: &Value) -> Option<&str> {
    model["creator"]["username"].as_str()
}

/// When a version came out; old records have only `createdAt`.
pub(super) fn published_at(version: &Value) -> Option<Timestamp> {
    ["publishedAt", "createdAt"].iter().find_map(|key| version[*key].as_str()?.parse().ok())
}

fn stored(name: &str, bytes: Bytes) -> StoredFile {
    // Storages give uploads in parts an ETag that is no hash of the content; a made-up one keeps clients honest.
    let etag = format!("\"{}-2\"", &blake3::hash(&bytes).to_hex()[..32]);
    let content_type = match content_type_of(&bytes) {
        "application/octet-stream" if name.ends_with(".json") => "application/json",
        other => other,
    };
    StoredFile {
        served: ServedFile { bytes, etag, content_type: content_type.to_owned() },
        download_name: name.to_owned(),
    }
}

fn file_record(file: &FakeFile, id: u64) -> Value {
    let scan = if file.scan_pending { "Pending" } else { "Success" };
    let hashes = if file.scan_pending { Map::new() } else { hashes(&file.bytes) };
    json!({
        "id": id,
        "sizeKB": kib(file.bytes.len()),
        "name": file.name,
        "overrideName": file.name,
        "type": file.kind,
        "pickleScanResult": scan,
        "pickleScanMessage": null,
        "virusScanResult": scan,
        "virusScanMessage": null,
        "scannedAt": if file.scan_pending { Value::Null } else { json!("2026-08-11T21:20:28.450Z") },
        "metadata": {"format": file.format, "size": null, "fp": file.precision, "isRequired": false},
        "hashes": hashes,
        "primary": file.primary,
    })
}

fn kib(length: usize) -> f64 {
    f64::from(u32::try_from(length).expect("test files are small")) / 1024.0
}

fn user_id(username: &str) -> u32 {
    username.bytes().fold(7, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) & 0xf_ffff
}
