//! A queue with a generator that paints flat colours, and requests to the routes over it as clients send them.

use super::{Compat, routes_of};
use crate::room::Room;
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use paintbox_catalogue::{Catalogue, GenerationQuery, GenerationRecord, Interruption, NewArtifact, QueueLimits};
use paintbox_domain::clock::ManualClock;
use paintbox_domain::generation::{
    Adapter, Capabilities, Control, EngineBench, EngineCheck, Feature, Generator, Inspector, ModelFile, NetworkInputs,
    PaintPreview, PaintRequest, PaintSettings, PaintedImage, Painting, Phase, PredictionType, Progress, Sampler,
    Schedule, Upscale,
};
use paintbox_domain::hub::{FileSize, HubFile, HubModel, HubVersion, ModelState};
use paintbox_domain::{Architecture, Blake3, ErrorClass, Failure, FileFormat, Hub, ModelKind, Sha256, reason};
use paintbox_generation::{GenerationParts, Generations, HistoryFilter, Retention, Settings};
use paintbox_store::Store;
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// What the generator is asked for, in order.
pub(super) type Asked = Arc<Mutex<Vec<PaintRequest>>>;

/// A prompt whose picture shows itself after its first step, however long it takes until somebody looks.
pub(super) const SEEN: &str = "seen while it is painted";

struct FlatGenerator {
    /// A permit for each step; a closed channel permits everything.
    permits: mpsc::Receiver<()>,
    asked: Asked,
}

struct FlatInspector;

fn settings(request: &PaintRequest) -> PaintSettings {
    PaintSettings {
        architecture: Architecture::Sd1,
        steps: request.steps.unwrap_or(4),
        guidance_scale: request.guidance_scale.unwrap_or(7.0),
        image_guidance_scale: None,
        sampler: request.sampler.unwrap_or(Sampler::DpmPlusPlus2m),
        schedule: request.schedule.unwrap_or(Schedule::Normal),
        width: request.width.unwrap_or(64),
        height: request.height.unwrap_or(64),
        clip_skip: request.clip_skip.unwrap_or(1),
        strength: request.init.as_ref().map(|init| init.strength.unwrap_or(0.75)),
        noise: request.noise,
        guidance_rescale: 0.0,
        hires: None,
    }
}

impl Inspector for FlatInspector {
    fn capabilities(&self, _model: &[ModelFile]) -> Result<Capabilities, Failure> {
        Ok(Capabilities {
            architecture: Architecture::Sd1,
            prediction: PredictionType::Epsilon,
            inputs: NetworkInputs::Latents,
            defaults: settings(&PaintRequest::default()),
            samplers: Sampler::ALL.to_vec(),
            schedules: Schedule::ALL.to_vec(),
            size_multiple: 8,
            largest_clip_skip: 12,
            planned_bytes: 1 << 20,
            memory_limit_bytes: 1 << 30,
            features: Feature::ALL.to_vec(),
            refused: Vec::new(),
        })
    }

    fn misfits(&self, _model: &[ModelFile], adapters: &[Adapter]) -> Result<Vec<Option<Failure>>, Failure> {
        Ok(vec![None; adapters.len()])
    }
}

impl Generator for FlatGenerator {
    fn inspector(&self) -> Arc<dyn Inspector> {
        Arc::new(FlatInspector)
    }

    fn upscale(
        &mut self,
        image: &PaintedImage,
        upscale: &Upscale<ModelFile>,
        _control: &dyn Control,
    ) -> Result<PaintedImage, Failure> {
        let scale = upscale.scale.unwrap_or(2.0);
        let [width, height] = [image.width, image.height].map(|side| (side as f32 * scale) as u32);
        Ok(PaintedImage { seed: image.seed, width, height, rgb: vec![100; (3 * width * height) as usize] })
    }

    fn paint(&mut self, request: &PaintRequest, control: &dyn Control) -> Result<Painting, Failure> {
        self.asked.lock().unwrap().push(request.clone());
        if request.prompt == "too much" {
            return Err(Failure::new(ErrorClass::Exhausted, reason::OUT_OF_MEMORY, "there is not enough memory"));
        }
        let settings = settings(request);
        let total_steps = settings.steps;
        for step in 1..=total_steps {
            loop {
                if control.cancellation().is_wanted() {
                    return Err(Failure::new(ErrorClass::Cancelled, reason::CANCELLED, "cancelled"));
                }
                match self.permits.recv_timeout(Duration::from_millis(1)) {
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                }
            }
            control.progress(Progress { phase: Phase::Sampling, step, total_steps, image_index: 0, image_count: 1 });
            // Somebody who asked for it to be seen comes to look.
            while request.prompt == SEEN && step == 1 && !control.cancellation().is_wanted() {
                if control.wants_preview() {
                    control.preview(PaintPreview { image_index: 0, step, width: 2, height: 1, rgb: vec![9; 6] });
                    break;
                }
                std::thread::yield_now();
            }
        }
        let (width, height) = (settings.width, settings.height);
        let picture = |k: u64| {
            let seed = request.seed + k;
            let rgb = vec![u8::try_from(seed % 256).unwrap(); (3 * width * height) as usize];
            PaintedImage { seed, width, height, rgb }
        };
        let images = (0..u64::from(request.count)).map(picture).collect();
        Ok(Painting { settings, embeddings: Vec::new(), images, warnings: Vec::new() })
    }

