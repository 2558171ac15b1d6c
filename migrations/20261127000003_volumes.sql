-- Folders that hold blobs beside the home's own, what was read again, and what was removed.

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

-- The volume that the path is on; null in the home's own store, and outside of all.
ALTER TABLE observation ADD COLUMN volume_id INTEGER REFERENCES volume (volume_id);
-- When the bytes were last read from there and right; null: not since they were first seen.
ALTER TABLE observation ADD COLUMN checked_ms INTEGER;

CREATE INDEX observation_by_volume ON observation (volume_id) WHERE volume_id IS NOT NULL;
CREATE INDEX observation_by_check ON observation (coalesce(checked_ms, first_seen_ms)) WHERE gone_ms IS NULL;

-- When somebody put the file into the trash. It is not fetched again until they want it again.
ALTER TABLE file ADD COLUMN removed_ms INTEGER;

CREATE INDEX file_by_removal ON file (sha256) WHERE removed_ms IS NOT NULL;

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

CREATE INDEX removed_file_by_file ON removed_file (file_id);
CREATE INDEX removed_file_by_artifact ON removed_file (artifact_id) WHERE artifact_id IS NOT NULL;

-- Where trashed bytes lie.
CREATE TABLE removed_place (
    removal_id  INTEGER NOT NULL REFERENCES removal (removal_id),
    path        BLOB    NOT NULL,
    artifact_id INTEGER NOT NULL REFERENCES artifact (artifact_id),
    volume_id   INTEGER REFERENCES volume (volume_id),
    PRIMARY KEY (removal_id, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX removed_place_by_path ON removed_place (path);
CREATE INDEX removed_place_by_artifact ON removed_place (artifact_id);
CREATE INDEX removed_place_by_volume ON removed_place (volume_id) WHERE volume_id IS NOT NULL;
