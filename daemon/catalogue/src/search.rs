//! Finding models by words and filters, page by page.
//!
//! Hits are not ranked by bm25: its scores shift with every row that is added, so pages would repeat and miss
//! models, and over a large catalogue it has to score every hit. Instead hits whose name alone holds all the words
//! come first, and among equals the more downloaded ones.

use crate::codec;
use crate::detail::{SummaryRow, local_weights, summary_columns};
use crate::error::{CatalogueError, could_not};
use crate::open::Catalogue;
use crate::records::ModelSummary;
use crate::statements::statements;
use crate::{page, words};
use paintbox_domain::{Architecture, Hub, ModelKind};
use sqlx::FromRow;

/// What to look for. Unset filters let everything through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchQuery {
    /// Words, all of which must occur in the name, creator, tags or trained words; the last may be the beginning of
    /// a word. White space alone lists everything.
    pub text: String,
    pub kind: Option<ModelKind>,
    pub hub: Option<Hub>,
    /// Models with a version for this label, compared without case.
    pub base_model: Option<String>,
    /// Compared without case.
    pub creator: Option<String>,
    /// As detected from weights on this machine.
    pub architecture: Option<Architecture>,
    pub downloaded: Option<bool>,
    /// Models without any level above this one of CivitAI's bitmask (1 PG, 2 PG-13, 4 R, 8 X, 16 XXX). Unrated
    /// models pass.
    pub max_nsfw_level: Option<u32>,
    /// By default the best when there is text, and the newest when there is none.
    pub order: Option<SearchOrder>,
    /// 0 means 50; more than 500 means 500.
    pub page_size: u32,
    /// `next_page_token` of the page before, with everything else unchanged; `page_size` may differ.
    pub page_token: Option<String>,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SearchOrder {
    /// Models with all the words in their name, then the most downloaded.
    Best,
    /// By publication, or where the hub does not tell it, by when the model was first seen here.
    Newest,
}

/// One page of models.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchPage {
    pub models: Vec<ModelSummary>,
    /// None on the last page.
    pub next_page_token: Option<String>,
}

/// ?1 and ?2 are the words anywhere and in the name, ?3 to ?9 the filters, ?10 to ?12 the keys of the last row
/// before this page, ?13 the number of rows. `best` and `key` are the columns sorted by, largest first.
macro_rules! search {
    (best $best:literal, sort $sort:literal, key $key:literal, match $match:literal, after $after:literal) => {
        concat!(
            "SELECT ",
            summary_columns!(),
            ", ",
            $best,
            " AS best, ",
            $key,
            " AS key FROM model m WHERE ",
            $match,
            " AND (?3 IS NULL OR m.kind = ?3) AND (?4 IS NULL OR m.hub = ?4) \
              AND (?5 IS NULL OR EXISTS (SELECT 1 FROM version fv WHERE fv.model_id = m.model_id \
                                         AND fv.base_model = ?5 COLLATE NOCASE)) \
              AND (?6 IS NULL OR m.creator = ?6 COLLATE NOCASE) \
              AND (?7 IS NULL OR EXISTS (SELECT 1 ",
            local_weights!(),
            " AND la.architecture = ?7) OR m.hub = 'local' AND EXISTS (SELECT 1 FROM library_file lf \
                WHERE lf.library_file_id = CAST(m.external_id AS INTEGER) AND lf.architecture = ?7)) \
              AND (?8 IS NULL OR ?8 = (m.hub = 'local' OR EXISTS (SELECT 1 ",
            local_weights!(),
            "))) \
              AND (?9 IS NULL OR m.nsfw_level < ?9) AND ",
            $after,
            // By expression and not by alias, so that the index over the same expression is seen to be in order.
            " ORDER BY ",
            $sort,
            $key,
            " DESC, m.model_id DESC LIMIT ?13"
        )
    };
}

