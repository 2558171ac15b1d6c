//! What can be followed, as a person writes it.

use crate::hub::Hub;
use crate::reason;
use crate::{Classify, ErrorClass};
use std::fmt;
use std::str::FromStr;

/// Something whose new work should arrive by itself.
///
/// `civitai:<user>`, `civitai:tag:<tag>`, `civitai:collection:<id>`, `civitai:search:<words>`, `civitai:<number>` (one
/// model), `civitai:following` (whoever the account follows on the site), `hf:<author or organisation>`,
/// `hf:likes:<user>`, `hf:<owner>/<name>[@branch]`, or the pasted address of such a page. `civitai:user:<name>` is for
/// names that would read as something else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FollowTarget {
    CivitaiCreator(String),
    CivitaiTag(String),
    CivitaiCollection(CivitaiCollection),
    CivitaiSearch(String),
    CivitaiModel(u64),
    CivitaiFollowing,
    HfAuthor(String),
    HfLikes(String),
    HfRepository {
        /// `owner/name`.
        repository: String,
        /// None: the default branch.
        branch: Option<String>,
    },
}

/// A list of models that somebody put together on CivitAI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CivitaiCollection {
    /// What the account has bookmarked.
    Favourites,
    Number(u64),
}

impl FollowTarget {
    #[must_use]
    pub fn hub(&self) -> Hub {
        match self {
            Self::CivitaiCreator(_)
            | Self::CivitaiTag(_)
            | Self::CivitaiCollection(_)
            | Self::CivitaiSearch(_)
            | Self::CivitaiModel(_)
            | Self::CivitaiFollowing => Hub::Civitai,
            Self::HfAuthor(_) | Self::HfLikes(_) | Self::HfRepository { .. } => Hub::HuggingFace,
        }
    }

    /// The one person whose work it is, if it is one person's.
    #[must_use]
    pub fn creator(&self) -> Option<&str> {
        match self {
            Self::CivitaiCreator(name) | Self::HfAuthor(name) => Some(name),
            _ => None,
        }
    }

    /// Whether its list has no end worth reading to: a tag or a search reaches half the site, so only its newest part
    /// is read, and what is not listed says nothing.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::CivitaiTag(_) | Self::CivitaiSearch(_))
    }

    /// The same person under the name that the hub gives them now.
    #[must_use]
    pub fn renamed(&self, name: &str) -> Option<Self> {
        match self {
            Self::CivitaiCreator(_) => Some(Self::CivitaiCreator(name.to_owned())),
            Self::HfAuthor(_) => Some(Self::HfAuthor(name.to_owned())),
            _ => None,
        }
    }

    /// A name made of letters, digits and `-`, by which the follow can be spoken of.
    #[must_use]
    pub fn slug(&self) -> String {
        let mut slug = String::new();
        for c in self.to_string().chars().flat_map(char::to_lowercase) {
            if c.is_alphanumeric() || matches!(c, '_' | '.') {
                slug.push(c);
            } else if !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.trim_matches('-').to_owned()
    }
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
        Some(
            "write civitai:<user>, civitai:tag:<tag>, civitai:search:<words>, civitai:<model number>, \
             civitai:following, hf:<author>, hf:likes:<user>, hf:<owner>/<name>, or paste the page's address"
                .to_owned(),
        )
    }
    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("target", self.given.clone())]
    }
}

impl FromStr for FollowTarget {
    type Err = FollowTargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let given = text.trim();
        let parsed = if given.chars().any(char::is_control) || given.len() > 400 {
            Err("it is too long or holds control characters")
        } else if let Some(page) = given.strip_prefix("https://").or_else(|| given.strip_prefix("http://")) {
            parse_page(page)
        } else {
            match given.split_once(':') {
                None => Err("it names no hub"),
                Some((hub, rest)) => match hub.to_ascii_lowercase().as_str() {
                    "civitai" => parse_civitai(rest.trim()),
                    "hf" | "huggingface" => parse_hf(rest.trim()),
                    _ => Err("no such hub"),
                },
            }
        };
        parsed.map_err(|problem| FollowTargetError { given: text.chars().take(200).collect(), problem })
    }
}

type Parsed = Result<FollowTarget, &'static str>;

