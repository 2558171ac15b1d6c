-- What the migrations add up to; not run by anything. A test compares it, and writes it anew with
-- PAINTBOX_WRITE_SCHEMA=1 cargo test -p paintbox-catalogue schema

CREATE TABLE answered_request (
    request_id     TEXT    NOT NULL PRIMARY KEY,
    -- Of the method and everything in the request but its id.
    request_digest BLOB    NOT NULL,
    -- The answer's message. NULL while it is worked on, and of what a kill of the daemon broke off.
    answer         BLOB,
    asked_ms       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX answered_request_by_time ON answered_request (asked_ms);

CREATE TABLE artifact (
    artifact_id  INTEGER PRIMARY KEY,
    sha256       BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    blake3       BLOB    NOT NULL CHECK (length(blake3) = 32),
    auto_v3      TEXT,
    size_bytes   INTEGER NOT NULL CHECK (size_bytes >= 0),
    format       TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    architecture TEXT    NOT NULL,
    precision    TEXT,
    parameters   INTEGER,
    detail_json  TEXT,
    created_ms   INTEGER NOT NULL
) STRICT;

CREATE TRIGGER search_changed_artifact AFTER UPDATE OF format, architecture, precision, size_bytes ON artifact
WHEN (old.format, old.architecture, old.precision, old.size_bytes)
  IS NOT (new.format, new.architecture, new.precision, new.size_bytes)
BEGIN
    INSERT INTO search_dirty (model_id)
        SELECT v.model_id FROM file f JOIN version v USING (version_id) WHERE f.artifact_id = new.artifact_id
        ON CONFLICT DO NOTHING;
END;

CREATE INDEX artifact_by_auto_v3 ON artifact (auto_v3) WHERE auto_v3 IS NOT NULL;

CREATE INDEX artifact_by_kind ON artifact (kind, architecture);

CREATE TABLE asset (
    asset_id   INTEGER PRIMARY KEY,
    sha256     BLOB    NOT NULL UNIQUE CHECK (length(sha256) = 32),
    media_type TEXT    NOT NULL,
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    width      INTEGER NOT NULL,
    height     INTEGER NOT NULL,
    origin     TEXT    NOT NULL CHECK (origin IN ('preview', 'thumbnail', 'output', 'upload')),
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE download (
    -- Never reused: it is the download's name.
    download_id    INTEGER PRIMARY KEY AUTOINCREMENT,
    file_id        INTEGER NOT NULL REFERENCES file (file_id),
    -- The follow whose limits hold for it; null for a pull.
    follow_id      INTEGER REFERENCES follow (follow_id) ON DELETE SET NULL,
    hub            TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('queued', 'resolving', 'transferring', 'verifying', 'placing',
                                                     'done', 'failed', 'paused', 'cancelled')),
    -- Higher first; of the same, by turn, which is the order of arrival unless somebody changed it.
    priority       INTEGER NOT NULL,
    turn           INTEGER,
    failures       INTEGER NOT NULL DEFAULT 0,
    -- What came over the network for it, whatever became of it.
    received_bytes INTEGER NOT NULL DEFAULT 0,
    -- Not before then.
    due_ms         INTEGER,
    failure_json   TEXT,
    created_ms     INTEGER NOT NULL,
    started_ms     INTEGER,
    ended_ms       INTEGER, automatic INTEGER NOT NULL DEFAULT 0 CHECK (automatic IN (0, 1)),
    CHECK ((ended_ms IS NOT NULL) = (state IN ('done', 'cancelled'))),
    CHECK (state <> 'failed' OR due_ms IS NOT NULL)
) STRICT;

CREATE INDEX download_by_due ON download (due_ms) WHERE due_ms IS NOT NULL;

CREATE INDEX download_by_end ON download (ended_ms, download_id) WHERE ended_ms IS NOT NULL;

CREATE INDEX download_by_file ON download (file_id);

CREATE INDEX download_by_follow ON download (follow_id) WHERE follow_id IS NOT NULL;

CREATE INDEX download_by_turn ON download (priority DESC, coalesce(turn, download_id)) WHERE state = 'queued';

CREATE UNIQUE INDEX download_open ON download (file_id) WHERE ended_ms IS NULL;

CREATE TABLE download_queue (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    paused   INTEGER NOT NULL CHECK (paused IN (0, 1))
) STRICT;

CREATE TABLE file (
    file_id       INTEGER PRIMARY KEY,
    version_id    INTEGER NOT NULL REFERENCES version (version_id),
    external_id   TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    size_bytes    INTEGER,
    size_exact    INTEGER NOT NULL CHECK (size_exact IN (0, 1)),
    sha256        BLOB    CHECK (length(sha256) = 32),
    blake3        BLOB    CHECK (length(blake3) = 32),
    git_sha1      BLOB    CHECK (length(git_sha1) = 20),
    kind_label    TEXT,
    format        TEXT    NOT NULL,
    precision     TEXT,
    is_primary    INTEGER NOT NULL CHECK (is_primary IN (0, 1)),
    locator       TEXT    NOT NULL,
    position      INTEGER NOT NULL,
    artifact_id   INTEGER REFERENCES artifact (artifact_id),
    -- Whether the bytes were compared with a digest that the hub lists.
    verified      INTEGER NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)),
    fetched_ms    INTEGER,
    -- The model's licence when the bytes came here.
    fetched_licence TEXT,
    failure_json  TEXT,
    first_seen_ms INTEGER NOT NULL,
    gone_ms       INTEGER,
    -- When the hub put other bytes under the same id; the newer row is the one without this.
    replaced_ms   INTEGER
