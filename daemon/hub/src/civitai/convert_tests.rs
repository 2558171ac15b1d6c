//! What becomes of recorded answers of CivitAI.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn recorded(name: &str) -> Value {
    let path = format!("{}/../../tests/fixtures/hubs/civitai/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn recorded_model(name: &str) -> HubModel {
    model(&recorded(name), String::new()).unwrap()
}

fn unix_ms(text: &str) -> Timestamp {
    Timestamp::from_unix_ms(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

#[test]
fn a_recorded_list_item_of_2026_is_read_whole() {
    let model = recorded_model("listitem-2026-08-lora-paidaccess-null-2851602");
    assert_eq!(model.external_id, "2851602");
    assert_eq!(model.name, "Pocahontas - Disney - Krea2 LORA");
    assert_eq!((model.kind, model.kind_label.as_deref()), (ModelKind::Lora, Some("LORA")));
    assert_eq!(model.creator.as_deref(), Some("Konan"));
    assert_eq!(model.nsfw_level, 7);
    assert_eq!((model.downloads, model.likes), (Some(0), Some(1)));
    assert_eq!(model.tags.len(), 5);
    let licence: Value = serde_json::from_str(model.licence.as_deref().unwrap()).unwrap();
    assert_eq!(licence["allowCommercialUse"], json!(["Image", "RentCivit"]));
    let [version] = &model.versions[..] else { panic!("one version") };
    assert_eq!((version.external_id.as_str(), version.base_model.as_deref()), ("3220243", Some("Krea 2")));
    assert_eq!(version.trained_words, ["pocahontas, a native american woman"]);
    assert_eq!(version.published_at, Some(unix_ms("2026-08-11T21:25:04.626Z")));
    assert_eq!(version.early_access, None, "`paidAccess: null` means free");
    assert!(version.download_allowed);
    let [file] = &version.files[..] else { panic!("one file") };
    assert_eq!(file.size, Some(FileSize::About(228_588_904)));
    assert_eq!(file.sha256.unwrap().to_hex(), "96a7fb4abc026b628ec2c28fb91086a5f5557aa14244ec329581b27cb53096cd");
    assert!(file.blake3.is_some() && file.git_sha1.is_none() && file.primary);
    assert_eq!((file.format, file.precision.as_deref()), (FileFormat::Safetensors, Some("bf16")));
    assert_eq!(file.locator, "/api/download/models/3220243?fileId=3102175");
    let [preview] = &version.previews[..] else { panic!("one picture") };
    assert_eq!((preview.external_id.as_deref(), preview.media), (Some("139439234"), PreviewMedia::Image));
    assert_eq!((preview.width, preview.height, preview.nsfw_level), (Some(1776), Some(2368), 2));
    assert!(preview.url.contains("/original=true/"));
}

#[test]
fn early_access_is_seen_in_every_form_it_has_had() {
    let labelled = recorded_model("listitem-2025-04-lora-early-access-1024060");
    assert_eq!(labelled.versions[0].early_access, Some(EarlyAccess { until: None }));
    let end = "2026-09-01T00:00:00.000Z";
    let until = Some(EarlyAccess { until: Some(unix_ms(end)) });
    for (version, wanted) in [
        (json!({"paidAccess": {"permanent": false, "endsAt": end}, "availability": "Public"}), until),
        (json!({"paidAccess": {"permanent": true, "endsAt": end}}), Some(EarlyAccess { until: None })),
        (json!({"paidAccess": {"endsAt": null}}), Some(EarlyAccess { until: None })),
        (json!({"paidAccess": null, "earlyAccessDeadline": end, "availability": "EarlyAccess"}), None),
        (json!({"earlyAccessEndsAt": end, "availability": "Public"}), until),
        (json!({"earlyAccessDeadline": end}), until),
        (json!({"earlyAccessTimeFrame": 5, "publishedAt": "2026-08-27T00:00:00.000Z"}), until),
        (json!({"earlyAccessTimeFrame": 0, "publishedAt": end}), None),
        (json!({"earlyAccessTimeFrame": 5}), None),
        (json!({"availability": "Public", "earlyAccessEndsAt": null, "earlyAccessConfig": null}), None),
        (json!({}), None),
    ] {
        let published_at = json::time(&version, "publishedAt");
        assert_eq!(early_access(&version, published_at), wanted, "{version}");
    }
}

#[test]
fn withdrawn_models_say_so() {
    let archived = recorded_model("model-2023-07-checkpoint-archived-98806");
    assert_eq!(archived.state, ModelState::Archived);
    assert!(archived.versions[0].files.is_empty());
    let taken_down = recorded_model("model-2023-07-lora-takendown-12671");
    assert_eq!(taken_down.state, ModelState::TakenDown);
    assert!(taken_down.versions[0].previews.is_empty());
}

#[test]
fn files_keep_what_is_odd_about_them() {
    let twins = recorded_model("model-2023-07-checkpoint-duplicate-names-96237");
    let [first, second] = &twins.versions[0].files[..] else { panic!("two files") };
    assert_eq!(first.name, second.name);
    assert_ne!(first.locator, second.locator);
    assert!(first.primary && !second.primary);

    let training_first = recorded_model("listitem-2025-04-lora-training-data-file-1040295");
    let [training, weights] = &training_first.versions[0].files[..] else { panic!("two files") };
    assert_eq!((training.kind_label.as_deref(), training.format), (Some("Training Data"), FileFormat::Archive));
    assert_eq!((weights.kind_label.as_deref(), weights.primary), (Some("Model"), true));

    let pickle = recorded_model("model-2023-07-checkpoint-pickle-danger-42");
    assert_eq!(pickle.versions[0].files[0].format, FileFormat::Pickle);

    let whole_kib = recorded_model("model-2023-07-checkpoint-int-sizekb-21");
    assert_eq!(whole_kib.versions[0].files[0].size, Some(FileSize::About(2_082_897 * 1024)));

    let unscanned = version(&recorded("version-2025-04-scan-pending-empty-hashes-433199")).unwrap();
    assert_eq!((unscanned.files[0].sha256, unscanned.files[0].blake3), (None, None));
    assert!(unscanned.previews.is_empty());
}

#[test]
fn a_size_of_zero_is_no_size() {
    let entry = |size: Value| file(&json!({"id": 1, "name": "a.safetensors", "sizeKB": size}), "2").unwrap().size;
    assert_eq!(entry(json!(0)), None);
    assert_eq!(entry(json!(-3)), None);
    assert_eq!(entry(Value::Null), None);
    assert_eq!(entry(json!("1.5")), Some(FileSize::About(1536)));
}

#[test]
fn the_label_and_the_name_of_a_format_are_weighed() {
    for (name, label, wanted) in [
        ("a.safetensors", Some("SafeTensor"), FileFormat::Safetensors),
        ("a.safetensors", Some("PickleTensor"), FileFormat::Pickle),
        ("a.zip", Some("PickleTensor"), FileFormat::Archive),
        ("a.pt", Some("SafeTensor"), FileFormat::Pickle),
        ("a", Some("GGUF"), FileFormat::Gguf),
        ("a.gguf", Some("Other"), FileFormat::Gguf),
        ("a", None, FileFormat::Other),
    ] {
        assert_eq!(format(name, label), wanted, "{name} {label:?}");
    }
}

#[test]
fn a_missing_creator_and_a_video_are_normal() {
    assert_eq!(recorded_model("listitem-2025-04-lora-creator-absent-350450").creator, None);
    let video = recorded_model("listitem-2025-04-lora-video-image-1161465");
    assert_eq!(video.versions[0].previews[0].media, PreviewMedia::Video);
}

#[test]
fn a_versions_own_page_adds_its_generation_data_and_usage_control() {
    let mut model = recorded_model("model-by-id-2025-09-lora-1231067");
    assert_eq!(model.versions[0].previews[0].generation, None);
    assert_eq!(model.versions[0].previews[0].external_id.as_deref(), Some("56547310"));
    let mut page = recorded("model-version-by-id-2025-03-1387174");
    page["usageControl"] = json!("Generation");
    add_version_page(&mut model, version(&page).unwrap());
    let [version] = &model.versions[..] else { panic!("still one version") };
    assert!(!version.download_allowed);
    assert!(version.previews[0].generation.as_deref().unwrap().contains("prompt"));
    assert!(version.previews[0].url.contains("/original=true/"), "the address stays the model's own");
}

#[test]
fn a_digest_leads_to_the_file_that_has_it() {
    let page = recorded("model-version-by-id-2025-03-1387174");
    let sha256 = page["files"][0]["hashes"]["SHA256"].as_str().unwrap().to_owned();
    for digits in [sha256.to_lowercase(), sha256[..10].to_lowercase()] {
        assert_eq!(file_with_digest(&page, &digits).as_deref(), Some("1289799"), "{digits}");
    }
    assert_eq!(file_with_digest(&page, &"0".repeat(64)), None);
}

#[test]
fn wrong_types_everywhere_cost_fields_and_not_the_model() {
    let odd = json!({
        "id": "77", "name": null, "type": 5, "creator": "somebody", "tags": "one", "stats": [], "nsfwLevel": "3",
        "mode": {}, "modelVersions": [
            {"id": 8.0, "files": [{"id": 9, "hashes": [], "metadata": "x", "sizeKB": {}}, {"name": "no id"}, null],
             "images": [{"url": null}, 3, {"url": "::", "width": "512", "meta": {"seed": 1}}], "trainedWords": null},
            {"name": "no id"}, null, "x"
        ]
    });
    let model = model(&odd, String::new()).unwrap();
    assert_eq!((model.external_id.as_str(), model.name.as_str()), ("77", "77"));
    assert_eq!((model.kind, model.kind_label.as_deref()), (ModelKind::Unknown, Some("5")));
    assert_eq!((model.creator, model.nsfw_level, model.tags), (None, 3, vec!["one".to_owned()]));
    let [version] = &model.versions[..] else { panic!("one version has a number") };
    assert_eq!(version.external_id, "8");
    assert_eq!(version.files.len(), 1);
    assert_eq!(version.files[0].locator, "/api/download/models/8?fileId=9");
    let [preview] = &version.previews[..] else { panic!("one picture has an address") };
    assert_eq!((preview.width, preview.generation.as_deref()), (Some(512), Some("{\"seed\":1}")));
    assert!(super::model(&json!({"name": "no id"}), String::new()).is_none());
    assert!(super::model(&json!(null), String::new()).is_none());
}

/// Every recording here is a model, a version or a list of models, or is named as something else.
#[test]
fn every_recording_can_be_read() {
    let folder = format!("{}/../../tests/fixtures/hubs/civitai", env!("CARGO_MANIFEST_DIR"));
    let mut models = 0;
    for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}")) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let is_model = ["listitem-", "model-2", "model-by-id-"].iter().any(|start| name.starts_with(start));
        if !path.is_file() || !name.ends_with(".json") {
            continue;
        }
        let value: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let pages = if name.starts_with("models-list-") {
            value["items"].as_array().unwrap().clone()
        } else if is_model {
            vec![value]
        } else {
            continue;
        };
        for page in pages {
            let read = model(&page, page.to_string()).unwrap_or_else(|| panic!("{name}"));
            assert_ne!(read.kind, ModelKind::Unknown, "{name}");
            assert_eq!(read.versions.len(), page["modelVersions"].as_array().map_or(0, Vec::len), "{name}");
            models += 1;
        }
    }
    assert!(models >= 10, "{models} recorded models were found");
}

