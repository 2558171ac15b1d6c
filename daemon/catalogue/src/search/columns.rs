//! The packed rows of all models in memory, as they were committed last, for as long as somebody searches.
//!
//! A search takes over what changed since the one before, in one transaction, and then works on a state that nobody
//! changes: what is shared with a search that still runs is copied before it is changed. What a search reads after that may
//! be newer; what it does not find there any more is left out, and no transaction is held for it, whose beginning and
//! end would take as long as the rest of a small search.

use super::facts::SEPARATOR;
use super::filter::{Label, Number};
use super::index::{LABEL_FIELDS, field_name};
use super::row::{CHUNK_ROWS, NO_LABEL, ROW_BYTES, counted};
use super::segment::{SEGMENT_CHUNKS, SEGMENT_ROWS, Segment};
use crate::error::{CatalogueError, could_not};
use crate::statements::statements;
use futures::TryStreamExt as _;
use sqlx::{Connection as _, FromRow, SqliteConnection};
use std::sync::Arc;

/// Labels that come in one answer.
const LABELS_AT_ONCE: i64 = 8_192;

statements! {
    STATE = "
        SELECT (SELECT coalesce(max(changed), 0) FROM search_rows) AS changed,
               (SELECT coalesce(max(label_id), 0) FROM search_label) AS label,
               EXISTS (SELECT 1 FROM search_dirty) AS partial";
    CHANGED_CHUNKS = "SELECT chunk, renewed, rows FROM search_rows WHERE changed > ?1";
    NEXT_LABELS = "
        SELECT coalesce(max(label_id), ?1) AS last, json_group_array(json_array(label_id, field, text)) AS labels
        FROM (SELECT label_id, field, text FROM search_label WHERE label_id > ?1 ORDER BY label_id LIMIT ?2)";
}

/// What the tables hold at the moment.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct TableState {
    pub(crate) changed: i64,
    label: i64,
    /// Some models are still to be made ready.
    pub(crate) partial: bool,
}

/// All rows, and the texts of their labels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Columns {
    segments: Vec<Arc<Segment>>,
    pub(crate) labels: Arc<Labels>,
    /// The last change that is in them.
    pub(crate) changed: i64,
    label: i64,
}

impl Columns {
    /// The rows, by their models' ids.
    pub(crate) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// How many rows there may be.
    pub(crate) fn rows(&self) -> usize {
        self.segments.len() * SEGMENT_ROWS
    }

    /// How often a model was downloaded, if its row can tell.
    pub(crate) fn downloads(&self, id: usize) -> Option<Option<i64>> {
        let segment = self.segments.get(id / SEGMENT_ROWS)?;
        counted(segment.numbers(Number::Downloads)?[id % SEGMENT_ROWS])
    }

