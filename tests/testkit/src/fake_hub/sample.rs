//! The library that the demo and the end-to-end tests meet: a creator whose files are real and small, a creator whose
//! models are recorded ones that cannot be fetched for one reason each, and the same small model on Hugging Face.

use super::civitai_hashes::hashes;
use super::repository::Entry;
use super::{FakeCivitaiModel, FakeFile, FakeHub, FakeImage, FakeRepository, FakeVersion};
use crate::{TinyModel, fixtures};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

/// The CivitAI creator whose files can be downloaded and painted with.
pub const SAMPLE_CREATOR: &str = "tiny_emoji";
/// The CivitAI creator none of whose models can be fetched.
pub const SAMPLE_RECORDED_CREATOR: &str = "Konan";
/// The Hugging Face organisation with the same model.
pub const SAMPLE_ORGANISATION: &str = "tiny-emoji";

/// Recorded models that cannot be fetched: `tests/fixtures/hubs/SOURCES.md` says what each shows. The archived one is
/// only listed when asked for with `archived=true`.
const RECORDED: &[&str] = &[
    "model-2023-07-checkpoint-archived-98806",
    "model-2023-07-checkpoint-no-versions-96216",
    "model-2023-07-checkpoint-pickle-danger-42",
    "model-2023-07-checkpoint-scan-error-config-3819",
    "model-2023-07-checkpoint-vae-only-62741",
    "model-2023-07-lora-takendown-12671",
    "model-2023-07-poses-archive-87316",
    "listitem-2025-04-lora-early-access-1024060",
    "listitem-2026-08-lora-paidaccess-null-2851602",
];

const SDXL: &str = "stabilityai/stable-diffusion-xl-base-1.0";
const SDXL_FOLDER: &str = "hubs/huggingface/repos/stabilityai--stable-diffusion-xl-base-1.0";

pub(super) fn publish(hub: &FakeHub) {
    publish_civitai(hub);
    publish_recorded(hub);
    publish_hugging_face(hub);
}

fn read(path: &Path) -> Bytes {
    match std::fs::read(path) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => panic!("the fixture {} cannot be read: {error}", path.display()),
    }
}

/// The checkpoint, read once for all the hubs of a test run.
fn single_file() -> Bytes {
    static FILE: OnceLock<Bytes> = OnceLock::new();
    FILE.get_or_init(|| read(&TinyModel::single_file())).clone()
}

fn picture(name: &str, side: u32, blurhash: &str, meta: Value) -> FakeImage {
    FakeImage {
        bytes: read(&fixtures().join("pictures").join(format!("{name}.png"))),
        width: side,
        height: side,
        nsfw_level: 1,
        blurhash: Some(blurhash.to_owned()),
        meta,
    }
}

/// Generation data in the form that web front ends write, of a picture made with the checkpoint.
fn painted(prompt: &str, seed: u64) -> Value {
    static AUTO_V2: OnceLock<Value> = OnceLock::new();
    let hash = AUTO_V2.get_or_init(|| hashes(&single_file())["AutoV2"].clone());
    json!({
        "Size": "64x64", "seed": seed, "steps": 25, "prompt": prompt, "sampler": "DPM++ 2M", "cfgScale": 3,
        "Model": "tiny-emoji", "Model hash": hash, "hashes": {"model": hash},
        "resources": [{"name": "tiny-emoji", "type": "model", "hash": hash}],
    })
}

