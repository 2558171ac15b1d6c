-- Folders of models that people keep themselves: looked at and read, never written to.

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

-- A file of libraries as the system describes it and as its header does. All names of one file share it, and it stays
-- for a while when the last of them goes, because most that goes comes back elsewhere.
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

CREATE INDEX library_file_by_inode ON library_file (inode, size_bytes);
CREATE INDEX library_file_by_artifact ON library_file (artifact_id) WHERE artifact_id IS NOT NULL;
CREATE INDEX library_file_unread ON library_file (size_bytes, library_file_id)
    WHERE artifact_id IS NULL AND gone_ms IS NULL AND unreadable_ms IS NULL;
CREATE INDEX library_file_unasked ON library_file (coalesce(asked_ms, 0), library_file_id)
    WHERE artifact_id IS NOT NULL AND gone_ms IS NULL;
CREATE INDEX library_file_gone ON library_file (gone_ms) WHERE gone_ms IS NOT NULL;

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

-- The library that the path is in.
ALTER TABLE observation ADD COLUMN library_id INTEGER REFERENCES library (library_id);

CREATE INDEX observation_by_library ON observation (library_id) WHERE library_id IS NOT NULL;

-- Of a page that was made for a file of a library (`model.hub` is `local`): that file.
ALTER TABLE file ADD COLUMN library_file_id INTEGER REFERENCES library_file (library_file_id);

CREATE INDEX file_by_library_file ON file (library_file_id) WHERE library_file_id IS NOT NULL;