, removed_ms INTEGER, library_file_id INTEGER REFERENCES library_file (library_file_id), auto_v3 TEXT) STRICT;

CREATE TRIGGER search_changed_file AFTER UPDATE OF artifact_id, sha256 ON file
WHEN old.artifact_id IS NOT new.artifact_id OR (new.artifact_id IS NOT NULL AND old.sha256 IS NOT new.sha256)
BEGIN
    INSERT INTO search_dirty (model_id) SELECT model_id FROM version WHERE version_id = new.version_id
        ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_new_file AFTER INSERT ON file WHEN new.artifact_id IS NOT NULL BEGIN
    INSERT INTO search_dirty (model_id) SELECT model_id FROM version WHERE version_id = new.version_id
        ON CONFLICT DO NOTHING;
END;

CREATE INDEX file_by_artifact ON file (artifact_id) WHERE artifact_id IS NOT NULL;

CREATE INDEX file_by_auto_v3 ON file (auto_v3) WHERE auto_v3 IS NOT NULL;

CREATE UNIQUE INDEX file_by_external_id ON file (version_id, external_id) WHERE replaced_ms IS NULL;

CREATE INDEX file_by_library_file ON file (library_file_id) WHERE library_file_id IS NOT NULL;

CREATE INDEX file_by_removal ON file (sha256) WHERE removed_ms IS NOT NULL;

CREATE INDEX file_by_sha256 ON file (sha256) WHERE sha256 IS NOT NULL;

CREATE INDEX file_by_version ON file (version_id, external_id);

