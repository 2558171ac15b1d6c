//! `stats`, `dupes`, `updates`, and what `show` says goes with a model.

use super::fake::time;
use super::looking::{HOSTILE, model};
use super::{Bench, assert_fits};
use crate::render::picture::Protocol;
use crate::render::sanitize::is_hazard;
use paintbox_proto::v1;
use serde_json::json;
use sha2::{Digest as _, Sha256};

#[tokio::test]
async fn show_draws_a_picture_where_the_terminal_can_and_the_page_is_the_same() {
    let mut bench = Bench::new().await;
    let mut png = Vec::new();
    let image = image::DynamicImage::from(image::RgbImage::new(8, 8));
    image.write_with_encoder(image::codecs::png::PngEncoder::new(&mut png)).unwrap();
    let mut shown = model(1);
    let asset = format!("assets/{:x}", Sha256::digest(&png));
    for version in &mut shown.versions {
        version.previews[0] = v1::Preview { nsfw_level: 4, ..version.previews[1].clone() };
        version.previews[1].small_thumbnail.clone_from(&asset);
    }
    bench.world().models = vec![shown];
    let page = bench.run(&["show", "civitai:1"]).await.out;
    bench.pictures = Some(Protocol::Kitty);
    // What arrives is not what was asked for.
    assert_eq!(bench.run(&["show", "civitai:1"]).await.out, page);
    bench.world().picture = png;
    let drawn = bench.run(&["show", "civitai:1"]).await.out;
    let (picture, rest) = drawn.split_once('\n').unwrap();
    assert!(picture.starts_with("\x1b_Ga=T,f=100,c=32,") && rest == page, "{drawn:?}");
    assert_eq!(bench.run(&["show", "civitai:1", "--no-pictures"]).await.out, page);
    assert!(!bench.json(&["show", "civitai:1"]).await.out.contains('\x1b'));
    let mut rated = model(1);
    for version in &mut rated.versions {
        version.previews.iter_mut().for_each(|preview| preview.nsfw_level = 4);
    }
    bench.world().models = vec![rated];
    assert!(!bench.run(&["show", "civitai:1"]).await.out.contains('\x1b'));
}

fn share(name: &str, files: u64, file_bytes: u64) -> v1::Share {
    v1::Share { name: name.into(), files, file_bytes }
}

fn stats() -> v1::Stats {
    v1::Stats {
        total: Some(share("", 1_234, 2_000_000_000_000)),
        unread: Some(share("", 12, 9_000_000)),
        unknown: Some(share("", 0, 0)),
        refused: Some(share("", 1, 100)),
        kinds: vec![share("lora", 1_200, 200_000_000_000), share("checkpoint", 34, 1_800_000_000_000)],
        precisions: vec![share("f16", 1_000, 1_000_000_000_000), share("", 234, 5)],
        places: vec![
            v1::PlaceShare { place: "home".into(), files: 3, file_bytes: 4, ..Default::default() },
            v1::PlaceShare { place: "library".into(), name: "/mnt/models".into(), away: true, files: 5, file_bytes: 6 },
        ],
        hubs: vec![v1::HubShare {
            hub: "civitai".into(),
            models: 900_000,
            gone_models: 12,
            downloaded_models: 1_100,
            files: 1_200,
            file_bytes: 7,
        }],
        catalogue_bytes: 1_500_000_000,
        ..Default::default()
    }
}

