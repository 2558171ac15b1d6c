//! One look at what a follow lists: hub → catalogue.
//!
//! ```text
//! list (conditional) ─► record pages ─► end of the list reached? what is missing is asked for by name ─► mark, date
//! ```
//!
//! A look at a list that has not changed costs one conditional request. A list that has changed is read from its
//! newest page until a page brings nothing, or to its end if already the first one brings nothing, for then something
//! has left it. Read to its end, a list tells what vanished, which is believed only once the hub says so of the model
//! itself. Lists are read to their end at the first look and then weekly, because edits of old work do not bring it to
//! the front.

use crate::Parts;
use crate::error::SyncError;
use futures::StreamExt as _;
use paintbox_catalogue::{Follow, FollowCheck, ListRead, VersionId};
use paintbox_domain::follow::{Backfill, FollowTarget};
use paintbox_domain::hub::{HubModel, ModelState};
use paintbox_domain::{Classify as _, ErrorClass, Hub, Timestamp, reason};
use paintbox_hub::{HubError, ListRequest, Presence};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// How long a list may go without being read to its end.
const FULL_READ_INTERVAL: Duration = Duration::from_secs(7 * 24 * 3600);
/// Pages of an open list (a tag, a search) that are read at most: a thousand models on CivitAI.
const MOST_OPEN_PAGES: usize = 10;
/// How often a gate is asked, and how many of them in one look.
const GATE_INTERVAL_MS: i64 = 24 * 3600 * 1000;
const MOST_GATES: u32 = 20;
/// Models that are asked who their creator is, when the creator's own name leads nowhere.
const WITNESSES: usize = 3;

/// Why a list is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Its time has come.
    Due,
    /// Somebody asked: what no list tells is asked for now, too.
    ByHand,
}

/// What a look at a list found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) new_versions: Vec<VersionId>,
}

impl Parts {
    /// Looks at what `follow` lists, and records how that went; `next_at` says when the next look is due, given the
    /// outcome.
    pub(crate) async fn check(
        &self,
        follow: &Follow,
        occasion: Occasion,
        next_at: impl FnOnce(Result<(), &SyncError>) -> Timestamp,
    ) -> Result<Checked, SyncError> {
        let started = self.clock.now();
        let result = self.look(follow, occasion, started).await;
        let next_at = next_at(result.as_ref().map(|_| ()));
        let (outcome, result) = match result {
            Ok((read, checked)) => (Ok(read), Ok(checked)),
            Err(error) => (Err(error.failure()), Err(error)),
        };
        let check = FollowCheck { at: self.clock.now(), next_at, outcome };
        self.catalogue.record_follow_check(follow.id, &check).await?;
        result
    }

    async fn look(
        &self,
        follow: &Follow,
        occasion: Occasion,
        started: Timestamp,
    ) -> Result<(ListRead, Checked), SyncError> {
        let read = match self.read_list(follow, started).await {
            Err(SyncError::Hub(error)) if is_lost_creator(&error) => {
                let Some(renamed) = self.follow_new_name(follow).await? else { return Err(error.into()) };
                self.read_list(&renamed, started).await?
            }
            other => other?,
        };
        if follow.seeded_at.is_none() {
            self.learn_number(follow).await?;
        }
        self.ask_at_gates(follow, occasion, started).await?;
        // Until its list was read once, everything that was there is back catalogue, and only what is dated after the
        // follow is new.
        let new_versions = match read.changed {
            true => self.catalogue.new_versions(follow.id, started).await?,
            false => Vec::new(),
        };
        let count = u32::try_from(new_versions.len()).unwrap_or(u32::MAX);
        let list_read = ListRead { mark: read.mark, full: read.whole && read.thorough, new_versions: count };
        Ok((list_read, Checked { new_versions }))
    }

