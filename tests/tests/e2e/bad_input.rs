//! Bad input from hubs and people: a clear error that names what was attempted, nothing stored, nothing lost.

use crate::{blobs, error, installation, json, ok};
use paintbox_testkit::{Fault, Server, TinyModel};
use serde_json::{Map, Value};
use std::path::Path;

/// SHA-256 of the checkpoint, which is the name of its blob.
const CHECKPOINT: &str = "74720ba1e684fb89cb28fda39ed8e09adfd75972ee455e33b09dba5e3f94efba";

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn names_what_is_wrong_with_a_request() {
    let (_hub, installed) = installation().await;
    for (arguments, reason, named) in [
        (vec!["follow", "civitai:nobody_at_all"], "CREATOR_NOT_FOUND", "nobody_at_all"),
        (vec!["follow", "nohub"], "INVALID_REFERENCE", "nohub"),
        (vec!["unfollow", "civitai:nobody_at_all"], "FOLLOW_NOT_FOUND", "nobody_at_all"),
        (vec!["show", "civitai:999999"], "MODEL_NOT_FOUND", "999999"),
        (vec!["pull", "civitai:999999"], "MODEL_NOT_FOUND", "999999"),
        (vec!["pull", "hf:tiny-emoji/nothing-here"], "MODEL_NOT_FOUND", "tiny-emoji/nothing-here"),
        (vec!["show", "hf:../../etc"], "INVALID_REFERENCE", "../../etc"),
        (vec!["generate", "x", "--model", "no such model", "-o", "x.png"], "MODEL_NOT_FOUND", "no such model"),
    ] {
        let error = error(&installed, &arguments);
        assert_eq!(error["reason"], reason, "{arguments:?}: {error}");
        assert!(error["message"].as_str().unwrap().contains(named), "{arguments:?}: {error}");
    }
    assert!(ok(&installed, &["follows"]).is_empty());
    assert!(ok(&installed, &["search"]).is_empty());
}

/// Every way in which a download can be wrong, and the reason that its failure carries.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn stores_nothing_that_is_not_what_the_hub_promised() {
    let (hub, installed) = installation().await;
    ok(&installed, &["follow", "civitai:tiny_emoji", "--backfill", "all"]);
    let mut left = Vec::new();
    let html = b"<!DOCTYPE html><html><title>Log in</title></html>".to_vec();
    let mut pickle = b"\x80\x02}q\x00X\x05\x00\x00\x00state".to_vec();
    pickle.resize(4096, b'.');
    let mut endless_header = (1_u64 << 63).to_le_bytes().to_vec();
    endless_header.extend(b"{\"a\":{}}");
    endless_header.resize(4096, b' ');
    for (fault, reason) in [
        (Fault::TruncateBodyAfter(100_000), "TRUNCATED_BODY"),
        (Fault::CorruptByteAt(10_000_000), "DIGEST_MISMATCH"),
        (Fault::HtmlLoginPage, "NOT_A_MODEL_FILE"),
        (Fault::Body(html.into()), "NOT_A_MODEL_FILE"),
        (Fault::Body(pickle.into()), "UNSAFE_FORMAT"),
        (Fault::Body(endless_header.into()), "MALFORMED_FILE"),
    ] {
        let described = format!("{fault:?}").chars().take(60).collect::<String>();
        hub.faults().always(Server::CivitaiStorage, "", fault);
        let (events, output) = json(&installed, &["sync", "--wait"]);
        hub.faults().clear();
        assert_eq!(output.status.code(), Some(1), "{described}");
        let failed: Vec<&Value> = events.iter().filter(|event| event["event"] == "failed").collect();
        let checkpoint = failed
            .iter()
            .find(|event| event["file"] == "tiny-emoji.safetensors")
            .unwrap_or_else(|| panic!("{described}: {events:#?}"));
        assert_eq!(checkpoint["error"]["reason"], reason, "{described}: {checkpoint}");
        assert!(checkpoint["error"]["message"].as_str().unwrap().contains("tiny-emoji.safetensors"), "{checkpoint}");
        left.extend(blobs(&installed).into_iter().map(|path| (path, described.clone())));
        let done = events.last().unwrap();
        assert!(done["failed"].as_u64().unwrap() > 0);
    }
    // With an honest hub everything arrives.
    let done = ok(&installed, &["sync", "--wait"]).pop().unwrap();
    assert_eq!(done["failed"], 0, "{done}");
    // And nothing was ever kept that is not among what an honest hub gives.
    let honest = blobs(&installed);
    assert!(honest.iter().any(|path| path.ends_with(CHECKPOINT)), "{honest:?}");
    for (path, described) in left {
        assert!(honest.contains(&path) && !path.ends_with(CHECKPOINT), "{described} left {}", path.display());
    }
}

