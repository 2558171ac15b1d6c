//! `CatalogueCareService`.
//!
//! What takes the catalogue's place is made ready here; then the daemon ends, as it does for `StopDaemon`, and the next
//! start installs it. So nothing is exchanged under parts that remember what was there before.

use crate::convert::timestamp;
use crate::fit;
use crate::once::Identified;
use crate::paging::Page;
use crate::server::{Api, StreamOf, bounded, lost};
use crate::status::{invalid, status};
use paintbox_catalogue::{Backup, BackupKind, CatalogueCheck, CatalogueHealth, CheckDepth};
use paintbox_proto::v1;
use paintbox_proto::v1::catalogue_care_service_server::CatalogueCareService;
use paintbox_proto::v1::catalogue_health::State;
use std::path::Path;
use tonic::{Request, Response, Status, Streaming};

/// No message is larger than a mebibyte, but a piece of an export is as large as its longest row.
const PIECE_BYTES: usize = 512 << 10;

fn backup(backup: &Backup) -> v1::Backup {
    v1::Backup {
        name: backup.name(),
        path: backup.path.display().to_string(),
        kind: backup.kind.as_str().to_owned(),
        create_time: Some(timestamp(backup.made_at)),
        size_bytes: backup.size_bytes,
    }
}

impl Api {
    fn check(&self, check: &CatalogueCheck, backups: &[Backup]) -> v1::CatalogueCheck {
        let newest = backups.iter().find(|backup| backup.kind != BackupKind::Replaced);
        v1::CatalogueCheck {
            depth: match check.depth {
                CheckDepth::Quick => "quick".to_owned(),
                CheckDepth::Full => "full".to_owned(),
            },
            check_time: Some(timestamp(check.at)),
            sound: check.is_sound(),
            problems: check.problems.iter().map(|problem| fit::name(problem)).collect(),
            problem_count: u32::try_from(check.problem_count).unwrap_or(u32::MAX),
            path: self.catalogue.path().display().to_string(),
            newest_backup: newest.map(Backup::name).unwrap_or_default(),
        }
    }

    pub(crate) fn catalogue_health(&self, health: &CatalogueHealth) -> v1::CatalogueHealth {
        let state = match &health.check {
            None => State::Unchecked,
            Some(check) if check.is_sound() => State::Sound,
            Some(_) => State::Damaged,
        };
        let problem = health.backup_problem.as_ref();
        v1::CatalogueHealth {
            state: state.into(),
            check: health.check.as_ref().map(|check| self.check(check, &health.backups)),
            ended_in_order: health.ended_in_order,
            backups: u32::try_from(health.backups.len()).unwrap_or(u32::MAX),
            backup_bytes: health.backups.iter().map(|backup| backup.size_bytes).sum(),
            newest_backup_time: health.backups.first().map(|backup| timestamp(backup.made_at)),
            backup_problem: problem.map(|failure| failure.message.clone()).unwrap_or_default(),
            backup_problem_hint: problem.and_then(|failure| failure.hint.clone()).unwrap_or_default(),
        }
    }

    /// Ends the daemon once the answer is out, so that the next start finds what was made ready.
    fn make_way(&self) {
        tracing::info!("another file takes the catalogue's place at the next start");
        self.stop.cancel();
    }
}

#[tonic::async_trait]
impl CatalogueCareService for Api {
    type ExportCatalogueStream = StreamOf<v1::ExportCatalogueResponse>;

    async fn check_catalogue(
        &self,
        request: Request<v1::CheckCatalogueRequest>,
    ) -> Result<Response<v1::CatalogueCheck>, Status> {
        let depth = if request.into_inner().full { CheckDepth::Full } else { CheckDepth::Quick };
        let check = self.catalogue.check(depth).await.map_err(|error| status(&error))?;
        let backups = self.catalogue.backups().await.map_err(|error| status(&error))?;
        Ok(Response::new(self.check(&check, &backups)))
    }

