//! What can be asked of the history: the fields of its filters.

use crate::spec_json::spec_from_json;
use paintbox_catalogue::GenerationRecord;
use paintbox_catalogue::filter::{Expression, Fields, Operator, Wrong, one_of, seconds, within};
use paintbox_domain::generation::JobState;

/// Which generations pass.
pub type HistoryFilter = Expression<HistoryCondition>;

/// One thing that is true of a generation or not. Texts are compared without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryCondition {
    State(JobState),
    /// The words occur in one of the prompts, in any order.
    Prompt(String),
    Text {
        of: HistoryText,
        text: String,
        /// It begins with `text`.
        open: bool,
    },
    /// Within these bounds, both included.
    Number {
        of: HistoryNumber,
        least: u64,
        most: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryText {
    /// The model's reference as it was asked for.
    Model,
    Client,
    /// Why it failed.
    Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryNumber {
    /// Of any of its pictures.
    Seed,
    /// 100 more than it is, so that it is never below zero.
    Priority,
    /// Seconds since 1970.
    Created,
    /// Seconds since 1970.
    Ended,
}

/// What lies below zero is moved up, because bounds are without a sign.
const PRIORITY_OFFSET: i64 = 100;

impl Fields for HistoryCondition {
    const EXAMPLE: &'static str = "state:succeeded prompt:\"red fox\" created>2026-01";

    fn known() -> String {
        "state, prompt, model, client, reason, seed, priority, created, ended".to_owned()
    }

    fn comparison(name: &str, operator: Operator, value: &str) -> Result<Expression<Self>, Wrong> {
        let number = |of, span: Option<(u64, u64)>, how: &str| {
            let span = span.ok_or_else(|| Wrong::Value(format!("`{value}` is not {how}")))?;
            Ok(within(operator, span, |least, most| Self::Number { of, least, most }.into()))
        };
        let time = "a time such as 2026, 2026-01, 2026-01-31 or 2026-01-31T09:00:00Z";
        let text = |of| {
            let (text, open) = value.strip_suffix('*').map_or((value, false), |begin| (begin, true));
            Self::Text { of, text: text.to_lowercase(), open }
        };
        let condition = match name.to_ascii_lowercase().as_str() {
            "state" => Self::State(one_of(name, value, JobState::from_name, JobState::ALL)?),
            "prompt" => Self::words(value.to_owned()),
            "model" => text(HistoryText::Model),
            "client" => text(HistoryText::Client),
            "reason" => text(HistoryText::Reason),
            "seed" => {
                let seed = value.parse().ok().map(|seed| (seed, seed));
                return number(HistoryNumber::Seed, seed, "a seed");
            }
            "priority" => {
                let moved = value.parse::<i32>().ok().map(moved_priority).map(|moved| (moved, moved));
                return number(HistoryNumber::Priority, moved, "a whole number");
            }
            "created" | "create_time" => return number(HistoryNumber::Created, seconds(value), time),
            "ended" | "end_time" => return number(HistoryNumber::Ended, seconds(value), time),
            _ => return Err(Wrong::Field(format!("there is no field `{name}`; there are {}", Self::known()))),
        };
        Expression::unordered(name, operator, condition)
    }

    fn words(text: String) -> Self {
        Self::Prompt(text.to_lowercase())
    }
}

fn moved_priority(priority: i32) -> u64 {
    u64::try_from(i64::from(priority) + PRIORITY_OFFSET).unwrap_or_default()
}

/// Whether `filter` lets a generation through.
pub(crate) fn passes(filter: &HistoryFilter, record: &GenerationRecord) -> bool {
    filter.passes(&|condition| holds(condition, record))
}

fn holds(condition: &HistoryCondition, record: &GenerationRecord) -> bool {
    match condition {
        HistoryCondition::State(state) => record.state == *state,
        HistoryCondition::Prompt(words) => {
            let mut prompts = record.prompt.to_lowercase();
            if let Ok(spec) = spec_from_json(&record.spec_json) {
                prompts.push(' ');
                prompts.push_str(&spec.negative_prompt.to_lowercase());
            }
            words.split_whitespace().all(|word| prompts.contains(word))
        }
        HistoryCondition::Text { of, text, open } => {
            let found = match of {
                HistoryText::Model => spec_from_json(&record.spec_json).ok().map(|spec| spec.model),
                HistoryText::Client => Some(record.client.clone()),
                HistoryText::Reason => record.failure.as_ref().map(|failure| failure.reason.clone()),
            };
            let found = found.map(|found| found.to_lowercase());
            found.is_some_and(|found| if *open { found.starts_with(text) } else { found == *text })
        }
        HistoryCondition::Number { of, least, most } => {
            let is_within = |number: u64| (*least..=*most).contains(&number);
            let second = |time: paintbox_domain::Timestamp| u64::try_from(time.unix_ms() / 1_000).unwrap_or_default();
            match of {
                HistoryNumber::Seed if record.images.is_empty() => {
                    let seed = spec_from_json(&record.spec_json).ok().and_then(|spec| spec.seed);
                    seed.is_some_and(is_within)
                }
                HistoryNumber::Seed => record.images.iter().any(|image| is_within(image.seed)),
                HistoryNumber::Priority => is_within(moved_priority(record.priority)),
                HistoryNumber::Created => is_within(second(record.created_at)),
                HistoryNumber::Ended => record.ended_at.map(second).is_some_and(is_within),
            }
        }
    }
}
