//! `GenerationService`.

use crate::caller::Caller;
use crate::convert::{time, timestamp};
use crate::leaving::Leaving;
use crate::names;
use crate::names::parse_job;
use crate::server::{Api, StreamOf, bounded, page_size};
use crate::spec::{spec, spec_message};
use crate::states;
use crate::status::{error_message, invalid, status};
use crate::watching::{self, Watch};
use futures::{Stream, StreamExt as _};
use paintbox_catalogue::{GenerationQuery, GenerationRecord, by_client};
use paintbox_domain::generation::{JobState, PaintPreview, Progress};
use paintbox_generation::{
    Ask, GenerationEvent, HistoryFilter, QueueState, preview_jpeg, spec_from_json, warnings_from_json,
};
use paintbox_proto::v1;
use paintbox_proto::v1::generation_event::Event;
use paintbox_proto::v1::generation_service_server::GenerationService;
use std::collections::HashMap;
use tonic::{Extensions, Request, Response, Status};

/// A preview is made smaller until it fits.
const LARGEST_PREVIEW_BYTES: usize = 256 << 10;
/// Of the recipes in a generation's message: with the prompts, of 64 KiB each, they have to fit into a mebibyte.
const LARGEST_TEXTS_BYTES: usize = 512 << 10;

pub(crate) fn progress_message(progress: Progress) -> v1::GenerationProgress {
    v1::GenerationProgress {
        phase: progress.phase.to_string(),
        step: progress.step,
        total_steps: progress.total_steps,
        image_index: progress.image_index,
        image_count: progress.image_count,
    }
}

/// What the row tells.
pub(crate) fn generation_message(record: &GenerationRecord) -> v1::Generation {
    let fits = record.images.iter().map(|image| image.parameters_text.len()).sum::<usize>() <= LARGEST_TEXTS_BYTES;
    v1::Generation {
        name: format!("generations/{}", record.uid),
        state: states::of_generation(record.state).into(),
        spec: spec_from_json(&record.spec_json).ok().map(spec_message),
        images: record
            .images
            .iter()
            .map(|image| v1::GeneratedImage {
                asset: names::asset(&image.asset),
                seed: image.seed,
                width: image.width,
                height: image.height,
                size_bytes: image.size_bytes,
                parameters_text: if fits { image.parameters_text.clone() } else { String::new() },
            })
            .collect(),
        failure: record.failure.as_ref().map(error_message),
        progress: None,
        create_time: Some(timestamp(record.created_at)),
        start_time: record.started_at.map(timestamp),
        end_time: record.ended_at.map(timestamp),
        client: record.client.clone(),
        priority: record.priority,
        queue_position: None,
        attempts: record.attempts,
        expire_time: record.expires_at.map(timestamp),
        delete_time: record.deleted_at.map(timestamp),
        purge_time: None,
        warnings: record.settings_json.as_deref().map(warnings_from_json).unwrap_or_default(),
    }
}

fn preview_message(preview: &PaintPreview) -> Option<v1::GenerationPreview> {
    Some(v1::GenerationPreview {
        image_index: preview.image_index,
        step: preview.step,
        width: preview.width,
        height: preview.height,
        jpeg: preview_jpeg(preview, LARGEST_PREVIEW_BYTES)?,
    })
}

/// What CreateGeneration and GenerateImages are asked alike.
struct Asked {
    spec: Option<v1::GenerationSpec>,
    request_id: String,
    client: String,
    priority: i32,
    expire_time: Option<prost_types::Timestamp>,
    is_tied: bool,
}

impl Api {
    async fn create(&self, extensions: &Extensions, asked: Asked) -> Result<GenerationRecord, Status> {
        let caller = extensions.get::<Caller>().map_or_else(Caller::socket, Caller::clone);
        let ask = Ask {
            spec: spec(asked.spec)?,
            request_id: watching::request_id(asked.request_id)?,
            caller: caller.id().to_owned(),
            client: asked.client,
            priority: asked.priority,
            expires_at: asked.expire_time.map(|given| time("expire_time", given)).transpose()?,
            is_tied: asked.is_tied,
        };
        self.generations.create(&ask).await.map_err(|error| status(&error))
    }

    /// A generation with what its row does not tell.
    fn generation(&self, record: &GenerationRecord, positions: &HashMap<String, u32>) -> v1::Generation {
        let latest = (record.state == JobState::Running).then(|| self.generations.progress(&record.uid)).flatten();
        v1::Generation {
            progress: latest.map(progress_message),
            queue_position: positions.get(&record.uid).copied(),
            purge_time: record.deleted_at.map(|at| timestamp(at.plus(self.generations.trash_time()))),
            ..generation_message(record)
        }
    }

    async fn answer(&self, record: GenerationRecord) -> Result<Response<v1::Generation>, Status> {
        let positions = match record.state {
            JobState::Queued => positions(&self.queue().await?),
            _ => HashMap::new(),
        };
        Ok(Response::new(self.generation(&record, &positions)))
    }

