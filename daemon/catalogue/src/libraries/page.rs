//! The pages of files that no hub lists: made from what the file and the notes beside it say, one for each content, and
//! gone with the last name or as soon as a hub is known to list it.

use super::claims::Claimed;
use super::pictures::{self, LocalPicture};
use super::tensors::same_tensors;
use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::evidence::links;
use crate::evidence::rows::{Statement, given, run, statements};
use crate::evidence::tags::{self, Learned, TagIds};
use crate::statements::statements;
use crate::words;
use paintbox_domain::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use std::collections::{BTreeMap, BTreeSet};

/// What a file and the notes beside it say of it. All of it is somebody's word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalPage {
    /// Empty: the file's name is its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<String>,
    /// As some hub or trainer labels it, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_model: Option<String>,
    /// What another tool says that it is, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind_label: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trained_words: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Untrusted text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// CivitAI's bitmask; 0 unrated.
    #[serde(skip_serializing_if = "is_zero")]
    pub nsfw_level: u32,
    /// Which model of CivitAI it is said to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Claimed>,
    /// Beside it, the one to show first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<LocalPicture>,
    /// What its user said of the pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture_nsfw_level: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(level: &u32) -> bool {
    *level == 0
}

impl LocalPage {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers always have a JSON form")
    }
}

