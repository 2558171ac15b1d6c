//! What a follow lists on Hugging Face: an author's models, what somebody likes, or one branch of one repository.
//!
//! An author who did nothing costs one conditional request, a repository that is as it was known costs none, and every
//! other one costs its page (and its card, and the question whether its gate is open).

use super::marks::{self, Mark};
use super::paging::{self, Entry, ListQuery, Listing};
use super::{Completed, HuggingFace, convert, encoded};
use crate::error::HubError;
use crate::json;
use crate::refusal::Asked;
use crate::{Inner, ListPage, ListRequest};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use paintbox_domain::follow::FollowTarget;
use paintbox_domain::hub::HubModel;
use paintbox_domain::{Classify, ErrorClass};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Each repository's page is a request of its own; so many make a page of ours, and so many run at once.
const REPOSITORIES_PER_PAGE: usize = 20;
const PAGES_AT_ONCE: usize = 4;
/// Entries of one answer: what huggingface.js asks for (@ fe42e68017ff, `packages/hub/src/lib/list-models.ts`).
const ENTRIES_PER_ANSWER: usize = 500;

/// A repository that a list names.
#[derive(Debug)]
struct Listed {
    id: String,
    /// What the list says of its state; none where lists do not say.
    mark: Option<String>,
    /// What the list says of the repository itself; none where that is no more than its name.
    entry: Option<Entry>,
}

/// What a look at a list comes to, before any repository is asked for.
#[derive(Debug)]
enum Plan {
    Unchanged { mark: Mark },
    Ask { mark: Option<Mark>, unchanged: Vec<String>, asked: Vec<Listed> },
}

pub(crate) fn list(inner: Arc<Inner>, request: ListRequest) -> BoxStream<'static, Result<ListPage, HubError>> {
    if let FollowTarget::HfRepository { repository, branch } = request.target.clone() {
        return stream::once(async move { inner.hugging_face.branch(&request, &repository, branch.as_deref()).await })
            .boxed();
    }
    let asked = Arc::clone(&inner);
    stream::once(async move { asked.hugging_face.plan(&request).await })
        .map_ok(move |plan| pages(Arc::clone(&inner), plan))
        .try_flatten()
        .boxed()
}

fn pages(inner: Arc<Inner>, plan: Plan) -> impl Stream<Item = Result<ListPage, HubError>> {
    let (head, asked) = match plan {
        Plan::Unchanged { mark } => {
            let mark = Some(mark.to_string());
            (ListPage { mark, unchanged_since_mark: true, ..ListPage::default() }, Vec::new())
        }
        Plan::Ask { mark, unchanged, asked } => {
            (ListPage { mark: mark.map(|mark| mark.to_string()), unchanged, ..ListPage::default() }, asked)
        }
    };
    // The first page comes even if it is empty: it carries the mark.
    let mut chunks = vec![(head, Vec::new())];
    for listed in asked {
        match chunks.last_mut() {
            Some((_, chunk)) if chunk.len() < REPOSITORIES_PER_PAGE => chunk.push(listed),
            _ => chunks.push((ListPage::default(), vec![listed])),
        }
    }
    stream::iter(chunks).then(move |(head, chunk)| page(Arc::clone(&inner), head, chunk))
}

async fn page(inner: Arc<Inner>, head: ListPage, chunk: Vec<Listed>) -> Result<ListPage, HubError> {
    let mut page = head;
    let mut found = stream::iter(chunk)
        .map(|listed| {
            let inner = Arc::clone(&inner);
            async move { inner.hugging_face.listed(listed).await }
        })
        .buffered(PAGES_AT_ONCE);
    while let Some(completed) = found.try_next().await? {
        let Some(Completed { model, whole }) = completed else { continue };
        if !whole {
            // Something of this model is still to come, so the next look must not stop at the list.
            page.mark = None;
        }
        page.models.push(model);
    }
    Ok(page)
}

impl HuggingFace {
    async fn plan(&self, request: &ListRequest) -> Result<Plan, HubError> {
        let known = request.mark.as_deref().and_then(Mark::parse);
        match &request.target {
            FollowTarget::HfAuthor(author) => self.plan_author(author, known.as_ref(), &request.known).await,
            FollowTarget::HfLikes(user) => self.plan_likes(user, known.as_ref(), &request.known).await,
            other => Err(HubError::NotAHubReference { reference: other.to_string() }),
        }
    }

    /// `GET /api/models?author=…&sort=lastModified`: the one touched last first. `full` adds commit, date and gate to
    /// each entry (huggingface_hub @ ee0a4510f4bc, `src/huggingface_hub/hf_api.py`, `list_models`).
    ///
    /// Whatever is done to a repository moves it to the list's beginning, so the first answer stands for the whole list.
    /// The one thing that does not is the removal of a repository behind the first five hundred; it is seen with the
    /// next change.
    async fn plan_author(
        &self,
        author: &str,
        known: Option<&Mark>,
        marks_known: &HashMap<String, String>,
    ) -> Result<Plan, HubError> {
        let first = format!(
            "/api/models?author={}&sort=lastModified&full=true&cardData=true&limit={ENTRIES_PER_ANSWER}",
            encoded(author)
        );
        let id = |entry: &Value| json::text(entry, "id").filter(|id| convert::is_repository(id));
        let query = ListQuery { first: &first, asked: Asked::Creator(author), of: author, known, id };
        let (entries, mark) = match paging::read(&self.transport, &self.site, query).await? {
            Listing::Unchanged(mark) => return Ok(Plan::Unchanged { mark }),
            Listing::Read { entries, mark, .. } => (entries, mark),
        };
        if entries.is_empty() {
            // A creator that does not exist has an empty list, too.
            self.library.must_exist(&self.site, author).await?;
        }
        let mut unchanged = Vec::new();
        let mut asked = Vec::new();
        for entry in entries {
            let Some(id) = id(&entry.value) else { continue };
            let mark = marks::list_mark(&entry.value);
            if mark.is_some() && marks_known.get(&id) == mark.as_ref() {
                unchanged.push(id);
            } else {
                asked.push(Listed { id, mark, entry: Some(entry) });
            }
        }
        Ok(Plan::Ask { mark: Some(mark), unchanged, asked })
    }

