//! Starting to follow, changing a follow's policy, and telling beforehand what that would fetch.

use crate::check::Occasion;
use crate::error::SyncError;
use crate::plan::{OperationKind, Plan, plan};
use crate::service::Sync;
use crate::settle::blocking;
use futures::StreamExt as _;
use paintbox_catalogue::{Extent, Follow, FollowId, FollowInterest, ModelId, Scope};
use paintbox_domain::Classify as _;
use paintbox_domain::follow::{Backfill, FollowPolicy, FollowTarget};
use paintbox_hub::ListRequest;

/// Pages of an open list that are read to tell what a backfill would fetch.
const MOST_OPEN_PAGES: usize = 10;

/// What a policy would fetch of what is listed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackfillPreview {
    pub listed_models: u32,
    pub listed_versions: u32,
    pub files: u32,
    /// As far as the hub says.
    pub bytes: u64,
    /// On the store's volume.
    pub free_bytes: u64,
}

impl Sync {
    /// Starts following: the list is read once, so that a typing error is told at once and what is there is on record
    /// as the back catalogue. If the list breaks off half-way, the next look goes on with it.
    ///
    /// # Errors
    /// When the hub knows no such thing or cannot be asked, or it is followed already.
    pub async fn follow(&self, target: &FollowTarget, policy: &FollowPolicy) -> Result<Follow, SyncError> {
        let catalogue = &self.inner.parts.catalogue;
        let follow = catalogue.create_follow(target, policy).await?;
        if let Err(error) = self.check(&follow, Occasion::ByHand).await {
            if catalogue.models_of_follow(follow.id).await?.is_empty() {
                catalogue.delete_follow(&follow.name).await?;
                return Err(error);
            }
            tracing::warn!(target = %target, reason = error.reason(), "its list was read in part; the rest follows");
        }
        self.inner.nudge.notify_one();
        Ok(catalogue.follow(&follow.name).await?)
    }

    /// Replaces the policy of a follow.
    ///
    /// # Errors
    /// When there is no such follow.
    pub async fn update_follow(&self, follow: &str, policy: &FollowPolicy) -> Result<Follow, SyncError> {
        let parts = &self.inner.parts;
        let follow = parts.catalogue.update_follow(follow, policy).await?;
        // What the new policy wants is looked for soon, not an interval later.
        parts
            .catalogue
            .schedule_checks(&[(follow.id, parts.clock.now().plus(crate::service::FIRST_CHECK_DELAY))])
            .await?;
        self.give_up_unwanted(follow.id).await?;
        self.inner.downloads.throttles.cap_follow(follow.id, policy.max_bytes_per_second);
        self.inner.nudge.notify_one();
        Ok(parts.catalogue.follow(&follow.name).await?)
    }

    /// What following `target` under `policy` would fetch of what is there now. What the hub lists is kept in the
    /// catalogue; nothing is followed.
    ///
    /// # Errors
    /// When the hub knows no such thing or cannot be asked.
    pub async fn preview_follow(
        &self,
        target: &FollowTarget,
        policy: &FollowPolicy,
    ) -> Result<BackfillPreview, SyncError> {
        let parts = &self.inner.parts;
        let mature = policy.admits_mature();
        let most_pages = match (target.is_open(), policy.backfill) {
            (false, _) => usize::MAX,
            (true, Backfill::None) => 1,
            (true, _) => MOST_OPEN_PAGES,
        };
        let mut pages = parts.hubs.list(ListRequest { mature, ..ListRequest::new(target.clone()) }).take(most_pages);
        let mut models: Vec<ModelId> = Vec::new();
        while let Some(page) = pages.next().await.transpose()? {
            models.extend(parts.catalogue.record_models(&page.models, None).await?);
        }
        let interest = FollowInterest {
            // No row has it.
            id: FollowId::new(0),
            name: String::new(),
            target: target.clone(),
            policy: policy.clone(),
            followed_at: parts.clock.now(),
        };
        let wanted = parts.catalogue.would_be_wanted(&models, &interest).await?;
        let facts = parts.facts(&wanted).await?;
        let versions = wanted.iter().map(|model| model.versions.len()).sum();
        self.preview(models.len(), versions, &plan(&wanted, &facts)).await
    }

    /// What a follow would fetch of what it lists if it had `policy`.
    ///
    /// # Errors
    /// When there is no such follow.
    pub async fn preview_update(&self, follow: &str, policy: &FollowPolicy) -> Result<BackfillPreview, SyncError> {
        let parts = &self.inner.parts;
        let follow = parts.catalogue.follow(follow).await?;
        let mut wanted = parts.catalogue.wanted(&Scope::Follows(vec![follow.id]), Extent::All).await?;
        for interest in wanted.iter_mut().flat_map(|model| &mut model.follows) {
            interest.policy = policy.clone();
        }
        let facts = parts.facts(&wanted).await?;
        let versions = wanted.iter().map(|model| model.versions.len()).sum();
        self.preview(wanted.len(), versions, &plan(&wanted, &facts)).await
    }

    async fn preview(&self, models: usize, versions: usize, plan: &Plan) -> Result<BackfillPreview, SyncError> {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let store = self.inner.parts.places.home().clone();
        Ok(BackfillPreview {
            listed_models: number(models),
            listed_versions: number(versions),
            files: number(plan.count(OperationKind::Fetch)),
            bytes: plan.fetch_bytes(),
            free_bytes: blocking(move || store.free_bytes().unwrap_or_default()).await?,
        })
    }
}
