//! `doctor --engine`, `bench` and `show --capabilities`.

use super::Bench;
use paintbox_proto::v1;

fn check(component: &str, passed: bool, problem: &str) -> v1::EngineCheck {
    v1::EngineCheck {
        component: component.into(),
        precision: "f16".into(),
        difference: if passed { 1.5e-3 } else { f64::INFINITY },
        magnitude: 3.0,
        tolerance: 0.2,
        passed,
        problem: problem.into(),
    }
}

#[tokio::test]
async fn doctor_tells_which_networks_the_device_computes_right() {
    let bench = Bench::new().await;
    bench.world().engine_checks = vec![check("UNet of XL", true, "")];
    let ended = bench.run(&["doctor", "--engine"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for words in ["UNet of XL", "metal", "f16", "1.5e-3", "2.0e-1", "ok"] {
        assert!(ended.out.contains(words), "{words}: {}", ended.out);
    }
    bench.world().engine_checks.push(check("VAE decoder", false, "no such \x1b[31mkernel"));
    let ended = bench.run(&["doctor", "--engine"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains("FAILED") && ended.out.contains("kernel") && !ended.out.contains("\x1b[31m"));
    let ended = bench.json(&["doctor", "--engine"]).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let lines = ended.objects();
    assert_eq!((lines.len(), &lines[0]["passed"], &lines[0]["device"]), (2, &true.into(), &"metal".into()));
    assert!(lines[1]["difference"].is_null() && lines[1]["passed"] == false);
    // Without any check nothing is proved.
    bench.world().engine_checks.clear();
    assert_eq!(bench.run(&["doctor", "--engine"]).await.code, 1);
}

#[tokio::test]
async fn bench_prints_what_can_be_posted() {
    let bench = Bench::new().await;
    let ended = bench.run(&["bench", "civitai:1", "--width", "640", "--steps", "4"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for words in [
        "Apple M4",
        "0.1.0 release aarch64 macos",
        "lighthouse 0123456789 (sd1)",
        "640×512, euler, guidance 7",
        "1.00 s, the fastest of 3; 2.00 s on average",
        "4.12 s",
        "not known here",
    ] {
        assert!(ended.out.contains(words), "{words}: {}", ended.out);
    }
    assert!(bench.world().asked[0].contains("steps: Some(4)"));
    let ended = bench.json(&["bench", "civitai:1"]).await;
    let line = ended.object();
    assert_eq!((&line["step_seconds"][1], &line["width"]), (&1.0.into(), &512.into()));
    assert!(line["peak_bytes"].is_null());
}

#[tokio::test]
async fn show_tells_what_a_model_can_be_asked_for() {
    let bench = Bench::new().await;
    let ended = bench.run(&["show", "civitai:1", "--capabilities"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for words in [
        "lighthouse 0123456789",
        "sd1, predicts epsilon, sees editing",
        "512×512, 25 steps, dpmpp_2m, normal, guidance 7.5, clip skip 1",
        "multiples of 8 up to 16384 pixels a side",
        "image to image, control nets",
        "normal, sgm_uniform",
        "grey, 1 200 here do not fit, 3 were not looked at",
        "RealESRGAN_x4plus",
        "text to image: it edits",
    ] {
        let plain = ended.out.replace(['\u{202f}', '\u{a0}'], " ").replace("1,200", "1 200");
        assert!(plain.contains(words), "{words}: {plain}");
    }
    assert!(!ended.out.contains('\x1b'));
    assert!(bench.world().asked[0].contains("civitai:1"));
    let ended = bench.json(&["show", "civitai:1", "--capabilities"]).await;
    let line = ended.object();
    assert_eq!((&line["inputs"], &line["defaults"]["steps"]), (&"editing".into(), &25.into()));
    assert_eq!(line["refused"][0]["error"]["reason"], "UNSUPPORTED_SETTING");
    assert_eq!((&line["loras"]["fitting"][0]["name"], &line["loras"]["unfit"]), (&"grey".into(), &1200.into()));
    assert_eq!(bench.run(&["show", "civitai:1", "--capabilities", "--history"]).await.code, 2);
}
