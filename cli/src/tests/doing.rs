//! Verbs that change something.

use super::fake::{Fate, GENERATION, PICTURE, SYNC_RUN, picture_digest};
use super::{Bench, Captured, assert_has, names_in};
use paintbox_proto::v1;
use serde_json::json;

#[tokio::test]
async fn sync_without_waiting_prints_the_run_and_returns() {
    let bench = Bench::new().await;
    let run = bench.json(&["sync", "civitai:konan"]).await.object();
    assert_eq!((&run["name"], &run["state"]), (&json!(SYNC_RUN), &json!("queued")));
    assert!(bench.world().asked[0].contains(r#"follows: ["civitai:konan"]"#));
    assert_eq!(bench.run(&["sync"]).await.out, format!("{SYNC_RUN}\n"));
}

#[tokio::test]
async fn sync_waits_with_progress_and_ends_with_counts() {
    let bench = Bench::new().await;
    let ended = bench.json(&["sync", "--wait"]).await;
    let events = ended.objects();
    assert_eq!((ended.code, ended.notes.as_str()), (0, ""));
    assert_eq!(
        events[0],
        json!({ "event": "progress", "version": "civitai:1@2", "file": "tiny.safetensors", "bytes_done": 8_000_000, "bytes_total": 16_000_000, "phase": "transferring" })
    );
    let done = events.last().unwrap();
    assert_has(done, &["event", "planned", "fetched", "already_had", "skipped", "failed", "bytes"]);
    assert_eq!((&done["event"], &done["fetched"], &done["bytes"]), (&json!("done"), &json!(1), &json!(16_000_000)));
    let text = bench.run(&["sync", "--wait"]).await;
    assert_eq!(text.out, "Fetched 1 file, 16.0 MB; 2 already here; 5 skipped.\n");
    assert_eq!(text.notes, "  fetched  tiny.safetensors  16.0 MB\n");
}

#[tokio::test]
async fn one_failed_file_fails_the_command_and_says_why() {
    let bench = Bench::new().await;
    bench.world().fate = Fate::Badly;
    let ended = bench.json(&["pull", "civitai:1", "hf:org/repo"]).await;
    let events = ended.objects();
    let failed = events.iter().find(|event| event["event"] == "failed").unwrap();
    assert_eq!((&failed["file"], &failed["error"]["reason"]), (&json!("bad.safetensors"), &json!("DIGEST_MISMATCH")));
    assert_eq!(
        (ended.code, &events.last().unwrap()["event"], &events.last().unwrap()["failed"]),
        (1, &json!("done"), &json!(1))
    );
    let error = ended.error();
    assert_eq!(
        (&error["reason"], &error["metadata"]["failed"], &error["metadata"]["file"]),
        (&json!("DIGEST_MISMATCH"), &json!("1"), &json!("bad.safetensors"))
    );
    assert!(bench.world().asked[0].contains(r#"references: ["civitai:1", "hf:org/repo"]"#));
}

#[tokio::test]
async fn a_run_that_fails_as_a_whole_says_why() {
    let bench = Bench::new().await;
    bench.world().fate = Fate::Worse;
    let ended = bench.json(&["sync", "--wait"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("HUB_UNREACHABLE")));
    assert_eq!(ended.objects().last().unwrap()["state"], "failed");
    let ended = bench.json(&["pull", "civitai:999999"]).await;
    assert_eq!((ended.code, ended.out.as_str(), &ended.error()["reason"]), (1, "", &json!("MODEL_NOT_FOUND")));
    bench.world().fate = Fate::BreaksOff;
    let ended = bench.json(&["sync", "--wait"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("INTERNAL")), "an answer cut short is no success");
}

/// Interrupts a command once it has printed something.
pub(super) async fn interrupted(bench: &Bench, words: &[&str]) -> super::Ended {
    let (out, notes) = (Captured::default(), Captured::default());
    let watch = async {
        while out.text().is_empty() {
            tokio::task::yield_now().await;
        }
        bench.interrupt.notify_one();
    };
    let (code, ()) = tokio::join!(bench.execute(words, &out, &notes), watch);
    super::Ended { code, out: out.text(), notes: notes.text() }
}

#[tokio::test]
async fn an_interrupted_wait_leaves_the_sync_going_and_says_so() {
    let bench = Bench::new().await;
    bench.world().fate = Fate::Hangs;
    let ended = interrupted(&bench, &["--json", "sync", "--wait"]).await;
    assert_eq!(ended.code, 130);
    let error = ended.error();
    assert_eq!((&error["reason"], &error["metadata"]["job"]), (&json!("STOPPED_WAITING"), &json!(SYNC_RUN)));
    assert!(error["message"].as_str().unwrap().contains("goes on"), "{error}");
    assert!(!bench.world().asked.iter().any(|asked| asked.starts_with("CancelSyncRun")));
}

#[tokio::test]
async fn an_interrupted_generate_cancels_and_writes_nothing() {
    let bench = Bench::new().await;
    bench.world().fate = Fate::Hangs;
    let file = bench.file("a.png");
    let ended = interrupted(&bench, &["--json", "generate", "x", "--model", "civitai:1", "-o", &file]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (130, &json!("CANCELLED")));
    let asked = bench.world().asked.clone();
    assert!(asked.iter().any(|asked| asked.starts_with("CancelGeneration") && asked.contains(GENERATION)), "{asked:?}");
    assert!(!std::path::Path::new(&file).exists());
}

#[tokio::test]
async fn generate_asks_for_what_was_written_and_saves_every_picture() {
    let bench = Bench::new().await;
    std::fs::write(bench.file("start.png"), PICTURE).unwrap();
    let (file, start) = (bench.file("heart.png"), bench.file("start.png"));
    let ended = bench
        .json(&[
            "generate",
            "red heart",
            "--model",
            "civitai:1",
            "--negative",
            "-blurry",
            "--seed",
            "7",
            "--steps",
            "25",
            "--cfg",
            "3.5",
            "--sampler",
            "dpmpp_2m",
            "--schedule",
            "karras",
            "--width",
            "64",
            "--height",
            "96",
            "--clip-skip",
            "2",
            "--lora",
            "civitai:2",
            "--lora",
            "civitai:3@4:0.5/0.25",
            "--init-image",
            &start,
            "--strength",
            "0.75",
            "--mask",
            &start,
            "--mask-blur",
            "8",
            "--mask-content",
            "fill",
            "--only-masked",
            "--image-cfg",
            "1.2",
            "--control",
            &format!("civitai:5={start},canny=50:150,end=0.5"),
            "--cfg-rescale",
            "0.7",
            "--rng",
            "nv",
            "--subseed",
            "9",
            "--subseed-strength",
            "0.1",
            "--seed-resize-from",
            "512x768",
            "--ensd",
            "-31337",
            "--eta",
            "0.5",
            "--s-churn",
            "3",
            "--s-tmin",
            "0.2",
            "--s-tmax",
            "9",
            "--s-noise",
            "1.01",
            "--hires",
            "1.5",
            "--hires-upscaler",
            "civitai:7",
            "--hires-steps",
            "12",
            "--hires-strength",
            "0.4",
            "--hires-cfg",
            "4",
            "--hires-prompt",
            "closer",
            "--upscale",
            "lanczos",
            "--upscale-by",
            "3",
            "--count",
            "2",
            "-o",
            &file,
        ])
        .await;
    assert_eq!((ended.code, ended.notes.as_str()), (0, ""), "{ended:?}");
    let asked = bench.world().asked[0].clone();
    for part in [
        r#"prompt: "red heart""#,
        r#"negative_prompt: "-blurry""#,
        "seed: Some(7)",
        "steps: Some(25)",
        "guidance_scale: Some(3.5)",
        r#"sampler: "dpmpp_2m""#,
        r#"schedule: "karras""#,
        "width: Some(64)",
        "height: Some(96)",
        "clip_skip: Some(2)",
        r#"LoraUse { model: "civitai:2", weight: 1.0, text_encoder_weight: None }"#,
        r#"LoraUse { model: "civitai:3@4", weight: 0.5, text_encoder_weight: Some(0.25) }"#,
        "guidance_rescale: Some(0.7)",
        r#"source: "nv""#,
        "eta_seed_delta: Some(-31337)",
        "subseed: Some(9)",
        "subseed_strength: Some(0.1)",
        "resize_from_width: Some(512)",
        "resize_from_height: Some(768)",
        "eta: Some(0.5)",
        "s_churn: Some(3.0)",
        "s_tmin: Some(0.2)",
        "s_tmax: Some(9.0)",
        "s_noise: Some(1.01)",
        "count: 2",
        r#"init_image: "assets/of-the-upload""#,
        "strength: Some(0.75)",
        "image_guidance_scale: Some(1.2)",
        r#"ControlNet { model: "civitai:5", image: "assets/of-the-upload", canny: Some(Canny { low: Some(50), high: Some(150) }), strength: None, start: None, end: Some(0.5) }"#,
        r#"Inpaint { mask: "assets/of-the-upload", invert: false, blur: Some(8), content: "fill", only_masked: true"#,
        r#"Hires { upscaler: "civitai:7", scale: Some(1.5), steps: Some(12), strength: Some(0.4)"#,
        r#"guidance_scale: Some(4.0), prompt: Some("closer"), negative_prompt: None }"#,
        r#"Upscale { upscaler: "lanczos", scale: Some(3.0) }"#,
        "cancel_on_disconnect: true",
    ] {
        assert!(asked.contains(part), "{part} in {asked}");
    }
    assert_eq!(bench.world().uploaded_bytes, PICTURE.len());
    let events = ended.objects();
    assert_eq!(events[0]["phase"], "queued");
    let sampling = events.iter().find(|event| event["phase"] == "sampling").unwrap();
    assert_eq!(
        (&sampling["event"], &sampling["step"], &sampling["total_steps"]),
        (&json!("progress"), &json!(1), &json!(25))
    );
    let done = events.last().unwrap();
    assert_eq!((&done["event"], &done["generation"]), (&json!("done"), &json!(GENERATION)));
    let second = bench.file("heart-2.png");
    assert_eq!(
        done["images"],
        json!([
            { "path": file, "seed": 7, "width": 64, "height": 64, "sha256": picture_digest() },
            { "path": second, "seed": 8, "width": 64, "height": 64, "sha256": picture_digest() },
        ])
    );
    assert_eq!((std::fs::read(&file).unwrap(), std::fs::read(&second).unwrap()), (PICTURE.to_vec(), PICTURE.to_vec()));
}

#[tokio::test]
async fn generate_says_where_the_picture_is() {
    let bench = Bench::new().await;
    let file = bench.file("heart.png");
    let ended = bench.run(&["generate", "red heart", "--model", "civitai:1", "-o", &file]).await;
    assert_eq!(
        (ended.out, ended.notes),
        (format!("{file}  64×64  seed 7\n"), "the network computed twice\n".to_owned())
    );
}

#[tokio::test]
async fn generate_refuses_before_it_paints() {
    let bench = Bench::new().await;
    let large = bench.file("large.png");
    std::fs::File::create(&large).unwrap().set_len((64 << 20) + 1).unwrap();
    let missing = bench.file("missing/a.png");
    for (words, code, reason) in [
        (vec!["-o", &missing], 2, "INVALID_ARGUMENT"),
        (vec!["-o", "a.gif"], 2, "INVALID_ARGUMENT"),
        (vec!["-o", "a.jpg", "--format", "png"], 2, "INVALID_ARGUMENT"),
        (vec!["--format", "tiff"], 2, "INVALID_ARGUMENT"),
        (vec!["--quality", "101"], 2, "INVALID_ARGUMENT"),
        (vec!["--init-image", &large], 2, "INVALID_ARGUMENT"),
        (vec!["--init-image", &missing], 1, "LOCAL_IO_FAILED"),
        (vec!["--strength", "0.5"], 2, "INVALID_ARGUMENT"),
        (vec!["--count", "0"], 2, "INVALID_ARGUMENT"),
        (vec!["--seed", "-1"], 2, "INVALID_ARGUMENT"),
        (vec!["--subseed", "3"], 2, "INVALID_ARGUMENT"),
        (vec!["--seed-resize-from", "512"], 2, "INVALID_ARGUMENT"),
    ] {
        let ended = bench.json(&[&["generate", "x", "--model", "civitai:1"], &words[..]].concat()).await;
        assert_eq!((ended.code, &ended.error()["reason"]), (code, &json!(reason)), "{words:?}");
    }
    assert!(bench.world().asked.is_empty(), "nothing reached the daemon");
}

#[tokio::test]
async fn the_ending_of_a_file_or_a_flag_says_what_a_picture_becomes() {
    for (words, format) in [
        (vec!["-o", "heart.jpg", "--quality", "80"], "jpeg"),
        (vec!["-o", "heart.webp"], "webp"),
        (vec!["-o", "heart", "--format", "webp"], "webp"),
        (vec!["-o", "heart.png"], "png"),
    ] {
        let bench = Bench::new().await;
        let file = bench.file(words[1]);
        let ended = bench.json(&[&["generate", "x", "--model", "civitai:1", "-o", &file], &words[2..]].concat()).await;
        assert_eq!(ended.code, 0, "{words:?}");
        let asked = bench.world().asked.join("\n");
        assert!(asked.contains(&format!("format: \"{format}\"")), "{asked}");
        assert_eq!(asked.contains("quality: Some(80)"), format == "jpeg", "{asked}");
    }
}

#[tokio::test]
async fn what_the_daemon_does_not_support_ends_with_three() {
    let bench = Bench::new().await;
    let file = bench.file("a.png");
    let words = ["generate", "x", "--model", "civitai:1", "-o", &file];
    let ended = bench.json(&[&words[..], &["--sampler", "magic"]].concat()).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (3, &json!("UNSUPPORTED_SETTING")));
    bench.world().fate = Fate::Badly;
    let ended = bench.json(&words).await;
    let error = ended.error();
    assert_eq!(
        (ended.code, &error["reason"], &error["metadata"]["job"]),
        (3, &json!("UNSUPPORTED_ARCHITECTURE"), &json!(GENERATION))
    );
}

#[tokio::test]
async fn a_damaged_picture_is_never_written() {
    let bench = Bench::new().await;
    bench.world().fate = Fate::Worse;
    let before = names_in(bench.folder.path());
    let ended = bench.json(&["generate", "x", "--model", "civitai:1", "-o", &bench.file("a.png")]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (1, &json!("DIGEST_MISMATCH")));
    assert_eq!(names_in(bench.folder.path()), before);
}

#[tokio::test]
async fn a_token_comes_from_standard_input_and_is_never_repeated() {
    let mut bench = Bench::new().await;
    bench.input = "  secret-token\n".into();
    assert_eq!(bench.json(&["login", "civitai"]).await.object(), json!({ "hub": "civitai", "account": "painter" }));
    assert!(bench.world().asked[0].contains("secret-token\""), "without the line break");
    assert_eq!(bench.run(&["login", "huggingface"]).await.out, "Signed in to Hugging Face as painter.\n");
    assert_eq!(bench.json(&["logout", "hf"]).await.object(), json!({ "hub": "hf", "account": null }));
    bench.input = "two words".into();
    let ended = bench.json(&["login", "hf"]).await;
    assert_eq!((ended.code, &ended.error()["reason"]), (2, &json!("INVALID_ARGUMENT")));
    assert!(!ended.notes.contains("two words"), "{}", ended.notes);
    bench.input = String::new();
    assert_eq!(bench.json(&["login", "hf"]).await.code, 2);
    bench.input = "wrong".into();
    assert_eq!(bench.json(&["login", "civitai"]).await.error()["reason"], "HUB_TOKEN_REJECTED");
    assert_eq!(bench.json(&["login", "civitai", "a-token"]).await.code, 2, "a token on the command line is refused");
}

#[tokio::test]
async fn a_picture_is_made_larger() {
    let bench = Bench::new().await;
    let (from, to) = (bench.file("small.png"), bench.file("large.webp"));
    // More than one message holds.
    std::fs::write(&from, vec![7; 2_000_000]).unwrap();
    let ended = bench.run(&["upscale", &from, "--with", "civitai:7", "--by", "2", "-o", &to]).await;
    assert_eq!((ended.code, ended.notes.as_str()), (0, "the network computed twice\n"), "{ended:?}");
    assert!(!ended.out.contains("seed"), "nothing was painted: {}", ended.out);
    assert_eq!(std::fs::read(&to).unwrap(), PICTURE);
    assert_eq!(bench.world().uploaded_bytes, 2_000_000);
    let asked = bench.world().asked.join("\n");
    for part in [
        r#"Upscale { upscaler: "civitai:7", scale: Some(2.0) }"#,
        r#"init_image: "assets/of-the-upload""#,
        r#"model: "", prompt: """#,
        r#"format: "webp""#,
    ] {
        assert!(asked.contains(part), "{part} in {asked}");
    }
    for words in
        [&["upscale", &from][..], &["upscale", "--with", "lanczos"], &["upscale", &from, "--with", "a", "--by", "x"]]
    {
        assert_eq!(bench.json(words).await.code, 2, "{words:?}");
    }
}

/// A recipe of which the model is here and a LoRA is in `state`.
fn recipe(state: &str, pull: &str) -> v1::ReadRecipeResponse {
    let model = |role: &str, state: &str, pull: &str| v1::RecipeModel {
        role: role.into(),
        name: format!("its {role}"),
        state: state.into(),
        reference: if state == "here" { "0123456789".into() } else { String::new() },
        found_by: if state == "here" { "digest".into() } else { String::new() },
        pull: pull.into(),
        weight: 0.5,
        volume: if state == "away" { "big".into() } else { String::new() },
        ..Default::default()
    };
    v1::ReadRecipeResponse {
        spec: Some(v1::GenerationSpec {
            model: "0123456789".into(),
            prompt: "a fox".into(),
            sampler: "euler".into(),
            schedule: "karras".into(),
            steps: Some(20),
            strength: Some(0.5),
            loras: vec![v1::LoraUse { model: pull.into(), weight: 0.5, ..Default::default() }],
            ..Default::default()
        }),
        models: vec![model("model", "here", ""), model("lora", state, pull), model("text_encoder", "here", "")],
        remarks: vec![v1::RecipeRemark {
            field: "ENSD".into(),
            given: "31337\u{1b}[31m".into(),
            problem: "this is not done here".into(),
        }],
        program: "v1.10".into(),
    }
}

#[tokio::test]
async fn a_recipe_is_painted_with_what_is_given_beside_it() {
    let bench = Bench::new().await;
    bench.world().recipe = recipe("here", "");
    std::fs::write(bench.file("like.png"), PICTURE).unwrap();
    let (file, like) = (bench.file("a.png"), bench.file("like.png"));
    let words = ["generate", "--like", &like, "-o", &file, "--steps", "5", "--sampler", "heun", "--lora", "civitai:9"];
    let encoders = ["--text-encoder", "local:3", "--text-encoder", "hf:a/b:g.safetensors", "--embedding", "path:/l.pt"];
    let ended = bench.run(&[&words[..], &encoders].concat()).await;
    assert_eq!(ended.code, 0, "{}", ended.notes);
    assert!(ended.notes.contains("not as in the recipe: ENSD 31337"), "{}", ended.notes);
    assert!(!ended.notes.contains('\u{1b}'), "a recipe says nothing to the terminal");
    let asked = bench.world().asked.join("\n");
    for part in ["a fox", "steps: Some(5)", "\"heun\"", "schedule: \"\"", "civitai:9", "strength: None", "png"]
        .into_iter()
        .chain([r#"text_encoders: ["local:3", "hf:a/b:g.safetensors"]"#, r#"embeddings: ["path:/l.pt"]"#])
    {
        assert!(asked.contains(part), "{part} in {asked}");
    }
    assert!(asked.starts_with("ReadRecipeRequest { source: Some(Part("), "{asked}");
}

#[tokio::test]
async fn a_dry_run_shows_the_recipe_and_paints_nothing() {
    let bench = Bench::new().await;
    bench.world().recipe = recipe("missing", "civitai:2@3");
    let ended = bench.run(&["generate", "--like", "9173928", "--dry-run", "--seed", "5"]).await;
    assert_eq!(ended.code, 0, "{}", ended.notes);
    for part in [
        "prompt    a fox",
        "seed      5",
        "found by its digest",
        "missing: `paintbox pull civitai:2@3`",
        "v1.10",
        "text_encoder its text_encoder 0123",
    ] {
        assert!(ended.out.contains(part), "{part} in {}", ended.out);
    }
    let asked = bench.world().asked.clone();
    assert_eq!(asked, ["ReadRecipeRequest { source: Some(CivitaiImage(9173928)) }"]);
}

#[tokio::test]
async fn what_a_recipe_lacks_is_said_or_fetched() {
    for (state, pull, hint) in [
        ("missing", "civitai:2@3", "`paintbox pull civitai:2@3` fetches it, and so does --pull"),
        ("missing", "", "--model and --lora say what to paint with instead"),
        ("away", "", "--model and --lora say what to paint with instead"),
    ] {
        let bench = Bench::new().await;
        bench.world().recipe = recipe(state, pull);
        let ended = bench.json(&["generate", "--like", "5"]).await;
        let error = ended.error();
        assert_eq!((ended.code, &error["reason"], &error["hint"]), (1, &json!("FILE_NOT_LOCAL"), &json!(hint)));
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("its lora") && message.contains("big") == (state == "away"), "{message}");
    }
    let bench = Bench::new().await;
    bench.world().recipe = recipe("missing", "civitai:2@3");
    let file = bench.file("a.png");
    let ended = bench.json(&["generate", "--like", "5", "--pull", "-o", &file]).await;
    assert_eq!(ended.code, 0, "{}", ended.notes);
    let asked = bench.world().asked.join("\n");
    assert!(asked.contains(r#"references: ["civitai:2@3"]"#) && asked.contains("GenerateImagesRequest"), "{asked}");
    for words in [&["generate", "--pull", "x", "--model", "civitai:1"][..], &["generate", "x"], &["generate"]] {
        assert_eq!(bench.json(words).await.code, 2, "{words:?}");
    }
}
