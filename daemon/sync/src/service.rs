//! The handle that the API holds: plan, start a run, watch it, cancel it.

use crate::Parts;
use crate::check::Occasion;
use crate::downloads::Downloads;
use crate::error::SyncError;
use crate::feed::{Feed, SyncEvent};
use crate::library::Libraries;
use crate::manners::Manners;
use crate::plan::Plan;
use crate::run::check_failed;
use crate::schedule;
use crate::settings::Settings;
use arc_swap::ArcSwap;
use futures::{Stream, StreamExt as _};
use paintbox_catalogue::{
    Extent, Follow, FollowId, Happening, JobKind, NewSyncRun, ObservationId, PullId, Scope, SyncCounts, SyncRunPage,
    SyncRunQuery, SyncRunRecord, SyncRunUpdate, Watched,
};
use paintbox_domain::generation::JobState;
use paintbox_domain::hub::ModelState;
use paintbox_domain::{Classify as _, Failure, Hub, ModelRef, Secret, Timestamp};
use paintbox_hub::HubHealth;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A new follow's list was just read, so it is first looked at again after this: time to look at its plan.
pub(crate) const FIRST_CHECK_DELAY: Duration = Duration::from_secs(300);
/// When a follow would be looked at again if syncing by itself were switched on.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(3600);

/// What a run is for. Both lists empty: everything that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncRequest {
    /// Follows by name or target.
    pub follows: Vec<String>,
    /// Models, versions or files to pull; they stay wanted.
    pub references: Vec<String>,
    pub request_id: Option<String>,
}

/// A cheap handle to the sync of this daemon.
#[derive(Debug, Clone)]
pub struct Sync {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) parts: Parts,
    pub(crate) settings: ArcSwap<Settings>,
    runs: Mutex<HashMap<String, Running>>,
    /// Held by the run that looks and plans.
    turn: tokio::sync::Mutex<()>,
    pub(crate) shutdown: CancellationToken,
    /// Wakes the reconciler before its time.
    pub(crate) nudge: tokio::sync::Notify,
    /// Wakes those who rest, when other settings hold.
    pub(crate) adopted: tokio::sync::Notify,
    /// Wakes who watches the stores.
    pub(crate) volumes_changed: tokio::sync::Notify,
    pub(crate) downloads: Downloads,
    pub(crate) libraries: Libraries,
    pub(crate) manners: Manners,
    /// Files at rest that their disk did not give; they are told once, and not tried again by themselves.
    pub(crate) unreadable: Mutex<HashSet<ObservationId>>,
    /// Held by whoever tells of new versions, so that nothing is told twice.
    pub(crate) telling: tokio::sync::Mutex<()>,
    pub(crate) tasks: TaskTracker,
}

#[derive(Debug, Clone)]
struct Running {
    feed: Feed,
    cancel: CancellationToken,
    /// Cancelled when nothing is done for it any more.
    ended: CancellationToken,
}

impl Sync {
    #[must_use]
    pub fn new(parts: Parts, settings: Settings) -> Self {
        let this = Self {
            inner: Arc::new(Inner {
                parts,
                settings: ArcSwap::from_pointee(settings),
                runs: Mutex::default(),
                turn: tokio::sync::Mutex::default(),
                shutdown: CancellationToken::new(),
                nudge: tokio::sync::Notify::new(),
                adopted: tokio::sync::Notify::new(),
                volumes_changed: tokio::sync::Notify::new(),
                downloads: Downloads::default(),
                libraries: Libraries::default(),
                manners: Manners::default(),
                unreadable: Mutex::default(),
                telling: tokio::sync::Mutex::default(),
                tasks: TaskTracker::new(),
            }),
        };
        this.take_to_parts(&this.settings());
        this
    }

    /// When a follow is looked at by itself next; none when syncing by itself is switched off.
    #[must_use]
    pub fn next_check(&self, follow: &Follow) -> Option<Timestamp> {
        self.settings().sync_interval?;
        Some(follow.next_check_at.unwrap_or_else(|| follow.created_at.plus(FIRST_CHECK_DELAY)))
    }

    /// Looks at what a follow lists, now.
    pub(crate) async fn check(&self, follow: &Follow, occasion: Occasion) -> Result<(), SyncError> {
        let (parts, settings) = (&self.inner.parts, self.settings());
        let (now, interval) = (parts.clock.now(), settings.sync_interval.unwrap_or(DEFAULT_INTERVAL));
        let is_first = follow.seeded_at.is_none();
        let checked = parts
            .check(follow, occasion, |outcome| match outcome {
                Ok(()) if is_first => now.plus(FIRST_CHECK_DELAY),
                Ok(()) => schedule::after_success(follow.id, now, interval),
                Err(error) => schedule::after_failure(follow.id, now, interval, follow.failures, error),
            })
            .await?;
        let announcers: Vec<String> = settings.announcers.iter().map(|announcer| announcer.name().to_owned()).collect();
        parts.catalogue.add_notices(follow.id, &checked.new_versions, &announcers).await?;
        // There may be something to tell, and the next check may be due before anything else.
        self.inner.nudge.notify_one();
        Ok(())
    }

