//! `EventService`: the journal as one stream.

use crate::convert::sync_run;
use crate::download::download;
use crate::generation::{generation_message, progress_message};
use crate::server::{Api, StreamOf, bounded};
use crate::status::{invalid, status};
use crate::watching::{self, Watch};
use futures::Stream;
use paintbox_catalogue::{DownloadId, DownloadRecord, Happening, Read};
use paintbox_proto::v1;
use paintbox_proto::v1::EventTopic;
use paintbox_proto::v1::event::Event;
use paintbox_proto::v1::event_service_server::EventService;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// That models have changed is told no more often.
const BETWEEN_MODELS: Duration = Duration::from_secs(1);
/// Downloads whose rows a stream keeps, to tell progress of; those that are under way are far fewer.
const MOST_KEPT_DOWNLOADS: usize = 256;

/// What a happening is about; none for what only the watch of one job tells.
fn topic(happening: &Happening) -> Option<EventTopic> {
    Some(match happening {
        Happening::Generation(_) | Happening::GenerationQueue { .. } | Happening::GenerationProgress { .. } => {
            EventTopic::Generations
        }
        Happening::SyncRun(_) => EventTopic::SyncRuns,
        Happening::Download(_) | Happening::DownloadProgress { .. } => EventTopic::Downloads,
        Happening::Follow(_) | Happening::FollowDeleted(_) => EventTopic::Follows,
        Happening::Models => EventTopic::Models,
        Happening::FileFailed { .. } | Happening::FileProgress { .. } => return None,
    })
}

fn topics(asked: &[i32]) -> Result<BTreeSet<EventTopic>, Status> {
    const ALL: [EventTopic; 5] =
        [EventTopic::Generations, EventTopic::SyncRuns, EventTopic::Downloads, EventTopic::Follows, EventTopic::Models];
    if asked.is_empty() {
        return Ok(ALL.into());
    }
    let known = |number: &i32| EventTopic::try_from(*number).ok().filter(|topic| *topic != EventTopic::Unspecified);
    let found =
        asked.iter().map(|number| known(number).ok_or_else(|| invalid("topics", format!("{number} is no topic"))));
    found.collect()
}

/// One reader's stream.
struct Events {
    api: Api,
    topics: BTreeSet<EventTopic>,
    /// As they were told last.
    downloads: HashMap<DownloadId, DownloadRecord>,
}

impl Events {
    fn wants(&self, topic: EventTopic) -> bool {
        self.topics.contains(&topic)
    }

    /// Everything under way.
    async fn snapshot(&mut self) -> Result<Vec<Event>, Status> {
        let mut events = vec![Event::Snapshot(v1::Snapshot {})];
        if self.wants(EventTopic::Generations) {
            for record in self.api.catalogue.open_generations().await.map_err(|error| status(&error))? {
                events.push(Event::Generation(generation_message(&record)));
                if let Some(progress) = self.api.generations.progress(&record.uid) {
                    events.push(named_progress(&record.uid, progress_message(progress)));
                }
            }
        }
        if self.wants(EventTopic::SyncRuns) {
            let runs = self.api.sync.open_runs().await.map_err(|error| status(&error))?;
            events.extend(runs.iter().map(|run| Event::SyncRun(sync_run(run))));
        }
        if self.wants(EventTopic::Downloads) {
            let under_way = self.api.sync.downloads_under_way().await.map_err(|error| status(&error))?;
            for (record, progress) in under_way {
                events.push(Event::Download(download(&record, Some(progress))));
                self.keep(record);
            }
        }
        Ok(events)
    }

    fn keep(&mut self, record: DownloadRecord) {
        if record.ended_at.is_some() {
            self.downloads.remove(&record.id);
        } else if self.downloads.len() < MOST_KEPT_DOWNLOADS || self.downloads.contains_key(&record.id) {
            self.downloads.insert(record.id, record);
        }
    }

