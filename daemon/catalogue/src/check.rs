//! Whether the file is sound: looked at beside the daily work, and what was found kept beside the file, because a damaged
//! catalogue is no place to write that it is damaged.
//!
//! SQLite removes the log of a database when its last connection is closed, so a log that is there at an opening says that
//! the last process did not come to that: it was killed, or the power went. Nothing needs to be written for it.

use crate::beside::{self, blocking};
use crate::error::{CatalogueError, could_not};
use crate::health;
use crate::open::Catalogue;
use paintbox_domain::Timestamp;
use paintbox_domain::classify::message_with_causes;
use serde::{Deserialize, Serialize};
use sqlx::Connection as _;

/// Problems that are kept; the rest is counted.
const KEPT_PROBLEMS: usize = 20;

/// How closely the file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckDepth {
    /// Every page, every row's form, every reference and the search index.
    Quick,
    /// Also whether each index agrees with its table; takes several times as long.
    Full,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueCheck {
    pub depth: CheckDepth,
    /// When it began.
    #[serde(with = "unix_ms")]
    pub at: Timestamp,
    /// SQLite's words, the first twenty; none when the file is sound.
    pub problems: Vec<String>,
    /// How many there were; SQLite itself stops after a hundred of one sort.
    pub problem_count: usize,
}

impl CatalogueCheck {
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }
}

mod unix_ms {
    use paintbox_domain::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.unix_ms())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_unix_ms)
    }
}

impl Catalogue {
    /// Checks the file and keeps what was found. Readers and the writer go on meanwhile; the log keeps what is written
    /// until the check ends. One check runs at a time.
    ///
    /// # Errors
    /// When the check is broken off, or its result cannot be kept. Damage is no error, but what is found.
    pub async fn check(&self, depth: CheckDepth) -> Result<CatalogueCheck, CatalogueError> {
        let _alone = self.aside.checking.lock().await;
        let at = self.now();
        let mut problems = match self.look_through(depth).await {
            Err(error) if error.is_damage() => vec![message_with_causes(&error)],
            found => found?,
        };
        let problem_count = problems.len();
        problems.truncate(KEPT_PROBLEMS);
        let check = CatalogueCheck { depth, at, problems, problem_count };
        if check.is_sound() {
            tracing::debug!(?depth, "the catalogue is sound");
        } else {
            tracing::error!(catalogue = %self.path().display(), problems = problem_count, first = check.problems[0],
                "the catalogue is damaged");
        }
        let kept = serde_json::to_vec(&check).unwrap_or_default();
        let path = self.aside.beside.checked();
        blocking(move || beside::replace(&path, &kept)).await?;
        Ok(check)
    }

    async fn look_through(&self, depth: CheckDepth) -> Result<Vec<String>, CatalogueError> {
        let attempt = "be checked";
        let mut connection = self.aside.connect(attempt).await?;
        // One state for all of it, so that what is written meanwhile is not taken for damage.
        let mut tx = connection.begin().await.map_err(could_not(attempt))?;
        health::problems(&mut tx, depth).await
    }

    /// What the last check found; none when the file was not checked since it came here.
    ///
    /// # Errors
    /// When the result is there and cannot be read.
    pub async fn last_check(&self) -> Result<Option<CatalogueCheck>, CatalogueError> {
        let path = self.aside.beside.checked();
        blocking(move || match std::fs::read(&path) {
            // What another build wrote in another form is as good as nothing.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(beside::failed("read", &path)(source)),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{clock_at, model, opened};

    #[tokio::test]
    async fn what_a_check_finds_is_kept_over_a_restart() {
        let (catalogue, home) = opened().await;
        assert_eq!(catalogue.last_check().await.unwrap(), None);
        catalogue.record_models(&[model("1", "One")], None).await.unwrap();
        let sound = catalogue.check(CheckDepth::Quick).await.unwrap();
        assert!(sound.is_sound() && sound.at == Timestamp::from_unix_ms(1_000));
        let mut connection = catalogue.writer.acquire().await.unwrap();
        for statement in ["PRAGMA foreign_keys = off", "DELETE FROM model", "PRAGMA foreign_keys = on"] {
            sqlx::query(statement).execute(&mut *connection).await.unwrap();
        }
        drop(connection);
        let damaged = catalogue.check(CheckDepth::Full).await.unwrap();
        assert!(!damaged.is_sound() && damaged.problems[0].contains("points at nothing"), "{damaged:?}");
        catalogue.close().await;
        let again = Catalogue::open(&home.path().join("catalogue.db"), clock_at(2_000)).await.unwrap();
        assert_eq!(again.last_check().await.unwrap(), Some(damaged));
    }

    #[tokio::test]
    async fn a_check_is_broken_off_when_the_catalogue_is_closed() {
        let (catalogue, _home) = opened().await;
        catalogue.aside.closing().store(true, std::sync::atomic::Ordering::Relaxed);
        // Long enough that SQLite asks.
        let count = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000) SELECT count(*) FROM n";
        let mut connection = catalogue.aside.connect("count").await.unwrap();
        let error = sqlx::query(count).execute(&mut *connection).await.map_err(could_not("count")).unwrap_err();
        assert_eq!(paintbox_domain::Classify::reason(&error), paintbox_domain::reason::SHUTTING_DOWN);
    }
}