    fn check(&mut self, _control: &dyn Control) -> Result<Vec<EngineCheck>, Failure> {
        Ok(Vec::new())
    }

    fn bench(&mut self, _request: &PaintRequest, _control: &dyn Control) -> Result<EngineBench, Failure> {
        Err(Failure::new(ErrorClass::Unsupported, reason::UNSUPPORTED_SETTING, "not in these tests"))
    }

    fn evict(&mut self) {}
}

/// The routes over a home of their own, with a checkpoint, a LoRA, an embedding, a VAE, a ControlNet and an upscaler.
pub(crate) struct World {
    pub(super) compat: Compat,
    router: Router,
    /// Let the generator take a step; none once it may take all.
    permits: Option<mpsc::Sender<()>>,
    pub(super) asked: Asked,
    _home: TempDir,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }
}

impl World {
    /// Everything is painted at once.
    pub(crate) async fn new() -> Self {
        let mut world = Self::held().await;
        world.permits = None;
        world
    }

    /// Nothing is painted before [`Self::permit`].
    pub(crate) async fn held() -> Self {
        Self::held_with(Room::default()).await
    }

    /// Everything is painted at once, and bodies have so much room.
    pub(super) async fn with_room(bytes: usize) -> Self {
        let mut world = Self::held_with(Room::of(bytes)).await;
        world.permits = None;
        world
    }

    async fn held_with(room: Room) -> Self {
        let home = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(&home.path().join("catalogue.db"), Arc::new(ManualClock::default())).await;
        let catalogue = catalogue.unwrap();
        let store = Store::open(&home.path().join("store")).unwrap();
        for (digest, name, kind) in [
            (1, "dream", ModelKind::Checkpoint),
            (3, "grey", ModelKind::Lora),
            (4, "lantern", ModelKind::TextualInversion),
            (5, "clear", ModelKind::Vae),
            (6, "lines", ModelKind::ControlNet),
            (7, "RealESRGAN_x4plus", ModelKind::Upscaler),
        ] {
            add(&catalogue, home.path(), digest, name, kind).await;
        }
        let (sender, permits) = mpsc::channel();
        let asked = Asked::default();
        let generations = Generations::start(GenerationParts {
            catalogue: catalogue.clone(),
            store: store.clone(),
            generator: Box::new(FlatGenerator { permits, asked: Arc::clone(&asked) }),
            settings: Settings {
                limits: QueueLimits { all: 10, of_one_client: 10 },
                interruption: Interruption::Fail,
                retention: Retention { keep: None, trash: Duration::from_secs(60) },
                keep_warm: None,
            },
            wakefulness: None,
        });
        let compat =
            Compat { generations, catalogue, store, shutdown: Default::default(), callers: Arc::default(), room };
        Self { router: routes_of(compat.clone()), compat, permits: Some(sender), asked, _home: home }
    }

    pub(crate) fn generations(&self) -> &Generations {
        &self.compat.generations
    }

    /// Everything that was asked for, the newest first.
    pub(super) async fn history(&self) -> Vec<GenerationRecord> {
        let all = HistoryFilter::All(Vec::new());
        self.compat.generations.list(&GenerationQuery::default(), &all).await.unwrap().generations
    }

    /// One more checkpoint.
    pub(super) async fn add_checkpoint(&self, digest: u8, name: &str) {
        add(&self.compat.catalogue, self._home.path(), digest, name, ModelKind::Checkpoint).await;
    }

    /// A repository of Hugging Face's with one revision, a pipeline in diffusers' layout.
    pub(super) async fn add_folder(&self, repository: &str, commit: &str) {
        let name = repository.rsplit('/').next().unwrap().to_owned();
        let files = [
            ("model_index.json".to_owned(), Sha256::from_bytes([0xe0; 32]), ModelKind::Other),
            ("unet/diffusion_pytorch_model.safetensors".to_owned(), Sha256::from_bytes([0xe1; 32]), ModelKind::Network),
        ];
        let about = (Hub::HuggingFace, repository, name, ModelKind::Checkpoint);
        record(&self.compat.catalogue, self._home.path(), about, commit, &files).await;
    }

