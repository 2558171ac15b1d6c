//! Models with their versions, files and example images, as `search` and `show` print them.

use super::{CompanionsJson, ErrorJson, asset_sha256, known};
use crate::render::units::rfc3339;
use crate::render::words;
use paintbox_proto::v1;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct ModelJson<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    id: &'a str,
    name: &'a str,
    hub: &'a str,
    kind: &'a str,
    kind_label: Option<&'a str>,
    base_model: Option<&'a str>,
    architecture: Option<&'a str>,
    creator: Option<&'a str>,
    downloaded: bool,
    nsfw_level: u32,
    tags: &'a [String],
    published_time: Option<String>,
    stats: StatsJson,
    state: Option<String>,
    gone_time: Option<String>,
}

#[derive(Serialize)]
struct StatsJson {
    downloads: Option<u64>,
}

impl<'a> From<&'a v1::Model> for ModelJson<'a> {
    fn from(model: &'a v1::Model) -> Self {
        Self {
            reference: &model.r#ref,
            id: &model.name,
            name: &model.display_name,
            hub: &model.hub,
            kind: &model.kind,
            kind_label: known(&model.kind_label),
            base_model: known(&model.base_model),
            architecture: known(&model.architecture),
            creator: known(&model.creator),
            downloaded: model.downloaded,
            nsfw_level: model.nsfw_level,
            tags: &model.tags,
            published_time: rfc3339(model.published_time.as_ref()),
            stats: StatsJson { downloads: model.downloads },
            state: words::known_state(model.state().as_str_name()),
            gone_time: rfc3339(model.gone_time.as_ref()),
        }
    }
}

/// What is found divided by one thing, behind the models themselves: `{"facet":"kind","values":[…]}`.
#[derive(Serialize)]
pub(crate) struct FacetJson<'a> {
    facet: &'a str,
    values: Vec<FacetValueJson<'a>>,
}

/// The last object, where other words were looked for than those that were given.
#[derive(Serialize)]
pub(crate) struct CorrectedJson<'a> {
    pub(crate) corrected_query: &'a str,
}

#[derive(Serialize)]
struct FacetValueJson<'a> {
    value: &'a str,
    models: i64,
}

impl<'a> From<&'a v1::FacetCounts> for FacetJson<'a> {
    fn from(counts: &'a v1::FacetCounts) -> Self {
        let values = counts.values.iter().map(|value| FacetValueJson { value: &value.value, models: value.models });
        Self { facet: &counts.facet, values: values.collect() }
    }
}

/// A model with everything in it.
#[derive(Serialize)]
pub(crate) struct ModelPageJson<'a> {
    #[serde(flatten)]
    model: ModelJson<'a>,
    description: Option<&'a str>,
    licence: Option<&'a str>,
    /// Reference of the version that was asked for; null for the model as a whole.
    selected_version: Option<&'a str>,
    versions: Vec<VersionJson<'a>>,
    /// Of a library's file that no hub is known to list: how far it is known what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityJson<'a>>,
    /// With `--at`: the time as of which everything but the files' states and paths is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// With `--history`: oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<ChangeJson<'a>>>,
    /// Without either: what of everything that is here goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    companions: Option<Vec<CompanionsJson<'a>>>,
}

impl<'a> ModelPageJson<'a> {
    pub(crate) fn new(
        model: &'a v1::Model,
        selected_version: &str,
        at: Option<&prost_types::Timestamp>,
        history: Option<&'a [v1::ModelChange]>,
        companions: Option<&'a [v1::Companions]>,
    ) -> Self {
        let selected = model.versions.iter().find(|version| version.name == selected_version);
        Self {
            model: model.into(),
            description: known(&model.description),
            licence: known(&model.licence),
            selected_version: selected.map(|version| version.r#ref.as_str()),
            versions: model.versions.iter().map(Into::into).collect(),
            identity: model.identity.as_ref().map(Into::into),
            at: rfc3339(at),
            history: history.map(|changes| changes.iter().map(Into::into).collect()),
            companions: companions.map(|kinds| kinds.iter().map(Into::into).collect()),
        }
    }
}

#[derive(Serialize)]
struct IdentityJson<'a> {
    /// `pending`, `unknown` or `claimed`.
    state: String,
    claimed_ref: Option<&'a str>,
    claimed_by: Option<&'a str>,
    asked_time: Option<String>,
}

