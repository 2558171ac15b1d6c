//! The catalogue's file in the scripted world.

use super::{Answer, Events, Fake, answer, events, refusal};
use paintbox_proto::v1;
use tonic::{Code, Request, Streaming};

impl Fake {
    /// Ends, as the daemon does when another file is to take the catalogue's place.
    fn make_way(&self) {
        if let Some(stop) = self.world().stop.take() {
            stop.send(()).unwrap();
        }
    }
}

#[tonic::async_trait]
impl v1::catalogue_care_service_server::CatalogueCareService for Fake {
    type ExportCatalogueStream = Events<v1::ExportCatalogueResponse>;

    async fn check_catalogue(&self, request: Request<v1::CheckCatalogueRequest>) -> Answer<v1::CatalogueCheck> {
        self.note(request.get_ref());
        answer(self.world().check.clone())
    }

    async fn list_backups(&self, _: Request<v1::ListBackupsRequest>) -> Answer<v1::ListBackupsResponse> {
        answer(v1::ListBackupsResponse {
            backups: self.world().backups.clone(),
            folder: "/state/backups".into(),
            ..Default::default()
        })
    }

    async fn create_backup(&self, _: Request<v1::CreateBackupRequest>) -> Answer<v1::Backup> {
        match self.world().backups.first() {
            Some(backup) => answer(backup.clone()),
            None => Err(refusal(Code::ResourceExhausted, "DISK_FULL", "there is no room for a copy of the catalogue")),
        }
    }

    async fn restore_backup(&self, request: Request<v1::RestoreBackupRequest>) -> Answer<v1::RestoreBackupResponse> {
        self.note(request.get_ref());
        let backup = request.into_inner().backup;
        if backup == "bad.db" {
            return Err(refusal(Code::DataLoss, "BACKUP_DAMAGED", "bad.db cannot take the catalogue's place"));
        }
        self.make_way();
        answer(v1::RestoreBackupResponse { path: format!("/state/backups/{backup}") })
    }

    async fn export_catalogue(&self, _: Request<v1::ExportCatalogueRequest>) -> Answer<Self::ExportCatalogueStream> {
        let pieces = self.world().exported.clone();
        events(pieces.iter().map(|piece| v1::ExportCatalogueResponse { data: piece.to_vec() }).collect(), false)
    }

    async fn import_catalogue(
        &self,
        request: Request<Streaming<v1::ImportCatalogueRequest>>,
    ) -> Answer<v1::ImportCatalogueResponse> {
        let mut pieces = request.into_inner();
        while let Some(piece) = pieces.message().await? {
            if !piece.replace {
                return Err(refusal(Code::FailedPrecondition, "CATALOGUE_NOT_EMPTY", "the catalogue is not empty"));
            }
            self.world().imported.extend(piece.data);
        }
        self.make_way();
        answer(v1::ImportCatalogueResponse { rows: 1, layout: 20_261_127_000_003 })
    }
}