statements! {
    /// Files of the same content as those asked for, and whether each has a name, is on a hub, and has a page.
    PAGES = concat!("
        WITH affected AS MATERIALIZED (
            SELECT value AS id FROM json_each(?1)
            UNION
            SELECT o.library_file_id FROM json_each(?1) JOIN library_file g ON g.library_file_id = value
                JOIN library_file o ON o.artifact_id = g.artifact_id
        )
        SELECT json_group_array(json_array(f.library_file_id, f.artifact_id, f.gone_ms IS NULL,
            f.artifact_id IS NOT NULL AND (
                EXISTS (SELECT 1 FROM file h WHERE h.artifact_id = f.artifact_id AND h.library_file_id IS NULL)
                OR EXISTS (SELECT 1 FROM artifact a CROSS JOIN file h
                           WHERE a.artifact_id = f.artifact_id AND ", same_tensors!(), ")),
            (SELECT m.model_id FROM model m
             WHERE m.hub = 'local' AND m.external_id = CAST(f.library_file_id AS TEXT))))
        FROM affected JOIN library_file f ON f.library_file_id = affected.id");
    /// A path is bytes, which JSON cannot hold.
    SOURCES = "
        SELECT json_group_array(json_array(f.library_file_id, f.artifact_id, f.kind, f.format, f.precision, f.size_bytes,
            f.page_json, (SELECT hex(p.path) FROM library_path p WHERE p.library_file_id = f.library_file_id
                          ORDER BY p.path LIMIT 1)))
        FROM json_each(?1) wanted JOIN library_file f ON f.library_file_id = wanted.value";
    NEXT_IDS = "
        SELECT coalesce((SELECT max(model_id) FROM model), 0) + 1, coalesce((SELECT max(version_id) FROM version), 0) + 1";
    INSERT_PAGES = concat!(
        "INSERT INTO model (model_id, hub, external_id, name, name_key, kind, kind_label, creator, description,
                            nsfw_level, licence, state, first_seen_ms, last_seen_ms)
         SELECT column1, 'local', column2, column3, column4, column5, column6, column7, column8, column9, column10,
             'published', column11, column11 FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    UPDATE_PAGES = concat!(
        "UPDATE model SET name = column3, name_key = column4, kind = column5, kind_label = column6, creator = column7,
             description = column8, nsfw_level = column9, licence = column10, last_seen_ms = column11 FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE model_id = column1"
    );
    INSERT_PAGE_VERSIONS = concat!(
        "INSERT INTO version (version_id, model_id, external_id, name, base_model, trained_words, nsfw_level,
                              early_access, download_allowed, position, first_seen_ms)
         SELECT column1, column2, column3, column4, column5, column6, column7, 0, 0, 0, column8 FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    UPDATE_PAGE_VERSIONS = concat!(
        "UPDATE version SET name = column2, base_model = column3, trained_words = column4, nsfw_level = column5 FROM ",
        given!("(?, ?, ?, ?, ?)"),
        " WHERE model_id = column1"
    );
    INSERT_PAGE_FILES = concat!(
        "INSERT INTO file (version_id, external_id, name, size_bytes, size_exact, format, precision, is_primary, locator,
                           position, first_seen_ms, library_file_id, artifact_id, verified)
         SELECT column1, column2, column3, column4, 1, column5, column6, 1, '', 0, column7, column8, column9, 0 FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    UPDATE_PAGE_FILES = concat!(
        "UPDATE file SET name = column2, size_bytes = column3, format = column4, precision = column5,
             artifact_id = column6 FROM ",
        given!("(?, ?, ?, ?, ?, ?)"),
        " WHERE library_file_id = column1"
    );
    /// What was painted with a model whose page goes was painted with any other model of the same content, or else of the
    /// same tensors, too.
    KEEP_GENERATIONS = "
        UPDATE generation SET model_id = (
            SELECT v.model_id FROM file l JOIN version lv ON lv.version_id = l.version_id
                JOIN file h ON h.artifact_id = l.artifact_id OR h.auto_v3 = (
                    SELECT a.auto_v3 FROM artifact a WHERE a.artifact_id = l.artifact_id AND a.format = 'safetensors')
                JOIN version v ON v.version_id = h.version_id
            WHERE lv.model_id = generation.model_id AND v.model_id NOT IN (SELECT value FROM json_each(?1))
            ORDER BY h.artifact_id IS NOT l.artifact_id, h.library_file_id IS NOT NULL, h.file_id LIMIT 1)
        WHERE model_id IN (SELECT value FROM json_each(?1))";
    DELETE_PAGE_FILES = "
        DELETE FROM file WHERE version_id IN (
            SELECT version_id FROM version WHERE model_id IN (SELECT value FROM json_each(?1)))";
    DELETE_PAGE_PREVIEWS = "
        DELETE FROM preview WHERE version_id IN (
            SELECT version_id FROM version WHERE model_id IN (SELECT value FROM json_each(?1)))";
    DELETE_PAGE_VERSIONS = "DELETE FROM version WHERE model_id IN (SELECT value FROM json_each(?1))";
    DELETE_PAGE_TAGS = "DELETE FROM model_tag WHERE model_id IN (SELECT value FROM json_each(?1))";
    DELETE_PAGE_WORDS = "DELETE FROM model_search WHERE rowid IN (SELECT value FROM json_each(?1))";
    DELETE_PAGES = "DELETE FROM model WHERE model_id IN (SELECT value FROM json_each(?1))";
}

/// As [`PAGES`] lists them.
#[derive(Deserialize)]
struct PageRow {
    library_file_id: i64,
    artifact_id: Option<i64>,
    #[serde(deserialize_with = "codec::truth")]
    is_here: bool,
    #[serde(deserialize_with = "codec::truth")]
    is_listed: bool,
    model_id: Option<i64>,
}

/// As [`SOURCES`] lists them.
#[derive(Deserialize)]
struct SourceRow {
    library_file_id: i64,
    artifact_id: Option<i64>,
    kind: String,
    format: String,
    precision: Option<String>,
    size_bytes: i64,
    page_json: String,
    path: Option<String>,
}

/// A page that is to be, with everything on it.
struct Made {
    file: i64,
    model: i64,
    version: i64,
    name: String,
    file_name: String,
    page: LocalPage,
    source: SourceRow,
}

impl Made {
    fn new(source: SourceRow, model: i64, version: i64) -> Result<Self, CatalogueError> {
        let page: LocalPage = serde_json::from_str(&source.page_json).map_err(|_| CatalogueError::Corrupt {
            what: "what is said of a library's file",
            value: source.page_json.chars().take(200).collect(),
        })?;
        let path = codec::path(&codec::bytes("a path", source.path.as_deref().unwrap_or_default())?);
        let name = if page.name.is_empty() { shown(path.file_stem()) } else { page.name.clone() };
        let file = source.library_file_id;
        Ok(Self { file, model, version, name, file_name: shown(path.file_name()), page, source })
    }
}

/// A name for people; control characters and what is no text are shown as what they are not.
fn shown(name: Option<&std::ffi::OsStr>) -> String {
    let text = name.unwrap_or_default().to_string_lossy();
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Makes, changes and removes the pages of `files`, and of those with the same content.
pub(super) async fn derive(
    connection: &mut SqliteConnection,
    remembered: &TagIds,
    files: &[i64],
    now: Timestamp,
) -> Result<(), CatalogueError> {
    let failed = could_not("make the pages of a library's files");
    let rows: String = sqlx::query_scalar(PAGES)
        .bind(codec::id_list(files.iter().copied()))
        .fetch_one(&mut *connection)
        .await
        .map_err(&failed)?;
    let mut rows: Vec<PageRow> = codec::list("files of libraries", &rows)?;
    rows.sort_unstable_by_key(|row| row.library_file_id);
    let owners = owners(&rows);
    let removed: Vec<i64> =
        rows.iter().filter(|row| !owners.contains(&row.library_file_id)).filter_map(|row| row.model_id).collect();
    if !removed.is_empty() {
        remove(connection, &codec::id_list(removed)).await.map_err(&failed)?;
    }
    let known: BTreeMap<i64, i64> = rows.iter().filter_map(|row| Some((row.library_file_id, row.model_id?))).collect();
    let sources: String = sqlx::query_scalar(SOURCES)
        .bind(codec::id_list(owners.iter().copied()))
        .fetch_one(&mut *connection)
        .await
        .map_err(&failed)?;
    let sources: Vec<SourceRow> = codec::list("files of libraries", &sources)?;
    let (mut model, mut version): (i64, i64) =
        sqlx::query_as(NEXT_IDS).fetch_one(&mut *connection).await.map_err(&failed)?;
    let (mut new, mut changed) = (Vec::new(), Vec::new());
    for source in sources {
        match known.get(&source.library_file_id) {
            Some(known) => changed.push(Made::new(source, *known, 0)?),
            None => {
                new.push(Made::new(source, model, version)?);
                (model, version) = (model + 1, version + 1);
            }
        }
    }
    write(connection, remembered, &new, &changed, now).await.map_err(&failed)
}

/// Of each content the first file that has a name, unless a hub lists it.
fn owners(rows: &[PageRow]) -> BTreeSet<i64> {
    let mut contents = BTreeSet::new();
    let here = rows.iter().filter(|row| row.is_here && !row.is_listed);
    here.filter(|row| row.artifact_id.is_none_or(|artifact| contents.insert(artifact)))
        .map(|row| row.library_file_id)
        .collect()
}

async fn remove(connection: &mut SqliteConnection, models: &str) -> Result<(), sqlx::Error> {
    for statement in [
        KEEP_GENERATIONS,
        DELETE_PAGE_FILES,
        DELETE_PAGE_PREVIEWS,
        DELETE_PAGE_VERSIONS,
        DELETE_PAGE_TAGS,
        DELETE_PAGE_WORDS,
        DELETE_PAGES,
    ] {
        sqlx::query(statement).bind(models).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn write(
    connection: &mut SqliteConnection,
    remembered: &TagIds,
    new: &[Made],
    changed: &[Made],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let at = now;
    let now = now.unix_ms();
    let models = statements(UPDATE_PAGES, changed, |row, made| bind_model(row, made, now)).chain(statements(
        INSERT_PAGES,
        new,
        |row, made| bind_model(row, made, now),
    ));
    let versions = statements(UPDATE_PAGE_VERSIONS, changed, |row, made| {
        row.bind(made.model);
        bind_version(row, made);
    })
    .chain(statements(INSERT_PAGE_VERSIONS, new, |row, made| {
        row.bind(made.version).bind(made.model).text(made.file.to_string().as_str());
        bind_version(row, made);
        row.bind(now);
    }));
    let files = statements(UPDATE_PAGE_FILES, changed, |row, made| {
        row.bind(made.file);
        bind_file(row, made);
        row.bind(made.source.artifact_id);
    })
    .chain(statements(INSERT_PAGE_FILES, new, |row, made| {
        row.bind(made.version).text(made.file.to_string().as_str());
        bind_file(row, made);
        row.bind(now).bind(made.file).bind(made.source.artifact_id);
    }));
    run(connection, models.chain(versions).chain(files)).await?;
    let all: Vec<&Made> = new.iter().chain(changed).collect();
    let known: Vec<i64> = changed.iter().map(|made| made.model).collect();
    let pages: Vec<(i64, &LocalPage)> = all.iter().map(|made| (made.model, &made.page)).collect();
    pictures::write(connection, &pages, &known, at).await?;
    let said = all.iter().flat_map(|made| (0..).zip(&made.page.tags).map(|(at, tag)| (made.model, tag.as_str(), at)));
    let mut learned = Learned::default();
    tags::set(connection, said.collect(), known.clone(), remembered, &mut learned).await?;
    let indexed = links::index_new(new, |row, made| {
        let LocalPage { creator, tags, trained_words, .. } = &made.page;
        links::bind_indexed(row, made.model, &made.name, creator.as_deref(), &tags.join(" "), &trained_words.join(" "));
    });
    run(connection, indexed).await?;
    links::index_again(connection, &known).await
}

fn bind_model(row: &mut Statement, made: &Made, now: i64) {
    row.bind(made.model)
        .text(made.file.to_string().as_str())
        .text(made.name.as_str())
        .bind(words::name_key(&made.name))
        .text(made.source.kind.as_str())
        .text(made.page.kind_label.as_deref())
        .text(made.page.creator.as_deref())
        .text(made.page.description.as_deref())
        .bind(made.page.nsfw_level)
        .text(made.page.licence.as_deref())
        .bind(now);
}

fn bind_version(row: &mut Statement, made: &Made) {
    row.text(made.page.version_name.as_str())
        .text(made.page.base_model.as_deref())
        .bind(codec::text_list(&made.page.trained_words))
        .bind(made.page.nsfw_level);
}

fn bind_file(row: &mut Statement, made: &Made) {
    row.text(made.file_name.as_str())
        .bind(made.source.size_bytes)
        .text(made.source.format.as_str())
        .text(made.source.precision.as_deref());
}
