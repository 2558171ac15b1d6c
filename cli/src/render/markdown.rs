//! Model cards: Markdown as text for a terminal.
//!
//! Not a browser: no raw HTML is shown, links keep their address, images are their alternative text, tables are plain
//! rows. Every text is cleaned before it is styled, so that the only escape sequences are our own.

use crate::render::flow::{Flow, Style};
use crate::render::table::{Align, table};
use crate::render::{html, sanitize};
use crate::terminal::Terminal;
use pulldown_cmark::{BlockQuoteKind, Event, LinkType, Options, Parser, Tag, TagEnd, TextMergeStream};

/// Longer ones are rows without end, drawn as nothing that anybody would read.
const RULE_COLUMNS: usize = 30;

/// The lines of a model card, without the YAML at its start.
pub(crate) fn lines(markdown: &str, terminal: Terminal) -> Vec<String> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS | Options::ENABLE_GFM;
    let mut page = Page::new(terminal);
    for event in TextMergeStream::new(Parser::new_ext(without_front_matter(markdown), options)) {
        page.take(event);
    }
    page.flow.finish()
}

/// Markdown without its front matter (the YAML between `---` lines at its start).
fn without_front_matter(markdown: &str) -> &str {
    let text = markdown.trim_start_matches('\u{feff}').trim_start();
    let mut at = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        at += line.len();
        match (number, line.trim_end()) {
            (0, "---") => {}
            (0, _) => return markdown,
            (_, "---" | "...") => return &text[at..],
            _ => {}
        }
    }
    // Opened and never closed: a rule, not front matter.
    markdown
}

struct Page {
    terminal: Terminal,
    flow: Flow,
    /// For each open list the number of its next item; none for bullets.
    lists: Vec<Option<u64>>,
    /// For each open link or image what it points at.
    links: Vec<Target>,
    bold: usize,
    /// Inside of a script or style sheet within a paragraph.
    is_hidden: bool,
    /// Inside of a code block, an HTML block: its text so far.
    verbatim: Option<String>,
    table: Option<Rows>,
}

/// What an open link or image needs to know at its end.
struct Target {
    address: Option<String>,
    /// The link's text so far, to see whether it is the address itself.
    text: String,
    /// Written between `<` and `>`, and no address all the same.
    is_plain: bool,
}

#[derive(Default)]
struct Rows {
    rows: Vec<Vec<String>>,
    cell: String,
}

