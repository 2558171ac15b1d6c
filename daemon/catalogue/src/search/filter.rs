//! What a search lets through, as a value; [`crate::filter`] has the language in which people write it.

mod fields;

pub(crate) use fields::nsfw_ordinal;

use crate::codec;
use crate::filter::{Expression, Fields, Operator, Wrong};
use paintbox_domain::hub::ModelState;
use paintbox_domain::{Architecture, Hub, ModelKind};

/// Which models pass.
pub type Filter = Expression<Condition>;

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

impl Fields for Condition {
    const EXAMPLE: &'static str = "kind:lora base:\"SDXL 1.0\" nsfw<=soft";

    fn known() -> String {
        fields::known()
    }

    fn comparison(name: &str, operator: Operator, value: &str) -> Result<Filter, Wrong> {
        fields::condition(name, operator, value)
    }

    fn words(text: String) -> Self {
        Self::Words { place: Place::Anywhere, text }
    }
}

impl Expression<Condition> {
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
