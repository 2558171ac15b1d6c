-- Requests to create something that came with an id of their caller's (AIP-155). Generations and sync runs keep theirs in
-- their own rows.
CREATE TABLE answered_request (
    request_id     TEXT    NOT NULL PRIMARY KEY,
    -- Of the method and everything in the request but its id.
    request_digest BLOB    NOT NULL,
    -- The answer's message. NULL while it is worked on, and of what a kill of the daemon broke off.
    answer         BLOB,
    asked_ms       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX answered_request_by_time ON answered_request (asked_ms);
