//! What became of generations: listed, looked through, deleted and had back.

use super::{GenerationRecord, GenerationRow, KIND, by_uid, columns, records};
use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::page;
use crate::statements::statements;
use paintbox_domain::Timestamp;

/// Rows that are looked at together when most of them may not be wanted.
const BATCH: usize = 200;

/// Of texts on a page, which has to fit into a message; a page has one generation at least.
const LARGEST_PAGE_BYTES: usize = 512 << 10;

/// Which generations to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GenerationQuery {
    /// Equal exactly when the same ones pass.
    pub filter: String,
    pub with_deleted: bool,
    /// 0 means 50; more than 500 means 500.
    pub page_size: u32,
    pub page_token: Option<String>,
}

/// One page of generations.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationPage {
    pub generations: Vec<GenerationRecord>,
    /// None on the last page.
    pub next_page_token: Option<String>,
}

statements! {
    GENERATIONS = concat!(
        "SELECT ", columns!(), " FROM generation WHERE generation_id < ?1 AND (?2 OR deleted_ms IS NULL) \
         ORDER BY generation_id DESC LIMIT ?3"
    );
    SET_DELETED = "
        UPDATE generation SET deleted_ms = ?2
        WHERE uid = ?1 AND state IN ('succeeded', 'failed', 'cancelled') AND (deleted_ms IS NULL) <> (?2 IS NULL)";
    DELETE_ENDED_BEFORE = "
        UPDATE generation SET deleted_ms = ?2
        WHERE ended_ms < ?1 AND deleted_ms IS NULL AND state IN ('succeeded', 'failed', 'cancelled')";
    PURGE_IMAGES = "
        DELETE FROM generation_image WHERE generation_id IN (SELECT generation_id FROM generation WHERE deleted_ms <= ?1)";
    PURGE_INPUTS = "
        DELETE FROM generation_input WHERE generation_id IN (SELECT generation_id FROM generation WHERE deleted_ms <= ?1)";
    PURGE = "DELETE FROM generation WHERE deleted_ms <= ?1";
    NEXT_PURGE = "SELECT min(deleted_ms) FROM generation WHERE deleted_ms IS NOT NULL";
}

impl Catalogue {
    /// Generations that pass, newest first.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID` when the token is from a listing with another filter; when the catalogue cannot be read.
    pub async fn generations(
        &self,
        query: &GenerationQuery,
        passes: &(dyn Fn(&GenerationRecord) -> bool + Send + Sync),
    ) -> Result<GenerationPage, CatalogueError> {
        let attempt = "read generations";
        let listing = format!("generations {} {}", query.with_deleted, query.filter);
        let [mut before] = page::keys(&listing, query.page_token.as_deref())?.unwrap_or([i64::MAX]);
        let size = page::size(query.page_size);
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        loop {
            let batch = BATCH.max(size + 1);
            let rows: Vec<GenerationRow> = sqlx::query_as(GENERATIONS)
                .bind(before)
                .bind(query.with_deleted)
                .bind(crate::codec::position(batch))
                .fetch_all(&mut *tx)
                .await
                .map_err(could_not(attempt))?;
            let ids: Vec<i64> = rows.iter().map(|row| row.generation_id).collect();
            let is_last = rows.len() < batch;
            for (id, record) in ids.iter().zip(records(&mut tx, rows).await?) {
                if !passes(&record) {
                    continue;
                }
                bytes += record.text_bytes();
                if found.len() == size || (bytes > LARGEST_PAGE_BYTES && !found.is_empty()) {
                    return Ok(GenerationPage {
                        generations: found,
                        next_page_token: Some(page::token(&listing, [before])),
                    });
                }
                found.push(record);
                before = *id;
            }
            match ids.last() {
                Some(last) if !is_last => before = *last,
                _ => return Ok(GenerationPage { generations: found, next_page_token: None }),
            }
        }
    }

