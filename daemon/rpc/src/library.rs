//! `LibraryService`.

use crate::convert::timestamp;
use crate::names::parse_number;
use crate::once::Identified;
use crate::paging::Page;
use crate::server::{Api, StreamOf, bounded};
use crate::states;
use crate::status::status;
use futures::StreamExt as _;
use paintbox_catalogue::LibraryId;
use paintbox_domain::reason;
use paintbox_proto::v1;
use paintbox_proto::v1::library_service_server::LibraryService;
use paintbox_sync::{Library, ScanEvent, Scanned};
use std::path::{Path, PathBuf};
use tonic::{Request, Response, Status};

fn name(id: LibraryId) -> String {
    format!("libraries/{id}")
}

fn parse(name: &str) -> Result<LibraryId, Status> {
    parse_number("libraries", "library", name, reason::LIBRARY_NOT_FOUND).map(LibraryId::new)
}

fn library(library: &Library) -> v1::Library {
    let Library { record, counts } = library;
    v1::Library {
        name: name(record.id),
        path: record.path.display().to_string(),
        layout: record.layout.clone(),
        state: states::of_library(record.away_since.is_none()).into(),
        paths: counts.paths,
        files: counts.files,
        file_bytes: counts.bytes,
        read_files: counts.read_files,
        read_bytes: counts.read_bytes,
        listed_files: counts.listed,
        unknown_files: counts.unknown,
        refused_files: counts.refused,
        create_time: Some(timestamp(record.created_at)),
        scan_time: record.walked_at.map(timestamp),
        away_since_time: record.away_since.map(timestamp),
    }
}

fn scanned(id: LibraryId, scanned: Scanned) -> v1::ScanLibrariesResponse {
    v1::ScanLibrariesResponse {
        name: name(id),
        seen: scanned.seen,
        arrived: scanned.arrived,
        known_again: scanned.known_again,
        gone: scanned.gone,
        recorded: scanned.recorded,
        library: None,
    }
}

#[tonic::async_trait]
impl LibraryService for Api {
    type ScanLibrariesStream = StreamOf<v1::ScanLibrariesResponse>;

    async fn list_libraries(
        &self,
        request: Request<v1::ListLibrariesRequest>,
    ) -> Result<Response<v1::ListLibrariesResponse>, Status> {
        let v1::ListLibrariesRequest { page_size, page_token } = request.into_inner();
        let page = Page::read("libraries", page_size, &page_token)?;
        let libraries = self.sync.libraries().await.map_err(|error| status(&error))?;
        let (libraries, next_page_token) = page.of(&libraries, |library| library.record.id.to_string(), library);
        Ok(Response::new(v1::ListLibrariesResponse { libraries, next_page_token }))
    }

    async fn create_library(
        &self,
        request: Request<v1::CreateLibraryRequest>,
    ) -> Result<Response<v1::Library>, Status> {
        let v1::CreateLibraryRequest { path, request_id } = request.into_inner();
        let asked = v1::CreateLibraryRequest { path: path.clone(), ..Default::default() };
        let (sync, there, place) = (self.sync.clone(), self.sync.clone(), PathBuf::from(&path));
        let make = async move {
            let added = sync.add_library(Path::new(&path)).await;
            added.map(|added| library(&added)).map_err(|error| status(&error))
        };
        let made = async move {
            let known = there.libraries().await.ok()?;
            known.iter().find(|known| known.record.path == place).map(library)
        };
        let request = Identified { kind: "library", id: request_id, request: asked };
        Ok(Response::new(self.once(request, make, made).await?))
    }

    async fn delete_library(
        &self,
        request: Request<v1::DeleteLibraryRequest>,
    ) -> Result<Response<v1::DeleteLibraryResponse>, Status> {
        let id = parse(&request.into_inner().name)?;
        self.sync.remove_library(id).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::DeleteLibraryResponse {}))
    }

    async fn scan_libraries(
        &self,
        request: Request<v1::ScanLibrariesRequest>,
    ) -> Result<Response<Self::ScanLibrariesStream>, Status> {
        let names = request.into_inner().names;
        let ids = names.iter().map(|name| parse(name)).collect::<Result<Vec<_>, _>>()?;
        let events = self.sync.scan_libraries(&ids).await.map_err(|error| status(&error))?;
        let answers = events.map(|event| match event {
            Ok(ScanEvent::Progress { library, scanned: far }) => Ok(scanned(library, far)),
            Ok(ScanEvent::Done { library: ended, scanned: far }) => Ok(v1::ScanLibrariesResponse {
                library: Some(library(&ended)),
                ..scanned(ended.record.id, far.unwrap_or_default())
            }),
            Err(error) => Err(status(&error)),
        });
        Ok(Response::new(bounded(answers, self.shutdown.clone())))
    }
}
