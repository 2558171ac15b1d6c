//! Volumes, checks, the trash and garbage of the scripted world.

use super::{Answer, Events, Fake, Fate, answer, events, refusal, time, unhinted};
use paintbox_proto::v1;
use paintbox_proto::v1::removal::State;
use tonic::{Code, Request};

/// What the daemon has and finds.
#[derive(Debug, Default)]
pub(in super::super) struct Store {
    pub(in super::super) volumes: Vec<v1::Volume>,
    pub(in super::super) verified: Vec<v1::VerifyFilesResponse>,
    /// What removing anything does.
    pub(in super::super) removed: Vec<v1::RemovedFile>,
    /// Removed files beyond those that are named.
    pub(in super::super) uncounted: u32,
    /// In pages of two.
    pub(in super::super) removals: Vec<v1::Removal>,
    pub(in super::super) garbage: Vec<v1::Garbage>,
}

#[tonic::async_trait]
impl v1::store_service_server::StoreService for Fake {
    type VerifyFilesStream = Events<v1::VerifyFilesResponse>;
    type CollectGarbageStream = Events<v1::Garbage>;

    async fn list_volumes(&self, _: Request<v1::ListVolumesRequest>) -> Answer<v1::ListVolumesResponse> {
        answer(v1::ListVolumesResponse { volumes: self.world().store.volumes.clone(), ..Default::default() })
    }

    async fn create_volume(&self, request: Request<v1::CreateVolumeRequest>) -> Answer<v1::Volume> {
        self.note(request.get_ref());
        let v1::CreateVolumeRequest { label, path, kinds, everything_else, keep_free_bytes, .. } = request.into_inner();
        if label == "home" {
            return Err(unhinted(Code::AlreadyExists, "VOLUME_EXISTS", "there is a volume home"));
        }
        answer(v1::Volume {
            name: format!("volumes/{label}"),
            path,
            state: v1::volume::State::Present.into(),
            kinds,
            everything_else,
            keep_free_bytes,
            free_bytes: Some(1_200_000_000_000),
            files: 12,
            file_bytes: 80_000_000_000,
            create_time: time(0),
            ..Default::default()
        })
    }

    async fn update_volume(&self, request: Request<v1::UpdateVolumeRequest>) -> Answer<v1::Volume> {
        self.note(request.get_ref());
        let volume = request.into_inner().volume.unwrap();
        if volume.name == "volumes/nowhere" {
            return Err(unhinted(Code::NotFound, "VOLUME_NOT_FOUND", "there is no volume nowhere"));
        }
        answer(v1::Volume { state: v1::volume::State::Present.into(), ..volume })
    }

    async fn delete_volume(&self, request: Request<v1::DeleteVolumeRequest>) -> Answer<v1::DeleteVolumeResponse> {
        self.note(request.get_ref());
        if !request.get_ref().force {
            return Err(unhinted(Code::FailedPrecondition, "VOLUME_IN_USE", "12 files lie on the volume fast"));
        }
        answer(v1::DeleteVolumeResponse {})
    }

    async fn verify_files(&self, request: Request<v1::VerifyFilesRequest>) -> Answer<Self::VerifyFilesStream> {
        self.note(request.get_ref());
        if request.get_ref().references.iter().any(|reference| reference == "civitai:999999") {
            return Err(refusal(Code::NotFound, "MODEL_NOT_FOUND", "no model civitai:999999"));
        }
        let world = self.world();
        events(world.store.verified.clone(), world.fate == Fate::Hangs)
    }

    async fn remove_files(&self, request: Request<v1::RemoveFilesRequest>) -> Answer<v1::Removal> {
        self.note(request.get_ref());
        let v1::RemoveFilesRequest { reference, validate_only } = request.into_inner();
        let files = self.world().store.removed.clone();
        if files.is_empty() {
            return Err(refusal(Code::FailedPrecondition, "FILE_NOT_LOCAL", "nothing of it is on this machine"));
        }
        let trashed = files.iter().filter(|file| file.bytes == "trashed");
        let mut removal = v1::Removal {
            reference,
            size_bytes: trashed.map(|file| file.size_bytes).sum(),
            file_count: u32::try_from(files.len()).unwrap() + self.world().store.uncounted,
            files,
            expire_time: time(30 * 86_400),
            ..Default::default()
        };
        if !validate_only {
            removal.name = "removals/3".into();
            removal.set_state(State::Trashed);
            removal.create_time = time(0);
        }
        answer(removal)
    }

    async fn list_removals(&self, request: Request<v1::ListRemovalsRequest>) -> Answer<v1::ListRemovalsResponse> {
        self.note(request.get_ref());
        let v1::ListRemovalsRequest { ended, page_token, .. } = request.into_inner();
        let at: usize = page_token.parse().unwrap_or(0);
        let world = self.world();
        let all: Vec<_> =
            world.store.removals.iter().filter(|removal| ended || removal.state() == State::Trashed).cloned().collect();
        let next_page_token = if at + 2 < all.len() { (at + 2).to_string() } else { String::new() };
        answer(v1::ListRemovalsResponse { removals: all.into_iter().skip(at).take(2).collect(), next_page_token })
    }

    async fn undo_removal(&self, request: Request<v1::UndoRemovalRequest>) -> Answer<v1::Removal> {
        self.note(request.get_ref());
        let name = request.into_inner().name;
        match name.as_str() {
            "removals/3" => answer(v1::Removal {
                name,
                reference: "civitai:1".into(),
                state: State::Restored.into(),
                files: self.world().store.removed.clone(),
                file_count: 0,
                size_bytes: 0,
                create_time: time(-3600),
                expire_time: None,
                end_time: time(0),
            }),
            "removals/2" => Err(unhinted(Code::FailedPrecondition, "TRASH_EMPTIED", "its bytes are gone")),
            _ => Err(unhinted(Code::NotFound, "REMOVAL_NOT_FOUND", "there is no such removal")),
        }
    }

    async fn collect_garbage(&self, request: Request<v1::CollectGarbageRequest>) -> Answer<Self::CollectGarbageStream> {
        self.note(request.get_ref());
        let free = request.into_inner().free;
        let mut found = self.world().store.garbage.clone();
        for garbage in found.iter_mut().filter(|garbage| free.contains(&garbage.class)) {
            // Only what is marked so by the test fails.
            garbage.freed = garbage.error.is_none();
        }
        for garbage in found.iter_mut().filter(|garbage| !free.contains(&garbage.class)) {
            garbage.error = None;
        }
        events(found, false)
    }
}
