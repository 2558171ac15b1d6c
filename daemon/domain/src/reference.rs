//! How a model is named, wherever one can be named.

use crate::reason;
use crate::{Classify, ErrorClass, Hub, Sha256};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A model, version or file, as a person or a recipe writes it.
///
/// `civitai:4384`, `civitai:4384@128713`, `hf:org/repo`, `hf:org/repo@rev`, `hf:org/repo:path/file.safetensors`,
/// an AIR URN, a pasted civitai.com or huggingface.co URL, a digest or its AutoV2/AutoV3 short form, `path:/…`,
/// `local:17`, or a name in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ModelRef {
    Civitai {
        model: u64,
        version: Option<u64>,
    },
    /// A CivitAI version whose model is not said, as in a download URL.
    CivitaiVersion {
        version: u64,
    },
    HuggingFace {
        /// `org/name`, or a legacy bare `name`.
        repo: String,
        revision: Option<String>,
        /// Path in the repository, slash-separated.
        path: Option<String>,
    },
    Digest(Sha256),
    /// Ten (AutoV2) or twelve (AutoV3) hexadecimal digits, lower case.
    ShortDigest(String),
    Path(PathBuf),
    /// A file of a library that no hub is known to list, by the catalogue's number.
    Local(u64),
    Name(String),
}

/// A reference that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRefError {
    pub given: String,
    pub problem: &'static str,
}

impl fmt::Display for ModelRefError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a model reference: {}", self.given, self.problem)
    }
}

impl std::error::Error for ModelRefError {}

impl Classify for ModelRefError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
    fn reason(&self) -> &'static str {
        reason::INVALID_REFERENCE
    }
    fn hint(&self) -> Option<String> {
        Some(
            "write civitai:4384, civitai:4384@128713, hf:org/repo, a digest, path:/…, local:17, or a name from `paintbox search`"
                .to_owned(),
        )
    }
    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("reference", self.given.clone())]
    }
}

impl ModelRef {
    /// The hub that the reference names, if it names one.
    #[must_use]
    pub fn hub(&self) -> Option<Hub> {
        match self {
            Self::Civitai { .. } | Self::CivitaiVersion { .. } => Some(Hub::Civitai),
            Self::HuggingFace { .. } => Some(Hub::HuggingFace),
            Self::Digest(_) | Self::ShortDigest(_) | Self::Path(_) | Self::Local(_) | Self::Name(_) => None,
        }
    }
}

impl FromStr for ModelRef {
    type Err = ModelRefError;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        let text = given.trim();
        let result = if text.is_empty() {
            Err("it is empty")
        } else if text.len() > 4096 || text.chars().any(char::is_control) {
            Err("it is too long or holds control characters")
        } else if let Some(rest) = strip_prefix_any_case(text, "civitai:") {
            parse_civitai(rest)
        } else if let Some(rest) =
            strip_prefix_any_case(text, "hf:").or_else(|| strip_prefix_any_case(text, "huggingface:"))
        {
            parse_hugging_face(rest)
        } else if let Some(rest) = strip_prefix_any_case(text, "urn:air:") {
            parse_air(rest)
        } else if let Some(rest) =
            strip_prefix_any_case(text, "https://").or_else(|| strip_prefix_any_case(text, "http://"))
        {
            parse_url(rest)
        } else if let Some(rest) = text.strip_prefix("path:") {
            if rest.is_empty() { Err("the path is empty") } else { Ok(Self::Path(PathBuf::from(rest))) }
        } else if let Some(number) = text.strip_prefix("local:") {
            number.parse().map(Self::Local).map_err(|_| "a file of a library is a number, as in local:17")
        } else if let Ok(digest) = text.strip_prefix("sha256:").unwrap_or(text).parse() {
            Ok(Self::Digest(digest))
        } else if matches!(text.len(), 10 | 12) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self::ShortDigest(text.to_ascii_lowercase()))
        } else {
            Ok(Self::Name(text.to_owned()))
        };
        result.map_err(|problem| ModelRefError { given: given.chars().take(200).collect(), problem })
    }
}

fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn parse_civitai(rest: &str) -> Result<ModelRef, &'static str> {
    let (model, version) = match rest.split_once('@') {
        Some((model, version)) => (model, Some(version)),
        None => (rest, None),
    };
    let number = |text: &str| text.parse::<u64>().ok().filter(|n| (1..=i32::MAX as u64).contains(n));
    let model = number(model).ok_or("a CivitAI model is a number, as in civitai:4384")?;
    // AIR may carry `+fileId` behind the version.
    let version = version
        .map(|text| {
            number(text.split_once('+').map_or(text, |(version, _)| version))
                .ok_or("a CivitAI version is a number, as in civitai:4384@128713")
        })
        .transpose()?;
    Ok(ModelRef::Civitai { model, version })
}

fn parse_hugging_face(rest: &str) -> Result<ModelRef, &'static str> {
    let (head, path) = match rest.split_once(':') {
        Some((head, path)) => (head, Some(path)),
        None => (rest, None),
    };
    let (repo, revision) = match head.split_once('@') {
        Some((repo, revision)) => (repo, Some(revision)),
        None => (head, None),
    };
    hugging_face(repo, revision, path)
}

/// Repository rules: huggingface_hub `utils/_validators.py`.
fn hugging_face(repo: &str, revision: Option<&str>, path: Option<&str>) -> Result<ModelRef, &'static str> {
    let segments: Vec<&str> = repo.split('/').collect();
    let good_segment = |segment: &&str| {
        !segment.is_empty()
            && segment.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            && !segment.starts_with(['.', '-'])
            && !segment.ends_with(['.', '-'])
    };
    if segments.len() > 2
        || repo.len() > 96
        || !segments.iter().all(good_segment)
        || repo.contains("--")
        || repo.contains("..")
        || repo.ends_with(".git")
    {
        return Err("a Hugging Face repository is org/name");
    }
    if revision.is_some_and(|r| r.is_empty() || r.contains("..") || r.contains(char::is_whitespace)) {
        return Err("no such revision can exist");
    }
    if path.is_some_and(|p| {
        p.is_empty() || p.starts_with('/') || p.split('/').any(|s| s.is_empty() || s == "." || s == "..")
    }) {
        return Err("the file's path leaves the repository");
    }
    Ok(ModelRef::HuggingFace {
        repo: repo.to_owned(),
        revision: revision.map(str::to_owned),
        path: path.map(str::to_owned),
    })
}

/// AIR: `{ecosystem}:{type}:{source}:{id}[@version][+file]` behind `urn:air:` (civitai/civitai `src/shared/utils/air.ts`).
fn parse_air(rest: &str) -> Result<ModelRef, &'static str> {
    let parts: Vec<&str> = rest.splitn(4, ':').collect();
    let [_ecosystem, _kind, source, id] = parts[..] else {
        return Err("an AIR has the form urn:air:sdxl:lora:civitai:4384@128713");
    };
    match source.to_ascii_lowercase().as_str() {
        "civitai" => parse_civitai(id),
        "huggingface" => parse_hugging_face(id),
        _ => Err("that AIR source is not a hub we know"),
    }
}

