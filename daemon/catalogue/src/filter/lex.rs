//! A filter's text as tokens.

/// A longer filter was not written by a person.
pub(super) const LONGEST_CHARS: usize = 4_096;

/// What is asked of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Has,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Has => ":",
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lexeme {
    Open,
    Close,
    And,
    Or,
    Not,
    Operator(Operator),
    /// As it stands.
    Word(String),
    /// Between quotation marks.
    Quoted(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// The character it begins at, counted from 1.
    pub(super) position: usize,
    pub(super) lexeme: Lexeme,
}

/// Where a filter stops making sense, and why.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) position: usize,
    pub(super) words: String,
}

pub(super) fn problem(position: usize, words: impl Into<String>) -> Problem {
    Problem { position, words: words.into() }
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Problem> {
    let chars: Vec<char> = text.chars().take(LONGEST_CHARS + 1).collect();
    if chars.len() > LONGEST_CHARS {
        return Err(problem(LONGEST_CHARS, format!("it is longer than {LONGEST_CHARS} characters")));
    }
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let position = at + 1;
        let lexeme = match c {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' => Lexeme::Open,
            ')' => Lexeme::Close,
            '"' => {
                let (quoted, end) = quoted(&chars, at)?;
                tokens.push(Token { position, lexeme: Lexeme::Quoted(quoted) });
                at = end;
                continue;
            }
            // A minus at the end of everything, or alone, is a word that finds nothing.
            '-' if !after_operator(&tokens) && chars.get(at + 1).is_some_and(|next| !next.is_whitespace()) => {
                Lexeme::Not
            }
            _ => match operator(&chars, at) {
                Some((operator, length)) => {
                    at += length - 1;
                    Lexeme::Operator(operator)
                }
                None => {
                    let value = after_operator(&tokens);
                    let length =
                        chars[at..].iter().enumerate().take_while(|(i, c)| belongs(**c, value, &chars, at + i));
                    let word: String = length.map(|(_, c)| *c).collect();
                    // A lone `!` belongs to nothing.
                    at += word.chars().count().max(1) - 1;
                    match word.as_str() {
                        "" => return Err(problem(position, format!("`{c}` has no meaning here"))),
                        "AND" if !value => Lexeme::And,
                        "OR" if !value => Lexeme::Or,
                        "NOT" if !value => Lexeme::Not,
                        _ => Lexeme::Word(word),
                    }
                }
            },
        };
        at += 1;
        tokens.push(Token { position, lexeme });
    }
    Ok(tokens)
}

fn after_operator(tokens: &[Token]) -> bool {
    matches!(tokens.last(), Some(Token { lexeme: Lexeme::Operator(_), .. }))
}

/// Whether a character goes on with a word. A value may hold what would begin an operator, as the time 12:30 does.
fn belongs(c: char, value: bool, chars: &[char], at: usize) -> bool {
    !c.is_whitespace() && !matches!(c, '(' | ')' | '"') && (value || (c != '!' && operator(chars, at).is_none()))
}

fn operator(chars: &[char], at: usize) -> Option<(Operator, usize)> {
    Some(match (chars.get(at)?, chars.get(at + 1)) {
        ('!', Some('=')) => (Operator::NotEqual, 2),
        ('<', Some('=')) => (Operator::LessOrEqual, 2),
        ('>', Some('=')) => (Operator::GreaterOrEqual, 2),
        ('<', _) => (Operator::Less, 1),
        ('>', _) => (Operator::Greater, 1),
        ('=', _) => (Operator::Equal, 1),
        (':', _) => (Operator::Has, 1),
        _ => return None,
    })
}

/// The text between the mark at `begin` and the next one, and where it ends.
fn quoted(chars: &[char], begin: usize) -> Result<(String, usize), Problem> {
    let mut text = String::new();
    let mut at = begin + 1;
    loop {
        match (chars.get(at), chars.get(at + 1)) {
            (Some('"'), _) => return Ok((text, at + 1)),
            (Some('\\'), Some(&escaped @ ('"' | '\\'))) => {
                text.push(escaped);
                at += 2;
            }
            (Some('\\'), Some(_)) => {
                return Err(problem(at + 1, "only `\\\"` and `\\\\` are written with a backslash"));
            }
            (Some(&c), _) => {
                text.push(c);
                at += 1;
            }
            (None, _) => return Err(problem(begin + 1, "the quotation mark is never closed")),
        }
    }
}