#[tokio::test]
async fn stats_are_sums_and_tables() {
    let bench = Bench::new().await;
    bench.world().shelf.stats = stats();
    let ended = bench.run(&["stats"]).await;
    let wanted = "\
here       1,234 files, 2.00 TB, each content counted once
not read   12 files, 9.00 MB; the daemon reads them in the background
refused    1 file, 100 B, because they are broken or hold code
catalogue  1.50 GB

KIND        FILES     SIZE
lora        1,200   200 GB
checkpoint     34  1.80 TB

PRECISION  FILES     SIZE
f16        1,000  1.00 TB
unknown      234      5 B

PLACE                       FILES  SIZE
home                            3   4 B
library /mnt/models (away)      5   6 B

HUB      FILES  SIZE   MODELS   HERE  GONE
civitai  1,200   7 B  900,000  1,100    12
";
    assert_eq!((ended.out.as_str(), ended.notes.as_str(), ended.code), (wanted, "", 0));
    let found = bench.json(&["stats"]).await.object();
    assert_eq!(found["total"], json!({ "files": 1_234, "file_bytes": 2_000_000_000_000_u64 }));
    assert_eq!(found["precisions"][1], json!({ "name": null, "files": 234, "file_bytes": 5 }));
    assert_eq!(
        found["places"][1],
        json!({ "place": "library", "name": "/mnt/models", "away": true, "files": 5, "file_bytes": 6 })
    );
    assert_eq!(
        found["hubs"][0],
        json!({
            "hub": "civitai", "models": 900_000, "gone_models": 12, "downloaded_models": 1_100, "files": 1_200,
            "file_bytes": 7,
        })
    );
    assert_eq!((&found["creators"], &found["catalogue_bytes"]), (&json!([]), &json!(1_500_000_000)));
    bench.world().shelf.stats = v1::Stats::default();
    assert_eq!(bench.run(&["stats"]).await.out, "here       nothing yet\ncatalogue  0 B\n");
}

fn duplicate(number: u64) -> v1::Duplicate {
    let place = |path: &str, file, in_library| v1::DuplicatePlace { path: path.into(), file, in_library, away: false };
    v1::Duplicate {
        sha256: "ab".repeat(32),
        size_bytes: number * 1_000_000_000,
        spare_bytes: number * 1_000_000_000,
        kind: "checkpoint".into(),
        model: format!("civitai:{number}"),
        display_name: format!("Model {number}"),
        place_count: 3,
        places: vec![
            place("/mnt/a", 1, true),
            v1::DuplicatePlace { away: true, ..place("/home/store", 2, false) },
            place("/mnt/b", 1, true),
        ],
    }
}

#[tokio::test]
async fn dupes_tell_every_place_and_what_would_be_won() {
    let mut bench = Bench::new().await;
    {
        let mut world = bench.world();
        world.shelf.duplicates = vec![duplicate(5), duplicate(3), duplicate(2)];
        world.shelf.sums = v1::ListDuplicatesResponse {
            contents: 3,
            spare_bytes: 10_000_000_000,
            linked_contents: 1,
            unread_files: 7,
            ..Default::default()
        };
    }
    let ended = bench.run(&["dupes", "--limit", "1"]).await;
    let wanted = "\
5.00 GB to win: Model 5 (civitai:5), checkpoint, 2 files of 5.00 GB
    /mnt/a
  = /mnt/b  the same file
    /home/store  not there now
3 contents at several places; one file of each would do, and win 10.0 GB.
";
    assert_eq!((ended.out.as_str(), ended.code), (wanted, 0));
    for part in ["The first 1; --limit 0", "Nothing was removed", "1 content more only", "7 files of libraries"] {
        assert!(ended.notes.contains(part), "{part} in {}", ended.notes);
    }
    let found = bench.json(&["dupes"]).await.objects();
    assert_eq!(found.len(), 3, "every page is read");
    assert_eq!(
        found[0],
        json!({
            "sha256": "ab".repeat(32), "size_bytes": 5_000_000_000_u64, "spare_bytes": 5_000_000_000_u64,
            "kind": "checkpoint", "ref": "civitai:5", "name": "Model 5", "place_count": 3,
            "places": [
                { "path": "/mnt/a", "file": 1, "in_library": true, "away": false },
                { "path": "/home/store", "file": 2, "in_library": false, "away": true },
                { "path": "/mnt/b", "file": 1, "in_library": true, "away": false },
            ],
        })
    );
    // More than a message has room for.
    let many = v1::Duplicate { place_count: 5, spare_bytes: 15_000_000_000, ..duplicate(5) };
    bench.world().shelf.duplicates = vec![many];
    let text = bench.run(&["dupes"]).await.out;
    assert!(text.contains("checkpoint, 4 files of 5.00 GB\n"), "{text}");
    assert!(
        text.contains("    /home/store  not there now\n    and 2 more places, which the daemon does not tell\n"),
        "{text}"
    );
    let hostile = v1::Duplicate { display_name: HOSTILE.into(), kind: HOSTILE.into(), ..duplicate(1) };
    bench.world().shelf.duplicates = vec![hostile];
    bench.columns = Some(60);
    let text = bench.run(&["dupes"]).await.out;
    assert!(text.contains("DreamShaper") && !text.chars().any(|c| c != '\n' && is_hazard(c)), "{text:?}");
    assert_fits(&text, 60);
    bench.world().shelf.duplicates.clear();
    bench.world().shelf.sums = v1::ListDuplicatesResponse::default();
    bench.columns = None;
    let none = bench.run(&["dupes"]).await;
    assert_eq!((none.out.as_str(), none.notes.as_str()), ("", "Nothing lies here twice.\n"));
}

