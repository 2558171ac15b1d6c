//! From a reference that a person wrote to the rows it names.

use crate::codec;
use crate::detail::find_model;
use crate::error::{CatalogueError, could_not};
use crate::ids::{FileId, ModelId, VersionId};
use crate::open::Catalogue;
use crate::records::ModelSummary;
use crate::statements::statements;
use crate::words;
use paintbox_domain::{Hub, ModelRef, Sha256};
use sqlx::{Encode, FromRow, Sqlite, SqliteConnection, Type};
use std::collections::BTreeSet;
use std::path::Path;

/// What a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    pub model: ModelId,
    /// None when the model as a whole is named.
    pub version: Option<VersionId>,
    /// None unless a single file is named, by path or digest.
    pub file: Option<FileId>,
}

/// References listed for an ambiguous name.
const CANDIDATES: usize = 10;
/// A commit's first digits name it from this many on, as in git.
const COMMIT_DIGITS: usize = 7;

/// Files by content, best first: listed before gone, here before not here, the oldest model first.
macro_rules! files_by_content {
    ($condition:literal) => {
        concat!(
            "SELECT v.model_id, f.version_id, f.file_id, coalesce(a.sha256, f.sha256) AS sha256 \
             FROM file f JOIN version v USING (version_id) JOIN model m USING (model_id) \
             LEFT JOIN artifact a ON a.artifact_id = f.artifact_id WHERE ",
            $condition,
            " ORDER BY f.artifact_id IS NULL, f.replaced_ms IS NOT NULL, f.gone_ms IS NOT NULL, \
              v.gone_ms IS NOT NULL, m.gone_ms IS NOT NULL, v.model_id, f.file_id"
        )
    };
}

statements! {
    MODEL_IGNORING_CASE = "
        SELECT model_id FROM model WHERE hub = ?1 AND external_id = ?2 COLLATE NOCASE ORDER BY model_id LIMIT 2";
    /// The model with the id ?1, and its version with the id ?2.
    CIVITAI_MODEL = "
        SELECT m.model_id, (SELECT v.version_id FROM version v WHERE v.model_id = m.model_id AND v.external_id = ?2)
        FROM model m WHERE m.hub = 'civitai' AND m.external_id = ?1";
    /// ?3 is ?2 with a character behind every hexadecimal digit, to end the range of what begins with ?2.
    COMMIT_OF_MODEL = "
        SELECT version_id FROM version WHERE model_id = ?1 AND external_id >= ?2 AND external_id < ?3 LIMIT 2";
    NEWEST_OF_MODEL = "
        SELECT version_id FROM version WHERE model_id = ?1 ORDER BY gone_ms IS NOT NULL, position LIMIT 1";
    CIVITAI_VERSION = "
        SELECT v.model_id, v.version_id FROM version v JOIN model m USING (model_id)
        WHERE m.hub = 'civitai' AND v.external_id = ?1";
    FILE_OF_VERSION = "
        SELECT file_id FROM file WHERE version_id = ?1 AND external_id = ?2 AND replaced_ms IS NULL";
    FILES_BY_SHA256 = files_by_content!(
        "f.sha256 = ?1 OR f.artifact_id IN (SELECT artifact_id FROM artifact WHERE sha256 = ?1)"
    );
    FILES_BY_AUTO_V2 = files_by_content!(
        "(f.sha256 >= ?1 AND f.sha256 < ?2) \
         OR f.artifact_id IN (SELECT artifact_id FROM artifact WHERE sha256 >= ?1 AND sha256 < ?2)"
    );
    FILES_BY_AUTO_V3 = files_by_content!(
        "(f.auto_v3 >= ?1 AND f.auto_v3 < ?2) \
         OR f.artifact_id IN (SELECT artifact_id FROM artifact WHERE auto_v3 >= ?1 AND auto_v3 < ?2)"
    );
    /// Content whose header was edited, while the hub's own bytes are here too.
    FILES_BY_TENSORS_OF_SHA256 = files_by_content!(
        "f.auto_v3 = (SELECT auto_v3 FROM artifact WHERE sha256 = ?1 AND format = 'safetensors')"
    );
    FILES_BY_TENSORS_AT_PATH = files_by_content!(
        "f.auto_v3 = (SELECT auto_v3 FROM observation JOIN artifact USING (artifact_id) \
                      WHERE path = ?1 AND gone_ms IS NULL AND format = 'safetensors')"
    );
    FILES_BY_TENSORS_OF_LIBRARY_FILE = files_by_content!(
        "f.auto_v3 = (SELECT auto_v3 FROM library_file l JOIN artifact USING (artifact_id) \
                      WHERE l.library_file_id = ?1 AND l.format = 'safetensors')"
    );
    FILES_BY_PATH = files_by_content!(
        "f.artifact_id = (SELECT artifact_id FROM observation WHERE path = ?1 AND gone_ms IS NULL)"
    );
    FILES_BY_LIBRARY_FILE = files_by_content!(
        "f.library_file_id = ?1 \
         OR f.artifact_id = (SELECT artifact_id FROM library_file WHERE library_file_id = ?1)"
    );
    FILES_BY_LIBRARY_PATH = files_by_content!(
        "f.library_file_id IN (SELECT p.library_file_id FROM library l JOIN library_path p USING (library_id) \
         WHERE substr(?1, 1, length(l.path) + 1) = CAST(l.path || CAST('/' AS BLOB) AS BLOB) \
            AND p.path = substr(?1, length(l.path) + 2))"
    );
    MODELS_BY_NAME = "
        SELECT model_id, hub, external_id FROM model WHERE name_key = ?1
        ORDER BY coalesce(downloads, -1) DESC, model_id LIMIT 11";
    MODELS_BY_NAME_PREFIX = "
        SELECT model_id, hub, external_id FROM model WHERE name_key >= ?1 AND name_key < ?1 || char(0x10ffff)
        ORDER BY coalesce(downloads, -1) DESC, model_id LIMIT 11";
    MODELS_BY_NAME_WORDS = "
        SELECT model_id, hub, external_id FROM model
        WHERE model_id IN (SELECT rowid FROM model_search WHERE model_search MATCH ?1)
        ORDER BY coalesce(downloads, -1) DESC, model_id LIMIT 11";
}

