//! Tables whose columns line up, in whatever script, and that fit the terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

const GAP: usize = 2;
/// Narrower than this, a cell says nothing.
const NARROWEST: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
    /// Left, and cut short first when the table is too wide.
    Flexible,
}

/// Lines of a table. `columns` is the terminal's width; none keeps every cell whole. A title row of empty texts is
/// left out. Cells must be single lines.
pub(crate) fn table(titles: &[(&str, Align)], rows: &[Vec<String>], columns: Option<usize>) -> Vec<String> {
    let mut widths: Vec<usize> = titles.iter().map(|(title, _)| title.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    if let Some(columns) = columns {
        shrink(&mut widths, titles, columns);
    }
    let header: Vec<String> = titles.iter().map(|(title, _)| (*title).to_owned()).collect();
    let has_header = header.iter().any(|title| !title.is_empty());
    let header = has_header.then_some(&header);
    header.into_iter().chain(rows).map(|row| aligned(row, titles, &widths)).collect()
}

fn shrink(widths: &mut [usize], titles: &[(&str, Align)], columns: usize) {
    let mut total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    while total > columns {
        let widest = (0..widths.len())
            .filter(|at| titles[*at].1 == Align::Flexible && widths[*at] > NARROWEST)
            .max_by_key(|at| widths[*at]);
        let Some(widest) = widest else { return };
        widths[widest] -= 1;
        total -= 1;
    }
}

fn aligned(row: &[String], titles: &[(&str, Align)], widths: &[usize]) -> String {
    let mut line = String::new();
    for ((cell, (_, align)), width) in row.iter().zip(titles).zip(widths) {
        let cell = fit(cell, *width);
        let padding = " ".repeat(width.saturating_sub(cell.width()));
        match align {
            Align::Right => {
                line.push_str(&padding);
                line.push_str(&cell);
            }
            Align::Left | Align::Flexible => {
                line.push_str(&cell);
                line.push_str(&padding);
            }
        }
        line.push_str(&" ".repeat(GAP));
    }
    line.trim_end().to_owned()
}

/// Cuts text to a width in columns, with an ellipsis where something is missing.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// Lines of at most `width` columns, broken at spaces; a longer word gets a line of its own.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.width() + 1 + word.width() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn columns_line_up_in_any_script() {
        let lines = table(
            &[("NAME", Align::Flexible), ("SIZE", Align::Right), ("KIND", Align::Left)],
            &[row(&["日本語", "1 B", "lora"]), row(&["plain", "16.6 MB", "vae"])],
            None,
        );
        assert_eq!(lines, ["NAME       SIZE  KIND", "日本語      1 B  lora", "plain   16.6 MB  vae"]);
    }

    #[test]
    fn flexible_cells_give_way_to_the_terminal() {
        let rows = [row(&["civitai:1", "a very long name of a model"])];
        let lines = table(&[("", Align::Left), ("", Align::Flexible)], &rows, Some(24));
        assert_eq!(lines, ["civitai:1  a very long …"]);
        assert_eq!(lines[0].width(), 24);
    }

    #[test]
    fn cutting_never_splits_a_wide_character() {
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("日本語", 5), "日本…");
    }

    #[test]
    fn wraps_at_words_and_keeps_paragraphs() {
        assert_eq!(wrap("one two three\n\nfour", 8), ["one two", "three", "", "four"]);
        assert_eq!(wrap("incomprehensibilities now", 8), ["incomprehensibilities", "now"]);
    }
}
