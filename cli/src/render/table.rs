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

/// Lines of a table whose last column is running text. Where the terminal is too narrow for it, each text stands
/// below its row, wrapped and a little to the right.
pub(crate) fn remarked(titles: &[(&str, Align)], rows: &[Vec<String>], columns: Option<usize>) -> Vec<String> {
    let whole = table(titles, rows, None);
    let (Some(columns), Some((_, titles))) = (columns, titles.split_last()) else { return whole };
    if whole.iter().all(|line| line.width() <= columns) {
        return whole;
    }
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row[..titles.len().min(row.len())].to_vec()).collect();
    let mut lines = table(titles, &cells, Some(columns));
    let bodies = lines.split_off(lines.len() - rows.len());
    for (line, row) in bodies.into_iter().zip(rows) {
        lines.push(line);
        let remark = row.get(titles.len()).map_or("", String::as_str);
        lines.extend(wrap(remark, columns.saturating_sub(GAP).max(NARROWEST)).iter().map(|part| format!("  {part}")));
    }
    lines
}

/// Lines of `name  value`, the values below each other and wrapped where the terminal ends. Values must be single
/// lines; one that is empty is left out. Addresses and paths stay whole, so that they can be copied.
pub(crate) fn facts(rows: &[(&str, String)], columns: Option<usize>) -> Vec<String> {
    let names = rows.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.width()).max().unwrap_or(0);
    let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(names + GAP).max(NARROWEST));
    let mut lines = Vec::new();
    for (name, value) in rows {
        for (at, part) in wrap(value, room).into_iter().enumerate() {
            let name = if at == 0 { *name } else { "" };
            let padding = " ".repeat(names + GAP - name.width());
            lines.push(format!("{name}{padding}{part}").trim_end().to_owned());
        }
    }
    lines
}

/// Lines of at most `width` columns, broken at spaces. A longer word gets a line of its own, unless it is of a script
/// that writes without spaces.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            for (at, piece) in pieces(word).into_iter().enumerate() {
                let gap = usize::from(at == 0 && !line.is_empty());
                if !line.is_empty() && line.width() + gap + piece.width() > width {
                    lines.push(std::mem::take(&mut line));
                }
                if gap == 1 && !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(piece);
            }
        }
        lines.push(line);
    }
    lines
}

/// The parts of a word that may stand on lines of their own: Chinese and Japanese text, whose characters are two
/// columns wide, may break beside each of them; everything else is one piece.
pub(crate) fn pieces(word: &str) -> Vec<&str> {
    let is_wide = |c: char| c.width() == Some(2);
    if !word.chars().any(is_wide) {
        return vec![word];
    }
    let mut pieces = Vec::new();
    let mut from = 0;
    let mut previous_is_wide = false;
    for (at, c) in word.char_indices() {
        // Combining marks belong to the character before them.
        if at > from && c.width() != Some(0) && (previous_is_wide || is_wide(c)) {
            pieces.push(&word[from..at]);
            from = at;
        }
        if c.width() != Some(0) {
            previous_is_wide = is_wide(c);
        }
    }
    pieces.push(&word[from..]);
    pieces
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

    #[test]
    fn scripts_without_spaces_wrap_between_their_characters() {
        assert_eq!(wrap("この模型は絵を描く", 8), ["この模型", "は絵を描", "く"]);
        assert_eq!(wrap("see 絵を描く模型 now", 8), ["see 絵を", "描く模型", "now"]);
    }

    #[test]
    fn facts_line_up_and_wrap_under_their_values() {
        let rows =
            [("tags", "anime, style, woman".to_owned()), ("kind", "lora".to_owned()), ("base model", String::new())];
        assert_eq!(facts(&rows, Some(17)), ["tags  anime,", "      style,", "      woman", "kind  lora"]);
        assert_eq!(facts(&rows, None), ["tags  anime, style, woman", "kind  lora"]);
        let path = [("home", "/a/very/long/path/to/somewhere".to_owned())];
        assert_eq!(facts(&path, Some(18)), ["home  /a/very/long/path/to/somewhere"]);
    }

    #[test]
    fn remarks_stand_in_their_column_or_below_their_row() {
        let titles = [("FILE", Align::Flexible), ("SIZE", Align::Right), ("WHY", Align::Flexible)];
        let rows = [row(&["a.gguf", "1 B", "larger than the follow allows"]), row(&["b", "20 B", ""])];
        let wide = ["FILE    SIZE  WHY", "a.gguf   1 B  larger than the follow allows", "b       20 B"];
        assert_eq!(remarked(&titles, &rows, None), wide);
        assert_eq!(remarked(&titles, &rows, Some(43)), wide);
        assert_eq!(
            remarked(&titles, &rows, Some(20)),
            ["FILE    SIZE", "a.gguf   1 B", "  larger than the", "  follow allows", "b       20 B"]
        );
    }
}
