//! Which model a file belongs to, by its digest.

use super::{Civitai, convert, malformed, parse, unexpected};
use crate::ResolvedModel;
use crate::error::HubError;
use crate::json;
use crate::refusal::Asked;
use paintbox_domain::hub::HubVersion;
use paintbox_domain::{Classify as _, ErrorClass, Sha256};
use serde_json::Value;
use std::collections::HashSet;

/// Most digests in one question for versions, and in one for numbers
/// (github civitai/civitai @ ebed661630d3, `src/pages/api/v1/model-versions/by-hash/{index,ids}.ts`).
const MOST_FOR_VERSIONS: usize = 100;
const MOST_FOR_NUMBERS: usize = 10_000;

/// A file on CivitAI that has the digest asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Identified {
    pub sha256: Sha256,
    /// `external_id` of the model.
    pub model: String,
    pub version: HubVersion,
    /// `external_id` of the file in `version`.
    pub file: String,
}

/// The numbers that belong to a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifiedNumbers {
    pub sha256: Sha256,
    /// `external_id` of the model; not in every answer.
    pub model: Option<String>,
    /// `external_id` of the version.
    pub version: String,
}

/// The numbers of a version that has a file with the digest asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionNumbers {
    /// `external_id` of the model.
    pub model: String,
    /// `external_id` of the version.
    pub version: String,
}

impl Civitai {
    /// `digits` are hexadecimal: a SHA-256, or the short AutoV2 or AutoV3.
    pub(crate) async fn resolve_digest(&self, digits: &str) -> Result<ResolvedModel, HubError> {
        let path = format!("/api/v1/model-versions/by-hash/{}", digits.to_ascii_uppercase());
        let answer = self.version_page(&path, &Asked::Digest(digits)).await?;
        let mut resolved = self.model_of_version(&answer).await?;
        resolved.file = convert::file_with_digest(&parse(&answer)?, digits);
        Ok(resolved)
    }

    /// Every file with one of the digests, in the order of the digests; of one digest, the version that came out first
    /// comes first. Digests that the hub does not know are missing.
    pub(crate) async fn identify(&self, digests: &[Sha256]) -> Result<Vec<Identified>, HubError> {
        let mut found = Vec::new();
        for batch in unique(digests).chunks(MOST_FOR_VERSIONS) {
            let versions = self.ask_by_digests("/api/v1/model-versions/by-hash", batch).await?;
            // The answer is not in the order of the question, and holds nulls and the same version twice.
            let mut seen = HashSet::new();
            let mut versions: Vec<(String, HubVersion)> = versions
                .iter()
                .filter_map(|page| Some((json::whole(page, "modelId")?.to_string(), convert::version(page)?)))
                .filter(|(_, version)| seen.insert(version.external_id.clone()))
                .collect();
            versions.sort_by_key(|(_, version)| version.published_at);
            for sha256 in batch {
                for (model, version) in &versions {
                    if let Some(file) = version.files.iter().find(|file| file.sha256 == Some(*sha256)) {
                        let file = file.external_id.clone();
                        found.push(Identified {
                            sha256: *sha256,
                            model: model.clone(),
                            version: version.clone(),
                            file,
                        });
                    }
                }
            }
        }
        Ok(found)
    }

    /// The same without the pages, ten thousand at a time: the cheap way to look up a whole folder.
    pub(crate) async fn identify_ids(&self, digests: &[Sha256]) -> Result<Vec<IdentifiedNumbers>, HubError> {
        let mut found = Vec::new();
        for batch in unique(digests).chunks(MOST_FOR_NUMBERS) {
            let entries = self.ask_by_digests("/api/v1/model-versions/by-hash/ids", batch).await?;
            found.extend(entries.iter().filter_map(numbers).filter(|entry| batch.contains(&entry.sha256)));
        }
        Ok(found)
    }

    /// The oldest version with a file of these tensors; none if there is none. Several digests to a question are taken
    /// of whole files only, so this is asked for one file at a time.
    pub(crate) async fn identify_tensors(&self, auto_v3: &str) -> Result<Option<VersionNumbers>, HubError> {
        let path = format!("/api/v1/model-versions/by-hash/{}", auto_v3.to_ascii_uppercase());
        let answer = match self.transport.json(&self.sites.main, &path, &Asked::Digest(auto_v3)).await {
            Err(error) if error.class() == ErrorClass::NotFound => return Ok(None),
            answer => answer?,
        };
        let page = parse(&answer)?;
        // The address takes digests of any kind, and only that of the tensors is meant.
        if convert::has_auto_v3(&page, auto_v3) {
            let number = |key| json::whole(&page, key).map(|number| number.to_string());
            let numbers = number("modelId").zip(number("id")).map(|(model, version)| VersionNumbers { model, version });
            return numbers.map(Some).ok_or_else(|| unexpected(&answer, "a version without numbers"));
        }
        Ok(None)
    }

    async fn ask_by_digests(&self, path: &str, digests: &[Sha256]) -> Result<Vec<Value>, HubError> {
        let digits: Vec<String> = digests.iter().map(|digest| digest.to_hex().to_ascii_uppercase()).collect();
        let body = serde_json::to_string(&digits).map_err(|source| malformed(path, source))?;
        // Neither site filters these answers by rating.
        let answer = self.transport.json_by_post(&self.sites.main, path, body, &Asked::List).await?;
        match parse(&answer)? {
            Value::Array(entries) => Ok(entries),
            _ => Err(unexpected(&answer, "something other than a list of versions")),
        }
    }
}

fn numbers(entry: &Value) -> Option<IdentifiedNumbers> {
    Some(IdentifiedNumbers {
        sha256: json::text(entry, "hash")?.parse().ok()?,
        model: json::whole(entry, "modelId").map(|id| id.to_string()),
        version: json::whole(entry, "modelVersionId")?.to_string(),
    })
}

fn unique(digests: &[Sha256]) -> Vec<Sha256> {
    let mut seen = HashSet::new();
    digests.iter().copied().filter(|digest| seen.insert(*digest)).collect()
}