#[derive(FromRow)]
struct ContentRow {
    model_id: i64,
    version_id: i64,
    file_id: i64,
    sha256: Option<Vec<u8>>,
}

impl ContentRow {
    fn resolved(&self) -> Resolved {
        Resolved {
            model: ModelId(self.model_id),
            version: Some(VersionId(self.version_id)),
            file: Some(FileId(self.file_id)),
        }
    }
}

#[derive(FromRow)]
struct NamedRow {
    model_id: i64,
    hub: String,
    external_id: String,
}

const ATTEMPT: &str = "resolve a model reference";

impl Catalogue {
    /// The rows that a reference names.
    ///
    /// A digest names a file; where several models hold the same content, the one that is here, then the oldest, is
    /// meant. A Hugging Face revision is a known commit or its first digits, or `main` for the newest known commit.
    /// A name is compared without case: the whole name first, then its beginning, then its words.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`, `VERSION_NOT_FOUND`, `FILE_NOT_FOUND`, `AMBIGUOUS_NAME`; when the catalogue cannot be
    /// read.
    pub async fn resolve(&self, reference: &ModelRef) -> Result<Resolved, CatalogueError> {
        let mut reader = self.reader(ATTEMPT).await?;
        let mut tx = reader.snapshot(ATTEMPT).await?;
        match reference {
            ModelRef::Civitai { model, version } => civitai(&mut tx, reference, *model, *version).await,
            ModelRef::CivitaiVersion { version } => {
                let row: Option<(i64, i64)> = sqlx::query_as(CIVITAI_VERSION)
                    .bind(version.to_string())
                    .fetch_optional(&mut *tx)
                    .await
                    .map_err(could_not(ATTEMPT))?;
                let (model, version) = row.ok_or_else(|| not_found(reference))?;
                Ok(Resolved { model: ModelId(model), version: Some(VersionId(version)), file: None })
            }
            ModelRef::HuggingFace { repo, revision, path } => {
                hugging_face(&mut tx, reference, repo, revision.as_deref(), path.as_deref()).await
            }
            ModelRef::Digest(sha256) => by_digest(&mut tx, sha256).await?.ok_or_else(|| not_found(reference)),
            ModelRef::ShortDigest(digits) => match by_short_digest(&mut tx, digits).await? {
                Some(resolved) => Ok(resolved),
                // Ten or twelve of these letters may be a name after all.
                None => by_name(&mut tx, digits).await,
            },
            ModelRef::Path(path) => by_path(&mut tx, path).await?.ok_or_else(|| not_found(reference)),
            ModelRef::Local(file) => by_library_file(&mut tx, *file).await?.ok_or_else(|| not_found(reference)),
            ModelRef::Name(name) => by_name(&mut tx, name).await,
        }
    }
}

