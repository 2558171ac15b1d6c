//! What a search lets through, as a value, and the language in which people write it.
//!
//! The language is AIP-160's (google.aip.dev/160), as far as models have use for it: `kind:lora base:"SDXL 1.0"
//! nsfw<=soft AND (creator:foo OR downloads>1000) -tag:anime`. What stands side by side must all hold, `OR` binds more
//! tightly than `AND`, `-` and `NOT` turn round what follows, and a word alone is looked for in the texts.

mod fields;
mod lex;
mod parse;

pub(crate) use fields::nsfw_ordinal;

use crate::codec;
use paintbox_domain::hub::ModelState;
use paintbox_domain::{Architecture, Classify, ErrorClass, Hub, ModelKind, reason};

/// Which models pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Those that pass every one; without any, all models.
    All(Vec<Filter>),
    /// Those that pass at least one.
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Is(Condition),
}

/// One thing that is true of a model or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The words occur, whole, in any order; an asterisk at the end lets the last one be the beginning of a word.
    Words {
        place: Place,
        text: String,
    },
    /// The whole name, compared without case, width and superfluous spaces.
    Named(String),
    Kind(ModelKind),
    /// By the hub's short name, `local` for files that no hub is known of.
    Hub(String),
    State(ModelState),
    /// One of the model's labels is this text, or where `open`, begins with it; compared without case.
    Label {
        of: Label,
        text: String,
        open: bool,
    },
    /// Known to be so, or known not to be so; where it is not known, neither.
    Fact {
        fact: Fact,
        holds: bool,
    },
    /// Within these bounds, both included. What the hub does not tell is within none.
    Number {
        of: Number,
        least: u64,
        most: u64,
    },
}

/// Where words are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    Anywhere,
    Name,
    Tags,
    TrainedWords,
}

/// Texts of which a model has any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Label {
    /// The hub's label of any of its versions.
    BaseModel,
    Creator,
    /// As detected from weights on this machine.
    Architecture,
    /// Of any file that the hub lists.
    Format,
    /// As the hub or the file itself says.
    Precision,
}

/// What is so or not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fact {
    /// Weights of it are on this machine.
    Downloaded,
    /// The hub has it no more.
    Gone,
    /// Its newest version must be paid for now.
    EarlyAccess,
    /// It is on the list of something that is followed.
    Followed,
    /// Pictures made with it may be sold.
    Commercial,
    /// Merges with it may be shared.
    Derivatives,
    /// Its creator must be named.
    Credit,
    /// The model itself may be sold.
    Sell,
}

/// What is counted or measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Number {
    Downloads,
    Likes,
    /// Bytes of its weights on this machine, to the KiB.
    Size,
    /// Seconds since 1970 of its publication, or where the hub does not tell it, of when it was first seen here.
    Created,
    /// Seconds since 1970 of its last change on the hub; where the hub does not tell it, as `Created`.
    Updated,
    /// The strongest rating: 0 unrated, 1 PG, 2 PG-13, 3 R, 4 X, 5 XXX and beyond.
    Nsfw,
}

/// Why a filter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterProblem {
    /// The character at which it is noticed, counted from 1.
    pub position: usize,
    pub problem: String,
}

impl std::fmt::Display for FilterProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the filter cannot be read at character {}: {}", self.position, self.problem)
    }
}

impl std::error::Error for FilterProblem {}

impl Classify for FilterProblem {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }

    fn reason(&self) -> &'static str {
        reason::FILTER_INVALID
    }

    fn hint(&self) -> Option<String> {
        Some(format!("write it as in `kind:lora base:\"SDXL 1.0\" nsfw<=soft`; the fields are {}", fields::known()))
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("position", self.position.to_string()), ("problem", self.problem.clone()), ("fields", fields::known())]
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl From<Condition> for Filter {
    fn from(condition: Condition) -> Self {
        Self::Is(condition)
    }
}

impl Filter {
    /// Reads a filter as people write it.
    ///
    /// # Errors
    /// Where it stops making sense, and why.
    pub fn parse(text: &str) -> Result<Self, FilterProblem> {
        parse::filter(text)
    }

    /// Lets through what passes every one of these.
    #[must_use]
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut filters: Vec<Self> = filters.into_iter().filter(|filter| *filter != Self::default()).collect();
        if filters.len() == 1 { filters.remove(0) } else { Self::All(filters) }
    }

    #[must_use]
    pub fn kind(kind: ModelKind) -> Self {
        Condition::Kind(kind).into()
    }

    #[must_use]
    pub fn hub(hub: Hub) -> Self {
        Condition::Hub(hub.as_str().to_owned()).into()
    }

    /// What no hub is known to list.
    #[must_use]
    pub fn local() -> Self {
        Condition::Hub(codec::LOCAL.to_owned()).into()
    }

    #[must_use]
    pub fn architecture(architecture: Architecture) -> Self {
        Self::label(Label::Architecture, architecture.as_str())
    }

    /// The whole label, whatever is in it.
    #[must_use]
    pub fn label(of: Label, text: &str) -> Self {
        Condition::Label { of, text: text.to_owned(), open: false }.into()
    }

    #[must_use]
    pub fn fact(fact: Fact, holds: bool) -> Self {
        Condition::Fact { fact, holds }.into()
    }

    /// Models without any level above this one of CivitAI's bitmask (1 PG, 2 PG-13, 4 R, 8 X, 16 XXX). Unrated models
    /// pass.
    #[must_use]
    pub fn max_nsfw_level(highest_allowed: u32) -> Self {
        Condition::Number { of: Number::Nsfw, least: 0, most: u64::from(nsfw_ordinal(highest_allowed)) }.into()
    }
}

#[cfg(test)]
mod tests;
