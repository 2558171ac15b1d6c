//! What a list shows of a model, as text in `search_card`, made together with the model's row. A page is then one look at
//! one table for each of its models. `model` itself has a description in the middle of each row, which may be long, and
//! what else is shown lies in five more tables.

use super::columns::Columns;
use super::facts::{self, Facts};
use super::tag_names::TagNames;
use crate::codec;
use crate::detail::SummaryRow;
use crate::error::{CatalogueError, could_not};
use crate::evidence::rows::{given, run, statements as many};
use crate::records::ModelSummary;
use crate::statements::statements;
use sqlx::{FromRow, SqliteConnection};
use std::collections::HashMap;

/// The columns of [`LineRow`] for a model row `m`. What is not ready is read from the tables.
macro_rules! line_columns {
    () => {
        "m.model_id, m.downloads, (SELECT c.card FROM search_card c WHERE c.model_id = m.model_id \
            AND NOT EXISTS (SELECT 1 FROM search_dirty d WHERE d.model_id = m.model_id)) AS card"
    };
}
pub(crate) use line_columns;

/// A model's line as it is read together with other things.
#[derive(FromRow)]
pub(crate) struct LineRow {
    pub(crate) model_id: i64,
    downloads: Option<i64>,
    card: Option<String>,
}

statements! {
    // In one answer, because handing over a row costs as much as looking it up.
    CARDS = "
        SELECT coalesce(group_concat(card), '') FROM search_card
        WHERE model_id IN (SELECT value FROM json_each(?1))";
    SET_CARDS = concat!(
        "INSERT INTO search_card (model_id, card) SELECT column1, column2 FROM ",
        given!("(?, ?)"),
        " WHERE column1 IS NOT NULL \
         ON CONFLICT (model_id) DO UPDATE SET card = excluded.card WHERE card <> excluded.card"
    );
    DROP_CARDS = "DELETE FROM search_card WHERE model_id IN (SELECT value FROM json_each(?1))";
}

/// A model and its tags by number, because their names are the same over and over.
type Card = (SummaryRow, Vec<i64>);

/// A card as it is kept: without names, in the order of [`SummaryRow`]'s members.
fn text(facts: &Facts) -> String {
    let row = (
        facts.model_id,
        &facts.hub,
        &facts.external_id,
        &facts.name,
        &facts.kind,
        &facts.kind_label,
        &facts.creator,
        facts.nsfw_level,
        facts.downloads,
        &facts.state,
        facts.published_ms,
        facts.gone_ms,
        facts.base_models().first().copied(),
        facts.architecture(),
        facts.is_downloaded(),
    );
    serde_json::to_string(&(row, facts.tags())).expect("texts and numbers always have a JSON form")
}

/// Writes the cards of these models, and lets go of those of models that are no more.
pub(crate) async fn write(
    connection: &mut SqliteConnection,
    facts: &[Facts],
    gone: impl Iterator<Item = i64>,
) -> Result<(), sqlx::Error> {
    if let Some(gone) = codec::some_ids(gone) {
        sqlx::query(DROP_CARDS).bind(gone).execute(&mut *connection).await?;
    }
    let set = many(SET_CARDS, facts, |statement, facts| {
        statement.bind(facts.model_id).text(text(facts).as_str());
    });
    run(connection, set).await
}

/// The lines of models, in this order. Counters are those of the rows, since cards are not made anew for them.
pub(crate) async fn lines(
    connection: &mut SqliteConnection,
    models: &[i64],
    columns: &Columns,
    names: &TagNames,
) -> Result<Vec<ModelSummary>, CatalogueError> {
    let cards = read(connection, models).await?;
    let mut lines = assembled(connection, models.iter().copied(), cards, names).await?;
    let line = |id: &i64| {
        let (mut row, tags) = lines.remove(id)?;
        if let Some(downloads) = usize::try_from(*id).ok().and_then(|id| columns.downloads(id)) {
            row.downloads = downloads;
        }
        Some(row.summary(tags))
    };
    models.iter().filter_map(line).collect()
}

