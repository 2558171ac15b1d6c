-- The queue of generations: whose turn it is, what ends with its caller or its time, and what was deleted.

-- Who asked: how they came, and behind a slash the name they gave.
ALTER TABLE generation ADD COLUMN client TEXT NOT NULL DEFAULT 'socket';
-- Higher first.
ALTER TABLE generation ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
-- Of one client's of the same priority, by turn, which is the order of arrival unless somebody changed it.
ALTER TABLE generation ADD COLUMN turn INTEGER;
-- Times that it was begun.
ALTER TABLE generation ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
-- Grows from one that is begun to the next.
ALTER TABLE generation ADD COLUMN begun INTEGER;
-- It fails when it has not ended by then.
ALTER TABLE generation ADD COLUMN expires_ms INTEGER;
-- Nobody wants it any more once its caller is gone.
ALTER TABLE generation ADD COLUMN is_tied INTEGER NOT NULL DEFAULT 0 CHECK (is_tied IN (0, 1));
ALTER TABLE generation ADD COLUMN deleted_ms INTEGER;

UPDATE generation SET attempts = 1, begun = generation_id WHERE started_ms IS NOT NULL;

-- Pictures that generations start from, which are kept as long as they are remembered.
CREATE TABLE generation_input (
    generation_id INTEGER NOT NULL REFERENCES generation (generation_id),
    asset_id      INTEGER NOT NULL REFERENCES asset (asset_id),
    PRIMARY KEY (generation_id, asset_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX generation_input_by_asset ON generation_input (asset_id);

INSERT INTO generation_input (generation_id, asset_id)
SELECT g.generation_id, a.asset_id FROM asset a JOIN generation g ON instr(g.spec_json, lower(hex(a.sha256))) > 0
WHERE a.origin IN ('output', 'upload');

-- When a client last had its turn.
CREATE INDEX generation_by_client ON generation (client, begun);
CREATE INDEX generation_by_begun ON generation (begun);
CREATE INDEX generation_by_expiry ON generation (expires_ms) WHERE state = 'queued' AND expires_ms IS NOT NULL;
CREATE INDEX generation_by_deletion ON generation (deleted_ms) WHERE deleted_ms IS NOT NULL;

-- What holds for all of them; one row.
CREATE TABLE generation_queue (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    paused   INTEGER NOT NULL CHECK (paused IN (0, 1))
) STRICT;

INSERT INTO generation_queue (only_row, paused) VALUES (1, 0);