/// The recorded answers whose file names begin with one of `starts`.
fn recordings(starts: &[&str]) -> Vec<(String, Value)> {
    let folder = format!("{}/../../tests/fixtures/hubs/civitai", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut found: Vec<(String, Value)> = paths
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, _)| starts.iter().any(|start| name.starts_with(start)))
        .map(|(name, path)| (name, serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Versions on their own, and answers that are about something else than models, cost nothing but themselves.
#[test]
fn versions_are_read_and_whatever_else_was_recorded_does_no_harm() {
    let versions = recordings(&["model-version-", "version-"]);
    assert!(versions.len() >= 3, "{} recorded versions", versions.len());
    for (name, page) in versions {
        let read = version(&page).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(read.files.len(), page["files"].as_array().unwrap().len(), "{name}");
    }
    for (_, page) in recordings(&[""]) {
        let entries: &[Value] = page.as_array().map_or(std::slice::from_ref(&page), Vec::as_slice);
        for entry in entries.iter().chain(json::list(&page, "items")) {
            let expected = json::whole(entry, "id").map(|id| id.to_string());
            assert_eq!(model(entry, String::new()).map(|model| model.external_id), expected);
            assert_eq!(version(entry).map(|version| version.external_id), expected);
        }
    }
}

/// Where in a value something can be changed, the root left out.
fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(key, inner)| (key.clone(), inner)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, inner)| (at.to_string(), inner)).collect(),
        _ => Vec::new(),
    };
    for (key, inner) in inner {
        let place = format!("{here}/{}", key.replace('~', "~0").replace('/', "~1"));
        places(inner, &place, found);
        found.push(place);
    }
}