    /// Asks the hubs what is new and plans, without fetching files. A hub that cannot be asked is planned for with
    /// what was last known of it; its failure is on record with the follow.
    ///
    /// # Errors
    /// When there is no such follow, or the catalogue fails.
    pub async fn plan(&self, follow: Option<&str>) -> Result<Plan, SyncError> {
        let parts = &self.inner.parts;
        self.look_at_volumes().await?;
        let follows = match follow {
            Some(name) => vec![parts.catalogue.follow(name).await?],
            None => parts.catalogue.follows().await?,
        };
        for follow in &follows {
            if let Err(error) = self.check(follow, Occasion::ByHand).await {
                tracing::warn!(follow = %follow.target, reason = error.reason(), "cannot look at it now");
            }
        }
        let scope = match follow {
            Some(_) => Scope::Follows(follows.iter().map(|follow| follow.id).collect()),
            None => Scope::Everything,
        };
        parts.plan(&scope, Extent::All).await
    }

    /// Starts a run and returns its row.
    ///
    /// # Errors
    /// When a follow or reference leads nowhere, or the hub cannot be asked about a reference.
    pub async fn start(&self, request: &SyncRequest) -> Result<SyncRunRecord, SyncError> {
        let parts = &self.inner.parts;
        let mut follows = Vec::new();
        for name in &request.follows {
            follows.push(parts.catalogue.follow(name).await?);
        }
        let mut pulls = Vec::new();
        for reference in &request.references {
            pulls.push(self.pull(reference).await?);
        }
        let everything = follows.is_empty() && pulls.is_empty();
        if everything {
            follows = parts.catalogue.follows().await?;
        }
        let scope = serde_json::json!({ "follows": request.follows, "references": request.references });
        let scopes = if everything {
            vec![Scope::Everything]
        } else {
            let follows = Scope::Follows(follows.iter().map(|follow| follow.id).collect());
            [follows, Scope::Pulls(pulls)].into_iter().filter(|scope| !is_empty(scope)).collect()
        };
        self.begin(&scope, request.request_id.clone(), Work::Look { follows, scopes }).await
    }

    /// Starts a run that carries out what a check of a follow led to.
    pub(crate) async fn start_automatic(&self, follow: FollowId, plan: Plan) -> Result<SyncRunRecord, SyncError> {
        let scope = serde_json::json!({ "automatic": true, "follow": follow.get() });
        self.begin(&scope, None, Work::Carry(plan)).await
    }

    async fn begin(
        &self,
        scope: &serde_json::Value,
        request_id: Option<String>,
        work: Work,
    ) -> Result<SyncRunRecord, SyncError> {
        let new_run = NewSyncRun { uid: uuid::Uuid::new_v4().to_string(), request_id, scope_json: scope.to_string() };
        let record = self.inner.parts.catalogue.create_sync_run(&new_run).await?;
        if record.uid != new_run.uid {
            return Ok(record);
        }
        let feed = Feed::of(self.inner.parts.catalogue.journal(), &record.uid);
        let running = Running { feed, cancel: self.inner.shutdown.child_token(), ended: CancellationToken::new() };
        self.runs().insert(record.uid.clone(), running.clone());
        let this = self.clone();
        let uid = record.uid.clone();
        self.inner.tasks.spawn(async move { this.work(&uid, work, &running).await });
        Ok(record)
    }

