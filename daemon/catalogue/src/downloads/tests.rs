//! What steps of downloads are on record, and in which order they come.

use super::*;
use crate::testing::{clock_at, model, new_artifact, opened_with};
use crate::{FileState, ModelId};
use paintbox_domain::clock::ManualClock;
use paintbox_domain::follow::FollowPolicy;
use paintbox_domain::{Classify as _, Clock as _, ErrorClass, reason};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

struct Home {
    catalogue: Catalogue,
    clock: Arc<ManualClock>,
    files: Vec<FileId>,
    models: Vec<ModelId>,
    _folder: TempDir,
}

impl Home {
    /// A catalogue that knows `count` models of one file each.
    async fn with_files(count: usize) -> Self {
        let clock = clock_at(1_000);
        let (catalogue, folder) = opened_with(clock.clone()).await;
        let models: Vec<_> = (1..=count).map(|number| model(&number.to_string(), &format!("Model {number}"))).collect();
        let models = catalogue.record_models(&models, None).await.unwrap();
        let mut files = Vec::new();
        for id in &models {
            files.push(catalogue.model(*id).await.unwrap().versions[0].files[0].id);
        }
        Self { catalogue, clock, files, models, _folder: folder }
    }

    fn new_download(&self, index: usize) -> NewDownload {
        NewDownload { file: self.files[index], hub: Hub::Civitai, follow: None, priority: 0 }
    }

    async fn enqueue(&self, indices: &[usize]) -> Vec<DownloadId> {
        let new: Vec<_> = indices.iter().map(|index| self.new_download(*index)).collect();
        self.catalogue.enqueue_downloads(&new, false).await.unwrap()
    }

    async fn step(&self, id: DownloadId, step: DownloadStep) -> Option<DownloadState> {
        let from = self.catalogue.download(id).await.unwrap().state;
        self.catalogue.step_download(id, from, step, 0).await.unwrap()
    }

    async fn fail(&self, id: DownloadId, retry_at: Timestamp) {
        let record = self.catalogue.download(id).await.unwrap();
        let failure = Failure::new(ErrorClass::Unavailable, reason::HUB_UNREACHABLE, "no route");
        let end = DownloadEnd::Failed { failure: &failure, retry_at };
        assert!(self.catalogue.end_download((id, record.file), record.state, 7, &end).await.unwrap());
    }

    async fn next(&self) -> Option<DownloadId> {
        self.catalogue.next_download(&[], &[], false).await.unwrap().map(|record| record.id)
    }

    fn later(&self, seconds: u64) -> Timestamp {
        self.clock.now().plus(Duration::from_secs(seconds))
    }
}

#[tokio::test]
async fn a_file_has_one_open_download_and_its_content_is_on_record_with_the_last_step() {
    let home = Home::with_files(1).await;
    let id = home.enqueue(&[0]).await[0];
    assert_eq!(home.enqueue(&[0, 0]).await, [id, id]);
    for step in [DownloadStep::Claim, DownloadStep::Receive, DownloadStep::Complete, DownloadStep::Approve] {
        home.step(id, step).await.unwrap();
    }
    let found = home.catalogue.download(id).await.unwrap();
    assert_eq!((found.state, found.model_name.as_str()), (DownloadState::Placing, "Model 1"));
    assert_eq!(found.version.to_string(), "civitai:1@10");

    let content = new_artifact(crate::snapshot::sha256(b"1"), "/blobs/1".into());
    let end = DownloadEnd::Placed { content: &content, verified: true };
    // Somebody else's idea of where it is changes nothing.
    assert!(!home.catalogue.end_download((id, found.file), DownloadState::Resolving, 9, &end).await.unwrap());
    assert!(home.catalogue.end_download((id, found.file), DownloadState::Placing, 1_234, &end).await.unwrap());
    let done = home.catalogue.download(id).await.unwrap();
    assert_eq!((done.state, done.received_bytes), (DownloadState::Done, 1_234));
    assert!(done.ended_at.is_some() && done.started_at.is_some());
    let detail = home.catalogue.model(home.models[0]).await.unwrap();
    assert_eq!(detail.versions[0].files[0].state, FileState::Verified);
    assert_ne!(home.enqueue(&[0]).await, [id], "the next time is another download");
}

