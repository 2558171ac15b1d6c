//! Recognising Python pickles of every protocol without interpreting one.
//!
//! Protocols 2 to 5 announce themselves; 0 and 1 have no magic bytes, so their opcodes are walked: what runs through
//! the machine's grammar to a stop, or to the end of the bytes at hand having used an opcode no text begins with, is
//! a pickle. Opcodes are those of CPython's `pickletools`.

/// Steps of the walk; a real pickle shows itself long before.
const MAX_OPCODES: usize = 64;
/// Opcodes that must have been walked when the bytes end before the pickle does.
const CONVINCING_OPCODES: usize = 4;

pub(crate) fn begins_like_pickle(head: &[u8]) -> bool {
    match head {
        // PROTO: `\x80` and the protocol; opcodes above it never follow as zero bytes.
        [0x80, 2..=5, next, ..] if *next != 0 => true,
        [0x80, 0..=5] => true,
        _ => walks_like_pickle(head),
    }
}

enum Step {
    Goes(usize),
    Stops,
    /// The opcode's argument runs past the bytes at hand.
    Cut,
    IsNone,
}

fn walks_like_pickle(head: &[u8]) -> bool {
    let mut at = 0;
    let mut remembers = false;
    for walked in 0..MAX_OPCODES {
        let Some((&opcode, argument)) = head.get(at..).and_then(<[u8]>::split_first) else {
            return remembers && walked >= CONVINCING_OPCODES;
        };
        // Looking up a class, calling it, storing in the memo: what containers of weights cannot do without.
        remembers |= matches!(opcode, b'c' | b'i' | b'p' | b'q' | b'r' | b'R' | b'b');
        match step(opcode, argument) {
            Step::Goes(length) => at += 1 + length,
            Step::Stops => {
                let is_whole_file = at + 1 == head.len();
                return walked > 0 && (remembers || is_whole_file);
            }
            Step::Cut => return remembers && walked >= CONVINCING_OPCODES,
            Step::IsNone => return false,
        }
    }
    remembers
}

/// One opcode of protocols 0 and 1.
fn step(opcode: u8, argument: &[u8]) -> Step {
    match opcode {
        b'.' => Step::Stops,
        // MARK, POP, POP_MARK, DUP, NONE, EMPTY_* and the ones that build from the stack.
        b'(' | b'0' | b'1' | b'2' | b'N' | b'}' | b']' | b')' | b'a' | b'b' | b'd' | b'e' | b'l' | b'o' | b's'
        | b't' | b'u' | b'R' | b'Q' => Step::Goes(0),
        b'K' | b'q' | b'h' => fixed(argument, 1),
        b'M' => fixed(argument, 2),
        b'J' | b'r' | b'j' => fixed(argument, 4),
        b'G' => fixed(argument, 8),
        b'U' => argument.first().map_or(Step::Cut, |&length| fixed(argument, 1 + usize::from(length))),
        b'X' | b'T' => match argument.first_chunk::<4>() {
            Some(length) => fixed(argument, 4_usize.saturating_add(u32::from_le_bytes(*length) as usize)),
            None => Step::Cut,
        },
        b'I' | b'L' => line(argument, |text| is_number(text.strip_suffix(b"L").unwrap_or(text))),
        b'F' => line(argument, is_number),
        b'p' | b'g' => line(argument, |text| !text.is_empty() && text.iter().all(u8::is_ascii_digit)),
        b'S' => line(argument, |text| matches!(text, [b'\'', .., b'\''] | [b'"', .., b'"'])),
        b'V' => line(argument, |_| true),
        b'P' => line(argument, |text| !text.is_empty()),
        b'c' | b'i' => match line(argument, is_dotted_name) {
            Step::Goes(module) => match line(&argument[module..], is_dotted_name) {
                Step::Goes(name) => Step::Goes(module + name),
                other => other,
            },
            other => other,
        },
        _ => Step::IsNone,
    }
}

fn fixed(argument: &[u8], length: usize) -> Step {
    if argument.len() < length { Step::Cut } else { Step::Goes(length) }
}

/// An argument that ends with its line; the length includes the line feed.
fn line(argument: &[u8], is_sound: impl Fn(&[u8]) -> bool) -> Step {
    match argument.iter().position(|&byte| byte == b'\n') {
        Some(end) if is_sound(&argument[..end]) => Step::Goes(end + 1),
        Some(_) => Step::IsNone,
        None => Step::Cut,
    }
}

fn is_number(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
        && text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'))
}

fn is_dotted_name(text: &[u8]) -> bool {
    text.first().is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}
