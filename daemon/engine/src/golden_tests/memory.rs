//! Networks that take turns in memory, and networks that have to compute again.

use super::controls::led_model;
use super::{Silence, engine, request};
use crate::residence::Part;
use crate::testing::{note, single_file};
use crate::{DeviceChoice, Engine, EngineOptions, Residency};
use paintbox_domain::generation::{Generator, Hires, InitImage, ModelFile, PaintRequest, Painting};
use paintbox_domain::reason;

fn limited(memory_limit_bytes: u64) -> Engine {
    let memory_limit_bytes = Some(memory_limit_bytes);
    Engine::new(EngineOptions { device: DeviceChoice::Cpu, memory_limit_bytes, ..EngineOptions::default() }).unwrap()
}

/// The largest limits under which a request is painted in each way, and one byte too few for any.
fn limits(request: &PaintRequest) -> Vec<(Residency, u64)> {
    let mut limits = Vec::new();
    let mut limit = u64::MAX;
    while let Ok(plan) = limited(limit).memory_plan(request) {
        limits.push((plan.residency, plan.peak_bytes()));
        limit = plan.peak_bytes() - 1;
    }
    limits
}

fn requests() -> Vec<(PaintRequest, Option<tempfile::TempDir>)> {
    let (files, control, lora, root) = led_model();
    let init = InitImage { width: 64, height: 64, rgb: vec![90; 3 * 64 * 64], strength: Some(0.8), inpaint: None };
    let led = PaintRequest {
        controls: vec![control],
        loras: vec![lora],
        steps: Some(3),
        count: 2,
        init: Some(init),
        ..request(&files)
    };
    let plain = PaintRequest { steps: Some(3), count: 2, ..request(&single_file()) };
    let twice = PaintRequest { steps: Some(2), count: 2, hires: Some(hires()), ..request(&single_file()) };
    vec![(plain, None), (led, Some(root)), (twice, None)]
}

/// Twice as large in a second pass.
fn hires() -> Hires<ModelFile> {
    Hires {
        upscaler: None,
        scale: Some(2.0),
        steps: None,
        strength: None,
        sampler: None,
        schedule: None,
        guidance_scale: None,
        prompt: None,
        negative_prompt: None,
    }
}

#[test]
fn a_second_pass_is_planned_at_its_own_size() {
    let peak = |request: &PaintRequest| engine().memory_plan(request).unwrap().peak_bytes();
    let small = PaintRequest { width: Some(256), height: Some(256), ..request(&single_file()) };
    let large = PaintRequest { width: Some(512), height: Some(512), ..small.clone() };
    let twice = PaintRequest { hires: Some(hires()), ..small.clone() };
    assert!(peak(&twice) >= peak(&large) && peak(&large) > peak(&small));
}

#[test]
fn networks_that_take_turns_paint_the_same_pictures() {
    for (request, _root) in requests() {
        let right = engine().paint(&request, &Silence).unwrap();
        let limits = limits(&request);
        let ways: Vec<Residency> = limits.iter().map(|(residency, _)| *residency).collect();
        // Small as these models are, some ways take what others do; the first and the last never.
        assert_eq!(ways.first(), Some(&Residency::Together));
        assert_eq!(ways.last(), Some(&Residency::InTurn));
        for (residency, limit) in &limits {
            note(&format!("{residency:?} within {limit} bytes"));
            let mut engine = limited(*limit);
            assert_eq!(engine.paint(&request, &Silence).unwrap(), right, "{residency:?}");
            assert_eq!(engine.paint(&request, &Silence).unwrap(), right, "{residency:?}, once more");
            engine.evict();
            assert!(!engine.is_warm());
            assert_eq!(engine.paint(&request, &Silence).unwrap(), right, "{residency:?}, read anew");
        }
        let least = limits.last().unwrap().1;
        let failure = limited(least - 1).paint(&request, &Silence).unwrap_err();
        assert_eq!(failure.reason, reason::OUT_OF_MEMORY);
        assert!(failure.message.contains(&least.to_string()), "{}", failure.message);
    }
}

#[test]
fn absurd_sizes_are_refused_with_numbers() {
    for side in [65_536, u32::MAX - 7] {
        let request = PaintRequest { width: Some(side), height: Some(side), ..request(&single_file()) };
        let failure = limited(16 << 30).paint(&request, &Silence).unwrap_err();
        assert_eq!(failure.reason, reason::OUT_OF_MEMORY);
        assert!(failure.message.contains(&(16_u64 << 30).to_string()), "{}", failure.message);
    }
}

#[test]
fn a_network_that_fails_in_half_precision_computes_again_and_says_so() {
    for (request, _root) in requests() {
        let right = engine().paint(&request, &Silence).unwrap();
        assert!(right.warnings.is_empty());
        for (part, value, words) in [
            (Part::Unet, f32::NAN, "the network gave values that are not numbers in half precision"),
            (Part::Unet, 0.0, "the network gave nothing but zeros in half precision"),
            (Part::TextEncoders, f32::INFINITY, "the text encoder gave values that are not numbers in half precision"),
        ] {
            let mut engine = engine().failing_in_half((part, value));
            let Painting { images, warnings, .. } = engine.paint(&request, &Silence).unwrap();
            assert_eq!(images, right.images, "{words}");
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].starts_with(words), "{warnings:?}");
            // It stays as it is, as long as it is in memory.
            assert_eq!(engine.paint(&request, &Silence).unwrap(), right);
        }
        // Nothing fails in a part that is not at fault.
        let mut engine = engine().failing_in_half((Part::Vae, f32::NAN));
        assert_eq!(engine.paint(&request, &Silence).unwrap(), right);
    }
}