impl Page {
    fn new(terminal: Terminal) -> Self {
        let flow = Flow::new(terminal);
        Self {
            terminal,
            flow,
            lists: Vec::new(),
            links: Vec::new(),
            bold: 0,
            is_hidden: false,
            verbatim: None,
            table: None,
        }
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(code) => {
                let code = format!("`{}`", sanitize::line(&code));
                self.inline(&code);
            }
            Event::Html(html) => match &mut self.verbatim {
                Some(block) => block.push_str(&html),
                None => self.text(&html::text(&html)),
            },
            Event::InlineHtml(tag) => self.inline_html(&tag),
            Event::SoftBreak => self.inline(" "),
            Event::HardBreak => self.line_break(),
            Event::Rule => {
                self.flow.begin_block();
                self.flow.verbatim(&"─".repeat(self.flow.width().min(RULE_COLUMNS)));
                self.flow.end_block();
            }
            Event::TaskListMarker(done) => self.inline(if done { "[x] " } else { "[ ] " }),
            // Extensions that are not asked for: their text is what they are.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => self.text(&text),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => self.flow.begin_block(),
            Tag::Heading { .. } => {
                self.flow.begin_block();
                self.bold += 1;
            }
            Tag::BlockQuote(kind) => {
                self.flow.begin_block();
                self.flow.indent("> ", "> ");
                if let Some(kind) = kind {
                    self.flow.begin_block();
                    self.flow.text(alert(kind), Style::Bold);
                    self.flow.end_block();
                }
            }
            Tag::CodeBlock(_) | Tag::HtmlBlock => self.verbatim = Some(String::new()),
            Tag::List(first) => {
                if self.lists.is_empty() {
                    self.flow.begin_block();
                } else {
                    self.flow.begin_line();
                }
                self.lists.push(first);
            }
            Tag::Item => {
                let marker = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let marker = format!("{number}. ");
                        *number = number.saturating_add(1);
                        marker
                    }
                    _ => "• ".to_owned(),
                };
                self.flow.begin_line();
                let below = " ".repeat(marker.chars().count());
                self.flow.indent(&marker, &below);
            }
            Tag::Table(_) => self.table = Some(Rows::default()),
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.rows.push(Vec::new());
                }
            }
            Tag::Strong => self.bold += 1,
            Tag::Link { link_type, dest_url, .. } => {
                let target = Target::of_link(link_type, &dest_url);
                if target.is_plain {
                    self.inline("<");
                }
                self.links.push(target);
            }
            Tag::Image { .. } => self.links.push(Target { address: None, text: String::new(), is_plain: false }),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        // What was opened within a line and never closed ends with its paragraph, item or cell.
        self.is_hidden &= matches!(tag, TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough | TagEnd::Link);
        match tag {
            TagEnd::Paragraph => self.flow.end_block(),
            TagEnd::Heading(_) => {
                self.bold = self.bold.saturating_sub(1);
                self.flow.end_block();
            }
            TagEnd::BlockQuote(_) => {
                self.flow.outdent();
                self.flow.end_block();
            }
            TagEnd::CodeBlock => {
                let code = self.verbatim.take().unwrap_or_default();
                self.flow.begin_block();
                self.flow.indent("    ", "    ");
                for line in sanitize::lines(code.trim_end()).lines() {
                    self.flow.verbatim(line);
                }
                self.flow.outdent();
                self.flow.end_block();
            }
            TagEnd::HtmlBlock => {
                let text = html::text(&self.verbatim.take().unwrap_or_default());
                for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
                    self.flow.begin_block();
                    for line in paragraph.lines() {
                        self.flow.text(line, Style::Plain);
                        self.flow.line_break();
                    }
                    self.flow.end_block();
                }
            }
            TagEnd::List(_) => {
                self.lists.pop();
                if self.lists.is_empty() {
                    self.flow.end_block();
                }
            }
            TagEnd::Item => {
                self.flow.end_line();
                self.flow.outdent();
            }
            TagEnd::TableCell => {
                if let Some(table) = &mut self.table {
                    let cell = sanitize::line(&std::mem::take(&mut table.cell));
                    if let Some(row) = table.rows.last_mut() {
                        row.push(cell);
                    }
                }
            }
            TagEnd::Table => self.end_table(),
            TagEnd::Strong => self.bold = self.bold.saturating_sub(1),
            TagEnd::Link => self.end_link(),
            TagEnd::Image => {
                self.links.pop();
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some(block) = &mut self.verbatim {
            block.push_str(text);
            return;
        }
        self.inline(&sanitize::lines(text));
    }

    /// Clean text in the run of a paragraph, heading, item or cell.
    fn inline(&mut self, clean: &str) {
        if self.is_hidden {
            return;
        }
        for link in &mut self.links {
            link.text.push_str(clean);
        }
        match &mut self.table {
            Some(table) => table.cell.push_str(clean),
            None => self.flow.text(clean, if self.bold > 0 { Style::Bold } else { Style::Plain }),
        }
    }

    /// Tags within a paragraph are gone, and with them what a script or style sheet holds.
    fn inline_html(&mut self, tag: &str) {
        let inner = tag.trim_start_matches('<').trim_end_matches('>');
        let name: String = inner.chars().take_while(|c| *c == '/' || c.is_ascii_alphanumeric()).collect();
        match name.to_ascii_lowercase().trim_end_matches('/') {
            "br" | "/br" => self.line_break(),
            "script" | "style" => self.is_hidden = true,
            "/script" | "/style" => self.is_hidden = false,
            _ => {}
        }
    }

    fn line_break(&mut self) {
        match &mut self.table {
            Some(table) => table.cell.push(' '),
            None => self.flow.line_break(),
        }
    }

    /// Says where a link leads, unless its text is the address already.
    fn end_link(&mut self) {
        let Some(Target { address, text, is_plain }) = self.links.pop() else { return };
        if is_plain {
            self.inline(">");
        }
        let (Some(address), text) = (address, text.trim()) else { return };
        if text.is_empty() {
            self.inline(&address);
        } else if text != address && address.strip_prefix("mailto:") != Some(text) {
            self.inline(&format!(" ({address})"));
        }
    }

    /// Rows with their columns under each other; where the terminal is too narrow for that, one below the other.
    fn end_table(&mut self) {
        let Some(Rows { mut rows, .. }) = self.table.take() else { return };
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        for row in &mut rows {
            row.resize(columns, String::new());
        }
        let width = self.flow.width();
        let titles = vec![("", Align::Flexible); columns];
        self.flow.begin_block();
        // Columns can be cut to eight characters, with two between them.
        if columns * 10 <= width + 2 {
            for (at, line) in table(&titles, &rows, Some(width)).iter().enumerate() {
                let line = if at == 0 { self.terminal.bold(line) } else { line.clone() };
                self.flow.finished(&line);
            }
        } else {
            for row in rows {
                self.flow.text(&row.join(" | "), Style::Plain);
                self.flow.line_break();
            }
        }
        self.flow.end_block();
    }
}