fn update(number: u64) -> v1::ModelUpdate {
    let newer = |version: u64| v1::NewerVersion {
        version: format!("civitai:{number}@{version}"),
        display_name: format!("v{version}"),
        base_model: "SD 1.5".into(),
        same_base_model: true,
        published_time: time(-86_400),
        size_bytes: 144_000_000,
        early_access_until: None,
        download_allowed: true,
    };
    let other = v1::NewerVersion {
        base_model: "SDXL 1.0".into(),
        same_base_model: false,
        early_access_until: time(3 * 86_400),
        size_bytes: 0,
        download_allowed: false,
        ..newer(9)
    };
    v1::ModelUpdate {
        model: format!("civitai:{number}"),
        display_name: "Ink".into(),
        kind: "lora".into(),
        creator: "konan".into(),
        have: format!("civitai:{number}@5"),
        have_display_name: "v5".into(),
        have_base_model: "SD 1.5".into(),
        have_published_time: time(-30 * 86_400),
        seen_time: time(if number == 1 { -10 * 86_400 } else { -60 }),
        newer: vec![newer(6), other],
    }
}

#[tokio::test]
async fn updates_say_what_to_pull_and_what_speaks_against_it() {
    let bench = Bench::new().await;
    bench.world().shelf.updates = vec![update(1), update(2), update(3)];
    let ended = bench.run(&["updates", "--limit", "2"]).await;
    let wanted = "\
PULL         MODEL  HAVE  NEWER  BASE MODEL    SIZE  PUBLISHED
civitai:1@6  Ink    v5    v6     SD 1.5      144 MB  1 day ago  its page was last looked at 10 days ago
civitai:1@9  Ink    v5    v9     SDXL 1.0         -  1 day ago  for another base model; early access, free in 3 days; its creator does not let it be downloaded; its page was last looked at 10 days ago
civitai:2@6  Ink    v5    v6     SD 1.5      144 MB  1 day ago
civitai:2@9  Ink    v5    v9     SDXL 1.0         -  1 day ago  for another base model; early access, free in 3 days; its creator does not let it be downloaded
";
    assert_eq!((ended.out.as_str(), ended.code), (wanted, 0));
    assert!(ended.notes.contains("The first 2 models; --limit 0 shows all.") && ended.notes.contains("last looked at"));
    let found = bench.json(&["updates", "--same-base"]).await.objects();
    assert_eq!(found.len(), 3);
    assert_eq!(
        found[0],
        json!({
            "ref": "civitai:1", "name": "Ink", "kind": "lora", "creator": "konan",
            "have": {
                "ref": "civitai:1@5", "name": "v5", "base_model": "SD 1.5", "published_time": "2025-12-02T00:00:00Z",
            },
            "seen_time": "2025-12-22T00:00:00Z",
            "newer": [{
                "ref": "civitai:1@6", "name": "v6", "base_model": "SD 1.5", "same_base_model": true,
                "published_time": "2025-12-31T00:00:00Z", "size_bytes": 144_000_000, "early_access": false,
                "early_access_until": null, "download_allowed": true,
            }],
        })
    );
    bench.world().shelf.updates.clear();
    let none = bench.run(&["updates"]).await;
    assert_eq!((none.out.as_str(), none.notes.as_str()), ("", "Nothing newer is known of what is here.\n"));
}

