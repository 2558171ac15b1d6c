//! What creators, moderators and time do to the CivitAI site, as methods: each changes what every endpoint says from
//! then on. Dates are the caller's, so that a simulation can use a time of its own.

use super::civitai_hashes::hashes;
use super::civitai_record::{CollectionFilter, FakeVersion, PaidAccess, PublishedVersion, kib, versions};
use super::{FakeHub, Server};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

impl FakeHub {
    /// Sets the site's clock, which otherwise is the machine's. Early access that has ended by then is over.
    pub fn set_time(&self, now: Timestamp) {
        let mut hub = self.shared.civitai();
        hub.time = Some(now);
        let is_over = |paid: &Value| {
            paid["permanent"] != true
                && paid["endsAt"].as_str().and_then(|ends| ends.parse().ok()).is_some_and(|ends: Timestamp| ends <= now)
        };
        for model in hub.models.values_mut() {
            for version in model["modelVersions"].as_array_mut().into_iter().flatten() {
                if version.get("paidAccess").is_some_and(is_over) {
                    version["paidAccess"] = Value::Null;
                }
            }
        }
    }

    /// Makes every API answer of the CivitAI site count as a visit: downloads grow, and with them every `ETag` changes
    /// though nothing has. Off at the start.
    pub fn count_visits(&self, counted: bool) {
        self.shared.civitai().visits = counted.then_some(0);
    }

    /// Makes the main site leave out whatever is rated beyond PG-13, as civitai.com does since April 2026. Off at the
    /// start.
    pub fn filter_mature_on_main(&self, filtered: bool) {
        self.shared.civitai().filter_mature_on_main = filtered;
    }

    /// Whom the account of the token follows, instead of whom it followed before. A name that is nobody's is registered.
    pub fn set_followed(&self, usernames: &[&str]) {
        let mut hub = self.shared.civitai();
        hub.followed = usernames.iter().map(|name| hub.add_creator(name)).collect();
    }

    /// Makes the site refuse `followed=true` with this status, or take it again. Taken at the start.
    pub fn refuse_followed(&self, status: Option<u16>) {
        self.shared.civitai().followed_refusal = status;
    }

    /// What the account of the token has bookmarked, instead of what it had before.
    pub fn set_favourites(&self, model_ids: &[u64]) {
        self.shared.civitai().favourites = model_ids.iter().copied().collect();
    }

    /// What a collection holds.
    pub fn set_collection(&self, collection_id: u64, model_ids: &[u64]) {
        self.shared.civitai().collections.insert(collection_id, model_ids.iter().copied().collect());
    }

    /// What the site makes of `collectionId`; refused at the start.
    pub fn filter_collections(&self, filter: CollectionFilter) {
        self.shared.civitai().collection_filter = filter;
    }

    /// Gives an account another name: its number stays, its models show the new name, and nobody answers to the old one.
    /// Answers whether the account existed and the new name was free.
    pub fn rename_creator(&self, old: &str, new: &str) -> bool {
        let mut hub = self.shared.civitai();
        if hub.creators.contains_key(new) {
            return false;
        }
        let Some(number) = hub.creators.remove(old) else { return false };
        hub.creators.insert(new.to_owned(), number);
        for model in hub.models.values_mut().filter(|model| model["creator"]["username"] == old) {
            model["creator"]["username"] = json!(new);
        }
        true
    }

    /// Gives a model another name.
    pub fn rename_model(&self, model_id: u64, name: &str) -> bool {
        self.edit(model_id, |model| model["name"] = json!(name))
    }

    /// Changes or removes a model's description.
    pub fn edit_description(&self, model_id: u64, description: Option<&str>) -> bool {
        self.edit(model_id, |model| model["description"] = json!(description))
    }

    /// Changes a model's tags.
    pub fn edit_tags(&self, model_id: u64, tags: &[&str]) -> bool {
        self.edit(model_id, |model| model["tags"] = json!(tags))
    }

    /// Rates a model anew: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX.
    pub fn set_nsfw_level(&self, model_id: u64, level: u32) -> bool {
        self.edit(model_id, |model| {
            model["nsfwLevel"] = json!(level);
            model["nsfw"] = json!(level & !0b11 != 0);
        })
    }

    /// Takes a model off the site: it is in no list, and its page, versions and files are 404.
    pub fn unpublish(&self, model_id: u64) -> bool {
        self.edit(model_id, |model| model["status"] = json!("Unpublished"))
    }

    /// Puts an unpublished model back, as it was.
    pub fn republish(&self, model_id: u64) -> bool {
        self.edit(model_id, |model| model["status"] = json!("Published"))
    }

    /// Takes one version off the site. Answers whether it exists.
    pub fn unpublish_version(&self, version_id: u64) -> bool {
        self.edit_version(version_id, |version| version["status"] = json!("Unpublished"))
    }

    /// Puts an unpublished version back.
    pub fn republish_version(&self, version_id: u64) -> bool {
        self.edit_version(version_id, |version| version["status"] = json!("Published"))
    }

    /// Archives a model: listed on request only, without files.
    pub fn archive(&self, model_id: u64) -> bool {
        self.edit(model_id, |model| model["mode"] = json!("Archived"))
    }

    /// Takes a model down: its pictures are gone, its files stay listed.
    pub fn take_down(&self, model_id: u64) -> bool {
        self.edit(model_id, |model| model["mode"] = json!("TakenDown"))
    }

    /// Ends what [`Self::archive`] or [`Self::take_down`] did.
    pub fn restore(&self, model_id: u64) -> bool {
        self.edit(model_id, |model| model["mode"] = Value::Null)
    }

    /// Publishes a version of a model that is there, in front of its others: `version.published` decides where the model
    /// comes in lists by date. None if there is no such model.
    pub fn add_version(&self, model_id: u64, version: FakeVersion) -> Option<PublishedVersion> {
        let images = self.origin(Server::CivitaiImages);
        self.shared.civitai().add_version(model_id, version, &images)
    }

    /// Uploads other bytes under the same file number and name: size and digests change, nothing else does. Answers
    /// whether the file exists.
    pub fn replace_file(&self, file_id: u64, bytes: impl Into<Bytes>) -> bool {
        let bytes = bytes.into();
        let (size, digests) = (kib(bytes.len()), hashes(&bytes));
        let mut hub = self.shared.civitai();
        if !hub.replace_file_bytes(file_id, bytes) {
            return false;
        }
        let Some(file) = hub.file_mut(file_id) else { return false };
        file["sizeKB"] = json!(size);
        file["hashes"] = Value::Object(digests);
        true
    }

    /// Puts a version behind a price until a time, or for ever; none ends it. Answers whether the version exists.
    pub fn set_early_access(&self, version_id: u64, paid_access: Option<PaidAccess>) -> bool {
        self.edit_version(version_id, |version| {
            version["paidAccess"] = paid_access.map_or(
                Value::Null,
                |ends| json!({"permanent": ends.is_none(), "endsAt": ends.map(|time| time.to_string())}),
            );
        })
    }

    /// Changes a published version's record in place, as [`Self::edit`] does a model's.
    pub fn edit_version(&self, version_id: u64, change: impl FnOnce(&mut Value)) -> bool {
        self.shared.civitai().version_mut(version_id).map(change).is_some()
    }

    /// The numbers of a model's versions, newest first, whether they are to be seen or not.
    #[must_use]
    pub fn version_ids(&self, model_id: u64) -> Vec<u64> {
        let hub = self.shared.civitai();
        hub.model(model_id).into_iter().flat_map(versions).filter_map(|version| version["id"].as_u64()).collect()
    }
}
