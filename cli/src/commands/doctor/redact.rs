//! What a report must not tell whoever reads it: who its author is, and what opens a door.

use regex::{Captures, Regex};
use std::path::Path;

/// What is left out, and by what it is known.
pub(super) struct Redaction {
    /// The longest first, each with what stands for it.
    names: Vec<(String, &'static str)>,
    secrets: Regex,
    queries: Regex,
    addresses: Regex,
}

/// Of names that are shorter, such as `a`, every text is full.
const SHORTEST_NAME: usize = 3;

impl Redaction {
    /// `home` is this user's folder, and the other one is where everything is kept, if somebody said where.
    pub(super) fn new(home: Option<&Path>, paintbox_home: Option<&Path>, host: &str) -> Self {
        let text = |path: &Path| path.display().to_string().trim_end_matches('/').to_owned();
        let user = home.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let mut names: Vec<(String, &'static str)> = [
            (paintbox_home.map(text), "$PAINTBOX_HOME"),
            (home.map(text), "~"),
            (user, "USER"),
            (Some(host.trim().to_owned()), "HOST"),
        ]
        .into_iter()
        .filter_map(|(name, stands)| Some((name.filter(|name| name.len() >= SHORTEST_NAME)?, stands)))
        .collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let pattern = |pattern| Regex::new(pattern).expect("it is written here");
        Self {
            names,
            // Tokens of Hugging Face and of this daemon, keys of CivitAI (32 hexadecimal digits), what follows `Bearer` and
            // what belongs to a name in an address.
            secrets: pattern(
                r#"\b(?:hf_[A-Za-z0-9]{16,}|paintbox_[A-Za-z0-9_-]{16,}|[0-9a-f]{32})\b|(?i:bearer)\s+[^\s",]+|(?://)[^/\s@"]+@"#,
            ),
            queries: pattern(r#"(\b[a-z][a-z0-9+.-]*://[^\s?"']+)\?[^\s"']*"#),
            addresses: pattern(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b"),
        }
    }

    pub(super) fn of(&self, text: &str) -> String {
        let text = self.queries.replace_all(text, "$1?REDACTED");
        let text = self.secrets.replace_all(&text, |found: &Captures<'_>| {
            if found[0].starts_with("//") { "//REDACTED@" } else { "REDACTED" }.to_owned()
        });
        let text = self.addresses.replace_all(&text, |found: &Captures<'_>| {
            let is_own = found[0].starts_with("127.") || &found[0] == "0.0.0.0";
            if is_own { found[0].to_owned() } else { "ADDRESS".to_owned() }
        });
        self.names.iter().fold(text.into_owned(), |text, (name, stands)| whole(&text, name, stands))
    }
}

/// Replaces a name wherever it is no part of a longer word.
fn whole(text: &str, name: &str, stands: &str) -> String {
    let is_word =
        |character: Option<char>| character.is_some_and(|character| character.is_alphanumeric() || character == '_');
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, behind) = (&rest[..at], &rest[at + name.len()..]);
        let last = before.chars().next_back().or_else(|| replaced.chars().next_back());
        replaced.push_str(before);
        let is_part = (is_word(last) && !name.starts_with('/')) || is_word(behind.chars().next());
        replaced.push_str(if is_part { name } else { stands });
        rest = behind;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction() -> Redaction {
        Redaction::new(Some(Path::new("/home/mara")), Some(Path::new("/mnt/models/paintbox")), "atelier\n")
    }

    #[test]
    fn nobody_is_named() {
        let cases = [
            ("/home/mara/models/a.safetensors", "~/models/a.safetensors"),
            ("/mnt/models/paintbox/state", "$PAINTBOX_HOME/state"),
            ("user mara on atelier", "user USER on HOST"),
            ("/Volumes/mara's disk", "/Volumes/USER's disk"),
            // Parts of other words stay readable.
            ("maracuja, samara, mara_2", "maracuja, samara, mara_2"),
            ("/home/marabou", "/home/marabou"),
        ];
        for (text, expected) in cases {
            assert_eq!(redaction().of(text), expected);
        }
        let short = Redaction::new(Some(Path::new("/home/al")), None, "");
        assert_eq!(short.of("also /home/al/x"), "also ~/x");
    }

    #[test]
    fn nothing_opens_a_door() {
        let cases = [
            ("token hf_AbCdEfGhIjKlMnOpQrSt!", "token REDACTED!"),
            ("paintbox_A-b_c0123456789012345678", "REDACTED"),
            ("key 0123456789abcdef0123456789abcdef.", "key REDACTED."),
            ("Authorization: Bearer abc.def", "Authorization: REDACTED"),
            ("https://example.org/file?token=abc&x=1 failed", "https://example.org/file?REDACTED failed"),
            ("https://me:secret@proxy.example:3128/", "https://REDACTED@proxy.example:3128/"),
            ("peers 192.168.1.20:7861 and 127.0.0.1:7860", "peers ADDRESS:7861 and 127.0.0.1:7860"),
        ];
        for (text, expected) in cases {
            assert_eq!(redaction().of(text), expected);
        }
    }

    #[test]
    fn what_helps_stays() {
        let digest = "b".repeat(64);
        for text in
            [digest.as_str(), "civitai:4384@128713", "paintbox_rpc::listen", "3.51.3", "https://civitai.com/models/1"]
        {
            assert_eq!(redaction().of(text), text);
        }
    }
}
