//! Which models hold which words, as the full-text index tells it: the slowest part of a search, because SQLite looks at
//! one model after the other. So the sets of words that many models hold are kept, and of what changed since only that
//! is asked again.

use super::bits::{Bits, Packed};
use super::columns::Columns;
use super::test::Source;
use crate::codec;
use crate::statements::statements;
use sqlx::query::QueryScalar;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};
use std::collections::VecDeque;
use std::sync::Arc;

/// What all that is kept may take. Of a million models a common word takes 128 KiB, and most take a tenth of that.
const KEPT_BYTES: usize = 24 << 20;
/// Fewer models are found again in about a millisecond.
const KEPT_FROM: usize = 2_048;
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
#[derive(Debug)]
struct Text {
    expression: String,
    changed: i64,
    models: Packed,
}

/// The sets of the last texts that many models hold, the latest last.
#[derive(Debug, Default)]
pub(crate) struct Texts(VecDeque<Text>);

impl Texts {
    /// What is kept of an expression, and after which change it was right.
    pub(crate) fn get(&mut self, expression: &str) -> Option<(i64, Packed)> {
        let at = self.0.iter().position(|text| text.expression == expression)?;
        let text = self.0.remove(at)?;
        let found = (text.changed, text.models.clone());
        self.0.push_back(text);
        Some(found)
    }

    pub(crate) fn keep(&mut self, expression: &str, changed: i64, models: Packed) {
        if let Some(at) = self.0.iter().position(|text| text.expression == expression) {
            if self.0[at].changed >= changed {
                return;
            }
            self.0.remove(at);
        }
        self.0.push_back(Text { expression: expression.to_owned(), changed, models });
        let mut bytes: usize = self.0.iter().map(|text| text.models.bytes()).sum();
        while bytes > KEPT_BYTES
            && let Some(oldest) = self.0.pop_front()
        {
            bytes -= oldest.models.bytes();
        }
    }
}

/// What was read of a set, and what of it is worth keeping.
pub(crate) struct Reading {
    pub(crate) models: Arc<Bits>,
    pub(crate) kept: Option<Packed>,
}

impl Reading {
    fn of(models: Bits) -> Self {
        let kept = (models.len() >= KEPT_FROM).then(|| models.packed());
        Self { models: Arc::new(models), kept }
    }
}

/// Reads a set. `kept` is what [`Texts`] has of it; `columns` are not older than that.
pub(crate) async fn read(
    connection: &mut SqliteConnection,
    source: &Source,
    kept: Option<(i64, Packed)>,
    columns: &Columns,
) -> Result<Reading, sqlx::Error> {
    let statement = match source {
        Source::Match(expression) => {
            if let Some((changed, models)) = kept {
                let models = models.unpacked();
                let ranges = columns.renewed_after(changed);
                if ranges.is_empty() {
                    return Ok(Reading { models: Arc::new(models), kept: None });
                }
                if ranges.len() <= MOST_RANGES {
                    return Ok(Reading::of(patched(connection, expression, models, &ranges).await?));
                }
            }
            let models = listed(sqlx::query_scalar(MATCHES).bind(expression), connection).await?;
            return Ok(Reading::of(models));
        }
        Source::Named(name) => sqlx::query_scalar(NAMED).bind(name),
        Source::Followed => sqlx::query_scalar(FOLLOWED),
    };
    let models = listed(statement, connection).await?;
    Ok(Reading { models: Arc::new(models), kept: None })
}

async fn listed(
    query: QueryScalar<'_, Sqlite, String, SqliteArguments>,
    connection: &mut SqliteConnection,
) -> Result<Bits, sqlx::Error> {
    let list = query.fetch_one(connection).await?;
    let mut models = Bits::default();
    models.insert_list(&list);
    Ok(models)
}

/// A set with these parts asked for again.
async fn patched(
    connection: &mut SqliteConnection,
    expression: &str,
    mut models: Bits,
    ranges: &[std::ops::Range<usize>],
) -> Result<Bits, sqlx::Error> {
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
    Ok(models)
}
