//! A filter made ready to be asked of a million rows: names became numbers, texts became sets of models.

use super::bits::Bits;
use super::columns::{Columns, Matching};
use super::filter::{Condition, Fact, Filter, Label, Number, Place};
use super::row::{fact_bit, hub_number, kind_number, state_number, stored_bounds};
use super::segment::{Mask, Segment};
use crate::words;
use std::collections::HashMap;
use std::sync::Arc;

/// A set of models that only SQLite can tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// What an FTS5 expression finds.
    Match(String),
    /// Models of a name, in the form of `name_key`.
    Named(String),
    /// Models of any follow's list.
    Followed,
}

pub(crate) type Sets = HashMap<Source, Arc<Bits>>;

/// A question to every row.
#[derive(Debug)]
pub(crate) enum Test {
    Constant(bool),
    /// Is among these.
    Among(Arc<Bits>),
    Kind(u8),
    Hub(u8),
    State(u8),
    Label {
        of: Label,
        matching: Matching,
    },
    Fact(u32),
    Number {
        of: Number,
        least: u64,
        most: u64,
    },
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
}

/// The sets that a condition needs, all of which hold what it finds, if it is one of those that rows do not tell. None
/// of them: it finds nothing.
fn of_condition(condition: &Condition) -> Option<Vec<Source>> {
    match condition {
        Condition::Words { place, text } => Some(of_words(*place, text)),
        Condition::Named(name) => Some(vec![Source::Named(words::name_key(name))]),
        Condition::Fact { fact: Fact::Followed, .. } => Some(vec![Source::Followed]),
        Condition::Kind(_)
        | Condition::Hub(_)
        | Condition::State(_)
        | Condition::Label { .. }
        | Condition::Fact { .. }
        | Condition::Number { .. } => None,
    }
}

/// The sets that hold all words of a text; the last is the beginning of one if an asterisk follows it.
pub(crate) fn of_words(place: Place, text: &str) -> Vec<Source> {
    let ending = if text.ends_with('*') { words::Ending::Open } else { words::Ending::Whole };
    let within = |expression: String| match place {
        Place::Anywhere => expression,
        Place::Name => in_column("name", &expression),
        Place::Tags => in_column("tags", &expression),
        Place::TrainedWords => in_column("trained_words", &expression),
    };
    words::match_expressions(text, ending).into_iter().map(|expression| Source::Match(within(expression))).collect()
}

/// An expression that is looked for in one column only.
fn in_column(column: &str, expression: &str) -> String {
    format!("{column} : ({expression})")
}

/// Every set that a filter needs.
pub(crate) fn sources(filter: &Filter, into: &mut Vec<Source>) {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().for_each(|part| sources(part, into)),
        Filter::Not(part) => sources(part, into),
        Filter::Is(condition) => into.extend(of_condition(condition).into_iter().flatten()),
    }
}

impl Test {
    /// `sets` holds every set of [`sources`].
    pub(crate) fn new(filter: &Filter, columns: &Columns, sets: &Sets) -> Self {
        let many = |parts: &[Filter]| parts.iter().map(|part| Self::new(part, columns, sets)).collect();
        match filter {
            Filter::All(parts) => Self::All(many(parts)),
            Filter::Any(parts) => Self::Any(many(parts)),
            Filter::Not(part) => Self::Not(Box::new(Self::new(part, columns, sets))),
            Filter::Is(condition) => Self::of(condition, columns, sets),
        }
    }

