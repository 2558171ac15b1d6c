//! Whatever is done with a library's files, nothing about them changes: neither their bytes nor what other programs wrote
//! beside these, such as a browser that says where a file came from (`com.apple.quarantine` on a Mac).

use super::*;
use crate::tests::{DAY, HOUR, attributes, everything};
use crate::{Places, VerifyRequest};
use std::os::unix::fs::PermissionsExt as _;

/// Stands for the attribute that macOS knows.
const QUARANTINE: &str = "user.paintbox.quarantine";
/// As Safari writes it.
const CAME_FROM: &[u8] = b"0083;6579a1b2;Safari;5D3C0E35-8A8C-4E0E-9A43-0B0F0B3E7C11";

#[tokio::test]
async fn nothing_about_a_librarys_files_changes_whatever_is_done_with_them() {
    let marking = |parts: &mut crate::Parts, _: &mut crate::Settings| {
        parts.places = Places::of(parts.places.home().clone().marking_by("user.paintbox.backup"));
    };
    let world = World::with(marking).await;
    world.put("loras/listed.safetensors", &weights(1));
    world.put("loras/listed.civitai.info", br#"{"id": 1, "modelId": 1}"#);
    world.put("mine.safetensors", &weights(2));
    if !attributes::are_kept_in(&world.models()) {
        return;
    }
    let listed = world.models().join("loras/listed.safetensors");
    for path in attributes::everything_below(&world.models()).into_keys() {
        attributes::put(&path, QUARANTINE, CAME_FROM);
        attributes::put(&path, "user.paintbox.other", b"");
    }
    std::fs::set_permissions(&listed, std::fs::Permissions::from_mode(0o640)).unwrap();
    let before = attributes::everything_below(&world.models());
    assert_eq!(attributes::of(&listed)[QUARANTINE], CAME_FROM);
    let same = |when: &str| assert_eq!(attributes::everything_below(&world.models()), before, "{when}");

    let published = world.publish("konan", "Ink Wash", 1);
    let library = world.adopt().await;
    assert_eq!(world.scan_and_read(library).await, 2);
    same("read");
    world.sync.identify_library_files().await.unwrap();
    let model = world.catalogue.model(world.model(published.id).await).await.unwrap();
    assert_eq!(model.versions[0].files[0].artifact.as_ref().unwrap().paths, std::slice::from_ref(&listed));
    same("identified");
    world.follow_with("civitai:konan", &everything()).await;
    world.pass(HOUR * 2).await;
    assert!(world.fetched().await.is_empty(), "it is used where it lies");
    same("used");
    let (progress, findings) = world.verified(&VerifyRequest::default()).await;
    assert_eq!((progress.files_done, findings.len()), (2, 0));
    world.clock.advance(DAY * 91);
    world.sync.care_once().await.unwrap();
    same("verified and cared for");
}
