//! What is asked of everything that one has: numbers, what lies here twice, what is newer, and what goes together.

use crate::libraries::changes::{InspectedFile, LibraryChanges, Placed, PlacedPath};
use crate::libraries::content::ReadFile;
use crate::libraries::page::LocalPage;
use crate::testing::{clock_at, commit, model, new_artifact, opened, opened_with, repo, sha, version};
use crate::{
    Catalogue, CompanionQuery, Companions, LibraryFileId, LibraryRecord, ModelId, ModelUpdate, NewArtifact, NewVolume,
    Stats,
};
use paintbox_domain::hub::{EarlyAccess, HubModel, HubVersion};
use paintbox_domain::{
    Architecture, Blake3, Classify as _, Failure, FileFormat, FileLook, Hub, ModelKind, Sha256, Timestamp, reason,
};
use std::path::Path;

const STORE: &str = "/home/painter/store";

/// The first page of what goes with a model.
async fn some(catalogue: &Catalogue, id: ModelId, page_size: u32) -> Vec<Companions> {
    catalogue.companions(id, &CompanionQuery { page_size, page_token: None }).await.unwrap().kinds
}

async fn library(catalogue: &Catalogue) -> LibraryRecord {
    let id = catalogue.add_library(Path::new("/models"), "plain", 1, 7).await.unwrap().unwrap();
    catalogue.library(id).await.unwrap()
}

fn look(inode: u64) -> FileLook {
    FileLook { device: 1, inode, size_bytes: 1_234, modified_ns: 5 }
}

fn inspected(inode: u64, kind: ModelKind, architecture: Architecture) -> InspectedFile {
    InspectedFile {
        look: look(inode),
        sample: None,
        format: FileFormat::Safetensors,
        kind,
        architecture,
        precision: Some("F16".into()),
        parameters: None,
        detail_json: None,
        page: LocalPage::default(),
        failure: None,
    }
}

/// Puts a new file into a library under these names.
async fn put(catalogue: &Catalogue, library: &LibraryRecord, names: &[&str], file: InspectedFile) -> LibraryFileId {
    let placed = names.iter().map(|name| PlacedPath { path: name.into(), file: Placed::New(0), beside: 1 });
    let changes = LibraryChanges { placed: placed.collect(), new_files: vec![file], ..LibraryChanges::default() };
    catalogue.record_library_changes(library, &changes).await.unwrap();
    let paths = catalogue.library_paths(library.id).await.unwrap();
    paths.iter().find(|path| path.path == Path::new(names[0])).unwrap().file
}

async fn read(catalogue: &Catalogue, file: LibraryFileId, inode: u64, digest: u8) {
    let blake3 = Blake3::from_bytes([digest; 32]);
    let read = ReadFile { file, look: look(inode), sha256: sha(digest), blake3, auto_v3: None };
    assert!(catalogue.record_read_files(&[read]).await.unwrap().is_empty());
}

async fn recorded(catalogue: &Catalogue, model: &HubModel) -> ModelId {
    catalogue.record_models(std::slice::from_ref(model), None).await.unwrap()[0]
}

/// Content for a version's first file, in the home's own store.
async fn fetched(catalogue: &Catalogue, id: ModelId, version: &str, content: impl FnOnce(&mut NewArtifact)) {
    let detail = catalogue.model(id).await.unwrap();
    let file = &detail.versions.iter().find(|found| found.external_id == version).unwrap().files[0];
    let digest = file.sha256.unwrap();
    let mut artifact = new_artifact(digest, format!("{STORE}/blobs/{digest}").into());
    content(&mut artifact);
    catalogue.record_file(file.id, &artifact, true).await.unwrap();
}

/// A model with versions of these numbers, the newest first, each with a file of its own.
fn with_versions(external_id: &str, versions: &[(&str, &str)]) -> HubModel {
    let mut made = model(external_id, &format!("Model {external_id}"));
    made.versions =
        (0..).zip(versions).map(|(age, (number, label))| numbered(external_id, number, label, age)).collect();
    made
}

