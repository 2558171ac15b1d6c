//! The decision table of the planner.

use super::*;
use paintbox_catalogue::{ArtifactId, ArtifactRecord, FollowInterest, ModelRecord, VersionRecord};
use paintbox_domain::follow::{EarlyAccessPolicy, FollowPolicy, FollowTarget, Maturity, QuietHours};
use paintbox_domain::hub::{EarlyAccess, ModelState};
use paintbox_domain::{Architecture, Blake3, ErrorClass, Failure, FileFormat, ModelKind};
use std::time::Duration;

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
        auto_v3: None,
        kind_label: Some("Model".to_owned()),
        format: FileFormat::from_file_name(name),
        precision: None,
        primary: true,
        locator: String::new(),
        artifact: None,
        state: FileState::Absent,
        edited_header: false,
        failure: None,
        fetched_at: None,
        licence_at_fetch: None,
        gone_at: None,
        replaced_at: None,
        unread: None,
        removed_at: None,
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
        away_on: Vec::new(),
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
        small_thumbnail: None,
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
            was_early_access: false,
            nsfw_level: 1,
            download_allowed: true,
            first_seen_at: BEFORE,
            gone_at: None,
            files,
            previews: vec![],
        },
        seen_by: if published_at < FOLLOWED { vec![FollowId::new(1)] } else { vec![] },
        same_content: vec![],
        newer_versions: 0,
        pulled: false,
        pulled_files: vec![],
        gone_files: 0,
        replaced_files: vec![],
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
            access_granted: None,
            tags: vec!["style".to_owned()],
        },
        follows: vec![],
        versions,
        gone_versions: 0,
    }
}

fn interest(number: i64, target: &str, policy: FollowPolicy) -> FollowInterest {
    FollowInterest {
        id: FollowId::new(number),
        name: format!("follow-{number}"),
        target: target.parse::<FollowTarget>().unwrap(),
        policy,
        followed_at: FOLLOWED,
    }
}

fn followed(mut model: WantedModel, backfill: Backfill) -> WantedModel {
    let policy = FollowPolicy { backfill, ..FollowPolicy::default() };
    model.follows = vec![interest(1, "civitai:someone", policy)];
    model
}

fn facts(on_disk: &[Sha256]) -> Facts {
    Facts {
        on_disk: on_disk.iter().copied().collect(),
        held_back: HashMap::new(),
        cached: HashMap::new(),
        held_bytes: HashMap::new(),
        destinations: Destinations::default(),
        now: NOW,
        minute_of_day: 12 * 60,
    }
}

/// The plan as `op file reason` lines.
fn planned(wanted: &[WantedModel], on_disk: &[Sha256]) -> Vec<String> {
    planned_with(wanted, &facts(on_disk))
}

fn planned_with(wanted: &[WantedModel], facts: &Facts) -> Vec<String> {
    let lines = plan(wanted, facts).operations.into_iter().map(|operation| {
        assert!(!operation.detail.is_empty() && !operation.reason.is_empty());
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
    let first = plan(std::slice::from_ref(&model), &facts(&[]));
    assert_eq!(first.count(OperationKind::Fetch), 2);
    for file in &mut model.versions[0].version.files {
        *file = here(file.clone(), FileState::Verified);
    }
    assert_eq!(plan(&[model], &facts(&[digest(1), digest(2)])).count(OperationKind::Fetch), 0);
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
            Some(EarlyAccess { until: Some(NOW.plus(Duration::from_secs(60))) })),
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
        ["fetch a.safetensors pulled"]
    );
}

