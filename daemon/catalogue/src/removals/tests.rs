//! Tests of the trash: what goes there, what stays and why, and the ways back and out.

use super::*;
use crate::testing::{clock_at, model, new_artifact, opened, opened_with};
use crate::{FileRecord, FileState, ModelId};
use paintbox_domain::{Classify as _, reason};

const STORE: &str = "/home/store";
const LATER: Timestamp = Timestamp::from_unix_ms(90_000);

async fn file(catalogue: &Catalogue, model: ModelId) -> FileRecord {
    catalogue.model(model).await.unwrap().versions[0].files[0].clone()
}

/// A model whose file lies at `path`.
async fn owned(catalogue: &Catalogue, id: &str, path: &str) -> (ModelId, FileId) {
    let model = catalogue.record_models(&[model(id, id)], None).await.unwrap()[0];
    let record = file(catalogue, model).await;
    let content = new_artifact(record.sha256.unwrap(), path.into());
    catalogue.record_file(record.id, &content, true).await.unwrap();
    (model, record.id)
}

/// A model that has the same content as `other`, found at `path`.
async fn twin_of(catalogue: &Catalogue, other: ModelId, path: &str) -> (ModelId, FileId) {
    let sha256 = file(catalogue, other).await.sha256;
    let mut twin = model("3", "Twin");
    twin.versions[0].files[0].sha256 = sha256;
    let twin = catalogue.record_models(&[twin], None).await.unwrap()[0];
    let id = file(catalogue, twin).await.id;
    catalogue.record_file(id, &new_artifact(sha256.unwrap(), path.into()), true).await.unwrap();
    (twin, id)
}

async fn remove(catalogue: &Catalogue, files: &[FileId]) -> Option<RemovalRecord> {
    catalogue.remove_files("it", files, Path::new(STORE), LATER, false).await.unwrap()
}

#[tokio::test]
async fn a_removed_file_is_absent_until_it_is_taken_back() {
    let (catalogue, _home) = opened().await;
    let (model, id) = owned(&catalogue, "1", "/home/store/a").await;
    let before = file(&catalogue, model).await;

    let told = catalogue.remove_files("it", &[id], Path::new(STORE), LATER, true).await.unwrap().unwrap();
    assert_eq!(told.files[0].bytes, RemovedBytes::Trashed);
    assert_eq!(file(&catalogue, model).await, before, "nothing was done yet");

    let removal = remove(&catalogue, &[id]).await.unwrap();
    assert_eq!((removal.state, removal.expires_at, removal.trashed_bytes()), (RemovalState::Trashed, LATER, 1_234));
    assert_eq!(removal.places[0].path, Path::new("/home/store/a"));
    let gone = file(&catalogue, model).await;
    assert_eq!((gone.state, gone.removed_at.is_some()), (FileState::Absent, true));
    assert!(remove(&catalogue, &[id]).await.is_none(), "it is removed once");
    assert_eq!(catalogue.removals(false, 0, None).await.unwrap().removals, std::slice::from_ref(&removal));

    let back = catalogue.undo_removal(removal.id).await.unwrap();
    assert_eq!(back.state, RemovalState::Restored);
    let restored = file(&catalogue, model).await;
    assert_eq!((restored.state, restored.removed_at), (FileState::Verified, None));
    assert_eq!((restored.fetched_at, restored.licence_at_fetch), (before.fetched_at, before.licence_at_fetch));
    assert_eq!(catalogue.undo_removal(removal.id).await.unwrap(), back, "taking it back again changes nothing");
    assert!(catalogue.removals(false, 0, None).await.unwrap().removals.is_empty());
    assert_eq!(catalogue.removals(true, 0, None).await.unwrap().removals.len(), 1);
}

#[tokio::test]
async fn bytes_that_others_have_or_that_lie_elsewhere_stay() {
    let (catalogue, _home) = opened().await;
    let (_, in_place) = owned(&catalogue, "2", "/cache/of/another/tool").await;
    let removal = remove(&catalogue, &[in_place]).await.unwrap();
    assert_eq!((removal.files[0].bytes, removal.trashed_bytes()), (RemovedBytes::InPlace, 0));

    let (one, first) = owned(&catalogue, "1", "/home/store/a").await;
    let (twin, second) = twin_of(&catalogue, one, "/home/store/a").await;

    let removal = remove(&catalogue, &[first]).await.unwrap();
    assert_eq!((removal.files[0].bytes, removal.trashed_bytes()), (RemovedBytes::Shared, 0));
    assert_eq!(file(&catalogue, twin).await.state, FileState::Verified);
    let removal = remove(&catalogue, &[second]).await.unwrap();
    assert_eq!((removal.files[0].bytes, removal.trashed_bytes()), (RemovedBytes::Trashed, 1_234));
    catalogue.undo_removal(removal.id).await.unwrap();
    assert_eq!(file(&catalogue, one).await.state, FileState::Absent, "it was removed by itself");
    assert_eq!(file(&catalogue, twin).await.state, FileState::Verified);
}