fn numbered(model: &str, number: &str, label: &str, age: i64) -> HubVersion {
    let mut made = version(number);
    made.base_model = Some(label.to_owned());
    made.published_at = Some(Timestamp::from_unix_ms(10_000 - 1_000 * age));
    made.files[0].sha256 = Some(digest(&format!("{model} {number}")));
    made
}

fn digest(text: &str) -> Sha256 {
    crate::snapshot::sha256(text.as_bytes())
}

#[tokio::test]
async fn content_is_counted_once_and_places_each() {
    let (catalogue, _home) = opened().await;
    let id = recorded(&catalogue, &with_versions("1", &[("10", "SD 1.5")])).await;
    recorded(&catalogue, &with_versions("2", &[("20", "SD 1.5")])).await;
    fetched(&catalogue, id, "10", |_| {}).await;
    let volume = NewVolume {
        uid: "u".into(),
        label: "fast".into(),
        path: "/mnt/fast".into(),
        rules: crate::VolumeRules::default(),
    };
    catalogue.add_volume(&volume).await.unwrap();
    let content = new_artifact(digest("1 10"), "/mnt/fast/x".into());
    let detail = catalogue.model(id).await.unwrap();
    catalogue.record_file(detail.versions[0].files[0].id, &content, true).await.unwrap();
    let library = library(&catalogue).await;
    put(&catalogue, &library, &["a.safetensors", "b.safetensors"], inspected(1, ModelKind::Lora, Architecture::Sdxl))
        .await;
    put(&catalogue, &library, &["c.safetensors"], inspected(2, ModelKind::Unknown, Architecture::Unknown)).await;
    let mut pickle = inspected(3, ModelKind::Unknown, Architecture::Unknown);
    pickle.format = FileFormat::Pickle;
    pickle.failure = Some(Failure::new(paintbox_domain::ErrorClass::InvalidInput, reason::UNSAFE_FORMAT, "a pickle"));
    put(&catalogue, &library, &["d.ckpt"], pickle).await;

    let stats: Stats = catalogue.stats(Path::new(STORE)).await.unwrap();
    let counts = [stats.total, stats.unread, stats.unknown, stats.refused].map(|share| (share.files, share.bytes));
    assert_eq!(counts, [(4, 4 * 1_234), (3, 3 * 1_234), (1, 1_234), (1, 1_234)]);
    let kinds: Vec<_> = stats.kinds.iter().map(|kind| (kind.name.as_str(), kind.share.files)).collect();
    assert_eq!(kinds, [("unknown", 2), ("checkpoint", 1), ("lora", 1)]);
    let precisions: Vec<_> = stats.precisions.iter().map(|named| (named.name.as_str(), named.share.files)).collect();
    assert_eq!(precisions, [("f16", 4)]);
    let places: Vec<_> =
        stats.places.iter().map(|at| (at.place.as_str(), at.name.as_str(), at.share.files, at.away)).collect();
    assert_eq!(places, [("library", "/models", 3, false), ("home", "", 1, false), ("volume", "fast", 1, false)]);
    let hubs: Vec<_> = stats
        .hubs
        .iter()
        .map(|hub| (hub.hub.as_str(), hub.models, hub.gone, hub.downloaded_models, hub.share.files))
        .collect();
    assert_eq!(hubs, [("local", 3, 0, 3, 3), ("civitai", 2, 0, 1, 1)]);
    assert_eq!(stats.creators.len(), 1);
    assert_eq!((stats.creators[0].name.as_str(), stats.creators[0].share.files), ("Konan", 1));
    assert!(stats.catalogue_bytes > 0 && stats.pictures.is_empty());
}

