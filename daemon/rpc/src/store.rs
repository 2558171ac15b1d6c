//! `StoreService`.

use crate::convert::timestamp;
use crate::fit;
use crate::names::{parse_number, parse_volume};
use crate::once::Identified;
use crate::paging::Page;
use crate::server::{Api, StreamOf, bounded, page_size};
use crate::states;
use crate::status::{error_message, invalid, status};
use futures::StreamExt as _;
use paintbox_catalogue::{RemovalId, RemovalRecord, RemovedFile, VolumeRules};
use paintbox_domain::{ModelKind, reason};
use paintbox_proto::v1;
use paintbox_proto::v1::store_service_server::StoreService;
use paintbox_sync::{Finding, Garbage, GarbageClass, VerifyEvent, VerifyProgress, VerifyRequest, Volume};
use std::path::Path;
use std::time::Duration;
use tonic::{Request, Response, Status};

fn volume(volume: &Volume) -> v1::Volume {
    v1::Volume {
        name: format!("volumes/{}", volume.label),
        path: volume.path.display().to_string(),
        state: states::of_volume(volume.away_since.is_none()).into(),
        kinds: volume.rules.kinds.iter().map(ToString::to_string).collect(),
        everything_else: volume.rules.everything_else,
        keep_free_bytes: volume.rules.keep_free_bytes,
        free_bytes: volume.free_bytes,
        files: volume.held.files,
        file_bytes: volume.held.bytes,
        away_since_time: volume.away_since.map(timestamp),
        create_time: volume.created_at.map(timestamp),
    }
}