    /// Takes one that has ended out of the history, or back into it.
    ///
    /// # Errors
    /// `JOB_NOT_FOUND`; `JOB_NOT_ENDED`; when the catalogue cannot be written.
    pub async fn delete_generation(&self, uid: &str, deleted: bool) -> Result<GenerationRecord, CatalogueError> {
        let attempt = "delete a generation";
        let mut tx = self.write(attempt).await?;
        let at = deleted.then(|| self.now().unix_ms());
        let set = sqlx::query(SET_DELETED).bind(uid).bind(at).execute(&mut *tx).await;
        let changed = set.map_err(could_not(attempt))?.rows_affected() > 0;
        let record = by_uid(&mut tx, uid).await?;
        if !record.state.is_terminal() {
            return Err(CatalogueError::JobNotEnded { kind: KIND, uid: uid.to_owned() });
        }
        if changed {
            self.commit_generation(tx, attempt, &record).await?;
        }
        Ok(record)
    }

    /// Deletes what ended before `before`, as its owner would one by one; how many.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn delete_old_generations(&self, before: Timestamp) -> Result<u64, CatalogueError> {
        let statement = sqlx::query(DELETE_ENDED_BEFORE).bind(before.unix_ms()).bind(self.now().unix_ms());
        self.write_one("delete old generations", statement).await
    }

    /// Forgets for good what was deleted at `until` or before; how many. Nothing keeps their pictures any more.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn purge_generations(&self, until: Timestamp) -> Result<u64, CatalogueError> {
        let attempt = "purge generations";
        let oldest: Option<i64> =
            sqlx::query_scalar(NEXT_PURGE).fetch_one(&self.readers).await.map_err(could_not(attempt))?;
        // Most of the time there is none, and then nothing needs to be written.
        if oldest.is_none_or(|oldest| oldest > until.unix_ms()) {
            return Ok(0);
        }
        let mut tx = self.write(attempt).await?;
        for pictures in [PURGE_IMAGES, PURGE_INPUTS] {
            let purged = sqlx::query(pictures).bind(until.unix_ms()).execute(&mut *tx).await;
            purged.map_err(could_not(attempt))?;
        }
        let purged = sqlx::query(PURGE).bind(until.unix_ms()).execute(&mut *tx).await.map_err(could_not(attempt))?;
        tx.commit().await.map_err(could_not(attempt))?;
        Ok(purged.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::new;
    use super::super::{GenerationOutcome, NewGeneration, NewGenerationImage};
    use super::*;
    use crate::testing::{asset, clock_at, opened, opened_with, sha};
    use paintbox_domain::generation::JobState;
    use paintbox_domain::{Classify as _, ErrorClass, Failure, reason};
    use std::time::Duration;

    fn uids(page: &GenerationPage) -> Vec<&str> {
        page.generations.iter().map(|one| one.uid.as_str()).collect()
    }

    #[tokio::test]
    async fn generations_are_listed_newest_first_as_far_as_they_pass() {
        let (catalogue, _home) = opened().await;
        for uid in ["a", "b", "c", "d"] {
            catalogue.create_generation(&new(uid, None, 1)).await.unwrap();
        }
        let failure = Failure::new(ErrorClass::Internal, reason::ENGINE_FAILED, "no");
        let failed = catalogue.finish_generation("b", &GenerationOutcome::Failed(failure.clone())).await.unwrap();
        assert_eq!(failed.failure, Some(failure));
        let queued = |record: &GenerationRecord| record.state == JobState::Queued;
        let mut query = GenerationQuery { filter: "queued".into(), page_size: 2, ..GenerationQuery::default() };
        let first = catalogue.generations(&query, &queued).await.unwrap();
        assert_eq!(uids(&first), ["d", "c"]);
        query.page_token = first.next_page_token;
        let second = catalogue.generations(&query, &queued).await.unwrap();
        assert_eq!((uids(&second), second.next_page_token.as_ref()), (vec!["a"], None));
        query.filter = String::new();
        assert_eq!(catalogue.generations(&query, &|_| true).await.unwrap_err().reason(), reason::PAGE_TOKEN_INVALID);
    }

    #[tokio::test]
    async fn a_page_is_filled_from_as_many_batches_as_it_takes() {
        let (catalogue, _home) = opened().await;
        for number in 0..3 * BATCH {
            catalogue.create_generation(&new(&format!("{number}"), None, 1)).await.unwrap();
        }
        let rare = |record: &GenerationRecord| record.uid.parse::<usize>().unwrap().is_multiple_of(BATCH - 1);
        let mut query = GenerationQuery { filter: "rare".into(), page_size: 3, ..GenerationQuery::default() };
        let first = catalogue.generations(&query, &rare).await.unwrap();
        assert_eq!(uids(&first), ["597", "398", "199"]);
        query.page_token = first.next_page_token;
        let second = catalogue.generations(&query, &rare).await.unwrap();
        assert_eq!((uids(&second), second.next_page_token.as_ref()), (vec!["0"], None));
    }

    #[tokio::test]
    async fn long_prompts_make_short_pages() {
        let (catalogue, _home) = opened().await;
        for uid in ["a", "b", "c"] {
            let spec_json = "x".repeat(300 << 10);
            catalogue.create_generation(&NewGeneration { spec_json, ..new(uid, None, 1) }).await.unwrap();
        }
        let mut query = GenerationQuery::default();
        let mut pages = Vec::new();
        loop {
            let page = catalogue.generations(&query, &|_| true).await.unwrap();
            pages.push(uids(&page).join(" "));
            query.page_token = page.next_page_token;
            if query.page_token.is_none() {
                break;
            }
        }
        assert_eq!(pages, ["c", "b", "a"]);
    }

    #[tokio::test]
    async fn what_is_deleted_can_be_had_back_until_it_is_purged() {
        let clock = clock_at(1_000);
        let (catalogue, _home) = opened_with(clock.clone()).await;
        catalogue.record_asset(&asset(8)).await.unwrap();
        let starts_from = NewGeneration { inputs: vec![sha(8), sha(99)], ..new("a", None, 1) };
        catalogue.create_generation(&starts_from).await.unwrap();
        assert_eq!(catalogue.delete_generation("a", true).await.unwrap_err().reason(), reason::JOB_NOT_ENDED);
        catalogue.start_generation("a").await.unwrap();
        let image = NewGenerationImage { asset: asset(7), seed: 1, parameters_text: "p".into() };
        let outcome = GenerationOutcome::Succeeded { settings_json: "{}".into(), images: vec![image] };
        catalogue.finish_generation("a", &outcome).await.unwrap();
        let deleted = catalogue.delete_generation("a", true).await.unwrap();
        assert_eq!(deleted.deleted_at, Some(Timestamp::from_unix_ms(1_000)));
        let query = GenerationQuery::default();
        assert!(catalogue.generations(&query, &|_| true).await.unwrap().generations.is_empty());
        let all = GenerationQuery { with_deleted: true, ..GenerationQuery::default() };
        assert_eq!(uids(&catalogue.generations(&all, &|_| true).await.unwrap()), ["a"]);
        assert_eq!(catalogue.delete_generation("a", false).await.unwrap().deleted_at, None);
        assert_eq!(catalogue.purge_generations(Timestamp::from_unix_ms(9_000)).await.unwrap(), 0);

        clock.advance(Duration::from_secs(10));
        assert_eq!(catalogue.delete_old_generations(Timestamp::from_unix_ms(1_000)).await.unwrap(), 0);
        assert_eq!(catalogue.delete_old_generations(Timestamp::from_unix_ms(1_001)).await.unwrap(), 1);
        assert_eq!(catalogue.purge_generations(Timestamp::from_unix_ms(10_999)).await.unwrap(), 0);
        let pictures = catalogue.unused_pictures(Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(99_000));
        assert!(pictures.await.unwrap().is_empty(), "it can be had back with its pictures");
        assert_eq!(catalogue.purge_generations(Timestamp::from_unix_ms(11_000)).await.unwrap(), 1);
        assert_eq!(catalogue.delete_generation("a", false).await.unwrap_err().reason(), reason::JOB_NOT_FOUND);
        // Its pictures, those that it started from too, are needed by nothing from now on.
        let (never, later) = (Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(99_000));
        let unused = catalogue.unused_pictures(never, later).await.unwrap();
        assert_eq!(unused.iter().map(|picture| picture.sha256).collect::<Vec<_>>(), [sha(8), sha(7)]);
        assert!(catalogue.unused_pictures(later, never).await.unwrap().is_empty());
    }
}
