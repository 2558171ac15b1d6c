//! Names and queries as words, the same way on both sides of the search index.
//!
//! Model names look like `some_thingXL_v12` and `少女LoRA`. The index's tokenizer folds case and diacritics but
//! knows nothing of that, so names are split before they go in: at everything that is no letter or digit, at
//! changes of case and between letters and digits, with the joined forms beside the parts; and CJK text, which has
//! no spaces, into single characters, which a query then wants side by side.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Characters of one field that are indexed; a longer text is not a name.
const INDEXED_CHARS: usize = 4_000;
/// Words with more parts than this are indexed by their parts, neighbouring pairs and the whole.
const JOINED_PARTS: usize = 6;
/// Terms of a query that count; the rest is ignored.
const QUERY_TERMS: usize = 16;
const TERM_CHARS: usize = 64;
/// A shorter last word is taken as it stands: one or two letters begin half of all words.
const PREFIX_CHARS: usize = 3;

/// A run of text that is searched for as one.
#[derive(Debug, PartialEq)]
enum Run {
    Word(String),
    Cjk(String),
}

/// A name in the form by which names are compared: NFKC, lower case, single spaces.
pub(crate) fn name_key(name: &str) -> String {
    let folded: String = name.nfkc().take(INDEXED_CHARS).collect::<String>().to_lowercase();
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A field's text as it goes into the index.
pub(crate) fn index_text<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut push = |word: &str| {
        text.push_str(word);
        text.push(' ');
    };
    for run in fields.into_iter().flat_map(|field| runs(field, INDEXED_CHARS)) {
        match run {
            Run::Cjk(characters) => characters.chars().for_each(|c| push(c.encode_utf8(&mut [0; 4]))),
            Run::Word(word) => {
                let parts = parts(&word);
                parts.iter().for_each(|part| push(part));
                for first in 0..parts.len() {
                    for last in first + 1..parts.len() {
                        let whole = first == 0 && last + 1 == parts.len();
                        if parts.len() <= JOINED_PARTS || last == first + 1 || whole {
                            push(&parts[first..=last].concat());
                        }
                    }
                }
            }
        }
    }
    text
}

/// What the last word of a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A word.
    Whole,
    /// The beginning of one.
    Open,
}

/// A query as an FTS5 expression in which every term is a quoted string, so that nothing in the text can be an
/// operator; none if the text holds no letter or digit.
pub(crate) fn match_expression(query: &str, ending: Ending) -> Option<String> {
    let expressions = match_expressions(query, ending);
    (!expressions.is_empty()).then(|| expressions.join(" AND "))
}

/// The same as up to two expressions, all of which must hold: whole words, and the beginning of one. FTS5 gathers
/// everything that goes on from a beginning before it looks at the other words.
pub(crate) fn match_expressions(query: &str, ending: Ending) -> Vec<String> {
    let mut terms: Vec<Run> = runs(query, INDEXED_CHARS);
    terms.truncate(QUERY_TERMS);
    let mut begun = None;
    if let (Ending::Open, Some(Run::Word(last))) = (ending, terms.last())
        && last.chars().count() >= PREFIX_CHARS
    {
        begun = Some(format!("\"{}\" *", last.chars().take(TERM_CHARS).collect::<String>()));
        terms.pop();
    }
    let whole: Vec<String> = terms
        .into_iter()
        .map(|run| match run {
            Run::Word(word) => format!("\"{}\"", word.chars().take(TERM_CHARS).collect::<String>()),
            Run::Cjk(characters) => {
                let characters: Vec<String> = characters.chars().take(TERM_CHARS).map(String::from).collect();
                format!("\"{}\"", characters.join(" "))
            }
        })
        .collect();
    let whole = (!whole.is_empty()).then(|| whole.join(" AND "));
    whole.into_iter().chain(begun).collect()
}

/// The terms of a query one by one, as many as count.
pub(crate) fn query_terms(query: &str) -> Vec<String> {
    let terms = runs(query, INDEXED_CHARS).into_iter().take(QUERY_TERMS);
    terms
        .map(|run| match run {
            Run::Word(text) | Run::Cjk(text) => text,
        })
        .collect()
}

/// A word as the index's tokenizer leaves it: in lower case and without diacritics.
pub(crate) fn folded(word: &str) -> String {
    word.to_lowercase().nfd().filter(|c| !is_combining_mark(*c)).nfc().collect()
}