impl<'a> From<&'a v1::LocalIdentity> for IdentityJson<'a> {
    fn from(identity: &'a v1::LocalIdentity) -> Self {
        Self {
            state: words::state(identity.state().as_str_name()),
            claimed_ref: known(&identity.claimed_ref),
            claimed_by: known(&identity.claimed_by),
            asked_time: rfc3339(identity.asked_time.as_ref()),
        }
    }
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    time: Option<String>,
    event: &'a str,
    fields: &'a [String],
}

impl<'a> From<&'a v1::ModelChange> for ChangeJson<'a> {
    fn from(change: &'a v1::ModelChange) -> Self {
        Self { time: rfc3339(change.time.as_ref()), event: &change.event, fields: &change.fields }
    }
}

#[derive(Serialize)]
struct VersionJson<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    name: &'a str,
    base_model: Option<&'a str>,
    trained_words: &'a [String],
    published_time: Option<String>,
    /// Must be paid for until `early_access_until`, or without a known end when that is null.
    early_access: bool,
    early_access_until: Option<String>,
    nsfw_level: u32,
    /// When the hub stopped listing it.
    gone_time: Option<String>,
    files: Vec<FileJson<'a>>,
    previews: Vec<PreviewJson<'a>>,
}

impl<'a> From<&'a v1::ModelVersion> for VersionJson<'a> {
    fn from(version: &'a v1::ModelVersion) -> Self {
        let until = version.early_access_until.as_ref();
        Self {
            reference: &version.r#ref,
            name: &version.display_name,
            base_model: known(&version.base_model),
            trained_words: &version.trained_words,
            published_time: rfc3339(version.published_time.as_ref()),
            early_access: until.is_some(),
            early_access_until: rfc3339(until.filter(|time| time.seconds != 0)),
            nsfw_level: version.nsfw_level,
            gone_time: rfc3339(version.gone_time.as_ref()),
            files: version.files.iter().map(Into::into).collect(),
            previews: version.previews.iter().map(Into::into).collect(),
        }
    }
}

#[derive(Serialize)]
struct FileJson<'a> {
    name: &'a str,
    size_bytes: u64,
    sha256: Option<&'a str>,
    format: &'a str,
    state: String,
    /// What is here has the tensors of the hub's file, and a header that another tool rewrote.
    edited_header: bool,
    paths: &'a [String],
    architecture: Option<&'a str>,
    kind: Option<&'a str>,
    /// When the hub put other bytes under the same name.
    replaced_time: Option<String>,
    /// When the hub stopped listing it.
    gone_time: Option<String>,
    error: Option<ErrorJson>,
}

impl<'a> From<&'a v1::ModelFile> for FileJson<'a> {
    fn from(file: &'a v1::ModelFile) -> Self {
        Self {
            name: &file.file_name,
            size_bytes: file.size_bytes,
            sha256: known(&file.sha256),
            format: &file.format,
            state: words::state(file.state().as_str_name()),
            edited_header: file.edited_header,
            paths: &file.paths,
            architecture: known(&file.architecture),
            kind: known(&file.kind),
            replaced_time: rfc3339(file.replaced_time.as_ref()),
            gone_time: rfc3339(file.gone_time.as_ref()),
            error: file.failure.as_ref().map(Into::into),
        }
    }
}

#[derive(Serialize)]
struct PreviewJson<'a> {
    /// SHA-256 of the original image; null until it was fetched.
    asset: Option<&'a str>,
    /// SHA-256 of the thumbnail, at most 512 pixels a side.
    thumbnail: Option<&'a str>,
    /// SHA-256 of the thumbnail for lists, at most 256 pixels a side; the same where the other is small enough.
    small_thumbnail: Option<&'a str>,
    width: u32,
    height: u32,
    nsfw_level: u32,
    blurhash: Option<&'a str>,
    generation: serde_json::Map<String, serde_json::Value>,
}

impl<'a> From<&'a v1::Preview> for PreviewJson<'a> {
    fn from(preview: &'a v1::Preview) -> Self {
        Self {
            asset: asset_sha256(&preview.asset),
            thumbnail: asset_sha256(&preview.thumbnail),
            small_thumbnail: asset_sha256(&preview.small_thumbnail),
            width: preview.width,
            height: preview.height,
            nsfw_level: preview.nsfw_level,
            blurhash: known(&preview.blurhash),
            // What is not an object is no generation data; the catalogue keeps it verbatim all the same.
            generation: serde_json::from_str(&preview.generation_json).unwrap_or_default(),
        }
    }
}
