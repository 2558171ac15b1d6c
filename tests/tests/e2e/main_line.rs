//! Follow, plan, sync, search, show, generate.

use crate::{assert_blobs_are_whole, installation, ok};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn follows_a_creator_and_paints_from_what_arrived() {
    let (hub, installed) = installation().await;

    let follow = &ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"])[0];
    assert_eq!(follow["target"], "civitai:tiny_emoji");
    let follows = ok(&installed, &["follows"]);
    assert_eq!(follows.len(), 1);

    let plan = ok(&installed, &["plan"]);
    let fetches: Vec<&Value> = plan.iter().filter(|op| op["op"] == "fetch").collect();
    assert!(fetches.iter().any(|op| op["file"] == "tiny-emoji.safetensors"), "{plan:#?}");
    for op in &plan {
        assert!(op["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{op}");
        assert!(op["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{op}");
    }

    let done = ok(&installed, &["sync", "--wait"]).pop().unwrap();
    assert_eq!(done["event"], "done");
    assert_eq!(done["fetched"].as_u64().unwrap(), fetches.len() as u64, "{done}");
    assert_eq!(done["failed"], 0);
    assert_blobs_are_whole(&installed);

    // Once more: nothing is planned and nothing downloaded.
    hub.clear_requests();
    let again = ok(&installed, &["sync", "--wait"]).pop().unwrap();
    assert_eq!((&again["planned"], &again["fetched"], &again["bytes"]), (&0.into(), &0.into(), &0.into()), "{again}");
    let downloads = hub.requests().into_iter().filter(|request| request.path_and_query.contains("/download/")).count();
    assert_eq!(downloads, 0);
    assert!(ok(&installed, &["plan"]).iter().all(|op| op["op"] != "fetch"));

    let found = ok(&installed, &["search", "emoj"]);
    let checkpoint = found.iter().find(|model| model["kind"] == "checkpoint").expect("the checkpoint is found");
    assert_eq!(checkpoint["downloaded"], true);
    assert_eq!(checkpoint["architecture"], "sd1");
    assert_eq!(checkpoint["creator"], "tiny_emoji");
    let reference = checkpoint["ref"].as_str().unwrap().to_owned();

    let shown = &ok(&installed, &["show", &reference])[0];
    let file = &shown["versions"][0]["files"][0];
    assert_eq!(file["state"], "verified", "{shown:#}");
    assert_eq!(file["sha256"], "74720ba1e684fb89cb28fda39ed8e09adfd75972ee455e33b09dba5e3f94efba");
    assert!(std::path::Path::new(file["paths"][0].as_str().unwrap()).is_file());
    let previews = shown["versions"][0]["previews"].as_array().unwrap();
    assert!(previews.iter().any(|preview| preview["asset"].is_string()), "{shown:#}");

    let picture = installed.scratch().join("heart.png");
    let arguments = [
        "generate",
        "red heart",
        "--model",
        &reference,
        "--seed",
        "7",
        "--steps",
        "25",
        "--cfg",
        "3",
        "--sampler",
        "dpmpp_2m",
        "--width",
        "64",
        "--height",
        "64",
        "-o",
        picture.to_str().unwrap(),
    ];
    let events = ok(&installed, &arguments);
    assert!(events.iter().any(|event| event["event"] == "progress" && event["phase"] == "sampling"), "{events:#?}");
    let done = events.last().unwrap();
    let image = &done["images"][0];
    assert_eq!((&image["seed"], &image["width"], &image["height"]), (&7.into(), &64.into(), &64.into()));
    let bytes = std::fs::read(&picture).unwrap();
    assert_eq!(image["sha256"], format!("{:x}", <sha2::Sha256 as sha2::Digest>::digest(&bytes)));
    assert_is_a_red_heart(&bytes);
    let text = parameters_text(&bytes);
    for part in [
        "red heart",
        "Steps: 25",
        "Sampler: DPM++ 2M",
        "CFG scale: 3",
        "Seed: 7",
        "Size: 64x64",
        "Model hash: 74720ba1e6",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }

    // The same request gives the same bytes; a LoRA gives others.
    let second = installed.scratch().join("again.png");
    let mut repeated = arguments.map(str::to_owned).to_vec();
    *repeated.last_mut().unwrap() = second.display().to_string();
    ok(&installed, &repeated.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(bytes, std::fs::read(&second).unwrap());
    let lora = ok(&installed, &["search", "greyscale", "--kind", "lora"]);
    let lora = format!("{}:1", lora[0]["ref"].as_str().unwrap());
    let grey = installed.scratch().join("grey.png");
    *repeated.last_mut().unwrap() = grey.display().to_string();
    repeated.extend(["--lora".to_owned(), lora]);
    ok(&installed, &repeated.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(colourfulness(&std::fs::read(&grey).unwrap()) < 0.8 * colourfulness(&bytes));

    assert!(!ok(&installed, &["jobs"]).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_hugging_face_folder_and_a_single_file_paint_the_same_picture() {
    let (_hub, installed) = installation().await;
    ok(&installed, &["pull", "hf:tiny-emoji/tiny-emoji"]);
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"]);
    ok(&installed, &["sync", "--wait"]);
    let single = ok(&installed, &["search", "emoji", "--kind", "checkpoint", "--hub", "civitai"]);
    let on_disk = paintbox_testkit::fixtures().join("tiny-model/tiny-emoji.safetensors");
    let on_disk = format!("path:{}", on_disk.display());
    let mut pictures = Vec::new();
    for (name, reference) in [
        ("folder", "hf:tiny-emoji/tiny-emoji"),
        ("single", single[0]["ref"].as_str().unwrap()),
        ("on-disk", on_disk.as_str()),
    ] {
        let path = installed.scratch().join(format!("{name}.png"));
        ok(
            &installed,
            &[
                "generate",
                "pizza",
                "--model",
                reference,
                "--seed",
                "3",
                "--steps",
                "8",
                "--cfg",
                "3",
                "--sampler",
                "euler",
                "--width",
                "64",
                "--height",
                "64",
                "-o",
                path.to_str().unwrap(),
            ],
        );
        pictures.push(image::open(&path).unwrap().to_rgb8());
    }
    assert_eq!(pictures[0], pictures[1]);
    assert_eq!(pictures[1], pictures[2], "a file that is in no catalogue paints the same");
}

/// The `parameters` text of a PNG.
fn parameters_text(png: &[u8]) -> String {
    let decoder = image::codecs::png::PngDecoder::new(std::io::Cursor::new(png)).unwrap();
    drop(decoder);
    // Chunk walk: length, type, data, checksum (PNG, third edition, 5.3).
    let mut at = 8;
    while at + 8 <= png.len() {
        let length = u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
        let data = &png[at + 8..at + 8 + length];
        if &png[at + 4..at + 8] == b"tEXt"
            && let Some(text) = data.strip_prefix(b"parameters\0")
        {
            return text.iter().map(|byte| char::from(*byte)).collect();
        }
        at += 12 + length;
    }
    panic!("the picture carries no recipe");
}

/// Red in the middle, white in the corners.
fn assert_is_a_red_heart(png: &[u8]) {
    let image = image::load_from_memory(png).unwrap().to_rgb8();
    let [r, g, b] = image.get_pixel(32, 30).0;
    assert!(r > 150 && i32::from(r) - i32::from(g.max(b)) > 80, "the middle is {r} {g} {b}");
    for (x, y) in [(2, 2), (61, 2), (2, 61), (61, 61)] {
        assert!(image.get_pixel(x, y).0.iter().all(|channel| *channel > 200), "a corner is not white");
    }
}

/// The mean distance between the largest and smallest channel.
fn colourfulness(png: &[u8]) -> f64 {
    let image = image::load_from_memory(png).unwrap().to_rgb8();
    let sum: u64 = image.pixels().map(|p| u64::from(p.0.iter().max().unwrap() - p.0.iter().min().unwrap())).sum();
    sum as f64 / f64::from(image.width() * image.height())
}
