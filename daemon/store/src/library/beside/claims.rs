//! What files beside a model say of it, and how what several say is put together.

use paintbox_domain::{Blake3, ModelKind, Sha256, Timestamp};

/// What was said of a model. Every field is optional, and none is more than a claim.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims {
    pub identity: Identity,
    pub page: Page,
    pub personal: Personal,
}

/// Which model it is supposed to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// CivitAI's number of the model.
    pub civitai_model: Option<u64>,
    /// CivitAI's number of the version.
    pub civitai_version: Option<u64>,
    pub sha256: Option<Sha256>,
    pub blake3: Option<Blake3>,
    /// Twelve digits in upper case.
    pub auto_v3: Option<String>,
}

/// What is said of it on a hub's page or in its place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    pub model_name: Option<String>,
    pub version_name: Option<String>,
    pub creator: Option<String>,
    /// The label of the base model, verbatim.
    pub base_model: Option<String>,
    /// The hub's or the tool's word for the kind, verbatim.
    pub kind_label: Option<String>,
    /// The kind that a tool filed it under; only where that is no hub's word.
    pub declared_kind: Option<ModelKind>,
    pub trained_words: Vec<String>,
    pub tags: Vec<String>,
    /// HTML, Markdown or plain text; at most 65,536 characters.
    pub description: Option<String>,
    /// CivitAI's bitmask: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX, 32 blocked. A mere "not for everyone" is 28.
    pub nsfw_level: Option<u32>,
    pub published_at: Option<Timestamp>,
    /// The permissions as JSON, or the licence's name.
    pub licence: Option<String>,
}

/// What its owner made of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Personal {
    /// A title in place of the model's name.
    pub title: Option<String>,
    pub notes: Option<String>,
    /// The weight to use a LoRA with.
    pub preferred_weight: Option<f64>,
    /// What to put into the negative prompt.
    pub negative_words: Option<String>,
    /// Said only by tools that keep such a mark.
    pub favourite: Option<bool>,
    /// CivitAI's bitmask for the picture that shows it.
    pub picture_nsfw_level: Option<u32>,
}

impl Claims {
    /// Adds what `later`, which counts less, says beyond this. False if it is about another model, so that only what
    /// is personal was taken from it.
    pub(super) fn take(&mut self, later: Self) -> bool {
        let same = self.identity.agrees_with(&later.identity);
        if same {
            self.identity.take(later.identity);
            self.page.take(later.page);
        }
        self.personal.take(later.personal);
        same
    }
}

impl Identity {
    /// Whether nothing that both say differs.
    fn agrees_with(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        agree(self.civitai_model.as_ref(), other.civitai_model.as_ref())
            && agree(self.civitai_version.as_ref(), other.civitai_version.as_ref())
            && agree(self.sha256.as_ref(), other.sha256.as_ref())
            && agree(self.blake3.as_ref(), other.blake3.as_ref())
            && agree(self.auto_v3.as_ref(), other.auto_v3.as_ref())
    }

    fn take(&mut self, later: Self) {
        self.civitai_model = self.civitai_model.or(later.civitai_model);
        self.civitai_version = self.civitai_version.or(later.civitai_version);
        self.sha256 = self.sha256.or(later.sha256);
        self.blake3 = self.blake3.or(later.blake3);
        fill(&mut self.auto_v3, later.auto_v3);
    }
}

impl Page {
    pub(super) fn take(&mut self, later: Self) {
        fill(&mut self.model_name, later.model_name);
        fill(&mut self.version_name, later.version_name);
        fill(&mut self.creator, later.creator);
        fill(&mut self.base_model, later.base_model);
        fill(&mut self.kind_label, later.kind_label);
        fill(&mut self.declared_kind, later.declared_kind);
        fill_list(&mut self.trained_words, later.trained_words);
        fill_list(&mut self.tags, later.tags);
        fill(&mut self.description, later.description);
        fill(&mut self.nsfw_level, later.nsfw_level);
        fill(&mut self.published_at, later.published_at);
        fill(&mut self.licence, later.licence);
    }
}

impl Personal {
    fn take(&mut self, later: Self) {
        fill(&mut self.title, later.title);
        fill(&mut self.notes, later.notes);
        fill(&mut self.preferred_weight, later.preferred_weight);
        fill(&mut self.negative_words, later.negative_words);
        fill(&mut self.favourite, later.favourite);
        fill(&mut self.picture_nsfw_level, later.picture_nsfw_level);
    }
}

fn fill<T>(field: &mut Option<T>, later: Option<T>) {
    if field.is_none() {
        *field = later;
    }
}

fn fill_list<T>(field: &mut Vec<T>, later: Vec<T>) {
    if field.is_empty() {
        *field = later;
    }
}
