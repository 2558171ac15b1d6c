//! Rows → messages.

use crate::names;
use crate::states;
use crate::status::{error_message, invalid};
use paintbox_catalogue::{
    FileRecord, LocalIdentity, ModelDetail, ModelSummary, PreviewRecord, SyncCounts, SyncRunRecord, VersionRecord,
};
use paintbox_domain::hub::FileSize;
use paintbox_domain::{Hub, Timestamp};
use paintbox_proto::v1;
use tonic::Status;

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
        display_name: summary.name.clone(),
        hub: summary.hub.map_or("local", Hub::as_str).to_owned(),
        kind: summary.kind.to_string(),
        kind_label: summary.kind_label.clone().unwrap_or_default(),
        base_model: summary.base_model.clone().unwrap_or_default(),
        architecture: summary.architecture.map(|architecture| architecture.to_string()).unwrap_or_default(),
        creator: summary.creator.clone().unwrap_or_default(),
        downloaded: summary.downloaded,
        nsfw_level: summary.nsfw_level,
        tags: summary.tags.clone(),
        published_time: summary.published_at.map(timestamp),
        downloads: summary.downloads,
        state: states::of_model(summary.state).into(),
        gone_time: summary.gone_at.map(timestamp),
        ..v1::Model::default()
    }
}

pub(crate) fn model_detail(detail: &ModelDetail) -> v1::Model {
    let mut model = model_summary(&detail.summary);
    model.description = detail.description.clone().unwrap_or_default();
    model.licence = detail.licence.clone().unwrap_or_default();
    model.versions = detail.versions.iter().map(|version| self::version(&model.name, version)).collect();
    model.identity = detail.identity.as_ref().map(identity);
    model
}

fn identity(identity: &LocalIdentity) -> v1::LocalIdentity {
    let (claimed_ref, claimed_by) = match &identity.claimed {
        Some((reference, said_by)) => (reference.to_string(), said_by.clone()),
        None => Default::default(),
    };
    v1::LocalIdentity {
        state: states::of_identity(identity).into(),
        claimed_ref,
        claimed_by,
        asked_time: identity.asked_at.map(timestamp),
    }
}

fn version(model: &str, version: &VersionRecord) -> v1::ModelVersion {
    let name = names::version(model, &version.external_id);
    v1::ModelVersion {
        r#ref: version.reference.to_string(),
        display_name: version.name.clone(),
        base_model: version.base_model.clone().unwrap_or_default(),
        trained_words: version.trained_words.clone(),
        published_time: version.published_at.map(timestamp),
        early_access_until: version
            .early_access
            .map(|early_access| early_access.until.map(timestamp).unwrap_or_default()),
        files: version.files.iter().map(|file| self::file(&name, file)).collect(),
        previews: version.previews.iter().map(preview).collect(),
        nsfw_level: version.nsfw_level,
        gone_time: version.gone_at.map(timestamp),
        name,
    }
}

fn file(version: &str, file: &FileRecord) -> v1::ModelFile {
    let (artifact, unread) = (file.artifact.as_ref(), file.unread.as_ref());
    let paths = artifact.map(|artifact| &artifact.paths).or(unread.map(|unread| &unread.paths));
    let listed_size = file.size.map_or(0, FileSize::bytes);
    let digest = file.sha256.or(artifact.map(|artifact| artifact.sha256));
    v1::ModelFile {
        name: names::file(version, file.id.get()),
        file_name: file.name.clone(),
        size_bytes: artifact.map_or(listed_size, |artifact| artifact.size_bytes),
        sha256: digest.map(|digest| digest.to_string()).unwrap_or_default(),
        format: file.format.to_string(),
        state: states::of_file(file.state).into(),
        paths: paths.into_iter().flatten().map(|path| path.display().to_string()).collect(),
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

fn preview(preview: &PreviewRecord) -> v1::Preview {
    v1::Preview {
        thumbnail: preview.thumbnail.map(|digest| names::asset(&digest)).unwrap_or_default(),
        asset: preview.original.map(|digest| names::asset(&digest)).unwrap_or_default(),
        width: preview.width.unwrap_or_default(),
        height: preview.height.unwrap_or_default(),
        nsfw_level: preview.nsfw_level,
        blurhash: preview.blurhash.clone().unwrap_or_default(),
        generation_json: preview.generation.clone().unwrap_or_default(),
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
