//! Keeping the packed rows what the tables say. Triggers note which models changed, so that no writer can forget one;
//! the transaction that changed them makes their rows anew before it ends. What is too much for one transaction, such
//! as a volume that leaves or a catalogue of an earlier release, is left to a task in the background.

use super::card;
use super::facts::{self, Facts, SEPARATOR, Weights};
use super::filter::{Fact, Label, nsfw_ordinal};
use super::licence::permissions;
use super::row::{
    CHUNK_ROWS, NO_LABEL, ROW_BYTES, Row, hub_number, kind_number, state_number, stored_count, stored_size, stored_time,
};
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::evidence::rows::{given, run, statements as many};
use crate::journal::Happening;
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::ModelKind;
use paintbox_domain::hub::ModelState;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// More models than a page of any list has, and 50 to 100 ms of work.
const MODELS_AT_ONCE: i64 = 2_000;
/// Rows are numbered by the model's id, so a damaged id must not make them endless.
const HIGHEST_ID: i64 = 1 << 31;

statements! {
    DIRTY = "SELECT json_group_array(model_id) FROM (SELECT model_id FROM search_dirty ORDER BY model_id LIMIT ?1)";
    CLEAN = "DELETE FROM search_dirty WHERE model_id IN (SELECT value FROM json_each(?1))";
    COUNTED = "
        SELECT json_group_array(json_array(model_id, downloads, likes))
        FROM (SELECT model_id FROM search_counted ORDER BY model_id LIMIT ?1) JOIN model USING (model_id)";
    ALL_COUNTED = "DELETE FROM search_counted WHERE model_id IN (SELECT model_id FROM search_counted ORDER BY model_id LIMIT ?1)";
    CHUNKS = "SELECT chunk, renewed, rows FROM search_rows WHERE chunk IN (SELECT value FROM json_each(?1))";
    LAST_CHANGE = "SELECT coalesce(max(changed), 0) FROM search_rows";
    SET_CHUNKS = concat!(
        "INSERT OR REPLACE INTO search_rows (chunk, changed, renewed, rows) SELECT * FROM ",
        given!("(?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    LABELS = "
        SELECT json_group_array(json_array(l.label_id, l.field, l.text)) FROM json_each(?1) wanted
        JOIN search_label l ON l.field = wanted.value ->> 0 AND l.text = wanted.value ->> 1";
    NEW_LABELS = "
        INSERT INTO search_label (field, text) SELECT value ->> 0, value ->> 1 FROM json_each(?1)";
    IS_DIRTY = "SELECT EXISTS (SELECT 1 FROM search_dirty) OR EXISTS (SELECT 1 FROM search_counted)";
}

/// Whether the task in the background is at work.
#[derive(Debug, Default)]
pub(crate) struct Rest(AtomicBool);

impl Rest {
    fn is_busy(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Catalogue {
    /// Ends a write transaction that changed something which is searched for. While much is made ready in the
    /// background, what was changed waits for its turn there: nobody's click does the work of an upgrade.
    pub(crate) async fn commit(
        &self,
        mut tx: Transaction<'static, Sqlite>,
        attempt: &'static str,
    ) -> Result<(), CatalogueError> {
        let taken = match self.search_rest.is_busy() {
            true => Taken::Some { more: true },
            false => take_in(&mut tx).await?,
        };
        tx.commit().await.map_err(could_not(attempt))?;
        self.wrote();
        if let Taken::Some { more } = taken {
            self.journal.note(Happening::Models);
            if more {
                self.take_in_rest();
            }
        }
        Ok(())
    }

    /// Makes the rows of everything that changed, a transaction after the other, unless that is going on already.
    pub(crate) fn take_in_rest(&self) {
        if self.search_rest.0.swap(true, Ordering::AcqRel) {
            return;
        }
        let catalogue = self.clone();
        drop(tokio::spawn(async move {
            if let Err(error) = catalogue.take_in_all().await {
                // What is left waits for the next search or the next start.
                tracing::debug!(%error, "not everything that changed could be made ready for searches");
                catalogue.search_rest.0.store(false, Ordering::Release);
            }
        }));
    }

    /// Until nothing is left to do.
    async fn take_in_all(&self) -> Result<(), CatalogueError> {
        loop {
            let mut tx = self.write_evidence(ATTEMPT).await?;
            let taken = take_in(&mut tx).await?;
            let more = taken == Taken::Some { more: true };
            if !more {
                // There is one writer: who comes after this transaction does the work itself.
                self.search_rest.0.store(false, Ordering::Release);
            }
            tx.commit().await.map_err(could_not(ATTEMPT))?;
            self.wrote();
            if taken != Taken::Nothing {
                self.journal.note(Happening::Models);
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// At the start: what an earlier release, or a daemon that ended, left to do is done in the background.
    pub(crate) async fn take_in_what_is_left(&self) -> Result<(), CatalogueError> {
        let left: bool = sqlx::query_scalar(IS_DIRTY).fetch_one(&self.readers).await.map_err(could_not(ATTEMPT))?;
        if left {
            self.take_in_rest();
        }
        Ok(())
    }
}

const ATTEMPT: &str = "make ready what is searched for";
const WHAT: &str = "what is searched for";

/// The texts of a row's labels, each as [`super::columns::Labels`] holds it.
type Texts = [(Label, String); 5];

/// How a model's row changes.
#[derive(Debug, Clone, Copy)]
enum Change {
    To(Row),
    Counters { downloads: Option<i64>, likes: Option<i64> },
}

/// What there was to make ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Nothing,
    Some { more: bool },
}

/// Makes the rows of models that changed, up to [`MODELS_AT_ONCE`].
async fn take_in(connection: &mut SqliteConnection) -> Result<Taken, CatalogueError> {
    let failed = could_not(ATTEMPT);
    let counted: String =
        sqlx::query_scalar(COUNTED).bind(MODELS_AT_ONCE).fetch_one(&mut *connection).await.map_err(&failed)?;
    let counted: Vec<(i64, Option<i64>, Option<i64>)> = codec::list(WHAT, &counted)?;
    let ids: String =
        sqlx::query_scalar(DIRTY).bind(MODELS_AT_ONCE).fetch_one(&mut *connection).await.map_err(&failed)?;
    let dirty: Vec<i64> = codec::list(WHAT, &ids)?;
    if dirty.is_empty() && counted.is_empty() {
        return Ok(Taken::Nothing);
    }

    let number_of_dirty = codec::position(dirty.len());
    let mut changes: BTreeMap<i64, Change> = BTreeMap::new();
    changes.extend(counted.into_iter().map(|(id, downloads, likes)| (id, Change::Counters { downloads, likes })));
    if !dirty.is_empty() {
        let facts = facts::of(connection, &ids, ATTEMPT).await?;
        let rows: Vec<(i64, Row, Texts)> = facts.iter().map(packed).collect();
        let wanted = rows.iter().flat_map(|(_, _, texts)| texts).filter(|(_, text)| !text.is_empty());
        let labels = intern(connection, wanted.map(|(of, text)| (*of, text.as_str())).collect()).await?;
        let known: HashSet<i64> = facts.iter().map(|facts| facts.model_id).collect();
        let no_more = dirty.iter().copied().filter(|id| !known.contains(id));
        card::write(connection, &facts, no_more).await.map_err(&failed)?;
        // A model that is no more has a row of nothing.
        changes.extend(dirty.into_iter().map(|id| (id, Change::To(Row::default()))));
        for (id, mut row, texts) in rows {
            let [base_models, creator, architectures, formats, precisions] =
                texts.map(|(of, text)| labels.get(&(of, text)).copied().unwrap_or(NO_LABEL));
            row.base_models = base_models;
            row.creator = creator;
            row.architectures = architectures;
            row.formats = formats;
            row.precisions = precisions;
            changes.insert(id, Change::To(row));
        }
        sqlx::query(CLEAN).bind(&ids).execute(&mut *connection).await.map_err(&failed)?;
    }
    write(connection, &changes).await.map_err(&failed)?;
    let settled = sqlx::query(ALL_COUNTED).bind(MODELS_AT_ONCE).execute(&mut *connection).await.map_err(&failed)?;
    let more = number_of_dirty == MODELS_AT_ONCE || settled.rows_affected() == MODELS_AT_ONCE.cast_unsigned();
    Ok(Taken::Some { more })
}

/// A row of everything but its labels, and the texts of those.
fn packed(facts: &Facts) -> (i64, Row, Texts) {
    // Content that two files have is counted once.
    let here: BTreeMap<&str, Weights<'_>> =
        facts.here().into_iter().map(|weights| (weights.content, weights)).collect();
    let here: Vec<Weights<'_>> = here.into_values().collect();
    let permissions = facts.licence.as_deref().map(permissions).unwrap_or_default();
    let mut row = Row::present();
    row.kind = kind_number(ModelKind::from_name(&facts.kind).unwrap_or(ModelKind::Unknown));
    row.hub = hub_number(&facts.hub);
    row.state = ModelState::from_name(&facts.state).map_or(0, state_number);
    row.nsfw = nsfw_ordinal(codec::small(facts.nsfw_level));
    row.downloads = stored_count(facts.downloads);
    row.likes = stored_count(facts.likes);
    row.created = stored_time(facts.published_ms.unwrap_or(facts.first_seen_ms));
    row.updated = stored_time(facts.updated_ms.or(facts.published_ms).unwrap_or(facts.first_seen_ms));
    row.size_kib = stored_size(here.iter().map(|weights| weights.bytes).sum());
    for (fact, known) in [
        (Fact::Downloaded, Some(facts.is_downloaded())),
        (Fact::Gone, Some(facts.gone_ms.is_some())),
        (Fact::EarlyAccess, Some(facts.early_access())),
        (Fact::Commercial, permissions.commercial),
        (Fact::Derivatives, permissions.derivatives),
        (Fact::Credit, permissions.credit),
        (Fact::Sell, permissions.sell),
    ] {
        row.state_fact(fact, known);
    }
    let (formats, listed_precisions): (Vec<&str>, Vec<&str>) = facts.listed().unzip();
    let precisions: Vec<String> = listed_precisions
        .into_iter()
        .chain(here.iter().map(|weights| weights.precision))
        .map(str::to_lowercase)
        .collect();
    let texts = [
        (Label::BaseModel, joined(facts.base_models())),
        (Label::Creator, joined(facts.creator.as_deref())),
        (Label::Architecture, joined(here.iter().map(|weights| weights.architecture))),
        (Label::Format, joined(formats)),
        (Label::Precision, joined(precisions.iter().map(String::as_str))),
    ];
    (facts.model_id, row, texts)
}

/// Texts as one: each once, in order.
fn joined<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut texts: Vec<String> =
        texts.into_iter().map(|text| text.replace(SEPARATOR, " ")).filter(|text| !text.is_empty()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.join(&SEPARATOR.to_string())
}

/// The name of a label's field in the table.
pub(crate) fn field_name(of: Label) -> &'static str {
    match of {
        Label::BaseModel => "base_model",
        Label::Creator => "creator",
        Label::Architecture => "architecture",
        Label::Format => "format",
        Label::Precision => "precision",
    }
}

pub(crate) const LABEL_FIELDS: [Label; 5] =
    [Label::BaseModel, Label::Creator, Label::Architecture, Label::Format, Label::Precision];

/// The numbers of labels, of which those that are new get one.
async fn intern(
    connection: &mut SqliteConnection,
    wanted: HashSet<(Label, &str)>,
) -> Result<HashMap<(Label, String), u32>, CatalogueError> {
    let mut found = HashMap::with_capacity(wanted.len());
    find_labels(connection, &wanted, &mut found).await?;
    let missing: HashSet<(Label, &str)> =
        wanted.into_iter().filter(|(of, text)| !found.contains_key(&(*of, (*text).to_owned()))).collect();
    if !missing.is_empty() {
        let insert = sqlx::query(NEW_LABELS).bind(label_list(&missing));
        insert.execute(&mut *connection).await.map_err(could_not(ATTEMPT))?;
        find_labels(connection, &missing, &mut found).await?;
    }
    Ok(found)
}

async fn find_labels(
    connection: &mut SqliteConnection,
    wanted: &HashSet<(Label, &str)>,
    found: &mut HashMap<(Label, String), u32>,
) -> Result<(), CatalogueError> {
    let rows: String =
        sqlx::query_scalar(LABELS).bind(label_list(wanted)).fetch_one(connection).await.map_err(could_not(ATTEMPT))?;
    for (id, field, text) in codec::list::<(i64, String, String)>(WHAT, &rows)? {
        let of = LABEL_FIELDS.into_iter().find(|of| field_name(*of) == field);
        let id = u32::try_from(id).ok();
        let (Some(of), Some(id)) = (of, id) else {
            return Err(CatalogueError::Corrupt { what: "a label", value: field });
        };
        found.insert((of, text), id);
    }
    Ok(())
}

fn label_list(labels: &HashSet<(Label, &str)>) -> String {
    let labels = labels.iter().map(|(of, text)| serde_json::Value::from(vec![field_name(*of), *text]));
    serde_json::Value::from(labels.collect::<Vec<_>>()).to_string()
}

/// Puts rows into their chunks.
async fn write(connection: &mut SqliteConnection, changes: &BTreeMap<i64, Change>) -> Result<(), sqlx::Error> {
    let places = changes.iter().filter(|(id, _)| (0..HIGHEST_ID).contains(*id)).filter_map(|(id, change)| {
        let id = usize::try_from(*id).ok()?;
        Some((codec::position(id / CHUNK_ROWS), id % CHUNK_ROWS, *change))
    });
    let mut chunks: BTreeMap<i64, (i64, Vec<u8>)> =
        places.clone().map(|(chunk, _, _)| (chunk, (0, vec![0; CHUNK_ROWS * ROW_BYTES]))).collect();
    let known: Vec<(i64, i64, Vec<u8>)> =
        sqlx::query_as(CHUNKS).bind(codec::id_list(chunks.keys().copied())).fetch_all(&mut *connection).await?;
    let sound = known.into_iter().filter(|(_, _, rows)| rows.len() == CHUNK_ROWS * ROW_BYTES);
    chunks.extend(sound.map(|(chunk, renewed, rows)| (chunk, (renewed, rows))));
    let last: i64 = sqlx::query_scalar(LAST_CHANGE).fetch_one(&mut *connection).await?;
    let now = last.saturating_add(1);
    for (chunk, slot, change) in places {
        let Some((renewed, rows)) = chunks.get_mut(&chunk) else { continue };
        let Some(bytes) = rows.as_chunks_mut::<ROW_BYTES>().0.get_mut(slot) else { continue };
        let row = match change {
            Change::To(row) => {
                *renewed = now;
                row
            }
            Change::Counters { downloads, likes } => {
                let mut row = Row::read_from(bytes);
                row.downloads = stored_count(downloads);
                row.likes = stored_count(likes);
                row
            }
        };
        row.write_to(bytes);
    }
    let chunks: Vec<(i64, (i64, Vec<u8>))> = chunks.into_iter().collect();
    let set = many(SET_CHUNKS, &chunks, |statement, (chunk, (renewed, rows))| {
        statement.bind(*chunk).bind(now).bind(*renewed).bytes(rows.as_slice());
    });
    run(connection, set).await
}