    /// Makes a reference wanted: looks it up on its hub, keeps what the hub says, and pins it.
    pub(crate) async fn pull(&self, text: &str) -> Result<PullId, SyncError> {
        let parts = &self.inner.parts;
        let mut reference: ModelRef = text.parse()?;
        // A digest of what is known already says which version and file; the hub tells how they are by now.
        let mut known = None;
        if reference.hub().is_none() {
            // A name or digest of a model that is known already stands for its hub reference.
            let resolved = parts.catalogue.resolve(&reference).await;
            match (resolved, &reference) {
                (Ok(resolved), _) => {
                    reference = parts.catalogue.model(resolved.model).await?.summary.reference;
                    known = resolved.version.map(|version| (version, resolved.file));
                }
                (Err(_), ModelRef::Digest(_) | ModelRef::ShortDigest(_)) => {}
                (Err(error), ModelRef::Name(_)) => return Err(error.into()),
                (Err(_), _) => return Err(SyncError::NotOnAHub { reference: text.to_owned() }),
            }
        }
        let found = parts.hubs.resolve(&reference).await?;
        if found.model.state == ModelState::Gated {
            // Better told now, with what to do about it, than by a transfer that fails an hour later.
            parts.hubs.check_access(found.model.hub, &found.model.external_id).await?;
        }
        let model = parts.record_resolved(&reference, &found.model).await?;
        if let Some((version, file)) = known {
            return Ok(parts.catalogue.add_pull(model, Some(version), file).await?.id);
        }
        let detail = parts.catalogue.model(model).await?;
        let name = || detail.summary.reference.to_string();
        let version = match &found.version {
            Some(external_id) => Some(
                detail
                    .versions
                    .iter()
                    .find(|version| version.external_id == *external_id)
                    .ok_or_else(|| SyncError::NoSuchVersion { model: name(), version: external_id.clone() })?,
            ),
            None => detail.versions.first(),
        };
        let file = match (&found.file, version) {
            (Some(external_id), Some(version)) => Some(
                version
                    .files
                    .iter()
                    .find(|file| file.external_id == *external_id)
                    .ok_or_else(|| SyncError::NoSuchFile { model: name(), file: external_id.clone() })?
                    .id,
            ),
            _ => None,
        };
        Ok(parts.catalogue.add_pull(model, version.map(|version| version.id), file).await?.id)
    }

    async fn work(&self, uid: &str, work: Work, running: &Running) {
        let outcome = self.carry_out(uid, work, running).await;
        let update = match outcome {
            Ok(counts) if running.cancel.is_cancelled() => {
                SyncRunUpdate { state: JobState::Cancelled, counts, failure: None }
            }
            Ok(counts) => SyncRunUpdate { state: JobState::Succeeded, counts, failure: None },
            Err(SyncError::Cancelled) => {
                SyncRunUpdate { state: JobState::Cancelled, counts: SyncCounts::default(), failure: None }
            }
            Err(error) => {
                SyncRunUpdate { state: JobState::Failed, counts: SyncCounts::default(), failure: Some(error.failure()) }
            }
        };
        if let Err(error) = self.inner.parts.catalogue.update_sync_run(uid, &update).await {
            tracing::error!(%error, uid, "cannot record the end of a sync run");
        }
        self.runs().remove(uid);
        running.ended.cancel();
        // Whoever waited for the run need not wait for this. What is not told now is told after the next run.
        tokio::select! {
            told = self.tell() => {
                if let Err(error) = told {
                    tracing::error!(%error, "cannot tell of new versions");
                }
            }
            () = self.inner.shutdown.cancelled() => {}
        }
    }

    async fn carry_out(&self, uid: &str, work: Work, running: &Running) -> Result<SyncCounts, SyncError> {
        let parts = &self.inner.parts;
        let turn = tokio::select! {
            turn = self.inner.turn.lock() => turn,
            () = running.cancel.cancelled() => return Err(SyncError::Cancelled),
        };
        let started = SyncRunUpdate { state: JobState::Running, counts: SyncCounts::default(), failure: None };
        parts.catalogue.update_sync_run(uid, &started).await?;
        let at_once = matches!(work, Work::Look { .. });
        let mut counts = SyncCounts::default();
        let plans = match work {
            Work::Carry(plan) => vec![plan],
            Work::Look { follows, scopes } => {
                counts.failed += self.look(&follows, running).await?;
                let mut plans = Vec::new();
                for scope in &scopes {
                    plans.push(parts.plan(scope, Extent::All).await?);
                }
                plans
            }
        };
        // Others may look and plan while this one waits for its files.
        drop(turn);
        for plan in &plans {
            counts.add(self.execute(plan, &running.feed, &running.cancel, at_once).await?);
        }
        Ok(counts)
    }

    /// Looks at each of `follows`; how many of them could not be looked at.
    async fn look(&self, follows: &[Follow], running: &Running) -> Result<u32, SyncError> {
        self.look_at_volumes().await?;
        let mut failed = 0;
        for follow in follows {
            let checked = tokio::select! {
                checked = self.check(follow, Occasion::ByHand) => checked,
                () = running.cancel.cancelled() => return Err(SyncError::Cancelled),
            };
            if let Err(error) = checked {
                tracing::warn!(follow = %follow.target, reason = error.reason(), "cannot look at it now");
                running.feed.failed(check_failed(follow, error.failure()));
                failed += 1;
            }
        }
        Ok(failed)
    }

    /// # Errors
    /// When there is no such run.
    pub async fn run(&self, uid: &str) -> Result<SyncRunRecord, SyncError> {
        Ok(self.inner.parts.catalogue.sync_run(uid).await?)
    }

