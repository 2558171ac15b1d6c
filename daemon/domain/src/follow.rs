//! What to follow, and how much of it to fetch.

use crate::hub::Hub;
use crate::reason;
use crate::{Classify, ErrorClass};
use std::fmt;
use std::str::FromStr;

/// Somebody whose new work should arrive by itself: `civitai:<username>` or `hf:<author or organisation>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FollowTarget {
    pub hub: Hub,
    pub creator: String,
}

/// A target that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowTargetError {
    pub given: String,
    pub problem: &'static str,
}

impl fmt::Display for FollowTargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` cannot be followed: {}", self.given, self.problem)
    }
}

impl std::error::Error for FollowTargetError {}

impl Classify for FollowTargetError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
    fn reason(&self) -> &'static str {
        reason::INVALID_REFERENCE
    }
    fn hint(&self) -> Option<String> {
        Some("write civitai:<username> or hf:<author or organisation>".to_owned())
    }
    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("target", self.given.clone())]
    }
}

impl FromStr for FollowTarget {
    type Err = FollowTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |problem| Err(FollowTargetError { given: text.chars().take(200).collect(), problem });
        let Some((hub, creator)) = text.trim().split_once(':') else {
            return refuse("it names no hub");
        };
        let hub = match hub.to_ascii_lowercase().as_str() {
            "civitai" => Hub::Civitai,
            "hf" | "huggingface" => Hub::HuggingFace,
            _ => return refuse("no such hub"),
        };
        // CivitAI: letters, digits and `_` (service facts, `username`); Hugging Face also allows `-` and `.`.
        let allowed = |c: char| match hub {
            Hub::Civitai => c.is_ascii_alphanumeric() || c == '_',
            Hub::HuggingFace => c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'),
        };
        if creator.is_empty() {
            return refuse("it names nobody");
        }
        if creator.len() > 96 || !creator.chars().all(allowed) {
            return refuse("the hub allows no such name");
        }
        Ok(Self { hub, creator: creator.to_owned() })
    }
}

impl fmt::Display for FollowTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.hub, self.creator)
    }
}

/// Which of a creator's work is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FollowPolicy {
    pub backfill: Backfill,
}

/// How much of what was there before the follow is fetched. What comes after it always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backfill {
    #[default]
    All,
    /// The newest versions, counted over the creator's whole work.
    Newest(u32),
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_targets_and_prints_them_back() {
        for text in ["civitai:Konan", "hf:black-forest-labs"] {
            assert_eq!(text.parse::<FollowTarget>().unwrap().to_string(), text);
        }
        assert_eq!("huggingface:me".parse::<FollowTarget>().unwrap().hub, Hub::HuggingFace);
    }

    #[test]
    fn refuses_what_no_hub_would_accept() {
        for text in ["", "konan", "civitai:", "civitai:a b", "ftp:x", "hf:../etc", "civitai:a/b"] {
            assert!(text.parse::<FollowTarget>().is_err(), "{text}");
        }
    }
}
