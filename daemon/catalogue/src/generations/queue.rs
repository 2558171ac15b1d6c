//! The queue of generations: who waits, in which order, and what a start makes of what a former daemon left.

use super::{GenerationRecord, GenerationRow, KIND, by_uid, columns};
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::ModelId;
use crate::journal::Happening;
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::generation::JobState;
use paintbox_domain::{ErrorClass, Failure, Timestamp, reason};
use sqlx::FromRow;
use std::collections::BTreeMap;

/// One that waits, with what its turn depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub uid: String,
    pub client: String,
    /// Higher first.
    pub priority: i32,
    /// Lower first, of one client's of the same priority. No two have the same.
    pub turn: i64,
    pub model: Option<ModelId>,
    pub expires_at: Option<Timestamp>,
    /// When its client last had a turn, by the count of turns.
    pub client_begun: Option<i64>,
}

/// What becomes of generations whose daemon ended while they were painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// They fail.
    Fail,
    /// They wait again, but each only as often as it has been begun fewer than this many times.
    Requeue { most_attempts: u32 },
}

#[derive(FromRow)]
struct WaitingRow {
    uid: String,
    client: String,
    priority: i32,
    turn: i64,
    model_id: Option<i64>,
    expires_ms: Option<i64>,
    client_begun: Option<i64>,
}

statements! {
    WAITING = "
        SELECT g.uid, g.client, g.priority, coalesce(g.turn, g.generation_id) AS turn, g.model_id, g.expires_ms,
               (SELECT max(c.begun) FROM generation c WHERE c.client = g.client) AS client_begun
        FROM generation g WHERE g.state = 'queued' ORDER BY g.priority DESC, coalesce(g.turn, g.generation_id)";
    OPEN = concat!(
        "SELECT ", columns!(), " FROM generation WHERE state IN ('queued', 'running') ORDER BY generation_id"
    );
    SET_PRIORITY = "UPDATE generation SET priority = ?2 WHERE uid = ?1 AND state = 'queued'";
    SET_TURN = "UPDATE generation SET turn = ?2 WHERE uid = ?1 AND state = 'queued'";
    NEXT_EXPIRY = "SELECT min(expires_ms) FROM generation WHERE state = 'queued' AND expires_ms IS NOT NULL";
    EXPIRE = concat!(
        "UPDATE generation SET state = 'failed', failure_json = ?2, ended_ms = ?1 \
         WHERE state = 'queued' AND expires_ms <= ?1 RETURNING ",
        columns!()
    );
    REQUEUE = concat!(
        "UPDATE generation SET state = 'queued', attempts = attempts - 1 WHERE uid = ?1 AND state = 'running' RETURNING ",
        columns!()
    );
    CANCEL_TIED = "
        UPDATE generation SET state = 'cancelled', ended_ms = ?1 WHERE state = 'queued' AND is_tied";
    REQUEUE_INTERRUPTED = "
        UPDATE generation SET state = 'queued' WHERE state = 'running' AND attempts < ?1 AND NOT is_tied";
    FAIL_INTERRUPTED = "
        UPDATE generation SET state = 'failed', failure_json = ?1, ended_ms = ?2 WHERE state = 'running'";
    IS_QUEUE_PAUSED = "SELECT paused FROM generation_queue";
    SET_QUEUE_PAUSED = "UPDATE generation_queue SET paused = ?1 WHERE paused <> ?1";
}

/// What happened to generations that a former daemon left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    pub requeued: u64,
    pub failed: u64,
    /// Their callers left with the daemon.
    pub cancelled: u64,
}

