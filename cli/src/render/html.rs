//! Descriptions as text: CivitAI writes HTML, and Markdown has HTML in it.
//!
//! Not a browser: tags go, block tags become line breaks, entities become characters, and whatever that makes is
//! cleaned like every other text from outside.

use crate::render::sanitize;

/// Longer than any tag that a description has a use for; a `<` without an end within it is a less-than sign.
const LONGEST_TAG_BYTES: usize = 4096;

/// The text of a description: no tags, no control characters, at most one blank line in a row.
pub(crate) fn text(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        decode(&rest[..at], &mut text);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("<!--") {
            rest = after.find("-->").map_or("", |end| &after[end + 3..]);
            continue;
        }
        let Some((name, closing, after)) = tag(rest) else {
            text.push('<');
            rest = &rest[1..];
            continue;
        };
        rest = after;
        match (name.as_str(), closing) {
            ("script" | "style", false) => rest = after_element(rest, &name),
            ("li", false) => text.push_str("\n• "),
            ("br" | "hr" | "tr" | "ul" | "ol", _) => text.push('\n'),
            // A paragraph as a list item's first child belongs beside the bullet.
            ("p" | "div", false) if text.ends_with("• ") => {}
            ("p" | "div" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "pre" | "blockquote" | "table", _) => {
                text.push_str("\n\n");
            }
            ("td" | "th", true) => text.push(' '),
            _ => {}
        }
    }
    decode(rest, &mut text);
    tidy(&sanitize::lines(&text))
}

/// The tag at the start of `text`: its lower-case name, whether it closes, and what follows it.
fn tag(text: &str) -> Option<(String, bool, &str)> {
    let inner = text.strip_prefix('<')?;
    let (inner, closing) = inner.strip_prefix('/').map_or((inner, false), |inner| (inner, true));
    let first = inner.chars().next()?;
    if !first.is_ascii_alphabetic() && first != '!' && first != '?' {
        return None;
    }
    // `<lora:name:0.8>` is what people write in prompts, not markup.
    let name: String = inner.chars().take(41).take_while(|c| !matches!(c, '>' | '/') && !c.is_whitespace()).collect();
    if name.len() > 40 || name.contains([':', '<']) {
        return None;
    }
    let mut quote = None;
    for (at, c) in text.char_indices().take_while(|(at, _)| *at < LONGEST_TAG_BYTES) {
        match (c, quote) {
            ('>', None) => return Some((name.to_ascii_lowercase(), closing, &text[at + 1..])),
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

fn after_element<'a>(rest: &'a str, name: &str) -> &'a str {
    let close = format!("</{name}");
    let found = rest.char_indices().find(|(at, c)| {
        *c == '<' && rest.get(*at..at + close.len()).is_some_and(|here| here.eq_ignore_ascii_case(&close))
    });
    found.map_or("", |(at, _)| tag(&rest[at..]).map_or("", |(_, _, after)| after))
}

fn decode(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|byte| byte == b';');
        match end.and_then(|end| Some((entity(&rest[1..end])?, end))) {
            Some((c, end)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let number = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(number);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "hellip" => '…',
        "mdash" => '—',
        "ndash" => '–',
        "rsquo" => '’',
        "lsquo" => '‘',
        "rdquo" => '”',
        "ldquo" => '“',
        "times" => '×',
        "copy" => '©',
        _ => return None,
    })
}

fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut blank = true;
    for line in text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")) {
        if line.is_empty() {
            if !blank {
                tidy.push('\n');
            }
            blank = true;
        } else {
            tidy.push_str(&line);
            tidy.push('\n');
            blank = false;
        }
    }
    tidy.truncate(tidy.trim_end().len());
    tidy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sanitize::is_hazard;

    #[test]
    fn reads_as_paragraphs_and_lists() {
        let html = "<h1>Tiny</h1><p>A <strong>small</strong> model &amp; more.<br/>Use:</p><ul><li>red</li><li><p>blue</p></li></ul>";
        assert_eq!(text(html), "Tiny\n\nA small model & more.\nUse:\n\n• red\n• blue");
    }

    #[test]
    fn entities_cannot_smuggle_control_characters() {
        let hostile = "a&#27;[2J&#x9b;31mb&#x202e;c&#x1b;]0;t&#7;d";
        assert!(!text(hostile).chars().any(|c| c != '\n' && is_hazard(c)));
        assert_eq!(text(hostile), "abcd");
    }

    #[test]
    fn scripts_styles_and_comments_are_gone() {
        assert_eq!(text("a<script>alert('<b>')</script>b<STYLE x='>'>p{}</Style >c<!-- d -->e"), "abce");
        assert_eq!(text("a<script>never closed"), "a");
    }

    #[test]
    fn what_is_no_markup_stays() {
        for plain in ["a < b", "1 <2> 3", "<lora:emoji:0.8>", "x <", "&unknown; & &#xffffffff;"] {
            assert_eq!(text(plain), plain);
        }
        assert_eq!(text("<a title='a>b' href=x>link</a>"), "link");
    }

    #[test]
    fn a_long_run_of_openings_is_read_in_reasonable_time() {
        let started = std::time::Instant::now();
        text(&"<a".repeat(200_000));
        text(&"<script>".repeat(100_000));
        assert!(started.elapsed().as_secs() < 20);
    }
}