fn kinds(names: &[String]) -> Result<Vec<ModelKind>, Status> {
    let mut kinds = Vec::with_capacity(names.len());
    for name in names {
        let kind = ModelKind::from_name(name).ok_or_else(|| invalid("kinds", format!("`{name}` is not a kind")))?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

/// Removed files that are told by name, one removal at a time and in a list.
const MOST_FILES: usize = 1000;
const REMOVED_ROOM: usize = 512 << 10;
const MOST_FILES_IN_A_LIST: usize = 100;
const LARGEST_LIST: u32 = 50;

fn removal(removal: &RemovalRecord, is_done: bool, most_files: usize) -> v1::Removal {
    v1::Removal {
        name: if is_done { format!("removals/{}", removal.id) } else { String::new() },
        reference: removal.reference.clone(),
        state: if is_done { states::of_removal(removal.state) } else { v1::removal::State::Unspecified }.into(),
        files: fit::entries(&removal.files, REMOVED_ROOM, most_files, None, removed_file),
        file_count: u32::try_from(removal.files.len()).unwrap_or(u32::MAX),
        size_bytes: removal.trashed_bytes(),
        create_time: Some(timestamp(removal.created_at)).filter(|_| is_done),
        expire_time: Some(timestamp(removal.expires_at)),
        end_time: removal.ended_at.map(timestamp),
    }
}

fn removed_file(file: &RemovedFile) -> v1::RemovedFile {
    v1::RemovedFile {
        version: file.version.to_string(),
        file: fit::name(&file.name),
        size_bytes: file.size_bytes,
        bytes: file.bytes.as_str().to_owned(),
    }
}

fn finding(finding: &Finding) -> v1::VerifyFinding {
    v1::VerifyFinding {
        version: finding.version.as_ref().map(ToString::to_string).unwrap_or_default(),
        file: fit::name(&finding.file),
        path: finding.path.display().to_string(),
        problem: finding.problem.as_str().to_owned(),
        error: finding.failure.as_ref().map(error_message),
        action: finding.remedy.as_str().to_owned(),
        repair_queued: finding.repair_queued,
    }
}

fn progress(progress: VerifyProgress, finding: Option<v1::VerifyFinding>, done: bool) -> v1::VerifyFilesResponse {
    v1::VerifyFilesResponse {
        files_done: progress.files_done,
        files_total: progress.files_total,
        bytes_done: progress.bytes_done,
        bytes_total: progress.bytes_total,
        finding,
        done,
    }
}

fn garbage(garbage: &Garbage) -> v1::Garbage {
    v1::Garbage {
        class: garbage.class.as_str().to_owned(),
        path: garbage.path.display().to_string(),
        size_bytes: garbage.size_bytes,
        volume: if garbage.place.is_empty() { String::new() } else { format!("volumes/{}", garbage.place) },
        detail: garbage.detail.clone(),
        freed: garbage.freed,
        error: garbage.failure.as_ref().map(error_message),
    }
}

fn parse_removal(name: &str) -> Result<RemovalId, Status> {
    parse_number("removals", "removal", name, reason::REMOVAL_NOT_FOUND).map(RemovalId::new)
}

/// A span of time that is not negative.
fn duration(given: &prost_types::Duration) -> Result<Duration, Status> {
    Duration::try_from(*given).map_err(|_| invalid("unread_for", "it is negative"))
}

#[tonic::async_trait]
impl StoreService for Api {
    type VerifyFilesStream = StreamOf<v1::VerifyFilesResponse>;
    type CollectGarbageStream = StreamOf<v1::Garbage>;

    async fn list_volumes(
        &self,
        request: Request<v1::ListVolumesRequest>,
    ) -> Result<Response<v1::ListVolumesResponse>, Status> {
        let v1::ListVolumesRequest { page_size, page_token } = request.into_inner();
        let page = Page::read("volumes", page_size, &page_token)?;
        let volumes = self.sync.volumes().await.map_err(|error| status(&error))?;
        let (volumes, next_page_token) = page.of(&volumes, |volume| volume.label.clone(), volume);
        Ok(Response::new(v1::ListVolumesResponse { volumes, next_page_token }))
    }

    async fn create_volume(&self, request: Request<v1::CreateVolumeRequest>) -> Result<Response<v1::Volume>, Status> {
        let mut request = request.into_inner();
        let rules = VolumeRules {
            kinds: kinds(&request.kinds)?,
            everything_else: request.everything_else,
            keep_free_bytes: request.keep_free_bytes,
        };
        let id = std::mem::take(&mut request.request_id);
        let asked = request.clone();
        let (sync, there, wanted) = (self.sync.clone(), self.sync.clone(), request.clone());
        let make = async move {
            let created = sync.create_volume(&request.label, Path::new(&request.path), rules).await;
            created.map(|created| volume(&created)).map_err(|error| status(&error))
        };
        let made = async move {
            let is_it = |known: &&Volume| known.label == wanted.label && known.path == Path::new(&wanted.path);
            there.volumes().await.ok()?.iter().find(is_it).map(volume)
        };
        Ok(Response::new(self.once(Identified { kind: "volume", id, request: asked }, make, made).await?))
    }

    async fn update_volume(&self, request: Request<v1::UpdateVolumeRequest>) -> Result<Response<v1::Volume>, Status> {
        let request = request.into_inner();
        let given = request.volume.unwrap_or_default();
        let fields = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
        if fields.is_empty() {
            return Err(invalid("update_mask", "it names no field"));
        }
        let label = parse_volume(&given.name)?;
        let (mut path, mut new_kinds) = (None, None);
        for field in &fields {
            match field.as_str() {
                "path" => path = Some(Path::new(&given.path)),
                "kinds" => new_kinds = Some(kinds(&given.kinds)?),
                "everything_else" | "keep_free_bytes" => {}
                other => return Err(invalid("update_mask", format!("`{other}` cannot be changed"))),
            }
        }
        let has = |field: &str| fields.iter().any(|named| named == field);
        let updated = self.sync.update_volume(label, path, |rules| {
            if let Some(kinds) = new_kinds {
                rules.kinds = kinds;
            }
            if has("everything_else") {
                rules.everything_else = given.everything_else;
            }
            if has("keep_free_bytes") {
                rules.keep_free_bytes = given.keep_free_bytes;
            }
        });
        Ok(Response::new(volume(&updated.await.map_err(|error| status(&error))?)))
    }

    async fn delete_volume(
        &self,
        request: Request<v1::DeleteVolumeRequest>,
    ) -> Result<Response<v1::DeleteVolumeResponse>, Status> {
        let request = request.into_inner();
        let label = parse_volume(&request.name)?;
        self.sync.delete_volume(label, request.force).await.map_err(|error| status(&error))?;
        Ok(Response::new(v1::DeleteVolumeResponse {}))
    }

    async fn verify_files(
        &self,
        request: Request<v1::VerifyFilesRequest>,
    ) -> Result<Response<Self::VerifyFilesStream>, Status> {
        let request = request.into_inner();
        let request = VerifyRequest {
            references: request.references,
            repair: request.repair,
            unread_for: request.unread_for.as_ref().map(duration).transpose()?,
        };
        let events = self.sync.verify(&request).await.map_err(|error| status(&error))?;
        let answers = async_stream::stream! {
            let mut events = std::pin::pin!(events);
            let mut last = VerifyProgress::default();
            while let Some(event) = events.next().await {
                match event {
                    Ok(VerifyEvent::Progress(now)) => {
                        last = now;
                        yield Ok(progress(last, None, false));
                    }
                    Ok(VerifyEvent::Found(found)) => yield Ok(progress(last, Some(finding(&found)), false)),
                    Err(error) => {
                        yield Err(status(&error));
                        return;
                    }
                }
            }
            yield Ok(progress(last, None, true));
        };
        Ok(Response::new(bounded(answers, self.shutdown.clone())))
    }

    async fn remove_files(&self, request: Request<v1::RemoveFilesRequest>) -> Result<Response<v1::Removal>, Status> {
        let request = request.into_inner();
        let removed = self.sync.remove(&request.reference, request.validate_only).await;
        Ok(Response::new(removal(&removed.map_err(|error| status(&error))?, !request.validate_only, MOST_FILES)))
    }

    async fn list_removals(
        &self,
        request: Request<v1::ListRemovalsRequest>,
    ) -> Result<Response<v1::ListRemovalsResponse>, Status> {
        let request = request.into_inner();
        let token = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
        let mut size = fit::PageSize::new(page_size(request.page_size)?.min(LARGEST_LIST));
        loop {
            let page =
                self.sync.removals(request.ended, size.entries(), token).await.map_err(|error| status(&error))?;
            let removals = page.removals.iter().map(|record| removal(record, true, MOST_FILES_IN_A_LIST)).collect();
            let answer =
                v1::ListRemovalsResponse { removals, next_page_token: page.next_page_token.unwrap_or_default() };
            if size.fits(&answer) {
                return Ok(Response::new(answer));
            }
        }
    }

    async fn undo_removal(&self, request: Request<v1::UndoRemovalRequest>) -> Result<Response<v1::Removal>, Status> {
        let undone = self.sync.undo_removal(parse_removal(&request.into_inner().name)?).await;
        Ok(Response::new(removal(&undone.map_err(|error| status(&error))?, true, MOST_FILES)))
    }

    async fn collect_garbage(
        &self,
        request: Request<v1::CollectGarbageRequest>,
    ) -> Result<Response<Self::CollectGarbageStream>, Status> {
        let mut free = Vec::new();
        for name in &request.into_inner().free {
            let class = GarbageClass::from_name(name);
            free.push(class.ok_or_else(|| invalid("free", format!("`{name}` is not a class of garbage")))?);
        }
        let items = self.sync.collect_garbage(free);
        let items = items.map(|item| item.map(|item| garbage(&item)).map_err(|error| status(&error)));
        Ok(Response::new(bounded(items, self.shutdown.clone())))
    }
}
