//! The queue with a generator that paints flat colours, step by step, as the test lets it.

mod between;
mod headers;
mod leaving;
mod settings;
mod step_generator;
mod waiting;
mod waking;

use super::*;
use crate::{FoundBy, LikeState, LoraResource, Recipe, Resource};
use paintbox_catalogue::{FileId, NewArtifact};
use paintbox_domain::clock::ManualClock;
use paintbox_domain::generation::{
    Control, EngineBench, EngineCheck, Hires, Inspector, JobState, LoraUse, ModelFile, PaintPreview, PaintRequest,
    PaintSettings, PaintedImage, Painting, Phase, PictureFormat, PixelScaling, Sampler, Schedule, Upscale, Upscaler,
};
use paintbox_domain::hub::{FileSize, HubFile, HubModel, HubVersion, ModelState};
use paintbox_domain::{Architecture, Blake3, Classify as _, ErrorClass, Failure, FileFormat, Hub, ModelKind, reason};
use std::sync::{Mutex, mpsc};
use std::time::Duration;
use step_generator::{LOOKS_BETWEEN_STEPS, StepGenerator, Steps};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};

struct Bench {
    generations: Generations,
    catalogue: Catalogue,
    store: Store,
    clock: Arc<ManualClock>,
    permits: Option<mpsc::Sender<()>>,
    asked: Arc<Mutex<Vec<PaintRequest>>>,
    evicted: Arc<Notify>,
    steps: watch::Sender<Steps>,
    awake: waking::Awake,
    _home: TempDir,
}

impl Bench {
    async fn create(&self, spec: GenerationSpec) -> Result<GenerationRecord, GenerationError> {
        self.generations.create(&Ask { spec, ..Ask::default() }).await
    }
}

fn hub_model(id: &str, kind: ModelKind, digest: u8) -> HubModel {
    HubModel {
        hub: Hub::Civitai,
        external_id: id.to_owned(),
        name: format!("Model {id}"),
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
        versions: vec![HubVersion {
            external_id: format!("{id}0"),
            name: "v1".to_owned(),
            base_model: None,
            nsfw_level: 1,
            trained_words: vec![],
            published_at: None,
            early_access: None,
            download_allowed: true,
            files: vec![HubFile {
                external_id: format!("{id}00"),
                name: format!("m{id}.safetensors"),
                size: Some(FileSize::Exact(1)),
                sha256: Some(Sha256::from_bytes([digest; 32])),
                blake3: None,
                git_sha1: None,
                auto_v3: None,
                kind_label: Some("Model".to_owned()),
                format: FileFormat::Safetensors,
                precision: None,
                primary: true,
                locator: String::new(),
            }],
            previews: vec![],
        }],
        list_mark: None,
        raw: "{}".to_owned(),
    }
}

fn artifact(digest: u8, kind: ModelKind, path: std::path::PathBuf) -> NewArtifact {
    NewArtifact {
        sha256: Sha256::from_bytes([digest; 32]),
        blake3: Blake3::from_bytes([0; 32]),
        auto_v3: None,
        size_bytes: 1,
        format: FileFormat::Safetensors,
        kind,
        architecture: Architecture::Sd1,
        precision: None,
        parameters: None,
        detail_json: None,
        path,
    }
}

async fn bench(max_queued: u32) -> Bench {
    bench_keeping_warm(max_queued, None).await
}

async fn bench_keeping_warm(max_queued: u32, keep_warm: Option<Duration>) -> Bench {
    bench_with(max_queued, keep_warm, Interruption::Fail).await
}

