//! The classes of what nobody needs, by the names of `Garbage.class` in `store.proto`.

/// Every class, in the order in which they are told.
pub(super) const CLASSES: [&str; 6] = ["expired_trash", "partial", "unrecorded", "quarantine", "picture", "trash"];

/// What can be undone before its bytes are freed, and not after.
pub(super) const TRASH: &str = "trash";

/// What is in a class, in words that follow the number of its files. None for one of a newer daemon.
pub(super) fn words(class: &str) -> Option<&'static str> {
    Some(match class {
        "expired_trash" => "removed, and the time to undo it has passed",
        "partial" => "the beginning of a file that no download goes on with",
        "unrecorded" => "whole, but no file of the catalogue has these bytes",
        "quarantine" => "not the bytes that they should have been, and set aside",
        "picture" => "pictures that nothing shows any more",
        TRASH => "removed; until it is freed, `paintbox rm --undo` can take it back",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_the_contract_has_a_sentence() {
        let proto = include_str!("../../../../proto/paintbox/v1/store.proto");
        let comment = proto.split_once("message Garbage {").unwrap().1.split_once("string class").unwrap().0;
        let comment = comment.replace("\n  //", "");
        // Each sentence begins with its class and a colon.
        let mut found: Vec<&str> =
            comment.split('.').filter_map(|sentence| sentence.split_once(':')).map(|(class, _)| class.trim()).collect();
        let mut ours = CLASSES;
        found.sort_unstable();
        ours.sort_unstable();
        assert_eq!(found, ours);
        assert!(CLASSES.iter().all(|class| words(class).is_some()));
        assert_eq!(words("moon_dust"), None);
    }
}