statements! {
    SEARCH_BEST = search!(
        best "(m.model_id IN (SELECT rowid FROM model_search WHERE model_search MATCH ?2))",
        sort "best DESC, ",
        key "coalesce(m.downloads, -1)",
        match "m.model_id IN (SELECT rowid FROM model_search WHERE model_search MATCH ?1)",
        after "((m.model_id IN (SELECT rowid FROM model_search WHERE model_search MATCH ?2)), \
                coalesce(m.downloads, -1), m.model_id) < (?10, ?11, ?12)"
    );
    SEARCH_NEWEST = search!(
        best "0",
        sort "",
        key "coalesce(m.published_ms, m.first_seen_ms)",
        match "m.model_id IN (SELECT rowid FROM model_search WHERE model_search MATCH ?1)",
        after "(coalesce(m.published_ms, m.first_seen_ms), m.model_id) < (?11, ?12)"
    );
    BROWSE_BEST = search!(
        best "0",
        sort "",
        key "coalesce(m.downloads, -1)",
        match "true",
        after "(coalesce(m.downloads, -1), m.model_id) < (?11, ?12)"
    );
    BROWSE_NEWEST = search!(
        best "0",
        sort "",
        key "coalesce(m.published_ms, m.first_seen_ms)",
        match "true",
        after "(coalesce(m.published_ms, m.first_seen_ms), m.model_id) < (?11, ?12)"
    );
}

#[derive(FromRow)]
struct HitRow {
    #[sqlx(flatten)]
    summary: SummaryRow,
    best: i64,
    key: i64,
}

impl SearchQuery {
    /// Equal exactly for queries that list the same models in the same order.
    fn identity(&self) -> String {
        let Self {
            text,
            kind,
            hub,
            base_model,
            creator,
            architecture,
            downloaded,
            max_nsfw_level,
            order,
            page_size: _,
            page_token: _,
        } = self;
        format!("search {:?}", (text, kind, hub, base_model, creator, architecture, downloaded, max_nsfw_level, order))
    }
}

/// The first level that is too much, as a limit for the whole bitmask.
fn nsfw_limit(highest_allowed: u32) -> i64 {
    i64::from(highest_allowed).checked_ilog2().map_or(1, |bit| 2_i64 << bit)
}