#[test]
fn backfill_decides_about_what_was_there_before_the_follow() {
    let versions = || {
        vec![
            version(3, AFTER, vec![file(3, "c.safetensors")]),
            version(2, BEFORE.plus(Duration::from_secs(1)), vec![file(2, "b.safetensors")]),
            version(1, BEFORE, vec![file(1, "a.safetensors")]),
        ]
    };
    let plan_of = |backfill| planned(&[followed(model(versions()), backfill)], &[]);
    let (c, b, a) = ("fetch c.safetensors wanted", "fetch b.safetensors wanted", "fetch a.safetensors wanted");
    let skip = "skip  before_follow";
    assert_eq!(plan_of(Backfill::None), [c, skip, skip]);
    assert_eq!(plan_of(Backfill::All), [c, b, a]);
    assert_eq!(plan_of(Backfill::Newest(2)), [c, b, skip]);
    assert_eq!(plan_of(Backfill::Since(BEFORE.plus(Duration::from_millis(1)))), [c, b, skip]);
    // What appeared after the follow is wanted however it is dated: the ledger decides, not the date.
    let mut late = version(9, BEFORE, vec![file(9, "late.safetensors")]);
    late.seen_by.clear();
    assert_eq!(planned(&[followed(model(vec![late]), Backfill::None)], &[]), ["fetch late.safetensors wanted"]);
}

/// One rule of a policy a row: what it makes of one new version of a checkpoint for `SD 1.5`, rated PG, tagged
/// `style`, of one safetensors file of 100 bytes and its licence.
#[test]
fn the_decision_table_of_policies() {
    let row = |change: fn(&mut FollowPolicy), with: fn(&mut WantedModel)| {
        let mut wanted = version(1, AFTER, vec![file(1, "a.safetensors")]);
        wanted.version.base_model = Some("SD 1.5".to_owned());
        let mut wanted = model(vec![wanted]);
        let mut policy = FollowPolicy::default();
        change(&mut policy);
        wanted.follows = vec![interest(1, "civitai:someone", policy)];
        with(&mut wanted);
        planned(&[wanted], &[]).join(", ")
    };
    let as_it_is = |_: &mut WantedModel| {};
    let fetched = "fetch a.safetensors wanted";
    assert_eq!(row(|_| {}, as_it_is), fetched);
    assert_eq!(row(|p| p.kinds = vec![ModelKind::Checkpoint], as_it_is), fetched);
    assert_eq!(row(|p| p.kinds = vec![ModelKind::Lora], as_it_is), "skip  kind_unwanted");
    assert_eq!(row(|p| p.base_models = vec!["sd 1.5".into()], as_it_is), fetched);
    assert_eq!(row(|p| p.base_models = vec!["Pony".into()], as_it_is), "skip  base_model_unwanted");
    assert_eq!(row(|p| p.formats = vec![FileFormat::Safetensors], as_it_is), fetched);
    assert_eq!(row(|p| p.formats = vec![FileFormat::Gguf], as_it_is), "skip a.safetensors format_unwanted");
    assert_eq!(row(|p| p.max_file_bytes = Some(100), as_it_is), fetched);
    assert_eq!(row(|p| p.max_file_bytes = Some(99), as_it_is), "skip a.safetensors too_large");
    assert_eq!(row(|p| p.max_total_bytes = Some(100), as_it_is), fetched);
    assert_eq!(row(|p| p.max_total_bytes = Some(99), as_it_is), "skip a.safetensors over_budget");
    assert_eq!(row(|p| p.keep_last = Some(1), as_it_is), fetched);
    assert_eq!(row(|p| p.keep_last = Some(1), |m| m.versions[0].newer_versions = 1), "skip  older_than_kept");
    assert_eq!(row(|p| p.max_maturity = Some(Maturity::Pg), as_it_is), fetched);
    assert_eq!(
        row(|p| p.max_maturity = Some(Maturity::Pg13), |m| m.versions[0].version.nsfw_level = 5),
        "skip  too_mature"
    );
    let unrated = |m: &mut WantedModel| {
        m.model.nsfw_level = 0;
        m.versions[0].version.nsfw_level = 0;
    };
    assert_eq!(row(|p| p.max_maturity = Some(Maturity::Xxx), unrated), "skip  unrated");
    assert_eq!(row(|_| {}, unrated), fetched);
    assert_eq!(row(|p| p.include_tags = vec!["STYLE".into()], as_it_is), fetched);
    assert_eq!(row(|p| p.include_tags = vec!["meme".into()], as_it_is), "skip  tag_unwanted");
    assert_eq!(row(|p| p.exclude_tags = vec!["Style".into()], as_it_is), "skip  tag_unwanted");
    assert_eq!(row(|p| p.notify_only = true, as_it_is), "skip  notify_only");
    assert_eq!(row(|p| p.quiet_hours = QuietHours::parse("11:00-13:00"), as_it_is), "skip  quiet_hours");
    assert_eq!(row(|p| p.quiet_hours = QuietHours::parse("13:00-11:00"), as_it_is), fetched);
    let freed = |m: &mut WantedModel| m.versions[0].version.was_early_access = true;
    assert_eq!(row(|_| {}, freed), fetched);
    assert_eq!(row(|p| p.early_access = EarlyAccessPolicy::Never, freed), "skip  early_access_never");
    let gated = |m: &mut WantedModel| m.model.state = ModelState::Gated;
    assert_eq!(row(|_| {}, gated), "skip  gated");
    assert_eq!(row(|_| {}, |m| (m.model.state, m.model.access_granted) = (ModelState::Gated, Some(true))), fetched);
    assert_eq!(
        row(|_| {}, |m| m.versions[0].replaced_files = vec!["a.safetensors".into()]),
        "fetch a.safetensors replaced"
    );
    let gone = |m: &mut WantedModel| {
        m.model.gone_at = Some(NOW);
        m.versions.clear();
    };
    assert_eq!(row(|_| {}, gone), "skip  gone");
    // What no policy wants is told by the policy, not by what else stands in its way.
    assert_eq!(row(|p| p.kinds = vec![ModelKind::Lora], gated), "skip  kind_unwanted");
}

