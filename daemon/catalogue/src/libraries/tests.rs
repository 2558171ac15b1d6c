//! Libraries in the catalogue: names, files, pages and content, through everything that can happen to them.

use super::LibraryRecord;
use super::changes::{InspectedFile, LibraryChanges, Placed, PlacedPath};
use super::content::ReadFile;
use super::page::LocalPage;
use crate::open::Catalogue;
use crate::search::{Filter, SearchQuery};
use crate::testing::{file, model, opened, sha, version};
use crate::{FileState, LibraryFileId};
use paintbox_domain::{
    Architecture, Blake3, Classify as _, Failure, FileFormat, FileLook, ModelKind, ModelRef, Timestamp, reason,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(super) async fn library(catalogue: &Catalogue, path: &str) -> LibraryRecord {
    let id = catalogue.add_library(Path::new(path), "plain", u64::MAX, 7).await.unwrap().unwrap();
    catalogue.library(id).await.unwrap()
}

pub(super) fn look(inode: u64) -> FileLook {
    FileLook { device: u64::MAX, inode, size_bytes: 100 + inode, modified_ns: 5 }
}

pub(super) fn inspected(inode: u64, kind: ModelKind) -> InspectedFile {
    InspectedFile {
        look: look(inode),
        sample: Some(Blake3::from_bytes([9; 32])),
        format: FileFormat::Safetensors,
        kind,
        architecture: Architecture::Sdxl,
        precision: Some("fp16".into()),
        parameters: Some(3),
        detail_json: None,
        page: LocalPage::default(),
        failure: None,
    }
}

/// Every new file under the name of the same place.
pub(super) fn arrived(paths: &[&Path], files: Vec<InspectedFile>) -> LibraryChanges {
    let placed = paths.iter().enumerate();
    let placed = placed.map(|(at, path)| PlacedPath { path: (*path).to_owned(), file: Placed::New(at), beside: 1 });
    LibraryChanges { placed: placed.collect(), new_files: files, ..LibraryChanges::default() }
}

pub(super) fn placed_at(path: &str, file: Placed) -> PlacedPath {
    PlacedPath { path: path.into(), file, beside: 1 }
}

async fn with_two_files() -> (Catalogue, tempfile::TempDir, LibraryRecord, Vec<LibraryFileId>) {
    let (catalogue, home) = opened().await;
    let library = library(&catalogue, "/models").await;
    let mut lora = inspected(1, ModelKind::Lora);
    lora.page = LocalPage { trained_words: vec!["inkwash".into()], tags: vec!["ink".into()], ..LocalPage::default() };
    let paths = ["loras/a.safetensors", "b.safetensors"].map(Path::new);
    catalogue
        .record_library_changes(&library, &arrived(&paths, vec![lora, inspected(2, ModelKind::Vae)]))
        .await
        .unwrap();
    let mut files: Vec<LibraryFileId> =
        catalogue.library_paths(library.id).await.unwrap().iter().map(|path| path.file).collect();
    files.sort_unstable();
    (catalogue, home, library, files)
}

fn read(file: LibraryFileId, inode: u64, digest: u8) -> ReadFile {
    let (sha256, blake3) = (sha(digest), Blake3::from_bytes([digest; 32]));
    ReadFile { file, look: look(inode), sha256, blake3, auto_v3: Some("ABCDEF123456".into()) }
}

pub(super) async fn found(catalogue: &Catalogue, text: &str) -> Vec<String> {
    let query = SearchQuery { text: text.to_owned(), ..SearchQuery::default() };
    let mut found: Vec<String> = catalogue
        .search(&query)
        .await
        .unwrap()
        .models
        .iter()
        .map(|model| format!("{} {}", model.reference, model.name))
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_file_is_found_and_shown_before_any_of_its_bytes_are_read() {
    let (catalogue, _home, library, files) = with_two_files().await;
    assert_eq!(found(&catalogue, "").await, ["local:1 a", "local:2 b"]);
    assert_eq!(found(&catalogue, "inkwash").await, ["local:1 a"]);
    assert_eq!(found(&catalogue, "ink").await, ["local:1 a"]);
    for (filter, wanted) in [
        ("downloaded:true", 2),
        ("downloaded:false", 0),
        ("architecture:sdxl", 2),
        ("architecture:sd1", 0),
        ("hub:local kind:lora", 1),
        ("precision:fp16 format:safetensors", 2),
    ] {
        let query = SearchQuery { filter: Filter::parse(filter).unwrap(), ..SearchQuery::default() };
        assert_eq!(catalogue.search(&query).await.unwrap().models.len(), wanted, "{filter}");
    }
    let reference: ModelRef = "local:1".parse().unwrap();
    for reference in [reference, ModelRef::Path("/models/loras/a.safetensors".into())] {
        let resolved = catalogue.resolve(&reference).await.unwrap();
        let detail = catalogue.model(resolved.model).await.unwrap();
        let summary = &detail.summary;
        assert_eq!((summary.hub, summary.kind, summary.downloaded), (None, ModelKind::Lora, true));
        assert_eq!(summary.architecture, Some(Architecture::Sdxl));
        let file = &detail.versions[0].files[0];
        assert_eq!((file.state, file.name.as_str()), (FileState::Unverified, "a.safetensors"));
        assert_eq!(file.unread.as_ref().unwrap().paths, [Path::new("/models/loras/a.safetensors")]);
    }
    let unknown = catalogue.resolve(&ModelRef::Path("/models/loras".into())).await.unwrap_err();
    assert_eq!(unknown.reason(), reason::MODEL_NOT_FOUND);
    let counts = catalogue.library_counts(library.id).await.unwrap();
    assert_eq!((counts.paths, counts.files, counts.read_files, counts.listed), (2, 2, 0, 0));
    assert_eq!(files.len(), 2);

    assert!(catalogue.set_library_away(library.id, true).await.unwrap());
    let detail = catalogue.resolve(&"local:1".parse().unwrap()).await.unwrap();
    let detail = catalogue.model(detail.model).await.unwrap();
    assert_eq!(detail.versions[0].files[0].state, FileState::Away);
    assert!(catalogue.unread_library_files(10).await.unwrap().is_empty(), "nothing is read from a disk that is away");
}

#[tokio::test]
async fn what_was_read_is_content_wherever_it_moves() {
    let (catalogue, _home, library, files) = with_two_files().await;
    let unread = catalogue.unread_library_files(10).await.unwrap();
    assert_eq!(unread.iter().map(|unread| unread.file).collect::<Vec<_>>(), files, "the smallest first");
    let other_by_now = read(files[1], 9, 0xbb);
    let left = catalogue.record_read_files(&[read(files[0], 1, 0xaa), other_by_now]).await.unwrap();
    assert_eq!(left, [files[1]]);
    let left = catalogue.record_read_files(&[read(files[0], 1, 0xaa)]).await.unwrap();
    assert_eq!(left, [files[0]], "nothing is recorded twice");

    let moved = LibraryChanges {
        gone: vec!["loras/a.safetensors".into()],
        placed: vec![PlacedPath { path: "x/c.safetensors".into(), file: Placed::Known(files[0]), beside: 2 }],
        ..LibraryChanges::default()
    };
    catalogue.record_library_changes(&library, &moved).await.unwrap();
    let artifact = catalogue.artifact(&sha(0xaa)).await.unwrap().unwrap();
    assert_eq!(artifact.paths, [Path::new("/models/x/c.safetensors")]);
    assert_eq!(found(&catalogue, "").await, ["local:1 c", "local:2 b"], "the same page under its new name");
    let by_digest = catalogue.resolve(&ModelRef::Digest(sha(0xaa))).await.unwrap();
    assert_eq!(by_digest, catalogue.resolve(&"local:1".parse().unwrap()).await.unwrap());

    let gone = LibraryChanges { gone: vec!["x/c.safetensors".into()], ..LibraryChanges::default() };
    catalogue.record_library_changes(&library, &gone).await.unwrap();
    assert!(catalogue.artifact(&sha(0xaa)).await.unwrap().unwrap().paths.is_empty());
    assert_eq!(found(&catalogue, "").await, ["local:2 b"]);
    // It comes back: it is known again, and need not be read again.
    let like = catalogue.library_files_like(&[look(1), look(77)]).await.unwrap();
    assert_eq!(like, [(files[0], look(1))]);
    let back = PlacedPath { path: "d.safetensors".into(), file: Placed::Known(files[0]), beside: 2 };
    let back = LibraryChanges { placed: vec![back], ..LibraryChanges::default() };
    catalogue.record_library_changes(&library, &back).await.unwrap();
    assert_eq!(found(&catalogue, "").await, ["local:1 d", "local:2 b"]);
    assert_eq!(catalogue.artifact(&sha(0xaa)).await.unwrap().unwrap().paths, [Path::new("/models/d.safetensors")]);
    assert_eq!(catalogue.unread_library_files(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn copies_share_a_page_and_a_hub_that_lists_them_takes_it_over() {
    let (catalogue, _home, library, files) = with_two_files().await;
    catalogue.record_read_files(&[read(files[0], 1, 0xaa), read(files[1], 2, 0xaa)]).await.unwrap();
    assert_eq!(found(&catalogue, "").await, ["local:1 a"]);
    assert_eq!(catalogue.artifact(&sha(0xaa)).await.unwrap().unwrap().paths.len(), 2);
    let both = catalogue.unlisted_library_files(Timestamp::from_unix_ms(0), None, 10).await.unwrap();
    assert_eq!(both.len(), 2);
    catalogue.record_asked(&[files[0], files[1]]).await.unwrap();
    assert!(catalogue.unlisted_library_files(Timestamp::from_unix_ms(999), None, 10).await.unwrap().is_empty());

    let mut listed = model("4384", "On a hub");
    listed.versions = vec![version("10")];
    listed.versions[0].files = vec![file("1", 0xaa)];
    let ids = catalogue.record_models(&[listed], None).await.unwrap();
    assert_eq!(found(&catalogue, "").await, ["civitai:4384 On a hub"]);
    assert!(catalogue.model(ids[0]).await.unwrap().summary.downloaded);
    assert_eq!(catalogue.resolve(&"local:2".parse().unwrap()).await.unwrap().model, ids[0]);
    assert_eq!(catalogue.library_counts(library.id).await.unwrap().listed, 2);
    assert!(catalogue.unlisted_library_files(Timestamp::from_unix_ms(5_000), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn other_bytes_under_a_name_are_another_file() {
    let (catalogue, _home, library, files) = with_two_files().await;
    catalogue.record_read_files(&[read(files[0], 1, 0xaa)]).await.unwrap();
    let path = Path::new("loras/a.safetensors");
    catalogue.record_library_changes(&library, &arrived(&[path], vec![inspected(3, ModelKind::Lora)])).await.unwrap();
    assert_eq!(found(&catalogue, "").await, ["local:2 b", "local:3 a"]);
    assert!(catalogue.artifact(&sha(0xaa)).await.unwrap().unwrap().paths.is_empty());
    assert_eq!(catalogue.forget_gone_library_files(Timestamp::from_unix_ms(999)).await.unwrap(), 0);
    assert_eq!(catalogue.forget_gone_library_files(Timestamp::from_unix_ms(1_001)).await.unwrap(), 1);
    assert!(catalogue.library_files_like(&[look(1)]).await.unwrap().is_empty());
}

#[tokio::test]
async fn odd_names_refused_files_and_other_notes_are_kept_as_they_are() {
    let (catalogue, _home) = opened().await;
    let library = library(&catalogue, "/models").await;
    let names = ["line\nbreak.safetensors".as_bytes(), b"\xff\xfe.safetensors", "🖌\u{202e}.gguf".as_bytes()];
    let paths: Vec<PathBuf> = names.iter().map(|name| PathBuf::from(OsStr::from_bytes(name))).collect();
    let mut files: Vec<InspectedFile> = (1..).zip(&paths).map(|(at, _)| inspected(at, ModelKind::Unknown)).collect();
    files[2].failure = Some(Failure::new(paintbox_domain::ErrorClass::Unsupported, "UNSAFE_FORMAT", "a pickle"));
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    catalogue.record_library_changes(&library, &arrived(&paths, files)).await.unwrap();
    let known = catalogue.library_paths(library.id).await.unwrap();
    assert!(paths.iter().all(|path| known.iter().any(|known| known.path == **path)));
    assert_eq!(
        found(&catalogue, "").await,
        ["local:1 line\u{fffd}break", "local:2 \u{fffd}\u{fffd}", "local:3 🖌\u{202e}"]
    );
    let counts = catalogue.library_counts(library.id).await.unwrap();
    assert_eq!((counts.unknown, counts.refused), (2, 1));
    assert_eq!(catalogue.unread_library_files(10).await.unwrap().len(), 3, "what is refused is read all the same");
    let failed = Failure::new(paintbox_domain::ErrorClass::DataLoss, "STORE_FAILED", "the disk says no");
    catalogue.record_unreadable_file(known[0].file, &failed).await.unwrap();
    assert_eq!(catalogue.unread_library_files(10).await.unwrap().len(), 2);

    let page = LocalPage { name: "Ink Wash".into(), base_model: Some("SDXL 1.0".into()), ..LocalPage::default() };
    let described = vec![(LibraryFileId(1), paths[0].to_owned(), 9, page)];
    let described = LibraryChanges { described, ..LibraryChanges::default() };
    catalogue.record_library_changes(&library, &described).await.unwrap();
    assert_eq!(found(&catalogue, "ink wash").await, ["local:1 Ink Wash"]);
    let now = catalogue.library_paths(library.id).await.unwrap();
    assert!(now.iter().any(|known| known.path == paths[0] && known.beside == 9));
}

#[tokio::test]
async fn a_library_that_is_forgotten_takes_its_pages_along_and_nothing_else() {
    let (catalogue, _home, models, files) = with_two_files().await;
    let other = library(&catalogue, "/other").await;
    catalogue.record_read_files(&[read(files[0], 1, 0xaa)]).await.unwrap();
    // A hard link of the first file.
    let link = PlacedPath { path: "link.safetensors".into(), file: Placed::Known(files[0]), beside: 1 };
    let link = LibraryChanges { placed: vec![link], ..LibraryChanges::default() };
    catalogue.record_library_changes(&other, &link).await.unwrap();
    assert_eq!(catalogue.artifact(&sha(0xaa)).await.unwrap().unwrap().paths.len(), 2);
    catalogue.delete_library(models.id).await.unwrap();
    assert_eq!(found(&catalogue, "").await, ["local:1 link"]);
    let artifact = catalogue.artifact(&sha(0xaa)).await.unwrap().unwrap();
    assert_eq!(artifact.paths, [Path::new("/other/link.safetensors")]);
    assert_eq!(catalogue.library(models.id).await.unwrap_err().reason(), reason::LIBRARY_NOT_FOUND);
    assert_eq!(catalogue.libraries().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_folder_is_one_library_and_what_is_forgotten_takes_no_changes() {
    let (catalogue, _home) = opened().await;
    let known = library(&catalogue, "/models").await;
    assert_eq!(catalogue.add_library(Path::new("/models"), "plain", 1, 7).await.unwrap(), None);
    catalogue.delete_library(known.id).await.unwrap();
    let error = catalogue.record_library_changes(&known, &LibraryChanges::default()).await.unwrap_err();
    assert_eq!(error.reason(), reason::LIBRARY_NOT_FOUND);
}