fn publish_civitai(hub: &FakeHub) {
    let mut model = FakeCivitaiModel::new(SAMPLE_CREATOR, "Checkpoint", "Tiny Emoji");
    model.id = Some(64_064);
    model.description = Some(
        "<p>A very small Stable&nbsp;Diffusion 1.x model that draws <strong>64×64 emoji</strong>.</p>\
         <ul><li>DPM++ 2M, 25 steps</li><li>CFG 2.5 to 4</li></ul>"
            .to_owned(),
    );
    model.tags = ["emoji", "base model", "tiny"].map(str::to_owned).to_vec();
    let mut version = FakeVersion::new("v1.0", "SD 1.5");
    version.id = Some(640_641);
    let mut file = FakeFile::model("tiny-emoji.safetensors", single_file());
    file.id = Some(6_406_411);
    let mut tokenizer = FakeFile::beside("tokenizer.json", "Config", read(&TinyModel::tokenizer()));
    tokenizer.id = Some(6_406_412);
    version = version
        .file(file)
        .file(tokenizer)
        .image(picture("red-heart", 64, "LuR^X:xFuOs;U_oLa0niy?X8VsbH", painted("red heart", 0)))
        .image(picture("green-apple", 64, "LvMuUAxu^nWB$,sqbXR%=QkCkoV[", painted("green apple", 0)))
        .image(picture("pizza", 64, "L%SOdKtSyZi]nhV?o#kDtnkXVsaJ", painted("pizza", 1)))
        .image(picture("cat-face", 64, "LzS5nJs:t.t6xaa#W9f5%%bHROay", Value::Null));
    hub.publish(model.version(version));

    let mut model = FakeCivitaiModel::new(SAMPLE_CREATOR, "LORA", "Greyscale");
    model.id = Some(64_065);
    model.description = Some("<p>Drains the colours towards grey.</p>".to_owned());
    model.tags = ["emoji", "style"].map(str::to_owned).to_vec();
    let mut version = FakeVersion::new("v1", "SD 1.5");
    version.id = Some(640_651);
    version.trained_words = vec!["greyscale".to_owned()];
    version.published = at("2026-08-14T09:30:00Z");
    let mut file = FakeFile::model("greyscale.safetensors", read(&TinyModel::lora()));
    file.id = Some(6_406_511);
    let meta = |prompt| json!({"prompt": prompt, "Size": "64x64", "Model": "tiny-emoji"});
    version = version
        .file(file)
        .image(picture("grey-red-heart", 128, "LsOyI[s:.RofH@oMRPo1_NbHM{fk", meta("red heart")))
        .image(picture("grey-apple", 128, "LqMati%M~XRjxvt7bERj?JkCoyRj", meta("green apple")));
    hub.publish(model.version(version));

    let mut model = FakeCivitaiModel::new(SAMPLE_CREATOR, "TextualInversion", "Lantern");
    model.id = Some(64_066);
    model.tags = vec!["emoji".to_owned()];
    let mut version = FakeVersion::new("v1", "SD 1.5");
    version.id = Some(640_661);
    version.trained_words = vec!["lantern".to_owned()];
    version.published = at("2026-08-17T18:05:00Z");
    let mut file = FakeFile::model("lantern.safetensors", read(&TinyModel::embedding()));
    file.id = Some(6_406_611);
    version = version.file(file).image(picture("lantern", 128, "L~P$jzof.TjGo0aebHofgPjuxUa{", meta("lantern")));
    hub.publish(model.version(version));
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("a date written here")
}

fn publish_recorded(hub: &FakeHub) {
    for name in RECORDED {
        let path = fixtures().join("hubs/civitai").join(format!("{name}.json"));
        let mut record: Value = match serde_json::from_slice(&read(&path)) {
            Ok(record) => record,
            Err(error) => panic!("the fixture {} is not JSON: {error}", path.display()),
        };
        // They are by as many people; one follow is to meet them all.
        record["creator"] = json!({"username": SAMPLE_RECORDED_CREATOR, "image": null});
        if record["id"] == 2_851_602 {
            // No version with a price was ever recorded; this is what the server's source makes of one.
            record["modelVersions"][0]["paidAccess"] =
                json!({"permanent": false, "endsAt": "2099-01-01T00:00:00.000Z"});
        }
        hub.publish_recorded(record);
    }
}