#[tokio::test]
async fn of_pickles_only_textual_inversions_are_no_refused_files() {
    let (catalogue, _home) = opened().await;
    let library = library(&catalogue).await;
    let kinds = [ModelKind::TextualInversion, ModelKind::TextualInversion, ModelKind::Unknown];
    for (at, (name, kind)) in (1..).zip(["a.pt", "b.bin", "c.ckpt"].into_iter().zip(kinds)) {
        let mut pickle = inspected(at, kind, Architecture::Unknown);
        pickle.format = FileFormat::Pickle;
        put(&catalogue, &library, &[name], pickle).await;
    }
    let stats: Stats = catalogue.stats(Path::new(STORE)).await.unwrap();
    assert_eq!((stats.total.files, stats.refused.files), (3, 1));
}

#[tokio::test]
async fn only_other_files_of_the_same_content_can_be_won() {
    let (catalogue, _home) = opened().await;
    let mut listed = model("1", "Ink");
    listed.versions[0].files[0].sha256 = Some(sha(0xaa));
    let id = recorded(&catalogue, &listed).await;
    let library = library(&catalogue).await;
    let lora = || inspected(1, ModelKind::Lora, Architecture::Sd1);
    let linked = put(&catalogue, &library, &["a.safetensors", "b.safetensors"], lora()).await;
    let other = put(&catalogue, &library, &["c.safetensors"], InspectedFile { look: look(2), ..lora() }).await;
    let alone =
        put(&catalogue, &library, &["d.safetensors", "e.safetensors"], InspectedFile { look: look(3), ..lora() });
    let alone = alone.await;
    put(&catalogue, &library, &["f.safetensors"], InspectedFile { look: look(4), ..lora() }).await;
    read(&catalogue, linked, 1, 0xaa).await;
    let none = catalogue.duplicates(0, None).await.unwrap();
    assert_eq!((none.contents, none.spare_bytes, none.linked_contents, none.unread_files), (0, 0, 1, 3));
    read(&catalogue, other, 2, 0xaa).await;
    read(&catalogue, alone, 3, 0xbb).await;
    fetched(&catalogue, id, "10", |_| {}).await;

    let page = catalogue.duplicates(0, None).await.unwrap();
    assert_eq!((page.contents, page.spare_bytes), (1, 2 * 1_234));
    assert_eq!((page.linked_contents, page.unread_files, &page.next_page_token), (1, 1, &None));
    let found = &page.duplicates[0];
    assert_eq!((found.sha256, found.size_bytes, found.spare_bytes), (sha(0xaa), 1_234, 2 * 1_234));
    assert_eq!((found.model.as_ref().unwrap().to_string(), found.name.as_str()), ("civitai:1".into(), "Ink"));
    let mut places: Vec<_> =
        found.places.iter().map(|at| (at.path.display().to_string(), at.file, at.in_library)).collect();
    places.sort();
    let file = |path: &str| places.iter().find(|place| place.0.contains(path)).unwrap().1;
    assert_eq!(places.len(), 4);
    assert_eq!(file("/a."), file("/b."));
    assert_eq!(found.places.iter().map(|place| place.file).max(), Some(3));
    assert!(!places.iter().find(|place| place.0.starts_with(STORE)).unwrap().2);
}

#[tokio::test]
async fn duplicates_come_page_by_page() {
    let (catalogue, _home) = opened().await;
    let library = library(&catalogue).await;
    for number in 1..=5_u8 {
        for copy in [0, 100] {
            let inode = u64::from(number) + copy;
            let name = format!("{inode}.safetensors");
            let file = inspected(inode, ModelKind::Lora, Architecture::Sd1);
            let file = put(&catalogue, &library, &[&name], file).await;
            read(&catalogue, file, inode, number).await;
        }
    }
    let (mut found, mut token) = (Vec::new(), None);
    loop {
        let page = catalogue.duplicates(2, token.as_deref()).await.unwrap();
        assert_eq!((page.contents, page.spare_bytes), (5, 5 * 1_234), "sums are of all pages");
        found.extend(page.duplicates.iter().map(|duplicate| duplicate.sha256));
        token = page.next_page_token;
        if token.is_none() {
            break;
        }
    }
    found.sort_by_key(ToString::to_string);
    assert_eq!(found, (1..=5).map(sha).collect::<Vec<_>>());
    let wrong = catalogue.updates(2, catalogue.duplicates(2, None).await.unwrap().next_page_token.as_deref()).await;
    assert_eq!(wrong.unwrap_err().reason(), reason::PAGE_TOKEN_INVALID);
}

