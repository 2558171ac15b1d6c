//! What follows and searches list on CivitAI, page by page to the end.

use super::mark::Mark;
use super::page::Page;
use super::query::{ModelQuery, ModelSort};
use super::{Civitai, convert, parse, unexpected};
use crate::error::{HubError, ServerWords};
use crate::refusal::Asked;
use crate::site::Site;
use crate::transport::Conditional;
use crate::{Inner, ListPage, ListRequest};
use async_stream::try_stream;
use futures::StreamExt;
use futures::stream::BoxStream;
use paintbox_domain::Hub;
use paintbox_domain::follow::{CivitaiCollection, FollowTarget};
use paintbox_domain::hub::HubModel;
use std::collections::HashSet;
use std::sync::Arc;

/// The level bits of models that are listed without mature content: PG and PG-13.
const NOT_MATURE: u32 = 0b11;

/// How a target is listed.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Everybody's list, or one of the account's own.
    Models(ModelQuery),
    /// The creators that the account follows.
    Following(ModelQuery),
    /// A collection's number, which the site is expected to refuse or to ignore.
    Collection(ModelQuery),
    One(u64),
}

fn plan(target: &FollowTarget) -> Option<Plan> {
    // Without `nsfw` only what is rated PG would be listed, and PG-13 is not mature: what is, is taken out here. A cursor
    // is good for one order only, so the order is said again with it.
    let newest = || ModelQuery { nsfw: true, sort: Some(ModelSort::Newest), ..ModelQuery::default() };
    Some(match target {
        FollowTarget::CivitaiCreator(name) => Plan::Models(ModelQuery { username: Some(name.clone()), ..newest() }),
        FollowTarget::CivitaiTag(tag) => Plan::Models(ModelQuery { tag: Some(tag.clone()), ..newest() }),
        // A search has an order of its own.
        FollowTarget::CivitaiSearch(words) => {
            Plan::Models(ModelQuery { query: Some(words.clone()), sort: None, ..newest() })
        }
        FollowTarget::CivitaiModel(id) => Plan::One(*id),
        FollowTarget::CivitaiFollowing => Plan::Following(ModelQuery { followed: true, ..newest() }),
        FollowTarget::CivitaiCollection(CivitaiCollection::Favourites) => {
            Plan::Models(ModelQuery { favorites: true, ..newest() })
        }
        FollowTarget::CivitaiCollection(CivitaiCollection::Number(id)) => {
            Plan::Collection(ModelQuery { collection: Some(*id), ..newest() })
        }
        FollowTarget::HfAuthor(_) | FollowTarget::HfLikes(_) | FollowTarget::HfRepository { .. } => return None,
    })
}

/// The models of a target, newest activity first.
///
/// The creators that an account follows are asked for in one list (`followed=true`), which is not documented. If the site
/// refuses it, each of [`ListRequest::creators`] is listed one after the other; that list has no mark, and creators that
/// are gone are passed over with a warning.
pub(crate) fn list(inner: Arc<Inner>, request: ListRequest) -> BoxStream<'static, Result<ListPage, HubError>> {
    try_stream! {
        let civitai = &inner.civitai;
        let name = request.target.to_string();
        let walk = |query| Walk::new(query, &request, name.clone());
        match plan(&request.target) {
            None => {}
            Some(Plan::One(id)) => yield civitai.one(id, &request).await?,
            Some(Plan::Models(query)) => {
                if query.is_personal() {
                    civitai.must_know_us(request.mature).await?;
                }
                let mut walk = walk(query);
                while let Some(page) = civitai.next_page(&mut walk).await? {
                    yield page;
                }
            }
            Some(Plan::Following(query)) => {
                civitai.must_know_us(request.mature).await?;
                let mut walk = walk(query);
                match civitai.next_page(&mut walk).await {
                    Ok(first) => {
                        let mut page = first;
                        while let Some(found) = page {
                            yield found;
                            page = civitai.next_page(&mut walk).await?;
                        }
                    }
                    Err(error) => {
                        let said = refused(error)?;
                        if request.creators.is_empty() {
                            Err(not_offered(&name, said.clone()))?;
                        }
                        tracing::info!(%said, "CivitAI refuses the list of followed creators; they are asked for by name");
                        let mut walks = civitai.creators_of(&request);
                        while let Some(page) = walks.next_page(civitai).await? {
                            yield page;
                        }
                    }
                }
            }
            Some(Plan::Collection(query)) => {
                let mut walk = walk(query);
                let mut page = match civitai.next_page(&mut walk).await {
                    Ok(first) => first,
                    Err(error) => Err(not_offered(&name, refused(error)?))?,
                };
                if let Some(first) = &page && civitai.is_unfiltered(&walk, first).await? {
                    Err(not_offered(&name, ServerWords::default()))?;
                }
                while let Some(found) = page {
                    yield found;
                    page = civitai.next_page(&mut walk).await?;
                }
            }
        }
    }
    .boxed()
}

