//! Text from hubs and files, made safe to show.
//!
//! Names, tags and descriptions are written by strangers. In a terminal an escape sequence can repaint the screen,
//! change its title or answer for the user, and a bidirectional override can make one file name look like another.

/// Whether a character steers a terminal or the direction of text, or is invisible and hides differences.
pub(crate) fn is_hazard(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// One line: escape sequences and hazards removed, every run of white space one space.
pub(crate) fn line(text: &str) -> String {
    lines(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same with line breaks kept, as `\n`.
pub(crate) fn lines(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\x1b' => after_escape(after),
            '\u{9b}' => after_control_sequence(after),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => after_string(after),
            '\n' | '\u{2028}' | '\u{2029}' => {
                clean.push('\n');
                after
            }
            '\t' => {
                clean.push(' ');
                after
            }
            '\r' => {
                if !after.starts_with('\n') {
                    clean.push('\n');
                }
                after
            }
            c => {
                if !is_hazard(c) {
                    clean.push(c);
                }
                after
            }
        };
    }
    clean
}

/// What follows the escape sequence whose ESC was just read (ECMA-48 §5.3 to §5.6).
fn after_escape(rest: &str) -> &str {
    match rest.chars().next() {
        Some('[') => after_control_sequence(&rest[1..]),
        Some('P' | 'X' | ']' | '^' | '_') => after_string(&rest[1..]),
        Some(' '..='/') => {
            let rest = rest.trim_start_matches(|c| matches!(c, ' '..='/'));
            rest.strip_prefix(|c| matches!(c, '0'..='~')).unwrap_or(rest)
        }
        Some('0'..='~') => &rest[1..],
        _ => rest,
    }
}

fn after_control_sequence(rest: &str) -> &str {
    let rest = rest.trim_start_matches(|c| matches!(c, '0'..='?')).trim_start_matches(|c| matches!(c, ' '..='/'));
    rest.strip_prefix(|c| matches!(c, '@'..='~')).unwrap_or(rest)
}

/// A control string runs to BEL or ST. One without an end is taken for its introducer alone, so that nobody can
/// make the remaining text vanish.
fn after_string(rest: &str) -> &str {
    let mut previous = '\0';
    for (at, c) in rest.char_indices() {
        if matches!(c, '\x07' | '\u{9c}') || (previous == '\x1b' && c == '\\') {
            return &rest[at + c.len_utf8()..];
        }
        previous = c;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_escape_sequences_whole() {
        for (given, wanted) in [
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b]0;owned\x07name", "name"),
            ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\u{9b}2Jclear", "clear"),
            ("\x1bPq#0\x1b\\sixel", "sixel"),
            ("\x1b(0line", "line"),
            ("\x1bcreset", "reset"),
            ("a\x1b", "a"),
            ("a\x08\x7fb", "ab"),
        ] {
            assert_eq!(line(given), wanted, "{given:?}");
        }
    }

    #[test]
    fn an_unfinished_sequence_hides_nothing() {
        assert_eq!(line("\x1b]0;the rest stays"), "0;the rest stays");
        assert_eq!(line("\x1b[12;the rest"), "he rest");
    }

    #[test]
    fn removes_what_reorders_or_hides_text() {
        assert_eq!(line("model\u{202e}srotsnetefas.exe"), "modelsrotsnetefas.exe");
        assert_eq!(line("a\u{2066}b\u{2069}c\u{200b}d\u{feff}e\u{e0041}f"), "abcdef");
    }

    #[test]
    fn keeps_letters_of_every_script_and_joined_emoji() {
        for text in ["Ünïcödé", "日本語", "עברית", "👩‍🎨"] {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn nothing_hazardous_is_left_whatever_comes_in() {
        let mut seed = 7_u32;
        let mut text = String::new();
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let c = [0x1b, 0x9b, 0x9d, 0x07, 0x5b, 0x5d, 0x202e, 0x0a, 0x0d, seed >> 15 & 0x1fff]
                [(seed >> 8) as usize % 10];
            text.extend(char::from_u32(c));
        }
        assert!(!lines(&text).chars().any(|c| c != '\n' && is_hazard(c)));
        assert!(!line(&text).chars().any(is_hazard));
    }

    #[test]
    fn line_breaks_become_spaces_or_stay() {
        assert_eq!(line(" a\r\nb\tc \n"), "a b c");
        assert_eq!(lines("a\r\nb\rc\nd"), "a\nb\nc\nd");
    }
}