async fn updates(catalogue: &Catalogue) -> Vec<ModelUpdate> {
    catalogue.updates(0, None).await.unwrap().models
}

fn newer(update: &ModelUpdate) -> Vec<(String, bool)> {
    update.newer.iter().map(|newer| (newer.version.to_string(), newer.same_base_model)).collect()
}

#[tokio::test]
async fn newer_is_what_the_hub_lists_before_the_newest_that_is_here() {
    let (catalogue, _home) = opened().await;
    let versions = [("50", "SDXL 1.0"), ("40", "SD 1.5"), ("30", "SD 1.5"), ("20", "SD 1.5"), ("10", "SD 1.5")];
    let mut given = with_versions("1", &versions);
    given.versions[1].early_access = Some(EarlyAccess { until: Some(Timestamp::from_unix_ms(9)) });
    let id = recorded(&catalogue, &given).await;
    recorded(&catalogue, &with_versions("2", &[("60", "SD 1.5"), ("70", "SD 1.5")])).await;
    assert!(updates(&catalogue).await.is_empty(), "nothing is here");
    fetched(&catalogue, id, "10", |_| {}).await;
    fetched(&catalogue, id, "30", |_| {}).await;
    let found = updates(&catalogue).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].have.to_string(), found[0].have_name.as_str()), ("civitai:1@30".into(), "v30"));
    assert_eq!(newer(&found[0]), [("civitai:1@40".to_owned(), true), ("civitai:1@50".to_owned(), false)]);
    assert_eq!(found[0].last_seen_at, Timestamp::from_unix_ms(1_000));
    let first = &found[0].newer[0];
    assert_eq!((first.early_access, first.size_bytes), (given.versions[1].early_access, Some(1_000)));

    fetched(&catalogue, id, "50", |_| {}).await;
    assert!(updates(&catalogue).await.is_empty(), "what is older than the newest is no update");
}

#[tokio::test]
async fn what_is_gone_is_no_update_and_what_came_behind_it_is() {
    let (catalogue, _home) = opened().await;
    let mut given = with_versions("1", &[("20", "SD 1.5"), ("10", "SD 1.5")]);
    let id = recorded(&catalogue, &given).await;
    fetched(&catalogue, id, "10", |_| {}).await;
    // The hub takes back what is here and what was newer, and lists another.
    given.versions = vec![numbered("1", "30", "SD 1.5", -1)];
    recorded(&catalogue, &given).await;
    let found = updates(&catalogue).await;
    assert_eq!(newer(&found[0]), [("civitai:1@30".to_owned(), true)]);
    given.versions[0].published_at = Some(Timestamp::from_unix_ms(1));
    recorded(&catalogue, &given).await;
    assert!(updates(&catalogue).await.is_empty(), "it was published before");
}

#[tokio::test]
async fn a_commit_that_changes_no_weights_is_no_update() {
    let (catalogue, _home) = opened().await;
    let (old, same, new) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
    let id = recorded(&catalogue, &repo("org/x", vec![commit(&same, 1), commit(&old, 1)])).await;
    fetched(&catalogue, id, &old, |_| {}).await;
    assert!(updates(&catalogue).await.is_empty());
    recorded(&catalogue, &repo("org/x", vec![commit(&new, 2), commit(&same, 1), commit(&old, 1)])).await;
    assert_eq!(newer(&updates(&catalogue).await[0]), [(format!("hf:org/x@{new}"), true)]);
}

fn goes_with(found: &[Companions]) -> Vec<(ModelKind, u64, Vec<String>)> {
    let name = |model: &crate::Companion| format!("{}{}", model.version, if model.by_label { " by label" } else { "" });
    found.iter().map(|of| (of.kind, of.total, of.files.iter().map(name).collect())).collect()
}

