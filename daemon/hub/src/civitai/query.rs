//! The filters of CivitAI's model list, as a value.
//!
//! Names and traps: github civitai/civitai @ ebed661630d3, `src/server/schema/model.schema.ts` and
//! `src/pages/api/v1/models/index.ts`; github civitai/civitai-developer-docs @ 9382513060e5,
//! `site/reference/models.md`.

use url::form_urlencoded::Serializer;

/// The most that one page holds.
pub(super) const MOST_PER_PAGE: u32 = 100;

/// What `GET /api/v1/models` is asked for; the default asks for the whole site.
///
/// A switch that is off is left out of the address, because the server takes the text `false` for true in some of them
/// and wants a token for others as soon as they are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelQuery {
    /// Words to search for. The server then ignores `sort` between pages and counts them with a cursor of its own.
    pub query: Option<String>,
    pub tag: Option<String>,
    /// A creator's name; an unknown one is `CREATOR_NOT_FOUND`.
    pub username: Option<String>,
    /// The hub's words, such as `LORA`; see [`crate::CivitaiEnums::model_types`]. The server refuses unknown ones.
    pub types: Vec<String>,
    /// The hub's labels, such as `SDXL 1.0`. Versions for other base models are left out of the models, too.
    pub base_models: Vec<String>,
    pub ids: Vec<u64>,
    pub version_ids: Vec<u64>,
    /// `Trained` or `Merge`.
    pub checkpoint_type: Option<String>,
    /// What the creator permits, such as `Sell` or `Image`.
    pub commercial_use: Vec<String>,
    pub supports_generation: bool,
    pub from_platform: bool,
    pub early_access: bool,
    pub primary_file_only: bool,
    /// Archived models beside the others.
    pub archived: bool,
    /// Models that the account has bookmarked; needs a token.
    pub favorites: bool,
    /// Models that the account has hidden; needs a token.
    pub hidden: bool,
    /// Models of the creators that the account follows; needs a token, and without a good one the server lists the
    /// whole site instead. Not documented.
    pub followed: bool,
    /// Models of a collection. The server's schema wants a number where an address can only hold text, so it is
    /// expected to refuse this. Not documented.
    pub collection: Option<u64>,
    /// Models beyond PG. Off, only what is rated PG is listed, with or without a token.
    pub nsfw: bool,
    /// None: the server's own, `Highest Rated`.
    pub sort: Option<ModelSort>,
    /// Only models with a version that came out within this time.
    pub period: Option<ModelPeriod>,
    /// Models on a page, at most 100; none for 100.
    pub limit: Option<u32>,
    /// Where to go on: the cursor of an earlier page of the same query in the same order.
    pub cursor: Option<String>,
}

/// Orders of the model list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelSort {
    HighestRated,
    MostDownloaded,
    MostLiked,
    MostDiscussed,
    MostCollected,
    MostImages,
    /// By the model's newest version, so a new version brings an old model to the front.
    Newest,
    Oldest,
}

impl ModelSort {
    /// The hub's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HighestRated => "Highest Rated",
            Self::MostDownloaded => "Most Downloaded",
            Self::MostLiked => "Most Liked",
            Self::MostDiscussed => "Most Discussed",
            Self::MostCollected => "Most Collected",
            Self::MostImages => "Most Images",
            Self::Newest => "Newest",
            Self::Oldest => "Oldest",
        }
    }
}

/// Times that the model list can be narrowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelPeriod {
    Year,
    Month,
    Week,
    Day,
}

impl ModelPeriod {
    /// The hub's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Year => "Year",
            Self::Month => "Month",
            Self::Week => "Week",
            Self::Day => "Day",
        }
    }
}

