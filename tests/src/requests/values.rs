//! Values of fields: what a careful client would send, and what nobody should.

use super::random::Random;
use crate::contract::comment_of_field;
use prost_reflect::{FieldDescriptor, Kind};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Texts that have broken programs before.
const HOSTILE: &[&str] = &[
    "",
    " ",
    "\0",
    "a\0b",
    ".",
    "..",
    "../../../../etc/passwd",
    "models/../../x",
    "%2e%2e%2f",
    "\u{202e}gnp.exe",
    "\r\n",
    "\u{1b}[2J",
    "'",
    "\"",
    "' OR 1=1 --",
    "\"; DROP TABLE model; --",
    "NEAR(a b)",
    "*",
    "a*",
    "-",
    "NOT",
    "(((((((((((",
    "))))",
    "%s%n%x",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>",
    "NaN",
    "1e999",
    "-1",
    "0",
    "18446744073709551616",
    "9223372036854775807",
    "e\u{301}",
    "\u{feff}",
    "\u{0}\u{0}",
    "🎨",
    "\u{10ffff}",
    "con",
    "aux.png",
    "a/b/c/d",
    "//",
    "\\\\x\\y",
    "civitai:",
    "civitai:-1",
    "civitai:99999999999999999999",
    "hf:",
    "hf:/",
    "hf:a/b@",
    "hf:a/b:../../c",
    "urn:air:",
    "path:",
    "https://civitai.com/models/",
    "https://user:pass@civitai.com.evil.example/models/1",
    "file:///etc/passwd",
    "follows/",
    "models/",
    "models/hf-",
    "models/hf-2e2e",
    "models/civitai-1/versions/",
    "assets/",
    "assets/00",
    "generations/",
    "syncRuns/..",
    "downloads/-1",
    "downloads/99999999999999999999",
    "libraries/0",
    "volumes/home",
    "volumes/",
    "removals/1",
];
/// References and names that may be there.
const PLAUSIBLE: &[&str] = &[
    "civitai:4384",
    "civitai:4384@128713",
    "civitai:tiny_emoji",
    "hf:tiny-emoji/tiny-emoji",
    "hf:tiny-emoji",
    "hf:a/b@main",
    "civitai:tag:emoji",
    "civitai:search:emoji",
    "urn:air:sd1:checkpoint:civitai:4384@128713",
    "tiny emoji",
    "emoji",
    "home",
    "civitai",
    "hf",
    "local",
    "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa",
    "6ce0161689",
    "models/civitai-4384",
    "follows/civitai-tiny_emoji",
    "3f1c1c5e-1f43-4a53-9a86-0a7d5a1f3b11",
    "volumes/fast",
    "red heart",
    "(words:1.2) [from:to:0.5] <lora:x:0.8> AND b",
    "kind:lora OR creator:foo -tag:x",
    "downloads>10 AND nsfw<=soft",
    "policy",
    "policy.kinds",
    "name",
    "kinds",
    "created desc",
    "64KiB",
    "all",
    "none",
    "2026-01-31",
];
/// A picture of one pixel that says how it was made.
const PICTURE: &[u8] = include_bytes!("../../../daemon/generation/fuzz/corpus/recipe/ok-png-text");
const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    7.5,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    1e-30,
    1e30,
];
const INTEGERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    8,
    50,
    64,
    500,
    501,
    512,
    4096,
    65_536,
    900 << 10,
    1 << 31,
    (1 << 31) - 1,
    -(1 << 31),
    1 << 32,
    i64::MAX,
    i64::MIN,
    -2,
    1_795_000_000,
];
/// Longer texts and bytes come now and then.
const LONG: usize = 300_000;
/// Names of each sort that are remembered from answers.
const REMEMBERED: usize = 64;

/// Where values come from: fixed lists, the fields' own comments, and what the daemon answered.
#[derive(Debug)]
pub(super) struct Values {
    /// Words that a field's comment mentions, by the field's full name.
    mentioned: BTreeMap<String, Vec<String>>,
    /// Texts of answers by the name of their field.
    answered: Mutex<HashMap<String, Vec<String>>>,
    /// Folders that requests may name: nothing outside of them is ever made or looked at.
    folders: Vec<PathBuf>,
}

impl Values {
    pub(super) fn new(fields: impl Iterator<Item = FieldDescriptor>, sandbox: &Path) -> Self {
        let mentioned =
            fields.map(|field| (field.full_name().to_owned(), mentions(&comment_of_field(&field)))).collect();
        let folders = ["library", "library/below", "empty", "volume", "none", "file"].map(|name| sandbox.join(name));
        Self { mentioned, answered: Mutex::default(), folders: folders.into() }
    }

    /// Keeps a text that an answer had, to ask with.
    pub(super) fn remember(&self, field: &str, text: &str, random: &mut Random) {
        if text.is_empty() || text.len() > 4096 {
            return;
        }
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = answered.entry(field.to_owned()).or_default();
        if known.len() < REMEMBERED {
            known.push(text.to_owned());
        } else {
            let at = random.below(REMEMBERED);
            known[at] = text.to_owned();
        }
    }

