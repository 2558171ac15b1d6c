//! Running text with styles: words that fill lines behind bullets and quotation marks, with blank lines between blocks.

use crate::render::table::pieces;
use crate::terminal::Terminal;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Bold,
}

/// Lines in the making. Every text must be clean: widths are counted, and what it holds is shown.
pub(crate) struct Flow {
    terminal: Terminal,
    lines: Vec<String>,
    indents: Vec<Indent>,
    words: Vec<Word>,
    /// The last word goes on with the next text.
    word_is_open: bool,
    /// A blank line is due before the next line.
    blank_is_due: bool,
}

/// What stands before the lines of an item or quotation.
struct Indent {
    first: String,
    below: String,
    is_used: bool,
}

struct Word {
    runs: Vec<(String, Style)>,
    /// A space stands before it, unless it begins a line.
    has_gap: bool,
}

impl Word {
    fn width(&self) -> usize {
        self.runs.iter().map(|(text, _)| text.width()).sum()
    }
}

impl Flow {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self {
            terminal,
            lines: Vec::new(),
            indents: Vec::new(),
            words: Vec::new(),
            word_is_open: false,
            blank_is_due: false,
        }
    }

    /// Every line, without blank ones at the end.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.end_line();
        self.lines
    }

    /// Columns for text behind the present indents.
    pub(crate) fn width(&self) -> usize {
        self.room(self.terminal.text_columns())
    }

    /// Begins a paragraph or the like: a blank line goes before it, unless it is the first thing behind a bullet.
    pub(crate) fn begin_block(&mut self) {
        self.end_line();
        if self.indents.last().is_none_or(|indent| indent.is_used) {
            self.blank_is_due = true;
        }
    }

    pub(crate) fn end_block(&mut self) {
        self.end_line();
        self.blank_is_due = true;
    }

    pub(crate) fn begin_line(&mut self) {
        self.end_line();
    }

    /// From here on, lines stand behind `below`, and the first of them behind `first`.
    pub(crate) fn indent(&mut self, first: &str, below: &str) {
        self.end_line();
        self.indents.push(Indent { first: first.to_owned(), below: below.to_owned(), is_used: false });
    }

    pub(crate) fn outdent(&mut self) {
        self.end_line();
        self.indents.pop();
    }

    /// Adds to the line; every run of white space is a place to break it.
    pub(crate) fn text(&mut self, text: &str, style: Style) {
        if text.starts_with(char::is_whitespace) {
            self.word_is_open = false;
        }
        for (at, word) in text.split_whitespace().enumerate() {
            for (part, piece) in pieces(word).into_iter().enumerate() {
                let run = (piece.to_owned(), style);
                match self.words.last_mut() {
                    Some(last) if at == 0 && part == 0 && self.word_is_open => last.runs.push(run),
                    _ => self.words.push(Word { runs: vec![run], has_gap: part == 0 }),
                }
            }
            self.word_is_open = true;
        }
        if text.ends_with(char::is_whitespace) {
            self.word_is_open = false;
        }
    }

    pub(crate) fn line_break(&mut self) {
        self.end_line();
    }

    /// A line whose spaces matter; folded where a terminal ends, whole where there is none.
    pub(crate) fn verbatim(&mut self, line: &str) {
        self.end_line();
        let room = self.terminal.columns.map_or(usize::MAX, |columns| self.room(columns));
        let mut part = String::new();
        let mut used = 0;
        for c in line.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > room {
                self.emit(&std::mem::take(&mut part));
                used = 0;
            }
            used += wide;
            part.push(c);
        }
        self.emit(&part);
    }

    /// A line that is styled and fits already.
    pub(crate) fn finished(&mut self, line: &str) {
        self.end_line();
        self.emit(line);
    }

    /// Lays the words out.
    pub(crate) fn end_line(&mut self) {
        self.word_is_open = false;
        let width = self.width();
        let mut line: Vec<Word> = Vec::new();
        let mut used = 0;
        for word in std::mem::take(&mut self.words) {
            let gap = usize::from(word.has_gap && !line.is_empty());
            if !line.is_empty() && used + gap + word.width() > width {
                let full = self.styled(&line);
                self.emit(&full);
                line.clear();
                used = word.width();
            } else {
                used += gap + word.width();
            }
            line.push(word);
        }
        if !line.is_empty() {
            let last = self.styled(&line);
            self.emit(&last);
        }
    }

    /// Words as one line; neighbours of one style share its escape sequences.
    fn styled(&self, words: &[Word]) -> String {
        let mut runs: Vec<(String, Style)> = Vec::new();
        for (at, word) in words.iter().enumerate() {
            for (part, (text, style)) in word.runs.iter().enumerate() {
                let gap = if at > 0 && part == 0 && word.has_gap { " " } else { "" };
                match runs.last_mut() {
                    Some((last, same)) if same == style => last.extend([gap, text]),
                    // The space between bold and plain is plain.
                    Some((last, Style::Plain)) => {
                        last.push_str(gap);
                        runs.push((text.clone(), *style));
                    }
                    Some(_) => runs.push((format!("{gap}{text}"), *style)),
                    None => runs.push((text.clone(), *style)),
                }
            }
        }
        let show = |(text, style): &(String, Style)| match style {
            Style::Plain => text.clone(),
            Style::Bold => self.terminal.bold(text),
        };
        runs.iter().map(show).collect()
    }

    fn emit(&mut self, text: &str) {
        if self.blank_is_due && !self.lines.is_empty() {
            // A quotation or item that is only beginning has no part in the blank line before it.
            let begun = self.indents.iter().take_while(|indent| indent.is_used).count();
            let blank = self.prefix(begun);
            self.lines.push(blank.trim_end().to_owned());
        }
        self.blank_is_due = false;
        let prefix = self.prefix(self.indents.len());
        for indent in &mut self.indents {
            indent.is_used = true;
        }
        self.lines.push(format!("{prefix}{text}").trim_end().to_owned());
    }

    /// What stands before the next line, of the outermost `count` indents.
    fn prefix(&self, count: usize) -> String {
        self.shown_indents(count).collect()
    }

    /// Indents that are shown: those that leave half of the line for text.
    fn shown_indents(&self, count: usize) -> impl Iterator<Item = &str> {
        let most = self.terminal.text_columns() / 2;
        let texts =
            self.indents[..count].iter().map(|indent| if indent.is_used { &indent.below } else { &indent.first });
        texts
            .scan(0, move |used, text| {
                *used += text.width();
                (*used <= most).then_some(text)
            })
            .map(String::as_str)
    }

    fn room(&self, columns: usize) -> usize {
        let indented: usize = self.shown_indents(self.indents.len()).map(UnicodeWidthStr::width).sum();
        columns.saturating_sub(indented).max(1)
    }
}
