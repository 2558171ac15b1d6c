//! The catalogue as text: what `paintbox catalogue export` writes and `import` reads.
//!
//! NDJSON: one JSON object a line, each line ended by a line feed, in this order.
//!
//! 1. The header: `{"format":"paintbox-catalogue","format_version":1,"paintbox":"0.1.0","layout":20261127000003,
//!    "rows":{"artifact":2,…}}`. `layout` is the number of the newest migration, `rows` how many rows each table has.
//! 2. One line a row: `{"table":"model","row":{"model_id":1,…}}`. Tables come in the order of their names, except that
//!    `sqlite_sequence`, which holds the numbers that are never given again, is the last; rows in that of their keys;
//!    columns as the table has them, all of them.
//! 3. The end: `{"end":true,"rows":12345,"sha256":"…"}`, with the number of row lines and the digest of every byte before
//!    this line, so that an export which was cut short or changed is known as such.
//!
//! A NULL is `null`, an INTEGER a number of up to 64 bits, a TEXT a string. What JSON has no form for is an object with one
//! member: `{"blob":"…"}` in base64 with padding, `{"real":"0.5"}` in the shortest decimal that gives the same bits, or
//! `inf` and `-inf`, and `{"text":"…"}`, again base64, for a TEXT that is no UTF-8.
//!
//! Every table that is not derived is there, whichever it is, so a new one needs no word here. Derived are indexes,
//! virtual tables with what they keep, what searches have packed (`search_…`), and SQLite's statistics; an import makes them anew. The same catalogue always gives
//! the same bytes.

use crate::error::{CatalogueError, could_not};
use crate::statements::statements;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection, TypeInfo as _, ValueRef as _};
use std::collections::BTreeMap;
use std::fmt;

pub(crate) const FORMAT: &str = "paintbox-catalogue";
pub(crate) const FORMAT_VERSION: u32 = 1;
/// The table of numbers that are never given again, which SQLite itself keeps.
pub(crate) const SEQUENCES: &str = "sqlite_sequence";

statements! {
    /// Shadow and virtual tables are of other types.
    TABLES = "
        SELECT name, wr FROM pragma_table_list
        WHERE schema = 'main' AND type = 'table' AND name <> '_sqlx_migrations'
            AND (name NOT LIKE 'sqlite\\_%' ESCAPE '\\' OR name = 'sqlite_sequence')
            AND name NOT LIKE 'search\\_%' ESCAPE '\\'
        ORDER BY name = 'sqlite_sequence', name";
    /// Computed columns are not listed.
    COLUMNS = "SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid";
}

/// A table with what is needed to read and write all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    /// Rows in the order of their keys.
    pub(crate) select: String,
    /// Up to the values.
    pub(crate) insert: String,
    /// With the values of [`Table::rows_at_once`] rows.
    pub(crate) insert_many: String,
    pub(crate) rows_at_once: usize,
}

/// Values of one statement.
const VALUES_AT_ONCE: usize = 512;

/// Every table that is not derived, in the order in which they are exported.
pub(crate) async fn tables(connection: &mut SqliteConnection) -> Result<Vec<Table>, sqlx::Error> {
    let found: Vec<(String, bool)> = sqlx::query_as(TABLES).fetch_all(&mut *connection).await?;
    let mut tables = Vec::new();
    for (name, is_without_rowid) in found {
        let mut columns: Vec<(String, i64)> = sqlx::query_as(COLUMNS).bind(&name).fetch_all(&mut *connection).await?;
        let names: Vec<String> = columns.iter().map(|(column, _)| column.clone()).collect();
        let list = names.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        let order = if is_without_rowid {
            columns.retain(|(_, position)| *position > 0);
            columns.sort_by_key(|(_, position)| *position);
            columns.iter().map(|(column, _)| quoted(column)).collect::<Vec<_>>().join(", ")
        } else {
            "rowid".to_owned()
        };
        let rows_at_once = (VALUES_AT_ONCE / names.len().max(1)).max(1);
        let row = format!("({})", vec!["?"; names.len()].join(", "));
        let table = quoted(&name);
        let insert = format!("INSERT INTO {table} ({list}) VALUES");
        tables.push(Table {
            select: format!("SELECT {list} FROM {table} ORDER BY {order}"),
            insert_many: format!("{insert} {}", vec![row; rows_at_once].join(", ")),
            insert,
            rows_at_once,
            columns: names,
            name,
        });
    }
    Ok(tables)
}

/// A name as SQL has it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: String,
    pub(crate) format_version: u32,
    /// The release that wrote it, for people.
    pub(crate) paintbox: String,
    pub(crate) layout: i64,
    pub(crate) rows: BTreeMap<String, u64>,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) end: bool,
    pub(crate) rows: u64,
    pub(crate) sha256: String,
}

/// A line between them.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowLine {
    pub(crate) table: String,
    pub(crate) row: Cells,
}

/// Columns with their values, as they stand in the line.
#[derive(Debug, PartialEq)]
pub(crate) struct Cells(pub(crate) Vec<(String, Cell)>);

/// A value as SQLite holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    /// A TEXT that is no UTF-8.
    Bytes(Vec<u8>),
    Blob(Vec<u8>),
}

impl Cell {
    /// Such a text can only be given to SQLite as bytes.
    pub(crate) fn is_no_utf_8(&self) -> bool {
        matches!(self, Self::Bytes(_))
    }
}

