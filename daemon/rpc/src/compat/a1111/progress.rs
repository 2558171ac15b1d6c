//! How far a caller's own pictures are (`modules/api/api.py`, `progressapi`; `modules/shared_state.py`, `State.dict`).

use crate::compat::Compat;
use crate::compat::caller::CallerId;
use crate::compat::picture::to_base64;
use crate::compat::problem::Problem;
use paintbox_domain::generation::{PictureFormat, Progress};
use paintbox_generation::preview_as;
use serde_json::{Value, json};

pub(super) fn of(compat: &Compat, caller: &CallerId, with_picture: bool) -> Value {
    let active = compat.callers.active(caller);
    let running = active.iter().find_map(|one| Some((one, compat.generations.progress(&one.uid)?)));
    let first = running.as_ref().map(|(one, _)| *one).or(active.first());
    let latest = running.as_ref().map(|(_, progress)| *progress);
    let done = latest.map_or(0.0, fraction);
    let elapsed = first.map_or(0.0, |one| one.since.elapsed().as_secs_f64());
    let left = if done > 0.0 { elapsed / done - elapsed } else { 0.0 };
    let picture =
        first.filter(|_| with_picture).and_then(|one| preview_as(one.preview.as_deref()?, PictureFormat::Png));
    json!({
        "progress": done,
        "eta_relative": left,
        "state": {
            "skipped": false,
            "interrupted": active.iter().any(|one| one.is_interrupted),
            "stopping_generation": false,
            "job": first.map_or("", |one| one.job),
            "job_count": active.len(),
            "job_timestamp": "0",
            "job_no": 0,
            "sampling_step": latest.map_or(0, |progress| progress.step),
            "sampling_steps": latest.map_or(0, |progress| progress.total_steps),
        },
        "current_image": picture.map(|picture| to_base64(&picture)),
        "textinfo": latest.map(|progress| progress.phase.as_str().replace('_', " ")),
        "current_task": first.map(|one| &one.uid),
    })
}

/// Of all pictures of a generation, 0 to 1.
fn fraction(progress: Progress) -> f64 {
    let part = |done: u32, of: u32| f64::from(done) / f64::from(of.max(1));
    let of_image = part(progress.step, progress.total_steps).min(1.0);
    ((f64::from(progress.image_index) + of_image) / f64::from(progress.image_count.max(1))).min(1.0)
}

/// Stops what a caller waits for: all of it, or only what is the furthest.
pub(super) async fn stop(compat: &Compat, caller: &CallerId, most: usize) -> Result<(), Problem> {
    for uid in compat.callers.interrupt(caller, most) {
        compat.generations.cancel(&uid).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::generation::Phase;

    #[test]
    fn progress_counts_all_pictures() {
        let progress = |step, image_index| {
            fraction(Progress { phase: Phase::Sampling, step, total_steps: 4, image_index, image_count: 2 })
        };
        assert_eq!(
            [progress(0, 0), progress(2, 0), progress(4, 0), progress(2, 1), progress(4, 1)],
            [0.0, 0.25, 0.5, 0.75, 1.0]
        );
        let none = Progress { phase: Phase::Loading, step: 0, total_steps: 0, image_index: 0, image_count: 0 };
        assert_eq!(fraction(none), 0.0);
    }
}
