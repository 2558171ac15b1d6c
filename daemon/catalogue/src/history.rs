//! What a hub said of a model, state by state: every state's JSON once, and when which of them held.
//!
//! A state is what a hub says apart from its counters. The same state may come back; its text is kept once and the
//! change is dated again. A hub's "there is no such model" is a change without a state, so that nothing that was known
//! is ever overwritten by an absence.

use crate::error::{CatalogueError, could_not};
use crate::evidence::rows::{Statement, given, run, statements};
use crate::ids::ModelId;
use crate::open::Catalogue;
use crate::statements::statements;
use crate::{codec, snapshot};
use paintbox_domain::{Sha256, Timestamp};
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

/// The level at which zstd's ratio on this JSON is within a tenth of its best, at ten times the speed.
const COMPRESSION_LEVEL: i32 = 1;
/// Shorter texts are kept as they are.
const SHORTEST_COMPRESSED_BYTES: usize = 200;
/// No hub page comes near it; a damaged length must not ask for all memory.
const LARGEST_BODY_BYTES: u64 = 256 << 20;

/// A change of what a hub says of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelChange {
    pub at: Timestamp,
    /// The hub's JSON from then on, word for word; none when the hub said that there is no such model.
    pub raw: Option<String>,
}

statements! {
    LATEST_STATES = "
        SELECT c.model_id, s.model_state_id, s.digest, s.encoding, s.body
        FROM model_change c JOIN model_state s USING (model_state_id)
        WHERE c.model_change_id IN
            (SELECT max(model_change_id) FROM model_change
             WHERE model_id IN (SELECT value FROM json_each(?1)) GROUP BY model_id)";
    KEPT_STATES = "
        SELECT model_id, digest, model_state_id FROM model_state WHERE model_id IN (SELECT value FROM json_each(?1))";
    RENEW_DIGEST = "UPDATE OR IGNORE model_state SET digest = ?2 WHERE model_state_id = ?1";
    INSERT_STATES = concat!(
        "INSERT INTO model_state (model_state_id, model_id, digest, encoding, body) SELECT * FROM ",
        given!("(?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    INSERT_CHANGES = concat!(
        "INSERT INTO model_change (model_id, at_ms, model_state_id) SELECT * FROM ",
        given!("(?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    CHANGES = "
        SELECT c.at_ms, s.encoding, s.body FROM model_change c LEFT JOIN model_state s USING (model_state_id)
        WHERE c.model_id = ?1 ORDER BY c.model_change_id";
    CHANGE_BEFORE = "
        SELECT c.at_ms, s.encoding, s.body FROM model_change c LEFT JOIN model_state s USING (model_state_id)
        WHERE c.model_id = ?1 AND c.at_ms <= ?2 ORDER BY c.model_change_id DESC LIMIT 1";
    STATE_BEFORE = "
        SELECT c.at_ms, s.encoding, s.body FROM model_change c JOIN model_state s USING (model_state_id)
        WHERE c.model_id = ?1 AND c.at_ms <= ?2 ORDER BY c.model_change_id DESC LIMIT 1";
}

#[derive(FromRow)]
struct ChangeRow {
    at_ms: i64,
    encoding: Option<String>,
    body: Option<Vec<u8>>,
}

impl ChangeRow {
    fn change(self) -> Result<ModelChange, CatalogueError> {
        let raw = match (self.encoding.as_deref(), self.body) {
            (Some(encoding), Some(body)) => Some(text(encoding, body)?),
            _ => None,
        };
        Ok(ModelChange { at: Timestamp::from_unix_ms(self.at_ms), raw })
    }
}

fn text(encoding: &str, body: Vec<u8>) -> Result<String, CatalogueError> {
    let bytes = match encoding {
        "plain" => Some(body),
        "zstd" => decompressed(&body).ok(),
        _ => None,
    };
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| CatalogueError::Corrupt { what: "a model's page", value: format!("bytes in {encoding}") })
}

fn decompressed(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    zstd::stream::read::Decoder::with_buffer(body)?.take(LARGEST_BODY_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The form in which a page is kept: how it is encoded, and its bytes.
type Body = (&'static str, Vec<u8>);

/// The forms in which pages are kept.
pub(crate) fn bodies(pages: &[Page]) -> Vec<Body> {
    // One for all: setting up a compressor costs as much as compressing a page.
    let mut compressor = zstd::bulk::Compressor::new(COMPRESSION_LEVEL).ok();
    let mut body = |page: &Page| {
        if page.len() >= SHORTEST_COMPRESSED_BYTES
            && let Some(Ok(compressed)) = compressor.as_mut().map(|compressor| compressor.compress(page.as_bytes()))
            && compressed.len() < page.len()
        {
            return ("zstd", compressed);
        }
        ("plain", page.as_bytes().to_vec())
    };
    pages.iter().map(&mut body).collect()
}

/// A hub's JSON about a model, word for word.
pub(crate) type Page = Arc<str>;

/// What a hub says of a model now.
pub(crate) struct Said {
    pub(crate) model: i64,
    /// By [`snapshot::state_digest`].
    pub(crate) digest: Sha256,
    pub(crate) page: Page,
}

/// What is to be added to the history of some models.
#[derive(Default)]
pub(crate) struct StatePlan {
    /// States that were never seen before, with their ids.
    new: Vec<(i64, Said)>,
    /// Models, and the states that hold from now on.
    changes: Vec<(i64, i64)>,
    /// States whose digest an earlier release made by other rules, and the digest they have now.
    renewed: Vec<(i64, Sha256)>,
}

#[derive(FromRow)]
struct LatestState {
    model_id: i64,
    model_state_id: i64,
    digest: Vec<u8>,
    encoding: String,
    body: Vec<u8>,
}

impl StatePlan {
    /// Compares what hubs say with what they said last. `known` are those of the models that may have a
    /// history; ids from `next` on are free.
    pub(crate) async fn read(
        connection: &mut SqliteConnection,
        known: &[i64],
        mut next: i64,
        said: Vec<Said>,
    ) -> Result<Self, CatalogueError> {
        let failed = could_not("read a model's history");
        let mut latest: HashMap<i64, LatestState> = HashMap::new();
        let mut kept: HashMap<(i64, Vec<u8>), i64> = HashMap::new();
        if !known.is_empty() {
            let known = codec::id_list(known.iter().copied());
            let rows: Vec<LatestState> =
                sqlx::query_as(LATEST_STATES).bind(&known).fetch_all(&mut *connection).await.map_err(&failed)?;
            latest.extend(rows.into_iter().map(|row| (row.model_id, row)));
            let rows: Vec<(i64, Vec<u8>, i64)> =
                sqlx::query_as(KEPT_STATES).bind(&known).fetch_all(&mut *connection).await.map_err(&failed)?;
            kept.extend(rows.into_iter().map(|(model, digest, state)| ((model, digest), state)));
        }
        let mut plan = Self::default();
        for said in said {
            let digest = &said.digest.as_bytes()[..];
            if let Some(latest) = latest.remove(&said.model) {
                if latest.digest == digest {
                    continue;
                }
                // A damaged page must not keep the next one from being recorded.
                let kept = text(&latest.encoding, latest.body);
                if kept.is_ok_and(|kept| snapshot::state_digest(&kept) == said.digest) {
                    plan.renewed.push((latest.model_state_id, said.digest));
                    continue;
                }
            }
            match kept.get(&(said.model, digest.to_vec())) {
                Some(state) => plan.changes.push((said.model, *state)),
                None => {
                    plan.changes.push((said.model, next));
                    plan.new.push((next, said));
                    next += 1;
                }
            }
        }
        Ok(plan)
    }

    /// The pages whose bodies [`Self::write`] wants.
    pub(crate) fn pages(&self) -> Vec<Page> {
        self.new.iter().map(|(_, said)| Page::clone(&said.page)).collect()
    }

    /// `new` are [`Self::pages`] in the form in which they are kept.
    pub(crate) async fn write(
        &self,
        connection: &mut SqliteConnection,
        new: Vec<Body>,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        for (state, digest) in &self.renewed {
            let renewed = sqlx::query(RENEW_DIGEST).bind(state).bind(&digest.as_bytes()[..]);
            renewed.execute(&mut *connection).await?;
        }
        let new: Vec<_> = self.new.iter().zip(new).collect();
        let states = statements(INSERT_STATES, &new, |row, ((state, said), (encoding, body))| {
            row.bind(*state).bind(said.model).bytes(&said.digest.as_bytes()[..]).text(*encoding).bytes(body.as_slice());
        });
        let changes = statements(INSERT_CHANGES, &self.changes, |row, (model, state)| {
            row.bind(*model).bind(now.unix_ms()).bind(*state);
        });
        run(connection, states.chain(changes)).await
    }
}

/// Records that the hub has no such model any more.
pub(crate) async fn record_gone(
    connection: &mut SqliteConnection,
    model: i64,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let mut change = Statement::new(INSERT_CHANGES);
    change.bind(model).bind(now.unix_ms());
    run(connection, std::iter::once(change)).await
}

impl Catalogue {
    /// Every change of what a hub says of a model, oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read, or a kept page is damaged.
    pub async fn model_changes(&self, model: ModelId) -> Result<Vec<ModelChange>, CatalogueError> {
        let rows: Vec<ChangeRow> = sqlx::query_as(CHANGES)
            .bind(model.0)
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("read a model's history"))?;
        rows.into_iter().map(ChangeRow::change).collect()
    }

    /// What held at `at`: the last change until then. None when the model was not known yet.
    ///
    /// # Errors
    /// As [`Self::model_changes`].
    pub async fn model_change_at(&self, model: ModelId, at: Timestamp) -> Result<Option<ModelChange>, CatalogueError> {
        self.change(CHANGE_BEFORE, model, at).await
    }

    /// The last page that was known at `at`, whether or not the hub still had the model then.
    ///
    /// # Errors
    /// As [`Self::model_changes`].
    pub async fn model_page_at(&self, model: ModelId, at: Timestamp) -> Result<Option<ModelChange>, CatalogueError> {
        self.change(STATE_BEFORE, model, at).await
    }

    async fn change(
        &self,
        statement: &'static str,
        model: ModelId,
        at: Timestamp,
    ) -> Result<Option<ModelChange>, CatalogueError> {
        let row: Option<ChangeRow> = sqlx::query_as(statement)
            .bind(model.0)
            .bind(at.unix_ms())
            .fetch_optional(&self.readers)
            .await
            .map_err(could_not("read a model's history"))?;
        row.map(ChangeRow::change).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{clock_at, model, opened_with};
    use paintbox_domain::Hub;
    use std::time::Duration;

    #[test]
    fn a_page_comes_back_word_for_word_in_either_encoding() {
        for raw in [String::new(), "{}".to_owned(), format!("{{\"name\":\"{}\"}}", "少女 ".repeat(900))] {
            let (encoding, body) = bodies(&[raw.as_str().into()]).remove(0);
            assert_eq!(encoding == "zstd", raw.len() > 200);
            assert_eq!(text(encoding, body).unwrap(), raw);
        }
        assert!(text("zstd", b"not zstd at all".to_vec()).is_err());
        assert!(text("plain", vec![0xff]).is_err());
        assert!(text("rot13", Vec::new()).is_err());
    }

    #[tokio::test]
    async fn every_state_is_dated_and_counters_make_none() {
        let clock = clock_at(1_000);
        let (catalogue, _home) = opened_with(clock.clone()).await;
        let page = |words: &str, downloads: u32| {
            let mut page = model("1", "One");
            page.raw = format!(r#"{{"id":1,"description":"{words}","stats":{{"downloadCount":{downloads}}}}}"#);
            page
        };
        let pages = [page("old", 1), page("old", 2), page("new", 3), page("old", 4)];
        let mut id = None;
        for page in &pages {
            id = Some(catalogue.record_models(std::slice::from_ref(page), None).await.unwrap()[0]);
            clock.advance(Duration::from_millis(10));
        }
        let id = id.unwrap();
        assert!(catalogue.record_model_gone(Hub::Civitai, "1").await.unwrap());
        clock.advance(Duration::from_millis(10));
        catalogue.record_models(&pages[..1], None).await.unwrap();

        let changes = catalogue.model_changes(id).await.unwrap();
        let raws: Vec<(i64, Option<&str>)> =
            changes.iter().map(|change| (change.at.unix_ms(), change.raw.as_deref())).collect();
        let (old, new) = (Some(pages[0].raw.as_str()), Some(pages[2].raw.as_str()));
        assert_eq!(raws, [(1_000, old), (1_020, new), (1_030, old), (1_040, None), (1_050, old)]);
        let at = async |ms| catalogue.model_change_at(id, Timestamp::from_unix_ms(ms)).await.unwrap();
        assert_eq!(at(999).await, None);
        for (ms, wanted) in [(1_000, 0), (1_019, 0), (1_020, 1), (1_035, 2), (1_049, 3), (9_999, 4)] {
            assert_eq!(at(ms).await.as_ref(), Some(&changes[wanted]), "{ms}");
        }
        let page = catalogue.model_page_at(id, Timestamp::from_unix_ms(1_045)).await.unwrap().unwrap();
        assert_eq!(page.raw.as_deref(), old, "a model that is gone keeps its last page");
        let kept: i64 =
            sqlx::query_scalar("SELECT count(*) FROM model_state").fetch_one(&catalogue.readers).await.unwrap();
        assert_eq!(kept, 2, "each text once");
    }

    #[tokio::test]
    async fn a_damaged_page_does_not_keep_the_next_from_being_recorded() {
        let (catalogue, _home) = opened_with(clock_at(1_000)).await;
        let first = model("1", "One");
        let id = catalogue.record_models(std::slice::from_ref(&first), None).await.unwrap()[0];
        sqlx::query("UPDATE model_state SET encoding = 'zstd', body = x'00'").execute(&catalogue.writer).await.unwrap();
        assert!(catalogue.model_changes(id).await.is_err());
        let second = model("1", "Renamed");
        catalogue.record_models(std::slice::from_ref(&second), None).await.unwrap();
        let now = catalogue.model_page_at(id, Timestamp::from_unix_ms(1_000)).await.unwrap().unwrap();
        assert_eq!(now.raw, Some(second.raw));
    }
}
