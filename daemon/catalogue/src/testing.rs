//! What the tests of this crate share: a catalogue in a temporary folder with a clock that stands still, and small
//! hub answers to vary.

use crate::open::Catalogue;
use crate::{Asset, AssetOrigin, NewArtifact};
use paintbox_domain::clock::ManualClock;
use paintbox_domain::hub::{FileSize, HubFile, HubModel, HubPreview, HubVersion, ModelState, PreviewMedia};
use paintbox_domain::{Architecture, Blake3, FileFormat, Hub, ModelKind, Sha256, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) fn clock_at(unix_ms: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_unix_ms(unix_ms)))
}

/// A new catalogue; its clock stands at 1000 ms.
pub(crate) async fn opened() -> (Catalogue, TempDir) {
    opened_with(clock_at(1_000)).await
}

pub(crate) async fn opened_with(clock: Arc<ManualClock>) -> (Catalogue, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::open(&home.path().join("catalogue.db"), clock).await.unwrap();
    (catalogue, home)
}

pub(crate) fn sha(byte: u8) -> Sha256 {
    Sha256::from_bytes([byte; 32])
}

/// A published CivitAI checkpoint with one version, `10`, whose file's digest is made from the model's id.
pub(crate) fn model(external_id: &str, name: &str) -> HubModel {
    let mut only = version("10");
    only.files[0].sha256 = Some(crate::snapshot::sha256(external_id.as_bytes()));
    HubModel {
        hub: Hub::Civitai,
        external_id: external_id.to_owned(),
        name: name.to_owned(),
        kind: ModelKind::Checkpoint,
        kind_label: Some("Checkpoint".to_owned()),
        creator: Some("Konan".to_owned()),
        creator_id: Some("77".to_owned()),
        description: Some("<p>words</p>".to_owned()),
        tags: Vec::new(),
        nsfw_level: 1,
        licence: Some("{\"allowCommercialUse\":\"Sell\"}".to_owned()),
        downloads: Some(5),
        likes: Some(2),
        state: ModelState::Published,
        access_granted: None,
        published_at: None,
        updated_at: None,
        versions: vec![only],
        list_mark: None,
        raw: format!("{{\"id\":\"{external_id}\",\"name\":\"{}\"}}", name.escape_default()),
    }
}

/// A version with one file and one preview.
pub(crate) fn version(external_id: &str) -> HubVersion {
    HubVersion {
        external_id: external_id.to_owned(),
        name: format!("v{external_id}"),
        base_model: Some("SD 1.5".to_owned()),
        trained_words: Vec::new(),
        nsfw_level: 1,
        published_at: Some(Timestamp::from_unix_ms(500)),
        early_access: None,
        download_allowed: true,
        files: vec![file(&format!("{external_id}1"), external_id.len() as u8)],
        previews: vec![HubPreview {
            external_id: Some(format!("{external_id}7")),
            url: format!("https://image.civitai.com/x/{external_id}/width=450/7.jpeg"),
            media: PreviewMedia::Image,
            width: Some(512),
            height: Some(768),
            nsfw_level: 1,
            blurhash: None,
            generation: Some("{\"prompt\":\"red heart\",\"seed\":1}".to_owned()),
        }],
    }
}

pub(crate) fn file(external_id: &str, digest_byte: u8) -> HubFile {
    HubFile {
        external_id: external_id.to_owned(),
        name: format!("{external_id}.safetensors"),
        size: Some(FileSize::About(1_000)),
        sha256: Some(sha(digest_byte)),
        blake3: None,
        git_sha1: None,
        auto_v3: None,
        kind_label: Some("Model".to_owned()),
        format: FileFormat::Safetensors,
        precision: Some("fp16".to_owned()),
        primary: true,
        locator: format!("/api/download/models/10?fileId={external_id}"),
    }
}

/// A Hugging Face repository.
pub(crate) fn repo(external_id: &str, versions: Vec<HubVersion>) -> HubModel {
    let raw = format!("{{\"id\":\"{external_id}\",\"sha\":\"{}\"}}", versions[0].external_id);
    HubModel { hub: Hub::HuggingFace, versions, raw, ..model(external_id, external_id) }
}

/// A commit with one file, `unet/weights.safetensors`.
pub(crate) fn commit(sha1: &str, digest_byte: u8) -> HubVersion {
    let weights = HubFile {
        external_id: "unet/weights.safetensors".to_owned(),
        name: "unet/weights.safetensors".to_owned(),
        size: Some(FileSize::Exact(1_000)),
        ..file("unet/weights.safetensors", digest_byte)
    };
    HubVersion { files: vec![weights], previews: Vec::new(), ..version(sha1) }
}

/// What the store and the header reader say of a file.
pub(crate) fn new_artifact(sha256: Sha256, path: PathBuf) -> NewArtifact {
    NewArtifact {
        sha256,
        blake3: Blake3::from_bytes([0xb3; 32]),
        auto_v3: None,
        size_bytes: 1_234,
        format: FileFormat::Safetensors,
        kind: ModelKind::Checkpoint,
        architecture: Architecture::Sd1,
        precision: Some("F16".to_owned()),
        parameters: Some(42),
        detail_json: None,
        path,
    }
}

pub(crate) fn asset(digest_byte: u8) -> Asset {
    Asset {
        sha256: sha(digest_byte),
        media_type: "image/png".to_owned(),
        size_bytes: 1_000,
        width: 64,
        height: 96,
        origin: AssetOrigin::Output,
    }
}
