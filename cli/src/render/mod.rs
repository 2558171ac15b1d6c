//! How results look: JSON for programs, text for people.

pub(crate) mod flow;
pub(crate) mod html;
pub(crate) mod hub;
pub(crate) mod json;
pub(crate) mod licence;
pub(crate) mod markdown;
pub(crate) mod output;
pub(crate) mod picture;
pub(crate) mod policy;
pub(crate) mod progress;
pub(crate) mod sanitize;
pub(crate) mod table;
pub(crate) mod units;
pub(crate) mod words;