    /// The bytes of a text, which need not be one.
    pub(super) fn text(&self, field: &FieldDescriptor, is_careful: bool, random: &mut Random) -> Vec<u8> {
        // A path is never one outside of the sandbox, whatever else it is.
        if ["path", "backup"].contains(&field.name()) {
            return self.path(random).into_bytes();
        }
        if is_careful || random.chance(30) {
            if let Some(text) = self.known(field, random) {
                return text.into_bytes();
            }
            return random.pick(PLAUSIBLE).as_bytes().to_vec();
        }
        match random.below(20) {
            0 => vec![0xff, 0xfe, b'a', 0xc3, 0x28],
            1 if random.chance(10) => "é".repeat(1 + random.below(LONG / 2)).into_bytes(),
            2 => "a".repeat(random.below(5000)).into_bytes(),
            3 => "(".repeat(random.below(3000)).into_bytes(),
            4 => (0..random.below(40))
                .map(|_| char::from(32 + u8::try_from(random.below(95)).unwrap_or(0)))
                .collect::<String>()
                .into_bytes(),
            5 => {
                let mut joined = random.pick(PLAUSIBLE).as_bytes().to_vec();
                joined.extend_from_slice(random.pick(HOSTILE).as_bytes());
                joined
            }
            _ => random.pick(HOSTILE).as_bytes().to_vec(),
        }
    }

    /// A text that this field is known to take.
    fn known(&self, field: &FieldDescriptor, random: &mut Random) -> Option<String> {
        let mentioned = self.mentioned.get(field.full_name());
        let prefix = mentioned.and_then(|words| words.iter().find_map(|word| collection(word)));
        if random.chance(60) {
            let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = match field.name() {
                "page_token" => "next_page_token",
                "model" | "reference" | "references" => "ref",
                "init_image" | "mask" | "image" => "asset",
                name => name,
            };
            if let Some(known) = answered.get(wanted) {
                let fitting: Vec<&String> =
                    known.iter().filter(|text| prefix.is_none_or(|prefix| text.starts_with(prefix))).collect();
                if !fitting.is_empty() {
                    return Some((*random.pick(&fitting)).clone());
                }
            }
        }
        mentioned.filter(|words| !words.is_empty()).map(|words| random.pick(words).clone())
    }

    fn path(&self, random: &mut Random) -> String {
        let folder = random.pick(&self.folders).display().to_string();
        match random.below(8) {
            0 => "relative/place".to_owned(),
            1 => String::new(),
            2 => format!("{folder}/../../up"),
            3 => format!("{folder}\0x"),
            4 => format!("{folder}/{}", "n".repeat(random.below(600))),
            _ => folder,
        }
    }

    pub(super) fn integer(is_careful: bool, random: &mut Random) -> i64 {
        if is_careful && random.chance(80) {
            return i64::try_from(random.below(100)).unwrap_or_default();
        }
        if random.chance(20) { random.next().cast_signed() } else { *random.pick(INTEGERS) }
    }

    pub(super) fn float(is_careful: bool, random: &mut Random) -> f64 {
        if is_careful && random.chance(80) {
            return f64::from(u8::try_from(random.below(100)).unwrap_or_default()) / 10.0;
        }
        if random.chance(20) { f64::from_bits(random.next()) } else { *random.pick(FLOATS) }
    }

    pub(super) fn bytes(is_careful: bool, random: &mut Random) -> Vec<u8> {
        match random.below(if is_careful { 4 } else { 8 }) {
            0 | 1 => PICTURE.to_vec(),
            2 => PICTURE[..random.below(PICTURE.len())].to_vec(),
            3 => br#"{"3":{"class_type":"KSampler","inputs":{"seed":1,"steps":2}}}"#.to_vec(),
            4 => Vec::new(),
            5 if random.chance(5) => vec![b'a'; random.below(LONG)],
            6 => {
                let mut broken = PICTURE.to_vec();
                for _ in 0..=random.below(4) {
                    let at = random.below(broken.len());
                    broken[at] = random.next().to_le_bytes()[0];
                }
                broken
            }
            _ => (0..random.below(64)).map(|_| random.next().to_le_bytes()[0]).collect(),
        }
    }
}

/// What a comment puts between backticks, and the words of its lists.
fn mentions(comment: &str) -> Vec<String> {
    let quoted = comment.split('`').skip(1).step_by(2).map(str::to_owned);
    let is_name =
        |word: &&str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let listed = comment.split([' ', ',', '.', ':', ';']).filter(is_name).map(str::to_owned);
    quoted.chain(listed).collect()
}

/// `models/` of `models/…`.
fn collection(word: &str) -> Option<&str> {
    let end = word.find('/')? + 1;
    (word[end..].starts_with(['…', '{'])).then(|| &word[..end])
}

/// Whether a field holds numbers, and of how many bytes they are on the wire where that is fixed.
pub(super) fn fixed_bytes(kind: &Kind) -> Option<usize> {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Some(8),
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Some(4),
        _ => None,
    }
}
