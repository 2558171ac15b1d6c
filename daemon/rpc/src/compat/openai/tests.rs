//! OpenAI's interface as its clients use it.

use crate::compat::testing::{SEEN, World, form_request, json_request, picture};
use axum::body::{Body, Bytes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use http::{Request, StatusCode};
use paintbox_domain::generation::{JobState, Sampler, Schedule};
use paintbox_domain::reason;
use serde_json::{Value, json};

const GENERATIONS: &str = "/v1/images/generations";
const EDITS: &str = "/v1/images/edits";

fn decoded(base64: &Value) -> Vec<u8> {
    STANDARD.decode(base64.as_str().unwrap()).unwrap()
}

async fn states(world: &World) -> Vec<JobState> {
    world.history().await.iter().map(|record| record.state).collect()
}

#[tokio::test]
async fn pictures_come_in_base64_in_openais_form() {
    let world = World::new().await;
    let asked = json!({
        "model": "dream", "prompt": "a red heart", "n": 2, "size": "128x64", "seed": 7, "response_format": "url",
        "user": "somebody", "moderation": "low", "something_new": {"a": 1}, "style": null,
    });
    let answered = world.post(GENERATIONS, asked).await;
    let answer = answered.json();
    assert_eq!(answered.status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["size"], &answer["output_format"]), (&json!("128x64"), &json!("png")));
    assert_eq!((&answer["quality"], &answer["background"]), (&Value::Null, &json!("opaque")));
    assert!(answer["created"].is_i64() && answer["usage"]["input_tokens_details"]["text_tokens"].is_i64());
    let pictures = answer["data"].as_array().unwrap();
    assert_eq!(pictures.iter().map(|picture| picture["seed"].as_u64().unwrap()).collect::<Vec<_>>(), [7, 8]);
    assert!(pictures.iter().all(|picture| decoded(&picture["b64_json"]).starts_with(b"\x89PNG")));
    assert!(pictures[0]["b64_json"] != pictures[1]["b64_json"] && pictures[0].get("url").is_none());
    let painted = world.last_asked();
    assert_eq!((painted.width, painted.height, painted.count, painted.seed), (Some(128), Some(64), 2, 7));
    assert_eq!((painted.prompt.as_str(), painted.steps), ("a red heart", None));
}

#[tokio::test]
async fn what_is_not_said_suits_the_model_and_the_only_one_here_is_meant() {
    let world = World::new().await;
    let answer = world.post(GENERATIONS, json!({"prompt": "x", "size": "auto", "quality": "auto"})).await.json();
    assert_eq!(answer["size"], "64x64");
    let painted = world.last_asked();
    assert_eq!((painted.width, painted.steps, painted.sampler), (None, None, None));
    world.add_checkpoint(2, "other").await;
    let refused = world.post(GENERATIONS, json!({"prompt": "x"})).await;
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("model")));
}