#[test]
fn a_gate_says_where_to_go_and_what_to_do() {
    let detail = |granted| {
        let mut wanted = followed(model(vec![version(1, AFTER, vec![file(1, "a.safetensors")])]), Backfill::None);
        (wanted.model.hub, wanted.model.external_id) = (Hub::HuggingFace, "org/repo".to_owned());
        (wanted.model.state, wanted.model.access_granted) = (ModelState::Gated, granted);
        plan(&[wanted], &facts(&[])).operations[0].detail.clone()
    };
    for granted in [None, Some(false)] {
        assert!(detail(granted).contains("https://huggingface.co/org/repo"), "{}", detail(granted));
    }
    assert!(detail(None).contains("paintbox login hf") && detail(Some(false)).contains("ask for it"));
}

#[test]
fn the_budget_counts_what_is_here_and_what_was_planned_before() {
    let policy = FollowPolicy { max_total_bytes: Some(250), ..FollowPolicy::default() };
    let mut wanted = model(vec![
        version(3, AFTER.plus(Duration::from_secs(2)), vec![file(3, "c.safetensors")]),
        version(2, AFTER.plus(Duration::from_secs(1)), vec![file(2, "b.safetensors")]),
        version(1, AFTER, vec![file(1, "a.safetensors")]),
    ]);
    wanted.follows = vec![interest(1, "civitai:someone", policy)];
    let wanted = [wanted];
    let (c, b) = ("fetch c.safetensors wanted", "fetch b.safetensors wanted");
    assert_eq!(planned(&wanted, &[]), [c, b, "skip a.safetensors over_budget"]);
    let mut held = facts(&[]);
    held.held_bytes.insert(FollowId::new(1), 100);
    assert_eq!(planned_with(&wanted, &held), [c, "skip b.safetensors over_budget", "skip a.safetensors over_budget"]);
    held.held_bytes.clear();
    held.destinations = Destinations::one_with_room(Some(150));
    assert_eq!(planned_with(&wanted, &held), [c, "skip b.safetensors no_space", "skip a.safetensors no_space"]);
}

