//! Tests of the filter language.

use super::*;
use proptest::prelude::*;

fn parsed(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem:?}"))
}

fn words(text: &str) -> Filter {
    Condition::Words { place: Place::Anywhere, text: text.to_owned() }.into()
}

fn number(of: Number, least: u64, most: u64) -> Filter {
    Condition::Number { of, least, most }.into()
}

#[test]
fn the_filter_of_the_manual_is_understood() {
    let text = "kind:lora AND base:\"SDXL 1.0\" AND creator:foo AND downloaded:true AND nsfw<=soft AND \
                license.commercial:true AND created>2026-01-01";
    let wanted = Filter::All(vec![
        Filter::kind(ModelKind::Lora),
        Filter::label(Label::BaseModel, "SDXL 1.0"),
        Filter::label(Label::Creator, "foo"),
        Filter::fact(Fact::Downloaded, true),
        number(Number::Nsfw, 0, 2),
        Filter::fact(Fact::Commercial, true),
        // From the first second of the second of January.
        number(Number::Created, 1_767_312_000, u64::MAX),
    ]);
    assert_eq!(parsed(text), wanted);
    assert_eq!(parsed(&text.replace(" AND", "")), wanted, "side by side is AND");
    assert_eq!(parsed(&text.replace("license", "licence")), wanted);
    assert_eq!(parsed(&text.replace("kind:lora", "KIND = LoRA")), wanted);
}

#[test]
fn or_binds_more_tightly_than_and_and_not_most_of_all() {
    let (a, b, c) = (words("a"), words("b"), words("c"));
    let not = |filter: &Filter| Filter::Not(Box::new(filter.clone()));
    let any = |filters: &[&Filter]| Filter::Any(filters.iter().copied().cloned().collect());
    let all = |filters: &[&Filter]| Filter::All(filters.iter().copied().cloned().collect());
    for (text, wanted) in [
        ("", Filter::default()),
        ("  ", Filter::default()),
        ("a", a.clone()),
        ("(a)", a.clone()),
        ("a b", all(&[&a, &b])),
        ("a AND b OR c", all(&[&a, &any(&[&b, &c])])),
        ("a b OR c", all(&[&a, &any(&[&b, &c])])),
        ("(a AND b) OR c", any(&[&all(&[&a, &b]), &c])),
        ("NOT a OR b", any(&[&not(&a), &b])),
        ("-a -(b OR c)", all(&[&not(&a), &not(&any(&[&b, &c]))])),
        ("NOT NOT a", not(&not(&a))),
        ("kind!=lora", not(&Filter::kind(ModelKind::Lora))),
        ("and", words("and")),
        ("\"a (b) OR \\\"c\\\\\"", words("a (b) OR \"c\\")),
        ("sd-1.5", words("sd-1.5")),
        ("name=\"Dream Shaper\"", Condition::Named("Dream Shaper".into()).into()),
        ("name:dream", Condition::Words { place: Place::Name, text: "dream".into() }.into()),
        ("creator:-x", Filter::label(Label::Creator, "-x")),
        ("base:sdxl*", Condition::Label { of: Label::BaseModel, text: "sdxl".into(), open: true }.into()),
        ("creator:AND", Filter::label(Label::Creator, "AND")),
    ] {
        assert_eq!(parsed(text), wanted, "{text}");
    }
}

