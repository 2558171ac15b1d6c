//! Which models hold which words, as the full-text index tells it: the slowest part of a search, because SQLite looks at
//! one model after the other. So the sets of words that many models hold are kept, and of what changed since only that
//! is asked again.

use super::bits::Bits;
use super::columns::Columns;
use super::test::Source;
use crate::codec;
use crate::statements::statements;
use sqlx::SqliteConnection;
use std::sync::Arc;

/// Of a million models each takes 128 KiB.
const KEPT: usize = 128;
/// Fewer models are found again in about a millisecond.
const KEPT_FROM: usize = 4_096;
/// More pieces of what changed are not worth asking for one by one.
const MOST_RANGES: usize = 12;

statements! {
    MATCHES = "SELECT coalesce(group_concat(rowid), '') FROM model_search WHERE model_search MATCH ?1";
    MATCHES_BETWEEN = "
        SELECT coalesce(group_concat(rowid), '') FROM model_search
        WHERE model_search MATCH ?1 AND rowid BETWEEN ?2 AND ?3";
    NAMED = "SELECT coalesce(group_concat(model_id), '') FROM model WHERE name_key = ?1";
    FOLLOWED = "SELECT coalesce(group_concat(model_id), '') FROM follow_model WHERE left_ms IS NULL";
}

/// The set of an expression as it was after a change.
#[derive(Debug, Clone)]
struct Text {
    expression: String,
    changed: i64,
    models: Arc<Bits>,
}

/// The sets of the last texts that many models hold, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Texts(Vec<Text>);

impl Texts {
    /// What is kept of an expression, and after which change it was right.
    pub(crate) fn get(&mut self, expression: &str) -> Option<(i64, Arc<Bits>)> {
        let at = self.0.iter().position(|text| text.expression == expression)?;
        let text = self.0.remove(at);
        let found = (text.changed, Arc::clone(&text.models));
        self.0.push(text);
        Some(found)
    }

    pub(crate) fn keep(&mut self, expression: &str, changed: i64, models: Arc<Bits>) {
        if models.len() < KEPT_FROM {
            return;
        }
        match self.0.iter_mut().find(|text| text.expression == expression) {
            Some(text) if text.changed >= changed => {}
            Some(text) => (text.changed, text.models) = (changed, models),
            None => {
                if self.0.len() == KEPT {
                    self.0.remove(0);
                }
                self.0.push(Text { expression: expression.to_owned(), changed, models });
            }
        }
    }
}

/// Reads a set. `kept` is what [`Texts`] has of it; `columns` are not older than the transaction's state.
pub(crate) async fn read(
    connection: &mut SqliteConnection,
    source: &Source,
    kept: Option<(i64, Arc<Bits>)>,
    columns: &Columns,
) -> Result<Arc<Bits>, sqlx::Error> {
    let (statement, text) = match source {
        Source::Match(expression) => {
            if let Some((changed, models)) = kept {
                let ranges = columns.renewed_after(changed);
                if ranges.is_empty() {
                    return Ok(models);
                }
                if ranges.len() <= MOST_RANGES {
                    return patched(connection, expression, &models, &ranges).await;
                }
            }
            (MATCHES, Some(expression))
        }
        Source::Named(name) => (NAMED, Some(name)),
        Source::Followed => (FOLLOWED, None),
    };
    let mut query = sqlx::query_scalar(statement);
    if let Some(text) = text {
        query = query.bind(text);
    }
    let list: String = query.fetch_one(connection).await?;
    let mut models = Bits::default();
    models.insert_list(&list);
    Ok(Arc::new(models))
}

/// A set with these parts asked for again.
async fn patched(
    connection: &mut SqliteConnection,
    expression: &str,
    models: &Bits,
    ranges: &[std::ops::Range<usize>],
) -> Result<Arc<Bits>, sqlx::Error> {
    let mut models = models.clone();
    for range in ranges {
        let list: String = sqlx::query_scalar(MATCHES_BETWEEN)
            .bind(expression)
            .bind(codec::position(range.start))
            .bind(codec::position(range.end) - 1)
            .fetch_one(&mut *connection)
            .await?;
        models.remove_range(range.clone());
        models.insert_list(&list);
    }
    Ok(Arc::new(models))
}