fn publish_hugging_face(hub: &FakeHub) {
    let id = |name: &str| format!("{SAMPLE_ORGANISATION}/{name}");
    let attributes = Bytes::from_static(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n");
    let card = |value: Value| value.as_object().cloned().unwrap_or_default();

    let mut files = TinyModel::diffusers_files();
    files.insert(".gitattributes".to_owned(), attributes.clone());
    let mut model = FakeRepository::new(&id("tiny-emoji"), files);
    model.card = card(json!({
        "license": "apache-2.0", "library_name": "diffusers", "pipeline_tag": "text-to-image",
        "tags": ["stable-diffusion", "text-to-image", "emoji"],
    }));
    model.card_text = "\n# Tiny Emoji\n\nDraws 64×64 emoji from short English prompts.\n".to_owned();
    model.pipeline_tag = Some("text-to-image".to_owned());
    model.library_name = Some("diffusers".to_owned());
    model.former_ids = vec![id("emoji-diffusion"), "emoji-diffusion".to_owned()];
    model.message = "Upload StableDiffusionPipeline".to_owned();
    hub.publish_repository(model);

    let lora = ("pytorch_lora_weights.safetensors".to_owned(), read(&TinyModel::diffusers_lora()));
    let files = BTreeMap::from([lora, (".gitattributes".to_owned(), attributes.clone())]);
    let mut adapter = FakeRepository::new(&id("greyscale-lora"), files);
    adapter.card = card(json!({
        "license": "apache-2.0", "library_name": "diffusers", "base_model": id("tiny-emoji"),
        "base_model_relation": "adapter", "tags": ["lora", "text-to-image"], "instance_prompt": null,
    }));
    adapter.card_text = "\n# Greyscale\n".to_owned();
    adapter.pipeline_tag = Some("text-to-image".to_owned());
    adapter.library_name = Some("diffusers".to_owned());
    hub.publish_repository(adapter);

    let files = BTreeMap::from([
        ("config.json".to_owned(), Bytes::from_static(b"{}\n")),
        ("lantern.safetensors".to_owned(), read(&TinyModel::embedding())),
        (".gitattributes".to_owned(), attributes),
    ]);
    let mut gated = FakeRepository::new(&id("gated"), files);
    gated.card = card(json!({"license": "other", "extra_gated_heading": "Ask for access"}));
    gated.card_text = "\n# Gated\n".to_owned();
    gated.gated = Some("manual".to_owned());
    hub.publish_repository(gated);

    let mut sdxl = FakeRepository::new(SDXL, BTreeMap::new());
    sdxl.card = card(json!({"license": "openrail++", "tags": ["text-to-image", "stable-diffusion"]}));
    sdxl.pipeline_tag = Some("text-to-image".to_owned());
    sdxl.library_name = Some("diffusers".to_owned());
    hub.shared.hugging_face().publish_entries(sdxl, recorded_tree(&fixtures().join(SDXL_FOLDER)));
}

/// The tree of a real repository, from `git ls-tree -r -l` and the pointer files kept beside it. The content of large
/// files is not kept: they can be listed and asked for by HEAD, not downloaded.
fn recorded_tree(folder: &Path) -> BTreeMap<String, Entry> {
    let listing = read(&folder.join("git-ls-tree.txt"));
    let mut entries = BTreeMap::new();
    for line in String::from_utf8_lossy(&listing).lines() {
        let Some((about, path)) = line.split_once('\t') else { continue };
        let mut columns = about.split_ascii_whitespace().skip(2);
        let (Some(oid), Some(size)) = (columns.next(), columns.next().and_then(|text| text.parse().ok())) else {
            continue;
        };
        let entry = match std::fs::read(folder.join(path)) {
            Ok(bytes) => read_pointer(&bytes).unwrap_or_else(|| Entry::of(path, Bytes::from(bytes))),
            Err(_) => Entry { oid: oid.to_owned(), size, lfs: None, bytes: None },
        };
        entries.insert(path.to_owned(), entry);
    }
    entries
}

fn read_pointer(bytes: &[u8]) -> Option<Entry> {
    let text =
        std::str::from_utf8(bytes).ok()?.strip_prefix("version https://git-lfs.github.com/spec/v1\noid sha256:")?;
    let (sha256, size) = text.split_once("\nsize ")?;
    Some(Entry::pointer(sha256, size.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_tree_has_the_ids_that_git_listed() {
        let folder = fixtures().join(SDXL_FOLDER);
        let entries = recorded_tree(&folder);
        let listing = String::from_utf8(read(&folder.join("git-ls-tree.txt")).to_vec()).unwrap();
        let mut large = 0;
        for line in listing.lines() {
            let (about, path) = line.split_once('\t').unwrap();
            assert_eq!(Some(entries[path].oid.as_str()), about.split_whitespace().nth(2), "{path}");
            large += usize::from(entries[path].lfs.is_some());
        }
        assert!(large > 20, "{large} large files");
        assert_eq!(entries["sd_xl_base_1.0.safetensors"].size, 6_938_078_334);
    }
}
