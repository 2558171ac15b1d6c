//! Watching one job from whichever point its watcher knows it to, until it has ended.

use super::{Entry, Happening, Journal, Read};
use futures::Stream;
use futures::future::BoxFuture;
use std::sync::Arc;

/// What a watcher of a job sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched<R> {
    /// The job as it became, or as it is.
    State(R),
    /// Anything else that concerns it.
    Other(Arc<Entry>),
}

/// What there is to know of a kind of job.
pub struct JobKind<R, E> {
    /// Looks the job up.
    pub look_up: Box<dyn Fn() -> BoxFuture<'static, Result<R, E>> + Send + Sync>,
    pub concerns: Box<dyn Fn(&Happening) -> bool + Send + Sync>,
    /// The job, of happenings that say how it became.
    pub state: fn(&Happening) -> Option<R>,
    pub has_ended: fn(&R) -> bool,
}

impl<R, E> std::fmt::Debug for JobKind<R, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobKind").finish_non_exhaustive()
    }
}

impl Journal {
    /// How a job is at once, and then what happens to it, each with its sequence number, which never gets smaller; ends when
    /// the job has. With `after`, what happened behind that number in place of how it is, as far as that is known.
    ///
    /// # Errors
    /// When the job cannot be looked up.
    pub async fn watch_job<R, E>(
        &self,
        after: Option<u64>,
        kind: JobKind<R, E>,
    ) -> Result<impl Stream<Item = Result<(u64, Watched<R>), E>> + Send + use<R, E>, E>
    where
        R: Clone + Send + Sync + 'static,
        E: Send + 'static,
    {
        let JobKind { look_up, concerns, state, has_ended } = kind;
        // From before the job is looked up, so that no change between the two is missed.
        let begin = self.sequence();
        let first = look_up().await?;
        let mut reader = self.read_from(after.unwrap_or(begin), concerns);
        Ok(async_stream::stream! {
            let had_ended = has_ended(&first);
            if after.is_none() {
                yield Ok((begin, Watched::State(first.clone())));
                if had_ended {
                    return;
                }
            }
            loop {
                let read = match had_ended {
                    false => reader.next().await,
                    true => match reader.try_next() {
                        Some(read) => read,
                        // The watcher knows of the end, or it was in another life of the daemon.
                        None => {
                            yield Ok((reader.position(), Watched::State(first)));
                            return;
                        }
                    },
                };
                let job = match read {
                    Read::Lost => match look_up().await {
                        Ok(job) => job,
                        Err(error) => {
                            yield Err(error);
                            return;
                        }
                    },
                    Read::Happened(entry) => match state(&entry.happening) {
                        Some(job) => job,
                        None => {
                            yield Ok((entry.sequence, Watched::Other(entry)));
                            continue;
                        }
                    },
                };
                let ends = has_ended(&job);
                yield Ok((reader.position(), Watched::State(job)));
                if ends {
                    return;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::opened;
    use crate::{Catalogue, NewSyncRun, SyncCounts, SyncRunRecord, SyncRunUpdate};
    use futures::StreamExt as _;
    use paintbox_domain::generation::JobState;

    fn kind(catalogue: &Catalogue, uid: &str) -> JobKind<SyncRunRecord, crate::CatalogueError> {
        let (of, catalogue, uid) = (uid.to_owned(), catalogue.clone(), uid.to_owned());
        JobKind {
            look_up: Box::new(move || {
                let (catalogue, uid) = (catalogue.clone(), uid.clone());
                Box::pin(async move { catalogue.sync_run(&uid).await })
            }),
            concerns: Box::new(move |happening| matches!(happening, Happening::SyncRun(run) if run.uid == of)),
            state: |happening| match happening {
                Happening::SyncRun(run) => Some(run.clone()),
                _ => None,
            },
            has_ended: |run| run.state.is_terminal(),
        }
    }

    async fn states(catalogue: &Catalogue, after: Option<u64>) -> Vec<(u64, JobState)> {
        let watched = catalogue.journal().watch_job(after, kind(catalogue, "a")).await.unwrap();
        watched
            .map(|item| match item.unwrap() {
                (sequence, Watched::State(run)) => (sequence, run.state),
                other => panic!("{other:?}"),
            })
            .collect()
            .await
    }

    #[tokio::test]
    async fn a_watcher_sees_every_state_from_whichever_point_it_knows() {
        let (catalogue, _home) = opened().await;
        for uid in ["a", "b"] {
            let run = NewSyncRun { uid: uid.into(), request_id: None, scope_json: "{}".into() };
            catalogue.create_sync_run(&run).await.unwrap();
        }
        let watching = catalogue.journal().watch_job(None, kind(&catalogue, "a")).await.unwrap();
        for state in [JobState::Running, JobState::Succeeded] {
            let update = SyncRunUpdate { state, counts: SyncCounts::default(), failure: None };
            catalogue.update_sync_run("a", &update).await.unwrap();
        }
        let seen: Vec<_> = watching.map(|item| item.unwrap().0).collect().await;
        assert_eq!(seen, [2, 3, 4]);
        assert_eq!(states(&catalogue, None).await, [(4, JobState::Succeeded)]);
        assert_eq!(states(&catalogue, Some(2)).await, [(3, JobState::Running), (4, JobState::Succeeded)]);
        // What was seen already, and what nobody can have seen.
        assert_eq!(states(&catalogue, Some(4)).await, [(4, JobState::Succeeded)]);
        assert_eq!(states(&catalogue, Some(99)).await, [(4, JobState::Succeeded)]);
        assert!(catalogue.journal().watch_job(None, kind(&catalogue, "x")).await.is_err());
    }
}