/// What a reference names, and what a list shows of that.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedLine {
    pub summary: ModelSummary,
    /// Its hub's id; none when the model as a whole is named.
    pub version: Option<String>,
    /// None unless a single file is named, by path or digest.
    pub file: Option<FileId>,
}

impl Catalogue {
    /// The same, with what a list shows of the model.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn resolve_line(&self, reference: &ModelRef) -> Result<ResolvedLine, CatalogueError> {
        let ModelRef::Civitai { model, version } = reference else {
            let Resolved { model, version, file } = self.resolve(reference).await?;
            let (summary, version) = self.model_summary_with_version(model, version).await?;
            return Ok(ResolvedLine { summary, version, file });
        };
        let version = version.map(|version| version.to_string());
        let found = self.lines.ask((Some(Hub::Civitai), model.to_string(), version.clone())).await?;
        match (found.ok_or_else(|| not_found(reference))?, version) {
            ((_, false), Some(version)) => {
                Err(CatalogueError::VersionNotFound { model: format!("civitai:{model}"), version })
            }
            ((summary, _), version) => Ok(ResolvedLine { summary, version, file: None }),
        }
    }
}

fn not_found(reference: &ModelRef) -> CatalogueError {
    CatalogueError::ModelNotFound { reference: reference.to_string() }
}

async fn civitai(
    connection: &mut SqliteConnection,
    reference: &ModelRef,
    model: u64,
    version: Option<u64>,
) -> Result<Resolved, CatalogueError> {
    let row: Option<(i64, Option<i64>)> = sqlx::query_as(CIVITAI_MODEL)
        .bind(model.to_string())
        .bind(version.map(|version| version.to_string()))
        .fetch_optional(connection)
        .await
        .map_err(could_not(ATTEMPT))?;
    let (id, found) = row.ok_or_else(|| not_found(reference))?;
    match (version, found) {
        (Some(version), None) => {
            Err(CatalogueError::VersionNotFound { model: format!("civitai:{model}"), version: version.to_string() })
        }
        (_, found) => Ok(Resolved { model: ModelId(id), version: found.map(VersionId), file: None }),
    }
}

async fn hugging_face(
    connection: &mut SqliteConnection,
    reference: &ModelRef,
    repo: &str,
    revision: Option<&str>,
    path: Option<&str>,
) -> Result<Resolved, CatalogueError> {
    let failed = could_not(ATTEMPT);
    let id = match find_model(&mut *connection, Some(Hub::HuggingFace), repo).await? {
        Some(id) => id,
        // The hub redirects to the canonical spelling; so does this, as long as only one can be meant.
        None => {
            let ids: Vec<i64> = sqlx::query_scalar(MODEL_IGNORING_CASE)
                .bind(Hub::HuggingFace.as_str())
                .bind(repo)
                .fetch_all(&mut *connection)
                .await
                .map_err(&failed)?;
            let [id] = ids[..] else { return Err(not_found(reference)) };
            ModelId(id)
        }
    };
    let version: Option<i64> = match (revision, path) {
        (None, None) => return Ok(Resolved { model: id, version: None, file: None }),
        (None | Some("main"), _) => {
            sqlx::query_scalar(NEWEST_OF_MODEL).bind(id.0).fetch_optional(&mut *connection).await.map_err(&failed)?
        }
        (Some(commit), _) if commit.len() >= COMMIT_DIGITS && commit.bytes().all(|b| b.is_ascii_hexdigit()) => {
            let commit = commit.to_ascii_lowercase();
            let rows: Vec<i64> = sqlx::query_scalar(COMMIT_OF_MODEL)
                .bind(id.0)
                .bind(&commit)
                .bind(format!("{commit}g"))
                .fetch_all(&mut *connection)
                .await
                .map_err(&failed)?;
            match rows[..] {
                [row] => Some(row),
                _ => None,
            }
        }
        (Some(_), _) => None,
    };
    let version = version.ok_or_else(|| CatalogueError::VersionNotFound {
        model: format!("hf:{repo}"),
        version: revision.unwrap_or("main").to_owned(),
    })?;
    let file = match path {
        None => None,
        Some(path) => {
            let row: Option<i64> = sqlx::query_scalar(FILE_OF_VERSION)
                .bind(version)
                .bind(path)
                .fetch_optional(connection)
                .await
                .map_err(&failed)?;
            let row = row.ok_or_else(|| CatalogueError::FileNotFound {
                of: ModelRef::HuggingFace { repo: repo.to_owned(), revision: revision.map(str::to_owned), path: None }
                    .to_string(),
                file: path.to_owned(),
            })?;
            Some(FileId(row))
        }
    };
    Ok(Resolved { model: id, version: Some(VersionId(version)), file })
}

