//! How long the parts of a painting take on this machine, and what it takes of memory: `paintbox bench`.

use crate::engine::Engine;
use paintbox_domain::Failure;
use paintbox_domain::generation::{Cancellation, Control, EngineBench, Generator, PaintRequest, Phase, Progress};
use std::cell::RefCell;
use std::time::Instant;

/// Paints from a cold start, and tells how long that took.
pub(crate) fn bench(
    engine: &mut Engine,
    request: &PaintRequest,
    control: &dyn Control,
) -> Result<EngineBench, Failure> {
    engine.evict();
    let planned_bytes = engine.memory_plan(request)?.peak_bytes();
    let is_measured = peak::begin();
    let watch = Stopwatch { control, started: Instant::now(), seen: RefCell::default() };
    let painting = engine.paint(request, &watch)?;
    let ended = watch.started.elapsed().as_secs_f64();
    let laps = Laps { seen: watch.seen.into_inner(), ended };
    Ok(EngineBench {
        device: engine.device_name().to_owned(),
        threads: u32::try_from(rayon::current_num_threads()).unwrap_or(u32::MAX),
        load_seconds: laps.of(Phase::Loading),
        encode_seconds: laps.of(Phase::EncodingPrompt) + laps.of(Phase::EncodingImage),
        step_seconds: laps.steps(),
        decode_seconds: laps.of(Phase::Decoding),
        peak_bytes: if is_measured { peak::bytes() } else { None },
        planned_bytes,
        settings: painting.settings,
    })
}

/// Notes when each progress was reported.
struct Stopwatch<'a> {
    control: &'a dyn Control,
    started: Instant,
    seen: RefCell<Vec<(Phase, f64)>>,
}

impl Control for Stopwatch<'_> {
    fn cancellation(&self) -> Cancellation {
        self.control.cancellation()
    }

    fn progress(&self, progress: Progress) {
        self.seen.borrow_mut().push((progress.phase, self.started.elapsed().as_secs_f64()));
        self.control.progress(progress);
    }
}

/// Phases in order, with the second in which each was reported, and the last second.
struct Laps {
    seen: Vec<(Phase, f64)>,
    ended: f64,
}

impl Laps {
    /// From each report of a phase to whatever was reported next.
    fn of(&self, phase: Phase) -> f64 {
        let ends = self.seen.iter().skip(1).map(|(_, at)| *at).chain([self.ended]);
        self.seen.iter().zip(ends).filter(|((of, _), _)| *of == phase).map(|((_, begin), end)| end - begin).sum()
    }

    /// Each step but the first where there are several, because it fills caches.
    fn steps(&self) -> Vec<f64> {
        let sampled: Vec<f64> =
            self.seen.iter().filter(|(phase, _)| *phase == Phase::Sampling).map(|(_, at)| *at).collect();
        let steps: Vec<f64> = sampled.windows(2).map(|pair| pair[1] - pair[0]).collect();
        match steps.as_slice() {
            [_, rest @ ..] if !rest.is_empty() => rest.to_vec(),
            all => all.to_vec(),
        }
    }
}

/// The most that this process ever held since `begin` (proc_pid_clear_refs(5), proc_pid_status(5)), where Linux tells.
mod peak {
    pub(super) fn begin() -> bool {
        std::fs::write("/proc/self/clear_refs", "5").is_ok()
    }

    pub(super) fn bytes() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laps_are_what_lies_between_reports() {
        let seen = vec![
            (Phase::Loading, 0.0),
            (Phase::EncodingPrompt, 2.0),
            (Phase::Sampling, 3.0),
            (Phase::Sampling, 13.0),
            (Phase::Sampling, 17.0),
            (Phase::Sampling, 22.0),
            (Phase::Decoding, 22.5),
        ];
        let laps = Laps { seen, ended: 30.0 };
        assert_eq!(
            [Phase::Loading, Phase::EncodingPrompt, Phase::Decoding].map(|phase| laps.of(phase)),
            [2.0, 1.0, 7.5]
        );
        assert_eq!(laps.of(Phase::EncodingImage), 0.0);
        assert_eq!(laps.steps(), [4.0, 5.0]);
        let one = Laps { seen: vec![(Phase::Sampling, 0.0), (Phase::Sampling, 3.0)], ended: 4.0 };
        assert_eq!(one.steps(), [3.0]);
    }
}
