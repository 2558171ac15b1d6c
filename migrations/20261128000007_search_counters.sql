-- Counters are what changes most. A model of which nothing else changed is looked at for nothing else.

CREATE TABLE search_counted (
    model_id INTEGER PRIMARY KEY
) STRICT;

CREATE TRIGGER search_counted_model AFTER UPDATE OF downloads, likes ON model
WHEN (old.downloads, old.likes) IS NOT (new.downloads, new.likes)
BEGIN
    INSERT INTO search_counted (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

DROP TRIGGER search_changed_model;

CREATE TRIGGER search_changed_model AFTER UPDATE ON model
WHEN (old.answer, old.gone_ms, old.name, old.kind, old.creator, old.nsfw_level, old.licence, old.state,
      old.published_ms, old.updated_ms, old.hub)
  IS NOT (new.answer, new.gone_ms, new.name, new.kind, new.creator, new.nsfw_level, new.licence, new.state,
      new.published_ms, new.updated_ms, new.hub)
BEGIN
    INSERT INTO search_dirty (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

-- When more than counters of a chunk changed. A text whose models are known need not be looked for again before that.
ALTER TABLE search_rows ADD COLUMN renewed INTEGER NOT NULL DEFAULT 0;