    async fn read_list(&self, follow: &Follow, started: Timestamp) -> Result<Read, SyncError> {
        let target = &follow.target;
        let thorough =
            !target.is_open() && follow.full_read_at.is_none_or(|read| started.since(read) >= FULL_READ_INTERVAL);
        let request = ListRequest {
            target: target.clone(),
            mature: follow.policy.admits_mature(),
            mark: follow.list_mark.clone().filter(|_| !thorough),
            known: match target.hub() {
                Hub::HuggingFace => self.catalogue.list_marks(target.hub(), follow.id).await?,
                // Its lists say everything of every model.
                Hub::Civitai => HashMap::new(),
            },
            creators: match target {
                FollowTarget::CivitaiFollowing => self.catalogue.creators_of_follow(follow.id).await?,
                _ => Vec::new(),
            },
        };
        let mut read = Read { thorough, ..Read::default() };
        let mut listed: HashSet<String> = HashSet::new();
        let mut waiting: Vec<HubModel> = Vec::new();
        // A renamed repository comes under its new id; it must be known as the old one before it is recorded.
        let may_be_renamed = target.hub() == Hub::HuggingFace && follow.seeded_at.is_some();
        let most_pages = match (target.is_open(), follow.seeded_at, follow.policy.backfill) {
            (false, ..) => usize::MAX,
            (true, None, Backfill::None) => 1,
            (true, ..) => MOST_OPEN_PAGES,
        };
        let mut pages = self.hubs.list(request);
        let mut number = 0;
        // A first page that is not as it was and still brings nothing has lost something: where to, the rest tells.
        let mut to_the_end = thorough;
        loop {
            let Some(page) = pages.next().await.transpose()? else {
                read.whole = !target.is_open();
                break;
            };
            number += 1;
            if page.unchanged_since_mark {
                break;
            }
            if number == 1 {
                read.mark = page.mark;
                self.must_be_theirs(follow, &page.models).await?;
            }
            listed.extend(page.unchanged);
            listed.extend(page.models.iter().map(|model| model.external_id.clone()));
            let brings_news = if may_be_renamed {
                waiting.extend(page.models);
                true
            } else {
                self.record(follow, &page.models, started).await?
            };
            read.changed |= brings_news;
            to_the_end |= number == 1 && !brings_news && !target.is_open();
            if number >= most_pages || (page.more && !brings_news && !to_the_end) {
                break;
            }
        }
        drop(pages);
        let mut missing = Vec::new();
        if read.whole {
            missing.extend(self.catalogue.listed_by_follow(follow.id).await?);
            if thorough {
                // What left the list before may have changed or gone since, and no list would tell.
                missing.extend(self.catalogue.left_by_follow(follow.id).await?);
            }
            missing.retain(|id| !listed.contains(id));
        }
        if !missing.is_empty() {
            read.changed = true;
            self.look_for(follow, &missing).await?;
        }
        read.changed |= self.record(follow, &waiting, started).await?;
        Ok(read)
    }

    /// Records a page; whether it brought anything that was not known.
    async fn record(&self, follow: &Follow, models: &[HubModel], since: Timestamp) -> Result<bool, SyncError> {
        if models.is_empty() {
            return Ok(false);
        }
        let ids = self.catalogue.record_models(models, Some(follow.id)).await?;
        Ok(self.catalogue.any_changed_since(&ids, since).await?)
    }

    /// What became of models that a whole list no longer shows: only the hub's own word on each counts.
    async fn look_for(&self, follow: &Follow, missing: &[String]) -> Result<(), SyncError> {
        let hub = follow.target.hub();
        let mature = follow.policy.admits_mature();
        let found = self.hubs.look_again(hub, missing, mature).await?;
        let mut left = Vec::new();
        for (asked, presence) in missing.iter().zip(found) {
            match presence {
                Presence::Gone { external_id } => {
                    if self.catalogue.record_model_gone(hub, &external_id).await? {
                        tracing::info!(follow = %follow.target, model = external_id, "the hub has it no more; what is known stays");
                    }
                }
                Presence::OutOfSight { external_id } => self.out_of_sight(follow, &external_id).await?,
                Presence::Here(model) if model.external_id != *asked => {
                    tracing::info!(former = asked, model = model.external_id, "has another name now");
                    self.catalogue.rename_model(hub, asked, &model.external_id).await?;
                }
                Presence::Here(model) => {
                    self.catalogue.record_models(std::slice::from_ref(&model), None).await?;
                    left.push(asked.clone());
                    if model.state == ModelState::Published {
                        tracing::info!(follow = %follow.target, model = asked, "is not on the list any more");
                    }
                }
            }
        }
        Ok(self.catalogue.record_left(follow.id, &left).await?)
    }

    /// The hub tells nobody whether a repository is missing or private. One that was public is gone for the public
    /// either way; one that was private is only out of the sight of somebody who logged out.
    async fn out_of_sight(&self, follow: &Follow, external_id: &str) -> Result<(), SyncError> {
        let hub = follow.target.hub();
        let Some(id) = self.catalogue.find_model(hub, external_id).await? else { return Ok(()) };
        let page = self.catalogue.model_page_at(id, self.clock.now()).await?;
        let was_private = page.and_then(|page| page.raw).is_some_and(|raw| paintbox_hub::is_private(hub, &raw));
        if !was_private && self.catalogue.record_model_gone(hub, external_id).await? {
            tracing::info!(follow = %follow.target, model = external_id, "cannot be seen any more; what is known stays");
        }
        Ok(())
    }