impl Catalogue {
    /// Everything that waits.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn waiting_generations(&self) -> Result<Vec<Waiting>, CatalogueError> {
        let rows: Vec<WaitingRow> =
            sqlx::query_as(WAITING).fetch_all(&self.readers).await.map_err(could_not("read the queue"))?;
        let waiting = |row: WaitingRow| Waiting {
            uid: row.uid,
            client: row.client,
            priority: row.priority,
            turn: row.turn,
            model: row.model_id.map(ModelId),
            expires_at: codec::time(row.expires_ms),
            client_begun: row.client_begun,
        };
        Ok(rows.into_iter().map(waiting).collect())
    }

    /// Everything that has not ended, the oldest first.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn open_generations(&self) -> Result<Vec<GenerationRecord>, CatalogueError> {
        let rows: Vec<GenerationRow> =
            sqlx::query_as(OPEN).fetch_all(&self.readers).await.map_err(could_not("read the queue"))?;
        rows.into_iter().map(|row| row.record(Vec::new())).collect()
    }

    /// # Errors
    /// `JOB_NOT_FOUND`; `JOB_NOT_QUEUED`; when the catalogue cannot be written.
    pub async fn set_generation_priority(&self, uid: &str, priority: i32) -> Result<GenerationRecord, CatalogueError> {
        let attempt = "change a generation's priority";
        let mut tx = self.write(attempt).await?;
        let set = sqlx::query(SET_PRIORITY).bind(uid).bind(priority).execute(&mut *tx).await;
        let changed = set.map_err(could_not(attempt))?.rows_affected() > 0;
        let record = by_uid(&mut tx, uid).await?;
        if !changed {
            return Err(not_queued(uid));
        }
        self.commit_generation(tx, attempt, &record).await?;
        Ok(record)
    }

    /// Puts one that waits right before another of the same client and priority, or before all of them.
    ///
    /// # Errors
    /// `JOB_NOT_FOUND`; `JOB_NOT_QUEUED`, also when `before` is not among those; when the catalogue cannot be written.
    pub async fn reorder_generation(
        &self,
        uid: &str,
        before: Option<&str>,
    ) -> Result<GenerationRecord, CatalogueError> {
        let attempt = "reorder the queue";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let record = by_uid(&mut tx, uid).await?;
        if record.state != JobState::Queued {
            return Err(not_queued(uid));
        }
        let rows: Vec<WaitingRow> = sqlx::query_as(WAITING).fetch_all(&mut *tx).await.map_err(&failed)?;
        let peers: Vec<WaitingRow> =
            rows.into_iter().filter(|row| row.client == record.client && row.priority == record.priority).collect();
        let mut order: Vec<&str> = peers.iter().map(|row| row.uid.as_str()).filter(|peer| *peer != uid).collect();
        let place = match before {
            None => 0,
            Some(before) if before == uid => return Ok(record),
            Some(before) => match order.iter().position(|peer| *peer == before) {
                Some(place) => place,
                None => {
                    by_uid(&mut tx, before).await?;
                    return Err(not_queued(before));
                }
            },
        };
        order.insert(place, uid);
        // The turns stay the same numbers, handed out anew.
        for (peer, row) in order.iter().zip(&peers) {
            sqlx::query(SET_TURN).bind(*peer).bind(row.turn).execute(&mut *tx).await.map_err(&failed)?;
        }
        self.commit_generation(tx, attempt, &record).await?;
        Ok(record)
    }

    /// Fails what waited until its time was over.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn expire_generations(&self) -> Result<Vec<GenerationRecord>, CatalogueError> {
        let attempt = "end what waited too long";
        // Most of the time there is none, and then nothing needs to be written.
        if self.next_generation_expiry().await?.is_none_or(|next| next > self.now()) {
            return Ok(Vec::new());
        }
        let failure = Failure::new(
            ErrorClass::DeadlineExceeded,
            reason::DEADLINE_EXCEEDED,
            "its time was over before its turn came",
        );
        let mut tx = self.write(attempt).await?;
        let rows: Vec<GenerationRow> = sqlx::query_as(EXPIRE)
            .bind(self.now().unix_ms())
            .bind(codec::failure_json(&failure))
            .fetch_all(&mut *tx)
            .await
            .map_err(could_not(attempt))?;
        let expired = rows.into_iter().map(|row| row.record(Vec::new())).collect::<Result<Vec<_>, _>>()?;
        let _order = self.journal.in_order().await;
        tx.commit().await.map_err(could_not(attempt))?;
        for record in &expired {
            self.journal.note(Happening::Generation(Box::new(record.clone())));
        }
        Ok(expired)
    }

    /// When the next one that waits is to fail.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn next_generation_expiry(&self) -> Result<Option<Timestamp>, CatalogueError> {
        let next: Option<i64> = sqlx::query_scalar(NEXT_EXPIRY)
            .fetch_one(&self.readers)
            .await
            .map_err(could_not("read when a generation expires"))?;
        Ok(codec::time(next))
    }

    /// Puts one that is being painted back into the queue, as if it had not been begun, because the daemon ends in order.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn requeue_generation(&self, uid: &str) -> Result<(), CatalogueError> {
        let attempt = "queue a generation again";
        let mut tx = self.write(attempt).await?;
        let row: Option<GenerationRow> =
            sqlx::query_as(REQUEUE).bind(uid).fetch_optional(&mut *tx).await.map_err(could_not(attempt))?;
        if let Some(row) = row {
            let record = row.record(Vec::new())?;
            self.commit_generation(tx, attempt, &record).await?;
        }
        Ok(())
    }

    /// At the daemon's start, when nothing can be running: what was being painted waits again or fails, and what was for a
    /// caller who is gone is cancelled. `why` is the message of those that fail.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn recover_generations(&self, policy: Interruption, why: &str) -> Result<Recovered, CatalogueError> {
        let attempt = "take up the queue of a former daemon";
        let failed = could_not(attempt);
        let now = self.now().unix_ms();
        let failure = codec::failure_json(
            &Failure::new(ErrorClass::Unavailable, reason::INTERRUPTED, why).with_hint("ask for it again"),
        );
        let most_attempts = match policy {
            Interruption::Fail => 0,
            Interruption::Requeue { most_attempts } => most_attempts,
        };
        let mut tx = self.write(attempt).await?;
        let cancelled = sqlx::query(CANCEL_TIED).bind(now).execute(&mut *tx).await.map_err(&failed)?.rows_affected();
        let again = sqlx::query(REQUEUE_INTERRUPTED).bind(most_attempts).execute(&mut *tx).await;
        let requeued = again.map_err(&failed)?.rows_affected();
        let ended = sqlx::query(FAIL_INTERRUPTED).bind(failure).bind(now).execute(&mut *tx).await;
        let failed_ones = ended.map_err(&failed)?.rows_affected();
        tx.commit().await.map_err(&failed)?;
        Ok(Recovered { requeued, failed: failed_ones, cancelled })
    }

    /// Whether the queue of generations is paused.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn generation_queue_is_paused(&self) -> Result<bool, CatalogueError> {
        sqlx::query_scalar(IS_QUEUE_PAUSED)
            .fetch_one(&self.readers)
            .await
            .map_err(could_not("read whether the queue is paused"))
    }

    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn pause_generation_queue(&self, paused: bool) -> Result<(), CatalogueError> {
        let changed = self.write_one("pause or resume the queue", sqlx::query(SET_QUEUE_PAUSED).bind(paused)).await?;
        if changed > 0 {
            self.journal.note(Happening::GenerationQueue { paused });
        }
        Ok(())
    }
}

