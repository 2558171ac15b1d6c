//! Prompts that change while a picture is painted, as A1111 reads them: `[from:to:when]`, `[to:when]`, `[from::when]`
//! and `[a|b]`.
//!
//! Facts from AUTOMATIC1111/stable-diffusion-webui v1.10 `modules/prompt_parser.py`
//! (`get_learned_conditioning_prompt_schedules`): brackets that are no editing stay as they are, and a prompt with a bar
//! outside of brackets, or with a backslash before nothing, is not edited at all.

use std::collections::BTreeSet;

/// Editing within editing deeper than this is read as plain text; it bounds what a prompt can cost.
const MAX_DEPTH: usize = 64;

/// A prompt as a tree.
#[derive(Debug, PartialEq)]
enum Node<'a> {
    Text(&'a str),
    /// Shows `before` up to and including step `when`, then `after`.
    Edited {
        before: Vec<Node<'a>>,
        after: Vec<Node<'a>>,
        when: i64,
    },
    /// Shows one after the other.
    Alternating(Vec<Vec<Node<'a>>>),
}

/// How often the network is asked in a pass, which is what A1111 counts as steps of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Evaluations {
    pub(crate) count: usize,
    /// Of the pass before this one, where there is one: numbers in prompts go on counting, and its shares were below 1.
    pub(crate) before: Option<usize>,
}

/// The texts of a prompt over a pass, each with the last step, counted from 1, that it is for.
pub(crate) fn schedule(prompt: &str, evaluations: Evaluations) -> Vec<(usize, String)> {
    let steps = evaluations.count;
    let parser = Parser {
        steps: i64::try_from(steps).unwrap_or(i64::MAX),
        before: evaluations.before.map(|before| i64::try_from(before).unwrap_or(i64::MAX)),
    };
    let Some(tree) = parser.whole(prompt) else { return vec![(steps, prompt.to_owned())] };
    let mut ends = BTreeSet::from([steps]);
    collect(&tree, steps, &mut ends);
    let text = |step| {
        let mut text = String::with_capacity(prompt.len());
        write(&tree, step, &mut text);
        text
    };
    ends.into_iter().map(|end| (end, text(end))).collect()
}