    /// Newest first.
    ///
    /// # Errors
    /// When the catalogue fails or the token is not of this listing.
    pub async fn list_runs(&self, query: &SyncRunQuery) -> Result<SyncRunPage, SyncError> {
        Ok(self.inner.parts.catalogue.sync_runs(query).await?)
    }

    /// Stops a run after the bytes in flight. A run that has ended stays as it is.
    ///
    /// # Errors
    /// When there is no such run.
    pub async fn cancel(&self, uid: &str) -> Result<SyncRunRecord, SyncError> {
        let running = self.runs().get(uid).cloned();
        if let Some(running) = running {
            running.cancel.cancel();
            running.ended.cancelled().await;
        }
        self.run(uid).await
    }

    /// The current state at once, then every change, each with its sequence number; ends with the run. With `after`, what
    /// happened behind that number in place of the current state, as far as it is known.
    ///
    /// # Errors
    /// When there is no such run.
    pub async fn watch(
        &self,
        uid: &str,
        after: Option<u64>,
    ) -> Result<impl Stream<Item = Result<(u64, SyncEvent), SyncError>> + Send + use<>, SyncError> {
        let (of_it, catalogue, looked_up) = (uid.to_owned(), self.inner.parts.catalogue.clone(), uid.to_owned());
        let kind = JobKind {
            look_up: Box::new(move || {
                let (catalogue, uid) = (catalogue.clone(), looked_up.clone());
                Box::pin(async move { Ok(catalogue.sync_run(&uid).await?) })
            }),
            concerns: Box::new(move |happening| match happening {
                Happening::SyncRun(record) => record.uid == of_it,
                Happening::FileFailed { run, .. } | Happening::FileProgress { run, .. } => *run == of_it,
                _ => false,
            }),
            state: |happening| match happening {
                Happening::SyncRun(record) => Some(record.clone()),
                _ => None,
            },
            has_ended: |record: &SyncRunRecord| record.state.is_terminal(),
        };
        let watched = self.inner.parts.catalogue.journal().watch_job::<_, SyncError>(after, kind).await?;
        Ok(watched.filter_map(async |item| match item {
            Ok((sequence, Watched::State(record))) => Some(Ok((sequence, SyncEvent::Run(record)))),
            Ok((sequence, Watched::Other(entry))) => match &entry.happening {
                Happening::FileFailed { failed, .. } => Some(Ok((sequence, SyncEvent::Failed(failed.clone())))),
                Happening::FileProgress { progress, .. } => Some(Ok((sequence, SyncEvent::Progress(progress.clone())))),
                _ => None,
            },
            Err(error) => Some(Err(error)),
        }))
    }

    /// Runs that have not ended, as they are.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn open_runs(&self) -> Result<Vec<SyncRunRecord>, SyncError> {
        let uids: Vec<String> = self.runs().keys().cloned().collect();
        let mut runs = Vec::new();
        for uid in uids {
            runs.push(self.run(&uid).await?);
        }
        runs.retain(|run| !run.state.is_terminal());
        Ok(runs)
    }

    #[must_use]
    pub fn running_runs(&self) -> usize {
        self.runs().len()
    }

    /// The account behind the token that is now in use for `hub`. Downloads that failed without it are tried again.
    ///
    /// # Errors
    /// When the hub refuses the token or cannot be asked.
    pub async fn check_token(&self, hub: Hub, token: Secret) -> Result<String, SyncError> {
        let hubs = &self.inner.parts.hubs;
        hubs.set_token(hub, Some(token));
        let account = hubs.account(hub).await?;
        self.inner.parts.catalogue.requeue_failed_downloads(hub).await?;
        self.hand_out().await?;
        Ok(account)
    }

    /// How a hub has been answering.
    #[must_use]
    pub fn hub_health(&self, hub: Hub) -> HubHealth {
        self.inner.parts.hubs.health(hub)
    }

    pub fn set_token(&self, hub: Hub, token: Option<Secret>) {
        self.inner.parts.hubs.set_token(hub, token);
    }

    /// Stops runs after the bytes in flight and waits for them.
    pub async fn shut_down(&self) {
        self.inner.shutdown.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn runs(&self) -> std::sync::MutexGuard<'_, HashMap<String, Running>> {
        self.inner.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a run does.
enum Work {
    /// Look at these follows, plan for these scopes, and carry that out.
    Look { follows: Vec<Follow>, scopes: Vec<Scope> },
    /// Carry out a plan that was just made.
    Carry(Plan),
}

fn is_empty(scope: &Scope) -> bool {
    match scope {
        Scope::Everything => false,
        Scope::Follows(follows) => follows.is_empty(),
        Scope::Pulls(pulls) => pulls.is_empty(),
    }
}

/// The failure of an error, for callers that keep it as data.
impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        error.failure()
    }
}
