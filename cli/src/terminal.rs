//! What is known about the terminal, asked once at the start.

use crate::paths::variable;
use crate::render::picture::Protocol;
use std::io::IsTerminal as _;

/// Columns assumed when nothing says otherwise.
const DEFAULT_COLUMNS: usize = 80;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Standard input is a person.
    pub(crate) input: bool,
    /// Standard output is a person.
    pub(crate) output: bool,
    /// Standard error is a person, so questions are seen there.
    pub(crate) notes: bool,
    /// Progress may move on standard error.
    pub(crate) progress: bool,
    /// Bold and dim may be used on standard output.
    pub(crate) styled: bool,
    /// Columns of the terminal behind standard output; none when it is a file or a pipe.
    pub(crate) columns: Option<usize>,
    /// How pictures are drawn on standard output; none where it shows none, and without styles.
    pub(crate) pictures: Option<Protocol>,
    /// Something can show a page or a folder.
    pub(crate) desktop: bool,
}

impl Terminal {
    pub(crate) fn of_process() -> Self {
        let output = std::io::stdout().is_terminal();
        let notes = std::io::stderr().is_terminal();
        let dumb = variable("TERM").is_none_or(|kind| kind == "dumb");
        let styled = output && !dumb && variable("NO_COLOR").is_none();
        let window = rustix::termios::tcgetwinsize(std::io::stdout()).ok().filter(|window| window.ws_col > 0);
        let column_px = window.map(|window| u32::from(window.ws_xpixel / window.ws_col)).filter(|width| *width > 0);
        Self {
            input: std::io::stdin().is_terminal(),
            output,
            notes,
            progress: notes && !dumb,
            styled,
            pictures: if styled { Protocol::of(variable, column_px) } else { None },
            columns: window.map(|window| usize::from(window.ws_col)).filter(|columns| output && *columns >= 20),
            desktop: cfg!(target_os = "macos")
                || variable("DISPLAY").is_some()
                || variable("WAYLAND_DISPLAY").is_some(),
        }
    }

    /// Columns for running text, which is hard to read when lines are long.
    pub(crate) fn text_columns(&self) -> usize {
        self.columns.unwrap_or(DEFAULT_COLUMNS).min(100)
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        if self.styled { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        if self.styled { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}
