//! What follows from evidence once it is written: which follow a model belongs to, which files are here already, and
//! by which words a model is found.

use super::plan::ModelRow;
use super::rows::{Statement, given, run, statements};
use crate::ids::FollowId;
use crate::statements::statements;
use crate::{codec, words};
use paintbox_domain::Timestamp;
use sqlx::{Connection as _, FromRow, SqliteConnection};

macro_rules! index_models {
    ($insert:literal) => {
        concat!(
            $insert,
            " INTO model_search (rowid, name, creator, tags, trained_words) SELECT * FROM ",
            given!("(?, ?, ?, ?, ?)"),
            " WHERE column1 IS NOT NULL"
        )
    };
}

statements! {
    /// A follow may be deleted while its models arrive; they are kept all the same.
    LINK_FOLLOW = "
        INSERT INTO follow_model (follow_id, model_id, first_seen_ms)
        SELECT follow_id, value, ?3 FROM follow, json_each(?2) WHERE follow_id = ?1
        ON CONFLICT (follow_id, model_id) DO UPDATE SET left_ms = NULL WHERE left_ms IS NOT NULL";
    /// A model's versions become part of a follow's back catalogue while the follow's list is read for the first time;
    /// of a model that joins the list later, only those behind its newest. What is dated after the follow never does.
    KEEP_BACK_CATALOGUE = "
        INSERT INTO follow_seen (follow_id, version_id)
        SELECT f.follow_id, v.version_id
        FROM follow f JOIN version v ON v.model_id IN (SELECT value FROM json_each(?2))
        LEFT JOIN follow_model fm ON fm.follow_id = f.follow_id AND fm.model_id = v.model_id
        WHERE f.follow_id = ?1 AND coalesce(v.published_ms, 0) < f.created_ms
            AND (f.seeded_ms IS NULL OR (fm.model_id IS NULL AND v.position > 0))
        ON CONFLICT (follow_id, version_id) DO NOTHING";
    /// Content that is here already need not be fetched again under another name. The plus keeps SQLite from beginning
    /// at all content that is here instead of at the few files that were just listed.
    LINK_KNOWN_CONTENT = "
        UPDATE file SET artifact_id = (SELECT artifact_id FROM artifact WHERE artifact.sha256 = file.sha256),
            verified = 1, fetched_ms = ?2, failure_json = NULL,
            fetched_licence = (SELECT m.licence FROM version v JOIN model m USING (model_id)
                               WHERE v.version_id = file.version_id)
        WHERE artifact_id IS NULL AND removed_ms IS NULL AND +sha256 IN (SELECT sha256 FROM artifact)
            AND version_id IN (SELECT version_id FROM version WHERE model_id IN (SELECT value FROM json_each(?1)))";
    /// A new file of content that was removed from its model: whoever removed it does not want it under the next commit's
    /// name either. Most have removed little or nothing, so that is asked first.
    LEAVE_OUT_REMOVED = "
        UPDATE file SET removed_ms = ?2
        WHERE EXISTS (SELECT 1 FROM file WHERE removed_ms IS NOT NULL)
            AND first_seen_ms = ?2 AND removed_ms IS NULL
            AND +sha256 IN (SELECT sha256 FROM file WHERE removed_ms IS NOT NULL)
            AND version_id IN (SELECT version_id FROM version WHERE model_id IN (SELECT value FROM json_each(?1)))
            AND EXISTS (SELECT 1 FROM version v JOIN version w USING (model_id) JOIN file f ON f.version_id = w.version_id
                        WHERE v.version_id = file.version_id AND f.sha256 = file.sha256 AND f.removed_ms < ?2)";
    /// The same for small files, whose git id is all that Hugging Face lists, among the versions of one repository.
    LINK_SAME_GIT_BLOB = "
        WITH here AS MATERIALIZED (
            SELECT v.model_id, f.git_sha1, min(f.artifact_id) AS artifact_id
            FROM file f JOIN version v USING (version_id)
            WHERE v.model_id IN (SELECT value FROM json_each(?1))
                AND f.git_sha1 IS NOT NULL AND f.artifact_id IS NOT NULL AND f.verified = 1
            GROUP BY v.model_id, f.git_sha1
        )
        UPDATE file SET artifact_id = here.artifact_id, verified = 1, fetched_ms = ?2, failure_json = NULL,
            fetched_licence = (SELECT licence FROM model WHERE model_id = here.model_id)
        FROM here JOIN version v ON v.model_id = here.model_id
        WHERE file.version_id = v.version_id AND file.git_sha1 = here.git_sha1
            AND file.artifact_id IS NULL AND file.sha256 IS NULL AND file.removed_ms IS NULL";
    SEARCH_SOURCES = "
        SELECT model_id, name, creator,
            (SELECT coalesce(group_concat(t.name, ' '), '') FROM model_tag mt JOIN tag t USING (tag_id)
             WHERE mt.model_id = m.model_id) AS tags,
            (SELECT coalesce(group_concat(words.value, ' '), '')
             FROM version v, json_each(v.trained_words) AS words WHERE v.model_id = m.model_id) AS trained_words
        FROM model m WHERE model_id IN (SELECT value FROM json_each(?1))";
    MODELS_AFTER = "SELECT model_id FROM model WHERE model_id > ?1 ORDER BY model_id LIMIT 500";
    INDEX_MODELS = index_models!("INSERT");
    INDEX_MODELS_AGAIN = index_models!("INSERT OR REPLACE");
    /// For pages of libraries, and for what an import brought, no trigger notes it.
    WORDS_CHANGED = "
        INSERT INTO search_dirty (model_id) SELECT value FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING";
}

