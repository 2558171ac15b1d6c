-- Downloads as rows: what is to be fetched, where each stands, and how it ended.

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
    ended_ms       INTEGER,
    CHECK ((ended_ms IS NOT NULL) = (state IN ('done', 'cancelled'))),
    CHECK (state <> 'failed' OR due_ms IS NOT NULL)
) STRICT;

-- A file is fetched once at a time.
CREATE UNIQUE INDEX download_open ON download (file_id) WHERE ended_ms IS NULL;
CREATE INDEX download_by_file ON download (file_id);
CREATE INDEX download_by_follow ON download (follow_id) WHERE follow_id IS NOT NULL;
CREATE INDEX download_by_turn ON download (priority DESC, coalesce(turn, download_id)) WHERE state = 'queued';
CREATE INDEX download_by_due ON download (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX download_by_end ON download (ended_ms, download_id) WHERE ended_ms IS NOT NULL;

-- What holds for all of them; one row.
CREATE TABLE download_queue (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    paused   INTEGER NOT NULL CHECK (paused IN (0, 1))
) STRICT;

INSERT INTO download_queue (only_row, paused) VALUES (1, 0);
