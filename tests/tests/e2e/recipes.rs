//! Pictures given back to `generate --like`, in every format, and pictures that somebody posted on a hub.

use super::*;
use paintbox_testkit::{FakeCivitaiModel, FakeImage, fixtures};
use serde_json::json;

fn pixels(path: &Path) -> Vec<u8> {
    image::open(path).unwrap().to_rgb8().into_raw()
}

/// Paints with more words; where it was written, and the objects that were printed.
fn paint(installed: &Installation, file: &str, words: &[&str]) -> (std::path::PathBuf, Vec<Value>) {
    let path = installed.scratch().join(file);
    let printed = ok(installed, &[&["generate", "-o", path.to_str().unwrap()], words].concat());
    (path, printed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_picture_that_is_given_back_is_painted_again_to_the_pixel() {
    let (_hub, installed) = installation().await;
    ok(&installed, &["pull", "civitai:64064", "civitai:64065"]);
    let settings =
        ["--seed", "7", "--steps", "6", "--cfg", "3", "--sampler", "euler_a", "--width", "64", "--height", "64"];
    let words = [
        &["a red heart, (glossy:1.1)", "--negative", "blurry, grey: all", "--model", "civitai:64064"][..],
        &["--lora", "civitai:64065:0.6", "--clip-skip", "1"],
        &settings,
    ]
    .concat();
    let (first, _) = paint(&installed, "first.png", &words);
    let (lossless, _) = paint(&installed, "first.webp", &words);
    let (lossy, _) = paint(&installed, "first.jpg", &[&words[..], &["--quality", "60"]].concat());
    assert_eq!(pixels(&first), pixels(&lossless), "WebP is without loss");
    assert_ne!(pixels(&first), pixels(&lossy));
    assert_eq!(&std::fs::read(&lossy).unwrap()[..3], b"\xff\xd8\xff");

    for (number, source) in [&first, &lossless, &lossy].into_iter().enumerate() {
        let (again, printed) = paint(&installed, &format!("again-{number}.png"), &["--like", source.to_str().unwrap()]);
        let recipe = &printed[0];
        assert_eq!((&recipe["event"], &recipe["remarks"]), (&"recipe".into(), &Value::Array(vec![])), "{recipe:#}");
        assert_eq!(recipe["models"][0]["found_by"], "digest");
        assert_eq!(pixels(&first), pixels(&again), "{}", source.display());
        assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&again).unwrap(), "its recipe is the same as well");
    }

    // What is given beside it counts more.
    let (other, printed) =
        paint(&installed, "other.png", &["a pizza", "--like", first.to_str().unwrap(), "--seed", "8", "--steps", "3"]);
    let spec = &printed[0]["spec"];
    assert_eq!((&spec["prompt"], &spec["seed"], &spec["steps"]), (&"a pizza".into(), &8.into(), &3.into()));
    assert_eq!((&spec["sampler"], &spec["negative"]), (&"euler_a".into(), &"blurry, grey: all".into()));
    assert_ne!(pixels(&first), pixels(&other));

    // A folder's part stands for the folder.
    ok(&installed, &["pull", "hf:tiny-emoji/tiny-emoji"]);
    let (folder, _) =
        paint(&installed, "folder.png", &[&["pizza", "--model", "hf:tiny-emoji/tiny-emoji"][..], &settings].concat());
    let (again, _) = paint(&installed, "folder-again.png", &["--like", folder.to_str().unwrap()]);
    assert_eq!(pixels(&folder), pixels(&again));
}

