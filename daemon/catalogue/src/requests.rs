//! Requests to create something that came with an id of their caller's (AIP-155), with what they were answered, so that a
//! repetition gets the same answer, also from the next life of the daemon.

use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::statements::statements;
use paintbox_domain::Sha256;
use std::time::Duration;

/// How long an answer is kept. Nobody repeats a request for longer.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A request by its caller's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifiedRequest {
    /// What it creates, in words.
    pub kind: &'static str,
    pub id: String,
    /// Equal exactly when the same is asked for.
    pub digest: Sha256,
}

/// What is known of a request when it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: it comes for the first time, or was refused before.
    New,
    /// Work on it was begun and broken off by the daemon's end, so that what it creates may be there.
    BrokenOff,
    /// It was answered with these bytes.
    Answered(Vec<u8>),
}

statements! {
    ANSWERED_REQUEST = "SELECT request_digest, answer FROM answered_request WHERE request_id = ?1";
    INSERT_REQUEST = "INSERT INTO answered_request (request_id, request_digest, asked_ms) VALUES (?1, ?2, ?3)";
    SET_ANSWER = "UPDATE answered_request SET answer = ?2 WHERE request_id = ?1";
    DELETE_REQUEST = "DELETE FROM answered_request WHERE request_id = ?1 AND answer IS NULL";
    DELETE_OLD_REQUESTS = "DELETE FROM answered_request WHERE asked_ms < ?1";
}

impl Catalogue {
    /// Notes that work on a request begins, unless it was answered before.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED` when the id came with another request; when the catalogue cannot be written.
    pub async fn begin_request(&self, request: &IdentifiedRequest) -> Result<Asked, CatalogueError> {
        let attempt = "look for a request's answer";
        let failed = could_not(attempt);
        let mut tx = self.write(attempt).await?;
        let known: Option<(Vec<u8>, Option<Vec<u8>>)> =
            sqlx::query_as(ANSWERED_REQUEST).bind(&request.id).fetch_optional(&mut *tx).await.map_err(&failed)?;
        match known {
            Some((digest, _)) if digest != request.digest.as_bytes() => {
                Err(CatalogueError::RequestIdReused { kind: request.kind, request_id: request.id.clone() })
            }
            Some((_, Some(answer))) => Ok(Asked::Answered(answer)),
            Some((_, None)) => Ok(Asked::BrokenOff),
            None => {
                let now = self.now();
                let oldest = now.unix_ms().saturating_sub(i64::try_from(KEPT_FOR.as_millis()).unwrap_or(i64::MAX));
                sqlx::query(DELETE_OLD_REQUESTS).bind(oldest).execute(&mut *tx).await.map_err(&failed)?;
                sqlx::query(INSERT_REQUEST)
                    .bind(&request.id)
                    .bind(&request.digest.as_bytes()[..])
                    .bind(now.unix_ms())
                    .execute(&mut *tx)
                    .await
                    .map_err(&failed)?;
                self.commit(tx, attempt).await?;
                Ok(Asked::New)
            }
        }
    }

    /// Keeps what a request was answered.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn answer_request(&self, id: &str, answer: &[u8]) -> Result<(), CatalogueError> {
        self.write_one("keep a request's answer", sqlx::query(SET_ANSWER).bind(id).bind(answer)).await?;
        Ok(())
    }

    /// Forgets a request that was refused, so that it can be tried again.
    ///
    /// # Errors
    /// When the catalogue cannot be written.
    pub async fn refuse_request(&self, id: &str) -> Result<(), CatalogueError> {
        self.write_one("forget a refused request", sqlx::query(DELETE_REQUEST).bind(id)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{clock_at, opened, opened_with, sha};
    use paintbox_domain::{Classify as _, ErrorClass, reason};

    fn request(id: &str, digest: u8) -> IdentifiedRequest {
        IdentifiedRequest { kind: "follow", id: id.to_owned(), digest: sha(digest) }
    }

    #[tokio::test]
    async fn an_answer_is_given_again_to_the_same_request_alone() {
        let (catalogue, _home) = opened().await;
        assert_eq!(catalogue.begin_request(&request("r", 1)).await.unwrap(), Asked::New);
        assert_eq!(catalogue.begin_request(&request("r", 1)).await.unwrap(), Asked::BrokenOff);
        catalogue.answer_request("r", b"it is there").await.unwrap();
        let answered = Asked::Answered(b"it is there".to_vec());
        assert_eq!(catalogue.begin_request(&request("r", 1)).await.unwrap(), answered);
        let other = catalogue.begin_request(&request("r", 2)).await.unwrap_err();
        assert_eq!((other.reason(), other.class()), (reason::REQUEST_ID_REUSED, ErrorClass::Conflict));
        assert_eq!(catalogue.begin_request(&request("s", 2)).await.unwrap(), Asked::New);
    }

    #[tokio::test]
    async fn what_was_refused_can_be_tried_again_and_what_was_answered_cannot_be_refused() {
        let (catalogue, _home) = opened().await;
        catalogue.begin_request(&request("r", 1)).await.unwrap();
        catalogue.refuse_request("r").await.unwrap();
        assert_eq!(catalogue.begin_request(&request("r", 2)).await.unwrap(), Asked::New);
        catalogue.answer_request("r", b"").await.unwrap();
        catalogue.refuse_request("r").await.unwrap();
        assert_eq!(catalogue.begin_request(&request("r", 2)).await.unwrap(), Asked::Answered(Vec::new()));
    }

    #[tokio::test]
    async fn old_answers_make_room() {
        let clock = clock_at(1_000);
        let (catalogue, _home) = opened_with(clock.clone()).await;
        catalogue.begin_request(&request("old", 1)).await.unwrap();
        catalogue.answer_request("old", b"x").await.unwrap();
        clock.advance(KEPT_FOR);
        catalogue.begin_request(&request("new", 2)).await.unwrap();
        assert!(matches!(catalogue.begin_request(&request("old", 1)).await.unwrap(), Asked::Answered(_)));
        clock.advance(Duration::from_millis(1));
        catalogue.begin_request(&request("newer", 3)).await.unwrap();
        assert_eq!(catalogue.begin_request(&request("old", 9)).await.unwrap(), Asked::New);
    }
}
