//! `stats`, `dupes`, `updates`, and what `show` says goes with a model.

use super::known;
use crate::render::units::rfc3339;
use paintbox_proto::v1;
use serde::Serialize;

#[derive(Serialize)]
struct ShareJson<'a> {
    /// Null: not known.
    name: Option<&'a str>,
    files: u64,
    file_bytes: u64,
}

impl<'a> From<&'a v1::Share> for ShareJson<'a> {
    fn from(share: &'a v1::Share) -> Self {
        Self { name: known(&share.name), files: share.files, file_bytes: share.file_bytes }
    }
}

#[derive(Serialize)]
struct SumJson {
    files: u64,
    file_bytes: u64,
}

impl From<&Option<v1::Share>> for SumJson {
    fn from(share: &Option<v1::Share>) -> Self {
        share
            .as_ref()
            .map_or(Self { files: 0, file_bytes: 0 }, |share| Self { files: share.files, file_bytes: share.file_bytes })
    }
}

#[derive(Serialize)]
struct PlaceJson<'a> {
    place: &'a str,
    /// A volume's label or a library's path.
    name: Option<&'a str>,
    away: bool,
    files: u64,
    file_bytes: u64,
}

#[derive(Serialize)]
struct HubShareJson<'a> {
    hub: &'a str,
    models: u64,
    gone_models: u64,
    downloaded_models: u64,
    files: u64,
    file_bytes: u64,
}

#[derive(Serialize)]
pub(crate) struct StatsJson<'a> {
    total: SumJson,
    unread: SumJson,
    unknown: SumJson,
    refused: SumJson,
    kinds: Vec<ShareJson<'a>>,
    architectures: Vec<ShareJson<'a>>,
    precisions: Vec<ShareJson<'a>>,
    places: Vec<PlaceJson<'a>>,
    hubs: Vec<HubShareJson<'a>>,
    creators: Vec<ShareJson<'a>>,
    pictures: Vec<ShareJson<'a>>,
    catalogue_bytes: u64,
}

impl<'a> From<&'a v1::Stats> for StatsJson<'a> {
    fn from(stats: &'a v1::Stats) -> Self {
        let shares = |shares: &'a [v1::Share]| shares.iter().map(ShareJson::from).collect();
        let place = |place: &'a v1::PlaceShare| PlaceJson {
            place: &place.place,
            name: known(&place.name),
            away: place.away,
            files: place.files,
            file_bytes: place.file_bytes,
        };
        let hub = |hub: &'a v1::HubShare| HubShareJson {
            hub: &hub.hub,
            models: hub.models,
            gone_models: hub.gone_models,
            downloaded_models: hub.downloaded_models,
            files: hub.files,
            file_bytes: hub.file_bytes,
        };
        Self {
            total: SumJson::from(&stats.total),
            unread: SumJson::from(&stats.unread),
            unknown: SumJson::from(&stats.unknown),
            refused: SumJson::from(&stats.refused),
            kinds: shares(&stats.kinds),
            architectures: shares(&stats.architectures),
            precisions: shares(&stats.precisions),
            places: stats.places.iter().map(place).collect(),
            hubs: stats.hubs.iter().map(hub).collect(),
            creators: shares(&stats.creators),
            pictures: shares(&stats.pictures),
            catalogue_bytes: stats.catalogue_bytes,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct DuplicateJson<'a> {
    sha256: &'a str,
    size_bytes: u64,
    spare_bytes: u64,
    kind: &'a str,
    /// Null when no model is known for it.
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    name: &'a str,
    /// As many as there are; of very many, `places` are the first.
    place_count: u32,
    places: Vec<DuplicatePlaceJson<'a>>,
}

#[derive(Serialize)]
struct DuplicatePlaceJson<'a> {
    path: &'a str,
    /// Places with the same number are names of one file.
    file: u32,
    in_library: bool,
    away: bool,
}

impl<'a> From<&'a v1::Duplicate> for DuplicateJson<'a> {
    fn from(duplicate: &'a v1::Duplicate) -> Self {
        let place = |place: &'a v1::DuplicatePlace| DuplicatePlaceJson {
            path: &place.path,
            file: place.file,
            in_library: place.in_library,
            away: place.away,
        };
        Self {
            sha256: &duplicate.sha256,
            size_bytes: duplicate.size_bytes,
            spare_bytes: duplicate.spare_bytes,
            kind: &duplicate.kind,
            reference: known(&duplicate.model),
            name: &duplicate.display_name,
            place_count: duplicate.place_count,
            places: duplicate.places.iter().map(place).collect(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct UpdateJson<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    name: &'a str,
    kind: &'a str,
    creator: Option<&'a str>,
    /// The newest version that is here.
    have: HaveJson<'a>,
    /// When its page was last looked at.
    seen_time: Option<String>,
    newer: Vec<NewerJson<'a>>,
}

#[derive(Serialize)]
struct HaveJson<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    name: &'a str,
    base_model: Option<&'a str>,
    published_time: Option<String>,
}

#[derive(Serialize)]
struct NewerJson<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    name: &'a str,
    base_model: Option<&'a str>,
    same_base_model: bool,
    published_time: Option<String>,
    size_bytes: u64,
    /// Must be paid for until `early_access_until`, or without a known end when that is null.
    early_access: bool,
    early_access_until: Option<String>,
    download_allowed: bool,
}

impl<'a> From<&'a v1::ModelUpdate> for UpdateJson<'a> {
    fn from(update: &'a v1::ModelUpdate) -> Self {
        let newer = |newer: &'a v1::NewerVersion| {
            let until = newer.early_access_until.as_ref();
            NewerJson {
                reference: &newer.version,
                name: &newer.display_name,
                base_model: known(&newer.base_model),
                same_base_model: newer.same_base_model,
                published_time: rfc3339(newer.published_time.as_ref()),
                size_bytes: newer.size_bytes,
                early_access: until.is_some(),
                early_access_until: rfc3339(until.filter(|time| time.seconds != 0)),
                download_allowed: newer.download_allowed,
            }
        };
        Self {
            reference: &update.model,
            name: &update.display_name,
            kind: &update.kind,
            creator: known(&update.creator),
            have: HaveJson {
                reference: &update.have,
                name: &update.have_display_name,
                base_model: known(&update.have_base_model),
                published_time: rfc3339(update.have_published_time.as_ref()),
            },
            seen_time: rfc3339(update.seen_time.as_ref()),
            newer: update.newer.iter().map(newer).collect(),
        }
    }
}

/// What of one kind goes with a model.
#[derive(Serialize)]
pub(crate) struct CompanionsJson<'a> {
    kind: &'a str,
    /// All files of the kind, of which `files` are the first.
    total: u64,
    files: Vec<CompanionJson<'a>>,
}

#[derive(Serialize)]
struct CompanionJson<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    name: &'a str,
    base_model: Option<&'a str>,
    /// Only the hubs' labels say so.
    by_label: bool,
    use_time: Option<String>,
}

impl<'a> From<&'a v1::Companions> for CompanionsJson<'a> {
    fn from(companions: &'a v1::Companions) -> Self {
        let file = |file: &'a v1::Companion| CompanionJson {
            reference: &file.version,
            name: &file.display_name,
            base_model: known(&file.base_model),
            by_label: file.by_label,
            use_time: rfc3339(file.use_time.as_ref()),
        };
        Self { kind: &companions.kind, total: companions.total, files: companions.files.iter().map(file).collect() }
    }
}