/// How many wait for each client.
#[must_use]
pub fn by_client(waiting: &[Waiting]) -> BTreeMap<&str, u32> {
    let mut counts = BTreeMap::new();
    for one in waiting {
        *counts.entry(one.client.as_str()).or_default() += 1;
    }
    counts
}

fn not_queued(uid: &str) -> CatalogueError {
    CatalogueError::JobNotQueued { kind: KIND, uid: uid.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::new;
    use super::super::{GenerationOutcome, NewGeneration, QueueLimits};
    use super::*;
    use crate::testing::{clock_at, opened, opened_with};
    use paintbox_domain::Classify as _;
    use std::time::Duration;

    async fn order(catalogue: &Catalogue) -> Vec<String> {
        catalogue.waiting_generations().await.unwrap().into_iter().map(|one| one.uid).collect()
    }

    #[tokio::test]
    async fn those_that_wait_are_reordered_among_their_own() {
        let (catalogue, _home) = opened().await;
        for (uid, client, priority) in
            [("a", "x", 0), ("b", "y", 0), ("c", "x", 0), ("d", "x", 5), ("e", "x", 0), ("f", "y", 0)]
        {
            catalogue
                .create_generation(&NewGeneration { client: client.into(), priority, ..new(uid, None, 1) })
                .await
                .unwrap();
        }
        assert_eq!(order(&catalogue).await, ["d", "a", "b", "c", "e", "f"]);
        catalogue.reorder_generation("e", Some("a")).await.unwrap();
        assert_eq!(order(&catalogue).await, ["d", "e", "b", "a", "c", "f"], "the others keep their places");
        catalogue.reorder_generation("c", None).await.unwrap();
        assert_eq!(order(&catalogue).await, ["d", "c", "b", "e", "a", "f"]);
        catalogue.reorder_generation("c", Some("c")).await.unwrap();
        catalogue.set_generation_priority("f", 9).await.unwrap();
        assert_eq!(order(&catalogue).await, ["f", "d", "c", "b", "e", "a"]);
        for (uid, before, wanted) in [
            ("a", Some("b"), reason::JOB_NOT_QUEUED),
            ("a", Some("zz"), reason::JOB_NOT_FOUND),
            ("zz", None, reason::JOB_NOT_FOUND),
        ] {
            let refused = catalogue.reorder_generation(uid, before).await.unwrap_err();
            assert_eq!(refused.reason(), wanted, "{uid} before {before:?}");
        }
        catalogue.start_generation("a").await.unwrap().unwrap();
        assert_eq!(catalogue.reorder_generation("a", None).await.unwrap_err().reason(), reason::JOB_NOT_QUEUED);
        assert_eq!(catalogue.set_generation_priority("a", 1).await.unwrap_err().reason(), reason::JOB_NOT_QUEUED);
        assert_eq!(catalogue.set_generation_priority("q", 1).await.unwrap_err().reason(), reason::JOB_NOT_FOUND);
        assert_eq!(order(&catalogue).await, ["f", "d", "c", "b", "e"]);
    }

    #[tokio::test]
    async fn the_queue_is_limited_altogether_and_for_each_client() {
        let (catalogue, _home) = opened().await;
        let limits = QueueLimits { all: 3, of_one_client: 2 };
        let one = |uid: &str, client: &str| NewGeneration { client: client.into(), limits, ..new(uid, Some(uid), 1) };
        for uid in ["a", "b"] {
            catalogue.create_generation(&one(uid, "x")).await.unwrap();
        }
        let full = catalogue.create_generation(&one("c", "x")).await.unwrap_err();
        assert_eq!((full.reason(), full.class()), (reason::QUEUE_FULL, ErrorClass::Exhausted));
        assert!(full.to_string().contains("for x"), "{full}");
        catalogue.create_generation(&one("d", "y")).await.unwrap();
        assert_eq!(catalogue.create_generation(&one("e", "z")).await.unwrap_err().reason(), reason::QUEUE_FULL);
        // Whoever repeats itself has its generation already.
        assert_eq!(catalogue.create_generation(&one("a", "x")).await.unwrap().uid, "a");
        catalogue.finish_generation("a", &GenerationOutcome::Cancelled).await.unwrap();
        catalogue.create_generation(&one("f", "x")).await.unwrap();
        let waiting = catalogue.waiting_generations().await.unwrap();
        assert_eq!(by_client(&waiting), [("x", 2), ("y", 1)].into());
    }

    #[tokio::test]
    async fn what_waits_too_long_fails_at_its_time() {
        let clock = clock_at(1_000);
        let (catalogue, _home) = opened_with(clock.clone()).await;
        let at = |ms| Some(Timestamp::from_unix_ms(ms));
        for (uid, expires_at) in [("a", at(5_000)), ("b", None), ("c", at(3_000))] {
            catalogue.create_generation(&NewGeneration { expires_at, ..new(uid, None, 1) }).await.unwrap();
        }
        assert_eq!(catalogue.next_generation_expiry().await.unwrap(), at(3_000));
        assert!(catalogue.expire_generations().await.unwrap().is_empty());
        clock.advance(Duration::from_secs(2));
        let expired = catalogue.expire_generations().await.unwrap();
        assert_eq!((expired.len(), expired[0].uid.as_str()), (1, "c"));
        assert_eq!(expired[0].failure.as_ref().unwrap().reason, reason::DEADLINE_EXCEEDED);
        assert_eq!(catalogue.next_generation_expiry().await.unwrap(), at(5_000));
        assert_eq!(order(&catalogue).await, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_start_takes_up_what_was_left_as_often_as_it_may() {
        let (catalogue, _home) = opened().await;
        let requeue = Interruption::Requeue { most_attempts: 2 };
        for (uid, is_tied) in [("a", false), ("b", true), ("c", true), ("d", false)] {
            catalogue.create_generation(&NewGeneration { is_tied, ..new(uid, None, 1) }).await.unwrap();
        }
        catalogue.start_generation("a").await.unwrap().unwrap();
        catalogue.start_generation("b").await.unwrap().unwrap();
        let recovered = catalogue.recover_generations(requeue, "it ended").await.unwrap();
        assert_eq!(recovered, Recovered { requeued: 1, failed: 1, cancelled: 1 });
        assert_eq!(order(&catalogue).await, ["a", "d"]);
        assert_eq!(catalogue.generation("b").await.unwrap().failure.unwrap().reason, reason::INTERRUPTED);
        assert_eq!(catalogue.generation("c").await.unwrap().state, JobState::Cancelled);
        // An end in order does not count; a second one that was none is the last.
        let again = catalogue.start_generation("a").await.unwrap().unwrap();
        assert_eq!(again.attempts, 2);
        catalogue.requeue_generation("a").await.unwrap();
        assert_eq!(catalogue.generation("a").await.unwrap().attempts, 1);
        catalogue.start_generation("a").await.unwrap().unwrap();
        let recovered = catalogue.recover_generations(requeue, "it ended").await.unwrap();
        assert_eq!(recovered, Recovered { failed: 1, ..Recovered::default() });
        catalogue.start_generation("d").await.unwrap().unwrap();
        let recovered = catalogue.recover_generations(Interruption::Fail, "it ended").await.unwrap();
        assert_eq!(recovered, Recovered { failed: 1, ..Recovered::default() });
    }

    #[tokio::test]
    async fn a_pause_lasts_and_is_told_once() {
        let (catalogue, _home) = opened().await;
        assert!(!catalogue.generation_queue_is_paused().await.unwrap());
        for paused in [true, true, false] {
            catalogue.pause_generation_queue(paused).await.unwrap();
            assert_eq!(catalogue.generation_queue_is_paused().await.unwrap(), paused);
        }
        assert_eq!(catalogue.journal().sequence(), 2);
    }
}