    fn of(condition: &Condition, columns: &Columns, sets: &Sets) -> Self {
        if let Some(sources) = of_condition(condition) {
            let among = |source| sets.get(source).map_or(Self::Constant(false), |set| Self::Among(Arc::clone(set)));
            let all =
                if sources.is_empty() { Self::Constant(false) } else { Self::All(sources.iter().map(among).collect()) };
            let turned = matches!(condition, Condition::Fact { holds: false, .. });
            return if turned { Self::Not(Box::new(all)) } else { all };
        }
        match condition {
            Condition::Kind(kind) => Self::Kind(kind_number(*kind)),
            Condition::Hub(hub) => Self::Hub(hub_number(hub)),
            Condition::State(state) => Self::State(state_number(*state)),
            Condition::Label { of, text, open } => {
                Self::Label { of: *of, matching: columns.labels.matching(*of, text, *open) }
            }
            Condition::Fact { fact, holds } => fact_bit(*fact, *holds).map_or(Self::Constant(false), Self::Fact),
            Condition::Number { of, least, most } => {
                let (least, most) = stored_bounds(*of, *least, *most);
                Self::Number { of: *of, least, most }
            }
            Condition::Words { .. } | Condition::Named(_) => Self::Constant(false),
        }
    }

    /// Leaves those models of a segment, the one of this number, that pass.
    pub(crate) fn narrow(&self, number: usize, segment: &Segment, models: &mut Mask) {
        match self {
            Self::Constant(true) => {}
            Self::Constant(false) => *models = Mask::NONE,
            Self::Among(among) => models.keep(among.words(), number),
            Self::Kind(kind) => models.narrow(&segment.kind, |of| of == *kind),
            Self::Hub(hub) => models.narrow(&segment.hub, |of| of == *hub),
            Self::State(state) => models.narrow(&segment.state, |of| of == *state),
            Self::Label { of, matching } => {
                let labels = segment.labels(*of);
                match matching.few {
                    Some([only, u32::MAX, ..]) => models.narrow(labels, |label| label == only),
                    Some([a, b, c, d]) => {
                        models.narrow(labels, |label| (label == a) | (label == b) | (label == c) | (label == d));
                    }
                    None => models.narrow(labels, |label| matching.each.get(label as usize).copied().unwrap_or(false)),
                }
            }
            Self::Fact(bit) => models.narrow(&segment.flags, |flags| flags & bit != 0),
            Self::Number { of, least, most } => {
                let within = |number: u32| (*least..=*most).contains(&u64::from(number));
                match segment.numbers(*of) {
                    Some(numbers) => models.narrow(numbers, within),
                    None => models.narrow(&segment.nsfw, |nsfw| within(nsfw.into())),
                }
            }
            Self::All(tests) => tests.iter().for_each(|test| test.narrow(number, segment, models)),
            Self::Any(tests) => {
                let mut any = Mask::NONE;
                for test in tests {
                    let mut some = *models;
                    test.narrow(number, segment, &mut some);
                    any.add(&some);
                }
                *models = any;
            }
            Self::Not(test) => {
                let mut passed = *models;
                test.narrow(number, segment, &mut passed);
                models.remove(&passed);
            }
        }
    }

    /// No more models than these pass.
    pub(crate) fn most(&self) -> usize {
        match self {
            Self::Constant(false) => 0,
            Self::Among(models) => models.len(),
            Self::All(tests) => tests.iter().map(Self::most).min().unwrap_or(usize::MAX),
            Self::Any(tests) => tests.iter().map(Self::most).fold(0, usize::saturating_add),
            _ => usize::MAX,
        }
    }

    /// Whether no model is in all the sets that it takes.
    pub(crate) fn finds_nothing(&self) -> bool {
        let mut sets: Vec<&Arc<Bits>> = Vec::new();
        self.needed(&mut sets);
        let Some((first, rest)) = sets.split_first() else { return true };
        let common = |(at, word): (usize, &u64)| {
            rest.iter().fold(*word, |common, set| common & set.words().get(at).copied().unwrap_or_default())
        };
        first.words().iter().enumerate().all(|word| common(word) == 0)
    }

    fn needed<'a>(&'a self, sets: &mut Vec<&'a Arc<Bits>>) {
        match self {
            Self::Among(models) => sets.push(models),
            Self::All(tests) => tests.iter().for_each(|test| test.needed(sets)),
            _ => {}
        }
    }
}