/// A safetensors file with its header changed by `change`; the tensors' bytes by `spoil`, which is told where each lies.
fn changed(
    from: &Path,
    to: &Path,
    change: impl FnOnce(Map<String, Value>) -> Map<String, Value>,
    spoil: impl FnOnce(&Map<String, Value>, &mut [u8]),
) {
    let bytes = std::fs::read(from).unwrap();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header = change(serde_json::from_slice(&bytes[8..8 + length]).unwrap());
    let mut data = bytes[8 + length..].to_vec();
    spoil(&header, &mut data);
    let header = serde_json::to_vec(&header).unwrap();
    std::fs::write(to, [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()).unwrap();
}

fn renamed(names: Map<String, Value>, name: impl Fn(&str) -> String) -> Map<String, Value> {
    names.into_iter().map(|(key, info)| (if key == "__metadata__" { key } else { name(&key) }, info)).collect()
}

/// The head of a PNG of that many pixels, and nothing of them.
fn huge_png(side: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend([side.to_be_bytes(), side.to_be_bytes()].concat());
    header.extend([8, 2, 0, 0, 0]);
    let mut crc = u32::MAX;
    for byte in &header {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    [&b"\x89PNG\r\n\x1a\n"[..], &13_u32.to_be_bytes(), &header, &(!crc).to_be_bytes()].concat()
}

/// Files and wishes that no picture can come of: each is refused with its reason, and the daemon paints on.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_cannot_be_painted_is_refused_and_the_daemon_goes_on() {
    let (_hub, installed) = installation().await;
    let folder = installed.scratch().to_owned();
    let at = |name: &str| folder.join(name);
    let reference = |name: &str| format!("path:{}", at(name).display());
    let (checkpoint, lora) = (TinyModel::single_file(), TinyModel::lora());
    std::fs::copy(&checkpoint, at("whole.safetensors")).unwrap();
    let same = |header: Map<String, Value>| header;
    let untouched = |_: &Map<String, Value>, _: &mut [u8]| {};
    changed(&checkpoint, &at("strange.safetensors"), |h| renamed(h, |name| format!("strange.{name}")), untouched);
    changed(
        &checkpoint,
        &at("flux-lora.safetensors"),
        |_| {
            let info = |shape: [usize; 2], from: usize| {
                let to = from + 2 * shape[0] * shape[1];
                serde_json::json!({ "dtype": "F16", "shape": shape, "data_offsets": [from, to] })
            };
            let name = |part: &str| format!("lora_unet_double_blocks_0_img_attn_proj.lora_{part}.weight");
            [(name("down"), info([4, 3072], 0)), (name("up"), info([3072, 4], 24_576))].into_iter().collect()
        },
        untouched,
    );
    let cut = std::fs::read(at("flux-lora.safetensors")).unwrap();
    let length = usize::try_from(u64::from_le_bytes(cut[..8].try_into().unwrap())).unwrap();
    std::fs::write(at("flux-lora.safetensors"), &cut[..8 + length + 49_152]).unwrap();
    let key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.ff.net.0.proj.weight";
    changed(
        &checkpoint,
        &at("misshapen.safetensors"),
        |mut header| {
            header[key]["shape"].as_array_mut().unwrap().reverse();
            header
        },
        untouched,
    );
    changed(
        &checkpoint,
        &at("no-vae.safetensors"),
        |h| renamed(h, |name| name.replace("first_stage_model.", "something_else.")),
        untouched,
    );
    changed(&checkpoint, &at("not-numbers.safetensors"), same, |header, data| {
        let offset = header["model.diffusion_model.input_blocks.0.0.bias"]["data_offsets"][0].as_u64().unwrap();
        let offset = usize::try_from(offset).unwrap();
        data[offset..offset + 2].copy_from_slice(&0x7e00_u16.to_le_bytes());
    });
    std::fs::write(at("huge.png"), huge_png(16_384)).unwrap();
    std::fs::write(at("cut.safetensors"), &std::fs::read(&lora).unwrap()[..2000]).unwrap();

    // More pieces than are painted, in as much as a prompt may say; and more than it may.
    let (long, longer) = ("a BREAK ".repeat(8_000), "word ".repeat(14_000));
    let output = at("out.png").display().to_string();
    let huge = at("huge.png").display().to_string();
    let (whole, flux) = (reference("whole.safetensors"), reference("flux-lora.safetensors"));
    let cut = reference("cut.safetensors");
    let small = ["--steps", "2", "--width", "64", "--height", "64", "-o", &output];
    let paint = |words: &[&str]| [&["generate"], words, &small].concat().iter().map(|w| (*w).to_owned()).collect();
    let cases: Vec<(Vec<String>, &str)> = vec![
        (paint(&["x", "--model", &reference("strange.safetensors")]), "UNSUPPORTED_ARCHITECTURE"),
        (paint(&["x", "--model", &reference("misshapen.safetensors")]), "MALFORMED_FILE"),
        (paint(&["x", "--model", &reference("no-vae.safetensors")]), "MISSING_COMPONENT"),
        (paint(&["x", "--model", &reference("not-numbers.safetensors")]), "ENGINE_FAILED"),
        (paint(&["x", "--model", &whole, "--lora", &flux]), "LORA_MISMATCH"),
        (paint(&["x", "--model", &whole, "--lora", &cut]), "MALFORMED_FILE"),
        (paint(&["x", "--model", &whole, "--init-image", &huge]), "PREVIEW_REFUSED"),
        (paint(&[&long, "--model", &whole]), "UNSUPPORTED_SETTING"),
        (paint(&[&longer, "--model", &whole]), "INVALID_ARGUMENT"),
        (
            ["generate", "x", "--model", &whole, "--width", "16384", "--height", "16384", "-o", &output]
                .map(str::to_owned)
                .to_vec(),
            "OUT_OF_MEMORY",
        ),
    ];
    let mut surprises = Vec::new();
    for (words, reason) in cases {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let error = error(&installed, &words);
        if error["reason"] != reason || Path::new(&output).exists() {
            surprises.push(format!("{reason} was to come of {:?}: {error}", &words[2..5]));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    // Nothing to say is something that can be painted.
    let painted: Vec<String> = paint(&["", "--model", &whole]);
    ok(&installed, &painted.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(Path::new(&output).exists());
}
