//! Whoever takes a wish back is heard at once, whatever is being done.

use super::controls::led_model;
use super::{Silence, engine, request};
use crate::tensor::interruption::work_since;
use crate::testing::{note, single_file};
use crate::{DeviceChoice, Engine, EngineOptions};
use paintbox_domain::generation::{
    Cancellation, Control, Generator, InitImage, PaintRequest, Painting, Phase, Progress, Sampler,
};
use paintbox_domain::{ErrorClass, Failure, reason};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What is asked before and while a model that is in memory is not loaded.
const WARM_QUESTIONS: usize = 2;

/// Listens to a painting, and takes the wish back the `stop_at`-th time that it is asked, counted from 1.
struct Asked {
    stop_at: usize,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    asked: usize,
    phase: Option<Phase>,
    /// Multiplications between two questions: the most, and all, of each phase.
    work: BTreeMap<&'static str, (u64, u64)>,
    /// How often each phase asked.
    questions: BTreeMap<&'static str, usize>,
}

impl Asked {
    fn stopping_at(stop_at: usize) -> Self {
        work_since();
        Self { stop_at, seen: Arc::default() }
    }

    fn into_seen(self) -> Seen {
        Arc::into_inner(self.seen).unwrap().into_inner().unwrap()
    }
}

impl Control for Asked {
    fn cancellation(&self) -> Cancellation {
        let (seen, stop_at) = (self.seen.clone(), self.stop_at);
        Cancellation::when(move || {
            let mut seen = seen.lock().unwrap();
            seen.asked += 1;
            let phase = seen.phase.map_or("planning", Phase::as_str);
            let work = work_since();
            let (most, all) = seen.work.entry(phase).or_default();
            (*most, *all) = ((*most).max(work), *all + work);
            *seen.questions.entry(phase).or_default() += 1;
            seen.asked >= stop_at
        })
    }

    fn progress(&self, progress: Progress) {
        self.seen.lock().unwrap().phase = Some(progress.phase);
    }
}

fn stopped(outcome: Result<Painting, Failure>, at: usize) {
    let failure = outcome.err().unwrap_or_else(|| panic!("question {at} was not heard"));
    assert_eq!((failure.class, failure.reason.as_str()), (ErrorClass::Cancelled, reason::CANCELLED), "{at}");
}

/// Stops a painting at every question of all that it asks, and looks now and then what the engine is worth afterwards.
/// Of loading, where all questions are alike, only every so-manieth.
fn stops_at_every_question(name: &str, request: &PaintRequest, phases: &[Phase], of_loading: usize) {
    /// Numbers that share no rhythm with layers.
    const LOOK_EVERY: usize = 97;
    let right = engine().paint(request, &Silence).unwrap();
    let whole = Asked::stopping_at(usize::MAX);
    assert_eq!(engine().paint(request, &whole).unwrap(), right);
    let seen = whole.into_seen();
    for phase in phases {
        let (most, all) = seen.work[phase.as_str()];
        let questions = seen.questions[phase.as_str()];
        note(&format!("{name}, {phase}: asks {questions} times, at most {most} of {all} multiplications apart"));
        // A layer of these small networks is a large part of them. Those of large ones are cut into pieces of a bounded size,
        // which `interruption`'s own tests hold.
        assert!(most * 4 <= all, "{name}, {phase}: {most} of {all}");
        assert!(questions >= 8, "{name}, {phase}: {questions}");
    }
    let mut engine = engine();
    let stop = |engine: &mut Engine, at: usize, last: usize| {
        let control = Asked::stopping_at(at);
        stopped(engine.paint(request, &control), at);
        assert_eq!(control.into_seen().asked, at, "it goes on after it was told to stop");
        if at.is_multiple_of(LOOK_EVERY) || at == last {
            assert_eq!(engine.paint(request, &Silence).unwrap(), right, "after question {at}");
        }
    };
    let loading = seen.questions["planning"] + seen.questions[Phase::Loading.as_str()];
    for at in (1..=loading).step_by(of_loading).chain([loading]) {
        engine.evict();
        stop(&mut engine, at, loading);
    }
    // With the model in memory, the rest follows at once.
    let warm = Asked::stopping_at(usize::MAX);
    assert_eq!(engine.paint(request, &warm).unwrap(), right);
    let count = warm.into_seen().asked;
    assert_eq!(count, seen.asked - loading + WARM_QUESTIONS);
    for at in 1..=count {
        stop(&mut engine, at, count);
    }
}

#[test]
fn a_picture_from_text_stops_at_every_question() {
    let request = PaintRequest {
        prompt: "red heart AND [blue:green:1] star".to_owned(),
        steps: Some(1),
        sampler: Some(Sampler::DpmPlusPlusSde),
        width: Some(32),
        height: Some(32),
        ..request(&single_file())
    };
    let phases = [Phase::Loading, Phase::EncodingPrompt, Phase::Sampling, Phase::Decoding];
    stops_at_every_question("from text", &request, &phases, 1);
}

#[test]
fn a_led_picture_over_another_stops_at_every_question() {
    let (files, control, lora, _root) = led_model();
    let request = PaintRequest {
        controls: vec![control],
        loras: vec![lora],
        steps: Some(1),
        sampler: Some(Sampler::Euler),
        init: Some(InitImage { width: 32, height: 32, rgb: vec![90; 3 * 32 * 32], strength: Some(1.0), inpaint: None }),
        ..request(&files)
    };
    let phases = [Phase::Loading, Phase::EncodingPrompt, Phase::EncodingImage, Phase::Sampling, Phase::Decoding];
    stops_at_every_question("over another", &request, &phases, 13);
}

/// A model in memory has nothing to load, and stays there.
#[test]
fn a_stopped_painting_leaves_the_model_warm() {
    let request = PaintRequest { steps: Some(2), ..request(&single_file()) };
    let mut engine = Engine::new(EngineOptions { device: DeviceChoice::Cpu, ..EngineOptions::default() }).unwrap();
    let right = engine.paint(&request, &Silence).unwrap();
    for at in [1, 2, 100, 300] {
        stopped(engine.paint(&request, &Asked::stopping_at(at)), at);
        assert!(engine.is_warm(), "{at}");
    }
    assert_eq!(engine.paint(&request, &Silence).unwrap(), right);
}