    /// The ids of models of which more than counters may have changed after `since`, in ranges.
    pub(crate) fn renewed_after(&self, since: i64) -> Vec<std::ops::Range<usize>> {
        let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
        let chunks = self.segments.iter().flat_map(|segment| &segment.renewed).enumerate();
        for (chunk, _) in chunks.filter(|(_, renewed)| **renewed > since) {
            let range = chunk * CHUNK_ROWS..(chunk + 1) * CHUNK_ROWS;
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        ranges
    }

    /// Takes over what was committed since.
    pub(crate) async fn refresh(
        this: &mut Arc<Self>,
        connection: &mut SqliteConnection,
    ) -> Result<TableState, CatalogueError> {
        let failed = could_not("read what is searched for");
        let state: TableState = sqlx::query_as(STATE).fetch_one(&mut *connection).await.map_err(&failed)?;
        if state.label <= this.label && state.changed <= this.changed {
            return Ok(state);
        }
        let mut tx = connection.begin().await.map_err(&failed)?;
        let state: TableState = sqlx::query_as(STATE).fetch_one(&mut *tx).await.map_err(&failed)?;
        if state.label > this.label {
            let columns = Arc::make_mut(this);
            columns.add_labels(&mut tx, state.label).await?;
        }
        if state.changed > this.changed {
            let columns = Arc::make_mut(this);
            let mut chunks = sqlx::query_as(CHANGED_CHUNKS).bind(columns.changed).fetch(&mut *tx);
            while let Some((chunk, renewed, rows)) = chunks.try_next().await.map_err(&failed)? {
                let rows: Vec<u8> = rows;
                columns.set_chunk(chunk, renewed, &rows)?;
            }
            columns.changed = state.changed;
        }
        tx.commit().await.map_err(&failed)?;
        Ok(state)
    }

    async fn add_labels(&mut self, connection: &mut SqliteConnection, last: i64) -> Result<(), CatalogueError> {
        let labels = Arc::make_mut(&mut self.labels);
        while self.label < last {
            let (read, json): (i64, String) = sqlx::query_as(NEXT_LABELS)
                .bind(self.label)
                .bind(LABELS_AT_ONCE)
                .fetch_one(&mut *connection)
                .await
                .map_err(could_not("read what is searched for"))?;
            let corrupt = |_| CatalogueError::Corrupt { what: "a label", value: format!("{} to {read}", self.label) };
            let rows: Vec<(usize, String, String)> = serde_json::from_str(&json).map_err(corrupt)?;
            for (id, field, text) in rows {
                labels.set(id, LABEL_FIELDS.into_iter().find(|of| field_name(*of) == field), &text);
            }
            self.label = read.max(self.label + 1);
        }
        Ok(())
    }

    fn set_chunk(&mut self, chunk: i64, renewed: i64, bytes: &[u8]) -> Result<(), CatalogueError> {
        let place = usize::try_from(chunk).ok().filter(|_| bytes.len() == CHUNK_ROWS * ROW_BYTES);
        let Some(place) = place else {
            return Err(CatalogueError::Corrupt { what: "rows that are searched", value: format!("chunk {chunk}") });
        };
        let (segment, place) = (place / SEGMENT_CHUNKS, place % SEGMENT_CHUNKS);
        while self.segments.len() <= segment {
            self.segments.push(Arc::new(Segment::new()));
        }
        Arc::make_mut(&mut self.segments[segment]).set_chunk(place, renewed, bytes);
        Ok(())
    }
}

/// The texts behind numbers, one after the other in one piece of memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels {
    texts: String,
    /// Of each number: where its text ends.
    ends: Vec<usize>,
    /// The numbers of each kind of label, in the order of [`LABEL_FIELDS`].
    of: [Vec<u32>; LABEL_FIELDS.len()],
}

impl Labels {
    /// Numbers come in order; those that are passed over have no text.
    fn set(&mut self, id: usize, of: Option<Label>, text: &str) {
        self.ends.resize(id.max(self.ends.len()), self.texts.len());
        self.texts.push_str(text);
        self.ends.push(self.texts.len());
        if let (Some(of), Ok(id)) = (of, u32::try_from(id)) {
            self.of[of as usize].push(id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The texts of a number: several where a model has several.
    pub(crate) fn texts(&self, id: usize) -> impl Iterator<Item = &str> {
        let end = self.ends.get(id).copied().unwrap_or_default();
        let begin = id.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default();
        self.texts[begin.min(end)..end].split(SEPARATOR).filter(|text| !text.is_empty())
    }

    /// Every number of one kind of label.
    pub(crate) fn of(&self, wanted: Label) -> impl Iterator<Item = usize> {
        self.of[wanted as usize].iter().map(|id| *id as usize)
    }

    /// The numbers of which a text is `wanted`, or where `open`, begins with it; compared without case.
    pub(crate) fn matching(&self, of: Label, wanted: &str, open: bool) -> Matching {
        let wanted = wanted.to_lowercase();
        let mut each = vec![false; self.len().max(1)];
        for id in self.of(of).filter(|id| *id != NO_LABEL as usize) {
            each[id] = self.texts(id).any(|text| same(text, &wanted, open));
        }
        let mut few = each.iter().zip(0..).filter(|(matches, _)| **matches).map(|(_, number)| number);
        let first = [(); 4].map(|()| few.next());
        // No row has the highest number; NO_LABEL would be that of rows without one.
        let few = few.next().is_none().then(|| first.map(|number| number.unwrap_or(u32::MAX)));
        Matching { each, few }
    }
}

/// Numbers of labels.
#[derive(Debug)]
pub(crate) struct Matching {
    /// Of every number: whether it is one of them.
    pub(crate) each: Vec<bool>,
    /// All of them where there are no more than these, filled up with a number that no row has.
    pub(crate) few: Option<[u32; 4]>,
}

/// `wanted` is in lower case.
fn same(text: &str, wanted: &str, open: bool) -> bool {
    if text.is_ascii() && wanted.is_ascii() {
        let part = if open { text.get(..wanted.len()) } else { Some(text) };
        return part.is_some_and(|part| part.eq_ignore_ascii_case(wanted));
    }
    let text = text.to_lowercase();
    if open { text.starts_with(wanted) } else { text == wanted }
}
