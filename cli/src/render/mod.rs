//! How results look: JSON for programs, text for people.

pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod sanitize;
pub(crate) mod table;
pub(crate) mod units;