#[tokio::test]
async fn quality_formats_and_our_own_settings_reach_the_painting() {
    let world = World::new().await;
    let asked = json!({
        "model": "civitai:1", "prompt": "x", "quality": "hd", "output_format": "jpeg", "output_compression": 40,
        "negative_prompt": "blurry", "guidance_scale": 3.5, "sampler": "Euler a", "schedule": "karras",
    });
    let answer = world.post(GENERATIONS, asked).await.json();
    assert!(decoded(&answer["data"][0]["b64_json"]).starts_with(b"\xff\xd8"), "{answer}");
    assert_eq!(answer["quality"], "high");
    let painted = world.last_asked();
    assert_eq!((painted.steps, painted.guidance_scale), (Some(6), Some(3.5)), "half as many again as the usual four");
    assert_eq!((painted.sampler, painted.schedule), (Some(Sampler::EulerAncestral), Some(Schedule::Karras)));
    assert_eq!(painted.negative_prompt, "blurry");
    let webp = world.post(GENERATIONS, json!({"prompt": "x", "output_format": "webp", "output_compression": 40})).await;
    assert!(decoded(&webp.json()["data"][0]["b64_json"]).starts_with(b"RIFF"));
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_openais_form_with_our_reason() {
    let world = World::new().await;
    for (body, status, code, param) in [
        (json!({}), 400, reason::INVALID_ARGUMENT, json!("prompt")),
        (json!({"prompt": 5}), 400, reason::INVALID_ARGUMENT, json!("prompt")),
        (json!({"prompt": "x", "n": 11}), 400, reason::INVALID_ARGUMENT, json!("n")),
        (json!({"prompt": "x", "n": 0}), 400, reason::INVALID_ARGUMENT, json!("n")),
        (json!({"prompt": "x", "size": "huge"}), 400, reason::INVALID_ARGUMENT, json!("size")),
        (json!({"prompt": "x", "quality": "best"}), 400, reason::INVALID_ARGUMENT, json!("quality")),
        (json!({"prompt": "x", "output_format": "gif"}), 400, reason::UNSUPPORTED_SETTING, json!("output_format")),
        (json!({"prompt": "x", "output_compression": 101}), 400, reason::INVALID_ARGUMENT, json!("output_compression")),
        (json!({"prompt": "x", "background": "transparent"}), 400, reason::UNSUPPORTED_SETTING, json!("background")),
        (json!({"prompt": "x", "sampler": "dice"}), 400, reason::UNSUPPORTED_SETTING, json!("sampler")),
        (json!({"prompt": "x", "model": "dall-e-2"}), 404, reason::MODEL_NOT_FOUND, Value::Null),
        (json!({"prompt": "x", "model": "civitai:3"}), 400, reason::INVALID_ARGUMENT, Value::Null),
        (json!({"prompt": "x", "model": "hf:../x"}), 400, reason::INVALID_REFERENCE, Value::Null),
        (json!({"prompt": "too much"}), 429, reason::OUT_OF_MEMORY, Value::Null),
    ] {
        let answered = world.post(GENERATIONS, body.clone()).await;
        let error = &answered.json()["error"];
        assert_eq!(
            (answered.status.as_u16(), &error["code"], &error["param"]),
            (status, &json!(code), &param),
            "{body}"
        );
        assert!(error["message"].as_str().unwrap().len() > 10 && error["type"].is_string(), "{error}");
        let retry = answered.headers.get("x-should-retry").map(|value| value.to_str().unwrap());
        assert_eq!(retry, (status != 429).then_some("false"), "{body}");
    }
}

#[tokio::test]
async fn bodies_of_other_kinds_sizes_and_places_are_refused_in_the_same_form() {
    let world = World::new().await;
    let plain = Request::post(GENERATIONS).header("content-type", "text/plain").body(Body::from("{}")).unwrap();
    let bare = Request::post(GENERATIONS).body(Body::from(r#"{"prompt":"x"}"#)).unwrap();
    let broken = Request::post(GENERATIONS).header("content-type", "application/json").body(Body::from("{")).unwrap();
    let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1 << 20])));
    let endless = Request::post(GENERATIONS).header("content-type", "application/json; charset=utf-8");
    let endless = endless.body(Body::from_stream(pieces)).unwrap();
    for (request, status, code) in [
        (plain, 415, reason::MEDIA_TYPE_UNSUPPORTED),
        (bare, 415, reason::MEDIA_TYPE_UNSUPPORTED),
        (broken, 400, reason::INVALID_ARGUMENT),
        (endless, 413, reason::BODY_TOO_LARGE),
        (json_request(EDITS, &json!({"prompt": "x"})), 415, reason::MEDIA_TYPE_UNSUPPORTED),
        (Request::get(GENERATIONS).body(Body::empty()).unwrap(), 405, reason::METHOD_UNKNOWN),
        (json_request("/v1/chat/completions", &json!({})), 404, reason::METHOD_UNKNOWN),
        (Request::get("/v1/files/x").body(Body::empty()).unwrap(), 404, reason::METHOD_UNKNOWN),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let answered = world.send(request).await;
        assert_eq!((answered.status.as_u16(), &answered.json()["error"]["code"]), (status, &json!(code)), "{what}");
    }
    assert!(world.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bodies_that_there_is_no_room_for_are_told_to_come_back() {
    let world = World::with_room(1000).await;
    let (sender, pieces) = futures::channel::mpsc::unbounded::<Result<Bytes, std::io::Error>>();
    sender.unbounded_send(Ok(Bytes::from_static(&[b' '; 600]))).unwrap();
    let slow = Request::post(GENERATIONS).header("content-type", "application/json");
    let mut slow = Box::pin(world.send(slow.body(Body::from_stream(pieces)).unwrap()));
    assert!(futures::poll!(&mut slow).is_pending(), "the rest of it has to come");
    let asked = json!({"prompt": "x".repeat(600)});
    let refused = world.post(GENERATIONS, asked.clone()).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!(reason::DAEMON_BUSY))
    );
    let edit = || form_request(EDITS, &[("prompt", "x")], &[("image", &[7; 600])]);
    assert_eq!(world.send(edit()).await.json()["error"]["code"], reason::DAEMON_BUSY);
    assert_eq!(refused.headers["retry-after"], "1");
    // Whoever leaves makes room.
    drop(slow);
    assert_eq!(world.post(GENERATIONS, asked).await.status, StatusCode::OK);
    assert_eq!(world.send(edit()).await.json()["error"]["code"], reason::PREVIEW_REFUSED, "it was looked at");
}