CREATE TABLE follow (
    -- Never reused: a sync that is still busy for a deleted follow must not feed another one.
    follow_id     INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE,
    hub           TEXT    NOT NULL,
    created_ms    INTEGER NOT NULL,
    last_check_ms INTEGER,
    next_check_ms INTEGER,
    new_versions  INTEGER NOT NULL DEFAULT 0,
    failure_json  TEXT
, target TEXT NOT NULL DEFAULT '', policy_json TEXT NOT NULL DEFAULT '{}', list_mark TEXT, seeded_ms INTEGER, full_read_ms INTEGER, creator_id TEXT, failures INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE UNIQUE INDEX follow_by_target ON follow (target COLLATE NOCASE);

CREATE TABLE follow_file (
    follow_id INTEGER NOT NULL REFERENCES follow (follow_id) ON DELETE CASCADE,
    file_id   INTEGER NOT NULL REFERENCES file (file_id),
    PRIMARY KEY (follow_id, file_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX follow_file_by_file ON follow_file (file_id);

CREATE TABLE follow_model (
    follow_id     INTEGER NOT NULL REFERENCES follow (follow_id) ON DELETE CASCADE,
    model_id      INTEGER NOT NULL REFERENCES model (model_id),
    first_seen_ms INTEGER NOT NULL, left_ms INTEGER,
    PRIMARY KEY (follow_id, model_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX follow_model_by_model ON follow_model (model_id);

CREATE TABLE follow_rename (
    follow_id     INTEGER NOT NULL REFERENCES follow (follow_id) ON DELETE CASCADE,
    former_target TEXT    NOT NULL,
    renamed_ms    INTEGER NOT NULL
) STRICT;

CREATE INDEX follow_rename_by_follow ON follow_rename (follow_id);

CREATE TABLE follow_seen (
    follow_id  INTEGER NOT NULL REFERENCES follow (follow_id) ON DELETE CASCADE,
    version_id INTEGER NOT NULL REFERENCES version (version_id),
    PRIMARY KEY (follow_id, version_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX follow_seen_by_version ON follow_seen (version_id);

CREATE TABLE generation (
    generation_id  INTEGER PRIMARY KEY,
    uid            TEXT    NOT NULL UNIQUE,
    request_id     TEXT    UNIQUE,
    request_digest BLOB    NOT NULL CHECK (length(request_digest) = 32),
    spec_json      TEXT    NOT NULL,
    model_id       INTEGER REFERENCES model (model_id),
    prompt         TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    settings_json  TEXT,
    failure_json   TEXT,
    created_ms     INTEGER NOT NULL,
    started_ms     INTEGER,
    ended_ms       INTEGER
, client TEXT NOT NULL DEFAULT 'socket', priority INTEGER NOT NULL DEFAULT 0, turn INTEGER, attempts INTEGER NOT NULL DEFAULT 0, begun INTEGER, expires_ms INTEGER, is_tied INTEGER NOT NULL DEFAULT 0 CHECK (is_tied IN (0, 1)), deleted_ms INTEGER) STRICT;

CREATE INDEX generation_by_begun ON generation (begun);

CREATE INDEX generation_by_client ON generation (client, begun);

CREATE INDEX generation_by_deletion ON generation (deleted_ms) WHERE deleted_ms IS NOT NULL;

CREATE INDEX generation_by_expiry ON generation (expires_ms) WHERE state = 'queued' AND expires_ms IS NOT NULL;

CREATE INDEX generation_by_state ON generation (state, generation_id);

CREATE TABLE generation_image (
    generation_id   INTEGER NOT NULL REFERENCES generation (generation_id),
    position        INTEGER NOT NULL,
    asset_id        INTEGER NOT NULL REFERENCES asset (asset_id),
    -- The same 64 bits as the unsigned seed.
    seed            INTEGER NOT NULL,
    parameters_text TEXT    NOT NULL,
    PRIMARY KEY (generation_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE generation_input (
    generation_id INTEGER NOT NULL REFERENCES generation (generation_id),
    asset_id      INTEGER NOT NULL REFERENCES asset (asset_id),
    PRIMARY KEY (generation_id, asset_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX generation_input_by_asset ON generation_input (asset_id);

CREATE TABLE generation_queue (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    paused   INTEGER NOT NULL CHECK (paused IN (0, 1))
) STRICT;

CREATE TABLE library (
    -- Never reused: it is the library's name.
    library_id INTEGER PRIMARY KEY AUTOINCREMENT,
    path       BLOB    NOT NULL UNIQUE,
    -- Whose folder it is: comfyui, a1111, invokeai …
    layout     TEXT    NOT NULL,
    -- The folder itself, by which an empty mount point is told from it; the 64 bits are those of unsigned numbers.
    device     INTEGER NOT NULL,
    inode      INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    -- When all of it was last looked at.
    walked_ms  INTEGER,
    -- Since when it is not there; null while it is.
    away_ms    INTEGER
) STRICT;

CREATE TABLE library_file (
    -- Never reused: it is how the file is named, `local:17`.
    library_file_id INTEGER PRIMARY KEY AUTOINCREMENT,
    device       INTEGER NOT NULL,
    inode        INTEGER NOT NULL,
    size_bytes   INTEGER NOT NULL CHECK (size_bytes >= 0),
    modified_ns  INTEGER NOT NULL,
    -- BLAKE3 of some of its bytes.
    sample       BLOB    CHECK (length(sample) = 32),
    -- Detected.
    format       TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    architecture TEXT    NOT NULL,
    precision    TEXT,
    parameters   INTEGER,
    detail_json  TEXT,
    -- What it and the notes beside it say of it, for its page.
    page_json    TEXT    NOT NULL,
    -- Why it cannot be used.
    failure_json TEXT,
    -- Once all of it was read.
    artifact_id  INTEGER REFERENCES artifact (artifact_id),
    -- When reading it to its end failed; it is not tried again until it looks otherwise.
    unreadable_ms INTEGER,
    -- When the hubs were last asked whether they list it.
    asked_ms     INTEGER,
    -- Since when it has no name any more.
    gone_ms      INTEGER
) STRICT;

CREATE INDEX library_file_by_artifact ON library_file (artifact_id) WHERE artifact_id IS NOT NULL;

CREATE INDEX library_file_by_inode ON library_file (inode, size_bytes);

CREATE INDEX library_file_gone ON library_file (gone_ms) WHERE gone_ms IS NOT NULL;

CREATE INDEX library_file_unasked ON library_file (coalesce(asked_ms, 0), library_file_id)
    WHERE artifact_id IS NOT NULL AND gone_ms IS NULL;

CREATE INDEX library_file_unread ON library_file (size_bytes, library_file_id)
    WHERE artifact_id IS NULL AND gone_ms IS NULL AND unreadable_ms IS NULL;

CREATE INDEX library_file_unread_by_kind ON library_file (kind, architecture)
    WHERE artifact_id IS NULL AND gone_ms IS NULL;

CREATE TABLE library_path (
    library_id      INTEGER NOT NULL REFERENCES library (library_id),
    -- Below the library.
    path            BLOB    NOT NULL,
    library_file_id INTEGER NOT NULL REFERENCES library_file (library_file_id),
    -- What the notes and pictures beside it looked like when they were read.
    beside          INTEGER NOT NULL,
    first_seen_ms   INTEGER NOT NULL,
    PRIMARY KEY (library_id, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX library_path_by_file ON library_path (library_file_id);

CREATE TABLE model (
    model_id      INTEGER PRIMARY KEY,
    hub           TEXT    NOT NULL,
    external_id   TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    -- The name in NFKC and lower case, to be found by.
    name_key      TEXT    NOT NULL,
    kind          TEXT    NOT NULL,
    kind_label    TEXT,
    creator       TEXT,
    description   TEXT,
    nsfw_level    INTEGER NOT NULL,
    licence       TEXT,
    downloads     INTEGER,
    likes         INTEGER,
    state         TEXT    NOT NULL CHECK (state IN ('published', 'archived', 'taken_down', 'gated', 'disabled')),
    published_ms  INTEGER,
    updated_ms    INTEGER,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms  INTEGER NOT NULL,
    gone_ms       INTEGER, creator_id TEXT, access_granted INTEGER CHECK (access_granted IN (0, 1)), access_asked_ms INTEGER, list_mark TEXT, answer BLOB CHECK (length(answer) = 32),
    UNIQUE (hub, external_id)
) STRICT;

CREATE TRIGGER search_changed_model AFTER UPDATE ON model
WHEN (old.answer, old.gone_ms, old.name, old.kind, old.kind_label, old.creator, old.nsfw_level, old.licence, old.state,
      old.published_ms, old.updated_ms, old.hub, old.external_id)
  IS NOT (new.answer, new.gone_ms, new.name, new.kind, new.kind_label, new.creator, new.nsfw_level, new.licence,
      new.state, new.published_ms, new.updated_ms, new.hub, new.external_id)
BEGIN
    INSERT INTO search_dirty (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_counted_model AFTER UPDATE OF downloads, likes ON model
WHEN (old.downloads, old.likes) IS NOT (new.downloads, new.likes)
BEGIN
    INSERT INTO search_counted (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_deleted_model AFTER DELETE ON model BEGIN
    INSERT INTO search_dirty (model_id) VALUES (old.model_id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_new_model AFTER INSERT ON model BEGIN
    INSERT INTO search_dirty (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

CREATE INDEX model_by_external_id ON model (hub, external_id COLLATE NOCASE);

CREATE INDEX model_by_name ON model (name_key);

CREATE INDEX model_gone ON model (hub) WHERE gone_ms IS NOT NULL;

CREATE TABLE model_change (
    model_change_id INTEGER PRIMARY KEY,
    model_id        INTEGER NOT NULL REFERENCES model (model_id),
    at_ms           INTEGER NOT NULL,
    -- Null: the hub said that there is no such model.
    model_state_id  INTEGER REFERENCES model_state (model_state_id)
) STRICT;

CREATE INDEX model_change_by_model ON model_change (model_id, at_ms);

CREATE VIRTUAL TABLE model_search USING fts5 (
    name, creator, tags, trained_words,
    content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2',
    prefix = '2 3'
);

CREATE TABLE model_state (
    model_state_id INTEGER PRIMARY KEY,
    model_id       INTEGER NOT NULL REFERENCES model (model_id),
    digest         BLOB    NOT NULL CHECK (length(digest) = 32),
    -- The hub's JSON, word for word: as it is, or compressed.
    encoding       TEXT    NOT NULL CHECK (encoding IN ('plain', 'zstd')),
    body           BLOB    NOT NULL,
    UNIQUE (model_id, digest)
) STRICT;

CREATE TABLE model_tag (
    model_id INTEGER NOT NULL REFERENCES model (model_id),
    tag_id   INTEGER NOT NULL REFERENCES tag (tag_id),
    position INTEGER NOT NULL,
    PRIMARY KEY (model_id, tag_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE notice (
    notice_id    INTEGER PRIMARY KEY,
    follow_id    INTEGER REFERENCES follow (follow_id) ON DELETE SET NULL,
    version_id   INTEGER NOT NULL REFERENCES version (version_id),
    -- Who tells: `desktop`, `webhook`.
    announcer    TEXT    NOT NULL,
    created_ms   INTEGER NOT NULL,
    -- Attempts so far, and when the next one is due; null once it was told or given up.
    attempts     INTEGER NOT NULL DEFAULT 0,
    due_ms       INTEGER,
    told_ms      INTEGER
) STRICT;

CREATE INDEX notice_by_due ON notice (due_ms) WHERE due_ms IS NOT NULL;

CREATE INDEX notice_by_follow ON notice (follow_id) WHERE follow_id IS NOT NULL;

CREATE INDEX notice_by_version ON notice (version_id);

CREATE TABLE observation (
    observation_id INTEGER PRIMARY KEY,
    artifact_id    INTEGER NOT NULL REFERENCES artifact (artifact_id),
    path           BLOB    NOT NULL,
    first_seen_ms  INTEGER NOT NULL,
    last_seen_ms   INTEGER NOT NULL,
    gone_ms        INTEGER
, volume_id INTEGER REFERENCES volume (volume_id), checked_ms INTEGER, library_id INTEGER REFERENCES library (library_id)) STRICT;

CREATE TRIGGER search_changed_observation AFTER UPDATE OF gone_ms, artifact_id ON observation
WHEN old.gone_ms IS NOT new.gone_ms OR old.artifact_id IS NOT new.artifact_id
BEGIN
    INSERT INTO search_dirty (model_id)
        SELECT v.model_id FROM file f JOIN version v USING (version_id)
        WHERE f.artifact_id IN (old.artifact_id, new.artifact_id)
        ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_new_observation AFTER INSERT ON observation BEGIN
    INSERT INTO search_dirty (model_id)
        SELECT v.model_id FROM file f JOIN version v USING (version_id) WHERE f.artifact_id = new.artifact_id
        ON CONFLICT DO NOTHING;
END;

CREATE INDEX observation_by_artifact ON observation (artifact_id);

CREATE INDEX observation_by_check ON observation (coalesce(checked_ms, first_seen_ms)) WHERE gone_ms IS NULL;

CREATE INDEX observation_by_library ON observation (library_id) WHERE library_id IS NOT NULL;

CREATE UNIQUE INDEX observation_by_path ON observation (path) WHERE gone_ms IS NULL;

CREATE INDEX observation_by_volume ON observation (volume_id) WHERE volume_id IS NOT NULL;

CREATE TABLE preview (
    preview_id    INTEGER PRIMARY KEY,
    version_id    INTEGER NOT NULL REFERENCES version (version_id),
    -- The hub's id for it, or its URL where the hub gives none.
    identity      TEXT    NOT NULL,
    external_id   TEXT,
    url           TEXT    NOT NULL,
    media         TEXT    NOT NULL,
    width         INTEGER,
    height        INTEGER,
    nsfw_level    INTEGER NOT NULL,
    blurhash      TEXT,
    -- The generation data as JSON, word for word.
    generation    TEXT,
    position      INTEGER NOT NULL,
    original_asset_id  INTEGER REFERENCES asset (asset_id),
    thumbnail_asset_id INTEGER REFERENCES asset (asset_id),
    failure_json  TEXT,
    first_seen_ms INTEGER NOT NULL,
    gone_ms       INTEGER, small_thumbnail_asset_id INTEGER REFERENCES asset (asset_id),
    UNIQUE (version_id, identity)
) STRICT;

CREATE INDEX preview_unread_in_libraries ON preview (preview_id)
    WHERE thumbnail_asset_id IS NULL AND failure_json IS NULL AND substr(url, 1, 1) = '/';

CREATE TABLE pull (
    pull_id    INTEGER PRIMARY KEY,
    model_id   INTEGER NOT NULL REFERENCES model (model_id),
    version_id INTEGER REFERENCES version (version_id),
    file_id    INTEGER REFERENCES file (file_id),
    created_ms INTEGER NOT NULL,
    CHECK (file_id IS NULL OR version_id IS NOT NULL)
) STRICT;

CREATE UNIQUE INDEX pull_once ON pull (model_id, coalesce(version_id, 0), coalesce(file_id, 0));

CREATE TABLE removal (
    -- Never reused: it is the removal's name.
    removal_id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What was asked for.
    reference  TEXT    NOT NULL,
    -- emptying: its bytes are being removed, and it cannot be undone any more.
    state      TEXT    NOT NULL CHECK (state IN ('trashed', 'emptying', 'restored', 'emptied')),
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    ended_ms   INTEGER,
    CHECK ((ended_ms IS NOT NULL) = (state IN ('restored', 'emptied')))
) STRICT;

CREATE INDEX removal_by_expiry ON removal (expires_ms) WHERE ended_ms IS NULL;

CREATE TABLE removed_file (
    removal_id      INTEGER NOT NULL REFERENCES removal (removal_id),
    file_id         INTEGER NOT NULL REFERENCES file (file_id),
    -- What became of its bytes.
    bytes           TEXT    NOT NULL CHECK (bytes IN ('trashed', 'shared', 'in_place', 'absent')),
    -- The file as it was.
    artifact_id     INTEGER REFERENCES artifact (artifact_id),
    verified        INTEGER NOT NULL CHECK (verified IN (0, 1)),
    fetched_ms      INTEGER,
    fetched_licence TEXT,
    PRIMARY KEY (removal_id, file_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX removed_file_by_artifact ON removed_file (artifact_id) WHERE artifact_id IS NOT NULL;

CREATE INDEX removed_file_by_file ON removed_file (file_id);

CREATE TABLE removed_place (
    removal_id  INTEGER NOT NULL REFERENCES removal (removal_id),
    path        BLOB    NOT NULL,
    artifact_id INTEGER NOT NULL REFERENCES artifact (artifact_id),
    volume_id   INTEGER REFERENCES volume (volume_id),
    PRIMARY KEY (removal_id, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX removed_place_by_artifact ON removed_place (artifact_id);

CREATE INDEX removed_place_by_path ON removed_place (path);

CREATE INDEX removed_place_by_volume ON removed_place (volume_id) WHERE volume_id IS NOT NULL;

CREATE TABLE search_card (
    model_id INTEGER PRIMARY KEY,
    card     TEXT    NOT NULL
) STRICT;

CREATE TABLE search_counted (
    model_id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE search_dirty (
    model_id INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE search_label (
    label_id INTEGER PRIMARY KEY,
    field    TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    UNIQUE (field, text)
) STRICT;

CREATE TABLE search_rows (
    chunk   INTEGER PRIMARY KEY,
    -- Grows with every transaction: what was read before is told by it from what is new.
    changed INTEGER NOT NULL,
    rows    BLOB    NOT NULL
, renewed INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE INDEX search_rows_by_change ON search_rows (changed);

CREATE VIRTUAL TABLE search_word USING fts5vocab('model_search', 'row');

CREATE TABLE sync_run (
    sync_run_id  INTEGER PRIMARY KEY,
    uid          TEXT    NOT NULL UNIQUE,
    request_id   TEXT    UNIQUE,
    scope_json   TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    planned      INTEGER NOT NULL DEFAULT 0,
    fetched      INTEGER NOT NULL DEFAULT 0,
    already_had  INTEGER NOT NULL DEFAULT 0,
    skipped      INTEGER NOT NULL DEFAULT 0,
    failed       INTEGER NOT NULL DEFAULT 0,
    bytes        INTEGER NOT NULL DEFAULT 0,
    failure_json TEXT,
    created_ms   INTEGER NOT NULL,
    started_ms   INTEGER,
    ended_ms     INTEGER
) STRICT;

CREATE INDEX sync_run_by_state ON sync_run (state);

CREATE TABLE tag (
    tag_id INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
) STRICT;

CREATE TRIGGER search_changed_version AFTER UPDATE ON version
WHEN (old.base_model, old.early_access, old.gone_ms, old.trained_words)
  IS NOT (new.base_model, new.early_access, new.gone_ms, new.trained_words)
BEGIN
    INSERT INTO search_dirty (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_new_version AFTER INSERT ON version BEGIN
    INSERT INTO search_dirty (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

CREATE TABLE version (
    version_id       INTEGER PRIMARY KEY,
    model_id         INTEGER NOT NULL REFERENCES model (model_id),
    external_id      TEXT    NOT NULL,
    name             TEXT    NOT NULL,
    base_model       TEXT,
    -- A JSON array of texts.
    trained_words    TEXT    NOT NULL,
    published_ms     INTEGER,
    early_access     INTEGER NOT NULL CHECK (early_access IN (0, 1)),
    early_access_until_ms INTEGER,
    download_allowed INTEGER NOT NULL CHECK (download_allowed IN (0, 1)),
    -- 0 is the newest, as the hub lists them.
    position         INTEGER NOT NULL,
    first_seen_ms    INTEGER NOT NULL,
    gone_ms          INTEGER, nsfw_level INTEGER NOT NULL DEFAULT 0, was_early_access INTEGER NOT NULL DEFAULT 0 CHECK (was_early_access IN (0, 1)),
    UNIQUE (model_id, external_id)
) STRICT;

CREATE INDEX version_by_external_id ON version (external_id);

CREATE TABLE volume (
    -- Never reused: it is on record with what lay there.
    volume_id       INTEGER PRIMARY KEY AUTOINCREMENT,
    -- What stands in the folder itself, by which it is known again wherever it is mounted.
    uid             TEXT    NOT NULL UNIQUE,
    label           TEXT    NOT NULL UNIQUE,
    path            BLOB    NOT NULL UNIQUE,
    -- A JSON array of the kinds of model that go there.
    kinds           TEXT    NOT NULL,
    everything_else INTEGER NOT NULL CHECK (everything_else IN (0, 1)),
    keep_free_bytes INTEGER CHECK (keep_free_bytes >= 0),
    created_ms      INTEGER NOT NULL,
    -- Since when it is not there; null while it is.
    away_ms         INTEGER
) STRICT;
