//! The statements by which evidence is written, and which value goes into which place of them.
//!
//! A field that an answer leaves out keeps the value it had: that is what the `coalesce`s of the updates are for.

use super::plan::{FileRow, ModelRow, Plan, PreviewRow, VersionRow, git_sha1, sha256};
use super::rows::{Statement, given, statements};
use crate::statements::statements;
use crate::{codec, words};
use paintbox_domain::Timestamp;
use paintbox_domain::hub::{FileSize, HubModel};

statements! {
    INSERT_MODELS = concat!(
        "INSERT INTO model (model_id, hub, external_id, name, name_key, kind, kind_label, creator, creator_id,
                            description, nsfw_level, licence, downloads, likes, state, access_granted, list_mark,
                            published_ms, updated_ms, answer, first_seen_ms, last_seen_ms)
         SELECT *, column21 FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    UPDATE_MODELS = concat!(
        "UPDATE model SET
            name = iif(column4 = '', name, column4), name_key = iif(column4 = '', name_key, column5),
            kind = iif(column6 = 'unknown', kind, column6), kind_label = coalesce(column7, kind_label),
            creator = coalesce(column8, creator), creator_id = coalesce(column9, creator_id),
            description = coalesce(column10, description), nsfw_level = iif(column11 = 0, nsfw_level, column11),
            licence = coalesce(column12, licence), downloads = coalesce(column13, downloads),
            likes = coalesce(column14, likes), state = column15,
            access_granted = iif(column15 = 'gated', coalesce(column16, access_granted), NULL),
            list_mark = coalesce(column17, list_mark), published_ms = coalesce(column18, published_ms),
            updated_ms = coalesce(column19, updated_ms), answer = column20, last_seen_ms = column21, gone_ms = NULL
         FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE model_id = column1"
    );
    /// Of a model of which the hub says what it said last.
    TOUCH_MODELS = concat!(
        "UPDATE model SET
            downloads = coalesce(column2, downloads), likes = coalesce(column3, likes),
            list_mark = coalesce(column4, list_mark), last_seen_ms = column5
         FROM ",
        given!("(?, ?, ?, ?, ?)"),
        " WHERE model_id = column1"
    );
    INSERT_VERSIONS = concat!(
        "INSERT INTO version (version_id, model_id, external_id, name, base_model, trained_words, nsfw_level,
                              published_ms, early_access, early_access_until_ms, download_allowed, position,
                              first_seen_ms, was_early_access)
         SELECT *, column9 FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    /// Columns 2 and 3 are whether the words stay and whether it is no longer gone.
    UPDATE_VERSIONS = concat!(
        "UPDATE version SET
            name = iif(column4 = '', name, column4), base_model = coalesce(column5, base_model),
            trained_words = iif(column2 AND column6 = '[]', trained_words, column6),
            nsfw_level = iif(column7 = 0, nsfw_level, column7), published_ms = coalesce(column8, published_ms),
            early_access = column9, was_early_access = max(was_early_access, column9),
            early_access_until_ms = column10, download_allowed = column11, position = coalesce(column12, position),
            gone_ms = iif(column3, NULL, gone_ms)
         FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE version_id = column1"
    );
    MARK_VERSIONS_GONE = "
        UPDATE version SET gone_ms = ?2 WHERE version_id IN (SELECT value FROM json_each(?1))";
    MARK_FILES_REPLACED = "
        UPDATE file SET replaced_ms = ?2 WHERE file_id IN (SELECT value FROM json_each(?1))";
    INSERT_FILES = concat!(
        "INSERT INTO file (version_id, external_id, name, size_bytes, size_exact, sha256, blake3, git_sha1, kind_label,
                           format, precision, is_primary, locator, auto_v3, position, first_seen_ms)
         SELECT * FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    UPDATE_FILES = concat!(
        "UPDATE file SET
            name = column3, size_bytes = coalesce(column4, size_bytes),
            size_exact = iif(column4 IS NULL, size_exact, column5), sha256 = coalesce(column6, sha256),
            blake3 = coalesce(column7, blake3), git_sha1 = coalesce(column8, git_sha1),
            kind_label = coalesce(column9, kind_label), format = column10, precision = coalesce(column11, precision),
            is_primary = column12, locator = column13, auto_v3 = coalesce(column14, auto_v3), position = column15,
            gone_ms = NULL, replaced_ms = NULL
         FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE file_id = column1"
    );
    MARK_FILES_GONE = "UPDATE file SET gone_ms = ?2 WHERE file_id IN (SELECT value FROM json_each(?1))";
    /// A picture is known by the hub's id for it, or by its address where the hub gives none.
    INSERT_PREVIEWS = concat!(
        "INSERT INTO preview (identity, version_id, external_id, url, media, width, height, nsfw_level, blurhash,
                              generation, position, first_seen_ms)
         SELECT coalesce(column2, column3), * FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE column1 IS NOT NULL"
    );
    UPDATE_PREVIEWS = concat!(
        "UPDATE preview SET
            url = column3, media = iif(column4 = 'unknown', media, column4), width = coalesce(column5, width),
            height = coalesce(column6, height), nsfw_level = iif(column7 = 0, nsfw_level, column7),
            blurhash = coalesce(column8, blurhash), generation = coalesce(column9, generation),
            position = column10, gone_ms = NULL
         FROM ",
        given!("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        " WHERE preview_id = column1"
    );
    MARK_PREVIEWS_GONE = "
        UPDATE preview SET gone_ms = ?2 WHERE preview_id IN (SELECT value FROM json_each(?1))";
}

