//! Pictures as they come: server-sent events (`types/image_gen_stream_event.py`), looks at a picture while it is painted and
//! each picture when all are done.

use super::answer::{Answer, size_of, usage};
use crate::compat::Compat;
use crate::compat::job::{Job, succeeded};
use crate::compat::picture::to_base64;
use crate::compat::problem::Problem;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use paintbox_catalogue::GenerationRecord;
use paintbox_domain::generation::Progress;
use paintbox_generation::{GenerationEvent, preview_as};
use serde_json::{Value, json};
use std::convert::Infallible;

pub(super) fn respond(compat: Compat, job: Job, answer: Answer, partials: u32) -> Response {
    let events = async_stream::stream! {
        let events = data(compat, job, answer, partials);
        for await event in events {
            let (kind, data) = event.unwrap_or_else(|problem: Problem| {
                problem.log();
                ("error".to_owned(), json!({ "type": "error", "error": super::error(&problem) }))
            });
            yield Ok::<_, Infallible>(Event::default().event(kind).data(data.to_string()));
        }
    };
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// Events by kind, each with its data.
fn data(
    compat: Compat,
    job: Job,
    answer: Answer,
    partials: u32,
) -> impl Stream<Item = Result<(String, Value), Problem>> + Send + 'static {
    async_stream::stream! {
        let mut events = std::pin::pin!(job.events());
        let mut record: Option<GenerationRecord> = None;
        let mut looks = Looks { partials, sent: 0, image_index: 0, progress: None };
        while let Some(event) = events.next().await {
            match event {
                Ok(GenerationEvent::State(now)) if now.state.is_terminal() => {
                    match succeeded(*now) {
                        Err(problem) => yield Err(problem),
                        Ok(done) => {
                            for image in &done.images {
                                match compat.base64_of(image.asset).await {
                                    Err(problem) => {
                                        yield Err(problem);
                                        return;
                                    }
                                    Ok(picture) => {
                                        let (kind, mut event) = answer.event("completed", &done, &picture);
                                        event["size"] = size_of(image).into();
                                        event["usage"] = usage();
                                        event["seed"] = image.seed.into();
                                        yield Ok((kind, event));
                                    }
                                }
                            }
                        }
                    }
                    return;
                }
                Ok(GenerationEvent::State(now)) => record = Some(*now),
                Ok(GenerationEvent::Progress(progress)) => looks.progress = Some(progress),
                Ok(GenerationEvent::Preview(preview)) => {
                    let Some(number) = looks.due(preview.image_index, preview.step) else { continue };
                    if let (Some(record), Some(bytes)) = (&record, preview_as(&preview, answer.format)) {
                        let (kind, mut event) = answer.event("partial_image", record, &to_base64(&bytes));
                        event["partial_image_index"] = number.into();
                        yield Ok((kind, event));
                    }
                }
                Err(problem) => {
                    yield Err(problem);
                    return;
                }
            }
        }
    }
}

/// Which looks are sent: so many for each picture, spread over its steps.
struct Looks {
    partials: u32,
    sent: u32,
    image_index: u32,
    progress: Option<Progress>,
}

impl Looks {
    /// The number of the look, if it is sent.
    fn due(&mut self, image_index: u32, step: u32) -> Option<u32> {
        if image_index != self.image_index {
            self.image_index = image_index;
            self.sent = 0;
        }
        let steps = self.progress.map_or(0, |progress| progress.total_steps);
        let wanted = u64::from(self.sent + 1) * u64::from(steps) / u64::from(self.partials + 1);
        if self.sent >= self.partials || u64::from(step) < wanted {
            return None;
        }
        self.sent += 1;
        Some(self.sent - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_domain::generation::Phase;

    #[test]
    fn looks_are_spread_over_the_steps_of_each_picture() {
        let progress = Progress { phase: Phase::Sampling, step: 0, total_steps: 20, image_index: 0, image_count: 2 };
        let mut looks = Looks { partials: 3, sent: 0, image_index: 0, progress: Some(progress) };
        let sent: Vec<_> = (1..=20).filter_map(|step| looks.due(0, step).map(|number| (number, step))).collect();
        assert_eq!(sent, [(0, 5), (1, 10), (2, 15)]);
        assert_eq!(looks.due(1, 5), Some(0), "the next picture has its own");
        let mut none = Looks { partials: 0, ..looks };
        assert_eq!(none.due(1, 20), None);
    }
}