/// Makes models part of a follow's list. The ledger first: it tells a model that joins from one that was listed before
/// by the link.
pub(super) async fn to_follow(
    connection: &mut SqliteConnection,
    follow: FollowId,
    models: &[i64],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let models = codec::id_list(models.iter().copied());
    for statement in [KEEP_BACK_CATALOGUE, LINK_FOLLOW] {
        let linked = sqlx::query(statement).bind(follow.0).bind(&models).bind(now.unix_ms());
        linked.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Links the files of models whose bytes are on this machine under another name.
pub(super) async fn to_content(
    connection: &mut SqliteConnection,
    models: &[i64],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    link(connection, LEAVE_OUT_REMOVED, models, now).await?;
    link(connection, LINK_KNOWN_CONTENT, models, now).await
}

/// Links small files of repositories to the bytes that another of their commits has here.
pub(super) async fn to_git_blobs(
    connection: &mut SqliteConnection,
    repositories: &[i64],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    link(connection, LINK_SAME_GIT_BLOB, repositories, now).await
}

async fn link(
    connection: &mut SqliteConnection,
    statement: &'static str,
    models: &[i64],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    if models.is_empty() {
        return Ok(());
    }
    let models = codec::id_list(models.iter().copied());
    sqlx::query(statement).bind(models).bind(now.unix_ms()).execute(connection).await.map(drop)
}

#[derive(FromRow)]
struct SearchSource {
    model_id: i64,
    name: String,
    creator: Option<String>,
    tags: String,
    trained_words: String,
}

/// Puts models into the search index that were not in it, each by [`bind_answer`] or [`bind_indexed`].
pub(crate) fn index_new<'a, T>(
    models: &'a [T],
    bind: impl Fn(&mut Statement, &T) + 'a,
) -> impl Iterator<Item = Statement> + 'a {
    statements(INDEX_MODELS, models, bind)
}

/// Makes the search index of a catalogue whose rows came from elsewhere.
pub(crate) async fn index_everything(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut last = i64::MIN;
    loop {
        let ids: Vec<i64> = sqlx::query_scalar(MODELS_AFTER).bind(last).fetch_all(&mut *connection).await?;
        let Some(end) = ids.last() else { return Ok(()) };
        last = *end;
        let mut tx = connection.begin().await?;
        index_again(&mut tx, &ids).await?;
        tx.commit().await?;
    }
}

/// Indexes models anew: from what the tables hold now, not from the answers, which may have left things out. What searches
/// keep of them is made anew too.
pub(crate) async fn index_again(connection: &mut SqliteConnection, models: &[i64]) -> Result<(), sqlx::Error> {
    if models.is_empty() {
        return Ok(());
    }
    let list = codec::id_list(models.iter().copied());
    let sources: Vec<SearchSource> = sqlx::query_as(SEARCH_SOURCES).bind(&list).fetch_all(&mut *connection).await?;
    sqlx::query(WORDS_CHANGED).bind(&list).execute(&mut *connection).await?;
    let indexed = statements(INDEX_MODELS_AGAIN, &sources, |row, source| {
        bind_indexed(
            row,
            source.model_id,
            &source.name,
            source.creator.as_deref(),
            &source.tags,
            &source.trained_words,
        );
    });
    run(connection, indexed).await
}

pub(super) fn bind_answer(row: &mut Statement, written: &ModelRow<'_>) {
    let model = written.answer.model;
    let trained_words: Vec<&str> =
        model.versions.iter().flat_map(|version| &version.trained_words).map(String::as_str).collect();
    let (tags, trained_words) = (model.tags.join(" "), trained_words.join(" "));
    bind_indexed(row, written.id, &model.name, model.creator.as_deref(), &tags, &trained_words);
}

/// What the search index holds of a model.
pub(crate) fn bind_indexed(
    row: &mut Statement,
    model: i64,
    name: &str,
    creator: Option<&str>,
    tags: &str,
    trained_words: &str,
) {
    row.bind(model)
        .text(words::index_text([name]).as_str())
        .text(words::index_text(creator).as_str())
        .text(words::index_text([tags]).as_str())
        .text(words::index_text([trained_words]).as_str());
}
