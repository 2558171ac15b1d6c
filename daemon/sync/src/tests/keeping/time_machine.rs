//! What the system's backups leave out, told by an attribute that this system knows.

use super::*;
use crate::Places;
use crate::tests::{HOUR, attributes};
use std::collections::BTreeMap;

const NAME: &str = "user.paintbox.backup";

/// A world whose store marks files; none where files keep no attributes.
async fn world() -> Option<World> {
    let world = World::with(|parts, _| parts.places = Places::of(parts.places.home().clone().marking_by(NAME))).await;
    attributes::are_kept_in(world.home.path()).then_some(world)
}

fn is_marked(path: &Path) -> bool {
    let found = attributes::of(path);
    // It is the only one that it has.
    assert!(found.keys().all(|name| name == NAME), "{found:?}");
    found.get(NAME).is_some_and(|value| value.starts_with(b"bplist00") && value.len() == 61)
}

#[tokio::test]
async fn what_a_hub_lists_is_left_out_until_it_lists_it_no_more() {
    let Some(world) = world().await else { return };
    let ids = [1, 2].map(|content| world.publish("konan", &format!("Model {content}"), content).id);
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    world.pass(HOUR * 2).await;
    let paths = [world.path(world.model(ids[0]).await).await, world.path(world.model(ids[1]).await).await];
    let before: BTreeMap<_, _> = paths.iter().map(|path| (path, attributes::rest_of(path))).collect();
    let marks = |when: &str| {
        for path in &paths {
            assert_eq!(attributes::rest_of(path), before[path], "{when}");
            assert_eq!(attributes::rest_of(path).1, 0o444);
        }
        [is_marked(&paths[0]), is_marked(&paths[1])]
    };
    assert_eq!(marks("fetched"), [true, true], "at once, before anybody looks after the files");

    let care = async |leave_out: bool| {
        world.change(|settings| settings.care.leave_out_of_backups = leave_out);
        world.sync.care_once().await.unwrap();
    };
    care(true).await;
    assert_eq!(marks("nothing new"), [true, true]);
    assert!(world.hub.unpublish(ids[0]));
    world.pass(HOUR * 2).await;
    care(true).await;
    assert_eq!(marks("gone"), [false, true]);
    assert!(world.hub.republish(ids[0]));
    world.pass(HOUR * 2).await;
    care(true).await;
    assert_eq!(marks("back"), [true, true]);
    care(false).await;
    assert_eq!(marks("switched off"), [false, false]);
    care(true).await;
    assert_eq!(marks("switched on"), [true, true]);
}

#[tokio::test]
async fn what_its_creator_replaced_is_in_backups_and_what_replaced_it_is_not() {
    let Some(world) = world().await else { return };
    let published = world.publish("konan", "Model", 1);
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    world.pass(HOUR * 2).await;
    let old = world.path(world.model(published.id).await).await;
    assert!(is_marked(&old));
    world.moment();
    assert!(world.hub.replace_file(published.versions[0].files[0], weights(2)));
    world.pass(HOUR * 2).await;
    let store = world.sync.inner.parts.places.home();
    let new = store.blob_path(&crate::tests::digest(&weights(2)));
    world.sync.care_once().await.unwrap();
    assert_eq!((is_marked(&old), is_marked(&new)), (false, true));

    // What is painted or handed over here is no hub's, and what is set aside may be all that is left.
    let picture = store.put_bytes(b"picture").unwrap();
    damage(&new);
    let (_, findings) = world.verified(&crate::VerifyRequest::default()).await;
    assert_eq!(findings.len(), 1);
    world.sync.care_once().await.unwrap();
    assert!(!is_marked(&picture.path));
    let aside = store.quarantined().unwrap();
    assert!(aside.len() == 1 && !is_marked(&aside[0].1.path));
}

#[tokio::test]
async fn nothing_is_marked_where_the_switch_is_off_or_the_system_has_no_marks() {
    let switched_off = |parts: &mut crate::Parts, settings: &mut crate::Settings| {
        parts.places = Places::of(parts.places.home().clone().marking_by(NAME));
        settings.care.leave_out_of_backups = false;
    };
    // On a Mac the other attribute would be there.
    let worlds =
        if cfg!(target_os = "macos") { Vec::new() } else { vec![World::new().await, World::with(switched_off).await] };
    for world in worlds {
        if !attributes::are_kept_in(world.home.path()) {
            return;
        }
        let id = world.publish("konan", "Model", 1).id;
        world.moment();
        world.follow_with("civitai:konan", &everything()).await;
        world.pass(HOUR * 2).await;
        world.sync.care_once().await.unwrap();
        assert!(!is_marked(&world.path(world.model(id).await).await));
    }
}
