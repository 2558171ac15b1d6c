//! A filter made ready to be asked of a million rows: names became numbers, texts became sets of models.

use super::bits::Bits;
use super::columns::Columns;
use super::filter::{Condition, Fact, Filter, Label, Number, Place};
use super::row::{Row, fact_bit, hub_number, kind_number, state_number, stored_bounds};
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

/// A question to one row.
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
        matching: Vec<bool>,
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

/// The set that a condition needs, if it is one of those that rows do not tell. None within: it finds nothing.
fn source(condition: &Condition) -> Option<Option<Source>> {
    match condition {
        Condition::Words { place, text } => Some(words_source(*place, text)),
        Condition::Named(name) => Some(Some(Source::Named(words::name_key(name)))),
        Condition::Fact { fact: Fact::Followed, .. } => Some(Some(Source::Followed)),
        Condition::Kind(_)
        | Condition::Hub(_)
        | Condition::State(_)
        | Condition::Label { .. }
        | Condition::Fact { .. }
        | Condition::Number { .. } => None,
    }
}

fn words_source(place: Place, text: &str) -> Option<Source> {
    let ending = if text.ends_with('*') { words::Ending::Open } else { words::Ending::Whole };
    let expression = words::match_expression(text, ending)?;
    Some(Source::Match(match place {
        Place::Anywhere => expression,
        Place::Name => in_column("name", &expression),
        Place::Tags => in_column("tags", &expression),
        Place::TrainedWords => in_column("trained_words", &expression),
    }))
}

/// An expression that is looked for in one column only.
pub(crate) fn in_column(column: &str, expression: &str) -> String {
    format!("{column} : ({expression})")
}

/// Every set that a filter needs.
pub(crate) fn sources(filter: &Filter, into: &mut Vec<Source>) {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().for_each(|part| sources(part, into)),
        Filter::Not(part) => sources(part, into),
        Filter::Is(condition) => into.extend(source(condition).flatten().filter(|source| !into.contains(source))),
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
        if let Some(source) = source(condition) {
            let among = source.and_then(|source| sets.get(&source)).map(|set| Self::Among(Arc::clone(set)));
            let among = among.unwrap_or(Self::Constant(false));
            let turned = matches!(condition, Condition::Fact { holds: false, .. });
            return if turned { Self::Not(Box::new(among)) } else { among };
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

    /// Whether the row of the model with this id passes.
    pub(crate) fn passes(&self, id: usize, row: &Row) -> bool {
        match self {
            Self::Constant(constant) => *constant,
            Self::Among(models) => models.contains(id),
            Self::Kind(kind) => row.kind == *kind,
            Self::Hub(hub) => row.hub == *hub,
            Self::State(state) => row.state == *state,
            Self::Label { of, matching } => matching.get(row.label(*of) as usize).copied().unwrap_or(false),
            Self::Fact(bit) => row.has(*bit),
            Self::Number { of, least, most } => (*least..=*most).contains(&u64::from(row.number(*of))),
            Self::All(tests) => tests.iter().all(|test| test.passes(id, row)),
            Self::Any(tests) => tests.iter().any(|test| test.passes(id, row)),
            Self::Not(test) => !test.passes(id, row),
        }
    }

    /// The only models that can pass, if that is known.
    pub(crate) fn candidates(&self) -> Option<Bits> {
        let mut sets: Vec<&Arc<Bits>> = Vec::new();
        self.needed(&mut sets);
        let (first, rest) = sets.split_first()?;
        let mut candidates = Bits::clone(first);
        rest.iter().for_each(|set| candidates.intersect(set));
        Some(candidates)
    }

    fn needed<'a>(&'a self, sets: &mut Vec<&'a Arc<Bits>>) {
        match self {
            Self::Among(models) => sets.push(models),
            Self::All(tests) => tests.iter().for_each(|test| test.needed(sets)),
            _ => {}
        }
    }
}