    async fn list_backups(
        &self,
        request: Request<v1::ListBackupsRequest>,
    ) -> Result<Response<v1::ListBackupsResponse>, Status> {
        let v1::ListBackupsRequest { page_size, page_token } = request.into_inner();
        let page = Page::read("backups", page_size, &page_token)?;
        let backups = self.catalogue.backups().await.map_err(|error| status(&error))?;
        let folder = self.catalogue.backup_folder().display().to_string();
        let (backups, next_page_token) = page.of(&backups, Backup::name, backup);
        Ok(Response::new(v1::ListBackupsResponse { backups, folder, next_page_token }))
    }

    async fn create_backup(&self, request: Request<v1::CreateBackupRequest>) -> Result<Response<v1::Backup>, Status> {
        let v1::CreateBackupRequest { request_id } = request.into_inner();
        let (catalogue, kept_free_bytes) = (self.catalogue.clone(), self.store.kept_free_bytes());
        let make = async move {
            let made = catalogue.back_up(kept_free_bytes).await;
            made.map(|made| backup(&made)).map_err(|error| status(&error))
        };
        let asked = v1::CreateBackupRequest::default();
        let request = Identified { kind: "backup", id: request_id, request: asked };
        // There is no such thing as the same backup: after a kill the repetition makes one.
        Ok(Response::new(self.once(request, make, std::future::ready(None)).await?))
    }

    async fn restore_backup(
        &self,
        request: Request<v1::RestoreBackupRequest>,
    ) -> Result<Response<v1::RestoreBackupResponse>, Status> {
        let given = request.into_inner().backup;
        let path = Path::new(&given);
        if given.is_empty() || (!path.is_absolute() && path.components().count() != 1) {
            return Err(invalid("backup", format!("`{given}` is neither the name of a backup nor an absolute path")));
        }
        // A caller who leaves now must not leave a file behind that nobody installs before somebody forgot about it.
        let (api, path) = (self.clone(), path.to_owned());
        let staged = tokio::spawn(async move {
            let path = api.catalogue.stage_backup(&path).await.map_err(|error| status(&error))?;
            api.make_way();
            Ok::<_, Status>(path)
        });
        let path = staged.await.map_err(|_| lost())??;
        Ok(Response::new(v1::RestoreBackupResponse { path: path.display().to_string() }))
    }

    async fn export_catalogue(
        &self,
        _request: Request<v1::ExportCatalogueRequest>,
    ) -> Result<Response<Self::ExportCatalogueStream>, Status> {
        let mut pieces = self.catalogue.export(&self.facts.version);
        let answers = async_stream::stream! {
            while let Some(piece) = pieces.recv().await {
                match piece {
                    Ok(piece) => for data in piece.chunks(PIECE_BYTES) {
                        yield Ok(v1::ExportCatalogueResponse { data: data.to_vec() });
                    },
                    Err(error) => {
                        yield Err(status(&error));
                        return;
                    }
                }
            }
        };
        Ok(Response::new(bounded(answers, self.shutdown.clone())))
    }

    async fn import_catalogue(
        &self,
        request: Request<Streaming<v1::ImportCatalogueRequest>>,
    ) -> Result<Response<v1::ImportCatalogueResponse>, Status> {
        let mut pieces = request.into_inner();
        let mut next = pieces.message().await?;
        let replaces = next.as_ref().is_some_and(|first| first.replace);
        let mut import = self.catalogue.begin_import(replaces).await.map_err(|error| status(&error))?;
        while let Some(piece) = next {
            import.push(&piece.data).await.map_err(|error| status(&error))?;
            next = pieces.message().await?;
        }
        let api = self.clone();
        let finished = tokio::spawn(async move {
            let imported = import.finish().await.map_err(|error| status(&error))?;
            api.make_way();
            Ok::<_, Status>(imported)
        });
        let imported = finished.await.map_err(|_| lost())??;
        Ok(Response::new(v1::ImportCatalogueResponse { rows: imported.rows, layout: imported.layout }))
    }
}
