//! Files that another tool has on this machine already: used where they lie, never touched.
//!
//! Hugging Face's own tools share one cache. What a plan wants and that cache holds under its name is checked byte by
//! byte and recorded as content that lies there; nothing of it is changed, linked or locked. Where the file system can have
//! two files share their bytes, the store has a clone of its own, which stays when the cache's owner cleans that; elsewhere
//! the next plan sees that it is gone and fetches it.

use crate::Parts;
use crate::error::SyncError;
use crate::places::Places;
use crate::settle::{artifact, blocking, inspect_as, is_inspected, promised};
use paintbox_catalogue::{FileId, FileRecord, NewArtifact, WantedModel};
use paintbox_domain::{FileFormat, Hub};
use paintbox_store::hf_cache::CachedFile;
use paintbox_store::{Cloned, Expected};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

impl Parts {
    /// What of the wanted files lies in the shared cache, by name and length alone.
    pub(crate) async fn cached(&self, wanted: &[WantedModel]) -> Result<HashMap<FileId, PathBuf>, SyncError> {
        let mut sought = Vec::new();
        for model in wanted.iter().filter(|model| model.model.hub == Hub::HuggingFace) {
            for version in &model.versions {
                let absent = version.version.files.iter().filter(|file| !file.state.is_local());
                sought.extend(absent.map(|file| {
                    let commit = version.version.external_id.clone();
                    (
                        file.id,
                        model.model.external_id.clone(),
                        commit,
                        file.external_id.clone(),
                        file.sha256,
                        file.git_sha1,
                    )
                }));
            }
        }
        let cache = self.hf_cache.clone();
        blocking(move || {
            sought
                .into_iter()
                .filter_map(|(id, repository, commit, path, sha256, git_sha1)| {
                    Some((id, cache.find(&repository, &commit, &path, sha256, git_sha1)?.path))
                })
                .collect()
        })
        .await
    }

    /// Checks a cached file's bytes and records them as content that is here. False if they are not what the hub
    /// lists, or cannot be read: then the file is fetched.
    pub(crate) async fn adopt_cached(&self, file: &FileRecord, path: &Path) -> Result<bool, SyncError> {
        let expected = promised(file);
        if expected.sha256.is_none() && expected.git_sha1.is_none() {
            // A name alone is no proof of anything.
            return Ok(false);
        }
        let (path, format, places) = (path.to_owned(), file.format, self.places.clone());
        let checked = blocking(move || clone_or_check(&places, &path, &expected, format)).await?;
        let left_out = self.leaves_file_out(file.id).await?;
        let _naming = self.places.naming.read().await;
        let named = match checked {
            Ok((content, Some(cloned))) => blocking(move || name(content, cloned, left_out)).await?,
            Ok((content, None)) => Ok(content),
            Err(problem) => Err(problem),
        };
        match named {
            Ok(found) => {
                self.catalogue.record_file(file.id, &found, true).await?;
                Ok(true)
            }
            Err(problem) => {
                tracing::warn!(file = %file.name, "what the Hugging Face cache holds is not used: {problem}");
                Ok(false)
            }
        }
    }
}

fn name(content: NewArtifact, cloned: Cloned, left_out: bool) -> Result<NewArtifact, String> {
    cloned.leave_out_of_backups(left_out);
    match cloned.place(content.sha256) {
        Ok(path) => Ok(NewArtifact { path, ..content }),
        Err(error) => Err(paintbox_domain::classify::message_with_causes(&error)),
    }
}

/// What lies at `path`, checked, and a clone of it, or what lies there itself where nothing can be cloned.
fn clone_or_check(
    places: &Places,
    path: &Path,
    expected: &Expected,
    format: FileFormat,
) -> Result<(NewArtifact, Option<Cloned>), String> {
    for store in places.present() {
        if let Ok(Some(cloned)) = store.clone_of(path) {
            let content = check(cloned.path(), expected, format)?;
            return Ok((content, Some(cloned)));
        }
    }
    Ok((check(path, expected, format)?, None))
}

/// What lies at `path`, read as a whole and compared with what the hub lists.
pub(crate) fn check(path: &Path, expected: &Expected, format: FileFormat) -> Result<NewArtifact, String> {
    let unusable = |error: &dyn std::error::Error| paintbox_domain::classify::message_with_causes(error);
    let file = CachedFile { path: path.to_owned(), size_bytes: expected.size.unwrap_or_default() };
    let digests = file.verify(expected).map_err(|error| unusable(&error))?;
    let inspection = if is_inspected(format) {
        let mut reader = std::fs::File::open(path).map_err(|error| unusable(&error))?;
        Some(inspect_as(format, &mut reader, digests.size_bytes).map_err(|error| unusable(&error))?)
    } else {
        None
    };
    Ok(artifact(&digests, path.to_owned(), format, inspection.as_ref()))
}