#[test]
fn values_mean_what_people_mean_by_them() {
    for (text, of, least, most) in [
        ("downloads>=1000", Number::Downloads, 1_000, u64::MAX),
        ("downloads<1000", Number::Downloads, 0, 999),
        ("downloads<0", Number::Downloads, 1, 0),
        ("likes=7", Number::Likes, 7, 7),
        ("size>1.5GiB", Number::Size, 1_610_612_737, u64::MAX),
        ("size<=2gb", Number::Size, 0, 2_000_000_000),
        ("nsfw:mature", Number::Nsfw, 3, 3),
        ("nsfw<=PG-13", Number::Nsfw, 0, 2),
        ("nsfw>x", Number::Nsfw, 5, u64::MAX),
        ("created:1970", Number::Created, 0, 31_535_999),
        ("created<=1970-02", Number::Created, 0, 5_097_599),
        ("created:1970-01-02", Number::Created, 86_400, 172_799),
        ("updated>=1970-01-01T00:01:00Z", Number::Updated, 60, u64::MAX),
        ("updated<1970-01-01T00:01:00.5z", Number::Updated, 0, 59),
    ] {
        assert_eq!(parsed(text), number(of, least, most), "{text}");
    }
    assert_eq!(Filter::max_nsfw_level(2), parsed("nsfw<=pg13"));
    assert_eq!(Filter::max_nsfw_level(u32::MAX), parsed("nsfw<=xxx"));
    assert_eq!(Filter::max_nsfw_level(0), parsed("nsfw<=unrated"));
    assert_eq!(Filter::hub(Hub::HuggingFace), parsed("hub:HuggingFace"));
    assert_eq!(Filter::local(), parsed("hub:local"));
    assert_eq!(Filter::architecture(Architecture::Sdxl), parsed("arch:SDXL"));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    for (text, position, problem) in [
        ("kin:lora", 1, "there is no field `kin`; there are kind, base, creator"),
        ("kind:lora kind:lorra", 16, "`lorra` is no kind; there are checkpoint, lora"),
        ("kind>lora", 1, "`kind` has no order"),
        ("downloaded:maybe", 12, "true or false"),
        ("downloads>many", 11, "a number"),
        ("downloads>99999999999999999999", 11, "a number"),
        ("size>2 GB", 0, ""),
        ("size>1XB", 6, "a size"),
        ("created>2026-13-01", 9, "a time"),
        ("created>2026-1-1", 9, "a time"),
        ("created>1969", 9, "a time"),
        ("nsfw<=strong", 7, "a rating"),
        ("hub:github", 5, "no hub"),
        ("a AND", 6, "ends"),
        ("AND a", 1, "both sides"),
        ("a OR OR b", 6, "both sides"),
        ("(a", 1, "never closed"),
        ("a)", 2, "closes nothing"),
        ("()", 2, "nothing stands"),
        ("NOT", 4, "ends"),
        ("\"a", 1, "never closed"),
        ("\"a\\n\"", 3, "backslash"),
        (":a", 1, "name of a field"),
        ("kind:", 6, "needs a value"),
        ("kind:(lora)", 6, "needs a value"),
        ("a ! b", 3, "no meaning"),
    ] {
        match Filter::parse(text) {
            // A space ends a value, and what follows is a word of its own.
            Ok(_) => assert_eq!(position, 0, "{text}"),
            Err(found) => {
                assert_eq!(found.position, position, "{text}: {found:?}");
                assert!(found.problem.contains(problem), "{text}: {found:?}");
            }
        }
    }
}

#[test]
fn what_is_endless_is_refused() {
    for text in ["(".repeat(40), "NOT ".repeat(40), "-".repeat(40) + "a", "a ".repeat(300), "a".repeat(5_000)] {
        assert!(Filter::parse(&text).is_err(), "{}", &text[..9]);
    }
    assert!(Filter::parse(&"a ".repeat(200)).is_ok());
    assert!(Filter::parse(&("(".repeat(30) + "a" + &")".repeat(30))).is_ok());
}

#[test]
fn every_field_is_told_by_its_first_name() {
    let known = fields::known();
    for field in ["kind", "license.commercial", "early_access", "word"] {
        assert!(known.split(", ").any(|name| name == field), "{known}");
    }
    assert!(!known.contains("licence") && !known.contains("author"), "{known}");
}

/// Pieces of which most of what goes wrong can be put together.
fn piece() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "kind",
        "created",
        "nsfw",
        "base",
        ":",
        "=",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "(",
        ")",
        "\"",
        "\\",
        "-",
        "AND",
        "OR",
        "NOT",
        "lora",
        "soft",
        "2026-01-01",
        "1GB",
        "true",
        "*",
        " ",
        "少女",
        "\u{0}",
        "!",
    ];
    prop_oneof![4 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_every_problem_has_a_place(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        if let Err(found) = Filter::parse(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&found.position), "{:?}", found);
            prop_assert!(!found.problem.is_empty());
        }
    }

    #[test]
    fn a_quoted_value_is_taken_as_it_stands(value in "\\PC{0,40}") {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let wanted = match value.strip_suffix('*') {
            Some(begin) => Condition::Label { of: Label::BaseModel, text: begin.to_owned(), open: true }.into(),
            None => Filter::label(Label::BaseModel, &value),
        };
        prop_assert_eq!(Filter::parse(&format!("base:\"{quoted}\"")), Ok(wanted));
    }
}
