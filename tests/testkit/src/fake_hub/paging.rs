//! Cutting a sorted list into pages: cursors that clients must not look into, and numbered pages.

use std::cmp::Ordering;
use std::fmt::Write as _;

/// The values a list is sorted by, the id last. None is a database NULL, which sorts behind everything.
pub(super) type SortKey = Vec<Option<i64>>;

/// Which way the first values run. The last, the id, breaks ties in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

/// Orders two keys of one list.
pub(super) fn compare(a: &SortKey, b: &SortKey, direction: Direction) -> Ordering {
    for (a, b) in a.iter().zip(b) {
        let order = match (a, b) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) if direction == Direction::Ascending => a.cmp(b),
            (Some(a), Some(b)) => b.cmp(a),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// `a|b|c` with nothing for NULL, as CivitAI writes it.
pub(super) fn cursor_text(key: &SortKey) -> String {
    let mut text = String::new();
    for (index, value) in key.iter().enumerate() {
        if index > 0 {
            text.push('|');
        }
        if let Some(value) = value {
            write!(text, "{value}").expect("writing to a text cannot fail");
        }
    }
    text
}

/// Reads [`cursor_text`] of a list sorted by `arity` values.
///
/// # Errors
/// The server's own words: it refuses another arity, and the empty places that it writes itself.
pub(super) fn parse_cursor(text: &str, arity: usize) -> Result<SortKey, String> {
    let parts: Vec<&str> = text.split('|').collect();
    if parts.len() != arity {
        return Err(format!("Invalid cursor: expected {arity} value(s) but got {}", parts.len()));
    }
    parts
        .iter()
        .map(|part| part.parse().map(Some).map_err(|_| format!("Invalid cursor: cannot read value \"{part}\"")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_as_they_went() {
        let key = vec![Some(75_363), Some(932_023), Some(257_749)];
        assert_eq!(cursor_text(&key), "75363|932023|257749");
        assert_eq!(parse_cursor("75363|932023|257749", 3), Ok(key));
    }

    #[test]
    fn a_null_column_makes_a_cursor_that_the_server_refuses() {
        let text = cursor_text(&vec![None, Some(5)]);
        assert_eq!(text, "|5");
        assert!(parse_cursor(&text, 2).is_err());
    }

    #[test]
    fn another_sort_order_refuses_the_cursor() {
        assert_eq!(parse_cursor("1|2|3", 2), Err("Invalid cursor: expected 2 value(s) but got 3".to_owned()));
    }

    #[test]
    fn nulls_come_last_in_both_directions() {
        for direction in [Direction::Ascending, Direction::Descending] {
            assert_eq!(compare(&vec![Some(1)], &vec![None], direction), Ordering::Less);
        }
    }
}
