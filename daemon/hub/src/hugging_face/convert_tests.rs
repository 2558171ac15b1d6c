//! What becomes of recorded answers of Hugging Face.

use super::*;
use paintbox_domain::Timestamp;
use serde_json::json;

fn recorded(name: &str) -> Value {
    let path = format!("{}/../../tests/fixtures/hubs/huggingface/api/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn unix_ms(text: &str) -> Timestamp {
    Timestamp::from_unix_ms(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

#[test]
fn a_recorded_pipeline_is_a_checkpoint_with_every_file_and_its_digest() {
    let model = model(&recorded("model-info-blobs-stabilityai-sdxl-turbo"), String::new(), Some("main")).unwrap();
    assert_eq!(model.external_id, "stabilityai/sdxl-turbo");
    assert_eq!((model.name.as_str(), model.creator.as_deref()), ("sdxl-turbo", Some("stabilityai")));
    assert_eq!((model.kind, model.kind_label.as_deref()), (ModelKind::Checkpoint, Some("StableDiffusionXLPipeline")));
    assert_eq!(model.state, ModelState::Published);
    assert_eq!(
        model.licence.as_deref(),
        Some("other, sai-nc-community, https://huggingface.co/stabilityai/sdxl-turbo/blob/main/LICENSE.TXT")
    );
    assert_eq!((model.downloads, model.likes), (Some(588_989), Some(1297)));
    let [version] = &model.versions[..] else { panic!("one version") };
    assert_eq!(
        (version.name.as_str(), version.external_id.as_str()),
        ("main", "f4b0486b498f84668e828044de1d0c8ba486e05b")
    );
    let file = |path: &str| version.files.iter().find(|file| file.external_id == path).unwrap();
    let weights = file("sd_xl_turbo_1.0.safetensors");
    assert_eq!(weights.size, Some(FileSize::Exact(13_875_761_366)));
    assert_eq!(weights.sha256.unwrap().to_hex(), "2e58e3704b4c0831bf848e0507c9b5ff2cd8d007b8d0719dba3874156f631050");
    assert_eq!(weights.git_sha1, None, "the blob id of an LFS file is its pointer's");
    assert_eq!(
        weights.locator,
        "/stabilityai/sdxl-turbo/resolve/f4b0486b498f84668e828044de1d0c8ba486e05b/sd_xl_turbo_1.0.safetensors"
    );
    let config = file("scheduler/scheduler_config.json");
    assert_eq!((config.size, config.sha256), (Some(FileSize::Exact(459)), None));
    assert_eq!(config.git_sha1.unwrap().to_hex(), "0359d7abb0b9c7b4a433be2db87cefea03c06ea5");
    assert_eq!(config.format, FileFormat::Json);
    assert!(config.locator.ends_with("/scheduler/scheduler_config.json"));
}

#[test]
fn an_embedding_names_its_base_model() {
    let model = model(&recorded("model-info-blobs-textual_inversion_tests"), String::new(), Some("main")).unwrap();
    assert_eq!(model.kind, ModelKind::TextualInversion);
    assert_eq!(model.versions[0].base_model.as_deref(), Some("stabilityai/stable-diffusion-xl-base-1.0"));
    assert_eq!(model.published_at, Some(unix_ms("2024-02-04T02:06:31.000Z")));
    assert_eq!(model.updated_at, Some(unix_ms("2024-02-06T00:51:36.000Z")));
}

#[test]
fn gates_and_closed_doors_are_states() {
    let gated = recorded("model-info-gated-manual-Llama-3.1-8B-Instruct");
    let gated = model(&gated, String::new(), Some("main")).unwrap();
    assert_eq!((gated.state, gated.kind), (ModelState::Gated, ModelKind::Unknown));
    assert_eq!(gated.versions[0].base_model.as_deref(), Some("meta-llama/Llama-3.1-8B"));
    let state = |page: Value| model(&page, String::new(), None).unwrap().state;
    assert_eq!(state(json!({"id": "a/b", "disabled": true, "gated": "auto"})), ModelState::Disabled);
    assert_eq!(state(json!({"id": "a/b", "gated": false})), ModelState::Published);
    assert_eq!(state(json!({"id": "a/b", "gated": null})), ModelState::Published);
}

#[test]
fn the_day_on_which_records_begin_is_no_date() {
    let page = json!({"id": "a/b", "createdAt": "2022-03-02T23:29:04.000Z"});
    assert_eq!(model(&page, String::new(), None).unwrap().published_at, None);
}

#[test]
fn kinds_come_from_tags_classes_and_files() {
    for (page, wanted) in [
        (json!({"tags": ["lora", "diffusers"]}), ModelKind::Lora),
        (json!({"tags": ["base_model:adapter:a/b"], "library_name": "peft"}), ModelKind::Lora),
        (json!({"tags": ["diffusers", "controlnet"]}), ModelKind::ControlNet),
        (json!({"config": {"diffusers": {"_class_name": "ControlNetModel"}}}), ModelKind::ControlNet),
        (json!({"config": {"diffusers": {"class_name": "AutoencoderKL"}}}), ModelKind::Vae),
        (json!({"siblings": [{"rfilename": "model_index.json"}]}), ModelKind::Checkpoint),
        (json!({"library_name": "diffusers"}), ModelKind::Checkpoint),
        (json!({"tags": ["transformers"], "pipeline_tag": "text-generation"}), ModelKind::Unknown),
        (json!({}), ModelKind::Unknown),
    ] {
        let mut page = page;
        page["id"] = json!("a/b");
        assert_eq!(model(&page, String::new(), None).unwrap().kind, wanted, "{page}");
    }
}

#[test]
fn versions_are_named_by_branch_tag_or_the_head_of_a_commit() {
    let sha = "f4b0486b498f84668e828044de1d0c8ba486e05b";
    let page = json!({"id": "a/b", "sha": sha});
    for (revision, wanted) in
        [("main", "main"), ("v1.0", "v1.0"), (sha, "f4b0486b"), ("f4b0486", "f4b0486b"), ("deadbeef", "deadbeef")]
    {
        assert_eq!(model(&page, String::new(), Some(revision)).unwrap().versions[0].name, wanted);
    }
    for bad in [json!({"id": "a/b"}), json!({"id": "a/b", "sha": "main"}), json!({"id": "a/b", "sha": null})] {
        assert!(model(&bad, String::new(), Some("main")).unwrap().versions.is_empty(), "{bad}");
    }
}

#[test]
fn hostile_ids_and_paths_are_left_out_and_odd_ones_are_encoded() {
    for id in ["", "..", "a/../b", "a/b/c", "a b", "a/b?x", "a/.."] {
        assert!(model(&json!({"id": id}), String::new(), None).is_none(), "{id}");
    }
    let sha = "f4b0486b498f84668e828044de1d0c8ba486e05b";
    let paths =
        ["../x", "/etc/passwd", "a//b", "a/./b", "a\\b", "a\u{0}b", "", "ok/a [1]#?%.bin", "ü/unet.fp16.safetensors"];
    let siblings: Vec<Value> =
        paths.iter().map(|path| json!({"rfilename": path})).chain([json!(null), json!({})]).collect();
    let model = model(&json!({"id": "a/b", "sha": sha, "siblings": siblings}), String::new(), Some("main")).unwrap();
    let [odd, half] = &model.versions[0].files[..] else { panic!("two paths are fit") };
    assert_eq!(odd.external_id, "ok/a [1]#?%.bin");
    assert_eq!(odd.locator, format!("/a/b/resolve/{sha}/ok/a%20%5B1%5D%23%3F%25.bin"));
    assert_eq!(half.precision.as_deref(), Some("fp16"));
    assert_eq!((half.size, half.sha256, half.git_sha1), (None, None, None));
}
