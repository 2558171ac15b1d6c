//! The quick reader against the general one: never more accepted, never anything else understood.

use super::*;
use crate::test_files::listing;
use proptest::prelude::*;
use std::fmt::Write;

/// A header as a writer puts it down: with or without space, and with the keys in an order of its own.
fn json(name: &str, style: usize) -> String {
    let header = listing(name, "model.");
    let space = if style.is_multiple_of(2) { "" } else { " " };
    let mut json = format!("{{\"__metadata__\":{space}{{\"format\":\"pt\",\"ss_tags\":\"{{\\\"a\\\": \\u00e9}}\"}}");
    for (name, info) in &header.tensors {
        let (shape, span) = (format!("{:?}", info.shape), format!("[{},{space}{}]", info.start, info.end));
        let shape = if space.is_empty() { shape.replace(' ', "") } else { shape };
        let fields = [("dtype", "\"F16\"".to_owned()), ("shape", shape), ("data_offsets", span)];
        let mut fields = fields.map(|(key, value)| format!("\"{key}\":{space}{value}"));
        fields.rotate_left(style % 3);
        write!(json, ",{space}\"{name}\":{space}{{{}}}", fields.join(&format!(",{space}"))).unwrap();
    }
    json + "}" + &" ".repeat(style)
}

fn general(text: &str) -> Result<RawHeader<'_>, serde_json::Error> {
    serde_json::from_str(text)
}

#[test]
fn every_form_that_writers_give_a_header_is_read_without_the_general_parser() {
    for style in 0..6 {
        for name in ["sd1-unet", "sd1-lora-shinkai-makoto", "flux2-transformer", "taesd"] {
            let text = json(name, style);
            assert_eq!(scan(&text).unwrap(), general(&text).unwrap(), "{name} {style}");
        }
    }
    assert_eq!(scan("{}").unwrap(), general("{}").unwrap());
}

#[test]
fn what_is_not_plain_is_left_to_the_general_parser() {
    let tensor = |inner: &str| format!(r#"{{"a":{{{inner}}}}}"#);
    let whole = r#""dtype":"F16","shape":[1],"data_offsets":[0,2]"#;
    assert!(scan(&tensor(whole)).is_some());
    for text in [
        String::new(),
        "{".to_owned(),
        "{} x".to_owned(),
        tensor(whole) + ",",
        tensor("").replace('}', ""),
        tensor(&whole.replace("F16", "F17")),
        tensor(&whole.replace("[1]", "[01]")),
        tensor(&whole.replace("[1]", "[1.0]")),
        tensor(&whole.replace("[1]", "[-1]")),
        tensor(&whole.replace("[1]", "[1,]")),
        tensor(&whole.replace("[1]", "[18446744073709551616]")),
        tensor(&whole.replace("[1]", &format!("[{}1]", "1,".repeat(MAX_RANK)))),
        tensor(&whole.replace(",2]", ",2,3]")),
        tensor(&format!("{whole},{whole}")),
        tensor(&format!(r#"{whole},"more":1"#)),
        tensor(r#""dtype":"F16","shape":[1]"#),
        tensor(whole).replace(r#""a""#, r#""\u0061""#),
        tensor(whole).replace(r#""a""#, "\"a\n\""),
        r#"{"__metadata__":null}"#.to_owned(),
        r#"{"__metadata__":{},"__metadata__":{}}"#.to_owned(),
        r#"{"__metadata__":{"a":1}}"#.to_owned(),
    ] {
        assert!(scan(&text).is_none(), "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_is_read_that_the_general_parser_reads_otherwise(
        style in 0_usize..6,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in 0_usize..4,
    ) {
        let mut bytes = json("taesd", style).into_bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(bytes.len() - cut);
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        if let Some(scanned) = scan(&text) {
            prop_assert_eq!(scanned, general(&text).unwrap());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in r#"[\{\}\[\]":,0-9a-z\\ é]{0,80}"#) {
        if let Some(scanned) = scan(&text) {
            prop_assert_eq!(scanned, general(&text).unwrap());
        }
    }
}
