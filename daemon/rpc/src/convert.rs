//! Rows → messages.

use crate::fit;
use crate::names;
use crate::states;
use crate::status::{error_message, invalid};
use paintbox_catalogue::{
    FileId, FileRecord, LocalIdentity, ModelDetail, ModelSummary, PreviewRecord, SyncCounts, SyncRunRecord, VersionId,
    VersionRecord,
};
use paintbox_domain::Timestamp;
use paintbox_domain::hub::FileSize;
use paintbox_proto::v1;
use std::path::PathBuf;
use tonic::Status;

const LONGEST_DESCRIPTION: usize = 256 << 10;
const LONGEST_LICENCE: usize = 16 << 10;
/// JSON is told as a whole or not at all.
const LONGEST_GENERATION_DATA: usize = 64 << 10;
/// A blur of nine by nine components has 166 characters (github woltapp/blurhash, Algorithm.md).
const LONGEST_BLURHASH: usize = 256;
/// What a version has beside it, as its page and lists of versions show it.
const MOST_FILES: usize = 100;
const FILES_ROOM: usize = 128 << 10;
const MOST_PREVIEWS: usize = 20;
const PREVIEWS_ROOM: usize = 96 << 10;
const PATHS_ROOM: usize = 16 << 10;

/// From 1970 to the end of the year 9999.
const MOST_SECONDS: u64 = 253_402_300_800;

pub(crate) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let ms = time.unix_ms();
    prost_types::Timestamp {
        seconds: ms.div_euclid(1000),
        nanos: i32::try_from(ms.rem_euclid(1000)).unwrap_or_default() * 1_000_000,
    }
}

/// A caller's moment, of whole milliseconds.
pub(crate) fn time(field: &str, given: prost_types::Timestamp) -> Result<Timestamp, Status> {
    let nanos = i64::from(given.nanos);
    let ms = given.seconds.checked_mul(1_000).and_then(|ms| ms.checked_add(nanos / 1_000_000));
    match ms {
        Some(ms) if (0..1_000_000_000).contains(&nanos) && given.seconds.unsigned_abs() < MOST_SECONDS => {
            Ok(Timestamp::from_unix_ms(ms))
        }
        _ => Err(invalid(field, "it is no moment between the years 1 and 9999")),
    }
}

pub(crate) fn model_summary(summary: &ModelSummary) -> v1::Model {
    v1::Model {
        name: names::model(summary.hub, &summary.external_id),
        r#ref: summary.reference.to_string(),
        display_name: fit::name(&summary.name),
        hub: names::hub(summary.hub).to_owned(),
        kind: summary.kind.to_string(),
        kind_label: summary.kind_label.as_deref().map(fit::name).unwrap_or_default(),
        base_model: summary.base_model.as_deref().map(fit::name).unwrap_or_default(),
        architecture: summary.architecture.map(|architecture| architecture.to_string()).unwrap_or_default(),
        creator: summary.creator.as_deref().map(fit::name).unwrap_or_default(),
        downloaded: summary.downloaded,
        nsfw_level: summary.nsfw_level,
        tags: fit::words(&summary.tags),
        published_time: summary.published_at.map(timestamp),
        downloads: summary.downloads,
        state: states::of_model(summary.state).into(),
        gone_time: summary.gone_at.map(timestamp),
        ..v1::Model::default()
    }
}

/// What of a model somebody asked for by name, and gets in any case.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named {
    pub(crate) version: Option<VersionId>,
    pub(crate) file: Option<FileId>,
}

pub(crate) fn model_detail(detail: &ModelDetail, named: Named) -> v1::Model {
    let mut model = model_summary(&detail.summary);
    model.description = fit::cut(detail.description.as_deref().unwrap_or_default(), LONGEST_DESCRIPTION);
    model.licence = fit::cut(detail.licence.as_deref().unwrap_or_default(), LONGEST_LICENCE);
    model.identity = detail.identity.as_ref().map(identity);
    model.version_count = fit::count(detail.versions.len());
    let room = fit::ROOM.saturating_sub(fit::size(&model));
    let is_named = detail.versions.iter().position(|version| Some(version.id) == named.version);
    let message = |version: &VersionRecord| self::version(&model.name, version, named.file);
    model.versions = fit::entries(&detail.versions, room, usize::MAX, is_named, message);
    model
}

fn identity(identity: &LocalIdentity) -> v1::LocalIdentity {
    let (claimed_ref, claimed_by) = match &identity.claimed {
        Some((reference, said_by)) => (reference.to_string(), fit::name(said_by)),
        None => Default::default(),
    };
    v1::LocalIdentity {
        state: states::of_identity(identity).into(),
        claimed_ref,
        claimed_by,
        asked_time: identity.asked_at.map(timestamp),
    }
}

