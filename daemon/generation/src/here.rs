//! What is here to paint with, by the names that front ends choose from.
//!
//! Other programs know a model by its file: A1111 by the file's name and the first ten digits of its SHA-256
//! (AUTOMATIC1111/stable-diffusion-webui 1.10, `modules/sd_models.py`, `CheckpointInfo`).

use crate::error::GenerationError;
use crate::queue::Generations;
use crate::resolve;
use paintbox_catalogue::{Catalogue, Condition, Fact, FileRecord, Filter, SearchQuery, VersionRecord};
use paintbox_domain::{Architecture, Hub, ModelKind, ModelRef, Sha256, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Models of a page of the catalogue that are asked for at once.
const PAGE: u32 = 500;
/// Of a commit in a title; as many as of a file's digest.
const TITLE_DIGITS: usize = 10;

/// A model that can be named in a specification: one file, or a folder of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelHere {
    /// Names it and nothing else.
    pub reference: String,
    /// Names it and nothing else, for people to read. A1111's title of a file: its name and the first digits of its digest,
    /// by which either can be told. Of a folder: its repository and the first digits of the commit.
    pub title: String,
    /// What recipes call it: a file's name without ending, or a repository's name.
    pub name: String,
    /// Without folders; none of a folder.
    pub file_name: Option<String>,
    /// Of the file; of a folder, none.
    pub sha256: Option<Sha256>,
    pub architecture: Architecture,
    /// When it came here.
    pub since: Timestamp,
}

impl ModelHere {
    fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let file = self.file_name.as_deref().unwrap_or(&self.name);
        [&self.title, &self.reference, &self.name, file].iter().any(|known| known.to_lowercase() == name)
    }
}

/// A file of some other kind: an adapter, a VAE, an upscaler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHere {
    /// Without folders and ending.
    pub name: String,
    /// Without folders.
    pub file_name: String,
    pub path: PathBuf,
    pub sha256: Sha256,
    pub architecture: Architecture,
}

impl FileHere {
    /// Names it and nothing else.
    #[must_use]
    pub fn reference(&self) -> String {
        self.sha256.to_hex()
    }
}

