//! What the tables say of models, as much of it as searches show, filter, sort and count by.

use crate::codec;
use crate::error::CatalogueError;
use crate::statements::statements;
use serde::Deserialize;
use sqlx::SqliteConnection;

/// Between the texts of one list; part of none of them.
pub(crate) const SEPARATOR: char = '\u{1f}';
/// Between what a hub lists of a file and what of it is here.
const HERE: char = '\u{1e}';

statements! {
    // In one answer, because handing over a row costs as much as looking it up, and with each table looked at once. What
    // is there twice, and what comes first, is told apart here.
    FACTS = concat!(
        "SELECT json_group_array(json_array(m.model_id, m.hub, m.external_id, m.name, m.kind, m.kind_label, m.state, \
            m.creator, m.nsfw_level, m.licence, m.downloads, m.likes, m.published_ms, m.updated_ms, m.first_seen_ms, \
            m.gone_ms, \
            (SELECT group_concat((v.gone_ms IS NOT NULL) || '/' || v.position || '/' || v.early_access || '/' \
                    || coalesce(v.base_model, ''), char(31)) \
             FROM version v WHERE v.model_id = m.model_id), \
            (SELECT group_concat(iif(lf.gone_ms IS NULL AND lf.replaced_ms IS NULL, \
                    lf.format || '/' || coalesce(lf.precision, ''), '') || char(30) || coalesce(iif(lf.artifact_id IS NULL, \
                    iif(lf.library_file_id IS NULL, NULL, (SELECT '0/0/0/0/0/0/unread ' || u.library_file_id || '/' \
                        || u.size_bytes || '/' || u.architecture || '/' || coalesce(u.precision, '') \
                        FROM library_file u WHERE u.library_file_id = lf.library_file_id)), \
                    (SELECT (NOT lf.is_primary) || '/' || (lv.gone_ms IS NOT NULL) || '/' \
                        || (lf.replaced_ms IS NOT NULL) || '/' || lv.position || '/' || lf.position || '/' \
                        || lf.file_id || '/' || la.artifact_id || '/' || la.size_bytes || '/' || la.architecture || '/' \
                        || coalesce(la.precision, '') FROM artifact la WHERE la.artifact_id = lf.artifact_id AND ",
        crate::detail::are_local_weights!(),
        ")), ''), char(31)) \
             FROM version lv JOIN file lf ON lf.version_id = lv.version_id WHERE lv.model_id = m.model_id), \
         iif(m.hub = 'local', (SELECT architecture FROM library_file \
                WHERE library_file_id = CAST(m.external_id AS INTEGER)), NULL), \
         (SELECT group_concat(mt.position || ':' || mt.tag_id) FROM model_tag mt WHERE mt.model_id = m.model_id))) \
         FROM json_each(?1) wanted JOIN model m ON m.model_id = wanted.value"
    );
}

/// As [`FACTS`] lists them. Lists are texts with [`SEPARATOR`] between, or nothing.
#[derive(Deserialize)]
pub(crate) struct Facts {
    pub(crate) model_id: i64,
    pub(crate) hub: String,
    pub(crate) external_id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) kind_label: Option<String>,
    pub(crate) state: String,
    pub(crate) creator: Option<String>,
    pub(crate) nsfw_level: i64,
    pub(crate) licence: Option<String>,
    pub(crate) downloads: Option<i64>,
    pub(crate) likes: Option<i64>,
    pub(crate) published_ms: Option<i64>,
    pub(crate) updated_ms: Option<i64>,
    pub(crate) first_seen_ms: i64,
    pub(crate) gone_ms: Option<i64>,
    versions: Option<String>,
    files: Option<String>,
    /// Of the file that a page is about which no hub has.
    file_architecture: Option<String>,
    /// Each as its position and its number.
    tags: Option<String>,
}

/// In the order of preference: whether it is gone, its position, whether it is in early access, and its base model.
type Version<'a> = (bool, i64, bool, &'a str);

/// Weights that are on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Weights<'a> {
    /// By which the main ones come first: primary files, then what the hub still lists, in its order.
    order: [i64; 6],
    /// The same of the same content.
    pub(crate) content: &'a str,
    pub(crate) bytes: u64,
    pub(crate) architecture: &'a str,
    pub(crate) precision: &'a str,
}

impl<'a> Weights<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(10, '/');
        let mut order = [0; 6];
        for place in &mut order {
            *place = parts.next()?.parse().ok()?;
        }
        Some(Self {
            order,
            content: parts.next()?,
            bytes: parts.next()?.parse().ok()?,
            architecture: parts.next()?,
            precision: parts.next()?,
        })
    }
}

fn list(text: &Option<String>) -> impl Iterator<Item = &str> {
    text.iter().flat_map(|text| text.split(SEPARATOR))
}

impl Facts {
    fn versions(&self) -> Vec<Version<'_>> {
        let read = |text| {
            let mut parts = str::splitn(text, 4, '/');
            let gone = parts.next()? != "0";
            Some((gone, parts.next()?.parse().ok()?, parts.next()? != "0", parts.next()?))
        };
        let mut versions: Vec<Version<'_>> = list(&self.versions).filter_map(read).collect();
        versions.sort_unstable();
        versions
    }

    /// Of all versions, those that are there first.
    pub(crate) fn base_models(&self) -> Vec<&str> {
        self.versions().into_iter().map(|(.., base_model)| base_model).filter(|text| !text.is_empty()).collect()
    }

    /// Whether the version is that comes first of those that are there.
    pub(crate) fn early_access(&self) -> bool {
        self.versions().first().is_some_and(|(gone, _, early_access, _)| !gone && *early_access)
    }

    /// Format and precision of every file that the hub lists.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (&str, &str)> {
        list(&self.files).filter_map(|file| file.split_once(HERE)?.0.split_once('/'))
    }

    /// The weights that are on this machine, as often as a file has them, the main ones first.
    pub(crate) fn here(&self) -> Vec<Weights<'_>> {
        let mut here: Vec<Weights<'_>> = self.weights().collect();
        here.sort_unstable();
        here
    }

    fn weights(&self) -> impl Iterator<Item = Weights<'_>> {
        list(&self.files).filter_map(|file| Weights::read(file.split_once(HERE)?.1))
    }

    /// What the weights are that are on this machine, the main ones before others.
    pub(crate) fn architecture(&self) -> Option<&str> {
        let known = |architecture: &&str| *architecture != "unknown";
        match &self.file_architecture {
            Some(architecture) => Some(architecture.as_str()).filter(known),
            None => self.here().into_iter().map(|weights| weights.architecture).find(known),
        }
    }

    pub(crate) fn is_downloaded(&self) -> bool {
        self.hub == codec::LOCAL || self.weights().next().is_some()
    }

    /// The numbers of the tags, in their order.
    pub(crate) fn tags(&self) -> Vec<i64> {
        let tag = |text: &str| {
            let (place, id) = text.split_once(':')?;
            Some((place.parse().ok()?, id.parse().ok()?))
        };
        let mut tags: Vec<(i64, i64)> = self.tags.iter().flat_map(|list| list.split(',')).filter_map(tag).collect();
        tags.sort_unstable();
        tags.into_iter().map(|(_, id)| id).collect()
    }
}

/// What is known of those of these models that there are.
pub(crate) async fn of(
    connection: &mut SqliteConnection,
    models: &str,
    attempt: &'static str,
) -> Result<Vec<Facts>, CatalogueError> {
    let facts: String =
        sqlx::query_scalar(FACTS).bind(models).fetch_one(connection).await.map_err(crate::error::could_not(attempt))?;
    codec::list("what is searched for", &facts)
}