#[tokio::test]
async fn what_is_removed_together_takes_its_shared_bytes_along() {
    let (catalogue, _home) = opened().await;
    let (one, first) = owned(&catalogue, "1", "/home/store/a").await;
    let (twin, second) = twin_of(&catalogue, one, "/home/store/a").await;
    let removal = remove(&catalogue, &[first, second]).await.unwrap();
    assert!(removal.files.iter().any(|file| file.bytes == RemovedBytes::Trashed));
    assert_eq!(removal.trashed_bytes(), 1_234, "they count once");
    assert!(removal.files.iter().all(|file| file.bytes != RemovedBytes::Shared));
    catalogue.undo_removal(removal.id).await.unwrap();
    for model in [one, twin] {
        assert_eq!(file(&catalogue, model).await.state, FileState::Verified);
    }
}

#[tokio::test]
async fn emptying_has_no_way_back_and_spares_what_is_needed_again() {
    let clock = clock_at(1_000);
    let (catalogue, _home) = opened_with(clock.clone()).await;
    let (model, id) = owned(&catalogue, "1", "/home/store/a").await;
    let (_, other) = owned(&catalogue, "2", "/home/store/b").await;
    let removal = remove(&catalogue, &[id, other]).await.unwrap();
    assert!(catalogue.expired_removals().await.unwrap().is_empty());
    clock.set(LATER);
    let expired = catalogue.expired_removals().await.unwrap();
    assert_eq!(expired, std::slice::from_ref(&removal));

    // Somebody pulls the first one again, and its bytes are found to be here.
    catalogue.add_pull(model, None, None).await.unwrap();
    let wanted = file(&catalogue, model).await;
    assert_eq!(wanted.removed_at, None);
    let content = new_artifact(wanted.sha256.unwrap(), "/home/store/a".into());
    catalogue.record_file(id, &content, true).await.unwrap();

    let paths = catalogue.begin_to_empty(&expired[0]).await.unwrap();
    assert_eq!(paths, Some(vec![PathBuf::from("/home/store/b")]));
    assert_eq!(catalogue.undo_removal(removal.id).await.unwrap_err().reason(), reason::TRASH_EMPTIED);
    let interrupted = catalogue.expired_removals().await.unwrap();
    assert_eq!(interrupted[0].state, RemovalState::Emptying, "a kill in between is made up for");
    assert_eq!(catalogue.begin_to_empty(&interrupted[0]).await.unwrap(), paths);
    catalogue.end_emptying(removal.id).await.unwrap();
    assert_eq!(catalogue.removal(removal.id).await.unwrap().state, RemovalState::Emptied);
    assert!(catalogue.expired_removals().await.unwrap().is_empty());
    assert_eq!(file(&catalogue, model).await.state, FileState::Verified);
    assert_eq!(catalogue.removal(RemovalId::new(99)).await.unwrap_err().reason(), reason::REMOVAL_NOT_FOUND);
}

#[tokio::test]
async fn of_two_names_each_can_be_taken_back_whichever_went_first() {
    let clock = clock_at(1_000);
    let (catalogue, _home) = opened_with(clock.clone()).await;
    let (one, first) = owned(&catalogue, "1", "/home/store/a").await;
    // A second copy, which goes and comes back with the first.
    let (twin, second) = twin_of(&catalogue, one, "/home/store/b").await;

    let shared = remove(&catalogue, &[first]).await.unwrap();
    let last = remove(&catalogue, &[second]).await.unwrap();
    assert_eq!((last.places.len(), last.trashed_bytes()), (2, 2 * 1_234));
    catalogue.undo_removal(shared.id).await.unwrap();
    let restored = file(&catalogue, one).await;
    assert_eq!((restored.state, restored.artifact.unwrap().paths.len()), (FileState::Verified, 2));
    assert_eq!(file(&catalogue, twin).await.state, FileState::Absent);

    clock.set(LATER);
    let expired = catalogue.expired_removals().await.unwrap();
    assert_eq!(catalogue.begin_to_empty(&expired[0]).await.unwrap(), Some(Vec::new()), "the first name has them");
}

#[tokio::test]
async fn the_same_content_under_the_next_commit_is_not_wanted_either() {
    use crate::testing::{commit, repo};
    let clock = clock_at(1_000);
    let (catalogue, _home) = opened_with(clock.clone()).await;
    let (old, new) = (commit(&"a".repeat(40), 7), commit(&"b".repeat(40), 7));
    let id = catalogue.record_models(&[repo("org/m", vec![old.clone()])], None).await.unwrap()[0];
    let record = file(&catalogue, id).await;
    let content = new_artifact(record.sha256.unwrap(), "/home/store/a".into());
    catalogue.record_file(record.id, &content, true).await.unwrap();
    let removal = remove(&catalogue, &[record.id]).await.unwrap();

    clock.set(Timestamp::from_unix_ms(2_000));
    let mut other = commit(&"c".repeat(40), 8);
    other.published_at = Some(Timestamp::from_unix_ms(1_900));
    catalogue.record_models(&[repo("org/m", vec![other, new, old])], None).await.unwrap();
    let removed = async || {
        let detail = catalogue.model(id).await.unwrap();
        detail.versions.iter().map(|version| version.files[0].removed_at.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(removed().await, [false, true, true], "other content is");
    catalogue.undo_removal(removal.id).await.unwrap();
    assert_eq!(removed().await, [false; 3]);
    assert_eq!(file(&catalogue, id).await.removed_at, None);
}
