//! The names of tags on the pages that were shown: hubs use a few thousand over and over, and a page of fifty models has
//! some hundreds of them, which is a third of its cost when each is looked up.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::statements::statements;
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Names that are kept: some 600 KiB of the usual ones.
const KEPT: usize = 10_000;

statements! {
    NAMES = "SELECT json_group_array(json_array(tag_id, name)) FROM json_each(?1) JOIN tag ON tag_id = value";
}

/// Tags are never renamed or deleted, so a name that was read once holds as long as the catalogue.
#[derive(Debug, Default)]
pub(crate) struct TagNames(Mutex<HashMap<i64, Arc<str>>>);

impl TagNames {
    /// The names of these tags; those that nobody has are left out.
    pub(crate) async fn of(
        &self,
        connection: &mut SqliteConnection,
        ids: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<str>>, CatalogueError> {
        let mut wanted: Vec<i64> = ids.collect();
        wanted.sort_unstable();
        wanted.dedup();
        let (mut names, missing) = self.known(&wanted);
        if !missing.is_empty() {
            let read: String = sqlx::query_scalar(NAMES)
                .bind(codec::id_list(missing))
                .fetch_one(connection)
                .await
                .map_err(could_not(super::ATTEMPT))?;
            let read: Vec<(i64, Box<str>)> = codec::list("tags of models", &read)?;
            let read: Vec<(i64, Arc<str>)> = read.into_iter().map(|(id, name)| (id, name.into())).collect();
            self.keep(&read);
            names.extend(read);
        }
        Ok(names)
    }

    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = HashMap::new();
    }

    fn known(&self, wanted: &[i64]) -> (HashMap<i64, Arc<str>>, Vec<i64>) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut names, mut missing) = (HashMap::with_capacity(wanted.len()), Vec::new());
        for id in wanted {
            match kept.get(id) {
                Some(name) => drop(names.insert(*id, Arc::clone(name))),
                None => missing.push(*id),
            }
        }
        (names, missing)
    }

    fn keep(&self, read: &[(i64, Arc<str>)]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + read.len() > KEPT {
            kept.clear();
        }
        kept.extend(read.iter().cloned());
    }
}