fn parse_civitai(rest: &str) -> Parsed {
    match rest.split_once(':') {
        Some(("user", name)) => civitai_creator(name),
        Some(("tag", tag)) => words(tag).map(FollowTarget::CivitaiTag),
        Some(("search", query)) => words(query).map(FollowTarget::CivitaiSearch),
        Some(("collection", "favourites" | "favorites")) => {
            Ok(FollowTarget::CivitaiCollection(CivitaiCollection::Favourites))
        }
        Some(("collection", id)) => {
            let number = number(id).ok_or("a collection is a number, or `favourites`")?;
            Ok(FollowTarget::CivitaiCollection(CivitaiCollection::Number(number)))
        }
        Some(("model", id)) => number(id).map(FollowTarget::CivitaiModel).ok_or("a CivitAI model is a number"),
        Some(_) => Err("it is neither a user, a tag, a collection, a search nor a model"),
        None if rest == "following" => Ok(FollowTarget::CivitaiFollowing),
        None => match number(rest) {
            Some(model) => Ok(FollowTarget::CivitaiModel(model)),
            None => civitai_creator(rest),
        },
    }
}

/// Letters, digits and `_` (github civitai/civitai `src/server/schema/user.schema.ts`).
fn civitai_creator(name: &str) -> Parsed {
    if name.is_empty() {
        return Err("it names nobody");
    }
    if name.len() > 96 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("the hub allows no such name");
    }
    Ok(FollowTarget::CivitaiCreator(name.to_owned()))
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| (1..=i32::MAX as u64).contains(number))
}

fn words(text: &str) -> Result<String, &'static str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() { Err("it has no words") } else { Ok(words.join(" ")) }
}

fn parse_hf(rest: &str) -> Parsed {
    if let Some(user) = rest.strip_prefix("likes:") {
        return hf_name(user).map(FollowTarget::HfLikes);
    }
    let Some((owner, name)) = rest.split_once('/') else {
        return hf_name(rest).map(FollowTarget::HfAuthor);
    };
    let (name, branch) = match name.split_once('@') {
        Some((name, branch)) => (name, Some(branch)),
        None => (name, None),
    };
    let repository = format!("{}/{}", hf_name(owner)?, hf_name(name)?);
    let is_branch =
        |branch: &str| !branch.is_empty() && !branch.contains("..") && !branch.contains(|c: char| c.is_whitespace());
    if !branch.is_none_or(is_branch) {
        return Err("git allows no such branch");
    }
    Ok(FollowTarget::HfRepository { repository, branch: branch.map(str::to_owned) })
}

/// `[A-Za-z0-9._-]`, no `--`, no `..` (github huggingface/huggingface_hub `utils/_validators.py`).
fn hf_name(name: &str) -> Result<String, &'static str> {
    if name.is_empty() {
        return Err("it names nobody");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.len() > 96 || !name.chars().all(allowed) || name.contains("..") || name.starts_with('.') {
        return Err("the hub allows no such name");
    }
    Ok(name.to_owned())
}

/// A pasted page of either site, without its scheme.
fn parse_page(page: &str) -> Parsed {
    let page = page.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let mut segments = page.split('/');
    let host = segments.next().unwrap_or_default().trim_start_matches("www.");
    let segments: Vec<&str> = segments.collect();
    match (host, segments.as_slice()) {
        ("civitai.com" | "civitai.red", ["user", name, ..]) => civitai_creator(name),
        ("civitai.com" | "civitai.red", ["tag", tag]) => words(&tag.replace("%20", " ")).map(FollowTarget::CivitaiTag),
        ("civitai.com" | "civitai.red", ["collections", id]) => parse_civitai(&format!("collection:{id}")),
        ("civitai.com" | "civitai.red", ["models", id, ..]) => parse_civitai(&format!("model:{id}")),
        ("huggingface.co" | "hf.co", [owner]) => parse_hf(owner),
        ("huggingface.co" | "hf.co", [user, "likes"]) => parse_hf(&format!("likes:{user}")),
        ("huggingface.co" | "hf.co", [owner, name]) => parse_hf(&format!("{owner}/{name}")),
        ("huggingface.co" | "hf.co", [owner, name, "tree", branch]) => parse_hf(&format!("{owner}/{name}@{branch}")),
        ("civitai.com" | "civitai.red" | "huggingface.co" | "hf.co", _) => Err("no such page can be followed"),
        _ => Err("no such hub"),
    }
}

