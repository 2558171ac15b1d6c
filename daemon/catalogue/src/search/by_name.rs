//! Models in the order of their names, which are too long to be kept in memory: few are sorted, of many the index over
//! all names is walked until a page is full.

use super::bits::Bits;
use crate::codec;
use crate::statements::statements;
use sqlx::SqliteConnection;

/// As many are sorted rather than met on a walk.
const FEW: u64 = 2_000;
/// Steps of a walk in one statement.
const STEPS: i64 = 4_096;

/// `$from` is what comes after the model ?1; without it, from the beginning.
macro_rules! walk {
    ($compared:literal, $direction:literal) => {
        concat!(
            "SELECT model_id FROM model WHERE (name_key, model_id) ",
            $compared,
            " (coalesce((SELECT name_key FROM model WHERE model_id = ?1), ?3), ?1) ORDER BY name_key ",
            $direction,
            ", model_id ",
            $direction,
            " LIMIT ?2"
        )
    };
}

macro_rules! sorted {
    ($compared:literal, $direction:literal) => {
        concat!(
            "SELECT model_id FROM model WHERE model_id IN (SELECT value FROM json_each(?4)) AND (name_key, model_id) ",
            $compared,
            " (coalesce((SELECT name_key FROM model WHERE model_id = ?1), ?3), ?1) ORDER BY name_key ",
            $direction,
            ", model_id ",
            $direction,
            " LIMIT ?2"
        )
    };
}

statements! {
    WALK_UP = concat!("SELECT json_group_array(model_id) FROM (", walk!(">", "ASC"), ")");
    WALK_DOWN = concat!("SELECT json_group_array(model_id) FROM (", walk!("<", "DESC"), ")");
    SORTED_UP = concat!("SELECT json_group_array(model_id) FROM (", sorted!(">", "ASC"), ")");
    SORTED_DOWN = concat!("SELECT json_group_array(model_id) FROM (", sorted!("<", "DESC"), ")");
}

/// The first `wanted` of `total` models behind the one with the id `after`.
pub(crate) async fn first(
    connection: &mut SqliteConnection,
    models: &Bits,
    total: u64,
    descending: bool,
    after: Option<i64>,
    wanted: usize,
) -> Result<Vec<i64>, sqlx::Error> {
    let few = total <= FEW;
    let statement = match (few, descending) {
        (true, false) => SORTED_UP,
        (true, true) => SORTED_DOWN,
        (false, false) => WALK_UP,
        (false, true) => WALK_DOWN,
    };
    let all = few.then(|| codec::id_list(models.iter().map(codec::position)));
    let mut found = Vec::with_capacity(wanted);
    let mut last = after.unwrap_or(-1);
    loop {
        let steps = if few { codec::position(wanted) } else { STEPS };
        let query = sqlx::query_scalar(statement).bind(last).bind(steps);
        // Before every text is the empty one, and behind every text SQLite sorts bytes.
        let query = if descending { query.bind(&[][..]) } else { query.bind("") };
        let list: String = query.bind(&all).fetch_one(&mut *connection).await?;
        let ids: Vec<i64> = serde_json::from_str(&list).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let hits = ids.iter().copied().filter(|id| usize::try_from(*id).is_ok_and(|id| models.contains(id)));
        found.extend(hits.take(wanted - found.len()));
        match ids.last() {
            Some(id) if !few && found.len() < wanted => last = *id,
            _ => return Ok(found),
        }
    }
}