/// What a hub might write where something else stood.
fn other_values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        Just(json!("")),
        Just(json!("{Image,RentCivit}")),
        Just(json!(-1)),
        Just(json!(1e300)),
        Just(json!(u64::MAX)),
        Just(json!([null, {"id": null}, 3])),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Keys that vanish and values of another type cost what they held, and never the model.
    #[test]
    fn a_changed_recording_keeps_its_number(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(other_values())), 1..12),
    ) {
        let recorded = recordings(&["listitem-", "model-20", "model-by-id-"]);
        let (name, mut page) = recorded[which.index(recorded.len())].clone();
        let id = json::whole(&page, "id").map(|id| id.to_string());
        for (place, change) in changes {
            let mut found = Vec::new();
            places(&page, "", &mut found);
            found.retain(|place| place != "/id");
            let place = found[place.index(found.len())].clone();
            match change {
                Some(other) => *page.pointer_mut(&place).unwrap() = other,
                None => {
                    let (parent, key) = place.rsplit_once('/').unwrap();
                    match page.pointer_mut(parent).unwrap() {
                        Value::Object(members) => drop(members.remove(&key.replace("~1", "/").replace("~0", "~"))),
                        Value::Array(items) => drop(items.remove(key.parse().unwrap())),
                        _ => {}
                    }
                }
            }
            if page.as_object().is_none_or(|members| members.len() < 2) {
                break;
            }
        }
        let read = model(&page, page.to_string());
        prop_assert_eq!(read.map(|model| model.external_id), id, "{}", name);
    }
}
