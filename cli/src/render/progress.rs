//! Bars and spinners on standard error: only where somebody watches, and only for what takes longer than a second.

use crate::render::sanitize;
use crate::render::table::fit;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);
/// Bars beyond this many would scroll away on a small terminal.
const MOST_BARS: usize = 8;

/// Progress of any number of things at once. Draws nothing where nobody watches.
pub(crate) struct Progress {
    bars: MultiProgress,
    watched: bool,
    items: HashMap<String, Item>,
}

struct Item {
    since: Instant,
    bar: Option<ProgressBar>,
    /// What the bar looks like now.
    look: Option<(Measure, bool)>,
}

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    Bytes,
    Steps,
}

impl Progress {
    pub(crate) fn new(watched: bool) -> Self {
        let bars = MultiProgress::with_draw_target(if watched {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        });
        Self { bars, watched, items: HashMap::new() }
    }

    /// Moves the bar of `key` to `done` of `total`; 0 for a total that nobody knows. `label` may be hostile.
    pub(crate) fn advance(&mut self, key: &str, label: &str, measure: Measure, done: u64, total: u64) {
        if !self.watched {
            return;
        }
        let shown = self.items.values().filter(|item| item.bar.is_some()).count();
        let item =
            self.items.entry(key.to_owned()).or_insert_with(|| Item { since: Instant::now(), bar: None, look: None });
        if item.bar.is_none() && item.since.elapsed() >= PATIENCE && shown < MOST_BARS {
            let bar = self.bars.add(ProgressBar::no_length());
            bar.enable_steady_tick(TICK);
            item.bar = Some(bar);
        }
        if let Some(bar) = &item.bar {
            // Each of these may draw, so the look changes last: never an old label beside a new bar.
            bar.set_message(fit(&sanitize::line(label), 40));
            if total > 0 {
                bar.set_length(total);
            }
            bar.set_position(done);
            let look = (measure, total > 0);
            if item.look.replace(look) != Some(look) {
                bar.set_style(style(measure, total > 0));
            }
        }
    }

    pub(crate) fn finish(&mut self, key: &str) {
        if let Some(bar) = self.items.remove(key).and_then(|item| item.bar) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }

    /// Removes every bar, so that text can follow.
    pub(crate) fn clear(&mut self) {
        for (_, item) in self.items.drain() {
            if let Some(bar) = item.bar {
                bar.finish_and_clear();
            }
        }
    }

    /// Runs `write` with the bars out of the way.
    pub(crate) fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bars.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Shows that something is going on while a future runs that cannot say how far it is.
pub(crate) async fn spin<T>(watched: bool, label: &str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if !watched {
        return work.await;
    }
    if let Ok(result) = tokio::time::timeout(PATIENCE, &mut work).await {
        return result;
    }
    let bar = ProgressBar::new_spinner();
    bar.set_message(label.to_owned());
    bar.enable_steady_tick(TICK);
    let result = work.await;
    bar.finish_and_clear();
    result
}

fn style(measure: Measure, known_total: bool) -> ProgressStyle {
    let template = match (measure, known_total) {
        (Measure::Bytes, true) => "{msg:40} {wide_bar} {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4}",
        (Measure::Bytes, false) => "{msg:40} {spinner} {bytes:>10} {bytes_per_sec:>12}",
        (Measure::Steps, true) => "{msg:40} {wide_bar} {pos:>4}/{len:4} {eta:>4}",
        (Measure::Steps, false) => "{msg:40} {spinner} {elapsed}",
    };
    ProgressStyle::with_template(template).expect("the templates above are valid; a test builds each")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_is_valid() {
        for measure in [Measure::Bytes, Measure::Steps] {
            style(measure, true);
            style(measure, false);
        }
    }

    #[test]
    fn nothing_is_drawn_where_nobody_watches() {
        let mut progress = Progress::new(false);
        progress.advance("a", "a", Measure::Bytes, 1, 2);
        assert!(progress.items.is_empty());
    }
}
