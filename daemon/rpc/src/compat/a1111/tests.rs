//! A1111's interface as Open WebUI and SillyTavern use it.

use crate::compat::testing::{Answered, SEEN, World, json_request, picture};
use axum::body::{Body, Bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use paintbox_domain::generation::{
    HiresUpscaler, InpaintArea, JobState, LatentScaling, MaskedContent, NoiseSource, Sampler, Schedule, Upscaler,
};
use paintbox_domain::reason;
use serde_json::{Value, json};

const TEXT: &str = "/sdapi/v1/txt2img";
const IMAGE: &str = "/sdapi/v1/img2img";

fn fixture(name: &str) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/frontends/");
    serde_json::from_slice(&std::fs::read(format!("{path}{name}")).unwrap()).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The picture and the information of an answer that went well.
fn painted(answered: &Answered) -> (Vec<Vec<u8>>, Value) {
    let answer = answered.json();
    assert_eq!(answered.status, StatusCode::OK, "{answer}");
    let images = answer["images"].as_array().unwrap();
    let images = images.iter().map(|image| STANDARD.decode(image.as_str().unwrap()).unwrap()).collect();
    (images, serde_json::from_str(answer["info"].as_str().unwrap()).unwrap())
}

fn refused(answered: &Answered) -> (u16, String, String) {
    let answer = answered.json();
    for key in ["error", "detail", "body", "errors"] {
        assert!(answer[key].is_string(), "{answer}");
    }
    let text = |key: &str| answer[key].as_str().unwrap().to_owned();
    (answered.status.as_u16(), text("reason"), text("detail"))
}

#[tokio::test]
async fn all_options_can_be_sent_back_with_another_model() {
    let world = World::new().await;
    let options = world.get("/sdapi/v1/options").await.json();
    assert_eq!(options["sd_model_checkpoint"], "dream.safetensors [0101010101]");
    let models = world.get("/sdapi/v1/sd-models").await.json();
    assert_eq!((&models[0]["title"], &models[0]["model_name"]), (&options["sd_model_checkpoint"], &json!("dream")));
    world.add_checkpoint(2, "other").await;
    let mut changed = options.clone();
    changed["sd_model_checkpoint"] = "other.safetensors [0202020202]".into();
    assert_eq!(world.post("/sdapi/v1/options", changed.clone()).await.json(), Value::Null);
    assert_eq!(world.get("/sdapi/v1/options").await.json()["sd_model_checkpoint"], "other.safetensors [0202020202]");
    let (images, info) = painted(&world.post(TEXT, json!({"prompt": "a fox"})).await);
    assert_eq!((images.len(), &info["sd_model_name"]), (1, &json!("other")));
    assert_eq!(world.last_asked().model[0].name, "other.safetensors");
    // An empty name, as Open WebUI sends it where no model is chosen, is the choice of none.
    changed["sd_model_checkpoint"] = "".into();
    assert_eq!(world.post("/sdapi/v1/options", changed).await.json(), Value::Null);
    assert_eq!(world.get("/sdapi/v1/options").await.json(), options);
}

#[tokio::test]
async fn every_title_that_is_listed_is_of_one_model() {
    let world = World::new().await;
    // Called as the file is, and as one another.
    let folders = [("org/dream", "0a0b0c0d0e0f"), ("fork/dream", "0a0b0c0d0e0f")];
    for (repository, commit) in folders {
        world.add_folder(repository, commit).await;
    }
    let models = world.get("/sdapi/v1/sd-models").await.json();
    let titles: Vec<_> = models.as_array().unwrap().iter().map(|model| model["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["dream.safetensors [0101010101]", "fork/dream@0a0b0c0d0e", "org/dream@0a0b0c0d0e"]);
    for title in titles {
        assert_eq!(world.post("/sdapi/v1/options", json!({"sd_model_checkpoint": title})).await.json(), Value::Null);
        assert_eq!(world.get("/sdapi/v1/options").await.json()["sd_model_checkpoint"], title);
        painted(&world.post(TEXT, json!({"prompt": "x"})).await);
        assert_eq!(world.last_asked().model.len(), if title.contains('@') { 2 } else { 1 }, "{title}");
        assert_eq!(world.get(&format!("/v1/models/{}", title.replace(' ', "%20"))).await.json()["id"], title);
    }
    let unclear = world.post("/sdapi/v1/options", json!({"sd_model_checkpoint": "dream"})).await;
    assert_eq!(refused(&unclear).1, reason::AMBIGUOUS_NAME);
}

#[tokio::test]
async fn silly_tavern_paints_and_its_password_is_not_given_back() {
    let world = World::new().await;
    for (path, key) in [
        ("samplers", "name"),
        ("schedulers", "name"),
        ("upscalers", "name"),
        ("latent-upscale-modes", "name"),
        ("sd-models", "title"),
        ("sd-vae", "model_name"),
        ("sd-modules", "model_name"),
    ] {
        let list = world.get(&format!("/sdapi/v1/{path}")).await.json();
        assert!(list.as_array().unwrap().iter().all(|item| item[key].is_string()), "{path}: {list}");
    }
    let chosen =
        world.post("/sdapi/v1/options", json!({"sd_model_checkpoint": "dream.safetensors [0101010101]"})).await;
    assert_eq!(chosen.status, StatusCode::OK);
    let progress = world.get("/sdapi/v1/progress").await.json();
    assert_eq!((&progress["progress"], &progress["state"]["job_count"]), (&json!(0.0), &json!(0)));

    let answered = world.post(TEXT, fixture("silly-tavern-txt2img.json")).await;
    let (images, info) = painted(&answered);
    assert_eq!((images.len(), &info["sampler_name"]), (1, &json!("DDIM")));
    assert!(!String::from_utf8_lossy(&answered.body).contains("the-secret-of-the-token"));
    assert_eq!(answered.json()["parameters"]["cfg_scale"], 7);
    let asked = world.last_asked();
    assert_eq!((asked.sampler, asked.schedule, asked.hires), (Some(Sampler::Ddim), Some(Schedule::Normal), None));

    painted(&world.post(TEXT, fixture("silly-tavern-hires.json")).await);
    let asked = world.last_asked();
    let hires = asked.hires.unwrap();
    assert_eq!((hires.scale, hires.steps, hires.strength), (Some(1.5), Some(12), Some(0.6)));
    assert_eq!(hires.upscaler, Some(HiresUpscaler::Latents(LatentScaling::NearestExact)));
    assert_eq!((asked.seed, asked.clip_skip, asked.vae.unwrap().name), (42, Some(2), "clear.safetensors".to_owned()));

    painted(&world.post(TEXT, fixture("silly-tavern-draw-things.json")).await);
    assert_eq!((world.last_asked().seed, world.last_asked().sampler), (7, Some(Sampler::EulerAncestral)));
}

#[tokio::test]
async fn what_a1111_means_by_its_numbers_is_meant_here() {
    let world = World::new().await;
    let asked = json!({
        "prompt": "x", "seed": -1, "subseed": 9, "subseed_strength": 0.25, "batch_size": 2, "n_iter": 3,
        "sampler_index": "DPM++ 2M", "eta": 0.5, "s_churn": 0, "s_tmin": 0.0, "s_tmax": 0, "s_noise": 1.0,
        "seed_resize_from_w": 0, "seed_resize_from_h": -1, "width": 0, "denoising_strength": 0,
        "styles": ["anime"], "override_settings": {"randn_source": "NV", "eta_noise_seed_delta": 31337, "grid_save": true},
    });
    let (images, info) = painted(&world.post(TEXT, asked).await);
    let painted_as = world.last_asked();
    assert_eq!((images.len(), painted_as.count, info["all_seeds"].as_array().unwrap().len()), (6, 6, 6));
    assert_eq!((&info["batch_size"], &info["subseed"]), (&json!(2), &json!(9)));
    assert_eq!(info["remarks"].as_array().unwrap().len(), 2, "{}", info["remarks"]);
    let noise = painted_as.noise;
    assert_eq!((noise.subseed, noise.subseed_strength, noise.eta_seed_delta), (Some(9), Some(0.25), Some(31337)));
    assert_eq!((noise.source, noise.eta, noise.s_churn, noise.s_noise), (Some(NoiseSource::Nvidia), None, None, None));
    assert_eq!((noise.resize_from, painted_as.width), (None, None));
    assert_eq!(painted_as.schedule, Some(Schedule::Karras), "what A1111 uses this sampler with by itself");
    let eta =
        json!({"prompt": "x", "sampler_name": "Euler a", "eta": 0, "scheduler": "Automatic", "send_images": false});
    let (images, _) = painted(&world.post(TEXT, eta).await);
    let painted_as = world.last_asked();
    assert_eq!((images.len(), painted_as.noise.eta, painted_as.schedule), (0, Some(0.0), Some(Schedule::Normal)));
}

#[tokio::test]
async fn a_recipe_may_be_sent_as_text_and_what_is_said_beside_it_goes_first() {
    let world = World::new().await;
    let text = "a fox\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 5, Seed: 3, Size: 128x64, Model: dream";
    painted(&world.post(TEXT, json!({"infotext": text, "seed": 4, "prompt": "a crow"})).await);
    let asked = world.last_asked();
    assert_eq!((asked.prompt.as_str(), asked.negative_prompt.as_str(), asked.seed), ("a crow", "blurry", 4));
    assert_eq!((asked.steps, asked.width, asked.sampler), (Some(20), Some(128), Some(Sampler::EulerAncestral)));
    let unread = world.post(TEXT, json!({"infotext": "no recipe"})).await;
    assert_eq!(refused(&unread).1, reason::RECIPE_NOT_FOUND);
}

#[tokio::test]
async fn a_picture_is_painted_over_at_the_size_that_is_asked_for() {
    let world = World::new().await;
    let image = format!("data:image/png;base64,{}", base64(&picture(96, 64, 255)));
    let asked = json!({"prompt": "x", "init_images": [image], "width": 64, "height": 128, "resize_mode": 1});
    let answered = world.post(IMAGE, asked).await;
    painted(&answered);
    assert_eq!(answered.json()["parameters"].get("init_images"), None);
    let init = world.last_asked().init.unwrap();
    assert_eq!((init.width, init.height, init.strength, init.inpaint), (64, 128, Some(0.75), None));
    // Without a size at its own; the answer repeats the picture where that is asked for.
    let asked = json!({"prompt": "x", "init_images": [image], "denoising_strength": 0.4, "include_init_images": true});
    let answered = world.post(IMAGE, asked).await;
    assert_eq!(answered.json()["parameters"]["init_images"][0], json!(image));
    let init = world.last_asked().init.unwrap();
    assert_eq!((init.width, init.height, init.strength), (96, 64, Some(0.4)));
}

#[tokio::test]
async fn a_part_of_a_picture_is_painted_as_a1111_would() {
    let world = World::new().await;
    let (image, mask) = (base64(&picture(96, 64, 255)), base64(&picture(96, 64, 0)));
    let whole = json!({
        "prompt": "x", "init_images": [image], "mask": mask, "width": 128, "height": 64, "inpaint_full_res": false,
        "inpainting_fill": 1, "mask_blur": 8, "inpainting_mask_invert": 1,
    });
    painted(&world.post(IMAGE, whole).await);
    let init = world.last_asked().init.unwrap();
    let inpaint = init.inpaint.unwrap();
    assert_eq!((init.width, inpaint.mask.len(), inpaint.blur, inpaint.invert), (128, 128 * 64, 8, true));
    assert_eq!((inpaint.content, inpaint.area), (MaskedContent::Original, InpaintArea::Whole));
    // Only what is masked, as the API does when nothing is said: the picture stays as it is.
    let part = json!({"prompt": "x", "init_images": [image], "mask": mask, "width": 128, "height": 128});
    painted(&world.post(IMAGE, part).await);
    let asked = world.last_asked();
    let init = asked.init.unwrap();
    let inpaint = init.inpaint.unwrap();
    assert_eq!((init.width, init.height, asked.width, asked.height), (96, 64, Some(128), Some(128)));
    assert_eq!((inpaint.content, inpaint.area), (MaskedContent::Fill, InpaintArea::OnlyMasked { padding: 0 }));
}

#[tokio::test]
async fn control_nets_lead_by_pictures_and_edges() {
    let world = World::new().await;
    let image = base64(&picture(64, 64, 255));
    let unit = json!({
        "enabled": true, "module": "canny", "model": "lines [0606abcd]", "weight": 0.5, "image": image,
        "threshold_a": 50, "threshold_b": -1, "guidance_start": 0.1, "guidance_end": 0.9, "resize_mode": "Crop and Resize",
        "control_mode": "Balanced", "pixel_perfect": true, "processor_res": 512,
    });
    let off = json!({"enabled": false, "model": "lines", "image": null});
    let scripts = json!({"ControlNet": {"args": [unit, off]}, "ADetailer": {"args": []}});
    painted(&world.post(TEXT, json!({"prompt": "x", "alwayson_scripts": scripts})).await);
    let [control] = &world.last_asked().controls[..] else { panic!("one is on") };
    assert_eq!((control.name.as_str(), control.strength, control.start, control.end), ("lines", 0.5, 0.1, 0.9));
    assert_eq!(control.canny.map(|canny| (canny.low, canny.high)), Some((50, 200)));
    for (unit, status, wanted) in [
        (json!({"model": "lines"}), 400, reason::INVALID_ARGUMENT),
        (json!({"model": "lines", "module": "depth", "image": image}), 400, reason::UNSUPPORTED_SETTING),
        (json!({"model": "lines", "image": image, "control_mode": 1}), 400, reason::UNSUPPORTED_SETTING),
        (json!({"model": "lines", "image": image, "resize_mode": 2}), 400, reason::UNSUPPORTED_SETTING),
        (
            json!({"model": "lines", "image": {"image": image, "mask": "x"}, "mask": "x"}),
            400,
            reason::UNSUPPORTED_SETTING,
        ),
        (json!({"model": "nothing here", "image": image}), 404, reason::MODEL_NOT_FOUND),
        (json!(5), 400, reason::INVALID_ARGUMENT),
    ] {
        let scripts = json!({"controlnet": {"args": [unit]}});
        let answered = world.post(TEXT, json!({"prompt": "x", "alwayson_scripts": scripts})).await;
        let (found, reason, _) = refused(&answered);
        assert_eq!((found, reason.as_str()), (status, wanted), "{scripts}");
    }
}

#[tokio::test]
async fn what_the_picture_would_lack_is_refused_in_a1111s_form() {
    let world = World::new().await;
    for (field, value, status, wanted) in [
        ("script_name", json!("X/Y/Z plot"), 422, "Script 'X/Y/Z plot' not found"),
        ("alwayson_scripts", json!({"ADetailer": {"args": [true]}}), 422, "always on script ADetailer not found"),
        ("restore_faces", json!(true), 400, "faces"),
        ("tiling", json!(true), 400, "edges"),
        ("refiner_checkpoint", json!("xl-refiner"), 400, "refiner_checkpoint"),
        ("sampler_name", json!("DPM++ 9M"), 400, "/sdapi/v1/samplers"),
        ("scheduler", json!("Turbo"), 400, "/sdapi/v1/schedulers"),
        ("n_iter", json!(65), 400, "65"),
        ("steps", json!("many"), 400, "steps"),
        ("seed", json!(1.5), 400, "seed"),
        ("prompt", json!(["a", "b"]), 400, "prompt"),
        ("override_settings", json!({"sd_model_checkpoint": "nothing here"}), 404, "nothing here"),
        ("override_settings", json!({"sd_vae": "nothing here"}), 404, "nothing here"),
        ("override_settings", json!([]), 400, "override_settings"),
        ("cfg_scale", json!(1e6), 400, "guidance_scale"),
    ] {
        let answered = world.post(TEXT, json!({"prompt": "x", field: value})).await;
        let (found, _, detail) = refused(&answered);
        assert!(found == status && detail.contains(wanted), "{field} {value}: {found} {detail}");
    }
    for (field, value, wanted) in [
        ("init_images", json!([]), "Init image not found"),
        ("init_images", json!(["%%%"]), "base64"),
        ("init_images", json!(["https://example.org/x.png"]), "not fetched"),
        ("init_images", json!([base64(b"no picture")]), "init_images"),
        ("resize_mode", json!(3), "resize_mode"),
    ] {
        let mut body = json!({"prompt": "x", "init_images": [base64(&picture(96, 64, 255))], "width": 64});
        body[field] = value;
        let (status, _, detail) = refused(&world.post(IMAGE, body).await);
        assert!(status == 400 && detail.contains(wanted), "{field}: {status} {detail}");
    }
    assert!(world.asked.lock().unwrap().is_empty());
    let (status, reason, _) = refused(&world.post(TEXT, json!({"prompt": "too much"})).await);
    assert_eq!((status, reason.as_str()), (429, reason::OUT_OF_MEMORY));
}

#[tokio::test]
async fn options_are_checked_kept_and_used() {
    let world = World::new().await;
    for options in [
        json!({"sd_model_checkpoint": "nothing here"}),
        json!({"sd_vae": "nothing here"}),
        json!({"samples_format": "gif"}),
        json!({"CLIP_stop_at_last_layers": "two"}),
        json!({"forge_additional_modules": "clear"}),
        json!({"sd_vae": "x".repeat(10_000)}),
    ] {
        let answered = world.post("/sdapi/v1/options", options.clone()).await;
        assert!(answered.status.is_client_error(), "{options}");
    }
    assert_eq!(world.get("/sdapi/v1/options").await.json()["samples_format"], "png");
    let options = json!({
        "samples_format": "jpg", "jpeg_quality": 50, "sd_vae": "clear.safetensors", "CLIP_stop_at_last_layers": 2,
        "forge_additional_modules": [], "unheard_of": {"deep": [1]},
    });
    assert_eq!(world.post("/sdapi/v1/options", options).await.status, StatusCode::OK);
    let (images, _) = painted(&world.post(TEXT, json!({"prompt": "x"})).await);
    assert!(images[0].starts_with(b"\xff\xd8"));
    let asked = world.last_asked();
    assert_eq!((asked.clip_skip, asked.vae.unwrap().name.as_str()), (Some(2), "clear.safetensors"));
    // For one request something else.
    let once = json!({"prompt": "x", "override_settings": {"samples_format": "png", "sd_vae": "Automatic"}});
    let (images, _) = painted(&world.post(TEXT, once).await);
    assert!(images[0].starts_with(b"\x89PNG") && world.last_asked().vae.is_none());
    assert_eq!(world.get("/sdapi/v1/options").await.json().get("unheard_of"), None);
}

#[tokio::test]
async fn progress_and_interruptions_are_of_ones_own_pictures() {
    let world = World::held().await;
    let waiting = world.post(TEXT, json!({"prompt": SEEN, "steps": 1000, "n_iter": 1}));
    let watching = async {
        let mut seen = Value::Null;
        world.permit(1);
        while seen["current_image"].is_null() || seen["progress"] == json!(0.0) {
            seen = world.get("/sdapi/v1/progress").await.json();
            tokio::task::yield_now().await;
        }
        let plain = world.get("/sdapi/v1/progress?skip_current_image=true").await.json();
        assert!(plain["current_image"].is_null());
        let state = &seen["state"];
        assert_eq!(
            (&state["job"], &state["job_count"], &state["sampling_steps"]),
            (&json!("txt2img"), &json!(1), &json!(1000))
        );
        let picture = STANDARD.decode(seen["current_image"].as_str().unwrap()).unwrap();
        assert!(picture.starts_with(b"\x89PNG"));
        // Somebody else sees nothing of it, and stops nothing.
        let other = crate::compat::caller::CallerId("somebody else".to_owned());
        assert!(world.compat.callers.active(&other).is_empty());
        super::progress::stop(&world.compat, &other, usize::MAX).await.unwrap();
        assert!(world.get("/sdapi/v1/progress").await.json()["state"]["job_count"] == 1);
        assert_eq!(world.post("/sdapi/v1/interrupt", Value::Null).await.json(), json!({}));
    };
    let (answered, ()) = tokio::join!(waiting, watching);
    let answer = answered.json();
    assert_eq!((answered.status.as_u16(), &answer["images"]), (200, &json!([])), "as A1111 says it");
    let info: Value = serde_json::from_str(answer["info"].as_str().unwrap()).unwrap();
    assert!(info["seed"].is_number() && info["infotexts"] == json!([]), "{info}");
    assert!(
        info["remarks"].as_array().unwrap().iter().any(|one| one.as_str().unwrap().contains("interrupted")),
        "{info}"
    );
    assert_eq!(world.get("/sdapi/v1/progress").await.json()["state"]["job_count"], 0);
    assert_eq!(world.history().await[0].state, JobState::Cancelled);
}

#[tokio::test]
async fn what_somebody_else_cancels_is_an_error() {
    let world = World::held().await;
    let waiting = world.post(TEXT, json!({"prompt": "a fox"}));
    let cancelling = async {
        let uid = loop {
            match world.history().await.first() {
                Some(record) => break record.uid.clone(),
                None => tokio::task::yield_now().await,
            }
        };
        world.compat.generations.cancel(&uid).await.unwrap();
    };
    let (answered, ()) = tokio::join!(waiting, cancelling);
    let (status, reason, _) = refused(&answered);
    assert_eq!((status, reason.as_str()), (409, reason::CANCELLED));
}

/// With one thread for work on pictures, which somebody else holds.
#[test]
fn a_large_request_keeps_nobody_else_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let world = World::new().await;
        let (free, held) = std::sync::mpsc::channel::<()>();
        let holding = tokio::task::spawn_blocking(move || held.recv());
        let done = std::cell::Cell::new(false);
        let large = async {
            let image = base64(&picture(512, 512, 255));
            let told = world.post("/sdapi/v1/png-info", json!({ "image": image })).await;
            done.set(true);
            told.status
        };
        let others = async {
            for _ in 0..50 {
                assert_eq!(world.get("/sdapi/v1/progress").await.status, 200);
                tokio::task::yield_now().await;
            }
            assert!(!done.get(), "it was read on the thread that answers everybody");
            free.send(()).unwrap();
        };
        let (status, ()) = tokio::join!(large, others);
        assert_eq!(status, 200);
        holding.await.unwrap().unwrap();
    });
}