impl Catalogue {
    /// The models that a query finds.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID` when the token is not from this query; when the catalogue cannot be read.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchPage, CatalogueError> {
        let identity = query.identity();
        let after = page::keys::<3>(&identity, query.page_token.as_deref())?;
        let size = page::size(query.page_size);
        let browsing = query.text.trim().is_empty();
        let expression = words::match_expression(&query.text);
        if expression.is_none() && !browsing {
            // Text without a letter or digit occurs in no name.
            return Ok(SearchPage { models: Vec::new(), next_page_token: None });
        }
        let order = query.order.unwrap_or(if browsing { SearchOrder::Newest } else { SearchOrder::Best });
        let statement = match (browsing, order) {
            (false, SearchOrder::Best) => SEARCH_BEST,
            (false, SearchOrder::Newest) => SEARCH_NEWEST,
            (true, SearchOrder::Best) => BROWSE_BEST,
            (true, SearchOrder::Newest) => BROWSE_NEWEST,
        };
        let [best, key, id] = after.unwrap_or([2, i64::MAX, i64::MAX]);
        let mut rows: Vec<HitRow> = sqlx::query_as(statement)
            .bind(&expression)
            .bind(expression.as_ref().map(|expression| format!("name : ({expression})")))
            .bind(query.kind.map(ModelKind::as_str))
            .bind(query.hub.map(Hub::as_str))
            .bind(&query.base_model)
            .bind(&query.creator)
            .bind(query.architecture.map(Architecture::as_str))
            .bind(query.downloaded)
            .bind(query.max_nsfw_level.map(nsfw_limit))
            .bind(best)
            .bind(key)
            .bind(id)
            // One row more than the page holds tells whether there is another page.
            .bind(codec::position(size + 1))
            .fetch_all(&self.readers)
            .await
            .map_err(could_not("search models"))?;
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().map(|row| (row.best, row.key));
        let models = rows.into_iter().map(|row| row.summary.summary()).collect::<Result<Vec<_>, _>>()?;
        let next_page_token = match (last, models.last()) {
            (Some((best, key)), Some(model)) if more => Some(page::token(&identity, [best, key, model.id.0])),
            _ => None,
        };
        Ok(SearchPage { models, next_page_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{model, new_artifact, opened};
    use paintbox_domain::{Classify, Timestamp, reason};

    async fn names(catalogue: &Catalogue, query: SearchQuery) -> Vec<String> {
        catalogue.search(&query).await.unwrap().models.into_iter().map(|model| model.name).collect()
    }

    fn text(text: &str) -> SearchQuery {
        SearchQuery { text: text.to_owned(), ..SearchQuery::default() }
    }

    #[test]
    fn levels_include_themselves_and_what_is_below() {
        assert_eq!([0, 1, 2, 4, 16, 31].map(nsfw_limit), [1, 2, 4, 8, 32, 32]);
        assert_eq!(nsfw_limit(u32::MAX), 1 << 32);
    }

    #[tokio::test]
    async fn words_prefixes_diacritics_and_cjk_find_names() {
        let (catalogue, _home) = opened().await;
        let mut models: Vec<_> =
            ["some_thingXL_v12", "Café Dreams", "少女前線 LoRA", "DreamShaper XL", "NULL \"or\" name:*"]
                .into_iter()
                .enumerate()
                .map(|(index, name)| model(&(index + 1).to_string(), name))
                .collect();
        models[3].tags = vec!["base model".into(), "dreams".into()];
        models[3].versions[0].trained_words = vec!["dshpr style".into()];
        models[1].creator = Some("Élodie_42".into());
        catalogue.record_models(&models, None).await.unwrap();
        for (query, wanted) in [
            ("thing", vec!["some_thingXL_v12"]),
            ("THINGXL", vec!["some_thingXL_v12"]),
            ("v12", vec!["some_thingXL_v12"]),
            ("12", vec!["some_thingXL_v12"]),
            ("thi", vec!["some_thingXL_v12"]),
            ("th", vec![]),
            ("cafe", vec!["Café Dreams"]),
            ("CAFÉ dre", vec!["Café Dreams"]),
            ("elodie", vec!["Café Dreams"]),
            ("少女", vec!["少女前線 LoRA"]),
            ("女前", vec!["少女前線 LoRA"]),
            ("女少", vec![]),
            ("前線 lora", vec!["少女前線 LoRA"]),
            ("ｄｒｅａｍｓｈａｐｅｒ", vec!["DreamShaper XL"]),
            ("dshpr", vec!["DreamShaper XL"]),
            ("dreams", vec!["DreamShaper XL", "Café Dreams"]),
            ("dreams base", vec!["DreamShaper XL"]),
            ("null \"or\"", vec!["NULL \"or\" name:*"]),
            ("!!!", vec![]),
        ] {
            assert_eq!(names(&catalogue, text(query)).await, wanted, "{query}");
        }
        assert_eq!(names(&catalogue, text(" ")).await.len(), 5);
    }

    #[tokio::test]
    async fn query_syntax_in_the_text_is_harmless() {
        let (catalogue, _home) = opened().await;
        catalogue.record_models(&[model("1", "plain")], None).await.unwrap();
        for query in [
            "\"",
            "\"\"",
            "*",
            "^plain",
            "name:plain",
            "plain OR",
            "NEAR(plain)",
            "(plain",
            "plain)",
            "-plain",
            "+ plain",
            "{name} : plain",
            "plain' --",
            "AND",
            "NOT plain",
            "plain\u{0}x",
            "'; DROP TABLE model; --",
            "\u{202e}plain",
        ] {
            catalogue.search(&text(query)).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        }
        assert_eq!(names(&catalogue, text("\"plain\"*")).await, ["plain"]);
        assert_eq!(names(&catalogue, text("plain ^")).await, ["plain"]);
        assert!(names(&catalogue, text(&"x ".repeat(100_000))).await.is_empty());
    }

    #[tokio::test]
    async fn names_come_before_tags_and_downloads_decide_among_equals() {
        let (catalogue, _home) = opened().await;
        let mut models = [model("1", "Heart few"), model("2", "Heart many"), model("3", "Tagged")];
        for (model, downloads) in models.iter_mut().zip([None, Some(10), Some(1_000)]) {
            model.downloads = downloads;
        }
        models[2].tags = vec!["heart".into()];
        catalogue.record_models(&models, None).await.unwrap();
        assert_eq!(names(&catalogue, text("heart")).await, ["Heart many", "Heart few", "Tagged"]);
        let best = SearchQuery { order: Some(SearchOrder::Best), ..SearchQuery::default() };
        assert_eq!(names(&catalogue, best).await, ["Tagged", "Heart many", "Heart few"]);
    }

    #[tokio::test]
    async fn filters_narrow_and_combine() {
        let (catalogue, home) = opened().await;
        let mut models = [model("1", "One"), model("2", "Two"), model("3", "Three")];
        models[0].kind = ModelKind::Lora;
        models[0].nsfw_level = 3;
        models[1].creator = Some("Someone".into());
        models[1].nsfw_level = 31;
        models[1].versions[0].base_model = Some("SDXL 1.0".into());
        models[2].hub = Hub::HuggingFace;
        models[2].external_id = "org/three".into();
        models[2].nsfw_level = 0;
        let ids = catalogue.record_models(&models, None).await.unwrap();
        let file = catalogue.model(ids[0]).await.unwrap().versions[0].files[0].clone();
        catalogue.record_file(file.id, &new_artifact(file.sha256.unwrap(), home.path().join("x")), true).await.unwrap();

        let all = SearchQuery::default;
        for (query, wanted) in [
            (SearchQuery { kind: Some(ModelKind::Lora), ..all() }, vec!["One"]),
            (SearchQuery { hub: Some(Hub::HuggingFace), ..all() }, vec!["Three"]),
            (SearchQuery { base_model: Some("sdxl 1.0".into()), ..all() }, vec!["Two"]),
            (SearchQuery { creator: Some("SOMEONE".into()), ..all() }, vec!["Two"]),
            (SearchQuery { architecture: Some(Architecture::Sd1), ..all() }, vec!["One"]),
            (SearchQuery { downloaded: Some(true), ..all() }, vec!["One"]),
            (SearchQuery { downloaded: Some(false), ..all() }, vec!["Three", "Two"]),
            (SearchQuery { max_nsfw_level: Some(2), ..all() }, vec!["Three", "One"]),
            (
                SearchQuery { max_nsfw_level: Some(2), hub: Some(Hub::Civitai), text: "one".into(), ..all() },
                vec!["One"],
            ),
            (SearchQuery { downloaded: Some(true), creator: Some("someone".into()), ..all() }, vec![]),
        ] {
            assert_eq!(names(&catalogue, query.clone()).await, wanted, "{query:?}");
        }
        let here = &catalogue.search(&SearchQuery { downloaded: Some(true), ..all() }).await.unwrap().models[0];
        assert_eq!((here.architecture, here.downloaded), (Some(Architecture::Sd1), true));
        assert_eq!(here.base_model.as_deref(), Some("SD 1.5"));
    }

    #[tokio::test]
    async fn pages_neither_repeat_nor_miss_while_rows_come_and_go() {
        let (catalogue, _home) = opened().await;
        let models: Vec<_> = (1..=25)
            .map(|number| {
                let mut model = model(&number.to_string(), &format!("heart {number}"));
                // Many equal keys, so that only the id tells rows apart.
                model.downloads = Some(number % 3);
                model.published_at = Some(Timestamp::from_unix_ms(i64::from(number % 2 == 0)));
                model
            })
            .collect();
        catalogue.record_models(&models, None).await.unwrap();
        for order in [SearchOrder::Best, SearchOrder::Newest] {
            for words in ["", "heart"] {
                let mut query = SearchQuery { order: Some(order), page_size: 4, ..text(words) };
                let whole = names(&catalogue, SearchQuery { page_size: 0, ..query.clone() }).await;
                assert!(whole.len() >= 25);
                let mut paged = Vec::new();
                for number in 0.. {
                    let page = catalogue.search(&query).await.unwrap();
                    paged.extend(page.models.into_iter().map(|model| model.name));
                    let Some(token) = page.next_page_token else { break };
                    query.page_token = Some(token);
                    if number == 2 {
                        // Sorts before everything handed out so far.
                        let id = format!("{}", 900 + whole.len());
                        let mut newcomer = model(&id, &format!("heart new {id}"));
                        newcomer.downloads = Some(1_000);
                        newcomer.published_at = Some(Timestamp::from_unix_ms(1_000));
                        catalogue.record_models(&[newcomer], None).await.unwrap();
                    }
                }
                assert_eq!(paged, whole, "{order:?} {words:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_token_belongs_to_its_query() {
        let (catalogue, _home) = opened().await;
        catalogue.record_models(&[model("1", "heart one"), model("2", "heart two")], None).await.unwrap();
        let first = SearchQuery { page_size: 1, ..text("heart") };
        let token = catalogue.search(&first).await.unwrap().next_page_token;
        assert!(token.is_some());
        let bigger = SearchQuery { page_size: 9, page_token: token.clone(), ..first.clone() };
        assert_eq!(names(&catalogue, bigger).await, ["heart one"]);
        for wrong in [
            SearchQuery { page_token: token.clone(), ..text("hearts") },
            SearchQuery { page_token: token, hub: Some(Hub::Civitai), ..first.clone() },
            SearchQuery { page_token: Some("nonsense".into()), ..first },
        ] {
            assert_eq!(catalogue.search(&wrong).await.unwrap_err().reason(), reason::PAGE_TOKEN_INVALID);
        }
    }
}
