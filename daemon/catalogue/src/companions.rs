//! What goes with a model, of what is here: adapters, VAEs, embeddings and ControlNets with a checkpoint, and
//! checkpoints with those. What a file was detected to be decides; where that is not known, the hub's label does.

use crate::codec;
use crate::error::{CatalogueError, could_not};
use crate::ids::ModelId;
use crate::open::Catalogue;
use crate::page;
use crate::statements::statements;
use paintbox_domain::{ModelKind, ModelRef, Timestamp};
use sqlx::FromRow;
use std::collections::BTreeMap;

/// Kinds that are painted with on their own.
const BASES: [ModelKind; 2] = [ModelKind::Checkpoint, ModelKind::Network];
/// Kinds that change what a base paints.
const ADDITIONS: [ModelKind; 4] = [ModelKind::Lora, ModelKind::TextualInversion, ModelKind::Vae, ModelKind::ControlNet];

/// A file that is here and goes with a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// The version that it belongs to.
    pub version: ModelRef,
    /// Of its model.
    pub name: String,
    pub base_model: Option<String>,
    /// Nothing was detected on one side, and the hubs' labels are the same.
    pub by_label: bool,
    /// When it was last painted with or came here, whichever was later.
    pub used_at: Timestamp,
}

/// What of one kind goes with a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companions {
    pub kind: ModelKind,
    /// Files of the kind, of which `files` are the first.
    pub total: u64,
    /// Those that were detected to fit before those of which a label says so; what was used or came last first.
    pub files: Vec<Companion>,
}

/// Which of the files that go with a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompanionQuery {
    /// Files of each kind on a page.
    pub page_size: u32,
    pub page_token: Option<String>,
}

/// One page of what goes with a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanionPage {
    /// Kinds of which there is something on this page.
    pub kinds: Vec<Companions>,
    /// None on the last page.
    pub next_page_token: Option<String>,
}

/// Files here of the kinds ?2 with a page for one of the base models ?3, of which, or of the model ?4 itself, nothing was
/// detected; `$source` is where they come from.
macro_rules! labelled {
    ($from:literal, $source:literal, $used:literal, $join:literal, $here:literal) => {
        concat!(
            "SELECT iif(",
            $source,
            ".kind = 'unknown', m.kind, ",
            $source,
            ".kind) AS kind, ",
            $used,
            " AS used_ms, \
                m.hub, m.external_id, m.name, v.external_id AS version_external_id, v.base_model \
             FROM ",
            $from,
            " CROSS JOIN file f ON ",
            $join,
            " CROSS JOIN version v ON v.version_id = f.version_id \
                CROSS JOIN model m ON m.model_id = v.model_id \
             WHERE (?1 IS NULL OR ",
            $source,
            ".architecture = 'unknown') \
                AND (",
            $source,
            ".kind IN (SELECT value FROM json_each(?2)) \
                    OR ",
            $source,
            ".kind = 'unknown' AND m.kind IN (SELECT value FROM json_each(?2))) \
                AND lower(v.base_model) IN (SELECT value FROM json_each(?3)) AND m.model_id <> ?4 AND ",
            $here
        )
    };
}