async fn by_digest(connection: &mut SqliteConnection, sha256: &Sha256) -> Result<Option<Resolved>, CatalogueError> {
    for statement in [FILES_BY_SHA256, FILES_BY_TENSORS_OF_SHA256] {
        let rows: Vec<ContentRow> = sqlx::query_as(statement)
            .bind(&sha256.as_bytes()[..])
            .fetch_all(&mut *connection)
            .await
            .map_err(could_not(ATTEMPT))?;
        if let Some(row) = rows.first() {
            return Ok(Some(row.resolved()));
        }
    }
    Ok(None)
}

async fn by_short_digest(connection: &mut SqliteConnection, digits: &str) -> Result<Option<Resolved>, CatalogueError> {
    let query = if digits.len() == 10 {
        let mut first = Vec::with_capacity(5);
        for pair in digits.as_bytes().chunks(2) {
            let pair = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
            let Some(byte) = pair else { return Ok(None) };
            first.push(byte);
        }
        // No digest that begins with the bytes sorts after them with 28 bytes of ff behind, one more than a digest has.
        let mut last = first.clone();
        last.extend([0xff; 28]);
        sqlx::query_as(FILES_BY_AUTO_V2).bind(first).bind(last)
    } else {
        sqlx::query_as(FILES_BY_AUTO_V3).bind(digits.to_owned()).bind(format!("{digits}g"))
    };
    let rows: Vec<ContentRow> = query.fetch_all(connection).await.map_err(could_not(ATTEMPT))?;
    let contents: BTreeSet<&[u8]> = rows.iter().filter_map(|row| row.sha256.as_deref()).collect();
    // Two files with the same short digest are two contents; which one is meant cannot be guessed. The same tensors
    // with other metadata share their AutoV3, and there any of them will do.
    if digits.len() == 10 && contents.len() > 1 {
        let candidates = contents.iter().take(CANDIDATES).map(|bytes| paintbox_domain::digest::to_hex(bytes)).collect();
        return Err(CatalogueError::AmbiguousName { name: digits.to_owned(), found: contents.len(), candidates });
    }
    Ok(rows.first().map(ContentRow::resolved))
}

async fn by_path(connection: &mut SqliteConnection, path: &Path) -> Result<Option<Resolved>, CatalogueError> {
    // A file of a library may not have been read yet, and then it is known by its name alone.
    let statements = [FILES_BY_PATH, FILES_BY_LIBRARY_PATH, FILES_BY_TENSORS_AT_PATH];
    first_found(connection, &statements, codec::path_bytes(path)).await
}

/// The page of a library's file, or of another one with the same content.
async fn by_library_file(connection: &mut SqliteConnection, file: u64) -> Result<Option<Resolved>, CatalogueError> {
    let statements = [FILES_BY_LIBRARY_FILE, FILES_BY_TENSORS_OF_LIBRARY_FILE];
    first_found(connection, &statements, codec::count(file)).await
}

