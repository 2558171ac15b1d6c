//! The decision table of the planner.

use super::*;
use paintbox_catalogue::{ArtifactId, ArtifactRecord, FollowInterest, ModelRecord, VersionRecord};
use paintbox_domain::follow::{FollowPolicy, FollowTarget};
use paintbox_domain::hub::EarlyAccess;
use paintbox_domain::{Architecture, Blake3, ErrorClass, Failure, FileFormat, ModelKind};

const NOW: Timestamp = Timestamp::from_unix_ms(1_000_000_000_000);
const BEFORE: Timestamp = Timestamp::from_unix_ms(900_000_000_000);
const FOLLOWED: Timestamp = Timestamp::from_unix_ms(950_000_000_000);
const AFTER: Timestamp = Timestamp::from_unix_ms(960_000_000_000);

fn digest(number: u8) -> Sha256 {
    Sha256::from_bytes([number; 32])
}

fn file(number: u8, name: &str) -> FileRecord {
    FileRecord {
        id: FileId::new(number.into()),
        version_id: VersionId::new(1),
        external_id: number.to_string(),
        name: name.to_owned(),
        size: Some(FileSize::Exact(100)),
        sha256: Some(digest(number)),
        blake3: None,
        git_sha1: None,
        kind_label: Some("Model".to_owned()),
        format: FileFormat::from_file_name(name),
        precision: None,
        primary: true,
        locator: String::new(),
        artifact: None,
        state: FileState::Absent,
        failure: None,
        fetched_at: None,
        licence_at_fetch: None,
        gone_at: None,
        replaced_at: None,
    }
}

fn here(mut file: FileRecord, state: FileState) -> FileRecord {
    file.state = state;
    file.artifact = file.sha256.map(|sha256| ArtifactRecord {
        id: ArtifactId::new(1),
        sha256,
        blake3: Blake3::from_bytes([0; 32]),
        auto_v3: None,
        size_bytes: 100,
        format: file.format,
        kind: ModelKind::Checkpoint,
        architecture: Architecture::Sd1,
        precision: None,
        parameters: None,
        detail_json: None,
        created_at: NOW,
        paths: vec!["/x".into()],
    });
    file
}

fn preview(number: i64, media: PreviewMedia) -> PreviewRecord {
    PreviewRecord {
        id: PreviewId::new(number),
        version_id: VersionId::new(1),
        external_id: None,
        url: format!("https://image.example/{number}"),
        media,
        width: None,
        height: None,
        nsfw_level: 1,
        blurhash: None,
        generation: None,
        original: None,
        thumbnail: None,
        failure: None,
        gone_at: None,
    }
}

fn version(number: i64, published_at: Timestamp, files: Vec<FileRecord>) -> WantedVersion {
    WantedVersion {
        version: VersionRecord {
            id: VersionId::new(number),
            model_id: ModelId::new(1),
            external_id: number.to_string(),
            reference: format!("civitai:1@{number}").parse().unwrap(),
            name: "v1".to_owned(),
            base_model: None,
            trained_words: vec![],
            published_at: Some(published_at),
            early_access: None,
            download_allowed: true,
            first_seen_at: BEFORE,
            gone_at: None,
            files,
            previews: vec![],
        },
        pulled: false,
        pulled_files: vec![],
        gone_files: 0,
        gone_previews: 0,
    }
}

fn model(versions: Vec<WantedVersion>) -> WantedModel {
    WantedModel {
        model: ModelRecord {
            id: ModelId::new(1),
            hub: Hub::Civitai,
            external_id: "1".to_owned(),
            reference: "civitai:1".parse().unwrap(),
            name: "Model".to_owned(),
            kind: ModelKind::Checkpoint,
            kind_label: None,
            creator: None,
            nsfw_level: 1,
            licence: None,
            state: ModelState::Published,
            published_at: None,
            updated_at: None,
            first_seen_at: BEFORE,
            gone_at: None,
        },
        follow: None,
        versions,
        gone_versions: 0,
    }
}

fn followed(mut model: WantedModel, backfill: Backfill) -> WantedModel {
    model.follow = Some(FollowInterest {
        id: FollowId::new(1),
        name: "civitai-someone".to_owned(),
        target: "civitai:someone".parse::<FollowTarget>().unwrap(),
        policy: FollowPolicy { backfill },
        followed_at: FOLLOWED,
    });
    model
}

/// The plan as `op file reason` lines.
fn planned(wanted: &[WantedModel], on_disk: &[Sha256]) -> Vec<String> {
    let on_disk = on_disk.iter().copied().collect();
    let lines = plan(wanted, &on_disk, NOW).operations.into_iter().map(|operation| {
        assert!(!operation.detail.is_empty());
        format!("{} {} {}", operation.kind.as_str(), operation.file, operation.reason)
    });
    lines.collect()
}

#[test]
fn fetches_what_is_wanted_and_keeps_what_is_here() {
    let absent = followed(model(vec![version(1, BEFORE, vec![file(1, "a.safetensors")])]), Backfill::All);
    assert_eq!(planned(&[absent], &[]), ["fetch a.safetensors wanted"]);
    let verified = here(file(1, "a.safetensors"), FileState::Verified);
    let kept = followed(model(vec![version(1, BEFORE, vec![verified])]), Backfill::All);
    assert_eq!(planned(std::slice::from_ref(&kept), &[digest(1)]), ["keep a.safetensors have_verified"]);
    // The catalogue remembers it, the disk does not have it: fetched again.
    assert_eq!(planned(&[kept], &[]), ["fetch a.safetensors wanted"]);
    let unverified = here(file(1, "a.safetensors"), FileState::Unverified);
    let kept = followed(model(vec![version(1, BEFORE, vec![unverified])]), Backfill::All);
    assert_eq!(planned(&[kept], &[digest(1)]), ["keep a.safetensors have_unverified"]);
}

