//! The numbers of politeness, and why they are what they are.

use super::Kind;
use paintbox_domain::Hub;
use std::time::Duration;

/// What one site is asked for at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Requests that are under way at the same time, by kind.
    pub(crate) questions_at_once: usize,
    pub(crate) downloads_at_once: usize,
    pub(crate) previews_at_once: usize,
    /// How fast questions follow each other; none where only the site's own words count.
    pub(crate) pace: Option<Pace>,
}

/// A bucket of tokens: so many questions may come in a burst, then one for each `refill`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) burst: u32,
    pub(crate) refill: Duration,
}

impl Limits {
    /// CivitAI publishes no numbers, so it gets modest ones: four questions at once, twenty in a burst and two a second
    /// after that, which reads the lists of two hundred creators in under two minutes.
    ///
    /// Hugging Face counts in windows of five minutes, 500 questions for an anonymous caller (Hub documentation,
    /// `rate-limits.md`, September 2025), and tells on every answer what is left. A burst of fifty and five a second
    /// start a window; from its second half on the answers' own numbers set the pace.
    ///
    /// Three files fill a home line, and a fourth slot keeps a pull from waiting behind a sync. Previews are small and
    /// come from a content network.
    ///
    /// A hub on this machine is nobody else's server: its questions are not paced, so that tests and mirrors are not
    /// slowed down. Its own words are obeyed all the same.
    pub(crate) fn of(hub: Hub, on_this_machine: bool) -> Self {
        let (questions_at_once, pace) = match hub {
            Hub::Civitai => (4, Pace { burst: 20, refill: Duration::from_millis(500) }),
            Hub::HuggingFace => (8, Pace { burst: 50, refill: Duration::from_millis(200) }),
        };
        let pace = (!on_this_machine).then_some(pace);
        Self { questions_at_once, downloads_at_once: 4, previews_at_once: 8, pace }
    }

    pub(super) fn at_once(&self, kind: Kind) -> usize {
        match kind {
            Kind::Question => self.questions_at_once,
            Kind::Download => self.downloads_at_once,
            Kind::Preview => self.previews_at_once,
        }
    }
}
