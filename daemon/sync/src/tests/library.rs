//! Folders that people keep themselves: adopted, known again, read once, and asked about.

#![expect(clippy::disallowed_methods, reason = "people rename and link files, and so do these tests")]

mod bursts;
mod cached;
mod claimed;
mod edited;
mod parts;
mod pictures;
mod rotten;
mod untouched;

use super::{World, digest, weights};
use crate::Scanned;
use crate::library::ReadTo;
use paintbox_catalogue::{FileState, LibraryId, LibraryRecord, SearchQuery};
use paintbox_domain::{Classify as _, FileFormat, ModelRef, reason};
use std::path::{Path, PathBuf};
use std::time::Duration;

impl World {
    fn models(&self) -> PathBuf {
        self.home.path().join("models")
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.models().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        let to = self.models().join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(self.models().join(from), to).unwrap();
    }

    async fn adopt(&self) -> LibraryId {
        std::fs::create_dir_all(self.models()).unwrap();
        self.sync.add_library(&self.models()).await.unwrap().record.id
    }

    async fn record(&self, library: LibraryId) -> LibraryRecord {
        self.catalogue.library(library).await.unwrap()
    }

    async fn scan(&self, library: LibraryId) -> Option<Scanned> {
        self.sync.scan_library(&self.record(library).await, &|_| {}).await.unwrap()
    }

    /// Looks, and reads what was not read. How many files were read.
    async fn scan_and_read(&self, library: LibraryId) -> u64 {
        let before = self.sync.library_files_read();
        self.scan(library).await.expect("the library is there");
        assert_eq!(self.sync.read_library_files().await.unwrap(), ReadTo::TheEnd);
        self.sync.library_files_read() - before
    }

    async fn names(&self) -> Vec<String> {
        let page = self.catalogue.search(&SearchQuery::default()).await.unwrap();
        let mut names: Vec<String> = page.models.into_iter().map(|model| model.name).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn what_a_hub_lists_gets_its_page_from_there_and_the_rest_has_one_of_its_own() {
    let world = World::new().await;
    let published = world.publish("konan", "Ink Wash", 1);
    world.put("loras/renamed.safetensors", &weights(1));
    world.put("loras/mine.safetensors", &weights(2));
    world.put("old.ckpt", b"\x80\x02}q\x00.");
    world.put("notes.txt", b"mine");
    let library = world.adopt().await;
    let scanned = world.scan(library).await.unwrap();
    assert_eq!((scanned.seen, scanned.arrived, scanned.recorded, scanned.inspected), (3, 3, 3, 3));
    let names = world.names().await;
    assert_eq!(names, ["mine", "old", "renamed"]);
    assert_eq!(world.hub.requests().len(), 0, "nobody is asked before there is a digest to ask for");

    assert_eq!(world.sync.read_library_files().await.unwrap(), ReadTo::TheEnd);
    world.sync.identify_library_files().await.unwrap();
    assert_eq!(world.names().await, ["Ink Wash", "mine", "old"]);
    let path = world.models().join("loras/renamed.safetensors");
    let model = world.catalogue.model(world.model(published.id).await).await.unwrap();
    let file = &model.versions[0].files[0];
    assert_eq!(file.state, FileState::Verified);
    assert_eq!(file.artifact.as_ref().unwrap().paths, std::slice::from_ref(&path));
    assert_eq!(file.artifact.as_ref().unwrap().sha256, digest(&weights(1)));
    let by_path = world.catalogue.resolve(&ModelRef::Path(path)).await.unwrap();
    assert_eq!(by_path.model, model.summary.id);

    // A pickle is kept on record as what it is, and never opened.
    let old = world.catalogue.resolve(&ModelRef::Path(world.models().join("old.ckpt"))).await.unwrap();
    let old = world.catalogue.model(old.model).await.unwrap();
    assert_eq!(old.versions[0].files[0].format, FileFormat::Pickle);

    // Nothing is asked twice within a month.
    let asked = world.hub.requests().len();
    world.sync.identify_library_files().await.unwrap();
    assert_eq!(world.hub.requests().len(), asked);
    world.clock.advance(super::DAY * 31);
    world.sync.identify_library_files().await.unwrap();
    assert!(world.hub.requests().len() > asked, "models are published late, too");
    let mine = format!("path:{}", world.models().join("loras/mine.safetensors").display());
    let refused = world.sync.remove(&mine, false).await.unwrap_err();
    assert_eq!(refused.reason(), reason::LIBRARY_IS_READ_ONLY);
}

#[tokio::test]
async fn a_sync_uses_what_lies_in_a_library_instead_of_fetching_it() {
    let world = World::new().await;
    world.put("a.safetensors", &weights(1));
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 1);
    world.publish("konan", "Ink Wash", 1);
    world.follow_with("civitai:konan", &super::everything()).await;
    assert!(world.plan().await.iter().all(|line| !line.starts_with("fetch")), "{:?}", world.plan().await);
    assert_eq!(world.names().await, ["Ink Wash"]);
}

#[tokio::test]
async fn what_is_the_same_is_not_read_again() {
    let world = World::new().await;
    for number in 0..20 {
        world.put(&format!("{number}.safetensors"), &weights(number));
    }
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 20);
    assert_eq!(world.scan(library).await.unwrap(), Scanned { seen: 20, ..Scanned::default() });
    // Moved, renamed and linked.
    world.rename("1.safetensors", "deep/er/one.safetensors");
    std::fs::hard_link(world.models().join("2.safetensors"), world.models().join("two.safetensors")).unwrap();
    std::os::unix::fs::symlink(world.models().join("3.safetensors"), world.models().join("three.gguf")).unwrap();
    std::fs::remove_file(world.models().join("4.safetensors")).unwrap();
    let scanned = world.scan(library).await.unwrap();
    assert_eq!((scanned.arrived, scanned.known_again, scanned.gone, scanned.inspected), (3, 3, 2, 0));
    assert_eq!(world.scan_and_read(library).await, 0);
    // A copy is another file, and so is one that was touched: only its content tells.
    std::fs::copy(world.models().join("5.safetensors"), world.models().join("copy.safetensors")).unwrap();
    world.put("6.safetensors", &weights(6));
    assert_eq!(world.scan_and_read(library).await, 2);
    assert_eq!(world.names().await.len(), 19, "each content has one page");
}

