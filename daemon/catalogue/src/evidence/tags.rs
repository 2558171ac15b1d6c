//! Which tags a model has. A tag is one row for all models, so each name is looked up before a model can point at it;
//! hubs use a few thousand of them over and over, and their ids are remembered from one page to the next.

use super::plan::Plan;
use super::rows::{ROWS, Statement, fetch, given, run, statements};
use crate::codec;
use crate::statements::statements;
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Names that are remembered: some ten megabytes at their longest.
const REMEMBERED: usize = 50_000;

statements! {
    INSERT_TAGS = concat!(
        "INSERT INTO tag (name) SELECT column1 FROM ",
        given!("(?)"),
        " WHERE column1 IS NOT NULL ON CONFLICT (name) DO NOTHING"
    );
    TAG_IDS = concat!("SELECT column1, tag_id FROM ", given!("(?, ?)"), " CROSS JOIN tag ON name = column2");
    CLEAR_MODEL_TAGS = "DELETE FROM model_tag WHERE model_id IN (SELECT value FROM json_each(?1))";
    SET_MODEL_TAGS = concat!(
        "INSERT INTO model_tag (model_id, tag_id, position) SELECT * FROM ",
        given!("(?, ?, ?)"),
        " WHERE column1 IS NOT NULL ON CONFLICT (model_id, tag_id) DO NOTHING"
    );
}

/// Ids of tags by name. Tags are never deleted, so an id that was committed holds as long as the catalogue.
#[derive(Debug, Default)]
pub(crate) struct TagIds(Mutex<HashMap<Box<str>, i64>>);

impl TagIds {
    /// Of these names, those that are remembered.
    fn of<'a>(&self, names: &[&'a str]) -> HashMap<&'a str, i64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().filter_map(|name| Some((*name, *known.get(*name)?))).collect()
    }

    /// Only what is committed may be remembered: a transaction that is rolled back takes its tags along.
    pub(crate) fn remember(&self, committed: Learned) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + committed.0.len() > REMEMBERED {
            known.clear();
        }
        known.extend(committed.0);
    }
}

/// Tags that were looked up in a transaction.
#[derive(Default)]
pub(crate) struct Learned(HashMap<Box<str>, i64>);

/// Writes the tags of a plan's models, whose rows are there.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    plan: &Plan<'_>,
    remembered: &TagIds,
    learned: &mut Learned,
) -> Result<(), sqlx::Error> {
    let said = plan
        .all_models()
        .filter(|written| written.says_tags())
        .flat_map(|written| (0..).zip(&written.answer.model.tags).map(|(at, tag)| (written.id, tag.as_str(), at)));
    let known = plan.models.known.iter().filter(|written| written.says_tags()).map(|written| written.id);
    set(connection, said.collect(), known.collect(), remembered, learned).await
}

/// Gives models the tags `said`, each with its model and place; those of the models `had_tags` go first.
pub(crate) async fn set(
    connection: &mut SqliteConnection,
    said: Vec<(i64, &str, i64)>,
    had_tags: Vec<i64>,
    remembered: &TagIds,
    learned: &mut Learned,
) -> Result<(), sqlx::Error> {
    let mut names: Vec<&str> = said.iter().map(|(_, name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let mut ids = remembered.of(&names);
    names.retain(|name| !ids.contains_key(name));
    run(connection, statements(INSERT_TAGS, &names, |row, name| _ = row.text(*name))).await?;
    for names in names.chunks(ROWS) {
        let mut asked = Statement::new(TAG_IDS);
        (0_i64..).zip(names).for_each(|(index, name)| _ = asked.bind(index).text(*name));
        let found: Vec<(i64, i64)> = fetch(connection, asked).await?;
        ids.extend(found.iter().filter_map(|(index, id)| Some((*names.get(usize::try_from(*index).ok()?)?, *id))));
    }
    learned.0.extend(names.iter().filter_map(|name| Some((Box::from(*name), *ids.get(name)?))));

    let cleared = (!had_tags.is_empty()).then(|| {
        let mut statement = Statement::new(CLEAR_MODEL_TAGS);
        statement.bind(codec::id_list(had_tags));
        statement
    });
    let set: Vec<(i64, i64, i64)> =
        said.iter().filter_map(|(model, name, at)| Some((*model, *ids.get(name)?, *at))).collect();
    let set = statements(SET_MODEL_TAGS, &set, |row, (model, tag, at)| _ = row.bind(*model).bind(*tag).bind(*at));
    run(connection, cleared.into_iter().chain(set)).await
}