#[tokio::test]
async fn a_repeated_key_leads_to_the_same_pictures_and_never_to_others() {
    let world = World::new().await;
    let ask = |prompt: &str| {
        let mut request = json_request(GENERATIONS, &json!({"prompt": prompt}));
        request.headers_mut().insert("idempotency-key", "mine".parse().unwrap());
        request
    };
    let first = world.send(ask("a fox")).await.json();
    let second = world.send(ask("a fox")).await.json();
    assert_eq!(first["data"], second["data"]);
    assert_eq!(states(&world).await, [JobState::Succeeded]);
    let other = world.send(ask("a crow")).await;
    assert_eq!(other.json()["error"]["code"], reason::REQUEST_ID_REUSED);
    let mut long = ask("a fox");
    long.headers_mut().insert("idempotency-key", "k".repeat(300).parse().unwrap());
    assert_eq!(world.send(long).await.json()["error"]["param"], "Idempotency-Key");
}

/// Waits until the generator works, then leaves.
async fn leave(world: &World, request: Request<Body>) {
    let waiting = world.send(request);
    let begun = async {
        while world.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answered = waiting => panic!("nothing was permitted yet, but {answered:?}"),
        () = begun => {}
    }
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_wish_back() {
    let world = World::held().await;
    leave(&world, json_request(GENERATIONS, &json!({"prompt": "x"}))).await;
    while states(&world).await != [JobState::Cancelled] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_caller_that_named_its_request_finds_the_pictures_when_it_comes_back() {
    let world = World::held().await;
    let ask = || {
        let mut request = json_request(GENERATIONS, &json!({"prompt": "x"}));
        request.headers_mut().insert("idempotency-key", "mine".parse().unwrap());
        request
    };
    leave(&world, ask()).await;
    assert_eq!(states(&world).await, [JobState::Running]);
    world.permit(4);
    let answered = world.send(ask()).await;
    assert_eq!((answered.status, world.asked.lock().unwrap().len()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn whoever_waits_when_the_daemon_ends_hears_so() {
    let world = World::held().await;
    let waiting = world.post(GENERATIONS, json!({"prompt": "x"}));
    let ending = async {
        while world.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        world.compat.shutdown.cancel();
    };
    let (answered, ()) = tokio::join!(waiting, ending);
    assert_eq!(answered.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answered.headers["x-should-retry"], "true");
    assert_eq!(answered.json()["error"]["code"], reason::SHUTTING_DOWN);
    assert_eq!(states(&world).await, [JobState::Running], "the daemon left, and not the caller");
}

/// The events of a stream, by kind.
fn events(body: &[u8]) -> Vec<(String, Value)> {
    let text = std::str::from_utf8(body).unwrap();
    let event = |block: &str| {
        let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        (line("event:"), serde_json::from_str(&line("data:")).unwrap())
    };
    text.split("\n\n").filter(|block| block.contains("event:")).map(event).collect()
}

#[tokio::test]
async fn a_stream_has_each_picture_as_an_event() {
    let world = World::new().await;
    let answered = world.post(GENERATIONS, json!({"prompt": "x", "stream": true, "n": 2, "size": "64x128"})).await;
    assert_eq!(answered.headers["content-type"], "text/event-stream");
    let events = events(&answered.body);
    assert_eq!(events.len(), 2);
    for (kind, event) in &events {
        assert_eq!((kind.as_str(), &event["type"]), ("image_generation.completed", &json!(kind)));
        assert!(decoded(&event["b64_json"]).starts_with(b"\x89PNG"));
        assert_eq!((&event["size"], &event["quality"]), (&json!("64x128"), &json!("auto")));
        assert!(event["usage"]["total_tokens"].is_i64() && event["created_at"].is_i64());
    }
}

#[tokio::test]
async fn a_stream_shows_the_picture_while_it_is_painted() {
    let world = World::held().await;
    let asked = json!({"prompt": SEEN, "stream": true, "partial_images": 1, "steps": 2, "output_format": "webp"});
    let response = world.begin(json_request(GENERATIONS, &asked)).await;
    let mut body = response.into_body().into_data_stream();
    let mut text = Vec::new();
    world.permit(1);
    while events(&text).is_empty() {
        text.extend_from_slice(&body.next().await.unwrap().unwrap());
    }
    let (kind, event) = events(&text).remove(0);
    assert_eq!((kind.as_str(), &event["partial_image_index"]), ("image_generation.partial_image", &json!(0)));
    assert_eq!((&event["size"], &event["output_format"]), (&json!("auto"), &json!("webp")));
    assert!(decoded(&event["b64_json"]).starts_with(b"RIFF"));
    // Whoever stops reading leaves.
    drop(body);
    while states(&world).await != [JobState::Cancelled] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_says_what_went_wrong_on_the_way() {
    let world = World::new().await;
    let answered = world.post(GENERATIONS, json!({"prompt": "too much", "stream": true})).await;
    let [(kind, event)] = &events(&answered.body)[..] else { panic!("{answered:?}") };
    assert_eq!((kind.as_str(), &event["error"]["code"]), ("error", &json!(reason::OUT_OF_MEMORY)));
}

#[tokio::test]
async fn a_picture_is_painted_over_where_its_mask_is_transparent() {
    let world = World::new().await;
    let texts = [("prompt", "a hat"), ("model", "dream"), ("n", "1"), ("response_format", "b64_json")];
    let (image, mask) = (picture(64, 64, 255), picture(64, 64, 0));
    let answered = world.send(form_request(EDITS, &texts, &[("image[]", &image), ("mask", &mask)])).await;
    assert_eq!(answered.status, StatusCode::OK, "{}", answered.json());
    let init = world.last_asked().init.unwrap();
    let inpaint = init.inpaint.unwrap();
    assert_eq!((init.width, init.height, init.strength), (64, 64, Some(1.0)));
    assert!(inpaint.invert);
    assert_eq!((inpaint.mask[0], inpaint.mask[63]), (0, 255), "what is opaque stays");
    // Without a mask all of it.
    let texts = [("prompt", "a hat"), ("input_fidelity", "high"), ("stream", "true")];
    let answered = world.send(form_request(EDITS, &texts, &[("image", &image)])).await;
    assert_eq!(events(&answered.body)[0].0, "image_edit.completed");
    let init = world.last_asked().init.unwrap();
    assert_eq!((init.strength, init.inpaint), (Some(0.5), None));
}

#[tokio::test]
async fn a_picture_of_any_size_is_brought_to_one_that_can_be_painted() {
    let world = World::new().await;
    let image = picture(300, 200, 255);
    let answered = world.send(form_request(EDITS, &[("prompt", "x")], &[("image", &image)])).await;
    assert_eq!(answered.json()["size"], "72x48", "as many pixels as the model is used to");
    let texts = [("prompt", "x"), ("size", "64x128")];
    let mask = picture(300, 200, 0);
    let answered = world.send(form_request(EDITS, &texts, &[("image", &image), ("mask", &mask)])).await;
    assert_eq!(answered.json()["size"], "64x128");
    let init = world.last_asked().init.unwrap();
    assert_eq!((init.width, init.height, init.inpaint.unwrap().mask.len()), (64, 128, 64 * 128));
}

#[tokio::test]
async fn pictures_that_cannot_be_edited_are_refused_by_their_fields() {
    let world = World::new().await;
    let (image, other) = (picture(64, 64, 255), picture(32, 64, 0));
    type Files<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(Files<'_>, &str, &str); 6] = [
        (&[], "image", reason::INVALID_ARGUMENT),
        (&[("image", b"no picture")], "image", reason::PREVIEW_REFUSED),
        (&[("image[]", &image), ("image[]", &image)], "image", reason::UNSUPPORTED_SETTING),
        (&[("image", &image), ("mask", &image)], "mask", reason::INVALID_ARGUMENT),
        (&[("image", &image), ("mask", &other)], "mask", reason::INVALID_ARGUMENT),
        (&[("image", &image), ("markup", &image)], "markup", reason::UNSUPPORTED_SETTING),
    ];
    for (files, param, code) in cases {
        let answered = world.send(form_request(EDITS, &[("prompt", "x")], files)).await;
        let error = &answered.json()["error"];
        assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)), "{error}");
    }
    let cut_off = Request::post(EDITS).header("content-type", "multipart/form-data; boundary=x");
    let answered = world.send(cut_off.body(Body::from("--x\r\nno form")).unwrap()).await;
    assert_eq!((answered.status.as_u16(), &answered.json()["error"]["param"]), (400, &json!("body")));
    let endless = Request::post(EDITS).header("content-type", "multipart/form-data; boundary=x");
    let head = "--x\r\ncontent-disposition: form-data; name=\"image\"; filename=\"x\"\r\n\r\n";
    let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[7; 1 << 20])));
    let pieces = futures::stream::once(async move { Ok(Bytes::from_static(head.as_bytes())) }).chain(pieces);
    let answered = world.send(endless.body(Body::from_stream(pieces)).unwrap()).await;
    assert_eq!((answered.status.as_u16(), &answered.json()["error"]["code"]), (413, &json!(reason::BODY_TOO_LARGE)));
}

#[tokio::test]
async fn models_are_listed_and_each_name_of_one_finds_it() {
    let world = World::new().await;
    world.add_checkpoint(2, "other").await;
    let list = world.get("/v1/models").await.json();
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().unwrap();
    let ids: Vec<_> = models.iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["dream.safetensors [0101010101]", "other.safetensors [0202020202]"]);
    assert_eq!((&models[0]["object"], &models[0]["owned_by"]), (&json!("model"), &json!("paintbox")));
    for id in ["dream.safetensors%20%5B0101010101%5D", "dream", "DREAM.safetensors", &"01".repeat(32)] {
        assert_eq!(world.get(&format!("/v1/models/{id}")).await.json()["name"], "dream", "{id}");
    }
    for id in ["gpt-image-2", "hf:org/name", "grey"] {
        let missing = world.get(&format!("/v1/models/{id}")).await;
        assert_eq!(missing.json()["error"]["code"], reason::MODEL_NOT_FOUND, "{id}");
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
    }
}