async fn bench_with(max_queued: u32, keep_warm: Option<Duration>, interruption: Interruption) -> Bench {
    let home = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let catalogue = Catalogue::open(&home.path().join("catalogue.db"), clock.clone()).await.unwrap();
    let store = Store::open(&home.path().join("store")).unwrap();
    for (id, kind, digest, local) in [
        ("1", ModelKind::Checkpoint, 1, true),
        ("2", ModelKind::Checkpoint, 2, false),
        ("11", ModelKind::Checkpoint, 11, true),
        ("3", ModelKind::Lora, 3, true),
        ("4", ModelKind::TextualInversion, 4, true),
        ("5", ModelKind::TextualInversion, 5, true),
    ] {
        let model = catalogue.record_models(&[hub_model(id, kind, digest)], None).await.unwrap()[0];
        let file: FileId = catalogue.model(model).await.unwrap().versions[0].files[0].id;
        if local {
            let artifact = artifact(digest, kind, home.path().join(format!("blob{id}")));
            catalogue.record_file(file, &artifact, true).await.unwrap();
        }
    }
    let (sender, permits) = mpsc::channel();
    let asked = Arc::default();
    let evicted = Arc::default();
    let steps = watch::Sender::new(Steps::default());
    let awake = waking::Awake::default();
    let generator = Box::new(StepGenerator {
        permits,
        asked: Arc::clone(&asked),
        evicted: Arc::clone(&evicted),
        steps: steps.clone(),
    });
    let generations = Generations::start(GenerationParts {
        catalogue: catalogue.clone(),
        store: store.clone(),
        generator,
        settings: Settings {
            limits: QueueLimits { all: max_queued, of_one_client: max_queued },
            interruption,
            retention: Retention { keep: None, trash: Duration::from_secs(60) },
            keep_warm,
        },
        wakefulness: Some(Arc::new(awake.clone())),
    });
    Bench { evicted, steps, awake, generations, catalogue, store, clock, permits: Some(sender), asked, _home: home }
}

fn spec() -> GenerationSpec {
    GenerationSpec { model: "civitai:1".into(), prompt: "heart".into(), seed: Some(5), count: 1, ..Default::default() }
}

async fn ended(generations: &Generations, uid: &str) -> GenerationRecord {
    let mut events = std::pin::pin!(generations.watch(uid, false, None).await.unwrap());
    let mut last = None;
    let mut sequence = 0;
    while let Some(event) = events.next().await {
        let (number, event) = event.unwrap();
        assert!(number >= sequence);
        sequence = number;
        if let GenerationEvent::State(record) = event {
            last = Some(*record);
        }
    }
    last.unwrap()
}

#[tokio::test]
async fn paints_stores_and_records_with_a_recipe() {
    let mut bench = bench(10).await;
    drop(bench.permits.take());
    let record = bench.create(GenerationSpec { count: 2, ..spec() }).await.unwrap();
    let done = ended(&bench.generations, &record.uid).await;
    assert_eq!(done.state, JobState::Succeeded, "{:?}", done.failure);
    assert_eq!(done.images.iter().map(|image| image.seed).collect::<Vec<_>>(), [5, 6]);
    assert!(done.images[0].parameters_text.starts_with("heart\nSteps: 4, Sampler: Euler,"));
    let asset = done.images[0].asset;
    assert!(bench.catalogue.asset(&asset).await.unwrap().is_some());
    assert!(bench.store.open_blob(&asset).is_ok());
    bench.generations.shut_down().await;
}

#[tokio::test]
async fn a_finished_picture_is_made_larger_and_says_by_what() {
    let mut bench = bench(10).await;
    drop(bench.permits.take());
    let by = |scale| Some(Upscale { upscaler: Upscaler::Pixels(PixelScaling::Lanczos), scale });
    let record = bench.create(GenerationSpec { upscale: by(None), ..spec() }).await.unwrap();
    let painted = ended(&bench.generations, &record.uid).await;
    assert_eq!(painted.state, JobState::Succeeded, "{:?}", painted.failure);
    let first = &painted.images[0];
    assert_eq!((first.width, first.height), (32, 32));
    assert!(
        first.parameters_text.contains("Size: 8x8") && first.parameters_text.contains("Postprocess upscaler: Lanczos")
    );
    // The same again, of the picture alone: what it says of itself stays, word for word.
    let only =
        GenerationSpec { init_image: Some(first.asset), upscale: by(Some(2.0)), count: 1, ..GenerationSpec::default() };
    let record = bench.create(only.clone()).await.unwrap();
    let enlarged = ended(&bench.generations, &record.uid).await;
    assert_eq!(enlarged.state, JobState::Succeeded, "{:?}", enlarged.failure);
    let second = &enlarged.images[0];
    assert_eq!((second.width, second.height), (64, 64));
    let said = format!("{}, Postprocess upscale by: 2, Postprocess upscaler: Lanczos", first.parameters_text);
    assert_eq!(second.parameters_text, said);
    assert_eq!(crate::spec_from_json(&enlarged.spec_json).unwrap().upscale, by(Some(2.0)));
    // A checkpoint makes nothing larger.
    let upscale = Some(Upscale { upscaler: Upscaler::Network("civitai:1".to_owned()), scale: None });
    let refused = bench.create(GenerationSpec { upscale, ..only }).await.unwrap_err();
    assert_eq!(refused.reason(), reason::INVALID_ARGUMENT);
}

