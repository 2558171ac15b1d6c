//! Lists: what is asked of one, and what comes back page by page.

use paintbox_domain::follow::FollowTarget;
use paintbox_domain::hub::HubModel;
use std::collections::HashMap;

/// What to list, and what is known of it already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    pub target: FollowTarget,
    /// Whether models rated beyond PG-13 are asked for. CivitAI lists those in full on a second site only.
    pub mature: bool,
    /// [`ListPage::mark`] of an earlier look that was read to its end. While the first page is still the same, the
    /// list is one page with [`ListPage::unchanged_since_mark`], which costs one conditional request.
    pub mark: Option<String>,
    /// [`HubModel::list_mark`] of the models that are known, by external id. A listed Hugging Face repository that
    /// still has its mark is not asked for again and comes as [`ListPage::unchanged`].
    pub known: HashMap<String, String>,
    /// For [`FollowTarget::CivitaiFollowing`]: whom to ask for one by one if the site refuses the account's own list.
    pub creators: Vec<String>,
}

impl ListRequest {
    /// Everything of `target`, as if nothing were known.
    #[must_use]
    pub fn new(target: FollowTarget) -> Self {
        Self { target, mature: true, mark: None, known: HashMap::new(), creators: Vec::new() }
    }
}

/// One page of a list; it may be empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListPage {
    pub models: Vec<HubModel>,
    /// External ids that are listed and are as they were known.
    pub unchanged: Vec<String>,
    /// On the first page: what to give as [`ListRequest::mark`] next time, once the list was read to its end.
    pub mark: Option<String>,
    /// Another page of the list follows, at the price of a request: whoever has seen enough may stop here.
    pub more: bool,
    /// This page stands for the whole list, which is as it was when the mark was made. `models` is empty then.
    pub unchanged_since_mark: bool,
}

/// What became of a model that was known.
#[derive(Debug, Clone, PartialEq)]
pub enum Presence {
    /// Its page is there, whatever state it is in.
    Here(Box<HubModel>),
    /// The hub says that there is no such model.
    Gone { external_id: String },
    /// Hugging Face, to somebody without a token: it answers the same for a private repository as for none. One that
    /// was public is gone for the public either way; one that was known to be private (its JSON says `"private": true`)
    /// is only out of the sight of somebody who logged out, and says nothing.
    OutOfSight { external_id: String },
}