    pub(crate) fn permit(&self, steps: usize) {
        for _ in 0..steps {
            self.permits.as_ref().unwrap().send(()).unwrap();
        }
    }

    /// What the generator was asked for last.
    pub(super) fn last_asked(&self) -> PaintRequest {
        self.asked.lock().unwrap().last().cloned().unwrap()
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Answered { status: parts.status, headers: parts.headers, body }
    }

    /// The head of an answer, with its body still to come.
    pub(super) async fn begin(&self, request: Request<Body>) -> axum::response::Response {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Answered {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answered {
        self.send(json_request(path, &body)).await
    }
}

pub(super) fn json_request(path: &str, body: &Value) -> Request<Body> {
    Request::post(path).header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

/// A form as browsers and Python write it: texts, and files by name.
pub(super) fn form_request(path: &str, texts: &[(&str, &str)], files: &[(&str, &[u8])]) -> Request<Body> {
    const BOUNDARY: &str = "a-boundary-that-is-in-no-picture";
    let mut body = Vec::new();
    for (name, text) in texts {
        body.extend(
            format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n").bytes(),
        );
    }
    for (name, bytes) in files {
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"x.png\"\r\n\
             content-type: image/png\r\n\r\n"
        );
        body.extend(head.bytes());
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    Request::post(path).header("content-type", kind).body(Body::from(body)).unwrap()
}

/// A picture whose left half is of this opacity and whose right half is opaque.
pub(super) fn picture(width: u32, height: u32, opacity: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let pixel = |x: u32| [200, 100, 50, if x < width / 2 { opacity } else { 255 }];
    let data: Vec<u8> = (0..height).flat_map(|_| (0..width).flat_map(pixel)).collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&data).unwrap();
    writer.finish().unwrap();
    bytes
}

async fn add(catalogue: &Catalogue, home: &Path, digest: u8, name: &str, kind: ModelKind) {
    let id = digest.to_string();
    let files = [(format!("{name}.safetensors"), Sha256::from_bytes([digest; 32]), kind)];
    let about = (Hub::Civitai, id.as_str(), format!("The {name}"), kind);
    record(catalogue, home, about, &format!("{id}0"), &files).await;
}

/// Records a model whose only version has these files, all of which are here. `about` is its hub, id, name and kind.
async fn record(
    catalogue: &Catalogue,
    home: &Path,
    about: (Hub, &str, String, ModelKind),
    version: &str,
    files: &[(String, Sha256, ModelKind)],
) {
    let (hub, id, name, kind) = about;
    let hub_files = files.iter().enumerate().map(|(at, (name, sha256, _))| HubFile {
        external_id: format!("{version}{at}"),
        name: name.clone(),
        size: Some(FileSize::Exact(1)),
        sha256: Some(*sha256),
        blake3: None,
        git_sha1: None,
        auto_v3: None,
        kind_label: Some("Model".to_owned()),
        format: FileFormat::from_file_name(name),
        precision: None,
        primary: at == 0,
        locator: String::new(),
    });
    let version = HubVersion {
        external_id: version.to_owned(),
        name: "v1".to_owned(),
        base_model: None,
        nsfw_level: 1,
        trained_words: vec![],
        published_at: None,
        early_access: None,
        download_allowed: true,
        files: hub_files.collect(),
        previews: vec![],
    };
    let model = HubModel {
        hub,
        external_id: id.to_owned(),
        name,
        kind,
        kind_label: None,
        creator: None,
        creator_id: None,
        description: None,
        tags: vec![],
        nsfw_level: 1,
        licence: None,
        downloads: None,
        likes: None,
        state: ModelState::Published,
        access_granted: None,
        published_at: None,
        updated_at: None,
        versions: vec![version],
        list_mark: None,
        raw: "{}".to_owned(),
    };
    let model = catalogue.record_models(&[model], None).await.unwrap()[0];
    for recorded in &catalogue.model(model).await.unwrap().versions[0].files {
        let (name, sha256, kind) = files.iter().find(|(name, ..)| *name == recorded.name).unwrap();
        let artifact = NewArtifact {
            sha256: *sha256,
            blake3: Blake3::from_bytes([0; 32]),
            auto_v3: None,
            size_bytes: 1,
            format: FileFormat::from_file_name(name),
            kind: *kind,
            architecture: Architecture::Sd1,
            precision: None,
            parameters: None,
            detail_json: None,
            // As the store names what it keeps.
            path: home.join(sha256.to_hex()),
        };
        catalogue.record_file(recorded.id, &artifact, true).await.unwrap();
    }
}
