//! The engine looks at itself through the real programs, and keeps to the memory that it is allowed.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn doctor_proves_the_engine_on_its_device_and_bench_measures_a_model() {
    let (_hub, installed) = installation_with("[generation]\nkeep_warm_minutes = 0\n").await;
    let checks = ok(&installed, &["doctor", "--engine"]);
    assert!(checks.len() >= 6, "{checks:#?}");
    assert!(checks.iter().all(|check| check["passed"] == true), "{checks:#?}");

    ok(&installed, &["pull", "civitai:64064"]);
    let bench = ok(&installed, &["bench", "civitai:64064", "--steps", "3"]).remove(0);
    assert_eq!((&bench["width"], &bench["sampler"]), (&64.into(), &"euler".into()), "{bench:#}");
    assert_eq!((bench["device"].clone(), bench["sha256"].as_str().unwrap().len()), (checks[0]["device"].clone(), 64));
    assert_eq!(bench["step_seconds"].as_array().unwrap().len(), 2, "the first is not counted");
    let number = |name: &str| bench[name].as_f64().unwrap();
    assert!(["load_seconds", "encode_seconds", "decode_seconds"].iter().all(|name| number(name) > 0.0), "{bench:#}");
    assert!(number("planned_bytes") > 16e6, "{bench:#}");
    let missing = error(&installed, &["bench", "civitai:64065"]);
    assert_ne!(missing["reason"], "INTERNAL", "{missing:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_painting_beyond_the_memory_that_is_allowed_is_refused_with_numbers() {
    let (_hub, installed) = installation_with("[generation]\nmemory_limit_bytes = 150000000\n").await;
    ok(&installed, &["pull", "civitai:64064"]);
    let path = installed.scratch().join("a.png");
    let paint = |side: &'static str| {
        ["generate", "red heart", "--model", "civitai:64064", "--steps", "1", "--width", side, "--height", side, "-o"]
    };
    ok(&installed, &[&paint("64")[..], &[path.to_str().unwrap()]].concat());
    let refused = error(&installed, &[&paint("2048")[..], &[path.to_str().unwrap()]].concat());
    assert_eq!(refused["reason"], "OUT_OF_MEMORY", "{refused:#}");
    assert_eq!(refused["metadata"]["limit_bytes"], "150000000", "{refused:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_model_tells_what_it_can_be_asked_for_before_anything_is_painted() {
    let (_hub, installed) = installation_with("[generation]\nmemory_limit_bytes = 150000000\n").await;
    ok(&installed, &["pull", "civitai:64064"]);
    ok(&installed, &["pull", "civitai:64065"]);
    let told = ok(&installed, &["show", "civitai:64064", "--capabilities"]).remove(0);
    assert_eq!((&told["architecture"], &told["prediction_type"]), (&"sd1".into(), &"epsilon".into()), "{told:#}");
    assert_eq!((&told["defaults"]["width"], &told["size_multiple"]), (&64.into(), &8.into()), "{told:#}");
    assert_eq!(
        (&told["memory_limit_bytes"], &told["refused"]),
        (&150_000_000.into(), &serde_json::json!([])),
        "{told:#}"
    );
    assert_eq!(told["loras"]["fitting"][0]["name"], "greyscale", "{told:#}");
    let features = told["features"].as_array().unwrap();
    assert!(["text_to_image", "inpainting", "hires"].iter().all(|feature| features.contains(&(*feature).into())));
    let refused = error(&installed, &["show", "civitai:64065", "--capabilities"]);
    assert_eq!(refused["reason"], "INVALID_ARGUMENT", "a LoRA is no model: {refused:#}");
}
