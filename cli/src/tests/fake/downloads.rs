//! The queue of downloads of the scripted world.

use super::{Answer, Fake, answer, failure, refusal, time};
use paintbox_proto::v1;
use paintbox_proto::v1::download::State;
use tonic::{Code, Request};

fn download(number: u32, state: State) -> v1::Download {
    v1::Download {
        name: format!("downloads/{number}"),
        version: "civitai:1@2".into(),
        model_name: "Ink\u{1b}[31m wash".into(),
        file: format!("file-{number}.safetensors"),
        state: state.into(),
        size_bytes: 6_460_000_000,
        create_time: time(-600),
        ..Default::default()
    }
}

fn open() -> Vec<v1::Download> {
    let failed = v1::Download {
        failure: Some(failure("HUB_UNREACHABLE", "no route to the hub")),
        failures: 2,
        due_time: time(240),
        ..download(9, State::Failed)
    };
    vec![
        v1::Download { bytes_done: 1_615_000_000, ..download(4, State::Transferring) },
        download(5, State::Queued),
        v1::Download { due_time: time(3600), ..download(6, State::Queued) },
        failed,
        download(7, State::Paused),
    ]
}

#[tonic::async_trait]
impl v1::download_service_server::DownloadService for Fake {
    async fn list_downloads(&self, request: Request<v1::ListDownloadsRequest>) -> Answer<v1::ListDownloadsResponse> {
        self.note(request.get_ref());
        let request = request.into_inner();
        if request.ended {
            let done = v1::Download { end_time: time(-7200), received_bytes: 12, ..download(3, State::Done) };
            return answer(v1::ListDownloadsResponse { downloads: vec![done], ..Default::default() });
        }
        // Two pages.
        let all = open();
        let (downloads, next) = match request.page_token.as_str() {
            "" => (all[..3].to_vec(), "more"),
            _ => (all[3..].to_vec(), ""),
        };
        answer(v1::ListDownloadsResponse { downloads, next_page_token: next.into(), paused: true })
    }

    async fn get_download(&self, _: Request<v1::GetDownloadRequest>) -> Answer<v1::Download> {
        answer(download(4, State::Transferring))
    }

    type WatchDownloadStream = super::Events<v1::DownloadEvent>;

    async fn watch_download(&self, _: Request<v1::WatchDownloadRequest>) -> Answer<Self::WatchDownloadStream> {
        Err(tonic::Status::unimplemented("the command line lists downloads"))
    }

    async fn pause_download(&self, request: Request<v1::PauseDownloadRequest>) -> Answer<v1::Download> {
        self.note(request.get_ref());
        match request.into_inner().name.as_str() {
            "downloads/4" => answer(download(4, State::Paused)),
            _ => Err(refusal(Code::NotFound, "JOB_NOT_FOUND", "there is no download `99`")),
        }
    }

    async fn resume_download(&self, request: Request<v1::ResumeDownloadRequest>) -> Answer<v1::Download> {
        self.note(request.get_ref());
        answer(download(4, State::Queued))
    }

    async fn put_download_first(&self, request: Request<v1::PutDownloadFirstRequest>) -> Answer<v1::Download> {
        self.note(request.get_ref());
        answer(download(4, State::Queued))
    }

    async fn cancel_download(&self, request: Request<v1::CancelDownloadRequest>) -> Answer<v1::Download> {
        self.note(request.get_ref());
        answer(v1::Download { end_time: time(0), ..download(4, State::Cancelled) })
    }

    async fn pause_downloads(&self, request: Request<v1::PauseDownloadsRequest>) -> Answer<v1::PauseDownloadsResponse> {
        self.note(request.get_ref());
        answer(v1::PauseDownloadsResponse {})
    }

    async fn resume_downloads(
        &self,
        request: Request<v1::ResumeDownloadsRequest>,
    ) -> Answer<v1::ResumeDownloadsResponse> {
        self.note(request.get_ref());
        answer(v1::ResumeDownloadsResponse {})
    }
}