/// Appends a row's line.
pub(crate) fn push_row(line: &mut Vec<u8>, table: &Table, row: &SqliteRow) -> Result<(), CatalogueError> {
    let failed = could_not("be exported");
    line.extend_from_slice(b"{\"table\":");
    push_string(line, &table.name);
    line.extend_from_slice(b",\"row\":{");
    for (index, column) in table.columns.iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        push_string(line, column);
        line.push(b':');
        let value = row.try_get_raw(index).map_err(&failed)?;
        let kind = value.type_info();
        let kind = if value.is_null() { "NULL" } else { kind.name() };
        match kind {
            "NULL" => line.extend_from_slice(b"null"),
            "INTEGER" => {
                let integer: i64 = row.try_get_unchecked(index).map_err(&failed)?;
                line.extend_from_slice(integer.to_string().as_bytes());
            }
            "REAL" => {
                let real: f64 = row.try_get_unchecked(index).map_err(&failed)?;
                push_wrapped(line, "real", &format!("{real:?}"));
            }
            "TEXT" => {
                let bytes: &[u8] = row.try_get_unchecked(index).map_err(&failed)?;
                match std::str::from_utf8(bytes) {
                    Ok(text) => push_string(line, text),
                    Err(_) => push_wrapped(line, "text", &STANDARD.encode(bytes)),
                }
            }
            _ => {
                let bytes: &[u8] = row.try_get_unchecked(index).map_err(&failed)?;
                push_wrapped(line, "blob", &STANDARD.encode(bytes));
            }
        }
    }
    line.extend_from_slice(b"}}\n");
    Ok(())
}

fn push_string(line: &mut Vec<u8>, text: &str) {
    // Writing a string to memory cannot fail.
    drop(serde_json::to_writer(line, text));
}

fn push_wrapped(line: &mut Vec<u8>, member: &str, text: &str) {
    line.extend_from_slice(b"{\"");
    line.extend_from_slice(member.as_bytes());
    line.extend_from_slice(b"\":\"");
    line.extend_from_slice(text.as_bytes());
    line.extend_from_slice(b"\"}");
}

impl<'de> Deserialize<'de> for Cells {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Cells;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Cells, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = members.next_entry()? {
                    cells.push(cell);
                }
                Ok(Cells(cells))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, an integer, a string, or an object with `blob`, `real` or `text`")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Cell, E> {
        Ok(Cell::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Cell, E> {
        i64::try_from(value).map(Cell::Integer).map_err(|_| E::custom(format!("{value} has more than 64 bits")))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::Text(text.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Cell, E> {
        Ok(Cell::Text(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Cell, A::Error> {
        let Some((member, text)) = members.next_entry::<String, String>()? else {
            return Err(A::Error::custom("an object that says nothing"));
        };
        if members.next_key::<String>()?.is_some() {
            return Err(A::Error::custom("an object with more than one member"));
        }
        let bytes = || STANDARD.decode(&text).map_err(A::Error::custom);
        match member.as_str() {
            "blob" => Ok(Cell::Blob(bytes()?)),
            "text" => Ok(Cell::Bytes(bytes()?)),
            "real" => text.parse().map(Cell::Real).map_err(A::Error::custom),
            other => Err(A::Error::custom(format!("`{other}` is no kind of value"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<(String, Cell)>, String> {
        let line = format!("{{\"table\":\"t\",\"row\":{{\"c\":{json}}}}}");
        serde_json::from_str::<RowLine>(&line).map(|line| line.row.0).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        for (json, cell) in [
            ("null", Cell::Null),
            ("-9223372036854775808", Cell::Integer(i64::MIN)),
            ("9223372036854775807", Cell::Integer(i64::MAX)),
            ("\"a\\u0000\\u202e😀\"", Cell::Text("a\0\u{202e}😀".to_owned())),
            ("{\"blob\":\"/wA=\"}", Cell::Blob(vec![0xff, 0])),
            ("{\"text\":\"/w==\"}", Cell::Bytes(vec![0xff])),
            ("{\"real\":\"-0.0\"}", Cell::Real(-0.0)),
            ("{\"real\":\"inf\"}", Cell::Real(f64::INFINITY)),
        ] {
            assert_eq!(read(json).unwrap()[0].1, cell, "{json}");
        }
    }

    #[tokio::test]
    async fn a_row_is_written_as_it_is() {
        let mut connection = <SqliteConnection as sqlx::Connection>::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE \"odd \"\"name\" (\"a b\" ANY, b REAL, c ANY AS (b + 1)) STRICT;
             INSERT INTO \"odd \"\"name\" VALUES (NULL, 0.1), (9e999, -0.125), (CAST(x'ff' AS TEXT), NULL), (x'', 2),
                ('a' || char(0) || char(8238), 3), (-9223372036854775808, NULL);",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        let tables = tables(&mut connection).await.unwrap();
        let mut lines = Vec::new();
        for row in sqlx::query(sqlx::AssertSqlSafe(tables[0].select.clone())).fetch_all(&mut connection).await.unwrap()
        {
            push_row(&mut lines, &tables[0], &row).unwrap();
        }
        let wanted = [
            r#"{"a b":null,"b":{"real":"0.1"}}"#,
            r#"{"a b":{"real":"inf"},"b":{"real":"-0.125"}}"#,
            r#"{"a b":{"text":"/w=="},"b":null}"#,
            r#"{"a b":{"blob":""},"b":{"real":"2.0"}}"#,
            "{\"a b\":\"a\\u0000\u{202e}\",\"b\":{\"real\":\"3.0\"}}",
            r#"{"a b":-9223372036854775808,"b":null}"#,
        ]
        .map(|row| format!("{{\"table\":\"odd \\\"name\",\"row\":{row}}}\n"));
        assert_eq!(String::from_utf8(lines).unwrap(), wanted.concat());
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for json in [
            "true",
            "1.5",
            "9223372036854775808",
            "[]",
            "{}",
            "{\"blob\":\"!\"}",
            "{\"blob\":\"\",\"text\":\"\"}",
            "{\"number\":\"1\"}",
            "{\"real\":\"much\"}",
            "{\"blob\":1}",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