#[tokio::test]
async fn of_two_who_would_take_a_step_one_is_told_that_it_is_too_late() {
    let home = Home::with_files(1).await;
    let id = home.enqueue(&[0]).await[0];
    let take = |from, step| home.catalogue.step_download(id, from, step, 0);
    assert_eq!(take(DownloadState::Queued, DownloadStep::Claim).await.unwrap(), Some(DownloadState::Resolving));
    assert_eq!(take(DownloadState::Queued, DownloadStep::Claim).await.unwrap(), None);
    let (paused, left) = home.catalogue.steer_download(id, DownloadStep::Pause).await.unwrap();
    assert_eq!((paused.state, left), (DownloadState::Paused, Some(DownloadState::Resolving)));
    assert_eq!(take(DownloadState::Resolving, DownloadStep::Receive).await.unwrap(), None);
    assert_eq!(home.catalogue.steer_download(id, DownloadStep::Pause).await.unwrap().1, None);
    assert_eq!(home.next().await, None);
    home.catalogue.steer_download(id, DownloadStep::Requeue).await.unwrap();
    assert_eq!(home.next().await, Some(id));
    let missing = home.catalogue.steer_download(DownloadId::new(99), DownloadStep::Pause).await.unwrap_err();
    assert_eq!(missing.reason(), reason::JOB_NOT_FOUND);
}

#[tokio::test]
async fn turns_go_by_priority_then_by_arrival_and_somebody_may_go_first() {
    let home = Home::with_files(4).await;
    let ids = home.enqueue(&[0, 1, 2]).await;
    let urgent = NewDownload { priority: 5, ..home.new_download(3) };
    let urgent = home.catalogue.enqueue_downloads(&[urgent], false).await.unwrap()[0];
    assert_eq!(home.next().await, Some(urgent));
    assert_eq!(home.catalogue.next_download(&[Hub::Civitai], &[], false).await.unwrap(), None, "its hub is busy");
    home.catalogue.put_download_first(ids[1]).await.unwrap();
    home.catalogue.put_download_first(ids[2]).await.unwrap();
    let mut order = Vec::new();
    while let Some(id) = home.next().await {
        order.push(id);
        home.step(id, DownloadStep::Claim).await.unwrap();
    }
    assert_eq!(order, [ids[2], ids[1], urgent, ids[0]]);
    home.step(ids[0], DownloadStep::Cancel).await.unwrap();
    assert!(home.catalogue.put_download_first(ids[0]).await.is_err(), "it has ended");
}

#[tokio::test]
async fn what_failed_waits_for_its_time_unless_somebody_asks_for_it() {
    let home = Home::with_files(2).await;
    let ids = home.enqueue(&[0, 1]).await;
    for id in &ids {
        home.step(*id, DownloadStep::Claim).await.unwrap();
        home.fail(*id, home.later(60)).await;
    }
    let failed = home.catalogue.download(ids[0]).await.unwrap();
    assert_eq!((failed.state, failed.failures, failed.received_bytes), (DownloadState::Failed, 1, 7));
    assert_eq!(failed.failure.unwrap().reason, reason::HUB_UNREACHABLE);
    let held = home.catalogue.downloads_held_back().await.unwrap();
    assert_eq!(held, [(home.files[0], DownloadState::Failed), (home.files[1], DownloadState::Failed)]);

    assert_eq!(home.enqueue(&[0]).await, [ids[0]]);
    assert_eq!(home.next().await, None);
    home.catalogue.enqueue_downloads(&[home.new_download(1)], true).await.unwrap();
    assert_eq!(home.next().await, Some(ids[1]));

    assert_eq!(home.catalogue.requeue_due_downloads().await.unwrap(), 0);
    assert_eq!(home.catalogue.next_due_download().await.unwrap(), Some(home.later(60)));
    home.clock.advance(Duration::from_secs(60));
    assert_eq!(home.catalogue.downloads_held_back().await.unwrap(), []);
    assert_eq!(home.catalogue.requeue_due_downloads().await.unwrap(), 1);
    assert_eq!(home.next().await, Some(ids[0]));
    home.catalogue.postpone_download(ids[0], home.later(5)).await.unwrap();
    assert_eq!(home.next().await, Some(ids[1]));

    home.step(ids[1], DownloadStep::Claim).await.unwrap();
    home.fail(ids[1], home.later(1_000)).await;
    assert_eq!(home.catalogue.requeue_failed_downloads(Hub::HuggingFace).await.unwrap(), 0);
    assert_eq!(home.catalogue.requeue_failed_downloads(Hub::Civitai).await.unwrap(), 1);
    assert_eq!(home.next().await, Some(ids[1]));
}