fn collect(nodes: &[Node<'_>], steps: usize, ends: &mut BTreeSet<usize>) {
    for node in nodes {
        match node {
            Node::Text(_) => {}
            Node::Edited { before, after, when } => {
                ends.extend(usize::try_from(*when).ok().filter(|when| *when >= 1));
                collect(before, steps, ends);
                collect(after, steps, ends);
            }
            Node::Alternating(choices) => {
                ends.extend(1..=steps);
                choices.iter().for_each(|choice| collect(choice, steps, ends));
            }
        }
    }
}

fn write(nodes: &[Node<'_>], step: usize, text: &mut String) {
    for node in nodes {
        match node {
            Node::Text(words) => text.push_str(words),
            Node::Edited { before, after, when } => {
                let shown = if i64::try_from(step).unwrap_or(i64::MAX) <= *when { before } else { after };
                write(shown, step, text);
            }
            Node::Alternating(choices) => write(&choices[step.saturating_sub(1) % choices.len()], step, text),
        }
    }
}

struct Parser {
    steps: i64,
    before: Option<i64>,
}

/// What was read, and what follows.
type Parsed<'a, T> = Option<(T, &'a str)>;

impl Parser {
    /// A whole prompt; brackets and colons that belong to nothing are text. `None` where it cannot be read at all.
    fn whole<'a>(&self, mut rest: &'a str) -> Option<Vec<Node<'a>>> {
        let mut nodes = Vec::new();
        while let Some(first) = rest.chars().next() {
            if matches!(first, '(' | '[')
                && let Some((group, behind)) = self.group(rest, 0)
            {
                nodes.extend(group);
                rest = behind;
                continue;
            }
            let (text, behind) = match first {
                '(' | ')' | '[' | ']' | ':' => rest.split_at(1),
                _ => plain(rest)?,
            };
            nodes.push(Node::Text(text));
            rest = behind;
        }
        Some(nodes)
    }

    /// Text and balanced groups up to what only an enclosing group can read.
    fn inner<'a>(&self, mut rest: &'a str, depth: usize) -> Parsed<'a, Vec<Node<'a>>> {
        let mut nodes = Vec::new();
        loop {
            match rest.chars().next() {
                Some('(' | '[') => {
                    let (group, behind) = self.group(rest, depth)?;
                    nodes.extend(group);
                    rest = behind;
                }
                None | Some(')' | ']' | ':' | '|') => return Some((nodes, rest)),
                Some(_) => {
                    let (text, behind) = plain(rest)?;
                    nodes.push(Node::Text(text));
                    rest = behind;
                }
            }
        }
    }

    fn group<'a>(&self, text: &'a str, depth: usize) -> Parsed<'a, Vec<Node<'a>>> {
        if depth >= MAX_DEPTH {
            return None;
        }
        let (opening, rest) = text.split_at(1);
        let (first, behind) = self.inner(rest, depth + 1)?;
        if opening == "(" {
            return self.round(opening, first, behind, depth);
        }
        match behind.chars().next()? {
            ']' => Some((bracketed(opening, first, &behind[..1]), &behind[1..])),
            '|' => self.alternatives(first, behind, depth),
            ':' => {
                let after_colon = &behind[1..];
                if let Some((when, behind)) = self.when(after_colon) {
                    return Some((vec![Node::Edited { before: Vec::new(), after: first, when }], behind));
                }
                let (second, behind) = self.inner(after_colon, depth + 1)?;
                let (when, behind) = self.when(behind.strip_prefix(':')?)?;
                Some((vec![Node::Edited { before: first, after: second, when }], behind))
            }
            _ => None,
        }
    }

    /// `(a)` and `(a:b)`, which weights are made of later.
    fn round<'a>(
        &self,
        opening: &'a str,
        first: Vec<Node<'a>>,
        behind: &'a str,
        depth: usize,
    ) -> Parsed<'a, Vec<Node<'a>>> {
        match behind.chars().next()? {
            ')' => Some((bracketed(opening, first, &behind[..1]), &behind[1..])),
            ':' => {
                let (second, rest) = self.inner(&behind[1..], depth + 1)?;
                if !rest.starts_with(')') {
                    return None;
                }
                let mut nodes = vec![Node::Text(opening)];
                nodes.extend(first);
                nodes.push(Node::Text(&behind[..1]));
                nodes.extend(second);
                nodes.push(Node::Text(&rest[..1]));
                Some((nodes, &rest[1..]))
            }
            _ => None,
        }
    }

    fn alternatives<'a>(&self, first: Vec<Node<'a>>, mut rest: &'a str, depth: usize) -> Parsed<'a, Vec<Node<'a>>> {
        let mut choices = vec![first];
        while let Some(behind) = rest.strip_prefix('|') {
            let (choice, behind) = self.inner(behind, depth + 1)?;
            choices.push(choice);
            rest = behind;
        }
        Some((vec![Node::Alternating(choices)], rest.strip_prefix(']')?))
    }

    /// ` 0.5 ]`: a share of all steps where the number has a point, else a step.
    fn when<'a>(&self, text: &'a str) -> Parsed<'a, i64> {
        let text = text.trim_start();
        let length = number_length(text)?;
        let (number, rest) = text.split_at(length);
        let behind = rest.trim_start().strip_prefix(']')?;
        let value: f64 = number.parse().ok()?;
        let step = match (number.contains('.'), self.before) {
            (true, None) => value * self.steps as f64,
            (true, Some(_)) => (value - 1.0) * self.steps as f64,
            (false, before) => value - before.unwrap_or_default() as f64,
        };
        Some(((step as i64).min(self.steps), behind))
    }
}

fn bracketed<'a>(opening: &'a str, inner: Vec<Node<'a>>, closing: &'a str) -> Vec<Node<'a>> {
    std::iter::once(Node::Text(opening)).chain(inner).chain([Node::Text(closing)]).collect()
}

/// Anything but brackets, colons and bars, which a backslash makes text too.
fn plain(text: &str) -> Parsed<'_, &str> {
    let mut end = 0;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '(' | ')' | '[' | ']' | ':' | '|' => break,
            '\\' => end += 1 + characters.next().filter(|c| *c != '\n')?.len_utf8(),
            other => end += other.len_utf8(),
        }
    }
    (end > 0).then(|| text.split_at(end))
}

/// The length of a number with optional sign, point and exponent.
fn number_length(text: &str) -> Option<usize> {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let sign = |text: &str| usize::from(text.starts_with(['+', '-']));
    let mut length = sign(text);
    let whole = digits(&text[length..]);
    length += whole;
    if text[length..].starts_with('.') {
        let part = digits(&text[length + 1..]);
        if whole + part == 0 {
            return None;
        }
        length += 1 + part;
    } else if whole == 0 {
        return None;
    }
    if let Some(exponent) = text[length..].strip_prefix(['e', 'E']) {
        let signed = sign(exponent);
        let digits = digits(&exponent[signed..]);
        if digits > 0 {
            length += 1 + signed + digits;
        }
    }
    Some(length)
}