    /// `GET /api/users/{user}/likes`: `{"createdAt": …, "repo": {"name": "a/b", "type": "model"}}`, paged by `Link`
    /// (huggingface_hub @ ee0a4510f4bc, `src/huggingface_hub/hf_api.py`, `list_liked_repos`).
    ///
    /// The list names repositories and says nothing of their state, so one that is known counts as unchanged: a like
    /// brings a model in, and its later commits come to whoever follows the repository or its author. No order is
    /// documented either; a new like may stand on any page, so only a list of a single page has a mark.
    async fn plan_likes(
        &self,
        user: &str,
        known: Option<&Mark>,
        marks_known: &HashMap<String, String>,
    ) -> Result<Plan, HubError> {
        let first = format!("/api/users/{}/likes", encoded(user));
        let id = |entry: &Value| {
            let repository = entry.get("repo")?;
            let kind = json::text(repository, "type").unwrap_or_default();
            Some(format!("{kind}:{}", json::text(repository, "name")?))
        };
        let query = ListQuery { first: &first, asked: Asked::Creator(user), of: user, known, id };
        let (entries, mark, pages) = match paging::read(&self.transport, &self.site, query).await? {
            Listing::Unchanged(mark) => return Ok(Plan::Unchanged { mark }),
            Listing::Read { entries, mark, pages } => (entries, mark, pages),
        };
        if entries.is_empty() {
            self.library.must_exist(&self.site, user).await?;
        }
        let liked = entries.iter().filter_map(|entry| id(&entry.value)?.strip_prefix("model:").map(str::to_owned));
        let (unchanged, asked): (Vec<String>, Vec<String>) = liked.partition(|id| marks_known.contains_key(id));
        let asked = asked.into_iter().map(|id| Listed { id, mark: None, entry: None }).collect();
        Ok(Plan::Ask { mark: (pages == 1).then_some(mark), unchanged, asked })
    }

    /// The newest commit of one branch: one conditional request for the repository's page, which is all there is.
    ///
    /// Only the default branch gives a [`HubModel::list_mark`], because that is the one lists speak of; but whichever
    /// branch stands at the commit that is known brings nothing new.
    async fn branch(
        &self,
        request: &ListRequest,
        repository: &str,
        branch: Option<&str>,
    ) -> Result<ListPage, HubError> {
        let known = request.mark.as_deref().and_then(Mark::parse);
        let same = |mark: Option<String>| ListPage { mark, unchanged_since_mark: true, ..ListPage::default() };
        let validator = known.as_ref().and_then(Mark::etag);
        let Some(page) = self.page_if_changed(repository, branch, validator).await? else {
            return Ok(same(request.mark.clone()));
        };
        let mark = Mark::of(&page.value, page.answer.validator.clone());
        if known.is_some_and(|known| known.says_the_same(&mark)) {
            return Ok(same(Some(mark.to_string())));
        }
        let mark = Some(mark.to_string());
        let id = page.model(&page.value)?.external_id;
        let list_mark = marks::list_mark(&page.value);
        if list_mark.is_some() && request.known.get(&id) == list_mark.as_ref() {
            return Ok(ListPage { unchanged: vec![id], mark, ..ListPage::default() });
        }
        let Completed { model, whole } = self.complete(page).await?;
        Ok(ListPage { models: vec![model], mark: mark.filter(|_| whole), ..ListPage::default() })
    }

    /// The page of a repository that was listed. If the Hub keeps the page from us, what the list said, without
    /// versions, so that one locked door does not hide the rest; none if the list said no more than its name.
    async fn listed(&self, listed: Listed) -> Result<Option<Completed>, HubError> {
        let completed = async { self.complete(self.page(&listed.id, None).await?).await };
        let refused = match completed.await {
            Ok(mut completed) => {
                // The list's own words, if it has any: they are what the next look is compared with.
                if completed.whole && listed.mark.is_some() {
                    completed.model.list_mark = listed.mark;
                }
                return Ok(Some(completed));
            }
            Err(error) => error,
        };
        match refused.class() {
            ErrorClass::NotFound | ErrorClass::AccessDenied | ErrorClass::Precondition => {
                tracing::warn!(repository = listed.id, error = %refused, "listed, but its page is refused");
                let Some(Entry { value, raw }) = listed.entry else { return Ok(None) };
                let model: HubModel = convert::model(&value, raw, None).ok_or(refused)?;
                Ok(Some(Completed { model, whole: true }))
            }
            _ => Err(refused),
        }
    }
}