impl fmt::Display for FollowTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A name that would read as a model or as the account's own list.
            Self::CivitaiCreator(name) if number(name).is_some() || name == "following" => {
                write!(f, "civitai:user:{name}")
            }
            Self::CivitaiCreator(name) => write!(f, "civitai:{name}"),
            Self::CivitaiTag(tag) => write!(f, "civitai:tag:{tag}"),
            Self::CivitaiCollection(CivitaiCollection::Favourites) => f.write_str("civitai:collection:favourites"),
            Self::CivitaiCollection(CivitaiCollection::Number(id)) => write!(f, "civitai:collection:{id}"),
            Self::CivitaiSearch(query) => write!(f, "civitai:search:{query}"),
            Self::CivitaiModel(id) => write!(f, "civitai:{id}"),
            Self::CivitaiFollowing => f.write_str("civitai:following"),
            Self::HfAuthor(name) => write!(f, "hf:{name}"),
            Self::HfLikes(user) => write!(f, "hf:likes:{user}"),
            Self::HfRepository { repository, branch: None } => write!(f, "hf:{repository}"),
            Self::HfRepository { repository, branch: Some(branch) } => write!(f, "hf:{repository}@{branch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> FollowTarget {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn reads_targets_and_prints_them_back() {
        for text in [
            "civitai:Konan",
            "civitai:user:12345",
            "civitai:user:following",
            "civitai:tag:ink wash",
            "civitai:collection:77",
            "civitai:collection:favourites",
            "civitai:search:red heart",
            "civitai:4384",
            "civitai:following",
            "hf:black-forest-labs",
            "hf:likes:me",
            "hf:org/repo",
            "hf:org/repo@refs/pr/1",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("huggingface:me").hub(), Hub::HuggingFace);
        assert_eq!(parse("civitai:model:7"), FollowTarget::CivitaiModel(7));
    }

    #[test]
    fn pasted_pages_are_targets() {
        for (page, wanted) in [
            ("https://civitai.com/user/Konan/models", "civitai:Konan"),
            ("https://civitai.red/models/4384/dreamshaper?modelVersionId=1", "civitai:4384"),
            ("https://civitai.com/tag/ink%20wash", "civitai:tag:ink wash"),
            ("https://civitai.com/collections/77", "civitai:collection:77"),
            ("https://huggingface.co/org/repo/tree/dev", "hf:org/repo@dev"),
            ("https://huggingface.co/me/likes", "hf:likes:me"),
            ("https://www.civitai.com/user/Konan/", "civitai:Konan"),
        ] {
            assert_eq!(parse(page).to_string(), wanted, "{page}");
        }
    }

    #[test]
    fn refuses_what_no_hub_would_accept() {
        for text in [
            "",
            "konan",
            "civitai:",
            "civitai:a b",
            "ftp:x",
            "hf:../etc",
            "civitai:a/b",
            "civitai:collection:x",
            "civitai:tag: ",
            "civitai:nonsense:x",
            "hf:org/",
            "hf:org/repo@",
            "https://example.org/user/x",
            "civitai:search:a\u{7}b",
        ] {
            assert!(text.parse::<FollowTarget>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn slugs_are_plain_and_stay_apart() {
        for (text, slug) in [
            ("civitai:Konan", "civitai-konan"),
            ("civitai:tag:ink wash", "civitai-tag-ink-wash"),
            ("hf:org/repo@refs/pr/1", "hf-org-repo-refs-pr-1"),
            ("civitai:search:少女", "civitai-search-少女"),
        ] {
            assert_eq!(parse(text).slug(), slug);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_prints_to_something_that_reads_the_same(text in "(civitai|hf):(tag:|user:|search:)?\\PC{0,30}") {
            if let Ok(target) = text.parse::<FollowTarget>() {
                prop_assert_eq!(target.to_string().parse::<FollowTarget>().ok(), Some(target));
            }
        }
    }
}