#[tokio::test]
async fn a_disk_that_is_taken_away_takes_nothing_with_it() {
    let world = World::new().await;
    world.put("a.safetensors", &weights(1));
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 1);
    let elsewhere = world.home.path().join("elsewhere");
    std::fs::rename(world.models(), &elsewhere).unwrap();
    for empty_mount_point in [false, true] {
        if empty_mount_point {
            std::fs::create_dir(world.models()).unwrap();
        }
        assert_eq!(world.scan(library).await, None);
        assert!(world.record(library).await.away_since.is_some());
        let resolved = world.catalogue.resolve(&ModelRef::Digest(digest(&weights(1)))).await.unwrap();
        let file = world.catalogue.model(resolved.model).await.unwrap().versions[0].files[0].clone();
        assert_eq!(file.state, FileState::Away);
    }
    std::fs::remove_dir(world.models()).unwrap();
    std::fs::rename(&elsewhere, world.models()).unwrap();
    assert_eq!(world.scan_and_read(library).await, 0);
    assert!(world.record(library).await.away_since.is_none());
    assert_eq!(world.names().await, ["a"]);
}

#[tokio::test]
async fn folders_that_would_be_counted_twice_are_refused() {
    let world = World::new().await;
    world.adopt().await;
    let inside = world.models().join("inside");
    std::fs::create_dir(&inside).unwrap();
    let link = world.home.path().join("link");
    std::os::unix::fs::symlink(&inside, &link).unwrap();
    for (path, wanted) in [
        (world.models(), reason::LIBRARY_EXISTS),
        (inside, reason::LIBRARY_EXISTS),
        (link, reason::LIBRARY_EXISTS),
        (world.home.path().to_owned(), reason::LIBRARY_EXISTS),
        (world.sync.inner.parts.places.home().blobs_folder().to_owned(), reason::LIBRARY_EXISTS),
        (world.home.path().join("absent"), reason::LIBRARY_AWAY),
        (PathBuf::from("relative"), reason::INVALID_ARGUMENT),
        (Path::new("/a/../b").to_owned(), reason::INVALID_ARGUMENT),
    ] {
        assert_eq!(world.sync.add_library(&path).await.unwrap_err().reason(), wanted, "{}", path.display());
    }
}