impl Target {
    fn of_link(kind: LinkType, address: &str) -> Self {
        let clean = sanitize::line(address);
        // `<lora:name:0.8>` is what people write in prompts; Markdown takes it for an address.
        let is_plain = kind == LinkType::Autolink && !clean.starts_with("http") && !clean.starts_with("mailto:");
        let address = match kind {
            LinkType::Email | LinkType::Autolink => None,
            // A place on the same page, of which there is none here.
            _ if clean.starts_with('#') || clean.is_empty() => None,
            _ => Some(clean),
        };
        Self { address, text: String::new(), is_plain }
    }
}

fn alert(kind: BlockQuoteKind) -> &'static str {
    match kind {
        BlockQuoteKind::Note => "Note",
        BlockQuoteKind::Tip => "Tip",
        BlockQuoteKind::Important => "Important",
        BlockQuoteKind::Warning => "Warning",
        BlockQuoteKind::Caution => "Caution",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sanitize::is_hazard;
    use unicode_width::UnicodeWidthStr as _;

    fn terminal(columns: Option<usize>, styled: bool) -> Terminal {
        Terminal {
            input: false,
            output: true,
            notes: false,
            progress: false,
            styled,
            columns,
            pictures: None,
            desktop: false,
        }
    }

    fn text(markdown: &str) -> String {
        lines(markdown, terminal(Some(60), false)).join("\n")
    }

    #[test]
    fn a_model_card_reads_as_a_page() {
        let card = "---\nlicense: mit\ntags:\n- art\n---\n\n# Tiny *Model*\n\nA **small** model, see [the paper](https://arxiv.org/abs/1)\nand <https://example.org>.\n\n## Use\n\n1. install\n2. run `paint`\n   - fast\n   - slow\n\n```python\npipe = load(\n    \"x\")\n```\n\n> quoted words\n> go on\n\n---\nlast";
        assert_eq!(
            text(card),
            "Tiny Model\n\nA small model, see the paper (https://arxiv.org/abs/1) and\nhttps://example.org.\n\nUse\n\n1. install\n2. run `paint`\n   • fast\n   • slow\n\n    pipe = load(\n        \"x\")\n\n> quoted words go on\n\n──────────────────────────────\n\nlast"
        );
    }

    #[test]
    fn headings_and_strong_words_are_bold_where_styles_are_shown() {
        let styled = lines("# Big one\n\nvery **strong *words*** here", terminal(Some(60), true));
        assert_eq!(styled, ["\x1b[1mBig one\x1b[0m", "", "very \x1b[1mstrong words\x1b[0m here"]);
        assert_eq!(text("**a**b"), "ab", "a change of style is no space");
    }

    #[test]
    fn images_are_their_alternative_text_and_no_html_is_left() {
        assert_eq!(text("![a red heart](heart.png)"), "a red heart");
        assert_eq!(
            text("[![Open in Colab](badge.svg)](https://colab.example)"),
            "Open in Colab (https://colab.example)"
        );
        assert_eq!(text("<div align=\"center\">\n\n# Title\n\n</div>\n\nx<br/>y <b>z</b>"), "Title\n\nx\ny z");
        assert_eq!(text("<p>One &amp; two</p>\n<ul><li>a</li></ul>\n<script>alert(1)</script>"), "One & two\n\n• a");
        assert_eq!(text("<!-- nothing -->\n\nrest"), "rest");
        assert_eq!(text("a <script>alert(1)</script> b <STYLE>p{}\n\nnext"), "a b\n\nnext");
        assert_eq!(text("- a <script>x **y** z\n- b"), "• a\n• b");
        assert_eq!(text("write <lora:emoji:0.8> in the prompt"), "write <lora:emoji:0.8> in the prompt");
    }

    #[test]
    fn addresses_are_said_once_and_places_on_the_page_not_at_all() {
        assert_eq!(text("[https://a.example](https://a.example) [up](#top)"), "https://a.example up");
        assert_eq!(text("<me@example.org>"), "me@example.org");
        assert_eq!(text("[licence](LICENSE.md)"), "licence (LICENSE.md)");
    }

    #[test]
    fn tables_are_plain_rows_that_line_up() {
        let table = "| Name | *Size* |\n|---|---:|\n| base | 1 |\n| 日本 | `20` |\n";
        assert_eq!(text(table), "Name  Size\nbase  1\n日本  `20`");
        let wide = format!("|{}\n|{}\n|{}\n", "head|".repeat(9), "-|".repeat(9), "cell|".repeat(9));
        let narrow = lines(&wide, terminal(Some(40), false));
        assert!(narrow.iter().all(|line| line.width() <= 40), "{narrow:#?}");
        assert!(narrow[0].starts_with("head | head"), "{narrow:#?}");
    }

    #[test]
    fn lists_keep_their_paragraphs_and_alerts_their_names() {
        assert_eq!(text("- one\n\n  more\n- [x] two"), "• one\n\n  more\n\n• [x] two");
        assert_eq!(text("> [!WARNING]\n> hot\n\ncold"), "> Warning\n>\n> hot\n\ncold");
    }

    #[test]
    fn scripts_without_spaces_wrap_across_a_change_of_style() {
        let lines = lines("video絵を描く**模型**[絵を描く](a)模型", terminal(Some(20), false));
        assert_eq!(lines, ["video絵を描く模型絵", "を描く (a)模型"]);
    }

    #[test]
    fn front_matter_is_left_out_and_a_rule_is_not_taken_for_it() {
        assert_eq!(text("---\r\nlicense: mit\r\n---\r\n# Hi"), "Hi");
        assert_eq!(text("\u{feff}---\na: b\n---"), "");
        assert_eq!(text("# Hi\n\n---\n"), "Hi\n\n──────────────────────────────");
        assert_eq!(text("---\n\nnever closed"), "──────────────────────────────\n\nnever closed");
    }

    #[test]
    fn nothing_is_wider_than_the_terminal_and_nothing_steers_it() {
        let long = "word ".repeat(50);
        let hostile = format!(
            "# {long}\n\na&#27;[2J\x1b]0;owned\x07 {long}\n\n- {long}\n  - {long}\n\n```\n\x1b[31m{}\n```\n\n> {long}\n\n{}\n\n[x](https://e.example/\u{202e}gpj) ![\u{9b}31mi](y)\n\n| \x1b[1ma | {long} |\n|-|-|\n| 1 | 2 |\n",
            "code();".repeat(20),
            "絵を描く模型".repeat(20)
        );
        for columns in [20, 33, 79] {
            for styled in [false, true] {
                let lines = lines(&hostile, terminal(Some(columns), styled));
                for line in &lines {
                    let plain = line.replace("\x1b[1m", "").replace("\x1b[0m", "");
                    assert!(!plain.chars().any(is_hazard), "{plain:?}");
                    assert!(plain.width() <= columns.max(24), "{columns}: {plain}");
                }
            }
        }
        let code = lines(&format!("```\n{}\n```", "x".repeat(300)), terminal(None, false));
        assert_eq!(code.len(), 1, "code in a pipe is whole");
    }

    #[test]
    fn a_card_that_nests_without_end_is_read_in_reasonable_time() {
        let started = std::time::Instant::now();
        for hostile in [">".repeat(50_000) + " x", "- ".repeat(20_000) + "x", "[".repeat(50_000), "**a ".repeat(50_000)]
        {
            let lines = lines(&hostile, terminal(Some(60), false));
            assert!(lines.iter().all(|line| line.width() <= 60 || !line.contains(' ')));
        }
        assert!(started.elapsed().as_secs() < 20);
    }
}