    /// A name that its creator gave up may be somebody else's by now.
    async fn must_be_theirs(&self, follow: &Follow, models: &[HubModel]) -> Result<(), SyncError> {
        let Some(name) = follow.target.creator() else { return Ok(()) };
        let listed: HashSet<&str> = models.iter().filter_map(|model| model.creator_id.as_deref()).collect();
        if listed.is_empty() {
            return Ok(());
        }
        let known = self.catalogue.creator_ids_of_follow(follow.id).await?;
        if known.is_empty() || known.iter().any(|id| listed.contains(id.as_str())) {
            return Ok(());
        }
        tracing::warn!(follow = %follow.target, "the name belongs to somebody else now");
        Err(SyncError::Hub(HubError::creator_not_found(follow.target.hub(), name)))
    }

    /// The follow under the name that its creator has now, if the hub tells it.
    async fn follow_new_name(&self, follow: &Follow) -> Result<Option<Follow>, SyncError> {
        let hub = follow.target.hub();
        let known = self.catalogue.listed_by_follow(follow.id).await?;
        let name = match self.name_by_number(follow).await? {
            Some(name) => Some(name),
            None => self.name_by_models(follow, &known).await?,
        };
        let Some(target) = name.and_then(|name| follow.target.renamed(&name)) else { return Ok(None) };
        if hub == Hub::HuggingFace {
            // Repositories carry their owner's name; each is known as it was called before.
            for external_id in &known {
                if let Ok(model) = self.hubs.model(hub, external_id, None).await
                    && model.external_id != *external_id
                {
                    self.catalogue.rename_model(hub, external_id, &model.external_id).await?;
                }
            }
        }
        tracing::info!(former = %follow.target, now = %target, "the creator has another name now");
        self.catalogue.rename_follow(follow.id, &target).await?;
        Ok(Some(Follow { target, list_mark: None, ..follow.clone() }))
    }
}

impl Parts {
    /// A gate that opens shows in no list, so those that something wanted waits behind are asked once a day, which is
    /// often enough for what a person decides.
    async fn ask_at_gates(&self, follow: &Follow, occasion: Occasion, now: Timestamp) -> Result<(), SyncError> {
        let hub = follow.target.hub();
        if hub != Hub::HuggingFace {
            return Ok(());
        }
        let asked_until = match occasion {
            Occasion::ByHand => now,
            Occasion::Due => Timestamp::from_unix_ms(now.unix_ms() - GATE_INTERVAL_MS),
        };
        for external_id in self.catalogue.locked_models(follow.id, asked_until, MOST_GATES).await? {
            let granted = match self.hubs.check_access(hub, &external_id).await {
                Ok(()) => Some(true),
                Err(error) if error.class().is_retryable() => return Ok(()),
                Err(error) if error.class() == ErrorClass::AccessDenied => Some(false),
                // Without a token nobody is let in, which says nothing of the account.
                Err(_) => None,
            };
            self.catalogue.record_access(hub, &external_id, granted).await?;
        }
        Ok(())
    }

    /// Keeps the hub's number for a creator whose models do not tell it, such as one who shows none at present: their
    /// next name could not be found out otherwise.
    async fn learn_number(&self, follow: &Follow) -> Result<(), SyncError> {
        let Some(name) = follow.target.creator() else { return Ok(()) };
        if !self.catalogue.creator_ids_of_follow(follow.id).await?.is_empty() {
            return Ok(());
        }
        match self.hubs.creator_id(follow.target.hub(), name).await {
            Ok(Some(id)) => Ok(self.catalogue.record_creator_id(follow.id, &id).await?),
            // Worth one question, and no failure.
            Ok(None) => Ok(()),
            Err(error) => {
                tracing::info!(follow = %follow.target, reason = error.reason(), "its creator's number is not known");
                Ok(())
            }
        }
    }

    /// By the hub's number for the creator, where it has one.
    async fn name_by_number(&self, follow: &Follow) -> Result<Option<String>, SyncError> {
        let ids = self.catalogue.creator_ids_of_follow(follow.id).await?;
        // Models that other people have brought onto the list would tell other people's names.
        let [id] = &ids[..] else { return Ok(None) };
        let name = self.hubs.creator_name(follow.target.hub(), id).await?;
        Ok(name.filter(|name| Some(name.as_str()) != follow.target.creator()))
    }

    /// By the creator's own models, which show the new name.
    async fn name_by_models(&self, follow: &Follow, known: &[String]) -> Result<Option<String>, SyncError> {
        for external_id in known.iter().take(WITNESSES) {
            match self.hubs.model(follow.target.hub(), external_id, None).await {
                Ok(model) => {
                    let name = model.creator.filter(|name| Some(name.as_str()) != follow.target.creator());
                    if name.is_some() {
                        return Ok(name);
                    }
                }
                Err(error) if error.reason() == reason::MODEL_NOT_FOUND => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// What was read of a list.
#[derive(Debug, Default)]
struct Read {
    mark: Option<String>,
    /// To its end.
    whole: bool,
    /// As if nothing were known of it.
    thorough: bool,
    changed: bool,
}

fn is_lost_creator(error: &HubError) -> bool {
    error.reason() == reason::CREATOR_NOT_FOUND
}