fn parse_url(rest: &str) -> Result<ModelRef, &'static str> {
    let rest = rest.split('#').next().unwrap_or_default();
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = location.split_once('/').unwrap_or((location, ""));
    let host = host.to_ascii_lowercase();
    let host = host.strip_prefix("www.").unwrap_or(&host);
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    match host {
        "civitai.com" | "civitai.red" | "civitai.green" => match segments[..] {
            ["models", model, ..] => {
                let version = query.split('&').find_map(|pair| pair.strip_prefix("modelVersionId="));
                parse_civitai(&version.map_or_else(|| model.to_owned(), |version| format!("{model}@{version}")))
            }
            ["api", "download", "models", version] | ["model-versions", version] => version
                .parse()
                .map(|version| ModelRef::CivitaiVersion { version })
                .map_err(|_| "that CivitAI address names no version"),
            _ => Err("that CivitAI address is not a model page"),
        },
        "huggingface.co" | "hf.co" => match segments[..] {
            ["datasets" | "spaces" | "api", ..] => Err("that Hugging Face address is not a model page"),
            [org, name] => hugging_face(&format!("{org}/{name}"), None, None),
            [org, name, "tree" | "commit", revision] => hugging_face(&format!("{org}/{name}"), Some(revision), None),
            [org, name, "blob" | "resolve", revision, ref path @ ..] if !path.is_empty() => {
                hugging_face(&format!("{org}/{name}"), Some(revision), Some(&path.join("/")))
            }
            _ => Err("that Hugging Face address is not a model page"),
        },
        _ => Err("only civitai.com and huggingface.co addresses are understood"),
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Civitai { model, version: None } => write!(f, "civitai:{model}"),
            Self::Civitai { model, version: Some(version) } => write!(f, "civitai:{model}@{version}"),
            Self::CivitaiVersion { version } => write!(f, "https://civitai.com/api/download/models/{version}"),
            Self::HuggingFace { repo, revision, path } => {
                write!(f, "hf:{repo}")?;
                if let Some(revision) = revision {
                    write!(f, "@{revision}")?;
                }
                if let Some(path) = path {
                    write!(f, ":{path}")?;
                }
                Ok(())
            }
            Self::Digest(digest) => write!(f, "{digest}"),
            Self::ShortDigest(digits) => f.write_str(digits),
            Self::Path(path) => write!(f, "path:{}", path.display()),
            Self::Local(number) => write!(f, "local:{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> ModelRef {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn reads_every_form_of_the_contract() {
        let civitai = |model, version| ModelRef::Civitai { model, version };
        let hf = |repo: &str, revision: Option<&str>, path: Option<&str>| ModelRef::HuggingFace {
            repo: repo.into(),
            revision: revision.map(Into::into),
            path: path.map(Into::into),
        };
        let sha = "96a7fb4abc026b628ec2c28fb91086a5f5557aa14244ec329581b27cb53096cd";
        for (text, wanted) in [
            ("civitai:4384", civitai(4384, None)),
            ("civitai:4384@128713", civitai(4384, Some(128_713))),
            ("urn:air:sdxl:lora:civitai:328553@368189", civitai(328_553, Some(368_189))),
            ("urn:air:flux1:lora:civitai:1231067@1387174+99", civitai(1_231_067, Some(1_387_174))),
            ("https://civitai.com/models/4384/dreamshaper?modelVersionId=128713", civitai(4384, Some(128_713))),
            ("https://civitai.red/models/4384", civitai(4384, None)),
            ("https://civitai.com/api/download/models/128713", ModelRef::CivitaiVersion { version: 128_713 }),
            ("hf:org/repo", hf("org/repo", None, None)),
            ("hf:org/repo@v1", hf("org/repo", Some("v1"), None)),
            ("hf:org/repo:a/b.safetensors", hf("org/repo", None, Some("a/b.safetensors"))),
            ("https://huggingface.co/org/repo/blob/main/a/b.gguf", hf("org/repo", Some("main"), Some("a/b.gguf"))),
            ("https://huggingface.co/org/repo/tree/main", hf("org/repo", Some("main"), None)),
            (sha, ModelRef::Digest(sha.parse().unwrap())),
            ("96A7FB4ABC", ModelRef::ShortDigest("96a7fb4abc".into())),
            ("9F02751CC929", ModelRef::ShortDigest("9f02751cc929".into())),
            ("path:/models/a b.safetensors", ModelRef::Path("/models/a b.safetensors".into())),
            ("local:17", ModelRef::Local(17)),
            ("DreamShaper XL", ModelRef::Name("DreamShaper XL".into())),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
            assert_eq!(parse(&wanted.to_string()), wanted, "{text} printed and read again");
        }
    }

    #[test]
    fn refuses_what_cannot_be_meant() {
        for text in [
            "",
            "civitai:abc",
            "civitai:0",
            "civitai:4384@x",
            "hf:a/b/c",
            "hf:../x",
            "hf:org/repo:../../etc/passwd",
            "hf:org/repo:/etc/passwd",
            "urn:air:x",
            "https://example.org/models/1",
            "a\nb",
            "path:",
        ] {
            assert!(text.parse::<ModelRef>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_prints_to_something_that_reads_the_same(text in "\\PC{0,60}") {
            if let Ok(reference) = text.parse::<ModelRef>() {
                prop_assert_eq!(reference.to_string().parse::<ModelRef>().ok(), Some(reference));
            }
        }
    }
}
