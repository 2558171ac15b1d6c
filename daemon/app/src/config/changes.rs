//! What differs between two readings of `config.toml`, by the names of its settings, and from when on it holds.

use paintbox_rpc::Reloaded;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Settings, or tables of them, that hold from the next start on: what they decide is built once, and in use all the time.
const FROM_THE_NEXT_START: &[&str] = &["hubs", "listen", "generation.full_precision", "generation.memory_limit_bytes"];

/// Variables of the daemon's environment that decide a setting, whatever the file says.
const BY_ENVIRONMENT: &[(&str, &[&str])] = &[
    ("log", &["PAINTBOX_LOG"]),
    ("hubs.civitai.endpoint", &["PAINTBOX_CIVITAI_ENDPOINT"]),
    ("hubs.huggingface.endpoint", &["HF_ENDPOINT"]),
    ("hubs.huggingface.cache", &["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]),
    ("hubs.huggingface.token_file", &["HF_TOKEN_PATH"]),
];

/// What the file says of each setting that it names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Written(BTreeMap<String, toml::Value>);

impl Written {
    pub(super) fn of(table: toml::Table) -> Self {
        let mut found = BTreeMap::new();
        flatten("", table, &mut found);
        Self(found)
    }

    /// Has a setting that names a file count as another when the file's bytes are others.
    pub(super) fn note_contents(&mut self, setting: &str, contents: &[u8]) {
        let mut hasher = DefaultHasher::new();
        contents.hash(&mut hasher);
        self.0.insert(format!("{setting} (contents)"), toml::Value::String(hasher.finish().to_string()));
    }

    /// Names of what is not the same in both.
    fn differing<'a>(&'a self, other: &'a Self) -> BTreeSet<&'a str> {
        let names = self.0.keys().chain(other.0.keys());
        let differ = names.filter(|name| self.0.get(*name) != other.0.get(*name));
        differ.map(|name| name.strip_suffix(" (contents)").unwrap_or(name)).collect()
    }
}

fn flatten(prefix: &str, table: toml::Table, found: &mut BTreeMap<String, toml::Value>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(table) => flatten(&name, table, found),
            value => drop(found.insert(name, value)),
        }
    }
}

/// What changes from what was `held` until now to what is `written` now, for a daemon that `started` with another file still.
/// `is_set` says whether the environment has a variable.
pub(crate) fn changes(started: &Written, held: &Written, written: &Written, is_set: impl Fn(&str) -> bool) -> Reloaded {
    let by_environment = |name: &&str| {
        BY_ENVIRONMENT.iter().any(|(setting, variables)| setting == name && variables.iter().any(|name| is_set(name)))
    };
    let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
    let (overridden, changed): (BTreeSet<_>, BTreeSet<_>) =
        written.differing(held).into_iter().partition(by_environment);
    let pending = written.differing(started).into_iter().filter(|name| is_pending(name) && !by_environment(name));
    Reloaded {
        adopted: owned(changed.into_iter().filter(|name| !is_pending(name)).collect()),
        pending: owned(pending.collect()),
        overridden: owned(overridden),
    }
}

fn is_pending(name: &str) -> bool {
    FROM_THE_NEXT_START
        .iter()
        .any(|setting| name.strip_prefix(setting).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Written {
        Written::of(text.parse().unwrap())
    }

    fn find(texts: [&str; 3], set: &[&str]) -> [String; 3] {
        let [started, held, now] = texts.map(written);
        let Reloaded { adopted, pending, overridden } = changes(&started, &held, &now, |name| set.contains(&name));
        [adopted, pending, overridden].map(|names| names.join(" "))
    }

    #[test]
    fn settings_hold_at_once_unless_what_they_decide_is_built_once() {
        let now = "log = \"debug\"\n[downloads]\nat_once = 2\n[listen]\nweb = \"127.0.0.1:1\"\n[generation]\n\
                   keep_warm_minutes = 1\nmemory_limit_bytes = 5\n[hubs.civitai]\nendpoint = \"https://example.org\"";
        let pending = "generation.memory_limit_bytes hubs.civitai.endpoint listen.web";
        assert_eq!(
            find(["", "", now], &[]),
            ["downloads.at_once generation.keep_warm_minutes log", pending, ""].map(str::to_owned)
        );
        // What holds is told once; what waits for a start is told until then, and no longer when it is taken back.
        assert_eq!(find(["", now, now], &[]), ["", pending, ""].map(str::to_owned));
        assert_eq!(
            find(["", now, ""], &[]),
            ["downloads.at_once generation.keep_warm_minutes log", "", ""].map(str::to_owned)
        );
        assert_eq!(find([now, now, now], &[]), ["", "", ""].map(str::to_owned));
    }

    #[test]
    fn what_the_environment_decides_changes_nothing() {
        let now = "log = \"debug\"\n[hubs.huggingface]\nendpoint = \"https://example.org\"\ncache = \"/data\"";
        let set = ["PAINTBOX_LOG", "HF_ENDPOINT"];
        assert_eq!(
            find(["", "", now], &set),
            ["", "hubs.huggingface.cache", "hubs.huggingface.endpoint log"].map(str::to_owned)
        );
    }

    #[test]
    fn a_certificate_that_was_renewed_is_another() {
        let at = |contents: &[u8]| {
            let mut written = written("[listen.tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"");
            written.note_contents("listen.tls.certificate", contents);
            written
        };
        let found = changes(&at(b"old"), &at(b"old"), &at(b"new"), |_| false);
        assert_eq!(found, Reloaded { pending: vec!["listen.tls.certificate".to_owned()], ..Reloaded::default() });
    }
}