impl Generations {
    /// Every checkpoint, bare network and repository that is here, by name.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn models_here(&self) -> Result<Vec<ModelHere>, GenerationError> {
        let catalogue = self.catalogue();
        let mut found = BTreeMap::new();
        let mut query = SearchQuery { filter: paintable(), page_size: PAGE, ..SearchQuery::default() };
        loop {
            let page = catalogue.search(&query).await?;
            for summary in page.models {
                let detail = catalogue.model(summary.id).await?;
                for version in &detail.versions {
                    for model in of_version(version, &summary.name, summary.hub) {
                        found.entry((model.name.to_lowercase(), model.reference.clone())).or_insert(model);
                    }
                }
            }
            match page.next_page_token {
                Some(token) => query.page_token = Some(token),
                None => return Ok(found.into_values().collect()),
            }
        }
    }

    /// Every file of a kind that is here, by name.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn files_here(&self, kind: ModelKind) -> Result<Vec<FileHere>, GenerationError> {
        files(self.catalogue(), kind).await
    }

    /// The reference of the model that somebody chose by A1111's title of it, its file's name, or any reference; the text
    /// itself where nothing that is here is called so.
    ///
    /// # Errors
    /// When several are called so, or the catalogue cannot be read.
    pub async fn model_called(&self, text: &str) -> Result<String, GenerationError> {
        let text = text.trim();
        if let Some(digits) = digits_of_title(text) {
            return Ok(digits.to_owned());
        }
        if !matches!(text.parse(), Ok(ModelRef::Name(_) | ModelRef::ShortDigest(_))) {
            return Ok(text.to_owned());
        }
        Ok(self.find_model_here(text).await?.map_or_else(|| text.to_owned(), |model| model.reference))
    }

    /// The model that is here and called so: by its reference, A1111's title of it, or its file's name.
    ///
    /// # Errors
    /// When several are called so, or the catalogue cannot be read.
    pub async fn find_model_here(&self, text: &str) -> Result<Option<ModelHere>, GenerationError> {
        let text = text.trim();
        let mut found: Vec<_> = self.models_here().await?.into_iter().filter(|model| model.is_called(text)).collect();
        // One content may lie in several pages under names of its own.
        found.sort_by(|one, other| one.reference.cmp(&other.reference));
        found.dedup_by(|one, other| one.reference == other.reference);
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => {
                let references = found.into_iter().map(|model| model.reference).collect();
                Err(GenerationError::SeveralOfName { kind: ModelKind::Checkpoint, name: text.to_owned(), references })
            }
        }
    }

    /// The reference of the file of a kind that somebody chose by its name, with or without ending; none where none is
    /// called so.
    ///
    /// # Errors
    /// When several are called so, or the catalogue cannot be read.
    pub async fn file_called(&self, kind: ModelKind, name: &str) -> Result<Option<String>, GenerationError> {
        let name = name.trim();
        let files = files(self.catalogue(), kind).await?;
        let names: BTreeSet<_> = files.iter().map(|file| (file.name.clone(), file.sha256)).collect();
        let whole = files.iter().find(|file| file.file_name == name);
        match whole.map_or_else(|| resolve::called(&names, kind, name), |file| Ok(file.sha256)) {
            Ok(sha256) => Ok(Some(sha256.to_hex())),
            Err(GenerationError::NoSuchName { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What pages that hold models to paint with have in common.
fn paintable() -> Filter {
    let kinds = [ModelKind::Checkpoint, ModelKind::Network, ModelKind::Unknown, ModelKind::Other];
    Filter::All(vec![
        Filter::Is(Condition::Fact { fact: Fact::Downloaded, holds: true }),
        Filter::Any(kinds.map(|kind| Filter::Is(Condition::Kind(kind))).to_vec()),
    ])
}

fn of_version<'a>(version: &'a VersionRecord, page: &'a str, hub: Option<Hub>) -> impl Iterator<Item = ModelHere> + 'a {
    let is_here = |file: &&FileRecord| resolve::is_local(file);
    let is_folder = hub == Some(Hub::HuggingFace)
        && version.files.iter().filter(is_here).any(|file| file.name == "model_index.json");
    let weights = version.files.iter().filter(is_here).filter(move |file| {
        let kind = file.artifact.as_ref().map_or(ModelKind::Unknown, |artifact| artifact.kind);
        let is_model = kind == ModelKind::Checkpoint || (kind == ModelKind::Network && !is_folder);
        // What lies in the folders of a repository is a part of it.
        file.format.is_weights() && is_model && !(is_folder && file.name.contains('/'))
    });
    let folder = is_folder.then(|| {
        let networks = version.files.iter().filter_map(|file| file.artifact.as_ref());
        let network = networks.filter(|artifact| artifact.kind == ModelKind::Network).max_by_key(|a| a.size_bytes);
        ModelHere {
            reference: version.reference.to_string(),
            title: title_of_folder(&version.reference),
            name: page.to_owned(),
            file_name: None,
            sha256: None,
            architecture: network.map_or(Architecture::Unknown, |artifact| artifact.architecture),
            since: network.map_or(version.first_seen_at, |artifact| artifact.created_at),
        }
    });
    folder.into_iter().chain(weights.filter_map(|file| {
        let artifact = file.artifact.as_ref()?;
        let file_name = file.name.rsplit('/').next().unwrap_or(&file.name);
        Some(ModelHere {
            reference: artifact.sha256.to_hex(),
            title: format!("{file_name} [{}]", artifact.sha256.auto_v2()),
            name: resolve::stem(&file.name).to_owned(),
            file_name: Some(file_name.to_owned()),
            sha256: Some(artifact.sha256),
            architecture: artifact.architecture,
            since: artifact.created_at,
        })
    }))
}

async fn files(catalogue: &Catalogue, kind: ModelKind) -> Result<Vec<FileHere>, GenerationError> {
    let mut files = Vec::new();
    for (name, sha256) in catalogue.local_names(kind).await? {
        if name == sha256.to_hex() {
            // What our own store calls it; its hub or its owner has a name for it.
            continue;
        }
        let Some(artifact) = catalogue.artifact(&sha256).await? else { continue };
        let is_named = |path: &&PathBuf| path.file_stem().and_then(|stem| stem.to_str()) == Some(name.as_str());
        // Without a path it is on a disk that is away.
        let Some(path) = artifact.paths.iter().find(is_named).or(artifact.paths.first()).cloned() else { continue };
        let ending = path.extension().filter(|_| is_named(&&path)).and_then(|ending| ending.to_str());
        let file_name = format!("{name}.{}", ending.unwrap_or(artifact.format.as_str()));
        files.push(FileHere { name, file_name, path, sha256, architecture: artifact.architecture });
    }
    Ok(files)
}

/// Such as `org/name@0123456789`.
fn title_of_folder(reference: &ModelRef) -> String {
    match reference {
        ModelRef::HuggingFace { repo, revision: Some(revision), .. } => {
            format!("{repo}@{}", &revision[..revision.floor_char_boundary(TITLE_DIGITS)])
        }
        other => other.to_string(),
    }
}

/// The digits in `name.safetensors [0123456789]`.
fn digits_of_title(text: &str) -> Option<&str> {
    let digits = text.strip_suffix(']')?.rsplit_once('[')?.1;
    (digits.len() == TITLE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_ends_with_the_digits_that_name_its_file() {
        assert_eq!(digits_of_title("dream.safetensors [96a7fb4abc]"), Some("96a7fb4abc"));
        for text in ["dream.safetensors", "dream [96a7fb4ab]", "dream [96a7fb4abx]", "[", "]", ""] {
            assert_eq!(digits_of_title(text), None, "{text}");
        }
    }
}