#[tokio::test]
async fn finished_pictures_become_larger_and_say_how_they_were_made() {
    let world = World::new().await;
    let (images, info) = painted(&world.post(TEXT, json!({"prompt": "a fox", "seed": 3})).await);
    let told = world.post("/sdapi/v1/png-info", json!({"image": base64(&images[0])})).await.json();
    assert_eq!((&told["info"], &told["items"]), (&info["infotexts"][0], &json!({})));
    assert_eq!((&told["parameters"]["Prompt"], &told["parameters"]["Seed"]), (&json!("a fox"), &json!("3")));
    let silent = world.post("/sdapi/v1/png-info", json!({"image": base64(&picture(8, 8, 255))})).await.json();
    assert_eq!((&silent["info"], &silent["parameters"]), (&json!(""), &json!({})));

    let small = base64(&images[0]);
    let asked = json!({"image": small, "upscaler_1": "R-ESRGAN 4x+", "upscaling_resize": 3});
    let larger = world.post("/sdapi/v1/extra-single-image", asked).await.json();
    let larger = STANDARD.decode(larger["image"].as_str().unwrap()).unwrap();
    let size = png::Decoder::new(std::io::Cursor::new(larger)).read_info().unwrap().info().size();
    assert_eq!(size, (192, 192));
    let by_size = json!({
        "image": small, "upscaler_1": "Lanczos", "resize_mode": 1, "upscaling_resize_w": 128, "upscaling_resize_h": 128,
    });
    assert_eq!(world.post("/sdapi/v1/extra-single-image", by_size).await.status, StatusCode::OK);
    let history = world.history().await;
    let specs = history.iter().map(|record| paintbox_generation::spec_from_json(&record.spec_json).unwrap());
    let upscales: Vec<_> =
        specs.filter_map(|spec| spec.upscale).map(|upscale| (upscale.upscaler, upscale.scale)).collect();
    let network = Upscaler::Network("07".repeat(32));
    assert_eq!(upscales[1], (network, Some(3.0)));
    assert_eq!(upscales[0].1, Some(2.0));
    for asked in [
        json!({"image": small, "upscaler_1": "nothing here"}),
        json!({"image": small, "upscaler_1": "Latent"}),
        json!({"image": small, "gfpgan_visibility": 0.5}),
        json!({"image": small, "resize_mode": 1, "upscaling_resize_w": 128, "upscaling_resize_h": 64}),
        json!({"image": ""}),
        json!({"image": base64(b"text")}),
    ] {
        let answered = world.post("/sdapi/v1/extra-single-image", asked.clone()).await;
        assert!(answered.status.is_client_error(), "{asked}: {}", answered.json());
    }
}