    async fn queue(&self) -> Result<QueueState, Status> {
        self.generations.queue().await.map_err(|error| status(&error))
    }

    /// Events of one generation as messages.
    async fn events(
        &self,
        uid: &str,
        previews: bool,
        after: Option<u64>,
    ) -> Result<impl Stream<Item = Result<v1::GenerationEvent, Status>> + Send + use<>, Status> {
        let events = self.generations.watch(uid, previews, after).await.map_err(|error| status(&error))?;
        let events = events.filter_map(|result| {
            std::future::ready(match result {
                Ok((sequence, GenerationEvent::State(record))) => {
                    Some(Ok((sequence, Event::Generation(generation_message(&record)))))
                }
                Ok((sequence, GenerationEvent::Progress(latest))) => {
                    Some(Ok((sequence, Event::Progress(progress_message(latest)))))
                }
                // One that cannot be encoded is not worth an error.
                Ok((sequence, GenerationEvent::Preview(preview))) => {
                    preview_message(&preview).map(|preview| Ok((sequence, Event::Preview(preview))))
                }
                Err(error) => Some(Err(status(&error))),
            })
        });
        let message = |sequence, epoch, event| v1::GenerationEvent { sequence, epoch, event: Some(event) };
        Ok(watching::told(events, self.facts.epoch.clone(), Event::Heartbeat(v1::Heartbeat {}), message))
    }
}

/// How many come before each that waits.
fn positions(queue: &QueueState) -> HashMap<String, u32> {
    queue.order.iter().map(|one| one.uid.clone()).zip(0..).collect()
}

fn queue_message(queue: &QueueState) -> v1::GenerationQueue {
    let counts = by_client(&queue.order);
    let mut clients: Vec<v1::GenerationQueueClient> = Vec::new();
    for one in &queue.order {
        if !clients.iter().any(|client| client.client == one.client) {
            let queued = counts.get(one.client.as_str()).copied().unwrap_or_default();
            clients.push(v1::GenerationQueueClient { client: one.client.clone(), queued });
        }
    }
    v1::GenerationQueue {
        paused: queue.is_paused,
        queued: u32::try_from(queue.order.len()).unwrap_or(u32::MAX),
        running: queue.running.as_ref().map(|uid| format!("generations/{uid}")).unwrap_or_default(),
        max_queued: queue.limits.all,
        max_queued_per_client: queue.limits.of_one_client,
        clients,
    }
}

#[tonic::async_trait]
impl GenerationService for Api {
    type WatchGenerationStream = StreamOf<v1::GenerationEvent>;
    type GenerateImagesStream = StreamOf<v1::GenerationEvent>;

    async fn create_generation(
        &self,
        request: Request<v1::CreateGenerationRequest>,
    ) -> Result<Response<v1::Generation>, Status> {
        let (_, extensions, request) = request.into_parts();
        let v1::CreateGenerationRequest { spec, request_id, client, priority, expire_time } = request;
        let asked = Asked { spec, request_id, client, priority, expire_time, is_tied: false };
        let record = self.create(&extensions, asked).await?;
        self.answer(record).await
    }

    async fn get_generation(
        &self,
        request: Request<v1::GetGenerationRequest>,
    ) -> Result<Response<v1::Generation>, Status> {
        let name = request.into_inner().name;
        let uid = parse_job("generations", &name)?;
        let record = self.generations.get(uid).await.map_err(|error| status(&error))?;
        self.answer(record).await
    }

    async fn list_generations(
        &self,
        request: Request<v1::ListGenerationsRequest>,
    ) -> Result<Response<v1::ListGenerationsResponse>, Status> {
        let request = request.into_inner();
        let filter = HistoryFilter::parse(&request.filter).map_err(|problem| status(&problem))?;
        let query = GenerationQuery {
            filter: request.filter,
            with_deleted: request.show_deleted,
            page_size: page_size(request.page_size)?,
            page_token: Some(request.page_token).filter(|token| !token.is_empty()),
        };
        let page = self.generations.list(&query, &filter).await.map_err(|error| status(&error))?;
        let waits = |record: &GenerationRecord| record.state == JobState::Queued;
        let positions = match page.generations.iter().any(waits) {
            true => positions(&self.queue().await?),
            false => HashMap::new(),
        };
        let generations = page.generations.iter().map(|one| self.generation(one, &positions)).collect();
        Ok(Response::new(v1::ListGenerationsResponse {
            generations,
            next_page_token: page.next_page_token.unwrap_or_default(),
        }))
    }

