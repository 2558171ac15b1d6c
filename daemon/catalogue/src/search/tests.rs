//! Tests of searches as a whole.

use super::*;
use crate::testing::{model, new_artifact, opened};
use paintbox_domain::{Architecture, Classify, Hub, ModelKind, Timestamp, reason};

async fn names(catalogue: &Catalogue, query: SearchQuery) -> Vec<String> {
    catalogue.search(&query).await.unwrap().models.into_iter().map(|model| model.name).collect()
}

fn text(text: &str) -> SearchQuery {
    SearchQuery { text: text.to_owned(), ..SearchQuery::default() }
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
    let best = SearchQuery { order: Some(SearchOrder::BEST), ..SearchQuery::default() };
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

    let only = |filter| SearchQuery { filter, ..SearchQuery::default() };
    for (query, wanted) in [
        (only(Filter::kind(ModelKind::Lora)), vec!["One"]),
        (only(Filter::hub(Hub::HuggingFace)), vec!["Three"]),
        (only(Filter::label(Label::BaseModel, "sdxl 1.0")), vec!["Two"]),
        (only(Filter::label(Label::Creator, "SOMEONE")), vec!["Two"]),
        (only(Filter::architecture(Architecture::Sd1)), vec!["One"]),
        (only(Filter::fact(Fact::Downloaded, true)), vec!["One"]),
        (only(Filter::fact(Fact::Downloaded, false)), vec!["Three", "Two"]),
        (only(Filter::max_nsfw_level(2)), vec!["Three", "One"]),
        (
            SearchQuery { filter: Filter::all([Filter::max_nsfw_level(2), Filter::hub(Hub::Civitai)]), ..text("one") },
            vec!["One"],
        ),
        (only(Filter::parse("downloaded:true creator:someone").unwrap()), vec![]),
    ] {
        assert_eq!(names(&catalogue, query.clone()).await, wanted, "{query:?}");
    }
    let here = &catalogue.search(&only(Filter::fact(Fact::Downloaded, true))).await.unwrap().models[0];
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
    for order in [SearchOrder::BEST, SearchOrder::NEWEST] {
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
        SearchQuery { page_token: token, filter: Filter::hub(Hub::Civitai), ..first.clone() },
        SearchQuery { page_token: Some("nonsense".into()), ..first },
    ] {
        assert_eq!(catalogue.search(&wrong).await.unwrap_err().reason(), reason::PAGE_TOKEN_INVALID);
    }
}

#[tokio::test]
async fn a_word_that_occurs_nowhere_is_taken_for_its_nearest() {
    let (catalogue, _home) = opened().await;
    let names = ["DreamShaper XL", "Dreams of Konan", "dreamy ink", "dreamy wash"];
    let models: Vec<_> = (1_u32..).zip(names).map(|(id, name)| model(&id.to_string(), name)).collect();
    catalogue.record_models(&models, None).await.unwrap();
    for (query, corrected, found) in [
        ("dreamshapre", Some("dreamshaper"), 1),
        ("Dreamsahper xl", Some("dreamshaper xl"), 1),
        ("dramy wash", Some("dreamy wash"), 1),
        ("deramy", Some("dreamy"), 2),
        ("dréamshapér", None, 1),
        ("dreamy xl", None, 0),
        ("nowherenear", None, 0),
        ("xk", None, 0),
        ("!!!", None, 0),
    ] {
        let page = catalogue.search(&text(query)).await.unwrap();
        assert_eq!((page.corrected.as_deref(), page.total), (corrected, found), "{query}");
    }
    let as_written = SearchQuery { as_written: true, ..text("dreamshapre") };
    assert_eq!(catalogue.search(&as_written).await.unwrap().total, 0);
    // A filter that lets nothing through is no mistake in the words.
    let filtered = SearchQuery { filter: Filter::kind(ModelKind::Vae), ..text("dreamy") };
    assert_eq!(catalogue.search(&filtered).await.unwrap().corrected, None);
}

#[tokio::test]
async fn what_is_left_to_do_is_said_and_done_in_the_background() {
    let (catalogue, home) = opened().await;
    catalogue.record_models(&[model("1", "One"), model("2", "Two")], None).await.unwrap();
    // As an upgrade leaves it.
    for statement in ["DELETE FROM search_rows", "INSERT INTO search_dirty SELECT model_id FROM model"] {
        sqlx::query(statement).execute(&catalogue.writer).await.unwrap();
    }
    let before = catalogue.search(&SearchQuery::default()).await.unwrap();
    assert_eq!((before.total, before.partial), (0, true));
    let found = async |catalogue: &Catalogue| loop {
        let page = catalogue.search(&SearchQuery::default()).await.unwrap();
        if !page.partial {
            break page.total;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(found(&catalogue).await, 2, "the search itself set it going");
    sqlx::query("INSERT INTO search_dirty SELECT model_id FROM model").execute(&catalogue.writer).await.unwrap();
    catalogue.close().await;
    let path = home.path().join("catalogue.db");
    let catalogue = Catalogue::open(&path, crate::testing::clock_at(2_000)).await.unwrap();
    assert_eq!(found(&catalogue).await, 2);
}
