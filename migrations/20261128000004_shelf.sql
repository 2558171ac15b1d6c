-- What is asked of everything that one has.

-- What goes with a model: content of some kinds for one architecture.
CREATE INDEX artifact_by_kind ON artifact (kind, architecture);
CREATE INDEX library_file_unread_by_kind ON library_file (kind, architecture)
    WHERE artifact_id IS NULL AND gone_ms IS NULL;

-- How many models a hub took back; all of them are counted from the index that their names have.
CREATE INDEX model_gone ON model (hub) WHERE gone_ms IS NOT NULL;