statements! {
    /// What the files of a model that are here were detected to be, the main one first.
    DETECTED = "
        SELECT architecture FROM (
            SELECT a.architecture, f.is_primary, v.position
            FROM version v JOIN file f USING (version_id) JOIN artifact a USING (artifact_id)
            WHERE v.model_id = ?1 AND EXISTS (
                SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL)
            UNION ALL
            SELECT l.architecture, f.is_primary, v.position
            FROM version v JOIN file f USING (version_id) JOIN library_file l USING (library_file_id)
            WHERE v.model_id = ?1 AND l.gone_ms IS NULL
        ) WHERE architecture <> 'unknown' ORDER BY is_primary DESC, position LIMIT 1";
    LABELS = "
        SELECT DISTINCT lower(base_model) FROM version WHERE model_id = ?1 AND base_model IS NOT NULL";
    KIND = "SELECT kind FROM model WHERE model_id = ?1";
    /// Content of the architecture ?1 and the kinds ?2 that is not the model's ?3 own, at most ?4 of each kind. Pages are
    /// only looked up for those, because there may be tens of thousands.
    FITTING = "
        WITH used AS MATERIALIZED (
            SELECT f.artifact_id, max(g.used_ms) AS used_ms
            FROM (SELECT model_id, max(created_ms) AS used_ms FROM generation WHERE model_id IS NOT NULL
                  GROUP BY model_id) g
                CROSS JOIN version v ON v.model_id = g.model_id CROSS JOIN file f ON f.version_id = v.version_id
            WHERE f.artifact_id IS NOT NULL GROUP BY f.artifact_id
        ), content AS MATERIALIZED (
            SELECT a.kind, a.artifact_id, NULL AS library_file_id,
                max(a.created_ms, coalesce(u.used_ms, 0)) AS used_ms
            FROM artifact a LEFT JOIN used u USING (artifact_id)
            WHERE a.kind IN (SELECT value FROM json_each(?2)) AND a.architecture = ?1
                AND a.artifact_id NOT IN (SELECT f.artifact_id FROM version v JOIN file f USING (version_id)
                                          WHERE v.model_id = ?3 AND f.artifact_id IS NOT NULL)
                AND EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL)
            UNION ALL
            SELECT l.kind, NULL, l.library_file_id, (
                SELECT max(p.first_seen_ms) FROM library_path p WHERE p.library_file_id = l.library_file_id)
            FROM library_file l
            WHERE l.kind IN (SELECT value FROM json_each(?2)) AND l.architecture = ?1 AND l.artifact_id IS NULL
                AND l.gone_ms IS NULL AND l.failure_json IS NULL
        ), placed AS (
            SELECT *, count(*) OVER (PARTITION BY kind) AS total, row_number() OVER (
                PARTITION BY kind ORDER BY used_ms DESC, artifact_id DESC, library_file_id DESC) AS place
            FROM content
        )
        SELECT c.kind, c.used_ms, c.total, m.hub, m.external_id, m.name, v.external_id AS version_external_id,
            v.base_model
        FROM placed c CROSS JOIN file f ON f.file_id = coalesce(
                (SELECT p.file_id FROM file p WHERE p.artifact_id = c.artifact_id
                 ORDER BY p.library_file_id IS NOT NULL, p.gone_ms IS NOT NULL, p.file_id LIMIT 1),
                (SELECT p.file_id FROM file p WHERE p.library_file_id = c.library_file_id LIMIT 1))
            CROSS JOIN version v ON v.version_id = f.version_id CROSS JOIN model m ON m.model_id = v.model_id
        WHERE c.place <= ?4 ORDER BY c.kind, c.place";
    /// ?5: at most so many of each kind.
    LABELLED = concat!(
        "SELECT * FROM (SELECT *, count(*) OVER (PARTITION BY kind) AS total, \
            row_number() OVER (PARTITION BY kind ORDER BY used_ms DESC) AS place FROM (",
        labelled!(
            "artifact a", "a", "a.created_ms", "f.artifact_id = a.artifact_id",
            "EXISTS (SELECT 1 FROM observation o WHERE o.artifact_id = a.artifact_id AND o.gone_ms IS NULL)"
        ),
        " UNION ALL ",
        labelled!(
            "library_file l", "l", "f.first_seen_ms", "f.library_file_id = l.library_file_id",
            "l.artifact_id IS NULL AND l.gone_ms IS NULL AND l.failure_json IS NULL"
        ),
        ")) WHERE place <= ?5 ORDER BY kind, place"
    );
}

#[derive(FromRow)]
struct FittingRow {
    kind: String,
    used_ms: i64,
    total: i64,
    hub: String,
    external_id: String,
    name: String,
    version_external_id: String,
    base_model: Option<String>,
}

impl FittingRow {
    fn companion(self, by_label: bool) -> Result<Companion, CatalogueError> {
        Ok(Companion {
            version: codec::version_reference(codec::origin(&self.hub)?, &self.external_id, &self.version_external_id),
            name: self.name,
            base_model: self.base_model,
            by_label,
            used_at: Timestamp::from_unix_ms(self.used_ms),
        })
    }
}

