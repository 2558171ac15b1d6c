//! Files beside models that no tool would write: samples damaged at random, and whatever chance makes up.

use super::tests::Folder;
use super::*;
use paintbox_testkit::fixtures;
use proptest::prelude::*;
use std::fs;

/// Every form of file, by the name it has beside the model.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let sample = |name, fixture: &str| (name, fs::read(fixtures().join(fixture)).unwrap());
    vec![
        sample("m.metadata.json", "libraries/lora-manager.metadata.json"),
        sample("m.metadata.json", "libraries/lora-manager-local.metadata.json"),
        sample("m.civitai.info", "hubs/civitai/model-version-by-id-2025-03-1387174.json"),
        sample("m.cm-info.json", "libraries/stability-matrix.cm-info.json"),
        sample("m.cm-info.json", "libraries/stability-matrix-openmodeldb.cm-info.json"),
        sample("m.swarm.json", "libraries/swarmui.swarm.json"),
        sample("m.swarm.json", "libraries/swarmui-download.swarm.json"),
        sample("m.json", "libraries/a1111-lora.json"),
        sample("m.json", "libraries/a1111-checkpoint.json"),
        sample("m.json", "libraries/a1111-browser.json"),
        sample("custom.json", "libraries/draw-things-custom.json"),
        sample("custom_lora.json", "libraries/draw-things-custom_lora.json"),
        sample("custom_textual_inversions.json", "libraries/draw-things-custom_textual_inversions.json"),
        sample("custom_controlnet.json", "libraries/draw-things-custom_controlnet.json"),
        ("m.txt", "a note".into()),
    ]
}

/// What is written into a sample at a place, to damage it the way that only chance would think of.
const DAMAGE: &[&[u8]] = &[
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\\",
    b"\0",
    b"\xff",
    b"\\ud83d",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"\xe2\x80\xae",
    b"\r\n",
    b"0.1",
];

/// What holds of anything that was read.
fn hold(beside: &Beside) {
    let Claims { identity, page, personal } = &beside.claims;
    let lines =
        [&page.model_name, &page.version_name, &page.creator, &page.base_model, &page.kind_label, &personal.title];
    for line in lines.into_iter().flatten().chain(&page.trained_words).chain(&page.tags) {
        assert!(!line.is_empty() && line.len() <= 8000 && !line.chars().any(char::is_control), "{line:?}");
    }
    assert!(identity.civitai_model != Some(0) && identity.civitai_version != Some(0));
    assert!(personal.preferred_weight.is_none_or(f64::is_finite));
    assert!(page.nsfw_level.is_none_or(|level| level < 64));
    assert!(page.trained_words.len() <= 200 && page.tags.len() <= 200);
}

/// `PAINTBOX_SEED=n cargo test -p paintbox-store damaged` repeats a run.
#[test]
fn damaged_samples_are_survived() {
    #[expect(clippy::disallowed_methods, reason = "a test is told by the environment what to repeat")]
    let told = std::env::var("PAINTBOX_SEED").ok().map(|seed| seed.parse::<u64>().expect("a number"));
    let seed = told.unwrap_or_else(|| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0) | 1);
    println!("PAINTBOX_SEED={seed}");
    let mut state = seed;
    // xorshift64*, which is enough to pick places.
    let mut next = |below: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % below.max(1)
    };
    let folder = Folder::new().with("tiny_emoji_f16.ckpt", "").with("ppstorybook_lora_f16.ckpt", "");
    for (name, sample) in samples() {
        let mut said = 0;
        for _ in 0..200 {
            let mut bytes = sample.clone();
            for _ in 0..=next(3) {
                let place = next(bytes.len());
                match next(4) {
                    0 => bytes.truncate(place),
                    1 => bytes[place] ^= 1 << next(8),
                    2 => drop(bytes.splice(place..place, DAMAGE[next(DAMAGE.len())].iter().copied())),
                    _ => {
                        let end = (place + next(40)).min(bytes.len());
                        bytes.drain(place..end);
                    }
                }
                if bytes.is_empty() {
                    bytes.push(b' ');
                }
            }
            fs::write(folder.path().join(name), &bytes).unwrap();
            for model in ["m.safetensors", "tiny_emoji_f16.ckpt", "ppstorybook_lora_f16.ckpt"] {
                let beside = folder.read_of(model);
                hold(&beside);
                said += beside.sources.len();
            }
        }
        fs::remove_file(folder.path().join(name)).unwrap();
        assert!(said > 0 || name.starts_with("custom_"), "{name}: damage was so great that nothing was tested");
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let key = prop_oneof![
        proptest::sample::select(vec![
            "id",
            "modelId",
            "name",
            "model",
            "files",
            "hashes",
            "SHA256",
            "AutoV3",
            "primary",
            "trainedWords",
            "baseModel",
            "nsfwLevel",
            "nsfw",
            "publishedAt",
            "description",
            "tags",
            "creator",
            "username",
            "type",
            "allowCommercialUse",
            "civitai",
            "sha256",
            "autov3",
            "usage_tips",
            "strength",
            "favorite",
            "notes",
            "preview_url",
            "preview_nsfw_level",
            "ModelId",
            "VersionId",
            "ModelName",
            "Source",
            "Hashes",
            "TrainedWords",
            "UserTitle",
            "Nsfw",
            "modelspec.title",
            "modelspec.tags",
            "modelspec.hash_sha256",
            "modelspec.lora_default_weight",
            "modelspec.date",
            "sd version",
            "activation text",
            "preferred weight",
            "negative text",
            "file",
            "prefix",
            "keyword",
            "weight",
            "value",
            "version",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,30}".prop_map(Into::into),
        "(0x)?[0-9a-fA-F]{12}|[0-9a-f]{64}|2025-0[0-9]-0[0-9](T[0-9:.]{8}Z)?".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_json_is_survived(one in any_json(), other in any_json()) {
        let endings = ["metadata.json", "civitai.info", "cm-info.json", "swarm.json", "json", "txt"];
        let folder = endings.iter().enumerate().fold(Folder::new(), |folder, (place, ending)| {
            let value = if place % 2 == 0 { &one } else { &other };
            folder.with(format!("m.{ending}"), value.to_string())
        });
        let folder = folder.with("custom.json", serde_json::json!([one, other]).to_string()).with("m.ckpt", "");
        for model in ["m.safetensors", "m.ckpt"] {
            hold(&folder.read_of(model));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let endings = ["metadata.json", "civitai.info", "cm-info.json", "swarm.json", "json", "txt", "md", "png"];
        let folder = endings.iter().fold(Folder::new(), |folder, ending| folder.with(format!("m.{ending}"), &bytes));
        hold(&folder.with("custom_lora.json", &bytes).read());
    }
}