#[test]
fn what_lies_or_belongs_on_a_volume_that_is_away_waits_for_it() {
    let mut away = here(file(1, "a.safetensors"), FileState::Away);
    let artifact = away.artifact.as_mut().unwrap();
    (artifact.paths, artifact.away_on) = (Vec::new(), vec!["big".to_owned()]);
    let new = version(2, AFTER, vec![file(2, "b.safetensors")]);
    let mut wanted = model(vec![version(1, AFTER, vec![away]), new]);
    wanted.follows = vec![interest(1, "civitai:someone", FollowPolicy::default())];
    let wanted = [wanted];
    let (a, b) = ("skip a.safetensors volume_away", "fetch b.safetensors wanted");
    assert_eq!(planned(&wanted, &[]), [a, b]);
    let mut facts = facts(&[]);
    facts.destinations = Destinations::default().away(ModelKind::Checkpoint, "big");
    assert_eq!(planned_with(&wanted, &facts), [a, "skip b.safetensors volume_away"]);
    let plan = plan(&wanted, &facts);
    assert!(
        plan.operations.iter().all(|operation| operation.detail.contains("big") && operation.file_to_come().is_some())
    );
    facts.destinations = Destinations::default().away(ModelKind::Lora, "small");
    assert_eq!(planned_with(&wanted, &facts), [a, b], "other kinds do not wait");
}

#[test]
fn what_somebody_removed_is_not_fetched_again() {
    let mut removed = file(1, "a.safetensors");
    removed.removed_at = Some(NOW);
    let new = version(2, AFTER, vec![file(2, "b.safetensors")]);
    let mut wanted = model(vec![version(1, AFTER, vec![removed]), new]);
    wanted.follows = vec![interest(1, "civitai:someone", FollowPolicy::default())];
    let wanted = [wanted];
    assert_eq!(planned(&wanted, &[]), ["skip a.safetensors removed", "fetch b.safetensors wanted"]);
}

#[test]
fn the_follow_that_wants_a_version_gets_it_and_priority_decides_among_several() {
    let mut wanted = model(vec![version(1, AFTER, vec![file(1, "a.safetensors")])]);
    let strict = FollowPolicy { kinds: vec![ModelKind::Lora], priority: 5, ..FollowPolicy::default() };
    let other = FollowPolicy { priority: 3, ..FollowPolicy::default() };
    wanted.follows = vec![interest(2, "civitai:tag:ink", strict), interest(1, "civitai:someone", other)];
    let made = plan(std::slice::from_ref(&wanted), &facts(&[])).operations;
    assert_eq!((made.len(), made[0].kind), (1, OperationKind::Fetch));
    assert_eq!((made[0].follow.as_deref(), made[0].priority), (Some("civitai:someone"), 3));

    // A file that one follow may not take any more is taken by the other.
    wanted.follows[0].policy = FollowPolicy { max_file_bytes: Some(1), ..FollowPolicy::default() };
    let made = plan(std::slice::from_ref(&wanted), &facts(&[])).operations;
    assert_eq!((made[0].kind, made[0].follow.as_deref()), (OperationKind::Fetch, Some("civitai:someone")));

    // Of two models the one whose follow is more important comes first.
    let mut other = model(vec![version(9, AFTER, vec![file(9, "z.safetensors")])]);
    other.model.id = ModelId::new(9);
    let urgent = FollowPolicy { priority: 9, ..FollowPolicy::default() };
    other.follows = vec![interest(3, "civitai:urgent", urgent)];
    assert_eq!(planned(&[wanted, other], &[])[0], "fetch z.safetensors wanted");
}

#[test]
fn a_commit_with_the_same_weights_fetches_nothing_and_one_with_others_is_fetched_whole() {
    let folder = |same: &[u8]| {
        let mut commit = version(
            1,
            AFTER,
            vec![
                file(1, "model_index.json"),
                file(2, "unet/diffusion_pytorch_model.safetensors"),
                file(3, "vae/diffusion_pytorch_model.safetensors"),
            ],
        );
        commit.same_content = same.iter().map(|id| (FollowId::new(1), FileId::new((*id).into()))).collect();
        let mut model = followed(model(vec![commit]), Backfill::None);
        model.model.hub = Hub::HuggingFace;
        planned(&[model], &[])
    };
    assert!(folder(&[2, 3]).iter().all(|line| line.starts_with("skip") && line.ends_with("same_content")));
    assert!(folder(&[1, 2]).iter().all(|line| line.starts_with("fetch")), "a folder works only as a whole");

    // Adapters of one repository are works of their own.
    let mut commit = version(1, AFTER, vec![file(1, "old.safetensors"), file(2, "new.safetensors")]);
    commit.same_content = vec![(FollowId::new(1), FileId::new(1))];
    let mut adapters = followed(model(vec![commit]), Backfill::None);
    (adapters.model.hub, adapters.model.kind) = (Hub::HuggingFace, ModelKind::Lora);
    assert_eq!(planned(&[adapters], &[]), ["skip old.safetensors same_content", "fetch new.safetensors wanted"]);
}

