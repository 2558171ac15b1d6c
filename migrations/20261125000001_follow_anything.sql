-- Follows of anything a hub lists, with a policy each, a ledger of what was there before them, and the history of
-- every model's states.

DROP INDEX follow_by_creator;
-- As people write it: `civitai:Konan`, `civitai:tag:ink wash`, `hf:org/repo@dev`.
ALTER TABLE follow ADD COLUMN target TEXT NOT NULL DEFAULT '';
-- A name that would read as a model's number or as the account's own list is written out.
UPDATE follow SET target = creator;
UPDATE follow SET target = 'user:' || creator
    WHERE hub = 'civitai' AND (creator = 'following'
        OR (creator NOT GLOB '*[^0-9]*' AND CAST(creator AS INTEGER) BETWEEN 1 AND 2147483647));
UPDATE follow SET target = hub || ':' || target;
-- What is left out of the JSON has its default.
ALTER TABLE follow ADD COLUMN policy_json TEXT NOT NULL DEFAULT '{}';
UPDATE follow SET policy_json = json_object('backfill', iif(backfill = 'newest', CAST(backfill_newest AS TEXT), backfill));
ALTER TABLE follow DROP COLUMN backfill_newest;
ALTER TABLE follow DROP COLUMN backfill;
ALTER TABLE follow DROP COLUMN creator;
-- What the first page of its list looked like when the list was last read to its end; the hub client's own words.
ALTER TABLE follow ADD COLUMN list_mark TEXT;
-- When its list had been read to its end for the first time: what was seen until then is the back catalogue.
ALTER TABLE follow ADD COLUMN seeded_ms INTEGER;
-- When all of its list was last read, unchanged first page or not.
ALTER TABLE follow ADD COLUMN full_read_ms INTEGER;
-- The hub's number for the creator whose work it is, which outlives a change of name.
ALTER TABLE follow ADD COLUMN creator_id TEXT;
-- Checks that failed in a row.
ALTER TABLE follow ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
UPDATE follow SET seeded_ms = last_check_ms WHERE failure_json IS NULL;
CREATE UNIQUE INDEX follow_by_target ON follow (target COLLATE NOCASE);

-- What a follow was called before its creator took another name.
CREATE TABLE follow_rename (
    follow_id     INTEGER NOT NULL REFERENCES follow (follow_id) ON DELETE CASCADE,
    former_target TEXT    NOT NULL,
    renamed_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX follow_rename_by_follow ON follow_rename (follow_id);

-- The back catalogue of a follow: versions that were there when it began. Only a backfill fetches them.
CREATE TABLE follow_seen (
    follow_id  INTEGER NOT NULL REFERENCES follow (follow_id) ON DELETE CASCADE,
    version_id INTEGER NOT NULL REFERENCES version (version_id),
    PRIMARY KEY (follow_id, version_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX follow_seen_by_version ON follow_seen (version_id);
INSERT INTO follow_seen (follow_id, version_id)
    SELECT f.follow_id, v.version_id
    FROM follow f JOIN follow_model USING (follow_id) JOIN version v USING (model_id)
    WHERE coalesce(v.published_ms, 0) < f.created_ms;

-- When the list stopped showing a model that is still on the hub, such as one that left a collection.
ALTER TABLE follow_model ADD COLUMN left_ms INTEGER;

-- The hub's number for the creator, which outlives a change of name.
ALTER TABLE model ADD COLUMN creator_id TEXT;
-- Of a gated model: whether this machine's account may read its files; null while that is not known.
ALTER TABLE model ADD COLUMN access_granted INTEGER CHECK (access_granted IN (0, 1));
-- When that was last asked.
ALTER TABLE model ADD COLUMN access_asked_ms INTEGER;
-- What a list says of the model; as long as it says the same, the model's page need not be asked for.
ALTER TABLE model ADD COLUMN list_mark TEXT;
-- Of the answer that was recorded last, all but its counters: an answer with the same digest changes nothing else.
ALTER TABLE model ADD COLUMN answer BLOB CHECK (length(answer) = 32);
-- When a part was last seen says nothing beside when its model was and when the part vanished.
ALTER TABLE version DROP COLUMN last_seen_ms;
ALTER TABLE file DROP COLUMN last_seen_ms;
ALTER TABLE preview DROP COLUMN last_seen_ms;
ALTER TABLE version ADD COLUMN nsfw_level INTEGER NOT NULL DEFAULT 0;
-- Whether it had to be paid for at any time that we saw.
ALTER TABLE version ADD COLUMN was_early_access INTEGER NOT NULL DEFAULT 0 CHECK (was_early_access IN (0, 1));
UPDATE version SET was_early_access = early_access;

-- The states of a model's page, each text once, and when which of them held.
CREATE TABLE model_state (
    model_state_id INTEGER PRIMARY KEY,
    model_id       INTEGER NOT NULL REFERENCES model (model_id),
    digest         BLOB    NOT NULL CHECK (length(digest) = 32),
    -- The hub's JSON, word for word: as it is, or compressed.
    encoding       TEXT    NOT NULL CHECK (encoding IN ('plain', 'zstd')),
    body           BLOB    NOT NULL,
    UNIQUE (model_id, digest)
) STRICT;
INSERT INTO model_state (model_state_id, model_id, digest, encoding, body)
    SELECT snapshot_id, model_id, digest, 'plain', CAST(raw AS BLOB) FROM model_snapshot;

CREATE TABLE model_change (
    model_change_id INTEGER PRIMARY KEY,
    model_id        INTEGER NOT NULL REFERENCES model (model_id),
    at_ms           INTEGER NOT NULL,
    -- Null: the hub said that there is no such model.
    model_state_id  INTEGER REFERENCES model_state (model_state_id)
) STRICT;
CREATE INDEX model_change_by_model ON model_change (model_id, at_ms);
-- A snapshot was dated by its first and last sighting only. One that was seen again after a later one came back, at the
-- latest when it was last seen.
INSERT INTO model_change (model_id, at_ms, model_state_id)
    SELECT model_id, at_ms, snapshot_id FROM (
        SELECT model_id, first_seen_ms AS at_ms, snapshot_id FROM model_snapshot
        UNION ALL
        SELECT model_id, last_seen_ms, snapshot_id FROM model_snapshot AS latest
        WHERE last_seen_ms = (SELECT max(last_seen_ms) FROM model_snapshot WHERE model_id = latest.model_id)
            AND EXISTS (SELECT 1 FROM model_snapshot AS other WHERE other.model_id = latest.model_id
                            AND other.first_seen_ms > latest.first_seen_ms AND other.last_seen_ms < latest.last_seen_ms)
    ) ORDER BY at_ms, snapshot_id;
INSERT INTO model_change (model_id, at_ms, model_state_id)
    SELECT model_id, gone_ms, NULL FROM model WHERE gone_ms IS NOT NULL ORDER BY gone_ms;
DROP TABLE model_snapshot;

-- What somebody asked to be told of and has not been told yet, or has been told when.
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
CREATE INDEX notice_by_version ON notice (version_id);
CREATE INDEX notice_by_follow ON notice (follow_id) WHERE follow_id IS NOT NULL;