#[tokio::test]
async fn what_was_detected_decides_what_goes_together_and_labels_only_where_nothing_was() {
    let clock = clock_at(1_000);
    let (catalogue, _home) = opened_with(clock.clone()).await;
    let mut checkpoint = None;
    for (number, kind, architecture, label) in [
        ("1", ModelKind::Checkpoint, Architecture::Sdxl, "SDXL 1.0"),
        ("2", ModelKind::Lora, Architecture::Sdxl, "Pony"),
        // Its label lies.
        ("3", ModelKind::Lora, Architecture::Sd1, "SDXL 1.0"),
        ("4", ModelKind::Lora, Architecture::Unknown, "sdxl 1.0"),
        ("5", ModelKind::Vae, Architecture::Sdxl, "SDXL 1.0"),
        ("6", ModelKind::Upscaler, Architecture::Unknown, "SDXL 1.0"),
        ("7", ModelKind::Lora, Architecture::Sdxl, "SDXL 1.0"),
    ] {
        clock.advance(std::time::Duration::from_secs(1));
        let mut given = with_versions(number, &[(&format!("{number}0"), label)]);
        given.kind = kind;
        let id = recorded(&catalogue, &given).await;
        fetched(&catalogue, id, &format!("{number}0"), |content| {
            (content.kind, content.architecture) = (kind, architecture);
        })
        .await;
        checkpoint.get_or_insert(id);
    }
    clock.advance(std::time::Duration::from_secs(1));
    let library = library(&catalogue).await;
    put(&catalogue, &library, &["own.safetensors"], inspected(1, ModelKind::Lora, Architecture::Sdxl)).await;

    let id = checkpoint.unwrap();
    let found = some(&catalogue, id, 10).await;
    let loras = ["local:1", "civitai:7@70", "civitai:2@20", "civitai:4@40 by label"].map(str::to_owned).to_vec();
    let wanted = [(ModelKind::Lora, 4, loras), (ModelKind::Vae, 1, vec!["civitai:5@50".to_owned()])];
    assert_eq!(goes_with(&found), wanted);
    let few = some(&catalogue, id, 1).await;
    assert_eq!(goes_with(&few)[0], (ModelKind::Lora, 4, vec!["local:1".to_owned()]), "the count is of all");
    let mut query = CompanionQuery { page_size: 3, page_token: None };
    let first = catalogue.companions(id, &query).await.unwrap();
    query.page_token = first.next_page_token;
    let last = catalogue.companions(id, &query).await.unwrap();
    let loras: Vec<String> =
        [&first.kinds, &last.kinds].into_iter().flat_map(|kinds| goes_with(kinds)[0].2.clone()).collect();
    assert_eq!((&loras, last.kinds.len(), last.next_page_token), (&wanted[0].2, 1, None));
    let other = catalogue.find_model(Hub::Civitai, "2").await.unwrap().unwrap();
    assert_eq!(catalogue.companions(other, &query).await.unwrap_err().reason(), reason::PAGE_TOKEN_INVALID);

    let of = async |reference: &str| {
        let resolved = catalogue.resolve(&reference.parse().unwrap()).await.unwrap();
        goes_with(&some(&catalogue, resolved.model, 10).await)
    };
    let with_checkpoint = vec![(ModelKind::Checkpoint, 1, vec!["civitai:1@10".to_owned()])];
    assert_eq!(of("local:1").await, with_checkpoint);
    assert_eq!(of("civitai:2").await, with_checkpoint);
    assert!(of("civitai:3").await.is_empty(), "what was detected counts, not the label");
    assert_eq!(of("civitai:4").await, [(ModelKind::Checkpoint, 1, vec!["civitai:1@10 by label".to_owned()])]);
    assert!(of("civitai:6").await.is_empty(), "an upscaler goes with everything, and with nothing");
    let unknown = catalogue.companions(ModelId(999), &CompanionQuery::default()).await.unwrap_err();
    assert_eq!(unknown.reason(), reason::MODEL_NOT_FOUND);
}
