-- What searches filter, sort and count by, packed so that a million models are a scan of memory and not of tables.

-- Texts that many models share: a creator's name, or the JSON array of all base models, architectures, formats or
-- precisions that a model has. Never removed, so that a number means one text for ever.
CREATE TABLE search_label (
    label_id INTEGER PRIMARY KEY,
    field    TEXT    NOT NULL,
    text     TEXT    NOT NULL,
    UNIQUE (field, text)
) STRICT;

-- Rows of fixed length for model_id 80 * chunk and the 79 after it, so that a chunk fills a page of the file.
CREATE TABLE search_rows (
    chunk   INTEGER PRIMARY KEY,
    -- Grows with every transaction: what was read before is told by it from what is new.
    changed INTEGER NOT NULL,
    rows    BLOB    NOT NULL
) STRICT;
CREATE INDEX search_rows_by_change ON search_rows (changed);

-- Models whose row is to be made anew, at the end of the transaction that changed them or soon after. Triggers say ON
-- CONFLICT and not OR IGNORE, which a statement that fires them would overrule (sqlite.org/lang_createtrigger.html).
CREATE TABLE search_dirty (
    model_id INTEGER PRIMARY KEY
) STRICT;

CREATE TRIGGER search_new_model AFTER INSERT ON model BEGIN
    INSERT INTO search_dirty (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_deleted_model AFTER DELETE ON model BEGIN
    INSERT INTO search_dirty (model_id) VALUES (old.model_id) ON CONFLICT DO NOTHING;
END;

-- The answer stands for everything that a hub says beside its counters.
CREATE TRIGGER search_changed_model AFTER UPDATE ON model
WHEN (old.answer, old.downloads, old.likes, old.gone_ms, old.name, old.kind, old.creator, old.nsfw_level, old.licence,
      old.state, old.published_ms, old.updated_ms, old.hub)
  IS NOT (new.answer, new.downloads, new.likes, new.gone_ms, new.name, new.kind, new.creator, new.nsfw_level,
      new.licence, new.state, new.published_ms, new.updated_ms, new.hub)
BEGIN
    INSERT INTO search_dirty (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_new_version AFTER INSERT ON version BEGIN
    INSERT INTO search_dirty (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_changed_version AFTER UPDATE ON version
WHEN (old.base_model, old.early_access, old.gone_ms, old.trained_words)
  IS NOT (new.base_model, new.early_access, new.gone_ms, new.trained_words)
BEGIN
    INSERT INTO search_dirty (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_new_file AFTER INSERT ON file WHEN new.artifact_id IS NOT NULL BEGIN
    INSERT INTO search_dirty (model_id) SELECT model_id FROM version WHERE version_id = new.version_id
        ON CONFLICT DO NOTHING;
END;

-- Which formats and precisions a hub lists is part of its answer; what of it is here is not.
CREATE TRIGGER search_changed_file AFTER UPDATE OF artifact_id, sha256 ON file
WHEN old.artifact_id IS NOT new.artifact_id OR (new.artifact_id IS NOT NULL AND old.sha256 IS NOT new.sha256)
BEGIN
    INSERT INTO search_dirty (model_id) SELECT model_id FROM version WHERE version_id = new.version_id
        ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_new_observation AFTER INSERT ON observation BEGIN
    INSERT INTO search_dirty (model_id)
        SELECT v.model_id FROM file f JOIN version v USING (version_id) WHERE f.artifact_id = new.artifact_id
        ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_changed_observation AFTER UPDATE OF gone_ms, artifact_id ON observation
WHEN old.gone_ms IS NOT new.gone_ms OR old.artifact_id IS NOT new.artifact_id
BEGIN
    INSERT INTO search_dirty (model_id)
        SELECT v.model_id FROM file f JOIN version v USING (version_id)
        WHERE f.artifact_id IN (old.artifact_id, new.artifact_id)
        ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER search_changed_artifact AFTER UPDATE OF format, architecture, precision, size_bytes ON artifact
WHEN (old.format, old.architecture, old.precision, old.size_bytes)
  IS NOT (new.format, new.architecture, new.precision, new.size_bytes)
BEGIN
    INSERT INTO search_dirty (model_id)
        SELECT v.model_id FROM file f JOIN version v USING (version_id) WHERE f.artifact_id = new.artifact_id
        ON CONFLICT DO NOTHING;
END;

-- The words of the index, to find one that is nearly what somebody typed.
CREATE VIRTUAL TABLE search_word USING fts5vocab('model_search', 'row');

-- Everything that is known already, in the background after the first start.
INSERT INTO search_dirty (model_id) SELECT model_id FROM model;