/// A version of the model of that name, with the first of its files and previews.
pub(crate) fn version(model: &str, version: &VersionRecord, named: Option<FileId>) -> v1::ModelVersion {
    let name = names::version(model, &version.external_id);
    let is_named = version.files.iter().position(|file| Some(file.id) == named);
    let file = |file: &FileRecord| self::file(&name, file);
    v1::ModelVersion {
        r#ref: version.reference.to_string(),
        display_name: fit::name(&version.name),
        base_model: version.base_model.as_deref().map(fit::name).unwrap_or_default(),
        trained_words: fit::words(&version.trained_words),
        published_time: version.published_at.map(timestamp),
        early_access_until: version
            .early_access
            .map(|early_access| early_access.until.map(timestamp).unwrap_or_default()),
        files: fit::entries(&version.files, FILES_ROOM, MOST_FILES, is_named, file),
        previews: fit::entries(&version.previews, PREVIEWS_ROOM, MOST_PREVIEWS, None, preview),
        file_count: fit::count(version.files.len()),
        preview_count: fit::count(version.previews.len()),
        nsfw_level: version.nsfw_level,
        gone_time: version.gone_at.map(timestamp),
        name,
    }
}

pub(crate) fn file(version: &str, file: &FileRecord) -> v1::ModelFile {
    let (artifact, unread) = (file.artifact.as_ref(), file.unread.as_ref());
    let paths = artifact.map(|artifact| &artifact.paths).or(unread.map(|unread| &unread.paths));
    let listed_size = file.size.map_or(0, FileSize::bytes);
    let digest = file.sha256.or(artifact.map(|artifact| artifact.sha256));
    v1::ModelFile {
        name: names::file(version, file.id.get()),
        file_name: fit::name(&file.name),
        size_bytes: artifact.map_or(listed_size, |artifact| artifact.size_bytes),
        sha256: digest.map(|digest| digest.to_string()).unwrap_or_default(),
        format: file.format.to_string(),
        state: states::of_file(file.state).into(),
        paths: paths.map(|paths| self::paths(paths)).unwrap_or_default(),
        failure: file.failure.as_ref().map(error_message),
        architecture: artifact
            .map(|artifact| artifact.architecture)
            .or(unread.map(|unread| unread.architecture))
            .map(|architecture| architecture.to_string())
            .unwrap_or_default(),
        kind: artifact
            .map(|artifact| artifact.kind)
            .or(unread.map(|unread| unread.kind))
            .map(|kind| kind.to_string())
            .unwrap_or_default(),
        replaced_time: file.replaced_at.map(timestamp),
        gone_time: file.gone_at.map(timestamp),
        edited_header: file.edited_header,
    }
}

/// As many as there is room for.
fn paths(paths: &[PathBuf]) -> Vec<String> {
    let mut room = PATHS_ROOM;
    let told = paths.iter().map(|path| path.display().to_string()).take_while(|path| {
        let left = room.checked_sub(path.len());
        room = left.unwrap_or_default();
        left.is_some()
    });
    told.collect()
}

pub(crate) fn preview(preview: &PreviewRecord) -> v1::Preview {
    let told = |text: &Option<String>, longest: usize| text.clone().filter(|text| text.len() <= longest);
    v1::Preview {
        thumbnail: preview.thumbnail.map(|digest| names::asset(&digest)).unwrap_or_default(),
        asset: preview.original.map(|digest| names::asset(&digest)).unwrap_or_default(),
        width: preview.width.unwrap_or_default(),
        height: preview.height.unwrap_or_default(),
        nsfw_level: preview.nsfw_level,
        blurhash: told(&preview.blurhash, LONGEST_BLURHASH).unwrap_or_default(),
        generation_json: told(&preview.generation, LONGEST_GENERATION_DATA).unwrap_or_default(),
        small_thumbnail: preview.small_thumbnail.map(|digest| names::asset(&digest)).unwrap_or_default(),
    }
}

pub(crate) fn sync_run(run: &SyncRunRecord) -> v1::SyncRun {
    v1::SyncRun {
        name: format!("syncRuns/{}", run.uid),
        state: states::of_sync_run(run.state).into(),
        counts: Some(counts(&run.counts)),
        failure: run.failure.as_ref().map(error_message),
        create_time: Some(timestamp(run.created_at)),
        end_time: run.ended_at.map(timestamp),
    }
}

fn counts(counts: &SyncCounts) -> v1::SyncCounts {
    v1::SyncCounts {
        planned: counts.planned,
        fetched: counts.fetched,
        already_had: counts.already_had,
        skipped: counts.skipped,
        failed: counts.failed,
        bytes: counts.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_nanoseconds_positive() {
        let time = timestamp(Timestamp::from_unix_ms(-1));
        assert_eq!((time.seconds, time.nanos), (-1, 999_000_000));
    }
}
