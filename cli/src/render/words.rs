//! States of the API as the words that people and scripts read.

use paintbox_proto::v1;

/// `taken_down` of `STATE_TAKEN_DOWN`. Empty for one that is not told, also by a newer daemon whose states this program
/// does not know.
pub(crate) fn state(name: &str) -> String {
    match name.strip_prefix("STATE_").unwrap_or(name) {
        "UNSPECIFIED" => String::new(),
        name => name.to_ascii_lowercase(),
    }
}

/// The same, none where it is empty.
pub(crate) fn known_state(name: &str) -> Option<String> {
    Some(state(name)).filter(|word| !word.is_empty())
}

/// What something waits for: `it is plugged in and the network is not metered`.
pub(crate) fn until(wait: &v1::Wait) -> String {
    let until = wait.shortages.iter().map(|shortage| match shortage.as_str() {
        "battery" => "it is plugged in",
        "low_power" => "power need not be saved",
        "heat" => "it has cooled down",
        "memory" => "there is more memory",
        "metered_network" => "the network is not metered",
        "painting" => "nothing is painted",
        other => other,
    });
    let until: Vec<&str> = until.collect();
    until.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use paintbox_proto::v1;

    #[test]
    fn states_are_lower_case_words_and_unknown_ones_are_none() {
        assert_eq!(state(v1::model::State::TakenDown.as_str_name()), "taken_down");
        let newer = v1::Model { state: 900, ..Default::default() };
        assert_eq!(known_state(newer.state().as_str_name()), None);
    }
}
