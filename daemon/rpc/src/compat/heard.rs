//! What front ends were heard to say (`tests/fixtures/frontends`), said again: request by request, as it came off the wire.

use super::testing::{Answered, World};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use paintbox_domain::generation::{Sampler, Schedule};
use paintbox_domain::reason;
use serde_json::{Value, json};

/// A request of a recorded session, and what came of it.
struct Said {
    path: String,
    body: Value,
    answered: Answered,
}

impl Said {
    /// How many pictures arrived, every one of which is a PNG.
    fn pictures(&self) -> usize {
        let answer = self.answered.json();
        let pictures: Vec<&Value> = match self.path.as_str() {
            "/sdapi/v1/txt2img" => answer["images"].as_array().unwrap().iter().collect(),
            _ => answer["data"].as_array().unwrap().iter().map(|picture| &picture["b64_json"]).collect(),
        };
        for picture in &pictures {
            assert!(STANDARD.decode(picture.as_str().unwrap()).unwrap().starts_with(b"\x89PNG"), "{}", self.path);
        }
        pictures.len()
    }

    /// What A1111's interface tells of the pictures.
    fn info(&self) -> Value {
        serde_json::from_str(self.answered.json()["info"].as_str().unwrap()).unwrap()
    }
}

/// Says everything of a session in its order; each answer has the status that it had when the session was recorded.
async fn say_again(world: &World, session: &str) -> Vec<Said> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/frontends/");
    let heard: Value = serde_json::from_slice(&std::fs::read(format!("{path}{session}")).unwrap()).unwrap();
    let mut said = Vec::new();
    for heard in heard.as_array().unwrap() {
        let text = |key: &str| heard[key].as_str().unwrap();
        let mut request = Request::builder().method(text("method")).uri(text("path"));
        for (name, value) in heard["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let body = match (&heard["form"], &heard["body"]) {
            (Value::String(form), _) => Body::from(STANDARD.decode(form).unwrap()),
            (_, Value::Null) => Body::empty(),
            (_, body) => Body::from(body.to_string()),
        };
        let answered = world.send(request.body(body).unwrap()).await;
        let shown = String::from_utf8_lossy(&answered.body);
        assert_eq!(heard["status"], answered.status.as_u16(), "{} {}: {shown}", text("method"), text("path"));
        said.push(Said { path: text("path").to_owned(), body: heard["body"].clone(), answered });
    }
    said
}

/// Prompts and numbers of all that was painted, with width, height and steps.
fn painted(world: &World) -> Vec<(String, u32, [Option<u32>; 3])> {
    let asked = world.asked.lock().unwrap();
    asked.iter().map(|asked| (asked.prompt.clone(), asked.count, [asked.width, asked.height, asked.steps])).collect()
}

#[tokio::test]
async fn all_that_open_webui_says_is_answered() {
    let world = World::new().await;
    // Its models were a file and a folder, and the title of either came from our list.
    let (file, folder) = ("dream.safetensors [0101010101]", "tiny-emoji/tiny-emoji@2a9093000d");
    world.add_folder("tiny-emoji/tiny-emoji", "2a9093000d44f6c500785eb558016280a6920174").await;
    let said = say_again(&world, "open-webui-session.json").await;
    let of = |path: &'static str| said.iter().filter(move |said| said.path == path);

    let listed = of("/sdapi/v1/sd-models").next().unwrap().answered.json();
    let titles: Vec<_> = listed.as_array().unwrap().iter().map(|model| model["title"].as_str().unwrap()).collect();
    assert_eq!(titles, [file, folder]);
    // Before a model was chosen it sent an empty name, which chose nothing.
    let chosen: Vec<_> = of("/sdapi/v1/options").filter(|said| !said.body.is_null()).collect();
    let chosen: Vec<_> = chosen.iter().map(|said| said.body["sd_model_checkpoint"].as_str().unwrap()).collect();
    assert_eq!(chosen, ["", folder, file]);
    let told = of("/sdapi/v1/options").filter(|said| said.body.is_null()).map(|said| said.answered.json());
    let told: Vec<_> = told.map(|options| options["sd_model_checkpoint"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, [file, file, file, file, folder, folder, folder]);

    let all = |prompt: &str, count, settings| (prompt.to_owned(), count, settings);
    assert_eq!(
        painted(&world),
        [
            all("red heart", 1, [Some(64), Some(64), Some(25)]),
            all("snowman", 2, [Some(64), Some(64), Some(25)]),
            all("frog", 1, [Some(64), Some(96), Some(20)]),
            all("pizza", 1, [Some(64), Some(64), None]),
            all("strawberry", 2, [Some(96), Some(64), Some(2)]),
            all("green apple", 1, [Some(64), Some(64), None]),
            all("orange", 2, [Some(64), Some(64), None]),
        ]
    );
    let arrived = said.iter().filter(|said| said.answered.status.is_success());
    let arrived = arrived.filter(|said| said.path.starts_with("/v1/images/") || said.path.ends_with("/txt2img"));
    assert_eq!(arrived.map(Said::pictures).collect::<Vec<_>>(), [1, 2, 1, 1, 2, 1, 2]);
    let infos: Vec<Value> = of("/sdapi/v1/txt2img").map(Said::info).collect();
    assert!(infos.iter().all(|info| info["remarks"] == json!([])), "{infos:?}");
    let text = infos[1]["infotexts"][0].as_str().unwrap();
    assert!(text.starts_with("snowman\nNegative prompt: blurry\nSteps: 25, Sampler: DPM++ 2M, "), "{text}");
    {
        let asked = world.asked.lock().unwrap();
        let snowman = &asked[1];
        assert_eq!((snowman.negative_prompt.as_str(), snowman.seed, snowman.guidance_scale), ("blurry", 7, Some(3.0)));
        assert_eq!((snowman.sampler, snowman.schedule), (Some(Sampler::DpmPlusPlus2m), Some(Schedule::Karras)));
        let models: Vec<_> = asked.iter().map(|asked| asked.model.len()).collect();
        assert_eq!(models, [1, 2, 1, 1, 1, 1, 1], "the folder has two files");
        let edits: Vec<_> = asked.iter().map(|asked| asked.init.is_some()).collect();
        assert_eq!(edits, [false, false, false, false, false, true, true]);
    }
    // It asks for OpenAI's own model until it is told another, and would edit two pictures as one.
    let refused = said.iter().filter(|said| !said.answered.status.is_success());
    let refused: Vec<_> = refused.map(|said| said.answered.json()["error"]["code"].clone()).collect();
    assert_eq!(refused, [reason::MODEL_NOT_FOUND, reason::UNSUPPORTED_SETTING]);
}

#[tokio::test]
async fn all_that_silly_tavern_says_is_answered() {
    let world = World::new().await;
    let said = say_again(&world, "silly-tavern-session.json").await;
    let pictures = said.iter().find(|said| said.path == "/sdapi/v1/txt2img").unwrap();
    assert_eq!((pictures.pictures(), &pictures.info()["remarks"]), (1, &json!([])));
    let asked = world.last_asked();
    assert_eq!((asked.width, asked.height, asked.steps), (Some(512), Some(512), Some(20)));
    assert_eq!((asked.sampler, asked.hires, asked.clip_skip), (Some(Sampler::Euler), None, None));
    assert!(asked.prompt.ends_with("a lighthouse at dusk"));
}
