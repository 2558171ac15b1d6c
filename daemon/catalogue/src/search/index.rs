//! Keeping the packed rows what the tables say. Triggers note which models changed, so that no writer can forget one;
//! the transaction that changed them makes their rows anew before it ends. What is too much for one transaction, such
//! as a volume that leaves or a catalogue of an earlier release, is left to a task in the background.

use super::filter::{Fact, Label, nsfw_ordinal};
use super::licence::permissions;
use super::row::{
    CHUNK_ROWS, NO_LABEL, ROW_BYTES, Row, hub_number, kind_number, state_number, stored_count, stored_size, stored_time,
};
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::evidence::rows::{given, run, statements as many};
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::ModelKind;
use paintbox_domain::hub::ModelState;
use sqlx::{FromRow, Sqlite, SqliteConnection, Transaction};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

/// More models than a page of any list has, and 50 to 100 ms of work.
const MODELS_AT_ONCE: i64 = 2_000;
/// Between the texts of one label; part of none of them.
pub(crate) const SEPARATOR: char = '\u{1f}';
/// Rows are numbered by the model's id, so a damaged id must not make them endless.
const HIGHEST_ID: i64 = 1 << 31;

statements! {
    DIRTY = "SELECT json_group_array(model_id) FROM (SELECT model_id FROM search_dirty ORDER BY model_id LIMIT ?1)";
    CLEAN = "DELETE FROM search_dirty WHERE model_id IN (SELECT value FROM json_each(?1))";
    FACTS = concat!(
        "SELECT m.model_id, m.hub, m.kind, m.state, m.creator, m.nsfw_level, m.licence, m.downloads, m.likes, \
            coalesce(m.published_ms, m.first_seen_ms) AS created_ms, \
            coalesce(m.updated_ms, m.published_ms, m.first_seen_ms) AS updated_ms, m.gone_ms IS NOT NULL AS gone, \
            (SELECT json_group_array(DISTINCT v.base_model) FROM version v \
             WHERE v.model_id = m.model_id AND v.base_model IS NOT NULL) AS base_models, \
            coalesce((SELECT v.early_access FROM version v WHERE v.model_id = m.model_id AND v.gone_ms IS NULL \
                      ORDER BY v.position LIMIT 1), 0) AS early_access, \
            (SELECT json_group_array(DISTINCT f.format || '/' || coalesce(f.precision, '')) \
             FROM version v JOIN file f USING (version_id) \
             WHERE v.model_id = m.model_id AND f.gone_ms IS NULL AND f.replaced_ms IS NULL) AS listed, \
            (SELECT json_group_array(DISTINCT weights) FROM ( \
                SELECT la.artifact_id || '/' || la.size_bytes || '/' || la.architecture || '/' \
                    || coalesce(la.precision, '') AS weights ",
        crate::detail::local_weights!(),
        // Files of libraries of which not all was read yet, and which have no artifact.
        " UNION ALL \
                SELECT 'unread ' || u.library_file_id || '/' || u.size_bytes || '/' || u.architecture || '/' \
                    || coalesce(u.precision, '') \
                FROM version uv JOIN file uf ON uf.version_id = uv.version_id \
                JOIN library_file u ON u.library_file_id = uf.library_file_id \
                WHERE uv.model_id = m.model_id AND uf.artifact_id IS NULL)) AS here FROM model m WHERE m.model_id IN (SELECT value FROM json_each(?1))"
    );
    CHUNKS = "SELECT chunk, rows FROM search_rows WHERE chunk IN (SELECT value FROM json_each(?1))";
    LAST_CHANGE = "SELECT coalesce(max(changed), 0) FROM search_rows";
    SET_CHUNKS = concat!(
        "INSERT OR REPLACE INTO search_rows (chunk, changed, rows) SELECT * FROM ",
        given!("(?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    LABELS = "
        SELECT l.label_id, l.field, l.text FROM json_each(?1) wanted
        JOIN search_label l ON l.field = wanted.value ->> 0 AND l.text = wanted.value ->> 1";
    NEW_LABELS = "
        INSERT INTO search_label (field, text) SELECT value ->> 0, value ->> 1 FROM json_each(?1)";
    IS_DIRTY = "SELECT EXISTS (SELECT 1 FROM search_dirty)";
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
        let more = self.search_rest.is_busy() || take_in(&mut tx).await?;
        tx.commit().await.map_err(could_not(attempt))?;
        if more {
            self.take_in_rest();
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
            let mut tx = self.write(ATTEMPT).await?;
            let more = take_in(&mut tx).await?;
            if !more {
                // There is one writer: who comes after this transaction does the work itself.
                self.search_rest.0.store(false, Ordering::Release);
            }
            tx.commit().await.map_err(could_not(ATTEMPT))?;
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

#[derive(FromRow)]
struct Facts {
    model_id: i64,
    hub: String,
    kind: String,
    state: String,
    creator: Option<String>,
    nsfw_level: i64,
    licence: Option<String>,
    downloads: Option<i64>,
    likes: Option<i64>,
    created_ms: i64,
    updated_ms: i64,
    gone: bool,
    base_models: String,
    early_access: bool,
    /// Format and precision of every file that the hub lists.
    listed: String,
    /// Id, bytes, architecture and precision of all weights that are on this machine.
    here: String,
}

/// Weights that are on this machine; content that two files have is counted once.
struct Weights<'a> {
    bytes: u64,
    architecture: &'a str,
    precision: &'a str,
}

impl<'a> Weights<'a> {
    /// As [`FACTS`] writes them: artifact, bytes, architecture and precision.
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(4, '/').skip(1);
        Some(Self { bytes: parts.next()?.parse().ok()?, architecture: parts.next()?, precision: parts.next()? })
    }
}

/// The texts of a row's labels, each as [`super::columns::Labels`] holds it.
type Texts = [(Label, String); 5];

/// Makes the rows of models that changed, up to [`MODELS_AT_ONCE`]; whether there are more.
async fn take_in(connection: &mut SqliteConnection) -> Result<bool, CatalogueError> {
    let failed = could_not(ATTEMPT);
    let dirty: String =
        sqlx::query_scalar(DIRTY).bind(MODELS_AT_ONCE).fetch_one(&mut *connection).await.map_err(&failed)?;
    let ids: Vec<i64> = serde_json::from_str(&dirty)
        .map_err(|_| CatalogueError::Corrupt { what: "a list of models", value: dirty.clone() })?;
    if ids.is_empty() {
        return Ok(false);
    }
    let facts: Vec<Facts> = sqlx::query_as(FACTS).bind(&dirty).fetch_all(&mut *connection).await.map_err(&failed)?;
    let rows: Vec<(i64, Row, Texts)> = facts.iter().map(packed).collect::<Result<_, _>>()?;
    let wanted = rows.iter().flat_map(|(_, _, texts)| texts).filter(|(_, text)| !text.is_empty());
    let labels = intern(connection, wanted.map(|(of, text)| (*of, text.as_str())).collect()).await?;

    // A model that is no more has a row of nothing.
    let mut changed: BTreeMap<i64, Row> = ids.iter().map(|id| (*id, Row::default())).collect();
    for (id, mut row, texts) in rows {
        let [base_models, creator, architectures, formats, precisions] =
            texts.map(|(of, text)| labels.get(&(of, text)).copied().unwrap_or(NO_LABEL));
        row.base_models = base_models;
        row.creator = creator;
        row.architectures = architectures;
        row.formats = formats;
        row.precisions = precisions;
        changed.insert(id, row);
    }
    write(connection, &changed).await.map_err(&failed)?;
    sqlx::query(CLEAN).bind(&dirty).execute(&mut *connection).await.map_err(&failed)?;
    Ok(codec::position(ids.len()) == MODELS_AT_ONCE)
}

/// A row of everything but its labels, and the texts of those.
fn packed(facts: &Facts) -> Result<(i64, Row, Texts), CatalogueError> {
    let what = "what is searched for";
    let listed = codec::texts(what, &facts.listed)?;
    let here = codec::texts(what, &facts.here)?;
    let here: Vec<Weights<'_>> = here.iter().filter_map(|one| Weights::read(one)).collect();
    let permissions = facts.licence.as_deref().map(permissions).unwrap_or_default();
    let mut row = Row::present();
    row.kind = kind_number(ModelKind::from_name(&facts.kind).unwrap_or(ModelKind::Unknown));
    row.hub = hub_number(&facts.hub);
    row.state = ModelState::from_name(&facts.state).map_or(0, state_number);
    row.nsfw = nsfw_ordinal(codec::small(facts.nsfw_level));
    row.downloads = stored_count(facts.downloads);
    row.likes = stored_count(facts.likes);
    row.created = stored_time(facts.created_ms);
    row.updated = stored_time(facts.updated_ms);
    row.size_kib = stored_size(here.iter().map(|weights| weights.bytes).sum());
    for (fact, known) in [
        (Fact::Downloaded, Some(facts.hub == codec::LOCAL || !here.is_empty())),
        (Fact::Gone, Some(facts.gone)),
        (Fact::EarlyAccess, Some(facts.early_access)),
        (Fact::Commercial, permissions.commercial),
        (Fact::Derivatives, permissions.derivatives),
        (Fact::Credit, permissions.credit),
        (Fact::Sell, permissions.sell),
    ] {
        row.state_fact(fact, known);
    }
    let (formats, listed_precisions): (Vec<&str>, Vec<&str>) =
        listed.iter().filter_map(|both| both.split_once('/')).unzip();
    let base_models = codec::texts(what, &facts.base_models)?;
    let precisions: Vec<String> = listed_precisions
        .into_iter()
        .chain(here.iter().map(|weights| weights.precision))
        .map(str::to_lowercase)
        .collect();
    let texts = [
        (Label::BaseModel, joined(base_models.iter().map(String::as_str))),
        (Label::Creator, joined(facts.creator.as_deref())),
        (Label::Architecture, joined(here.iter().map(|weights| weights.architecture))),
        (Label::Format, joined(formats)),
        (Label::Precision, joined(precisions.iter().map(String::as_str))),
    ];
    Ok((facts.model_id, row, texts))
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
    let rows: Vec<(i64, String, String)> =
        sqlx::query_as(LABELS).bind(label_list(wanted)).fetch_all(connection).await.map_err(could_not(ATTEMPT))?;
    for (id, field, text) in rows {
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
async fn write(connection: &mut SqliteConnection, rows: &BTreeMap<i64, Row>) -> Result<(), sqlx::Error> {
    let places = rows.iter().filter(|(id, _)| (0..HIGHEST_ID).contains(*id)).filter_map(|(id, row)| {
        let id = usize::try_from(*id).ok()?;
        Some((codec::position(id / CHUNK_ROWS), id % CHUNK_ROWS, row))
    });
    let mut chunks: BTreeMap<i64, Vec<u8>> =
        places.clone().map(|(chunk, _, _)| (chunk, vec![0; CHUNK_ROWS * ROW_BYTES])).collect();
    let known: Vec<(i64, Vec<u8>)> =
        sqlx::query_as(CHUNKS).bind(codec::id_list(chunks.keys().copied())).fetch_all(&mut *connection).await?;
    chunks.extend(known.into_iter().filter(|(_, rows)| rows.len() == CHUNK_ROWS * ROW_BYTES));
    for (chunk, slot, row) in places {
        let bytes = chunks.get_mut(&chunk).and_then(|rows| rows.as_chunks_mut::<ROW_BYTES>().0.get_mut(slot));
        if let Some(bytes) = bytes {
            row.write_to(bytes);
        }
    }
    let last: i64 = sqlx::query_scalar(LAST_CHANGE).fetch_one(&mut *connection).await?;
    let chunks: Vec<(i64, Vec<u8>)> = chunks.into_iter().collect();
    let set = many(SET_CHUNKS, &chunks, |statement, (chunk, rows)| {
        statement.bind(*chunk).bind(last.saturating_add(1)).bytes(rows.as_slice());
    });
    run(connection, set).await
}