/// Models of which the hub says what it said last, apart from its counters.
pub(super) fn unchanged<'a>(models: &'a [ModelRow<'_>], now: Timestamp) -> impl Iterator<Item = Statement> + 'a {
    statements(TOUCH_MODELS, models, move |row, ModelRow { id, answer }| {
        row.bind(*id)
            .bind(answer.model.downloads.map(codec::count))
            .bind(answer.model.likes.map(codec::count))
            .text(answer.model.list_mark.as_deref())
            .bind(now.unix_ms());
    })
}

/// All rows of a plan but its tags: parents before what points at them.
pub(super) fn plan<'a>(plan: &'a Plan<'_>, now: Timestamp) -> impl Iterator<Item = Statement> + 'a {
    let models = statements(UPDATE_MODELS, &plan.models.known, move |row, model| bind_model(row, model, now))
        .chain(statements(INSERT_MODELS, &plan.models.new, move |row, model| bind_model(row, model, now)));
    let versions = statements(UPDATE_VERSIONS, &plan.versions.known, |row, version| {
        row.bind(version.id).bind(version.keeps_words).bind(version.clears_gone);
        bind_version(row, version);
    })
    .chain(statements(INSERT_VERSIONS, &plan.versions.new, move |row, version| {
        row.bind(version.id).bind(version.model).text(version.version.external_id.as_str());
        bind_version(row, version);
        row.bind(now.unix_ms());
    }))
    .chain(marked(MARK_VERSIONS_GONE, &plan.gone_versions, now));
    // Those that are replaced first, because an id has one row at a time that is not.
    let files = marked(MARK_FILES_REPLACED, &plan.replaced_files, now)
        .chain(statements(UPDATE_FILES, &plan.files.known, |row, (id, file)| {
            row.bind(*id);
            bind_file(row, file);
        }))
        .chain(statements(INSERT_FILES, &plan.files.new, move |row, file| {
            row.bind(file.version);
            bind_file(row, file);
            row.bind(now.unix_ms());
        }))
        .chain(marked(MARK_FILES_GONE, &plan.gone_files, now));
    let previews = statements(UPDATE_PREVIEWS, &plan.previews.known, |row, (id, preview)| {
        row.bind(*id);
        bind_preview(row, preview);
    })
    .chain(statements(INSERT_PREVIEWS, &plan.previews.new, move |row, preview| {
        row.bind(preview.version);
        bind_preview(row, preview);
        row.bind(now.unix_ms());
    }))
    .chain(marked(MARK_PREVIEWS_GONE, &plan.gone_previews, now));
    models.chain(versions).chain(files).chain(previews)
}

fn bind_model(row: &mut Statement, written: &ModelRow<'_>, now: Timestamp) {
    let model: &HubModel = written.answer.model;
    row.bind(written.id)
        .text(model.hub.as_str())
        .text(model.external_id.as_str())
        .text(model.name.as_str())
        .bind(words::name_key(&model.name))
        .text(model.kind.as_str())
        .text(model.kind_label.as_deref())
        .text(model.creator.as_deref())
        .text(model.creator_id.as_deref())
        .text(model.description.as_deref())
        .bind(model.nsfw_level)
        .text(model.licence.as_deref())
        .bind(model.downloads.map(codec::count))
        .bind(model.likes.map(codec::count))
        .text(model.state.as_str())
        .bind(model.access_granted)
        .text(model.list_mark.as_deref())
        .bind(codec::time_ms(model.published_at))
        .bind(codec::time_ms(model.updated_at))
        .bytes(&written.answer.digest.as_bytes()[..])
        .bind(now.unix_ms());
}

/// The fourth column and those that follow.
fn bind_version(row: &mut Statement, written: &VersionRow<'_>) {
    let version = written.version;
    row.text(version.name.as_str())
        .text(version.base_model.as_deref())
        .bind(codec::text_list(&version.trained_words))
        .bind(version.nsfw_level)
        .bind(codec::time_ms(version.published_at))
        .bind(version.early_access.is_some())
        .bind(version.early_access.and_then(|early| codec::time_ms(early.until)))
        .bind(version.download_allowed)
        .bind(written.position);
}

/// The second column and those that follow.
fn bind_file(row: &mut Statement, written: &FileRow<'_>) {
    let file = written.file;
    row.text(file.external_id.as_str())
        .text(file.name.as_str())
        .bind(file.size.map(|size| codec::count(size.bytes())))
        .bind(matches!(file.size, Some(FileSize::Exact(_))))
        .bytes(sha256(file))
        .bytes(file.blake3.as_ref().map(|digest| &digest.as_bytes()[..]))
        .bytes(git_sha1(file))
        .text(file.kind_label.as_deref())
        .text(file.format.as_str())
        .text(file.precision.as_deref())
        .bind(file.primary)
        .text(file.locator.as_str())
        .text(file.auto_v3.as_deref())
        .bind(written.position);
}

/// The second column and those that follow.
fn bind_preview(row: &mut Statement, written: &PreviewRow<'_>) {
    let preview = written.preview;
    row.text(preview.external_id.as_deref())
        .text(preview.url.as_str())
        .text(preview.media.as_str())
        .bind(preview.width)
        .bind(preview.height)
        .bind(preview.nsfw_level)
        .text(preview.blurhash.as_deref())
        .text(preview.generation.as_deref())
        .bind(written.position);
}

fn marked(sql: &'static str, rows: &[i64], now: Timestamp) -> impl Iterator<Item = Statement> + use<> {
    let marked = (!rows.is_empty()).then(|| {
        let mut statement = Statement::new(sql);
        statement.bind(codec::id_list(rows.iter().copied())).bind(now.unix_ms());
        statement
    });
    marked.into_iter()
}
