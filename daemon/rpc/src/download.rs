//! `DownloadService`.

use crate::convert::timestamp;
use crate::fit;
use crate::names::parse_number;
use crate::server::{Api, StreamOf, bounded, page_size};
use crate::states;
use crate::status::{error_message, status};
use crate::watching::{self, Watch};
use futures::StreamExt as _;
use paintbox_catalogue::{DownloadFilter, DownloadId, DownloadQuery, DownloadRecord, RowFilter};
use paintbox_domain::hub::FileSize;
use paintbox_domain::reason;
use paintbox_domain::transfer::TransferProgress;
use paintbox_proto::v1;
use paintbox_proto::v1::download_event::Event;
use paintbox_proto::v1::download_service_server::DownloadService;
use paintbox_sync::DownloadEvent;
use tonic::{Request, Response, Status};

/// `progress` of one that is under way: newer than its row.
pub(crate) fn download(record: &DownloadRecord, progress: Option<TransferProgress>) -> v1::Download {
    let listed = record.size.map_or(0, FileSize::bytes);
    v1::Download {
        name: format!("downloads/{}", record.id),
        version: record.version.to_string(),
        model_name: fit::name(&record.model_name),
        file: fit::name(&record.file_name),
        state: states::of_download(progress.map_or(record.state, |progress| progress.state)).into(),
        bytes_done: progress.map_or(0, |progress| progress.bytes_done),
        size_bytes: progress.and_then(|progress| progress.bytes_total).unwrap_or(listed),
        received_bytes: record.received_bytes,
        priority: record.priority,
        failures: record.failures,
        failure: record.failure.as_ref().map(error_message),
        due_time: record.due_at.map(timestamp),
        create_time: Some(timestamp(record.created_at)),
        start_time: record.started_at.map(timestamp),
        end_time: record.ended_at.map(timestamp),
        automatic: record.automatic,
    }
}

fn parse(name: &str) -> Result<DownloadId, Status> {
    parse_number("downloads", "download", name, reason::JOB_NOT_FOUND).map(DownloadId::new)
}

fn answer(record: Result<DownloadRecord, paintbox_sync::SyncError>) -> Result<Response<v1::Download>, Status> {
    Ok(Response::new(download(&record.map_err(|error| status(&error))?, None)))
}

#[tonic::async_trait]
impl DownloadService for Api {
    type WatchDownloadStream = StreamOf<v1::DownloadEvent>;

    async fn watch_download(
        &self,
        request: Request<v1::WatchDownloadRequest>,
    ) -> Result<Response<Self::WatchDownloadStream>, Status> {
        let v1::WatchDownloadRequest { name, after_sequence, epoch } = request.into_inner();
        let after = Watch { after_sequence, epoch }.after(&self.facts.epoch)?;
        let id = parse(&name)?;
        let events = self.sync.watch_download(id, after).await.map_err(|error| status(&error))?;
        // Progress is told of the row that was told last; who goes on behind an earlier event knows one already.
        let mut last = self.sync.download(id).await.map_err(|error| status(&error))?;
        let events = events.map(move |result| match result {
            Ok((sequence, DownloadEvent::State(record))) => {
                last = *record;
                Ok((sequence, Event::Download(download(&last, None))))
            }
            Ok((sequence, DownloadEvent::Progress(progress))) => {
                Ok((sequence, Event::Download(download(&last, Some(progress)))))
            }
            Err(error) => Err(status(&error)),
        });
        let message = |sequence, epoch, event| v1::DownloadEvent { sequence, epoch, event: Some(event) };
        let events = watching::told(events, self.facts.epoch.clone(), Event::Heartbeat(v1::Heartbeat {}), message);
        Ok(Response::new(bounded(events, self.shutdown.clone())))
    }

    async fn list_downloads(
        &self,
        request: Request<v1::ListDownloadsRequest>,
    ) -> Result<Response<v1::ListDownloadsResponse>, Status> {
        let request = request.into_inner();
        let mut query = DownloadQuery {
            filter: if request.ended { DownloadFilter::Ended } else { DownloadFilter::Open },
            passing: RowFilter::parse(&request.filter).map_err(|problem| status(&problem))?,
            page_size: page_size(request.page_size)?,
            page_token: Some(request.page_token).filter(|token| !token.is_empty()),
        };
        let paused = self.sync.downloads_are_paused().await.map_err(|error| status(&error))?;
        let mut size = fit::PageSize::new(query.page_size);
        loop {
            query.page_size = size.entries();
            let (page, progress) = self.sync.downloads(&query).await.map_err(|error| status(&error))?;
            let message = |record: &DownloadRecord| download(record, progress.get(&record.id).copied());
            let downloads = page.downloads.iter().map(message).collect();
            let next_page_token = page.next_page_token.unwrap_or_default();
            let answer = v1::ListDownloadsResponse { downloads, next_page_token, paused };
            if size.fits(&answer) {
                return Ok(Response::new(answer));
            }
        }
    }

    async fn get_download(&self, request: Request<v1::GetDownloadRequest>) -> Result<Response<v1::Download>, Status> {
        answer(self.sync.download(parse(&request.into_inner().name)?).await)
    }

    async fn pause_download(
        &self,
        request: Request<v1::PauseDownloadRequest>,
    ) -> Result<Response<v1::Download>, Status> {
        answer(self.sync.pause_download(parse(&request.into_inner().name)?).await)
    }

    async fn resume_download(
        &self,
        request: Request<v1::ResumeDownloadRequest>,
    ) -> Result<Response<v1::Download>, Status> {
        answer(self.sync.resume_download(parse(&request.into_inner().name)?).await)
    }

    async fn put_download_first(
        &self,
        request: Request<v1::PutDownloadFirstRequest>,
    ) -> Result<Response<v1::Download>, Status> {
        answer(self.sync.put_download_first(parse(&request.into_inner().name)?).await)
    }

    async fn cancel_download(
        &self,
        request: Request<v1::CancelDownloadRequest>,
    ) -> Result<Response<v1::Download>, Status> {
        answer(self.sync.cancel_download(parse(&request.into_inner().name)?).await)
    }

    async fn pause_downloads(
        &self,
        _request: Request<v1::PauseDownloadsRequest>,
    ) -> Result<Response<v1::PauseDownloadsResponse>, Status> {
        self.sync.set_downloads_paused(true).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::PauseDownloadsResponse {}))
    }

    async fn resume_downloads(
        &self,
        _request: Request<v1::ResumeDownloadsRequest>,
    ) -> Result<Response<v1::ResumeDownloadsResponse>, Status> {
        self.sync.set_downloads_paused(false).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::ResumeDownloadsResponse {}))
    }
}
