//! The reasons that each method may fail with, as one list that is looked at whenever it changes.

use paintbox_tests::contract::Contract;
use std::fmt::Write as _;
use std::path::Path;

/// Set it to any value to write the list anew: `PAINTBOX_WRITE_ERRORS=1 cargo test -p paintbox-tests --test tidy errors`.
const WRITE: &str = "PAINTBOX_WRITE_ERRORS";

#[test]
#[expect(clippy::disallowed_methods, reason = "the variable asks a test to write a file of the repository")]
fn the_reasons_of_every_method_are_those_that_are_listed() {
    // Reading it also proves that every reason and method that a comment names is there.
    let contract = Contract::read().unwrap();
    let mut found = String::from(
        "# What each method says that it may fail with, beside what any may; from the .proto files' comments.\n\
         # PAINTBOX_WRITE_ERRORS=1 cargo test -p paintbox-tests --test tidy errors\n",
    );
    let list = |reasons: &std::collections::BTreeSet<String>| {
        reasons.iter().fold(String::new(), |list, reason| list + " " + reason)
    };
    writeln!(found, "any:{}", list(contract.common())).unwrap();
    for (method, reasons) in contract.reasons() {
        writeln!(found, "{}:{}", method.trim_start_matches("paintbox.v1."), list(reasons)).unwrap();
    }
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tidy/errors.txt");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&kept, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&kept).unwrap_or_default();
    assert!(kept == found, "tests/tidy/errors.txt is not what the comments say; {WRITE}=1 writes it anew");
}