#[test]
fn the_plan_after_everything_was_fetched_fetches_nothing() {
    let mut model = followed(
        model(vec![version(1, BEFORE, vec![file(1, "a.safetensors"), file(2, "tokenizer.json")])]),
        Backfill::All,
    );
    let on_disk = HashSet::new();
    let first = plan(std::slice::from_ref(&model), &on_disk, NOW);
    assert_eq!(first.count(OperationKind::Fetch), 2);
    for file in &mut model.versions[0].version.files {
        *file = here(file.clone(), FileState::Verified);
    }
    let on_disk = [digest(1), digest(2)].into();
    assert_eq!(plan(&[model], &on_disk, NOW).count(OperationKind::Fetch), 0);
}

#[test]
fn refuses_whole_versions_with_a_reason() {
    let one = |change: fn(&mut WantedModel)| {
        let mut model = followed(model(vec![version(1, BEFORE, vec![file(1, "a.safetensors")])]), Backfill::All);
        change(&mut model);
        planned(&[model], &[])
    };
    assert_eq!(one(|m| m.model.state = ModelState::Archived), ["skip  archived"]);
    assert_eq!(one(|m| m.model.state = ModelState::TakenDown), ["skip  taken_down"]);
    assert_eq!(one(|m| m.model.state = ModelState::Gated), ["skip  gated"]);
    assert_eq!(one(|m| m.versions[0].version.download_allowed = false), ["skip  download_disabled"]);
    assert_eq!(one(|m| m.versions[0].version.files.clear()), ["skip  no_files"]);
    assert_eq!(one(|m| m.versions[0].version.early_access = Some(EarlyAccess { until: None })), ["skip  early_access"]);
    assert_eq!(
        one(|m| m.versions[0].version.early_access =
            Some(EarlyAccess { until: Some(NOW.plus(std::time::Duration::from_secs(60))) })),
        ["skip  early_access"]
    );
    assert_eq!(
        one(|m| m.versions[0].version.early_access = Some(EarlyAccess { until: Some(BEFORE) })),
        ["fetch a.safetensors wanted"]
    );
    assert_eq!(
        one(|m| {
            m.model.state = ModelState::Gated;
            m.versions[0].pulled = true;
        }),
        ["fetch a.safetensors wanted"]
    );
}

#[test]
fn backfill_decides_about_what_was_there_before_the_follow() {
    let versions = || {
        vec![
            version(3, AFTER, vec![file(3, "c.safetensors")]),
            version(2, FOLLOWED, vec![file(2, "b.safetensors")]),
            version(1, BEFORE, vec![file(1, "a.safetensors")]),
        ]
    };
    assert_eq!(
        planned(&[followed(model(versions()), Backfill::None)], &[]),
        ["fetch c.safetensors wanted", "fetch b.safetensors wanted", "skip  before_follow"]
    );
    let mut old = versions();
    old.remove(0);
    old[0].version.published_at = Some(BEFORE.plus(std::time::Duration::from_secs(1)));
    assert_eq!(
        planned(&[followed(model(old), Backfill::Newest(1))], &[]),
        ["fetch b.safetensors wanted", "skip  before_follow"]
    );
}

#[test]
fn a_pulled_file_is_fetched_and_its_siblings_are_not() {
    let mut wanted = version(1, BEFORE, vec![file(1, "a.safetensors"), file(2, "b.safetensors"), file(3, "c.ckpt")]);
    wanted.version.files[1].primary = false;
    wanted.pulled_files = vec![FileId::new(2)];
    assert_eq!(
        planned(&[model(vec![wanted.clone()])], &[]),
        ["skip a.safetensors not_needed", "fetch b.safetensors pulled", "skip c.ckpt not_needed"]
    );
    // Not even a pull brings a pickle in.
    wanted.pulled_files = vec![FileId::new(3)];
    assert_eq!(
        planned(&[model(vec![wanted])], &[]),
        ["skip a.safetensors not_needed", "skip b.safetensors not_needed", "skip c.ckpt pickle_refused"]
    );
}

#[test]
fn previews_come_last_and_hopeless_ones_not_at_all() {
    let mut wanted = version(1, BEFORE, vec![file(1, "a.safetensors")]);
    let mut refused = preview(2, PreviewMedia::Image);
    refused.failure = Some(Failure::new(ErrorClass::InvalidInput, "PREVIEW_REFUSED", "not an image"));
    let mut unreachable = preview(3, PreviewMedia::Image);
    unreachable.failure = Some(Failure::new(ErrorClass::Unavailable, "HUB_UNREACHABLE", "down"));
    let mut there = preview(4, PreviewMedia::Image);
    there.original = Some(digest(40));
    there.thumbnail = Some(digest(41));
    wanted.version.previews =
        vec![preview(1, PreviewMedia::Video), preview(5, PreviewMedia::Image), refused, unreachable, there];
    assert_eq!(
        planned(&[followed(model(vec![wanted]), Backfill::All)], &[digest(40), digest(41)]),
        [
            "fetch a.safetensors wanted",
            "preview https://image.example/5 preview_missing",
            "preview https://image.example/3 preview_missing"
        ]
    );
}

#[test]
fn a_model_that_two_follows_reach_is_fetched_once() {
    let one = followed(model(vec![version(1, BEFORE, vec![file(1, "a.safetensors")])]), Backfill::All);
    assert_eq!(planned(&[one.clone(), one], &[]), ["fetch a.safetensors wanted"]);
}