    /// What a happening is on the wire. None where there is nothing to say of it any more.
    async fn event(&mut self, happening: &Happening) -> Result<Option<Event>, Status> {
        Ok(match happening {
            Happening::Generation(record) => Some(Event::Generation(generation_message(record))),
            Happening::GenerationQueue { paused } => {
                Some(Event::QueueChanged(v1::GenerationQueueChanged { paused: *paused }))
            }
            Happening::GenerationProgress { uid, progress } => Some(named_progress(uid, progress_message(*progress))),
            Happening::SyncRun(run) => Some(Event::SyncRun(sync_run(run))),
            Happening::Download(record) => {
                self.keep(record.as_ref().clone());
                Some(Event::Download(download(record, None)))
            }
            Happening::DownloadProgress { id, progress } => {
                let known = match self.downloads.get(id) {
                    Some(record) => record.clone(),
                    None => self.api.sync.download(*id).await.map_err(|error| status(&error))?,
                };
                let event = Event::Download(download(&known, Some(*progress)));
                self.keep(known);
                Some(event)
            }
            Happening::Follow(id) => {
                let follow = self.api.catalogue.follow_by_id(*id).await.map_err(|error| status(&error))?;
                follow.map(|follow| Event::Follow(self.api.follow_message(&follow)))
            }
            Happening::FollowDeleted(name) => Some(Event::DeletedFollow(format!("follows/{name}"))),
            Happening::Models => Some(Event::ModelsChanged(v1::ModelsChanged {})),
            Happening::FileFailed { .. } | Happening::FileProgress { .. } => None,
        })
    }
}

fn named_progress(uid: &str, progress: v1::GenerationProgress) -> Event {
    Event::GenerationProgress(v1::NamedGenerationProgress {
        name: format!("generations/{uid}"),
        progress: Some(progress),
    })
}

impl Api {
    fn all_events(
        &self,
        topics: BTreeSet<EventTopic>,
        after: Option<u64>,
    ) -> impl Stream<Item = Result<(u64, Event), Status>> + Send + use<> {
        let journal = self.catalogue.journal();
        // From before anything is looked up, so that no change between the two is missed.
        let begin = journal.sequence();
        let wanted = topics.clone();
        let mut reader = journal.read_from(after.unwrap_or(begin), move |happening| {
            topic(happening).is_some_and(|topic| wanted.contains(&topic))
        });
        let mut events = Events { api: self.clone(), topics, downloads: HashMap::new() };
        async_stream::stream! {
            let mut is_lost = after.is_none();
            let mut models_due = Instant::now();
            let mut models_changed = false;
            loop {
                if std::mem::take(&mut is_lost) {
                    match events.snapshot().await {
                        Ok(snapshot) => for event in snapshot {
                            yield Ok((reader.position(), event));
                        },
                        Err(error) => {
                            yield Err(error);
                            return;
                        }
                    }
                }
                let read = tokio::select! {
                    read = reader.next() => read,
                    () = tokio::time::sleep_until(models_due), if models_changed => {
                        models_changed = false;
                        models_due = Instant::now() + BETWEEN_MODELS;
                        yield Ok((reader.position(), Event::ModelsChanged(v1::ModelsChanged {})));
                        continue;
                    }
                };
                match read {
                    Read::Lost => is_lost = true,
                    // Told when it is due, which is at once where it was not told for a while.
                    Read::Happened(entry) if entry.happening == Happening::Models => models_changed = true,
                    Read::Happened(entry) => match events.event(&entry.happening).await {
                        Ok(Some(event)) => yield Ok((entry.sequence, event)),
                        Ok(None) => {}
                        Err(error) => {
                            yield Err(error);
                            return;
                        }
                    },
                }
            }
        }
    }
}

#[tonic::async_trait]
impl EventService for Api {
    type WatchEventsStream = StreamOf<v1::Event>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let v1::WatchEventsRequest { topics: asked, after_sequence, epoch } = request.into_inner();
        let after = Watch { after_sequence, epoch }.after(&self.facts.epoch)?;
        let events = self.all_events(topics(&asked)?, after);
        let message = |sequence, epoch, event| v1::Event { sequence, epoch, event: Some(event) };
        let events = watching::told(events, self.facts.epoch.clone(), Event::Heartbeat(v1::Heartbeat {}), message);
        Ok(Response::new(bounded(events, self.shutdown.clone())))
    }
}
