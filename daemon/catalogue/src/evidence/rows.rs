//! Many rows in one statement. A statement costs a round trip to SQLite's thread, which is more than a row does, and a
//! page of a hub's list is some two thousand rows.

use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, Encode, FromRow, Sqlite, SqliteConnection, Type};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

/// Rows of one statement.
pub(crate) const ROWS: usize = 128;

/// `(VALUES …)` with [`ROWS`] rows like the one given. What is not bound is null, so the statements take the rows whose
/// first column is not.
macro_rules! given {
    ($row:literal) => {
        concat!(
            "(VALUES ",
            $crate::evidence::rows::thirty_two!($row),
            ", ",
            $crate::evidence::rows::thirty_two!($row),
            ", ",
            $crate::evidence::rows::thirty_two!($row),
            ", ",
            $crate::evidence::rows::thirty_two!($row),
            ")"
        )
    };
}
pub(crate) use given;

macro_rules! thirty_two {
    ($row:literal) => {
        concat!($crate::evidence::rows::sixteen!($row), ", ", $crate::evidence::rows::sixteen!($row))
    };
}
pub(crate) use thirty_two;

macro_rules! sixteen {
    ($row:literal) => {
        concat!(
            $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ",
            $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row
        )
    };
}
pub(crate) use sixteen;

/// A statement and the values of its parameters.
pub(crate) struct Statement {
    sql: &'static str,
    values: SqliteArguments,
    /// Why a value could not become a parameter.
    refused: Option<BoxDynError>,
}

impl Statement {
    pub(crate) fn new(sql: &'static str) -> Self {
        Self { sql, values: SqliteArguments::default(), refused: None }
    }

    /// Binds the next parameter.
    pub(crate) fn bind<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        if let Err(refused) = self.values.add(value) {
            self.refused = Some(refused);
        }
        self
    }

    /// The same for a text, which in this form is copied once and not twice on its way to SQLite.
    pub(crate) fn text<'t>(&mut self, text: impl Into<Option<&'t str>>) -> &mut Self {
        self.bind(text.into().map(Arc::<str>::from))
    }

    pub(crate) fn bytes<'t>(&mut self, bytes: impl Into<Option<&'t [u8]>>) -> &mut Self {
        self.bind(bytes.into())
    }
}

/// The statements that write any number of rows, in order, by one that was made with [`given!`].
pub(crate) fn statements<'a, T>(
    sql: &'static str,
    rows: &'a [T],
    bind: impl Fn(&mut Statement, &T) + 'a,
) -> impl Iterator<Item = Statement> + 'a {
    rows.chunks(ROWS).map(move |rows| {
        let mut statement = Statement::new(sql);
        rows.iter().for_each(|row| bind(&mut statement, row));
        statement
    })
}

/// Runs statements one after the other. While SQLite's thread is busy with one, the next is made on this one.
pub(crate) async fn run(
    connection: &mut SqliteConnection,
    mut statements: impl Iterator<Item = Statement>,
) -> Result<(), sqlx::Error> {
    let mut next = statements.next();
    while let Some(statement) = next {
        if let Some(refused) = statement.refused {
            return Err(sqlx::Error::Encode(refused));
        }
        let mut running = pin!(sqlx::query_with(statement.sql, statement.values).execute(&mut *connection));
        // The first poll hands it over.
        let done = poll_fn(|context| Poll::Ready(running.as_mut().poll(context))).await;
        next = statements.next();
        match done {
            Poll::Ready(done) => done?,
            Poll::Pending => running.await?,
        };
    }
    Ok(())
}

/// The rows that a statement finds.
pub(crate) async fn fetch<R>(connection: &mut SqliteConnection, statement: Statement) -> Result<Vec<R>, sqlx::Error>
where
    R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    if let Some(refused) = statement.refused {
        return Err(sqlx::Error::Encode(refused));
    }
    sqlx::query_as_with(statement.sql, statement.values).fetch_all(connection).await
}