#[tokio::test]
async fn updates_are_fetched_where_nothing_speaks_against_it() {
    let mut bench = Bench::new().await;
    let mut early = update(2);
    early.newer[0].early_access_until = time(86_400);
    bench.world().shelf.updates = vec![update(1), early, update(3)];
    bench.company = true;
    bench.input = "n\n".to_owned();
    let ended = bench.run(&["updates", "--pull"]).await;
    assert_eq!(ended.code, 0);
    assert!(ended.notes.contains("Fetch 2 versions, 288 MB? [Y/n]"), "{}", ended.notes);
    let runs = |bench: &Bench| {
        let asked = bench.world().asked.clone();
        asked.into_iter().filter(|request| request.starts_with("CreateSyncRun")).collect::<Vec<_>>()
    };
    assert!(runs(&bench).is_empty());
    bench.input = "\n".to_owned();
    bench.run(&["updates", "--pull"]).await;
    let asked = runs(&bench);
    assert!(asked.len() == 1 && asked[0].contains(r#"references: ["civitai:1@6", "civitai:3@6"]"#), "{asked:?}");

    bench.company = false;
    bench.world().shelf.updates.truncate(2);
    bench.world().shelf.updates.remove(0);
    let ended = bench.run(&["updates", "--pull"]).await;
    assert!(ended.notes.contains("None of these is for a base model that you have"), "{}", ended.notes);
    assert_eq!(runs(&bench).len(), 1);
}

#[tokio::test]
async fn show_says_what_goes_with_it() {
    let bench = Bench::new().await;
    let mut shown = model(1);
    shown.architecture = "sd1".into();
    bench.world().models = vec![shown];
    let companion = |number: u64, by_label| v1::Companion {
        version: format!("civitai:{number}@1"),
        display_name: HOSTILE.into(),
        base_model: "SD 1.5".into(),
        by_label,
        use_time: time(-3_600),
    };
    let kind = |kind: &str, total, files| v1::Companions { kind: kind.into(), total, files };
    bench.world().shelf.companions = vec![
        kind("lora", 412, vec![companion(5, false), companion(6, true)]),
        kind("vae", 1, vec![companion(7, false)]),
    ];
    let page = bench.run(&["show", "civitai:1"]).await.out;
    let wanted = "
Goes with it
  lora  civitai:5@1  DreamShaper  SD 1.5             1 hour ago
  lora  civitai:6@1  DreamShaper  SD 1.5 (by label)  1 hour ago
  vae   civitai:7@1  DreamShaper  SD 1.5             1 hour ago
  410 more: `paintbox search --downloaded --kind lora --architecture sd1`
";
    assert!(page.contains(wanted), "{page}");
    assert!(page.contains("\n  prompt: x\n"), "{page}");
    assert!(page.ends_with("`paintbox show civitai:1 --history` says when and how its page changed\n"), "{page}");
    let found = bench.json(&["show", "civitai:1"]).await.object();
    assert_eq!(
        found["companions"][1],
        json!({
            "kind": "vae", "total": 1,
            "files": [{
                "ref": "civitai:7@1", "name": HOSTILE, "base_model": "SD 1.5", "by_label": false,
                "use_time": "2025-12-31T23:00:00Z",
            }],
        })
    );
    let history = bench.json(&["show", "civitai:1", "--history"]).await.object();
    assert_eq!(history["companions"], json!(null), "of a former time nobody asks");
}