#[tokio::test]
async fn a_picture_is_seen_while_it_is_painted_by_those_who_ask() {
    let bench = bench(10).await;
    let permits = bench.permits.clone().unwrap();
    let running = bench.create(GenerationSpec { steps: Some(1000), ..spec() }).await.unwrap();
    let mut asks = std::pin::pin!(bench.generations.watch(&running.uid, true, None).await.unwrap());
    let mut does_not = std::pin::pin!(bench.generations.watch(&running.uid, false, None).await.unwrap());
    let seen = async {
        let mut last = 0;
        loop {
            permits.send(()).unwrap();
            // A step may end before anybody waits for a preview; then the next one has it.
            let event = tokio::time::timeout(Duration::from_millis(5), asks.next()).await;
            let Ok(Some(Ok((sequence, event)))) = event else { continue };
            assert!(sequence >= last);
            last = sequence;
            if let GenerationEvent::Preview(preview) = event {
                return preview;
            }
        }
    };
    let preview = tokio::time::timeout(Duration::from_secs(60), seen).await.expect("there is a preview");
    assert!(preview.step >= 1 && preview.rgb == [9; 6], "{preview:?}");
    let jpeg = crate::preview_jpeg(&preview, 1 << 20).unwrap();
    assert_eq!(image::load_from_memory(&jpeg).unwrap().into_rgb8().dimensions(), (2, 1));
    // What is hard to compress is made smaller until it fits.
    let rgb = (0..3 * 512 * 512_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let noise = PaintPreview { image_index: 0, step: 1, width: 512, height: 512, rgb };
    let jpeg = crate::preview_jpeg(&noise, 64 << 10).unwrap();
    let (width, _) = image::load_from_memory(&jpeg).unwrap().into_rgb8().dimensions();
    assert!(jpeg.len() <= 64 << 10 && (64..512).contains(&width), "{} bytes, {width} pixels", jpeg.len());
    bench.generations.cancel(&running.uid).await.unwrap();
    while let Some(event) = does_not.next().await {
        assert!(!matches!(event.unwrap().1, GenerationEvent::Preview(_)));
    }
}

#[tokio::test]
async fn both_passes_have_the_same_loras() {
    let mut bench = bench(10).await;
    drop(bench.permits.take());
    let of = |second: &str| GenerationSpec {
        prompt: "a fox <lora:m3:0.5>".into(),
        hires: Some(Hires { prompt: Some(second.to_owned()), ..Hires::default() }),
        ..spec()
    };
    let record = bench.create(of("closer <lora:m3:0.5>")).await.unwrap();
    assert_eq!(ended(&bench.generations, &record.uid).await.state, JobState::Succeeded);
    let asked = bench.asked.lock().unwrap().remove(0);
    assert_eq!(asked.hires.unwrap().prompt.as_deref(), Some("closer"));
    let refused = bench.create(of("closer <lora:m3:0.6>")).await.unwrap_err();
    assert_eq!(refused.reason(), reason::INVALID_ARGUMENT);
}

#[tokio::test]
async fn a_picture_is_kept_in_the_format_that_was_asked_for() {
    let mut bench = bench(10).await;
    drop(bench.permits.take());
    for (format, media_type) in [(PictureFormat::Jpeg, "image/jpeg"), (PictureFormat::Webp, "image/webp")] {
        let record = bench.create(GenerationSpec { format: Some(format), ..spec() }).await.unwrap();
        let done = ended(&bench.generations, &record.uid).await;
        let asset = bench.catalogue.asset(&done.images[0].asset).await.unwrap().unwrap();
        assert_eq!(asset.media_type, media_type);
    }
}

#[tokio::test]
async fn a_seed_is_chosen_once_and_kept() {
    let mut bench = bench(10).await;
    drop(bench.permits.take());
    let record = bench.create(GenerationSpec { seed: None, ..spec() }).await.unwrap();
    let chosen = crate::spec_from_json(&record.spec_json).unwrap().seed;
    let done = ended(&bench.generations, &record.uid).await;
    assert_eq!(Some(done.images[0].seed), chosen);
}

#[tokio::test]
async fn cancels_a_running_and_a_queued_one() {
    let bench = bench(10).await;
    let permits = bench.permits.clone().unwrap();
    let running = bench.create(GenerationSpec { steps: Some(1000), ..spec() }).await.unwrap();
    let queued = bench.create(spec()).await.unwrap();
    permits.send(()).unwrap();
    let mut events = std::pin::pin!(bench.generations.watch(&running.uid, false, None).await.unwrap());
    while !matches!(events.next().await.unwrap().unwrap().1, GenerationEvent::Progress(progress) if progress.step == 1)
    {
    }
    assert_eq!(bench.generations.cancel(&queued.uid).await.unwrap().state, JobState::Cancelled);
    assert_eq!(bench.generations.cancel(&running.uid).await.unwrap().state, JobState::Cancelled);
    assert_eq!(bench.generations.cancel(&running.uid).await.unwrap().state, JobState::Cancelled, "twice is once");
}

#[tokio::test]
async fn says_why_it_refuses() {
    let bench = bench(1).await;
    let create = async |spec: GenerationSpec| bench.create(spec).await;
    let reason_of = |result: Result<GenerationRecord, GenerationError>| result.unwrap_err().reason();
    assert_eq!(reason_of(create(GenerationSpec { model: "civitai:2".into(), ..spec() }).await), reason::FILE_NOT_LOCAL);
    assert_eq!(
        reason_of(create(GenerationSpec { model: "civitai:9".into(), ..spec() }).await),
        reason::MODEL_NOT_FOUND
    );
    assert_eq!(
        reason_of(create(GenerationSpec { model: "civitai:3".into(), ..spec() }).await),
        reason::INVALID_ARGUMENT
    );
    let checkpoint_as_lora = vec![LoraUse { model: "civitai:1".into(), weight: 1.0, text_encoder_weight: None }];
    assert_eq!(
        reason_of(create(GenerationSpec { loras: checkpoint_as_lora, ..spec() }).await),
        reason::INVALID_ARGUMENT
    );
    // One is taken by the worker or queued, one more fills the queue of one.
    let mut refused = None;
    for _ in 0..3 {
        if let Err(error) = create(GenerationSpec { steps: Some(1000), ..spec() }).await {
            refused = Some(error.reason());
        }
    }
    assert_eq!(refused, Some(reason::QUEUE_FULL));
}

#[tokio::test]
async fn a_prompt_names_loras_and_textual_inversions_by_their_files() {
    let mut bench = bench(10).await;
    drop(bench.permits.take());
    let prompt = "an <lora:M3:0.5:0.25> M4 in the snow".to_owned();
    let create = async |prompt: String| bench.create(GenerationSpec { prompt, ..spec() }).await;
    let record = create(prompt).await.unwrap();
    let done = ended(&bench.generations, &record.uid).await;
    assert_eq!(done.state, JobState::Succeeded, "{:?}", done.failure);
    let asked = bench.asked.lock().unwrap().remove(0);
    assert_eq!(asked.prompt, "an M4 in the snow");
    let loras: Vec<_> = asked.loras.iter().map(|lora| (lora.sha256, lora.weight, lora.text_encoder_weight)).collect();
    assert_eq!(loras, [(Sha256::from_bytes([3; 32]), 0.25, 0.5)]);
    let embeddings: Vec<_> = asked.embeddings.iter().map(|word| (word.name.as_str(), word.sha256)).collect();
    assert_eq!(embeddings, [("m4", Sha256::from_bytes([4; 32]))]);
    // Whoever made a mistake is told at once, and what would help.
    let unknown = create("a <lora:nothing:1>".into()).await.unwrap_err();
    assert_eq!(unknown.reason(), reason::FILE_NOT_LOCAL);
    assert!(unknown.hint().unwrap().contains("paintbox search nothing --kind lora"), "{:?}", unknown.hint());
    // Two files of one name, and no way to tell which one is meant.
    let model = bench.catalogue.record_models(&[hub_model("6", ModelKind::Lora, 6)], None).await.unwrap()[0];
    let file = bench.catalogue.model(model).await.unwrap().versions[0].files[0].id;
    let other = bench._home.path().join("elsewhere/m3.safetensors");
    bench.catalogue.record_file(file, &artifact(6, ModelKind::Lora, other), true).await.unwrap();
    let several = create("a <lora:m3:1>".into()).await.unwrap_err();
    assert_eq!(several.reason(), reason::AMBIGUOUS_NAME);
    assert!(several.hint().unwrap().contains("--lora"), "{:?}", several.hint());
}

#[tokio::test]
async fn a_fault_in_painting_ends_the_job_and_not_the_worker() {
    let mut bench = bench(10).await;
    drop(bench.permits.take());
    let broken = bench.create(GenerationSpec { prompt: "panic".into(), ..spec() }).await.unwrap();
    let failed = ended(&bench.generations, &broken.uid).await;
    assert_eq!(failed.failure.unwrap().reason, reason::ENGINE_FAILED);
    let next = bench.create(spec()).await.unwrap();
    assert_eq!(ended(&bench.generations, &next.uid).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn ending_the_daemon_interrupts_what_runs_and_keeps_what_is_queued() {
    let bench = bench(10).await;
    let running = bench.create(GenerationSpec { steps: Some(1000), ..spec() }).await.unwrap();
    let queued = bench.create(spec()).await.unwrap();
    bench.permits.as_ref().unwrap().send(()).unwrap();
    let mut events = std::pin::pin!(bench.generations.watch(&running.uid, false, None).await.unwrap());
    while !matches!(events.next().await.unwrap().unwrap().1, GenerationEvent::Progress(_)) {}
    bench.generations.shut_down().await;
    let interrupted = bench.catalogue.generation(&running.uid).await.unwrap();
    assert_eq!(interrupted.failure.unwrap().reason, reason::INTERRUPTED);
    assert_eq!(bench.catalogue.generation(&queued.uid).await.unwrap().state, JobState::Queued);
    assert_eq!(bench.create(spec()).await.unwrap_err().reason(), reason::SHUTTING_DOWN);
}

fn by_digest(name: &str, digit: u8, digits: usize) -> Resource {
    let digest = Sha256::from_bytes([digit; 32]).to_hex()[..digits].to_owned();
    Resource { name: name.to_owned(), digests: vec![digest], civitai_version: None }
}

fn by_name(name: &str) -> Resource {
    Resource { name: name.to_owned(), ..Resource::default() }
}

#[tokio::test]
async fn a_recipes_models_are_found_by_number_digest_and_name_and_the_missing_ones_said() {
    let bench = bench(1).await;
    let look = async |model: Resource| {
        let recipe = Recipe { model: Some(model), ..Recipe::default() };
        let plan = bench.generations.plan_like(recipe).await.unwrap();
        (plan.models[0].state.clone(), plan.spec.model, plan.remarks.len())
    };
    let here = |reference: &str, by| LikeState::Here { reference: reference.to_owned(), by };
    let missing = |pull: Option<&str>| LikeState::Missing { pull: pull.map(str::to_owned) };
    let number = |version| Resource { civitai_version: Some(version), ..by_name("x") };
    let whole = Sha256::from_bytes([1; 32]).to_hex();
    let unknown = "09".repeat(5);
    let address = "https://civitai.com/api/download/models";
    for (resource, state, reference, remarks) in [
        (by_digest("x", 1, 64), here(&whole, FoundBy::Digest), whole.as_str(), 0),
        (by_digest("x", 1, 10), here("0101010101", FoundBy::Digest), "0101010101", 0),
        (number(10), here(&format!("{address}/10"), FoundBy::Number), &format!("{address}/10")[..], 0),
        (by_name("m1"), here(&whole, FoundBy::Name), &whole, 0),
        (by_name("model 1"), here("civitai:1", FoundBy::Name), "civitai:1", 0),
        // Its digest says that it is another one.
        (by_digest("m1", 9, 10), here(&whole, FoundBy::Name), &whole, 1),
        // Known, and not here; unknown; and unknown by anything that a hub could be asked for.
        (by_digest("x", 2, 10), missing(Some("civitai:2@20")), "civitai:2@20", 0),
        (number(20), missing(Some("civitai:2@20")), "civitai:2@20", 0),
        (by_digest("x", 9, 10), missing(Some(&unknown)), &unknown, 0),
        (number(99), missing(Some(&format!("{address}/99"))), &format!("{address}/99"), 0),
        (by_digest("x", 9, 8), missing(None), "", 0),
        (by_name("model"), missing(None), "", 0),
        // A LoRA is no checkpoint, and a name is nothing but a name.
        (by_digest("x", 3, 10), missing(Some("0303030303")), "0303030303", 0),
        (by_name("path:/etc/passwd"), missing(None), "", 0),
        (by_name("civitai:1"), missing(None), "", 0),
        (by_name(""), missing(None), "", 0),
    ] {
        assert_eq!(look(resource.clone()).await, (state, reference.to_owned(), remarks), "{resource:?}");
    }
}

#[tokio::test]
async fn a_recipe_becomes_what_can_be_asked_for() {
    let bench = bench(1).await;
    let recipe = Recipe {
        prompt: "a fox".to_owned(),
        steps: Some(5),
        strength: Some(0.5),
        model: Some(by_digest("m1", 1, 10)),
        vae: Some(by_name("kl-f8")),
        loras: vec![LoraResource { resource: by_digest("m3", 3, 10), weight: 0.7, text_encoder_weight: Some(0.5) }],
        embeddings: vec![by_name("lantern")],
        ..Recipe::default()
    };
    let plan = bench.generations.plan_like(recipe).await.unwrap();
    assert_eq!((plan.spec.prompt.as_str(), plan.spec.steps, plan.spec.strength), ("a fox", Some(5), Some(0.5)));
    let lora = LoraUse { model: "0303030303".to_owned(), weight: 0.7, text_encoder_weight: Some(0.5) };
    assert_eq!(plan.spec.loras, [lora]);
    let states: Vec<_> = plan.models.iter().map(|model| (model.role.as_str(), &model.state)).collect();
    assert!(matches!(states[1], ("lora", LikeState::Here { .. })), "{states:?}");
    assert_eq!(
        states[2..],
        [("vae", &LikeState::Missing { pull: None }), ("embedding", &LikeState::Missing { pull: None })]
    );
    let fields: Vec<_> = plan.remarks.iter().map(|remark| remark.field.as_str()).collect();
    assert_eq!(fields, ["vae", "embedding", "Denoising strength"]);
}

#[tokio::test]
async fn text_encoders_and_textual_inversions_are_named_by_reference_and_found_again() {
    let mut bench = bench(10).await;
    drop(bench.permits.take());
    for (id, kind, digest) in [("8", ModelKind::TextEncoder, 8), ("7", ModelKind::Vae, 7)] {
        let model = bench.catalogue.record_models(&[hub_model(id, kind, digest)], None).await.unwrap()[0];
        let file = bench.catalogue.model(model).await.unwrap().versions[0].files[0].id;
        let path = bench._home.path().join(format!("m{id}.safetensors"));
        bench.catalogue.record_file(file, &artifact(digest, kind, path), true).await.unwrap();
    }
    let lamp = bench._home.path().join("zz lamp.pt");
    std::fs::write(&lamp, "vectors").unwrap();
    let create = async |text_encoders: &[&str], embeddings: &[&str]| {
        let owned = |references: &[&str]| references.iter().map(|text| (*text).to_owned()).collect();
        let (text_encoders, embeddings) = (owned(text_encoders), owned(embeddings));
        bench.create(GenerationSpec { text_encoders, embeddings, ..spec() }).await
    };
    let record = create(&["civitai:8"], &[&format!("path:{}", lamp.display())]).await.unwrap();
    let done = ended(&bench.generations, &record.uid).await;
    assert_eq!(done.state, JobState::Succeeded, "{:?}", done.failure);
    let asked = bench.asked.lock().unwrap().remove(0);
    let encoders: Vec<_> = asked.text_encoders.iter().map(|file| (file.name.as_str(), file.sha256)).collect();
    assert_eq!(encoders, [("m8.safetensors", Sha256::from_bytes([8; 32]))]);
    assert_eq!(asked.embeddings.iter().map(|word| word.name.as_str()).collect::<Vec<_>>(), ["zz lamp"]);
    let text = &done.images[0].parameters_text;
    assert!(text.contains("Module 1: m8, Module hashes: \"m8: 0808080808\""), "{text}");
    for refused in [
        create(&["civitai:3"], &[]).await,
        create(&[], &["civitai:1"]).await,
        create(&["civitai:8"; 5], &[]).await,
        create(&[], &["civitai:4"; 65]).await,
    ] {
        assert_eq!(refused.unwrap_err().reason(), reason::INVALID_ARGUMENT);
    }
    // What Forge loads beside a model may be a VAE, which only the file tells.
    let encoders = vec![by_digest("renamed", 8, 10), by_name("m7"), by_name("nothing")];
    let recipe = Recipe { model: Some(by_name("m1")), text_encoders: encoders, ..Recipe::default() };
    let plan = bench.generations.plan_like(recipe).await.unwrap();
    assert_eq!(plan.spec.text_encoders, ["0808080808"]);
    assert_eq!(plan.spec.vae, Some(Sha256::from_bytes([7; 32]).to_hex()));
    let roles: Vec<_> = plan.models.iter().map(|model| model.role.as_str()).collect();
    assert_eq!(roles, ["model", "text_encoder", "vae", "text_encoder"]);
    assert_eq!(plan.remarks.iter().map(|remark| remark.given.as_str()).collect::<Vec<_>>(), ["nothing"]);
}
