//! CivitAI's directories: creators, tags, and the words that it uses for kinds of models.
//!
//! Shapes: github civitai/civitai-developer-docs @ 9382513060e5, `site/reference/{creators,tags,enums}.md`.

use super::{Civitai, parse, unexpected};
use crate::error::HubError;
use crate::json;
use crate::refusal::Asked;
use serde_json::Value;
use url::form_urlencoded::Serializer;

/// Names that a hint offers.
const MOST_SIMILAR: usize = 5;
/// What these directories give on a page at most.
const MOST_PER_PAGE: u32 = 200;

/// One page of a directory whose pages are numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedPage<T> {
    pub items: Vec<T>,
    /// The number of the next page; none on the last.
    pub next_page: Option<u32>,
}

/// Somebody who has published something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CivitaiCreator {
    pub username: String,
    /// Models; the site leaves the number out where it is 0.
    pub models: u64,
    pub image: Option<String>,
}

/// A word that models are tagged with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CivitaiTag {
    pub name: String,
    /// Models that have it, where the site says so.
    pub models: Option<u64>,
}

/// The words of the site's closed lists as they are today. Answers may hold words that are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CivitaiEnums {
    pub model_types: Vec<String>,
    pub file_types: Vec<String>,
    pub base_models: Vec<String>,
    /// Those of `base_models` that new models may be published for.
    pub active_base_models: Vec<String>,
    pub base_model_types: Vec<String>,
}

impl Civitai {
    /// `page` counts from 1.
    pub(crate) async fn creators(
        &self,
        query: Option<&str>,
        page: u32,
    ) -> Result<NumberedPage<CivitaiCreator>, HubError> {
        self.numbered("creators", query, page, MOST_PER_PAGE, |item| {
            Some(CivitaiCreator {
                username: json::text(item, "username")?,
                models: json::whole(item, "modelCount").unwrap_or(0),
                image: json::text(item, "image"),
            })
        })
        .await
    }

    /// `page` counts from 1.
    pub(crate) async fn tags(&self, query: Option<&str>, page: u32) -> Result<NumberedPage<CivitaiTag>, HubError> {
        self.numbered("tags", query, page, MOST_PER_PAGE, |item| {
            Some(CivitaiTag { name: json::text(item, "name")?, models: json::whole(item, "modelCount") })
        })
        .await
    }

    pub(crate) async fn enums(&self) -> Result<CivitaiEnums, HubError> {
        let answer = self.transport.json(&self.sites.main, "/api/v1/enums", &Asked::List).await?;
        let lists = parse(&answer)?;
        if !lists.is_object() {
            return Err(unexpected(&answer, "something other than lists of words"));
        }
        Ok(CivitaiEnums {
            model_types: json::texts(&lists, "ModelType"),
            file_types: json::texts(&lists, "ModelFileType"),
            base_models: json::texts(&lists, "BaseModel"),
            active_base_models: json::texts(&lists, "ActiveBaseModel"),
            base_model_types: json::texts(&lists, "BaseModelType"),
        })
    }

    /// The number of the account with this name, in any case of its letters.
    pub(crate) async fn user_id(&self, username: &str) -> Result<Option<String>, HubError> {
        let path = format!("/api/v1/users?{}", Serializer::new(String::new()).append_pair("query", username).finish());
        let answer = self.transport.json(&self.sites.main, &path, &Asked::List).await?;
        let users = parse(&answer)?;
        let is_them =
            |user: &&Value| json::text(user, "username").is_some_and(|name| name.eq_ignore_ascii_case(username));
        let them = json::list(&users, "items").iter().find(is_them);
        Ok(them.and_then(|user| json::whole(user, "id")).map(|id| id.to_string()))
    }

    /// What the account with this number is called now; none if there is no such account. The number is in a model's
    /// answer (`userId`) and outlives a change of name.
    pub(crate) async fn username(&self, user_id: &str) -> Result<Option<String>, HubError> {
        let path = format!("/api/v1/users?{}", Serializer::new(String::new()).append_pair("ids", user_id).finish());
        let answer = self.transport.json(&self.sites.main, &path, &Asked::List).await?;
        let users = parse(&answer)?;
        let is_them = |user: &&Value| json::whole(user, "id").is_some_and(|id| id.to_string() == user_id);
        Ok(json::list(&users, "items").iter().find(is_them).and_then(|user| json::text(user, "username")))
    }

    /// Names that somebody who looked for `name` may have meant. A hint is worth one question and no error.
    pub(super) async fn creators_like(&self, name: &str) -> Vec<String> {
        let few = u32::try_from(MOST_SIMILAR).unwrap_or(1);
        let found = self.numbered("creators", Some(name), 1, few, |item| json::text(item, "username")).await;
        found.map(|page| page.items).unwrap_or_default()
    }

    async fn numbered<T>(
        &self,
        what: &'static str,
        query: Option<&str>,
        page: u32,
        limit: u32,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<NumberedPage<T>, HubError> {
        let path = numbered_path(what, query, page, limit);
        let answer = self.transport.json(&self.sites.main, &path, &Asked::List).await?;
        let list = parse(&answer)?;
        if !list.get("items").is_some_and(Value::is_array) {
            return Err(unexpected(&answer, "a list without items"));
        }
        let metadata = list.get("metadata").unwrap_or(&Value::Null);
        // Totals are lower bounds, so the next page is the one that the site points to.
        let next_page = metadata.get("nextPage").filter(|next| !next.is_null()).and_then(|_| page.checked_add(1));
        Ok(NumberedPage { items: json::list(&list, "items").iter().filter_map(read).collect(), next_page })
    }
}

fn numbered_path(what: &str, query: Option<&str>, page: u32, limit: u32) -> String {
    let mut address = Serializer::new(String::new());
    address.extend_pairs(query.map(|query| ("query", query)));
    address.append_pair("limit", &limit.to_string()).append_pair("page", &page.to_string());
    format!("/api/v1/{what}?{}", address.finish())
}
