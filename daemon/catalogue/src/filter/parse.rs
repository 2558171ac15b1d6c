//! Tokens as a filter: AIP-160's grammar by recursive descent, within bounds.

use super::lex::{Lexeme, Problem, Token, problem, tokens};
use super::{Expression, Fields, Wrong};
use std::marker::PhantomData;

/// Parentheses and negations within each other.
const DEEPEST: usize = 32;
const MOST_CONDITIONS: usize = 256;

pub(super) fn filter<C: Fields>(text: &str) -> Result<Expression<C>, Problem> {
    let end = text.chars().count() + 1;
    let mut parser = Parser { tokens: tokens(text)?, at: 0, end, depth: 0, conditions: 0, of: PhantomData };
    if parser.tokens.is_empty() {
        return Ok(Expression::default());
    }
    let filter = parser.expression()?;
    match parser.next() {
        None => Ok(filter),
        // Whatever else could follow would have been part of the expression.
        Some(token) => Err(problem(token.position, "this parenthesis closes nothing")),
    }
}

struct Parser<C> {
    tokens: Vec<Token>,
    at: usize,
    /// The position behind the last character.
    end: usize,
    depth: usize,
    conditions: usize,
    of: PhantomData<C>,
}

impl<C: Fields> Parser<C> {
    fn peek(&self) -> Option<&Lexeme> {
        self.tokens.get(self.at).map(|token| &token.lexeme)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    fn position(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |token| token.position)
    }

    fn takes(&mut self, lexeme: &Lexeme) -> bool {
        let found = self.peek() == Some(lexeme);
        self.at += usize::from(found);
        found
    }

    /// sequence { AND sequence }
    fn expression(&mut self) -> Result<Expression<C>, Problem> {
        let mut all = Vec::new();
        loop {
            // factor { factor }
            all.push(self.factor()?);
            while !matches!(self.peek(), None | Some(Lexeme::And | Lexeme::Close)) {
                all.push(self.factor()?);
            }
            if !self.takes(&Lexeme::And) {
                return Ok(if all.len() == 1 { all.remove(0) } else { Expression::All(all) });
            }
        }
    }

    /// term { OR term }
    fn factor(&mut self) -> Result<Expression<C>, Problem> {
        let mut any = vec![self.term()?];
        while self.takes(&Lexeme::Or) {
            any.push(self.term()?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Expression::Any(any) })
    }

    /// [NOT] ( expression ) or [NOT] condition
    fn term(&mut self) -> Result<Expression<C>, Problem> {
        let position = self.position();
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(problem(position, format!("more than {DEEPEST} parentheses and negations within each other")));
        }
        let term = match self.next().map(|token| token.lexeme) {
            Some(Lexeme::Not) => Expression::Not(Box::new(self.term()?)),
            Some(Lexeme::Open) => {
                let inner = self.expression()?;
                if !self.takes(&Lexeme::Close) {
                    return Err(problem(position, "this parenthesis is never closed"));
                }
                inner
            }
            Some(Lexeme::Word(word)) => self.condition(&word, position)?,
            Some(Lexeme::Quoted(text)) => self.words(text),
            Some(Lexeme::Operator(operator)) => {
                return Err(problem(position, format!("`{}` needs the name of a field before it", operator.as_str())));
            }
            Some(Lexeme::And | Lexeme::Or) => {
                return Err(problem(position, "`AND` and `OR` need something on both sides"));
            }
            Some(Lexeme::Close) => return Err(problem(position, "nothing stands before this parenthesis")),
            None => return Err(problem(position, "it ends where something should follow")),
        };
        self.depth -= 1;
        if self.conditions > MOST_CONDITIONS {
            return Err(problem(position, format!("it has more than {MOST_CONDITIONS} conditions")));
        }
        Ok(term)
    }

    fn condition(&mut self, word: &str, position: usize) -> Result<Expression<C>, Problem> {
        let Some(Lexeme::Operator(operator)) = self.peek() else { return Ok(self.words(word.to_owned())) };
        let operator = *operator;
        self.at += 1;
        self.conditions += 1;
        let value_position = self.position();
        match self.next().map(|token| token.lexeme) {
            Some(Lexeme::Word(value) | Lexeme::Quoted(value)) => {
                C::comparison(word, operator, &value).map_err(|wrong| match wrong {
                    Wrong::Field(words) => problem(position, words),
                    Wrong::Value(words) => problem(value_position, words),
                })
            }
            _ => Err(problem(value_position, format!("`{word}{}` needs a value after it", operator.as_str()))),
        }
    }

    fn words(&mut self, text: String) -> Expression<C> {
        self.conditions += 1;
        Expression::Is(C::words(text))
    }
}
