-- What a list shows of each model, made together with its packed row: a JSON array of the members of a line, and the
-- numbers of the tags.
CREATE TABLE search_card (
    model_id INTEGER PRIMARY KEY,
    card     TEXT    NOT NULL
) STRICT;

-- As before, and for the id on the hub and the hub's word for the kind, which are shown.
DROP TRIGGER search_changed_model;
CREATE TRIGGER search_changed_model AFTER UPDATE ON model
WHEN (old.answer, old.gone_ms, old.name, old.kind, old.kind_label, old.creator, old.nsfw_level, old.licence, old.state,
      old.published_ms, old.updated_ms, old.hub, old.external_id)
  IS NOT (new.answer, new.gone_ms, new.name, new.kind, new.kind_label, new.creator, new.nsfw_level, new.licence,
      new.state, new.published_ms, new.updated_ms, new.hub, new.external_id)
BEGIN
    INSERT INTO search_dirty (model_id) VALUES (new.model_id) ON CONFLICT DO NOTHING;
END;

-- Everything that is known already, in the background after the first start.
INSERT INTO search_dirty (model_id) SELECT model_id FROM model WHERE true ON CONFLICT DO NOTHING;