/// The lines of different models, in this order.
pub(crate) async fn of_rows(
    connection: &mut SqliteConnection,
    rows: &[LineRow],
    names: &TagNames,
) -> Result<Vec<ModelSummary>, CatalogueError> {
    let ready: Vec<&str> = rows.iter().filter_map(|row| row.card.as_deref()).collect();
    let cards = parsed(&ready.join(","))?;
    let mut lines = assembled(connection, rows.iter().map(|row| row.model_id), cards, names).await?;
    let lost = |row: &LineRow| CatalogueError::ModelNotFound { reference: format!("row {}", row.model_id) };
    let line = |row: &LineRow| {
        let (mut summary, tags) = lines.remove(&row.model_id).ok_or_else(|| lost(row))?;
        summary.downloads = row.downloads;
        summary.summary(tags)
    };
    rows.iter().map(line).collect()
}

/// These models' cards with the names of their tags. Those that are not ready, as after an upgrade, which leaves making them
/// to the background, are made from the tables.
async fn assembled(
    connection: &mut SqliteConnection,
    models: impl Iterator<Item = i64>,
    mut cards: HashMap<i64, Card>,
    names: &TagNames,
) -> Result<HashMap<i64, (SummaryRow, Vec<String>)>, CatalogueError> {
    if let Some(missing) = codec::some_ids(models.filter(|id| !cards.contains_key(id))) {
        let facts = facts::of(connection, &missing, super::ATTEMPT).await?;
        cards.extend(parsed(&facts.iter().map(text).collect::<Vec<_>>().join(","))?);
    }
    let names = names.of(connection, cards.values().flat_map(|(_, tags)| tags).copied()).await?;
    let named = |tags: Vec<i64>| tags.iter().filter_map(|id| names.get(id)).map(ToString::to_string).collect();
    Ok(cards.into_iter().map(|(id, (row, tags))| (id, (row, named(tags)))).collect())
}

async fn read(connection: &mut SqliteConnection, models: &[i64]) -> Result<HashMap<i64, Card>, CatalogueError> {
    let cards: String = sqlx::query_scalar(CARDS)
        .bind(codec::id_list(models.iter().copied()))
        .fetch_one(connection)
        .await
        .map_err(could_not(super::ATTEMPT))?;
    parsed(&cards)
}

/// Cards with commas between.
fn parsed(cards: &str) -> Result<HashMap<i64, Card>, CatalogueError> {
    let cards: Vec<Card> = codec::list("models that were found", &format!("[{cards}]"))?;
    Ok(cards.into_iter().map(|card| (card.0.model_id, card)).collect())
}

#[cfg(test)]
mod tests {
    use crate::SearchQuery;
    use crate::testing::{commit, model, opened, repo};
    use paintbox_domain::Hub;

    #[tokio::test]
    async fn a_line_is_the_same_before_its_card_is_made() {
        let (catalogue, _home) = opened().await;
        let mut tagged = model("1", "Ink");
        tagged.tags = vec!["wash".to_owned(), "ink".to_owned()];
        catalogue.record_models(&[tagged, model("2", "Other")], None).await.unwrap();
        let with = catalogue.search(&SearchQuery::default()).await.unwrap().models;
        assert_eq!(with[1].tags, ["wash", "ink"]);
        sqlx::query("DELETE FROM search_card WHERE model_id = 1").execute(&catalogue.writer).await.unwrap();
        assert_eq!(catalogue.search(&SearchQuery::default()).await.unwrap().models, with);
    }

    #[tokio::test]
    async fn cards_go_with_their_models_and_follow_their_names_on_the_hub() {
        let (catalogue, _home) = opened().await;
        let old = repo("old/x", vec![commit(&"a".repeat(40), 1)]);
        catalogue.record_models(&[old], None).await.unwrap();
        assert!(catalogue.rename_model(Hub::HuggingFace, "old/x", "new/x").await.unwrap());
        let found = catalogue.search(&SearchQuery::default()).await.unwrap().models;
        assert_eq!(found[0].reference.to_string(), "hf:new/x");

        let mut tx = catalogue.write("take a model away").await.unwrap();
        for statement in ["PRAGMA defer_foreign_keys = on", "DELETE FROM model", "DELETE FROM version"] {
            sqlx::query(statement).execute(&mut *tx).await.unwrap();
        }
        for table in ["file", "preview", "model_change", "model_state"] {
            let delete = format!("DELETE FROM {table}");
            sqlx::query(sqlx::AssertSqlSafe(delete)).execute(&mut *tx).await.unwrap();
        }
        catalogue.commit(tx, "take a model away").await.unwrap();
        let cards: i64 =
            sqlx::query_scalar("SELECT count(*) FROM search_card").fetch_one(&catalogue.readers).await.unwrap();
        assert_eq!(cards, 0);
    }
}
