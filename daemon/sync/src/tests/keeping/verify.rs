//! Checks at rest.

use super::*;
use crate::{Finding, Problem, Remedy, VerifyEvent, VerifyProgress, VerifyRequest};
use paintbox_catalogue::{AtRestQuery, FileState, VolumeRules};

impl World {
    pub(in crate::tests) async fn verified(&self, request: &VerifyRequest) -> (VerifyProgress, Vec<Finding>) {
        let mut events = std::pin::pin!(self.sync.verify(request).await.unwrap());
        let (mut last, mut findings) = (VerifyProgress::default(), Vec::new());
        while let Some(event) = events.next().await {
            match event.unwrap() {
                VerifyEvent::Progress(progress) => last = progress,
                VerifyEvent::Found(finding) => findings.push(*finding),
            }
        }
        (last, findings)
    }
}

#[tokio::test]
async fn damaged_and_missing_files_are_found_and_repaired() {
    let (world, models) = World::stocked(3).await;
    let (progress, findings) = world.verified(&VerifyRequest::default()).await;
    assert_eq!((progress.files_done, progress.files_total, findings.len()), (3, 3, 0));
    assert!(progress.bytes_done == progress.bytes_total && progress.bytes_total > 0);

    damage(&world.path(models[0]).await);
    let damaged = world.path(models[0]).await;
    std::fs::remove_file(world.path(models[1]).await).unwrap();
    let (_, mut findings) = world.verified(&VerifyRequest::default()).await;
    findings.sort_by_key(|finding| finding.problem.as_str());
    let found: Vec<_> = findings.iter().map(|found| (found.problem, found.remedy, found.repair_queued)).collect();
    let quarantined = (Problem::Damaged, Remedy::Quarantined, false);
    assert_eq!(found, [quarantined, (Problem::Missing, Remedy::Forgotten, false)]);
    assert_eq!(findings[0].failure.as_ref().unwrap().reason, reason::DIGEST_MISMATCH);
    assert_eq!((findings[0].file.as_str(), &findings[0].path), ("Model 1.safetensors", &damaged));
    assert!(!damaged.exists() && world.file(models[0]).await.state == FileState::Absent);
    assert_eq!(world.sync.inner.parts.places.home().quarantined().unwrap().len(), 1);

    // The next sync fetches what is wanted; `--repair` does not wait for that.
    assert_eq!(world.synced().await.fetched, 2);
    damage(&world.path(models[0]).await);
    let (_, findings) = world.verified(&VerifyRequest { repair: true, ..VerifyRequest::default() }).await;
    assert_eq!((findings.len(), findings[0].repair_queued), (1, true));
    world.sync.rest().await;
    assert_eq!(world.file(models[0]).await.state, FileState::Verified);
    assert_eq!(std::fs::read(world.path(models[0]).await).unwrap(), weights(1));
}

#[tokio::test]
async fn what_a_disk_does_not_give_is_told_and_left_alone() {
    let (world, models) = World::stocked(2).await;
    let path = world.path(models[0]).await;
    // Reading it fails, though it is there: what a bad sector does, too.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let (progress, findings) = world.verified(&VerifyRequest { repair: true, ..VerifyRequest::default() }).await;
    assert_eq!((progress.files_done, findings.len()), (2, 1));
    let found = &findings[0];
    assert_eq!((found.problem, found.remedy, found.repair_queued), (Problem::Unreadable, Remedy::Nothing, false));
    assert_eq!(found.failure.as_ref().unwrap().reason, reason::STORE_FAILED);
    world.clock.advance(DAY * 91);
    world.sync.care_once().await.unwrap();
    world.sync.care_once().await.unwrap();
    assert!(path.exists() && world.file(models[0]).await.state == FileState::Verified);
}

#[tokio::test]
async fn who_read_a_file_before_it_was_repaired_does_no_harm_to_the_new_one() {
    let (world, models) = World::stocked(1).await;
    damage(&world.path(models[0]).await);
    let place = world.catalogue.at_rest(&AtRestQuery::unread_since(world.now())).await.unwrap().remove(0);
    let (_, findings) = world.verified(&VerifyRequest { repair: true, ..VerifyRequest::default() }).await;
    assert!(findings[0].repair_queued);
    world.sync.rest().await;
    let late = world.sync.attend_to_problem(&place, Problem::Damaged, None, crate::verify::By::Itself).await.unwrap();
    assert_eq!((late.remedy, late.repair_queued), (Remedy::Nothing, false));
    assert_eq!(world.file(models[0]).await.state, FileState::Verified);
    assert_eq!(std::fs::read(world.path(models[0]).await).unwrap(), weights(1));
}

#[tokio::test]
async fn only_what_was_named_and_not_read_lately_is_read() {
    let (world, models) = World::stocked(3).await;
    let reference = world.catalogue.model(models[1]).await.unwrap().summary.reference.to_string();
    let one = VerifyRequest { references: vec![reference], ..VerifyRequest::default() };
    assert_eq!(world.verified(&one).await.0.files_done, 1);
    world.clock.advance(DAY);
    assert_eq!(world.verified(&one).await.0.files_done, 1);
    let rest = VerifyRequest { unread_for: Some(DAY / 2), ..VerifyRequest::default() };
    assert_eq!(world.verified(&rest).await.0.files_done, 2);
    assert_eq!(world.verified(&rest).await.0.files_done, 0);
    let nothing = VerifyRequest { references: vec!["no such model".to_owned()], ..VerifyRequest::default() };
    assert_eq!(world.sync.verify(&nothing).await.err().unwrap().reason(), reason::MODEL_NOT_FOUND);
}

#[tokio::test]
async fn what_is_on_a_volume_that_is_away_is_told_and_kept() {
    let world = World::new().await;
    let everything_else = VolumeRules { everything_else: true, ..VolumeRules::default() };
    world.sync.create_volume("big", &world.disk("disk"), everything_else).await.unwrap();
    let id = world.publish("konan", "Model", 1).id;
    world.moment();
    world.follow_with("civitai:konan", &everything()).await;
    world.synced().await;
    std::fs::rename(world.disk("disk"), world.disk("elsewhere")).unwrap();
    let (progress, findings) = world.verified(&VerifyRequest { repair: true, ..VerifyRequest::default() }).await;
    assert_eq!((progress.files_done, findings.len()), (1, 1));
    assert_eq!((findings[0].problem, findings[0].remedy), (Problem::Away, Remedy::Nothing));
    assert_eq!(world.file(world.model(id).await).await.state, FileState::Away);
}

#[tokio::test]
async fn files_are_read_again_by_themselves_in_their_time_and_repaired() {
    let (world, models) = World::stocked(2).await;
    damage(&world.path(models[0]).await);
    world.sync.care_once().await.unwrap();
    assert!(world.path(models[0]).await.exists(), "its time has not come");
    world.clock.advance(DAY * 91);
    world.sync.care_once().await.unwrap();
    world.sync.rest().await;
    assert_eq!(std::fs::read(world.path(models[0]).await).unwrap(), weights(1));
    let unread = world.catalogue.at_rest(&AtRestQuery::unread_since(world.now().minus(DAY))).await.unwrap();
    assert!(unread.is_empty(), "each was read: {unread:?}");
}