/// A picture on the hub with this generation data; its number.
fn posted(hub: &FakeHub, meta: Value) -> u64 {
    let bytes = std::fs::read(fixtures().join("pictures/red-heart.png")).unwrap();
    let image = FakeImage { bytes: bytes.into(), width: 64, height: 64, nsfw_level: 4, blurhash: None, meta };
    let version =
        FakeVersion::new("v1", "SD 1.5").image(image).file(FakeFile::model("x.safetensors", other_weights(1)));
    hub.publish(FakeCivitaiModel::new("somebody", "LORA", "Shown with it").version(version)).versions[0].images[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_posted_picture_was_made_with_is_named_and_fetched() {
    let (hub, installed) = installation().await;
    let number = posted(
        &hub,
        json!({
            "prompt": "red heart", "negativePrompt": "blurry", "seed": 7, "steps": 4, "sampler": "Euler", "cfgScale": 3,
            "Size": "64x64", "Model": "tiny-emoji", "Hires upscale": "2", "ADetailer model": "face.pt", "hashes": {"model": "74720BA1E6"},
            "civitaiResources": [{"type": "lora", "weight": 0.5, "modelVersionId": 640_651}],
        }),
    );
    let address = format!("https://civitai.com/images/{number}");
    let lora = "https://civitai.com/api/download/models/640651";

    let shown = &ok(&installed, &["generate", "--like", &number.to_string(), "--dry-run"])[0];
    let states: Vec<_> = shown["models"].as_array().unwrap().iter().map(|model| &model["state"]).collect();
    assert_eq!(states, ["missing", "missing"], "{shown:#}");
    assert_eq!((&shown["models"][0]["pull"], &shown["models"][1]["pull"]), (&"74720ba1e6".into(), &lora.into()));
    assert_eq!(shown["remarks"][0]["field"], "ADetailer model");
    assert_eq!(shown["spec"]["seed"], 7);

    let refused = error(&installed, &["generate", "--like", &address]);
    assert_eq!(refused["reason"], "FILE_NOT_LOCAL");
    assert!(refused["hint"].as_str().unwrap().contains(&format!("`paintbox pull 74720ba1e6 {lora}`")), "{refused}");

    let (path, printed) = paint(&installed, "like.png", &["--like", &address, "--pull"]);
    assert!(printed.iter().any(|object| object["fetched"].as_u64().is_some_and(|files| files > 0)), "{printed:#?}");
    let by_hand = ["red heart", "--negative", "blurry", "--model", "civitai:64064", "--lora", "civitai:64065:0.5"];
    let settings = ["--seed", "7", "--steps", "4", "--cfg", "3", "--sampler", "euler", "--schedule", "normal"];
    let size = ["--width", "64", "--height", "64", "--hires", "2"];
    let (wanted, _) = paint(&installed, "by-hand.png", &[&by_hand[..], &settings, &size].concat());
    assert_eq!(pixels(&path), pixels(&wanted));
    let (again, printed) = paint(&installed, "again.png", &["--like", &address]);
    assert_eq!((&printed[0]["models"][1]["found_by"], pixels(&again)), (&"number".into(), pixels(&wanted)));

    let hidden = posted(&hub, Value::Null);
    assert_eq!(error(&installed, &["generate", "--like", &hidden.to_string()])["reason"], "RECIPE_NOT_FOUND");
}

/// Real-ESRGAN's compact network with four features and small random weights, as safetensors.
fn upscaler_weights() -> Vec<u8> {
    let shapes: [(&str, &[usize]); 8] = [
        ("body.0.bias", &[4]),
        ("body.0.weight", &[4, 3, 3, 3]),
        ("body.1.weight", &[4]),
        ("body.2.bias", &[4]),
        ("body.2.weight", &[4, 4, 3, 3]),
        ("body.3.weight", &[4]),
        ("body.4.bias", &[48]),
        ("body.4.weight", &[48, 4, 3, 3]),
    ];
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in shapes {
        let start = data.len();
        for index in 0..shape.iter().product::<usize>() {
            let value = ((index * 7919 + name.len() * 31) % 101) as f32 / 1010.0 - 0.05;
            data.extend(value.to_le_bytes());
        }
        header.insert(name.into(), json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] }));
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

/// A picture is painted in two passes and made larger, by the upscaler that somebody posted; then again by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_picture_becomes_larger_while_it_is_painted_and_afterwards() {
    let (hub, installed) = installation().await;
    let version = FakeVersion::new("v1", "Other").file(FakeFile::model("4x-Small.safetensors", upscaler_weights()));
    let mut small = FakeCivitaiModel::new("somebody", "Upscaler", "Small").version(version);
    small.id = Some(64_070);
    hub.publish(small);
    ok(&installed, &["pull", "civitai:64064", "civitai:64070"]);
    let settings = ["--model", "civitai:64064", "--seed", "7", "--steps", "4", "--width", "64", "--height", "64"];
    let larger =
        ["--hires", "1.5", "--hires-steps", "3", "--hires-upscaler", "civitai:64070", "--upscale", "civitai:64070"];
    let words = [&["a red heart"][..], &settings, &larger].concat();
    let (first, printed) = paint(&installed, "first.png", &words);
    let phases: Vec<_> = printed.iter().filter_map(|object| object["phase"].as_str()).collect();
    assert!(phases.contains(&"upscaling"), "{phases:?}");
    assert_eq!(image::image_dimensions(&first).unwrap(), (384, 384));

    // What it says of itself paints it again.
    let shown = &ok(&installed, &["generate", "--like", first.to_str().unwrap(), "--dry-run"])[0];
    assert_eq!(shown["remarks"], Value::Array(vec![]), "{shown:#}");
    assert_eq!(shown["models"].as_array().unwrap().len(), 3);
    let (again, _) = paint(&installed, "again.png", &["--like", first.to_str().unwrap()]);
    assert_eq!(pixels(&first), pixels(&again));

    let target = installed.scratch().join("larger.png");
    let (from, to) = (again.to_str().unwrap(), target.to_str().unwrap());
    ok(&installed, &["upscale", from, "--with", "Small", "--by", "2", "-o", to]);
    assert_eq!(image::image_dimensions(&target).unwrap(), (768, 768));
    let shown = &ok(&installed, &["generate", "--like", to, "--dry-run"])[0];
    assert_eq!(shown["spec"]["prompt"], "a red heart", "what it said of itself is kept");
    let refused = error(&installed, &["upscale", from, "--with", "civitai:64064", "-o", to]);
    assert_eq!(refused["reason"], "INVALID_ARGUMENT");
    let tiles = error(&installed, &["upscale", "/nowhere.png", "--with", "lanczos"]);
    assert_eq!(tiles["reason"], "LOCAL_IO_FAILED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn pictures_without_a_recipe_are_refused_by_name() {
    let (_hub, installed) = installation().await;
    let plain = fixtures().join("pictures/red-heart.png");
    for (like, reason) in [
        (plain.to_str().unwrap(), "RECIPE_NOT_FOUND"),
        ("/nowhere/a.png", "LOCAL_IO_FAILED"),
        ("987654321", "IMAGE_NOT_FOUND"),
        ("https://example.org/a.png", "INVALID_ARGUMENT"),
    ] {
        assert_eq!(error(&installed, &["generate", "--like", like, "--dry-run"])["reason"], reason, "{like}");
    }
}
