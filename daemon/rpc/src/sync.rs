//! `SyncService`.

use crate::convert::sync_run;
use crate::fit;
use crate::follow::without_collection;
use crate::names::parse_job;
use crate::server::{Api, StreamOf, bounded, page_size};
use crate::status::{error_message, status};
use crate::watching::{self, Watch};
use futures::StreamExt as _;
use paintbox_catalogue::{RowFilter, SyncRunQuery};
use paintbox_proto::v1;
use paintbox_proto::v1::sync_event::Event;
use paintbox_proto::v1::sync_service_server::SyncService;
use paintbox_sync::{Operation, SyncEvent, SyncRequest};
use tonic::{Request, Response, Status};

/// Of a picture's address, and of a reason in words.
const LONGEST_ADDRESS: usize = 4 << 10;

fn operation(operation: &Operation) -> v1::PlanOperation {
    v1::PlanOperation {
        op: operation.kind.as_str().to_owned(),
        follow: operation.follow.clone().unwrap_or_default(),
        version: operation.version.to_string(),
        file: fit::cut(&operation.file, LONGEST_ADDRESS),
        size_bytes: operation.size_bytes,
        reason: operation.reason.to_owned(),
        detail: fit::cut(&operation.detail, LONGEST_ADDRESS),
        model_name: fit::name(&operation.model_name),
    }
}

fn event(event: &SyncEvent) -> Event {
    match event {
        SyncEvent::Run(run) => Event::Run(sync_run(run)),
        SyncEvent::Progress(progress) => Event::Progress(v1::FileProgress {
            version: progress.version.clone(),
            file: fit::name(&progress.file),
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total.unwrap_or_default(),
            phase: progress.phase.as_str().to_owned(),
        }),
        SyncEvent::Failed(failed) => Event::FileFailed(v1::FileFailed {
            version: failed.version.clone(),
            file: fit::name(&failed.file),
            failure: Some(error_message(&failed.failure)),
        }),
    }
}

#[tonic::async_trait]
impl SyncService for Api {
    type PlanSyncStream = StreamOf<v1::PlanOperation>;
    type WatchSyncRunStream = StreamOf<v1::SyncEvent>;

    async fn plan_sync(&self, request: Request<v1::PlanSyncRequest>) -> Result<Response<Self::PlanSyncStream>, Status> {
        let name = request.into_inner().follow;
        let follow = Some(without_collection(&name)).filter(|name| !name.is_empty());
        let plan = self.sync.plan(follow).await.map_err(|error| status(&error))?;
        let operations = futures::stream::iter(plan.operations).map(|each| Ok(operation(&each)));
        Ok(Response::new(bounded(operations, self.shutdown.clone())))
    }

    async fn create_sync_run(
        &self,
        request: Request<v1::CreateSyncRunRequest>,
    ) -> Result<Response<v1::SyncRun>, Status> {
        let request = request.into_inner();
        let request = SyncRequest {
            follows: request.follows.iter().map(|name| without_collection(name).to_owned()).collect(),
            references: request.references,
            request_id: watching::request_id(request.request_id)?,
        };
        // On a task of its own: a caller that leaves while references are looked up must not leave half of it.
        let sync = self.sync.clone();
        let started = tokio::spawn(async move { sync.start(&request).await });
        let run = started.await.map_err(|_| crate::server::lost())?.map_err(|error| status(&error))?;
        Ok(Response::new(sync_run(&run)))
    }

    async fn get_sync_run(&self, request: Request<v1::GetSyncRunRequest>) -> Result<Response<v1::SyncRun>, Status> {
        let name = request.into_inner().name;
        let run = self.sync.run(parse_job("syncRuns", &name)?).await.map_err(|error| status(&error))?;
        Ok(Response::new(sync_run(&run)))
    }

    async fn list_sync_runs(
        &self,
        request: Request<v1::ListSyncRunsRequest>,
    ) -> Result<Response<v1::ListSyncRunsResponse>, Status> {
        let request = request.into_inner();
        let mut query = SyncRunQuery {
            filter: RowFilter::parse(&request.filter).map_err(|problem| status(&problem))?,
            page_size: page_size(request.page_size)?,
            page_token: Some(request.page_token).filter(|token| !token.is_empty()),
        };
        let mut size = fit::PageSize::new(query.page_size);
        loop {
            query.page_size = size.entries();
            let page = self.sync.list_runs(&query).await.map_err(|error| status(&error))?;
            let answer = v1::ListSyncRunsResponse {
                sync_runs: page.sync_runs.iter().map(sync_run).collect(),
                next_page_token: page.next_page_token.unwrap_or_default(),
            };
            if size.fits(&answer) {
                return Ok(Response::new(answer));
            }
        }
    }

    async fn cancel_sync_run(
        &self,
        request: Request<v1::CancelSyncRunRequest>,
    ) -> Result<Response<v1::SyncRun>, Status> {
        let name = request.into_inner().name;
        let run = self.sync.cancel(parse_job("syncRuns", &name)?).await.map_err(|error| status(&error))?;
        Ok(Response::new(sync_run(&run)))
    }

    async fn watch_sync_run(
        &self,
        request: Request<v1::WatchSyncRunRequest>,
    ) -> Result<Response<Self::WatchSyncRunStream>, Status> {
        let v1::WatchSyncRunRequest { name, after_sequence, epoch } = request.into_inner();
        let after = Watch { after_sequence, epoch }.after(&self.facts.epoch)?;
        let events = self.sync.watch(parse_job("syncRuns", &name)?, after).await.map_err(|error| status(&error))?;
        let events = events.map(|result| match result {
            Ok((sequence, change)) => Ok((sequence, event(&change))),
            Err(error) => Err(status(&error)),
        });
        let message = |sequence, epoch, event| v1::SyncEvent { sequence, epoch, event: Some(event) };
        let events = watching::told(events, self.facts.epoch.clone(), Event::Heartbeat(v1::Heartbeat {}), message);
        Ok(Response::new(bounded(events, self.shutdown.clone())))
    }
}