/// The letters and digits of a text in NFKC, in runs of one writing system.
fn runs(text: &str, limit: usize) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut within = false;
    for c in text.nfkc().take(limit) {
        let belongs = c.is_alphanumeric() || (within && is_combining_mark(c));
        if !belongs {
            within = false;
            continue;
        }
        match runs.last_mut() {
            Some(Run::Cjk(run)) if within && is_cjk(c) => run.push(c),
            Some(Run::Word(run)) if within && !is_cjk(c) => run.push(c),
            _ if is_cjk(c) => runs.push(Run::Cjk(c.into())),
            _ => runs.push(Run::Word(c.into())),
        }
        within = true;
    }
    runs
}

/// Scripts written without spaces between words: kana, Han, and Hangul for its short roots (Unicode blocks).
fn is_cjk(c: char) -> bool {
    matches!(u32::from(c),
        0x3005..=0x3007 | 0x3040..=0x30ff | 0x31f0..=0x31ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
}

/// `DreamShaperXL` → Dream, Shaper, XL; `XLTurbo` → XL, Turbo; `v12` → v, 12.
fn parts(word: &str) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    let mut parts: Vec<String> = Vec::new();
    for (index, &c) in chars.iter().enumerate() {
        let begins = match index.checked_sub(1).map(|before| chars[before]) {
            None => true,
            Some(_) if is_combining_mark(c) => false,
            Some(before) => {
                before.is_numeric() != c.is_numeric()
                    || (before.is_lowercase() && c.is_uppercase())
                    || (before.is_uppercase()
                        && c.is_uppercase()
                        && chars.get(index + 1).is_some_and(|next| next.is_lowercase()))
            }
        };
        match parts.last_mut() {
            Some(part) if !begins => part.push(c),
            _ => parts.push(c.into()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_split_and_joined() {
        for (name, wanted) in [
            ("some_thingXL_v12", "some thing XL thingXL v 12 v12 "),
            ("DreamShaper XL", "Dream Shaper DreamShaper XL "),
            ("XLTurbo", "XL Turbo XLTurbo "),
            ("少女LoRA", "少 女 Lo RA LoRA "),
            ("ﬁne-tune ２.5", "fine tune 2 5 "),
            ("🎨!?", ""),
        ] {
            assert_eq!(index_text([name]), wanted, "{name}");
        }
    }

    #[test]
    fn queries_become_quoted_terms() {
        for (query, wanted) in [
            ("dream", Some("\"dream\" *")),
            ("xl", Some("\"xl\"")),
            ("red heart", Some("\"red\" AND \"heart\" *")),
            ("ver1.1", Some("\"ver1\" AND \"1\"")),
            ("a\" OR name:b*", Some("\"a\" AND \"OR\" AND \"name\" AND \"b\"")),
            ("少女", Some("\"少 女\"")),
            ("  ", None),
            ("\"*\"", None),
        ] {
            assert_eq!(match_expression(query, Ending::Open).as_deref(), wanted, "{query}");
        }
        assert_eq!(match_expressions("big red heart", Ending::Open), ["\"big\" AND \"red\"", "\"heart\" *"]);
        assert_eq!(match_expression("red heart", Ending::Whole).as_deref(), Some("\"red\" AND \"heart\""));
        let many = "word ".repeat(1000);
        assert_eq!(match_expression(&many, Ending::Open).unwrap().matches("AND").count(), QUERY_TERMS - 1);
    }

    #[test]
    fn names_compare_without_case_and_width() {
        assert_eq!(name_key("  Dream  ＸＬ "), "dream xl");
    }

    proptest! {
        #[test]
        fn a_query_is_only_quoted_words_whatever_was_typed(query in "\\PC{0,80}") {
            if let Some(expression) = match_expression(&query, Ending::Open) {
                prop_assert_eq!(expression.matches('"').count() % 2, 0);
                for outside in expression.split('"').step_by(2) {
                    prop_assert!(["", " AND ", " *", " * AND "].contains(&outside), "{:?}", outside);
                }
            }
        }

        #[test]
        fn the_index_text_of_a_word_stays_within_bounds(word in "[a-zA-Z0-9]{0,400}") {
            prop_assert!(index_text([word.as_str()]).len() <= 20 * (word.len() + 1));
        }
    }
}