/// What the first of these statements that finds something finds.
async fn first_found<'q>(
    connection: &mut SqliteConnection,
    statements: &[&'static str],
    argument: impl Copy + Encode<'q, Sqlite> + Type<Sqlite> + 'q,
) -> Result<Option<Resolved>, CatalogueError> {
    for statement in statements {
        let rows: Vec<ContentRow> =
            sqlx::query_as(*statement).bind(argument).fetch_all(&mut *connection).await.map_err(could_not(ATTEMPT))?;
        if let Some(row) = rows.first() {
            return Ok(Some(row.resolved()));
        }
    }
    Ok(None)
}

async fn by_name(connection: &mut SqliteConnection, name: &str) -> Result<Resolved, CatalogueError> {
    let key = words::name_key(name);
    let expression =
        words::match_expression(name, words::Ending::Open).map(|expression| format!("name : ({expression})"));
    for (statement, argument) in
        [(MODELS_BY_NAME, Some(&key)), (MODELS_BY_NAME_PREFIX, Some(&key)), (MODELS_BY_NAME_WORDS, expression.as_ref())]
    {
        let Some(argument) = argument.filter(|argument| !argument.is_empty()) else { continue };
        let rows: Vec<NamedRow> =
            sqlx::query_as(statement).bind(argument).fetch_all(&mut *connection).await.map_err(could_not(ATTEMPT))?;
        match &rows[..] {
            [] => {}
            [row] => return Ok(Resolved { model: ModelId(row.model_id), version: None, file: None }),
            rows => {
                let mut candidates = Vec::new();
                for row in rows.iter().take(CANDIDATES) {
                    candidates.push(codec::model_reference(codec::origin(&row.hub)?, &row.external_id).to_string());
                }
                return Err(CatalogueError::AmbiguousName { name: name.to_owned(), found: rows.len(), candidates });
            }
        }
    }
    Err(CatalogueError::ModelNotFound { reference: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{commit, file, model, new_artifact, opened, repo, sha, version};
    use paintbox_domain::{Classify, reason};

    #[tokio::test]
    async fn every_form_of_reference_finds_its_rows() {
        let (catalogue, home) = opened().await;
        let mut shaper = model("4384", "DreamShaper");
        shaper.versions = vec![version("128713"), version("100")];
        shaper.versions[0].files = vec![file("1", 0xaa)];
        shaper.versions[1].files = vec![file("2", 0xbb)];
        let (head, old) = ("ab".repeat(20), "cd".repeat(20));
        let tiny = repo("Org/Tiny-SD", vec![commit(&head, 3), commit(&old, 4)]);
        let ids = catalogue
            .record_models(&[shaper, tiny, model("5", "DreamShaper XL"), model("6", "deadbeef12")], None)
            .await
            .unwrap();
        let versions = catalogue.model(ids[0]).await.unwrap().versions;
        let newest = versions[0].files[0].clone();
        let mut content = new_artifact(sha(0xaa), home.path().join("blob"));
        content.auto_v3 = Some("9F02751CC929".to_owned());
        catalogue.record_file(newest.id, &content, true).await.unwrap();
        let commits = catalogue.model(ids[1]).await.unwrap().versions;

        let of_model = |model| Resolved { model, version: None, file: None };
        let of_version = |version: &crate::VersionRecord| Resolved {
            model: version.model_id,
            version: Some(version.id),
            file: None,
        };
        let of_file =
            |version: &crate::VersionRecord| Resolved { file: Some(version.files[0].id), ..of_version(version) };
        for (text, wanted) in [
            ("civitai:4384", of_model(ids[0])),
            ("civitai:4384@100", of_version(&versions[1])),
            ("https://civitai.com/models/4384/dreamshaper?modelVersionId=128713", of_version(&versions[0])),
            ("https://civitai.com/api/download/models/128713", of_version(&versions[0])),
            ("urn:air:sd1:checkpoint:civitai:4384@128713", of_version(&versions[0])),
            ("hf:Org/Tiny-SD", of_model(ids[1])),
            ("hf:org/tiny-sd", of_model(ids[1])),
            ("hf:Org/Tiny-SD@main", of_version(&commits[0])),
            (&format!("hf:Org/Tiny-SD@{old}"), of_version(&commits[1])),
            ("hf:Org/Tiny-SD@cdcdcdc", of_version(&commits[1])),
            ("hf:Org/Tiny-SD:unet/weights.safetensors", of_file(&commits[0])),
            (&format!("hf:Org/Tiny-SD@{old}:unet/weights.safetensors"), of_file(&commits[1])),
            (&sha(0xaa).to_hex(), of_file(&versions[0])),
            (&sha(0xbb).to_hex().to_uppercase(), of_file(&versions[1])),
            (&sha(0xaa).auto_v2(), of_file(&versions[0])),
            (&sha(0xbb).auto_v2(), of_file(&versions[1])),
            ("9f02751cc929", of_file(&versions[0])),
            (&format!("path:{}", home.path().join("blob").display()), of_file(&versions[0])),
            ("dreamshaper", of_model(ids[0])),
            ("DREAMSHAPER  x", of_model(ids[2])),
            ("shaper xl", of_model(ids[2])),
            ("DeadBeef12", of_model(ids[3])),
        ] {
            let reference: ModelRef = text.parse().unwrap();
            assert_eq!(catalogue.resolve(&reference).await.unwrap_or_else(|e| panic!("{text}: {e}")), wanted, "{text}");
        }
        for (text, wanted) in [
            ("civitai:1", reason::MODEL_NOT_FOUND),
            ("civitai:4384@1", reason::VERSION_NOT_FOUND),
            ("https://civitai.com/api/download/models/7", reason::MODEL_NOT_FOUND),
            ("hf:org/none", reason::MODEL_NOT_FOUND),
            ("hf:Org/Tiny-SD@v2", reason::VERSION_NOT_FOUND),
            ("hf:Org/Tiny-SD@cdcdcd", reason::VERSION_NOT_FOUND),
            ("hf:Org/Tiny-SD:nothing.txt", reason::FILE_NOT_FOUND),
            (&sha(0xcc).to_hex(), reason::MODEL_NOT_FOUND),
            (&sha(0xcc).auto_v2(), reason::MODEL_NOT_FOUND),
            ("000000000000", reason::MODEL_NOT_FOUND),
            ("path:/nowhere", reason::MODEL_NOT_FOUND),
            ("nobody made this", reason::MODEL_NOT_FOUND),
            ("!!", reason::MODEL_NOT_FOUND),
            ("dreams", reason::AMBIGUOUS_NAME),
        ] {
            let reference: ModelRef = text.parse().unwrap();
            assert_eq!(catalogue.resolve(&reference).await.unwrap_err().reason(), wanted, "{text}");
        }
    }

    #[tokio::test]
    async fn an_ambiguous_name_lists_the_candidates() {
        let (catalogue, _home) = opened().await;
        let mut models: Vec<_> = (1..=12).map(|id| model(&id.to_string(), "Anything")).collect();
        models[4].downloads = Some(9_000);
        catalogue.record_models(&models, None).await.unwrap();
        let error = catalogue.resolve(&ModelRef::Name("anything".into())).await.unwrap_err();
        let metadata = error.metadata();
        let candidates = &metadata.iter().find(|(key, _)| *key == "candidates").unwrap().1;
        assert!(candidates.starts_with("civitai:5, "), "{candidates}");
        assert_eq!(candidates.split(", ").count(), 10);
    }

    #[tokio::test]
    async fn the_same_content_under_two_models_means_the_one_that_is_here() {
        let (catalogue, home) = opened().await;
        let mut models = [model("1", "First"), model("2", "Second")];
        for model in &mut models {
            model.versions[0].files = vec![file("1", 0xaa)];
        }
        models[0].versions[0].files[0].sha256 = None;
        let ids = catalogue.record_models(&models, None).await.unwrap();
        let here = catalogue.model(ids[1]).await.unwrap().versions[0].files[0].id;
        catalogue.record_file(here, &new_artifact(sha(0xaa), home.path().join("x")), true).await.unwrap();
        assert_eq!(catalogue.resolve(&ModelRef::Digest(sha(0xaa))).await.unwrap().model, ids[1]);
    }
}