    async fn update_generation(
        &self,
        request: Request<v1::UpdateGenerationRequest>,
    ) -> Result<Response<v1::Generation>, Status> {
        let v1::UpdateGenerationRequest { generation, update_mask } = request.into_inner();
        let generation = generation.ok_or_else(|| invalid("generation", "there is none"))?;
        let uid = parse_job("generations", &generation.name)?;
        let paths = update_mask.map(|mask| mask.paths).unwrap_or_default();
        if let Some(other) = paths.iter().find(|path| !matches!(path.as_str(), "priority" | "*")) {
            return Err(invalid("update_mask", format!("`{other}` cannot be changed; `priority` can")));
        }
        let record = self.generations.set_priority(uid, generation.priority).await;
        self.answer(record.map_err(|error| status(&error))?).await
    }

    async fn reorder_generation(
        &self,
        request: Request<v1::ReorderGenerationRequest>,
    ) -> Result<Response<v1::Generation>, Status> {
        let v1::ReorderGenerationRequest { name, before } = request.into_inner();
        let uid = parse_job("generations", &name)?;
        let before = match before.as_str() {
            "" => None,
            name => Some(parse_job("generations", name)?),
        };
        let record = self.generations.reorder(uid, before).await.map_err(|error| status(&error))?;
        self.answer(record).await
    }

    async fn cancel_generation(
        &self,
        request: Request<v1::CancelGenerationRequest>,
    ) -> Result<Response<v1::Generation>, Status> {
        let name = request.into_inner().name;
        let uid = parse_job("generations", &name)?;
        let record = self.generations.cancel(uid).await.map_err(|error| status(&error))?;
        self.answer(record).await
    }

    async fn delete_generation(
        &self,
        request: Request<v1::DeleteGenerationRequest>,
    ) -> Result<Response<v1::Generation>, Status> {
        let name = request.into_inner().name;
        let uid = parse_job("generations", &name)?;
        let record = self.generations.delete(uid, true).await.map_err(|error| status(&error))?;
        self.answer(record).await
    }

    async fn undelete_generation(
        &self,
        request: Request<v1::UndeleteGenerationRequest>,
    ) -> Result<Response<v1::Generation>, Status> {
        let name = request.into_inner().name;
        let uid = parse_job("generations", &name)?;
        let record = self.generations.delete(uid, false).await.map_err(|error| status(&error))?;
        self.answer(record).await
    }

    async fn watch_generation(
        &self,
        request: Request<v1::WatchGenerationRequest>,
    ) -> Result<Response<Self::WatchGenerationStream>, Status> {
        let v1::WatchGenerationRequest { name, previews, after_sequence, epoch } = request.into_inner();
        let uid = parse_job("generations", &name)?;
        let after = Watch { after_sequence, epoch }.after(&self.facts.epoch)?;
        let events = self.events(uid, previews, after).await?;
        Ok(Response::new(bounded(events, self.shutdown.clone())))
    }

    async fn generate_images(
        &self,
        request: Request<v1::GenerateImagesRequest>,
    ) -> Result<Response<Self::GenerateImagesStream>, Status> {
        let (_, extensions, request) = request.into_parts();
        let previews = request.previews;
        let is_tied = request.cancel_on_disconnect;
        let v1::GenerateImagesRequest { spec, request_id, client, priority, expire_time, .. } = request;
        let asked = Asked { spec, request_id, client, priority, expire_time, is_tied };
        let record = self.create(&extensions, asked).await?;
        let mut leaving = Leaving::of(&self.generations, is_tied.then(|| record.uid.clone()));
        let events = self.events(&record.uid, previews, None).await?;
        let guarded = async_stream::stream! {
            for await message in events {
                yield message;
            }
            // The stream came to its own end, so nobody left early.
            leaving.is_excused();
        };
        Ok(Response::new(bounded(guarded, self.shutdown.clone())))
    }

    async fn get_generation_queue(
        &self,
        _request: Request<v1::GetGenerationQueueRequest>,
    ) -> Result<Response<v1::GenerationQueue>, Status> {
        Ok(Response::new(queue_message(&self.queue().await?)))
    }

    async fn pause_generation_queue(
        &self,
        _request: Request<v1::PauseGenerationQueueRequest>,
    ) -> Result<Response<v1::GenerationQueue>, Status> {
        self.generations.pause(true).await.map_err(|error| status(&error))?;
        Ok(Response::new(queue_message(&self.queue().await?)))
    }

    async fn resume_generation_queue(
        &self,
        _request: Request<v1::ResumeGenerationQueueRequest>,
    ) -> Result<Response<v1::GenerationQueue>, Status> {
        self.generations.pause(false).await.map_err(|error| status(&error))?;
        Ok(Response::new(queue_message(&self.queue().await?)))
    }

    async fn read_recipe(
        &self,
        request: Request<tonic::Streaming<v1::ReadRecipeRequest>>,
    ) -> Result<Response<v1::ReadRecipeResponse>, Status> {
        Ok(Response::new(self.recipe(request.into_inner()).await?))
    }

    async fn get_model_capabilities(
        &self,
        request: Request<v1::GetModelCapabilitiesRequest>,
    ) -> Result<Response<v1::ModelCapabilities>, Status> {
        Ok(Response::new(self.capabilities(&request.into_inner().model).await?))
    }
}