#[tokio::test]
async fn lists_name_what_is_here_and_no_folders() {
    let world = World::new().await;
    let list = async |name: &str| world.get(&format!("/sdapi/v1/{name}")).await.json();
    assert_eq!(list("loras").await[0]["name"], "grey");
    assert!(list("embeddings").await["loaded"]["lantern"].is_object());
    assert_eq!(list("sd-vae").await[0]["model_name"], "clear.safetensors");
    let upscalers = list("upscalers").await;
    let names: Vec<_> = upscalers.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["None", "Lanczos", "Nearest", "RealESRGAN_x4plus"]);
    for name in ["sd-models", "loras", "sd-vae", "sd-modules", "upscalers", "embeddings"] {
        assert!(!list(name).await.to_string().contains("/tmp"), "{name}");
    }
    for name in ["hypernetworks", "face-restorers", "prompt-styles", "scripts", "cmd-flags", "memory", "extensions"] {
        assert_eq!(world.get(&format!("/sdapi/v1/{name}")).await.status, StatusCode::OK, "{name}");
    }
    for name in ["refresh-checkpoints", "refresh-loras", "refresh-vae"] {
        assert_eq!(world.post(&format!("/sdapi/v1/{name}"), json!({})).await.status, StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn other_paths_and_bodies_are_refused_in_the_same_form() {
    let world = World::new().await;
    let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1 << 20])));
    let endless = Request::post(IMAGE).header("content-type", "application/json");
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    for (request, status, wanted) in [
        (json_request("/sdapi/v1/server-kill", &json!({})), 404, reason::METHOD_UNKNOWN),
        (json_request("/sdapi/v1/train/embedding", &json!({})), 404, reason::METHOD_UNKNOWN),
        (get("/sdapi/v1/nothing"), 404, reason::METHOD_UNKNOWN),
        (get(TEXT), 405, reason::METHOD_UNKNOWN),
        (get("/sdapi/v1/interrupt"), 405, reason::METHOD_UNKNOWN),
        (Request::post(TEXT).body(Body::from("{}")).unwrap(), 415, reason::MEDIA_TYPE_UNSUPPORTED),
        (json_request(TEXT, &json!([])), 400, reason::INVALID_ARGUMENT),
        (endless.body(Body::from_stream(pieces)).unwrap(), 413, reason::BODY_TOO_LARGE),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let (found, reason, _) = refused(&world.send(request).await);
        assert_eq!((found, reason.as_str()), (status, wanted), "{what}");
    }
}
