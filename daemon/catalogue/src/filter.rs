//! The language in which people say what a list lets through, whatever it is a list of.
//!
//! It is AIP-160's (google.aip.dev/160), as far as there is use for it: `kind:lora base:"SDXL 1.0" nsfw<=soft AND
//! (creator:foo OR downloads>1000) -tag:anime`. What stands side by side must all hold, `OR` binds more tightly than
//! `AND`, `-` and `NOT` turn round what follows, and a word alone is looked for in the texts. What the fields are, each
//! list says: [`Fields`].

mod lex;
mod parse;
mod rows;
mod values;

pub use lex::Operator;
pub(crate) use rows::Holds;
pub use rows::{Field, Filtered, RowFilter};
pub(crate) use values::{bytes, count};
pub use values::{one_of, seconds, within};

use paintbox_domain::{Classify, ErrorClass, reason};

/// What passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression<C> {
    /// What passes every one; without any, everything.
    All(Vec<Self>),
    /// What passes at least one.
    Any(Vec<Self>),
    Not(Box<Self>),
    Is(C),
}

/// One thing that is true or not, as the fields of a list have it.
pub trait Fields: Sized {
    /// A filter of this list, to show how one is written.
    const EXAMPLE: &'static str;

    /// The fields that there are, as people are told them.
    fn known() -> String;

    /// What `name operator value` means.
    ///
    /// # Errors
    /// What is wrong with it.
    fn comparison(name: &str, operator: Operator, value: &str) -> Result<Expression<Self>, Wrong>;

    /// What words alone mean.
    fn words(text: String) -> Self;
}

/// What is wrong with a comparison, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// With the field, or with its operator.
    Field(String),
    Value(String),
}

/// Why a filter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterProblem {
    /// The character at which it is noticed, counted from 1.
    pub position: usize,
    pub problem: String,
    /// The fields that there are.
    pub fields: String,
    /// How a filter is written.
    pub example: &'static str,
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
        Some(format!("write it as in `{}`; the fields are {}", self.example, self.fields))
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![
            ("position", self.position.to_string()),
            ("problem", self.problem.clone()),
            ("fields", self.fields.clone()),
        ]
    }
}

impl<C> Default for Expression<C> {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl<C> From<C> for Expression<C> {
    fn from(condition: C) -> Self {
        Self::Is(condition)
    }
}

impl<C: Fields> Expression<C> {
    /// Reads a filter as people write it.
    ///
    /// # Errors
    /// Where it stops making sense, and why.
    pub fn parse(text: &str) -> Result<Self, FilterProblem> {
        parse::filter(text).map_err(|problem| FilterProblem {
            position: problem.position,
            problem: problem.words,
            fields: C::known(),
            example: C::EXAMPLE,
        })
    }
}

impl<C: PartialEq> Expression<C> {
    /// Lets through what passes every one of these.
    #[must_use]
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut filters: Vec<Self> = filters.into_iter().filter(|filter| *filter != Self::default()).collect();
        if filters.len() == 1 { filters.remove(0) } else { Self::All(filters) }
    }
}

impl<C> Expression<C> {
    /// What is asked of a field whose values have no order.
    ///
    /// # Errors
    /// When the operator compares by order.
    pub fn unordered(name: &str, operator: Operator, condition: C) -> Result<Self, Wrong> {
        match operator {
            Operator::Has | Operator::Equal => Ok(condition.into()),
            Operator::NotEqual => Ok(Self::Not(Box::new(condition.into()))),
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                Err(Wrong::Field(format!("`{name}` has no order, so `{}` cannot be asked of it", operator.as_str())))
            }
        }
    }

    /// Whether it lets through what `holds` tells of each condition.
    pub fn passes(&self, holds: &impl Fn(&C) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.passes(holds)),
            Self::Any(parts) => parts.iter().any(|part| part.passes(holds)),
            Self::Not(part) => !part.passes(holds),
            Self::Is(condition) => holds(condition),
        }
    }
}