/// The pages of any query.
pub(crate) fn models(inner: Arc<Inner>, query: ModelQuery) -> BoxStream<'static, Result<Vec<HubModel>, HubError>> {
    try_stream! {
        let civitai = &inner.civitai;
        if query.is_personal() {
            civitai.must_know_us(query.nsfw).await?;
        }
        let mut walk = Walk::of(query);
        while let Some(page) = civitai.next_page(&mut walk).await? {
            yield page.models;
        }
    }
    .boxed()
}

/// Where a list stands between two pages.
#[derive(Debug)]
struct Walk {
    query: ModelQuery,
    /// What the list is called in errors.
    name: String,
    /// What the list's mark is a mark of; none for a list that gets no mark.
    scope: Option<String>,
    /// The mark of an earlier look.
    known: Option<Mark>,
    /// Whether the list comes from the site that lists mature content, and is given whole.
    mature: bool,
    /// Whether models beyond PG-13 are taken out.
    tame: bool,
    /// The cursor of the next page.
    next: Option<String>,
    begun: bool,
    ended: bool,
    cursors: HashSet<String>,
    /// Models that were given: a list shifts while it is read, and then shows the same model on two pages.
    given: HashSet<String>,
}

impl Walk {
    fn new(query: ModelQuery, request: &ListRequest, name: String) -> Self {
        let scope = format!("{name} {}", request.mature);
        let known = request.mark.as_ref().and_then(|mark| Mark::read(mark, &scope));
        let mature = request.mature;
        Self { name, scope: Some(scope), known, mature, tame: !mature, ..Self::of(query) }
    }

    fn of(query: ModelQuery) -> Self {
        Self {
            name: query.username.clone().unwrap_or_else(|| "models".to_owned()),
            scope: None,
            known: None,
            mature: query.nsfw,
            tame: false,
            next: query.cursor.clone(),
            begun: false,
            ended: false,
            cursors: HashSet::new(),
            given: HashSet::new(),
            query,
        }
    }

    fn asked(&self) -> Asked<'_> {
        match &self.query.username {
            Some(creator) => Asked::Creator(creator),
            None => Asked::List,
        }
    }

    /// Takes over what a page holds and where the next one is.
    fn turn(&mut self, page: Page) -> Result<Vec<HubModel>, HubError> {
        if let Some(next) = &page.next
            && !self.cursors.insert(next.clone())
        {
            return Err(HubError::EndlessList {
                hub: Hub::Civitai,
                creator: self.name.clone(),
                repeated: format!("the cursor {}", next.chars().take(80).collect::<String>()),
            });
        }
        self.ended = page.next.is_none();
        self.next = page.next;
        let mut models = page.models;
        models.retain(|model| {
            let is_mature = model.nsfw_level != 0 && model.nsfw_level & NOT_MATURE == 0;
            !(self.tame && is_mature) && self.given.insert(model.external_id.clone())
        });
        Ok(models)
    }
}

/// The lists of several creators, one after the other.
struct Creators<'a> {
    request: &'a ListRequest,
    left: std::slice::Iter<'a, String>,
    current: Option<Walk>,
}

impl Creators<'_> {
    async fn next_page(&mut self, civitai: &Civitai) -> Result<Option<ListPage>, HubError> {
        loop {
            let walk = match &mut self.current {
                Some(walk) => walk,
                None => {
                    let Some(creator) = self.left.next() else { return Ok(None) };
                    let query = ModelQuery {
                        username: Some(creator.clone()),
                        nsfw: true,
                        sort: Some(ModelSort::Newest),
                        ..ModelQuery::default()
                    };
                    let mature = self.request.mature;
                    self.current.insert(Walk { mature, tame: !mature, ..Walk::of(query) })
                }
            };
            match civitai.next_page(walk).await {
                // The next creator's list is another one, which this one's says nothing of.
                Ok(Some(page)) => return Ok(Some(ListPage { more: false, ..page })),
                Ok(None) => {}
                Err(HubError::CreatorNotFound { creator, .. }) => {
                    tracing::warn!(creator, "a creator that the account follows is gone");
                }
                Err(error) => return Err(error),
            }
            self.current = None;
        }
    }
}