impl Catalogue {
    /// What of everything that is here goes with a model. Empty for kinds that go with nothing, such as upscalers. A page
    /// is a place in an order by last use, so that one file which is used meanwhile may come twice.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`; `PAGE_TOKEN_INVALID`; when the catalogue cannot be read.
    pub async fn companions(&self, id: ModelId, query: &CompanionQuery) -> Result<CompanionPage, CatalogueError> {
        let attempt = "look for what goes with a model";
        let failed = could_not(attempt);
        let listing = format!("companions {id}");
        let [told] = page::keys(&listing, query.page_token.as_deref())?.unwrap_or([0]);
        let told = u32::try_from(told).map_err(|_| CatalogueError::PageTokenInvalid)?;
        let limit = told.saturating_add(query.page_size);
        let mut reader = self.reader(attempt).await?;
        let mut tx = reader.snapshot(attempt).await?;
        let kind: Option<String> =
            sqlx::query_scalar(KIND).bind(id.0).fetch_optional(&mut *tx).await.map_err(&failed)?;
        let Some(kind) = kind else {
            return Err(CatalogueError::ModelNotFound { reference: format!("row {id}") });
        };
        let partners = partners(ModelKind::from_name(&kind).unwrap_or(ModelKind::Unknown));
        if partners.is_empty() {
            return Ok(CompanionPage { kinds: Vec::new(), next_page_token: None });
        }
        let partners = codec::text_list(&partners.iter().map(|kind| kind.as_str().to_owned()).collect::<Vec<_>>());
        let detected: Option<String> =
            sqlx::query_scalar(DETECTED).bind(id.0).fetch_optional(&mut *tx).await.map_err(&failed)?;
        let labels: Vec<String> = sqlx::query_scalar(LABELS).bind(id.0).fetch_all(&mut *tx).await.map_err(&failed)?;
        let fitting: Vec<FittingRow> = sqlx::query_as(FITTING)
            .bind(&detected)
            .bind(&partners)
            .bind(id.0)
            .bind(limit)
            .fetch_all(&mut *tx)
            .await
            .map_err(&failed)?;
        let labelled: Vec<FittingRow> = sqlx::query_as(LABELLED)
            .bind(&detected)
            .bind(&partners)
            .bind(codec::text_list(&labels))
            .bind(id.0)
            .bind(limit)
            .fetch_all(&mut *tx)
            .await
            .map_err(&failed)?;
        let mut kinds = put_together(fitting, labelled, limit)?;
        let more = kinds.iter().any(|of| of.total > u64::from(limit));
        for of in &mut kinds {
            of.files.drain(..of.files.len().min(told as usize));
        }
        kinds.retain(|of| !of.files.is_empty());
        let next_page_token = more.then(|| page::token(&listing, [i64::from(limit)]));
        Ok(CompanionPage { kinds, next_page_token })
    }
}

fn put_together(
    fitting: Vec<FittingRow>,
    labelled: Vec<FittingRow>,
    limit: u32,
) -> Result<Vec<Companions>, CatalogueError> {
    let mut by_kind: BTreeMap<ModelKind, Companions> = BTreeMap::new();
    for (rows, by_label) in [(fitting, false), (labelled, true)] {
        let mut counted = BTreeMap::new();
        for row in rows {
            let kind = ModelKind::from_name(&row.kind).unwrap_or(ModelKind::Unknown);
            counted.insert(kind, codec::counted(row.total));
            let of = by_kind.entry(kind).or_insert_with(|| Companions { kind, total: 0, files: Vec::new() });
            if of.files.len() < limit as usize {
                of.files.push(row.companion(by_label)?);
            }
        }
        for (kind, total) in counted {
            by_kind.entry(kind).and_modify(|of| of.total += total);
        }
    }
    Ok(by_kind.into_values().collect())
}

/// The kinds that go with one.
fn partners(kind: ModelKind) -> &'static [ModelKind] {
    match kind {
        kind if BASES.contains(&kind) => &ADDITIONS,
        kind if ADDITIONS.contains(&kind) => &BASES,
        _ => &[],
    }
}
