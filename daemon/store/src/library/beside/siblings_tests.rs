//! Which name belongs to which model.

use super::*;
use proptest::prelude::*;
use std::os::unix::ffi::OsStringExt;

fn listing(names: &[&str]) -> Siblings {
    Siblings::of(names.iter().map(|name| (OsString::from(name), 1, 2)))
}

fn belonging<'a>(siblings: &'a Siblings, model: &str) -> Vec<&'a str> {
    let mut names: Vec<&str> =
        siblings.belonging_to(OsStr::new(model)).map(|(sibling, _)| sibling.name.to_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_name_belongs_to_the_model_with_the_longest_stem() {
    let siblings = listing(&[
        "a.safetensors",
        "a.b.safetensors",
        "a.preview.safetensors",
        "a.png",
        "a.b.png",
        "a.preview.png",
        "a.b.preview.png",
        "a.b.c.png",
        "a.json",
        "a.b.json",
        "a.civitai.info",
        "a.metadata.json",
        "ab.png",
        "a",
        ".png",
        "a.safetensors.png",
    ]);
    assert_eq!(belonging(&siblings, "a.safetensors"), ["a.civitai.info", "a.json", "a.metadata.json", "a.png"]);
    assert_eq!(belonging(&siblings, "a.b.safetensors"), ["a.b.json", "a.b.png", "a.b.preview.png"]);
    assert_eq!(belonging(&siblings, "a.preview.safetensors"), ["a.preview.png"]);
    assert!(belonging(&siblings, "absent.safetensors").is_empty());
    assert!(belonging(&siblings, "a").is_empty());
    assert!(belonging(&siblings, "").is_empty());
    // Without the model that is called so, it is a picture of the shorter one.
    let siblings = listing(&["a.safetensors", "a.preview.png", "a.b.png"]);
    assert_eq!(belonging(&siblings, "a.safetensors"), ["a.preview.png"]);
}

#[test]
fn models_with_the_same_stem_share_and_endings_may_be_in_capital_letters() {
    let siblings = listing(&["a.safetensors", "a.ckpt", "a.PNG", "a.Preview.JPG", "A.png", "a.CIVITAI.INFO"]);
    let own = ["a.CIVITAI.INFO", "a.PNG", "a.Preview.JPG"];
    assert_eq!(belonging(&siblings, "a.safetensors"), own);
    assert_eq!(belonging(&siblings, "a.ckpt"), own);
}

#[test]
fn pictures_are_ranked_by_where_they_are_from() {
    let names = [
        "a.preview.png",
        "a.preview.jpg",
        "a.preview.webp",
        "a.preview.2.png",
        "a.preview.10.png",
        "a.png",
        "a.jpeg",
        "a.webp",
        "a.gif",
        "a.thumb.jpg",
        "a.swarmpreview.jpg",
        "a.preview.avif",
        "a.preview.mp4",
        "a.mp4",
        "a.webm",
    ];
    let rank = |name: &str| match role(name.strip_prefix('a').unwrap().as_bytes()) {
        Some(Role::Picture(rank)) => rank,
        other => panic!("{name}: {other:?}"),
    };
    let ranks: Vec<u32> = names.iter().map(|name| rank(name)).collect();
    assert!(ranks.is_sorted(), "{:?}", names.iter().zip(&ranks).collect::<Vec<_>>());
    for none in [
        ".2.png",
        ".thumb.2.png",
        ".preview..png",
        ".preview.x.png",
        ".preview.9999999999.png",
        ".preview",
        ".ico",
        ".",
    ] {
        assert_eq!(role(none.as_bytes()), None, "{none}");
    }
}

#[test]
fn models_are_told_by_the_ending_of_their_names() {
    for name in ["a.safetensors", "a.SFT", "a.b.GGUF", "a.ckpt", "a.pt", "a.pth", "a.bin", "a.pkl", "a.pt2", "a.onnx"] {
        assert!(is_model_name(OsStr::new(name)), "{name}");
    }
    for name in
        ["a", "safetensors", ".safetensors", "a.safetensors.png", "a.ckpt-tensordata", "a.json", "a.", "", "a.part"]
    {
        assert!(!is_model_name(OsStr::new(name)), "{name}");
    }
    let odd = OsString::from_vec(b"\xff\xfe.safetensors".to_vec());
    assert!(is_model_name(&odd));
    assert!(!is_model_name(&OsString::from_vec(b"a.\xff".to_vec())));
}

#[test]
fn names_that_are_no_text_and_as_long_as_they_can_be_find_each_other() {
    let stems =
        [b"\xff\xfe\x80".to_vec(), vec![b'x'; 243], "🎨\u{202e}نموذج".into(), b"two\nlines".to_vec(), b"a..b".to_vec()];
    for stem in stems {
        let named = |ending: &str| OsString::from_vec([&stem, ending.as_bytes()].concat());
        let model = named(".safetensors");
        let names = [model.clone(), named(".png"), named(".civitai.info"), named("x.png")];
        let siblings = Siblings::of(names.into_iter().map(|name| (name, 0, 0)));
        let mut found: Vec<&OsString> = siblings.belonging_to(&model).map(|(sibling, _)| &sibling.name).collect();
        found.sort_unstable();
        assert_eq!(found, [&named(".civitai.info"), &named(".png")]);
    }
}

#[test]
fn a_stamp_changes_with_what_belongs_to_the_model_and_with_nothing_else() {
    let of = |listing: &[(&str, u64, i64)]| {
        let siblings = Siblings::of(listing.iter().map(|(name, size, time)| (OsString::from(name), *size, *time)));
        siblings.stamp(OsStr::new("a.ckpt"))
    };
    let base = [("a.ckpt", 9, 9), ("a.png", 1, 2), ("a.json", 3, 4), ("b.ckpt", 9, 9)];
    let stamp = of(&base);
    let mut turned = base;
    turned.reverse();
    assert_eq!(of(&turned), stamp, "the order of a listing says nothing");
    let mut others = base.to_vec();
    others[0].1 = 10;
    others.extend([("b.png", 5, 5), ("c.json", 6, 6), ("notes.txt", 7, 7)]);
    assert_eq!(of(&others), stamp);
    for change in [
        &[("a.png", 1, 3), ("a.json", 3, 4)][..],
        &[("a.png", 2, 2), ("a.json", 3, 4)],
        &[("a.png", 1, 2)],
        &[("a.png", 1, 2), ("a.json", 3, 4), ("a.txt", 0, 0)],
        &[("a.gif", 1, 2), ("a.json", 3, 4)],
        // The lists of Draw Things are about every file that it could have made.
        &[("a.png", 1, 2), ("a.json", 3, 4), ("custom_lora.json", 1, 1)],
    ] {
        let listing = [&[("a.ckpt", 9, 9)], change].concat();
        assert_ne!(of(&listing), stamp, "{change:?}");
    }
    // Stored stamps are compared with those of another day and machine: the first 8 bytes of BLAKE3 of 02 00 00 00.
    assert_eq!(of(&[("a.ckpt", 1, 1)]), 0xcb21_d179_6ff8_3bf0);
}

/// Counts of what is looked at would have to be kept to be compared; a listing that took the square of its length would
/// not come to an end here.
#[test]
fn a_folder_of_a_hundred_thousand_names_is_one_pass() {
    let name = |place: usize, ending: &str| OsString::from(format!("a.{place}{ending}"));
    let names = (0..50_000).flat_map(|place| [name(place, ".safetensors"), name(place, ".preview.png")]);
    let mut listing: Vec<_> = names.map(|name| (name, 1, 1)).collect();
    listing.push(("a.safetensors".into(), 1, 1));
    let siblings = Siblings::of(listing);
    let found: usize = (0..50_000).map(|place| siblings.belonging_to(&name(place, ".safetensors")).count()).sum();
    assert_eq!(found, 50_000);
    assert_eq!(siblings.belonging_to(OsStr::new("a.safetensors")).count(), 0);
}

proptest! {
    #[test]
    fn every_name_belongs_to_one_stem_at_most_and_continues_it(
        names in proptest::collection::vec("(a|b|\\.|\\.png|\\.json|\\.preview|\\.safetensors|\\.txt|\\.7|é){1,6}", 0..30),
    ) {
        let siblings = Siblings::of(names.iter().map(|name| (OsString::from(name), 0, 0)));
        let mut owners: HashMap<&OsStr, HashSet<&[u8]>> = HashMap::new();
        for model in names.iter().filter(|name| is_model_name(OsStr::new(name))) {
            let (stem, _) = split(model.as_bytes(), 1).unwrap();
            for (sibling, _) in siblings.belonging_to(OsStr::new(model)) {
                prop_assert!(sibling.name.as_bytes().starts_with(stem));
                prop_assert!(!is_model_name(&sibling.name));
                owners.entry(&sibling.name).or_default().insert(stem);
            }
            let _stamp = siblings.stamp(OsStr::new(model));
        }
        prop_assert!(owners.values().all(|stems| stems.len() == 1));
    }

    #[test]
    fn any_bytes_may_be_names(names in proptest::collection::vec(proptest::collection::vec(1u8.., 1..20), 0..20)) {
        let names: Vec<OsString> = names.into_iter().map(OsString::from_vec).collect();
        let siblings = Siblings::of(names.iter().map(|name| (name.clone(), 0, 0)));
        for name in &names {
            let _found = (siblings.belonging_to(name).count(), siblings.stamp(name));
        }
    }
}
