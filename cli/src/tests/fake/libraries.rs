//! Libraries of the scripted world.

use super::{Answer, Events, Fake, Fate, answer, events, unhinted};
use paintbox_proto::v1;
use tonic::{Code, Request};

/// What the daemon has and finds.
#[derive(Debug, Default)]
pub(in super::super) struct Libraries {
    pub(in super::super) known: Vec<v1::Library>,
    /// What a folder turns out to be when it is added, but for its name and path.
    pub(in super::super) found: v1::Library,
    /// What a look at each library that is asked about tells before its end.
    pub(in super::super) far: Vec<v1::ScanLibrariesResponse>,
}

#[tonic::async_trait]
impl v1::library_service_server::LibraryService for Fake {
    type ScanLibrariesStream = Events<v1::ScanLibrariesResponse>;

    async fn list_libraries(&self, _: Request<v1::ListLibrariesRequest>) -> Answer<v1::ListLibrariesResponse> {
        answer(v1::ListLibrariesResponse { libraries: self.world().libraries.known.clone(), ..Default::default() })
    }

    async fn create_library(&self, request: Request<v1::CreateLibraryRequest>) -> Answer<v1::Library> {
        self.note(request.get_ref());
        let path = request.into_inner().path;
        let mut world = self.world();
        let known = &world.libraries.known;
        if known.iter().any(|library| library.path == path) {
            return Err(unhinted(Code::AlreadyExists, "LIBRARY_EXISTS", "it is the library /mnt/models"));
        }
        let name = format!("libraries/{}", known.len() + 1);
        let library = v1::Library { name, path, ..world.libraries.found.clone() };
        world.libraries.known.push(library.clone());
        answer(library)
    }

    async fn delete_library(&self, request: Request<v1::DeleteLibraryRequest>) -> Answer<v1::DeleteLibraryResponse> {
        self.note(request.get_ref());
        let name = request.into_inner().name;
        let mut world = self.world();
        match world.libraries.known.iter().position(|library| library.name == name) {
            Some(at) => drop(world.libraries.known.remove(at)),
            None => return Err(unhinted(Code::NotFound, "LIBRARY_NOT_FOUND", "there is no library 9")),
        }
        answer(v1::DeleteLibraryResponse {})
    }

    async fn scan_libraries(&self, request: Request<v1::ScanLibrariesRequest>) -> Answer<Self::ScanLibrariesStream> {
        self.note(request.get_ref());
        let names = request.into_inner().names;
        let world = self.world();
        let is_asked = |library: &&v1::Library| names.is_empty() || names.contains(&library.name);
        let mut told = Vec::new();
        for library in world.libraries.known.iter().filter(is_asked) {
            let of_it = |far: &v1::ScanLibrariesResponse| v1::ScanLibrariesResponse {
                name: library.name.clone(),
                ..far.clone()
            };
            told.extend(world.libraries.far.iter().map(of_it));
            if world.fate == Fate::Well {
                let ended = world.libraries.far.last().map(of_it).unwrap_or_default();
                told.push(v1::ScanLibrariesResponse {
                    name: library.name.clone(),
                    library: Some(library.clone()),
                    ..ended
                });
            }
        }
        events(told, world.fate == Fate::Hangs)
    }
}