#[tokio::test]
async fn a_start_puts_what_was_under_way_back_and_leaves_it_a_moment() {
    let home = Home::with_files(3).await;
    let ids = home.enqueue(&[0, 1, 2]).await;
    home.step(ids[0], DownloadStep::Claim).await.unwrap();
    home.step(ids[0], DownloadStep::Receive).await.unwrap();
    home.catalogue.steer_download(ids[2], DownloadStep::Pause).await.unwrap();
    assert_eq!(home.catalogue.requeue_interrupted_downloads(home.later(30)).await.unwrap(), 1);
    assert_eq!(home.next().await, None);
    home.clock.advance(Duration::from_secs(30));
    assert_eq!(home.next().await, Some(ids[0]));
    assert_eq!(home.catalogue.download(ids[2]).await.unwrap().state, DownloadState::Paused);
    assert!(!home.catalogue.downloads_are_paused().await.unwrap());
    home.catalogue.set_downloads_paused(true).await.unwrap();
    assert!(home.catalogue.downloads_are_paused().await.unwrap());
}

#[tokio::test]
async fn a_replaced_file_takes_the_place_of_the_former_unless_it_has_a_download() {
    let home = Home::with_files(3).await;
    let ids = home.enqueue(&[0, 1]).await;
    assert!(!home.catalogue.redirect_download(ids[0], home.files[1]).await.unwrap());
    assert!(home.catalogue.redirect_download(ids[0], home.files[2]).await.unwrap());
    assert_eq!(home.catalogue.download(ids[0]).await.unwrap().file, home.files[2]);
}

#[tokio::test]
async fn lists_show_what_is_to_come_in_order_and_what_was_latest_first() {
    let home = Home::with_files(6).await;
    let ids = home.enqueue(&[0, 1, 2, 3, 4, 5]).await;
    home.step(ids[3], DownloadStep::Claim).await.unwrap();
    home.catalogue.steer_download(ids[0], DownloadStep::Pause).await.unwrap();
    home.step(ids[1], DownloadStep::Claim).await.unwrap();
    home.fail(ids[1], home.later(60)).await;
    for id in [ids[5], ids[4]] {
        home.clock.advance(Duration::from_secs(1));
        home.step(id, DownloadStep::Cancel).await.unwrap();
    }
    for (filter, wanted) in
        [(DownloadFilter::Open, vec![ids[3], ids[2], ids[1], ids[0]]), (DownloadFilter::Ended, vec![ids[4], ids[5]])]
    {
        let mut query = DownloadQuery { filter, page_size: 1, ..DownloadQuery::default() };
        let mut found = Vec::new();
        loop {
            let page = home.catalogue.downloads(&query).await.unwrap();
            found.extend(page.downloads.iter().map(|download| download.id));
            query.page_token = page.next_page_token;
            if query.page_token.is_none() {
                break;
            }
        }
        assert_eq!(found, wanted, "{filter:?}");
    }
    let bad = DownloadQuery { page_token: Some("00".into()), ..DownloadQuery::default() };
    assert_eq!(home.catalogue.downloads(&bad).await.unwrap_err().reason(), reason::PAGE_TOKEN_INVALID);
}

#[tokio::test]
async fn downloads_of_a_follow_are_its_own_until_a_pull_wants_them_too() {
    let home = Home::with_files(2).await;
    let follow =
        home.catalogue.create_follow(&"civitai:Konan".parse().unwrap(), &FollowPolicy::default()).await.unwrap();
    let new = |index| NewDownload { follow: Some(follow.id), ..home.new_download(index) };
    let ids = home.catalogue.enqueue_downloads(&[new(0), new(1)], false).await.unwrap();
    assert_eq!(home.catalogue.open_downloads_of(follow.id).await.unwrap(), ids);
    home.enqueue(&[1]).await;
    assert_eq!(home.catalogue.open_downloads_of(follow.id).await.unwrap(), ids[..1]);
    home.catalogue.delete_follow("civitai:Konan").await.unwrap();
    assert_eq!(home.catalogue.download(ids[0]).await.unwrap().follow, None);
    let unknown = NewDownload { file: FileId::new(99), ..home.new_download(0) };
    assert!(home.catalogue.enqueue_downloads(&[unknown], false).await.is_err());
    assert_eq!(home.catalogue.check_integrity().await.unwrap(), Vec::<String>::new());
}
