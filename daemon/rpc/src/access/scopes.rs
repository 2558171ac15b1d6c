//! What each method needs. A method that is not in this table needs everything, and a test finds it.

use crate::caller::Scope;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Services, each with the methods that need a scope.
const METHODS: &[(&str, Scope, &[&str])] = &[
    ("grpc.health.v1.Health", Scope::Read, &["Check", "Watch"]),
    ("grpc.reflection.v1.ServerReflection", Scope::Read, &["ServerReflectionInfo"]),
    ("grpc.reflection.v1alpha.ServerReflection", Scope::Read, &["ServerReflectionInfo"]),
    (
        "paintbox.v1.AccessService",
        Scope::Admin,
        &[
            "CreateClientToken",
            "ListClientTokens",
            "DeleteClientToken",
            "CreateWebSession",
            "EndWebSessions",
            "ListListeners",
        ],
    ),
    ("paintbox.v1.AssetService", Scope::Read, &["GetAsset", "ReadAsset"]),
    ("paintbox.v1.AssetService", Scope::Generate, &["UploadAsset", "UploadAssetParts"]),
    (
        "paintbox.v1.CatalogueService",
        Scope::Read,
        &[
            "SearchModels",
            "GetModel",
            "ListModelVersions",
            "ListModelFiles",
            "ListPreviews",
            "ResolveModel",
            "ListModelHistory",
        ],
    ),
    ("paintbox.v1.CatalogueCareService", Scope::Read, &["ListBackups"]),
    (
        "paintbox.v1.CatalogueCareService",
        Scope::Admin,
        &["CheckCatalogue", "CreateBackup", "RestoreBackup", "ExportCatalogue", "ImportCatalogue"],
    ),
    ("paintbox.v1.DaemonService", Scope::Read, &["GetServerInfo", "GetStatus"]),
    (
        "paintbox.v1.DaemonService",
        Scope::Admin,
        &["StopDaemon", "ReloadConfig", "SetHubCredential", "DeleteHubCredential"],
    ),
    ("paintbox.v1.DownloadService", Scope::Read, &["ListDownloads", "GetDownload", "WatchDownload"]),
    (
        "paintbox.v1.DownloadService",
        Scope::Admin,
        &["PauseDownload", "ResumeDownload", "PutDownloadFirst", "CancelDownload", "PauseDownloads", "ResumeDownloads"],
    ),
    // Both keep the device busy, as a picture does.
    ("paintbox.v1.EngineService", Scope::Generate, &["CheckEngine", "BenchModel"]),
    ("paintbox.v1.EventService", Scope::Read, &["WatchEvents"]),
    ("paintbox.v1.FollowService", Scope::Read, &["GetFollow", "ListFollows"]),
    ("paintbox.v1.FollowService", Scope::Admin, &["CreateFollow", "UpdateFollow", "DeleteFollow"]),
    (
        "paintbox.v1.GenerationService",
        Scope::Read,
        &[
            "GetGeneration",
            "ListGenerations",
            "WatchGeneration",
            "GetGenerationQueue",
            "GetModelCapabilities",
            "ReadRecipe",
        ],
    ),
    (
        "paintbox.v1.GenerationService",
        Scope::Generate,
        &[
            "CreateGeneration",
            "GenerateImages",
            "UpdateGeneration",
            "CancelGeneration",
            "DeleteGeneration",
            "UndeleteGeneration",
        ],
    ),
    // The queue is everybody's.
    (
        "paintbox.v1.GenerationService",
        Scope::Admin,
        &["ReorderGeneration", "PauseGenerationQueue", "ResumeGenerationQueue"],
    ),
    ("paintbox.v1.LibraryService", Scope::Read, &["ListLibraries"]),
    ("paintbox.v1.LibraryService", Scope::Admin, &["CreateLibrary", "DeleteLibrary", "ScanLibraries"]),
    ("paintbox.v1.ShelfService", Scope::Read, &["GetStats", "ListDuplicates", "ListUpdates", "ListCompanions"]),
    ("paintbox.v1.StoreService", Scope::Read, &["ListVolumes", "ListRemovals"]),
    (
        "paintbox.v1.StoreService",
        Scope::Admin,
        &[
            "CreateVolume",
            "UpdateVolume",
            "DeleteVolume",
            "VerifyFiles",
            "RemoveFiles",
            "UndoRemoval",
            "CollectGarbage",
        ],
    ),
    ("paintbox.v1.SyncService", Scope::Read, &["GetSyncRun", "ListSyncRuns", "WatchSyncRun"]),
    // A plan asks hubs in the user's name.
    ("paintbox.v1.SyncService", Scope::Admin, &["PlanSync", "CreateSyncRun", "CancelSyncRun"]),
];

static BY_PATH: LazyLock<HashMap<String, Scope>> = LazyLock::new(|| {
    let paths = METHODS.iter().flat_map(|(service, scope, methods)| {
        methods.iter().map(move |method| (format!("/{service}/{method}"), *scope))
    });
    paths.collect()
});

/// What a call to `/package.Service/Method` needs.
pub(crate) fn needed_scope(path: &str) -> Scope {
    BY_PATH.get(path).copied().unwrap_or(Scope::Admin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use std::collections::BTreeSet;

    #[test]
    fn every_method_that_is_served_says_what_it_needs_once_and_no_other_is_named() {
        let mut served = BTreeSet::new();
        for descriptors in [
            paintbox_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            for file in prost_types::FileDescriptorSet::decode(descriptors).unwrap().file {
                for service in &file.service {
                    let methods = service.method.iter().map(prost_types::MethodDescriptorProto::name);
                    served.extend(methods.map(|method| format!("/{}.{}/{method}", file.package(), service.name())));
                }
            }
        }
        assert_eq!(BY_PATH.keys().cloned().collect::<BTreeSet<_>>(), served);
        let named: usize = METHODS.iter().map(|(_, _, methods)| methods.len()).sum();
        assert_eq!(named, served.len(), "a method is named twice");
    }

    #[test]
    fn what_nobody_knows_needs_everything() {
        assert_eq!(needed_scope("/paintbox.v1.DaemonService/Explode"), Scope::Admin);
        assert_eq!(needed_scope("/paintbox.v1.GenerationService/CreateGeneration"), Scope::Generate);
    }
}