impl Civitai {
    fn creators_of<'a>(&self, request: &'a ListRequest) -> Creators<'a> {
        Creators { request, left: request.creators.iter(), current: None }
    }

    /// The next page of a list, or none after its end.
    async fn next_page(&self, walk: &mut Walk) -> Result<Option<ListPage>, HubError> {
        if walk.ended {
            return Ok(None);
        }
        let site = self.sites.lists(walk.mature);
        if walk.begun {
            let path = walk.query.path(walk.next.as_deref());
            let answer = self.transport.json(site, &path, &walk.asked()).await?;
            let models = walk.turn(Page::read(&answer)?)?;
            return Ok(Some(ListPage { models, more: !walk.ended, ..ListPage::default() }));
        }
        let page = match self.first_page(site, walk).await {
            Err(HubError::CreatorNotFound { hub, creator, said, .. }) if walk.scope.is_some() => {
                let similar = self.creators_like(&creator).await;
                return Err(HubError::CreatorNotFound { hub, creator, similar, said });
            }
            page => page?,
        };
        walk.begun = true;
        Ok(Some(page))
    }

    async fn first_page(&self, site: &Site, walk: &mut Walk) -> Result<ListPage, HubError> {
        let path = walk.query.path(walk.next.as_deref());
        let validator = walk.known.as_ref().and_then(|mark| mark.validator.as_deref());
        let answer = match self.transport.json_if_changed(site, &path, &walk.asked(), validator).await? {
            Conditional::Changed(answer) => answer,
            Conditional::Unchanged => {
                walk.ended = true;
                return Ok(unchanged(walk.known.as_ref()));
            }
        };
        let mark = walk.scope.as_deref().map(|scope| Mark::of(scope, &answer.text, answer.validator.clone()));
        if is_known(walk.known.as_ref(), mark.as_ref()) {
            walk.ended = true;
            return Ok(unchanged(mark.as_ref()));
        }
        let models = walk.turn(Page::read(&answer)?)?;
        let mark = mark.map(|mark| mark.to_text());
        Ok(ListPage { models, mark, more: !walk.ended, ..ListPage::default() })
    }

    /// A model's page as a list of one. It was asked for by its number, so its rating does not matter.
    async fn one(&self, id: u64, request: &ListRequest) -> Result<ListPage, HubError> {
        let scope = format!("{} {}", request.target, request.mature);
        let known = request.mark.as_ref().and_then(|mark| Mark::read(mark, &scope));
        let validator = known.as_ref().and_then(|mark| mark.validator.as_deref());
        let Conditional::Changed(answer) = self.model_page(id, request.mature, validator).await? else {
            return Ok(unchanged(known.as_ref()));
        };
        let mark = Mark::of(&scope, &answer.text, answer.validator.clone());
        if is_known(known.as_ref(), Some(&mark)) {
            return Ok(unchanged(Some(&mark)));
        }
        let model = convert::model(&parse(&answer)?, answer.text.clone())
            .ok_or_else(|| unexpected(&answer, "a model without a number"))?;
        Ok(ListPage { models: vec![model], mark: Some(mark.to_text()), ..ListPage::default() })
    }

    /// Whether the site ignored the filter whose first page this is and listed everything.
    ///
    /// The same page is asked for without the filter. A list that is as long as the site and begins with nearly the same
    /// models is the site's own; "nearly", because something may have come out between the two questions. A list that
    /// ends on its first page is either truly narrowed, or all that the site has.
    async fn is_unfiltered(&self, walk: &Walk, first: &ListPage) -> Result<bool, HubError> {
        // Nothing can be told from nothing: pages are narrowed once more after they were cut.
        if first.unchanged_since_mark || walk.next.is_none() || walk.given.is_empty() {
            return Ok(false);
        }
        let everything = ModelQuery { collection: None, ..walk.query.clone() };
        let answer = self.transport.json(self.sites.lists(walk.mature), &everything.path(None), &walk.asked()).await?;
        let page = Page::read(&answer)?;
        let everything: HashSet<&str> = page.models.iter().map(|model| model.external_id.as_str()).collect();
        let shared = walk.given.iter().filter(|id| everything.contains(id.as_str())).count();
        Ok(page.next.is_some() && shared * 10 >= walk.given.len() * 9)
    }
}

fn is_known(known: Option<&Mark>, now: Option<&Mark>) -> bool {
    known.zip(now).is_some_and(|(known, now)| known.is_same_state(now))
}

fn unchanged(mark: Option<&Mark>) -> ListPage {
    ListPage { mark: mark.map(Mark::to_text), unchanged_since_mark: true, ..ListPage::default() }
}

fn not_offered(target: &str, said: ServerWords) -> HubError {
    HubError::ListNotOffered { hub: Hub::Civitai, target: target.to_owned(), said }
}

/// The words of a site that will not give a list to anybody like us.
///
/// # Errors
/// Any other error, as it was.
fn refused(error: HubError) -> Result<ServerWords, HubError> {
    match error {
        HubError::UnexpectedStatus { status: 400, said, .. }
        | HubError::TokenRequired { said, .. }
        | HubError::TokenRejected { said, .. }
        | HubError::AccessDenied { said, .. } => Ok(said),
        other => Err(other),
    }
}
