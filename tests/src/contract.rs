//! What the .proto files themselves say of each method: which reasons it may fail with.
//!
//! A method's comment lists them behind `Errors:`, as in `// Errors: MODEL_NOT_FOUND; FILTER_INVALID (metadata
//! `position`).` Words that are no reason are for people, but `those of ResolveModel` takes over another method's. What any
//! method may fail with stands behind `Any method:` at the head of errors.proto.

use prost_reflect::{DescriptorPool, MethodDescriptor};
use std::collections::{BTreeMap, BTreeSet};

/// Where a file's `syntax` and `package` stand: their numbers in FileDescriptorProto (descriptor.proto).
const SYNTAX: i32 = 12;
const PACKAGE: i32 = 2;
const PREFIX: &str = "ERROR_REASON_";

/// The contract with its comments.
#[derive(Debug, Clone)]
pub struct Contract {
    pool: DescriptorPool,
    known: BTreeSet<String>,
    common: BTreeSet<String>,
    reasons: BTreeMap<String, BTreeSet<String>>,
}

impl Contract {
    /// Reads what the daemon serves by reflection.
    ///
    /// # Errors
    /// When the descriptors cannot be read, or a comment names a reason or a method that there is not.
    pub fn read() -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(paintbox_proto::FILE_DESCRIPTOR_SET)?;
        let all = pool
            .get_enum_by_name("paintbox.v1.ErrorReason")
            .ok_or_else(|| anyhow::anyhow!("the contract has no ErrorReason"))?;
        let known: BTreeSet<String> =
            all.values().filter_map(|value| Some(value.name().strip_prefix(PREFIX)?.to_owned())).collect();
        let head = comment(&all.parent_file(), &[PACKAGE]).or_else(|| comment(&all.parent_file(), &[SYNTAX]));
        let head = head.unwrap_or_default();
        let common = match head.split_once("Any method:") {
            Some((_, text)) => words(text.split_once('.').map_or(text, |(list, _)| list)),
            None => anyhow::bail!("errors.proto does not say what any method may fail with"),
        };
        let mut contract = Self { pool, known, common: BTreeSet::new(), reasons: BTreeMap::new() };
        contract.common = contract.checked("errors.proto", common)?;
        let said: BTreeMap<String, String> =
            contract.methods().map(|method| (method.name().to_owned(), errors_of(&method))).collect();
        for method in contract.methods() {
            let found = contract.resolve(&said, method.name(), &mut Vec::new())?;
            contract.reasons.insert(method.full_name().to_owned(), found);
        }
        Ok(contract)
    }

    /// Every method of the API, service by service.
    pub fn methods(&self) -> impl Iterator<Item = MethodDescriptor> + use<> {
        let services: Vec<_> = self.pool.services().filter(|service| service.package_name() == "paintbox.v1").collect();
        services.into_iter().flat_map(|service| service.methods().collect::<Vec<_>>())
    }

    /// What any method may fail with.
    #[must_use]
    pub fn common(&self) -> &BTreeSet<String> {
        &self.common
    }

    /// What a method is documented to fail with, besides what any may, by its full name.
    #[must_use]
    pub fn reasons(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.reasons
    }

    /// Whether a method may fail with this.
    #[must_use]
    pub fn documents(&self, method: &str, reason: &str) -> bool {
        self.common.contains(reason) || self.reasons.get(method).is_some_and(|reasons| reasons.contains(reason))
    }

    /// What a comment lists, and what the methods list that it refers to.
    fn resolve(
        &self,
        said: &BTreeMap<String, String>,
        method: &str,
        on_the_way: &mut Vec<String>,
    ) -> anyhow::Result<BTreeSet<String>> {
        anyhow::ensure!(!on_the_way.iter().any(|name| name == method), "{method} refers to itself");
        on_the_way.push(method.to_owned());
        let text = said.get(method).ok_or_else(|| anyhow::anyhow!("{on_the_way:?}: there is no method {method}"))?;
        let mut found = self.checked(method, words(text))?;
        for other in text.split("those of ").skip(1) {
            let name: String = other.chars().take_while(char::is_ascii_alphanumeric).collect();
            found.extend(self.resolve(said, &name, on_the_way)?);
        }
        on_the_way.pop();
        Ok(found)
    }

    fn checked(&self, whose: &str, reasons: BTreeSet<String>) -> anyhow::Result<BTreeSet<String>> {
        let unknown: Vec<&String> = reasons.difference(&self.known).collect();
        anyhow::ensure!(unknown.is_empty(), "{whose} lists {unknown:?}, which errors.proto does not");
        Ok(reasons)
    }
}

/// The comment before a place in a file.
fn comment(file: &prost_reflect::FileDescriptor, path: &[i32]) -> Option<String> {
    let source = file.file_descriptor_proto().source_code_info.as_ref()?;
    let place = source.location.iter().find(|location| location.path == path)?;
    let mut text = place.leading_detached_comments.join("\n");
    text.push_str(place.leading_comments());
    Some(text)
}

/// The comment before a field, as one line.
#[must_use]
pub fn comment_of_field(field: &prost_reflect::FieldDescriptor) -> String {
    comment(&field.parent_message().parent_file(), field.path()).unwrap_or_default().replace('\n', " ")
}

fn errors_of(method: &MethodDescriptor) -> String {
    let text = comment(&method.parent_service().parent_file(), method.path()).unwrap_or_default();
    text.split_once("Errors").map(|(_, errors)| errors.to_owned()).unwrap_or_default()
}

/// Words that are spelled as reasons are.
fn words(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_reason = |word: &&str| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            || ["CANCELLED", "INTERRUPTED", "INTERNAL"].contains(word)
    };
    text.split(|c| !is_part(c)).filter(is_reason).map(str::to_owned).collect()
}
