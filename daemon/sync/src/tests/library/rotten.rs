//! Files of libraries that a check finds to hold other bytes than were read.

use super::*;
use crate::{Problem, Remedy, VerifyRequest};

/// Other bytes of the same length, in a file that looks as before.
fn rot(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.set_modified(modified).unwrap();
}

#[tokio::test]
async fn a_file_that_rotted_is_shown_as_damaged_until_another_takes_its_place() {
    let world = World::new().await;
    let published = world.publish("konan", "Ink Wash", 1);
    world.put("a.safetensors", &weights(1));
    std::fs::hard_link(world.models().join("a.safetensors"), world.models().join("b.safetensors")).unwrap();
    world.put("sound.safetensors", &weights(2));
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 2);
    world.sync.identify_library_files().await.unwrap();
    assert_eq!(world.names().await, ["Ink Wash", "sound"]);

    let path = world.models().join("a.safetensors");
    rot(&path, &weights(9));
    let (_, findings) = world.verified(&VerifyRequest::default()).await;
    // The second name of the file is not looked at any more, or found damaged like the first.
    assert!(!findings.is_empty() && findings.iter().all(|found| found.problem == Problem::Damaged));
    assert!(findings.iter().all(|found| matches!(found.remedy, Remedy::Forgotten | Remedy::Nothing)));
    assert!(path.exists(), "it is somebody else's");

    let hubs = world.catalogue.model(world.model(published.id).await).await.unwrap();
    assert_eq!((hubs.versions[0].files[0].state, hubs.summary.downloaded), (FileState::Absent, false));
    for name in ["a.safetensors", "b.safetensors"] {
        let resolved = world.catalogue.resolve(&ModelRef::Path(world.models().join(name))).await.unwrap();
        let page = world.catalogue.model(resolved.model).await.unwrap();
        let file = &page.versions[0].files[0];
        assert_eq!((page.summary.hub, file.failure.as_ref().unwrap().reason.as_str()), (None, reason::DIGEST_MISMATCH));
        assert_eq!(file.unread.as_ref().unwrap().paths.len(), 2);
    }
    assert_eq!(world.catalogue.library_counts(library).await.unwrap().refused, 1);
    assert_eq!(world.scan_and_read(library).await, 0, "it looks as it did, and is not read again and again");

    world.put("c.safetensors", &weights(1));
    for name in ["a.safetensors", "b.safetensors"] {
        std::fs::remove_file(world.models().join(name)).unwrap();
    }
    world.rename("c.safetensors", "a.safetensors");
    assert_eq!(world.scan_and_read(library).await, 1);
    assert_eq!(world.names().await, ["Ink Wash", "sound"]);
}

#[tokio::test]
async fn a_file_that_was_changed_since_the_last_look_is_another_one_and_not_damaged() {
    let world = World::new().await;
    world.put("a.safetensors", &weights(1));
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 1);
    world.put("a.safetensors", &weights(2));
    let (_, findings) = world.verified(&VerifyRequest::default()).await;
    assert_eq!(findings.len(), 1);
    assert_eq!(world.scan_and_read(library).await, 1);
    let resolved = world.catalogue.resolve(&ModelRef::Digest(digest(&weights(2)))).await.unwrap();
    let page = world.catalogue.model(resolved.model).await.unwrap();
    assert_eq!((page.versions[0].files[0].state, &page.versions[0].files[0].failure), (FileState::Unverified, &None));
}
