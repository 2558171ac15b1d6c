//! Connections for reading. A pool of sqlx pings a connection each time that one is given back, from a task of its own,
//! and every exchange with a connection's thread wakes two threads; for a read of one statement that is most of its price.
//! A connection into this process cannot break off, so these are given back as they are.

use crate::error::{CatalogueError, could_not};
use crate::still::Still;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::sqlite::{SqliteConnectOptions, SqliteQueryResult, SqliteRow, SqliteStatement, SqliteTypeInfo};
use sqlx::{Connection, Describe, Either, Execute, Executor, SqlStr, Sqlite, SqliteConnection, Transaction};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a read waits for its turn.
const TURN: Duration = Duration::from_secs(30);

/// So many connections at most, each opened when it is first wanted and closed when nobody has read for a while.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    most: usize,
    options: Arc<SqliteConnectOptions>,
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
    reads: Arc<Still>,
}

impl Readers {
    pub(crate) fn new(most: usize, options: SqliteConnectOptions) -> Self {
        let turns = Arc::new(Semaphore::new(most));
        Self { most, options: Arc::new(options), turns, idle: Arc::default(), reads: Arc::default() }
    }

    #[cfg(test)]
    pub(crate) fn options(&self) -> (usize, &SqliteConnectOptions) {
        (self.most, &self.options)
    }

    /// One of them, as soon as one is free.
    pub(crate) async fn acquire(&self) -> sqlx::Result<Reader> {
        let turn = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(turn) => turn,
            Err(_) => tokio::time::timeout(TURN, Arc::clone(&self.turns).acquire_owned())
                .await
                .map_err(|_| sqlx::Error::PoolTimedOut)?
                .map_err(|_| sqlx::Error::PoolClosed)?,
        };
        let idle = Arc::clone(&self.idle);
        self.reads.stirred(move || async move { drop(std::mem::take(&mut *lock(&idle))) });
        let idle = lock(&self.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await?,
        };
        Ok(Reader { connection: Some(connection), idle: Arc::clone(&self.idle), _turn: turn })
    }

    /// Waits until every connection was given back, and closes them; there are none any more after that.
    pub(crate) async fn close(&self) {
        // An error says that they are closed already.
        if let Ok(_all) = self.turns.acquire_many(u32::try_from(self.most).unwrap_or(u32::MAX)).await {
            self.turns.close();
        }
        let idle = std::mem::take(&mut *lock(&self.idle));
        for connection in idle {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a connection could not be closed in order");
            }
        }
    }
}

fn lock(idle: &Mutex<Vec<SqliteConnection>>) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that comes back by itself.
#[derive(Debug)]
pub(crate) struct Reader {
    /// There until it is given back.
    connection: Option<SqliteConnection>,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
    _turn: OwnedSemaphorePermit,
}

impl Reader {
    /// One state of the catalogue for several statements.
    pub(crate) async fn snapshot(&mut self, attempt: &'static str) -> Result<Transaction<'_, Sqlite>, CatalogueError> {
        self.begin().await.map_err(could_not(attempt))
    }
}

impl Deref for Reader {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.connection.as_ref().expect("it is given back at the end alone")
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("it is given back at the end alone")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        lock(&self.idle).extend(self.connection.take());
    }
}

/// For reads of one statement.
impl<'c> Executor<'c> for &'c Readers {
    type Database = Sqlite;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<SqliteQueryResult, SqliteRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        let all = async move {
            let all: Vec<_> = self.acquire().await?.fetch_many(query).try_collect().await?;
            Ok::<_, sqlx::Error>(stream::iter(all.into_iter().map(Ok)))
        };
        stream::once(all).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<SqliteRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        Box::pin(async move { self.acquire().await?.fetch_optional(query).await })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [SqliteTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<SqliteStatement>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.acquire().await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Sqlite>>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.acquire().await?.describe(sql).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::opened;
    use std::pin::pin;
    use std::task::Poll;

    async fn numbers(connection: &mut SqliteConnection, up_to: i64) -> sqlx::Result<Vec<i64>> {
        let count = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT i FROM n";
        sqlx::query_scalar(count).bind(up_to).fetch_all(connection).await
    }

    #[tokio::test]
    async fn a_reader_that_was_left_in_the_middle_reads_on_for_the_next() {
        let (catalogue, _home) = opened().await;
        for _ in 0..20 {
            let mut reader = catalogue.readers.acquire().await.unwrap();
            {
                let mut left = pin!(numbers(&mut reader, 100_000));
                assert!(matches!(futures::poll!(&mut left), Poll::Pending));
            }
            drop(reader);
            let mut reader = catalogue.readers.acquire().await.unwrap();
            assert_eq!(numbers(&mut reader, 3).await.unwrap(), [1, 2, 3]);
        }
    }

    #[tokio::test]
    async fn a_snapshot_stays_what_it_was_and_ends_when_it_is_let_go() {
        let (catalogue, _home) = opened().await;
        let count = "SELECT count(*) FROM tag";
        let mut reader = catalogue.readers.acquire().await.unwrap();
        let mut snapshot = reader.snapshot("look").await.unwrap();
        let before: i64 = sqlx::query_scalar(count).fetch_one(&mut *snapshot).await.unwrap();
        sqlx::query("INSERT INTO tag (name) VALUES ('new')").execute(&catalogue.writer).await.unwrap();
        let still: i64 = sqlx::query_scalar(count).fetch_one(&mut *snapshot).await.unwrap();
        assert_eq!((before, still), (0, 0));
        drop(snapshot);
        let after: i64 = sqlx::query_scalar(count).fetch_one(&mut *reader).await.unwrap();
        assert_eq!(after, 1);
    }

    #[tokio::test]
    async fn one_more_than_there_are_waits_for_its_turn() {
        let (catalogue, _home) = opened().await;
        let (most, _) = catalogue.readers.options();
        let mut out = Vec::new();
        for _ in 0..most {
            out.push(catalogue.readers.acquire().await.unwrap());
        }
        let mut next = pin!(catalogue.readers.acquire());
        assert!(matches!(futures::poll!(&mut next), Poll::Pending));
        drop(out.pop());
        drop(next.await.unwrap());
    }

    #[tokio::test]
    async fn connections_are_closed_when_nobody_has_read_for_a_while() {
        let (catalogue, _home) = opened().await;
        drop(catalogue.readers.acquire().await.unwrap());
        assert_eq!(lock(&catalogue.readers.idle).len(), 1);
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(600)).await;
        tokio::time::resume();
        assert_eq!(lock(&catalogue.readers.idle).len(), 0);
        drop(catalogue.readers.acquire().await.unwrap());
    }
}