impl ModelQuery {
    /// Path and query of the page at `cursor`; the first page without one.
    pub(super) fn path(&self, cursor: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        let texts = [("query", &self.query), ("tag", &self.tag), ("username", &self.username)];
        query.extend_pairs(texts.into_iter().filter_map(|(key, text)| Some((key, text.as_ref()?))));
        // The documentation says that a comma list will do; the schema wants the key repeated.
        for (key, list) in
            [("types", &self.types), ("baseModels", &self.base_models), ("allowCommercialUse", &self.commercial_use)]
        {
            query.extend_pairs(list.iter().map(|item| (key, item)));
        }
        for (key, numbers) in [("ids", &self.ids), ("modelVersionIds", &self.version_ids)] {
            if !numbers.is_empty() {
                let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
                query.append_pair(key, &numbers.join(","));
            }
        }
        query.extend_pairs(self.checkpoint_type.iter().map(|kind| ("checkpointType", kind)));
        query.extend_pairs(self.collection.iter().map(|id| ("collectionId", id.to_string())));
        for (key, on) in [
            ("supportsGeneration", self.supports_generation),
            ("fromPlatform", self.from_platform),
            ("earlyAccess", self.early_access),
            ("primaryFileOnly", self.primary_file_only),
            ("archived", self.archived),
            ("favorites", self.favorites),
            ("hidden", self.hidden),
            ("followed", self.followed),
            ("nsfw", self.nsfw),
        ] {
            if on {
                query.append_pair(key, "true");
            }
        }
        query.extend_pairs(self.sort.iter().map(|sort| ("sort", sort.as_str())));
        query.extend_pairs(self.period.iter().map(|period| ("period", period.as_str())));
        query.append_pair("limit", &self.limit.unwrap_or(MOST_PER_PAGE).clamp(1, MOST_PER_PAGE).to_string());
        query.extend_pairs(cursor.map(|cursor| ("cursor", cursor)));
        format!("/api/v1/models?{}", query.finish())
    }

    /// Whether the answer depends on who asks.
    pub(super) fn is_personal(&self) -> bool {
        self.favorites || self.hidden || self.followed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_repeat_their_key_and_switches_that_are_off_are_left_out() {
        let query = ModelQuery {
            query: Some("red & blue".to_owned()),
            types: vec!["LORA".to_owned(), "DoRA".to_owned()],
            base_models: vec!["SDXL 1.0".to_owned()],
            ids: vec![1, 22],
            nsfw: true,
            archived: true,
            sort: Some(ModelSort::MostDownloaded),
            period: Some(ModelPeriod::Week),
            limit: Some(1000),
            ..ModelQuery::default()
        };
        assert_eq!(
            query.path(Some("1|2|3")),
            "/api/v1/models?query=red+%26+blue&types=LORA&types=DoRA&baseModels=SDXL+1.0&ids=1%2C22&archived=true\
             &nsfw=true&sort=Most+Downloaded&period=Week&limit=100&cursor=1%7C2%7C3"
        );
        assert_eq!(ModelQuery::default().path(None), "/api/v1/models?limit=100");
    }

    #[test]
    fn every_switch_has_its_key() {
        let query = ModelQuery {
            tag: Some("ink".to_owned()),
            username: Some("me".to_owned()),
            version_ids: vec![3],
            checkpoint_type: Some("Merge".to_owned()),
            commercial_use: vec!["Sell".to_owned()],
            supports_generation: true,
            from_platform: true,
            early_access: true,
            primary_file_only: true,
            favorites: true,
            hidden: true,
            followed: true,
            collection: Some(9),
            limit: Some(0),
            ..ModelQuery::default()
        };
        assert_eq!(
            query.path(None),
            "/api/v1/models?tag=ink&username=me&allowCommercialUse=Sell&modelVersionIds=3&checkpointType=Merge\
             &collectionId=9&supportsGeneration=true&fromPlatform=true&earlyAccess=true&primaryFileOnly=true\
             &favorites=true&hidden=true&followed=true&limit=1"
        );
        assert!(query.is_personal() && !ModelQuery::default().is_personal());
    }
}
