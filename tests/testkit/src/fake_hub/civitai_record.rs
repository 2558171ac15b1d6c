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
    /// In the order they were given.
    pub images: Vec<u64>,
}

/// A file on the storage.
#[derive(Debug, Clone)]
pub(super) struct StoredFile {
    pub(super) served: ServedFile,
    pub(super) download_name: String,
}

/// What the site makes of `collectionId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CollectionFilter {
    /// It wants a number and an address holds text: a Zod 400, as the schema of August 2026 has it.
    #[default]
    Refused,
    /// As if it had not been asked for.
    Ignored,
    Served,
}

/// The site.
#[derive(Debug, Default)]
pub(crate) struct Civitai {
    pub(super) require_download_token: bool,
    pub(super) most_items_per_page: Option<usize>,
    /// What time it is there; none for the machine's own time.
    pub(super) time: Option<Timestamp>,
    /// Some while every answer counts as a visit.
    pub(super) visits: Option<u64>,
    /// Whether the main site leaves out what is rated beyond PG-13.
    pub(super) filter_mature_on_main: bool,
    /// Name → the account's number, which a new name does not change.
    pub(super) creators: BTreeMap<String, u64>,
    /// The accounts that the account of the token follows.
    pub(super) followed: BTreeSet<u64>,
    /// The status that `followed` is refused with.
    pub(super) followed_refusal: Option<u16>,
    /// The models that the account of the token has bookmarked.
    pub(super) favourites: BTreeSet<u64>,
    pub(super) collections: BTreeMap<u64, BTreeSet<u64>>,
    pub(super) collection_filter: CollectionFilter,
    pub(super) models: BTreeMap<u64, Value>,
    /// The model of each version.
    versions: BTreeMap<u64, u64>,
    /// The models of each account.
    owned: BTreeMap<u64, BTreeSet<u64>>,
    pub(super) files: BTreeMap<u64, StoredFile>,
    /// Image id in the URL → bytes.
    pub(super) images: BTreeMap<String, Bytes>,
    ids_given: u64,
}

impl Civitai {
    /// The account's number, new or old.
    pub(super) fn add_creator(&mut self, username: &str) -> u64 {
        *self.creators.entry(username.to_owned()).or_insert_with(|| user_id(username))
    }

    pub(super) fn remove_creator(&mut self, username: &str) {
        if let Some(number) = self.creators.remove(username) {
            self.owned.remove(&number);
        }
        for model in self.models.values_mut() {
            if creator_of(model) == Some(username)
                && let Some(model) = model.as_object_mut()
            {
                model.remove("creator");
            }
        }
    }

    /// What time it is on the site.
    pub(super) fn now(&self) -> Timestamp {
        self.time.unwrap_or_else(Timestamp::now)
    }

    /// Small numbers, far from the recorded ids, so that the two never meet.
    fn next_id(&mut self) -> u64 {
        self.ids_given += 1;
        1000 + self.ids_given
    }

    pub(super) fn publish(&mut self, model: FakeCivitaiModel, images_origin: &str) -> PublishedModel {
        let owner = self.add_creator(&model.creator);
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
            "userId": owner,
            OWNER: owner,
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
        self.keep(id, record);
        published
    }

    /// Puts a record in the place of what had its number.
    fn keep(&mut self, id: u64, record: Value) {
        self.remove(id);
        self.versions.extend(versions(&record).filter_map(|version| Some((version["id"].as_u64()?, id))));
        if let Some(owner) = record[OWNER].as_u64() {
            self.owned.entry(owner).or_default().insert(id);
        }
        self.models.insert(id, record);
    }

    /// Adds a version in front of a published model's others.
    pub(super) fn add_version(
        &mut self,
        model_id: u64,
        version: FakeVersion,
        origin: &str,
    ) -> Option<PublishedVersion> {
        self.models.contains_key(&model_id).then_some(())?;
        let published = version.published;
        let (record, ids) = self.version_record(version, 0, origin);
        self.versions.insert(ids.id, model_id);
        let model = self.models.get_mut(&model_id)?;
        let base_model = record["baseModel"].clone();
        if let Some(base_models) = model["baseModels"].as_array_mut().filter(|known| !known.contains(&base_model)) {
            base_models.push(base_model);
        }
        let others = model["modelVersions"].as_array_mut()?;
        for (index, other) in others.iter_mut().enumerate() {
            other["index"] = json!(index + 1);
        }
        others.insert(0, record);
        let newest = model[LAST_VERSION_AT].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let newest = newest.map_or(published, |newest| newest.max(published));
        model[LAST_VERSION_AT] = json!(newest.to_string());
        Some(ids)
    }

