//! The packed rows of all models in memory, as they were committed last, for as long as somebody searches.
//!
//! A search takes over what changed since the one before, in its own read transaction, and then works on a state that
//! nobody changes: what is shared with a search that still runs is copied before it is changed.

use super::filter::Label;
use super::index::{LABEL_FIELDS, SEPARATOR, field_name};
use super::row::{CHUNK_ROWS, NO_LABEL, ROW_BYTES, Row};
use crate::error::{CatalogueError, could_not};
use crate::statements::statements;
use futures::TryStreamExt as _;
use sqlx::{FromRow, SqliteConnection};
use std::sync::Arc;

/// Chunks that are copied as one: 240 KiB.
const SEGMENT_CHUNKS: usize = 64;
const SEGMENT_ROWS: usize = SEGMENT_CHUNKS * CHUNK_ROWS;
/// Labels that come in one answer.
const LABELS_AT_ONCE: i64 = 8_192;

statements! {
    STATE = "
        SELECT (SELECT coalesce(max(changed), 0) FROM search_rows) AS changed,
               (SELECT coalesce(max(label_id), 0) FROM search_label) AS label,
               EXISTS (SELECT 1 FROM search_dirty) AS partial";
    CHANGED_CHUNKS = "SELECT chunk, changed, rows FROM search_rows WHERE changed > ?1";
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

#[derive(Debug, Clone)]
struct Segment {
    rows: Vec<Row>,
    /// When each chunk changed.
    changed: [i64; SEGMENT_CHUNKS],
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
    /// The rows by their models' ids.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, &Row)> {
        self.segments.iter().zip(0..).flat_map(|(segment, number)| {
            let first = number * SEGMENT_ROWS;
            segment.rows.iter().enumerate().map(move |(at, row)| (first + at, row))
        })
    }

    pub(crate) fn row(&self, id: usize) -> Option<&Row> {
        self.segments.get(id / SEGMENT_ROWS)?.rows.get(id % SEGMENT_ROWS)
    }

    /// The ids of models that may have changed after `since`, in ranges.
    pub(crate) fn changed_after(&self, since: i64) -> Vec<std::ops::Range<usize>> {
        let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
        let chunks = self.segments.iter().flat_map(|segment| &segment.changed).enumerate();
        for (chunk, _) in chunks.filter(|(_, changed)| **changed > since) {
            let range = chunk * CHUNK_ROWS..(chunk + 1) * CHUNK_ROWS;
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        ranges
    }

    /// Takes over what was committed since, as the transaction of `connection` sees it.
    pub(crate) async fn refresh(
        this: &mut Arc<Self>,
        connection: &mut SqliteConnection,
    ) -> Result<TableState, CatalogueError> {
        let failed = could_not("read what is searched for");
        let state: TableState = sqlx::query_as(STATE).fetch_one(&mut *connection).await.map_err(&failed)?;
        if state.label > this.label {
            let columns = Arc::make_mut(this);
            columns.add_labels(connection, state.label).await?;
        }
        if state.changed > this.changed {
            let columns = Arc::make_mut(this);
            let mut chunks = sqlx::query_as(CHANGED_CHUNKS).bind(columns.changed).fetch(&mut *connection);
            while let Some((chunk, changed, rows)) = chunks.try_next().await.map_err(&failed)? {
                let rows: Vec<u8> = rows;
                columns.set_chunk(chunk, changed, &rows)?;
            }
            columns.changed = state.changed;
        }
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

    fn set_chunk(&mut self, chunk: i64, changed: i64, bytes: &[u8]) -> Result<(), CatalogueError> {
        let place = usize::try_from(chunk).ok().filter(|_| bytes.len() == CHUNK_ROWS * ROW_BYTES);
        let Some(place) = place else {
            return Err(CatalogueError::Corrupt { what: "rows that are searched", value: format!("chunk {chunk}") });
        };
        let (segment, place) = (place / SEGMENT_CHUNKS, place % SEGMENT_CHUNKS);
        while self.segments.len() <= segment {
            let empty = Segment { rows: vec![Row::default(); SEGMENT_ROWS], changed: [0; SEGMENT_CHUNKS] };
            self.segments.push(Arc::new(empty));
        }
        let segment = Arc::make_mut(&mut self.segments[segment]);
        segment.changed[place] = changed;
        let rows = &mut segment.rows[place * CHUNK_ROWS..(place + 1) * CHUNK_ROWS];
        for (row, bytes) in rows.iter_mut().zip(bytes.as_chunks::<ROW_BYTES>().0) {
            *row = Row::read_from(bytes);
        }
        Ok(())
    }
}

/// The texts behind numbers, one after the other in one piece of memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Labels {
    texts: String,
    /// Of each number: what it is a label of, and where its text ends.
    places: Vec<(Option<Label>, usize)>,
}

impl Labels {
    /// Numbers come in order; those that are passed over have no text.
    fn set(&mut self, id: usize, of: Option<Label>, text: &str) {
        while self.places.len() < id {
            self.places.push((None, self.texts.len()));
        }
        self.texts.push_str(text);
        self.places.push((of, self.texts.len()));
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The texts of a number: several where a model has several.
    pub(crate) fn texts(&self, id: usize) -> impl Iterator<Item = &str> {
        let end = self.places.get(id).map_or(0, |(_, end)| *end);
        let begin = id.checked_sub(1).and_then(|before| self.places.get(before)).map_or(0, |(_, end)| *end);
        self.texts[begin.min(end)..end].split(SEPARATOR).filter(|text| !text.is_empty())
    }

    /// Every number of one kind of label.
    pub(crate) fn of(&self, wanted: Label) -> impl Iterator<Item = usize> {
        self.places.iter().enumerate().filter(move |(_, (of, _))| *of == Some(wanted)).map(|(id, _)| id)
    }

    /// Of every number: whether one of its texts is `wanted`, or where `open`, begins with it; compared without case.
    pub(crate) fn matching(&self, of: Label, wanted: &str, open: bool) -> Vec<bool> {
        let wanted = wanted.to_lowercase();
        let mut matching = vec![false; self.len().max(1)];
        for id in self.of(of) {
            matching[id] = self.texts(id).any(|text| same(text, &wanted, open));
        }
        matching[NO_LABEL as usize] = false;
        matching
    }
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