#[tokio::test]
async fn a_file_whose_number_changed_is_known_by_a_few_of_its_bytes() {
    let world = World::new().await;
    for number in [1, 2] {
        world.put(&format!("{number}.safetensors"), &weights(number));
    }
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 2);
    // As a disk without numbers of its own looks after it was mounted again: the same bytes and times, other numbers.
    for (number, content) in [(1, 1), (2, 7)] {
        let (path, aside) = (world.models().join(format!("{number}.safetensors")), world.home.path().join("aside"));
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&aside, weights(content)).unwrap();
        std::fs::File::options().write(true).open(&aside).unwrap().set_modified(modified).unwrap();
        std::fs::rename(&aside, &path).unwrap();
    }
    let scanned = world.scan(library).await.unwrap();
    assert_eq!((scanned.arrived, scanned.known_again, scanned.inspected), (2, 1, 1));
    assert_eq!(world.scan_and_read(library).await, 1, "only the one with other bytes");
    assert_eq!(world.scan(library).await.unwrap(), Scanned { seen: 2, ..Scanned::default() });
}

#[tokio::test]
async fn what_is_being_written_is_not_read_until_it_rests() {
    let world = World::new().await;
    world.put("a.safetensors", &weights(1));
    let file = std::fs::File::options().append(true).open(world.models().join("a.safetensors")).unwrap();
    let written = std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(world.now().unix_ms()).unwrap());
    file.set_modified(written).unwrap();
    let library = world.adopt().await;
    world.scan(library).await.unwrap();
    assert_eq!(world.sync.read_library_files().await.unwrap(), ReadTo::WhatRests);
    world.clock.advance(Duration::from_secs(5));
    // Meanwhile it went on, and nobody has looked since.
    std::io::Write::write_all(&mut &file, b"more").unwrap();
    file.set_modified(written + Duration::from_secs(4)).unwrap();
    assert_eq!(world.sync.read_library_files().await.unwrap(), ReadTo::TheEnd);
    assert_eq!(world.sync.library_files_read(), 0);
    world.scan(library).await.unwrap();
    assert_eq!(world.sync.read_library_files().await.unwrap(), ReadTo::WhatRests);
    world.clock.advance(Duration::from_secs(4));
    assert_eq!(world.scan_and_read(library).await, 1);
}

#[tokio::test]
async fn a_folder_becomes_a_library_once_however_many_ask_at_the_same_time() {
    let world = World::new().await;
    std::fs::create_dir_all(world.models()).unwrap();
    let path = world.models();
    let added = futures::future::join_all((0..8).map(|_| world.sync.add_library(&path))).await;
    assert_eq!(added.iter().filter(|added| added.is_ok()).count(), 1);
    for error in added.into_iter().filter_map(Result::err) {
        assert_eq!(error.reason(), reason::LIBRARY_EXISTS, "{error}");
    }
    assert_eq!(world.catalogue.libraries().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_library_that_is_forgotten_while_it_is_looked_at_is_said_to_be_no_more() {
    let world = World::new().await;
    world.put("loras/mine.safetensors", &weights(2));
    let library = world.adopt().await;
    let record = world.record(library).await;
    world.sync.remove_library(library).await.unwrap();
    let error = world.sync.scan_library(&record, &|_| {}).await.unwrap_err();
    assert_eq!((error.reason(), error.class()), (reason::LIBRARY_NOT_FOUND, paintbox_domain::ErrorClass::NotFound));
    assert!(world.names().await.is_empty(), "nothing is left of it");
}