#[test]
fn what_another_tools_cache_holds_is_kept_there_and_not_fetched() {
    let wanted = followed(model(vec![version(1, AFTER, vec![file(1, "a.safetensors")])]), Backfill::None);
    let mut cached = facts(&[]);
    cached.cached.insert(FileId::new(1), "/cache/blob".into());
    let made = plan(&[wanted], &cached);
    assert_eq!((made.operations[0].reason, made.has_work()), ("in_hf_cache", true));
    assert_eq!(made.fetch_bytes(), 0);
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
    let mut refused = preview(2, PreviewMedia::Image);
    refused.failure = Some(Failure::new(ErrorClass::InvalidInput, "PREVIEW_REFUSED", "not an image"));
    let mut unreachable = preview(3, PreviewMedia::Image);
    unreachable.failure = Some(Failure::new(ErrorClass::Unavailable, "HUB_UNREACHABLE", "down"));
    let mut there = preview(4, PreviewMedia::Image);
    there.original = Some(digest(40));
    there.thumbnail = Some(digest(41));
    there.small_thumbnail = Some(digest(42));
    let previews = vec![
        preview(7, PreviewMedia::Audio),
        preview(1, PreviewMedia::Image),
        refused,
        unreachable,
        preview(5, PreviewMedia::Video),
        there.clone(),
    ];
    let planned_previews = |previews: &[PreviewRecord], on_disk: &[Sha256]| {
        let mut wanted = version(1, BEFORE, vec![file(1, "a.safetensors")]);
        wanted.version.previews = previews.to_vec();
        planned(&[followed(model(vec![wanted]), Backfill::All)], on_disk)
    };
    assert_eq!(
        planned_previews(&previews, &[digest(40), digest(41), digest(42)]),
        [
            "fetch a.safetensors wanted",
            "preview https://image.example/1 preview_missing",
            "preview https://image.example/3 preview_missing",
            "preview https://image.example/5 preview_missing"
        ]
    );
    // What was fetched before there were two sizes lacks one; what was lost lacks it as well.
    let older = PreviewRecord { small_thumbnail: None, ..there.clone() };
    for (preview, on_disk) in [(older, &[digest(40), digest(41), digest(42)][..]), (there, &[digest(40), digest(41)])] {
        assert_eq!(
            planned_previews(&[preview], on_disk),
            ["fetch a.safetensors wanted", "preview https://image.example/4 preview_missing"]
        );
    }
}

#[test]
fn a_model_that_two_follows_reach_is_fetched_once() {
    let one = followed(model(vec![version(1, BEFORE, vec![file(1, "a.safetensors")])]), Backfill::All);
    assert_eq!(planned(&[one.clone(), one], &[]), ["fetch a.safetensors wanted"]);
}

#[test]
fn what_is_paused_or_waits_after_a_failure_is_left_but_still_to_come() {
    let files = vec![file(1, "a.safetensors"), file(2, "b.safetensors")];
    let mut wanted = model(vec![version(1, AFTER, files)]);
    wanted.versions[0].pulled = true;
    wanted.model.hub = Hub::HuggingFace;
    let held_back = [(1, DownloadState::Paused), (2, DownloadState::Failed)];
    let held_back = held_back.map(|(id, state)| (FileId::new(id), state)).into();
    let made = plan(&[wanted], &Facts { held_back, ..facts(&[]) }).operations;
    let lines: Vec<_> = made.iter().map(|made| (made.kind, made.reason, made.file_to_come())).collect();
    let left = |reason, id| (OperationKind::Skip, reason, Some(FileId::new(id)));
    assert_eq!(lines, [left("paused", 1), left("retry_later", 2)]);
}