    fn version_record(&mut self, version: FakeVersion, index: usize, origin: &str) -> (Value, PublishedVersion) {
        let id = version.id.unwrap_or_else(|| self.next_id());
        let mut ids = PublishedVersion { id, files: Vec::new(), images: Vec::new() };
        let mut files = Vec::new();
        for file in version.files {
            let file_id = file.id.unwrap_or_else(|| self.next_id());
            ids.files.push(file_id);
            files.push(file_record(&file, file_id));
            self.files.insert(file_id, stored(&file.name, file.bytes));
        }
        let images: Vec<Value> = version.images.into_iter().map(|image| self.image_record(image, origin)).collect();
        ids.images = images.iter().filter_map(|image| image["id"].as_u64()).collect();
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
            record[OWNER] = json!(self.add_creator(&creator));
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
        self.keep(id, record);
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
        self.models.get_mut(&model_id)
    }

    pub(super) fn model(&self, model_id: u64) -> Option<&Value> {
        self.models.get(&model_id)
    }

    /// The models of one account, or of all.
    pub(super) fn models_of(&self, creator: Option<&str>) -> impl Iterator<Item = (u64, &Value)> {
        let owned = creator.map(|name| self.creators.get(name).and_then(|number| self.owned.get(number)));
        let all = owned.is_none().then(|| self.models.iter().map(|(id, model)| (*id, model)));
        let some = owned.flatten().into_iter().flatten().filter_map(|id| Some((*id, self.models.get(id)?)));
        all.into_iter().flatten().chain(some)
    }

    /// A version with the model it belongs to.
    pub(super) fn version(&self, version_id: u64) -> Option<(&Value, &Value)> {
        let model = self.models.get(self.versions.get(&version_id)?)?;
        Some((model, versions(model).find(|version| version["id"] == version_id)?))
    }

    pub(super) fn version_mut(&mut self, version_id: u64) -> Option<&mut Value> {
        let model = self.models.get_mut(self.versions.get(&version_id)?)?;
        model["modelVersions"].as_array_mut()?.iter_mut().find(|version| version["id"] == version_id)
    }

    /// What the API says of a file.
    pub(super) fn file_mut(&mut self, file_id: u64) -> Option<&mut Value> {
        self.models
            .values_mut()
            .flat_map(|model| model["modelVersions"].as_array_mut().into_iter().flatten())
            .flat_map(|version| version["files"].as_array_mut().into_iter().flatten())
            .find(|file| file["id"] == file_id)
    }

    pub(super) fn replace_file_bytes(&mut self, file_id: u64, bytes: Bytes) -> bool {
        let Some(file) = self.files.get_mut(&file_id) else { return false };
        *file = stored(&file.download_name, bytes);
        true
    }

    pub(super) fn remove(&mut self, model_id: u64) -> bool {
        let Some(record) = self.models.remove(&model_id) else { return false };
        if let Some(models) = record[OWNER].as_u64().and_then(|owner| self.owned.get_mut(&owner)) {
            models.remove(&model_id);
        }
        true
    }
}

/// A picture of one grey pixel.
const STAND_IN_PICTURE: &[u8] = include_bytes!("../../../fixtures/pictures/grey.png");

/// Keys of a record that no endpoint shows.
pub(super) const LAST_VERSION_AT: &str = "lastVersionAt";
pub(super) const WITHHELD: &str = "withheldFromLists";
pub(super) const OWNER: &str = "ownerNumber";

pub(super) fn versions(model: &Value) -> impl Iterator<Item = &Value> {
    model["modelVersions"].as_array().into_iter().flatten()
}

pub(super) fn creator_of(model: &Value) -> Option<&str> {
    model["creator"]["username"].as_str()
}

/// Whether strangers may see a model or a version; old records do not say.
pub(super) fn is_published(record: &Value) -> bool {
    record["status"].as_str().is_none_or(|status| status == "Published")
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

pub(super) fn kib(length: usize) -> f64 {
    f64::from(u32::try_from(length).expect("test files are small")) / 1024.0
}

fn user_id(username: &str) -> u64 {
    username.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))) & 0x7fff_ffff
}
