//! Filters of lists whose fields are a matter of looking at one row: a name, and what a row has under it.

use super::{Expression, FilterProblem, Operator, Wrong, bytes, count, seconds, within};
use paintbox_domain::Timestamp;

/// A row of such a list.
pub trait Filtered: Sized + 'static {
    /// A filter, to show how one is written.
    const EXAMPLE: &'static str;

    /// What can be asked of a row.
    const FIELDS: &'static [Field<Self>];

    /// The texts in which words alone are looked for.
    fn texts(&self) -> String;
}

/// One thing that can be asked of a row.
#[derive(Debug)]
pub struct Field<R> {
    /// The first is the one that people are told.
    pub(crate) names: &'static [&'static str],
    pub(crate) holds: Holds<R>,
}

/// What a row has under a field.
#[derive(Debug)]
pub(crate) enum Holds<R> {
    /// One of a closed set of names.
    Name {
        all: fn() -> Vec<&'static str>,
        of: fn(&R) -> &'static str,
    },
    /// A text, compared without case; an asterisk at the end of a value stands for any rest.
    Text(fn(&R) -> Option<String>),
    Count(fn(&R) -> u64),
    /// Bytes, which are said with a unit.
    Bytes(fn(&R) -> Option<u64>),
    Time(fn(&R) -> Option<Timestamp>),
}

impl<R> Clone for Field<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Field<R> {}

impl<R> Clone for Holds<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Holds<R> {}

/// Which rows of a list pass, with the text that says so.
pub struct RowFilter<R> {
    text: String,
    expression: Expression<Condition<R>>,
}

impl<R: Filtered> RowFilter<R> {
    /// Reads a filter as people write it; an empty one lets everything through.
    ///
    /// # Errors
    /// `FILTER_INVALID`: where it stops making sense, and why.
    pub fn parse(text: &str) -> Result<Self, FilterProblem> {
        Ok(Self { text: text.to_owned(), expression: Expression::parse(text)? })
    }

    pub(crate) fn passes(&self, row: &R) -> bool {
        self.expression.passes(&|condition| condition.holds(row))
    }
}

impl<R> RowFilter<R> {
    /// Equal exactly when the same filter was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl<R> Default for RowFilter<R> {
    fn default() -> Self {
        Self { text: String::new(), expression: Expression::default() }
    }
}

impl<R> std::fmt::Debug for RowFilter<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RowFilter").field(&self.text).finish()
    }
}

/// One thing that is true of a row or not.
enum Condition<R> {
    Name {
        of: fn(&R) -> &'static str,
        name: &'static str,
    },
    Text {
        of: fn(&R) -> Option<String>,
        text: String,
        open: bool,
    },
    /// Within these bounds, both included.
    Within {
        of: Number<R>,
        least: u64,
        most: u64,
    },
    Words(String),
}

enum Number<R> {
    Count(fn(&R) -> u64),
    Bytes(fn(&R) -> Option<u64>),
    Time(fn(&R) -> Option<Timestamp>),
}

impl<R> Clone for Number<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Number<R> {}

impl<R> Number<R> {
    fn of(self, row: &R) -> Option<u64> {
        match self {
            Self::Count(of) => Some(of(row)),
            Self::Bytes(of) => of(row),
            Self::Time(of) => Some(u64::try_from(of(row)?.unix_ms() / 1_000).unwrap_or_default()),
        }
    }
}

impl<R: Filtered> Condition<R> {
    fn holds(&self, row: &R) -> bool {
        match self {
            Self::Name { of, name } => of(row) == *name,
            Self::Text { of, text, open } => of(row).is_some_and(|found| {
                let found = found.to_lowercase();
                if *open { found.starts_with(text) } else { found == *text }
            }),
            Self::Within { of, least, most } => of.of(row).is_some_and(|number| (*least..=*most).contains(&number)),
            Self::Words(words) => {
                let texts = row.texts().to_lowercase();
                words.split_whitespace().all(|word| texts.contains(word))
            }
        }
    }
}

impl<R: Filtered> super::Fields for Condition<R> {
    const EXAMPLE: &'static str = R::EXAMPLE;

    fn known() -> String {
        let names: Vec<&str> = R::FIELDS.iter().filter_map(|field| field.names.first().copied()).collect();
        names.join(", ")
    }

    fn comparison(name: &str, operator: Operator, value: &str) -> Result<Expression<Self>, Wrong> {
        let field = R::FIELDS.iter().find(|field| field.names.iter().any(|known| known.eq_ignore_ascii_case(name)));
        let Some(field) = field else {
            return Err(Wrong::Field(format!("there is no field `{name}`; there are {}", Self::known())));
        };
        let number = |of: Number<R>, span: Option<(u64, u64)>, how: &str| {
            let span = span.ok_or_else(|| Wrong::Value(format!("`{value}` is not {how}")))?;
            Ok(within(operator, span, |least, most| Self::Within { of, least, most }.into()))
        };
        let exactly = |number| (number, number);
        let condition = match field.holds {
            Holds::Name { all, of } => {
                let found = all().into_iter().find(|known| known.eq_ignore_ascii_case(value));
                let name = found
                    .ok_or_else(|| Wrong::Value(format!("`{value}` is no {name}; there are {}", all().join(", "))))?;
                Self::Name { of, name }
            }
            Holds::Text(of) => {
                let (text, open) = value.strip_suffix('*').map_or((value, false), |begin| (begin, true));
                Self::Text { of, text: text.to_lowercase(), open }
            }
            Holds::Count(of) => return number(Number::Count(of), count(value).map(exactly), "a whole number"),
            Holds::Bytes(of) => {
                let how = "a number of bytes such as 500MB or 2GiB";
                return number(Number::Bytes(of), bytes(value).map(exactly), how);
            }
            Holds::Time(of) => {
                let how = "a time such as 2026, 2026-01, 2026-01-31 or 2026-01-31T09:00:00Z";
                return number(Number::Time(of), seconds(value), how);
            }
        };
        Expression::unordered(name, operator, condition)
    }

    fn words(text: String) -> Self {
        Self::Words(text.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fruit {
        kind: &'static str,
        name: &'static str,
        bites: u64,
        size: Option<u64>,
        picked: Option<Timestamp>,
    }

    impl Filtered for Fruit {
        const EXAMPLE: &'static str = "kind:pear bites>2";
        const FIELDS: &'static [Field<Self>] = &[
            Field { names: &["kind"], holds: Holds::Name { all: || vec!["pear", "plum"], of: |fruit| fruit.kind } },
            Field { names: &["name", "title"], holds: Holds::Text(|fruit| Some(fruit.name.to_owned())) },
            Field { names: &["bites"], holds: Holds::Count(|fruit| fruit.bites) },
            Field { names: &["size"], holds: Holds::Bytes(|fruit| fruit.size) },
            Field { names: &["picked"], holds: Holds::Time(|fruit| fruit.picked) },
        ];

        fn texts(&self) -> String {
            format!("{} {}", self.kind, self.name)
        }
    }

    fn basket() -> [Fruit; 2] {
        let picked = Some(Timestamp::from_unix_ms(1_767_312_000_000));
        [
            Fruit { kind: "pear", name: "Red Anjou", bites: 3, size: Some(2_000_000), picked },
            Fruit { kind: "plum", name: "Czar", bites: 0, size: None, picked: None },
        ]
    }

    fn passing(filter: &str) -> Vec<&'static str> {
        let filter = RowFilter::<Fruit>::parse(filter).unwrap();
        basket().iter().filter(|fruit| filter.passes(fruit)).map(|fruit| fruit.name).collect()
    }

    #[test]
    fn each_sort_of_field_is_asked_in_its_way() {
        let (both, pear, plum, neither): (&[_], &[_], &[_], &[_]) =
            (&["Red Anjou", "Czar"], &["Red Anjou"], &["Czar"], &[]);
        for (filter, wanted) in [
            ("", both),
            ("kind:PEAR", pear),
            ("-kind:pear", plum),
            ("kind!=plum", pear),
            ("title:\"red anjou\"", pear),
            ("name:cz*", plum),
            ("name:cz", neither),
            ("bites>=3", pear),
            ("bites<3", plum),
            ("size>1MB", pear),
            ("size<1TB", pear),
            ("picked:2026-01-02", pear),
            ("picked<2026-01-02", neither),
            ("anjou red", pear),
            ("plum OR pear", both),
        ] {
            assert_eq!(passing(filter), wanted, "{filter}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_told_with_what_can() {
        for (filter, says) in [
            ("colour:red", "there are kind, name, bites, size, picked"),
            ("kind:fig", "there are pear, plum"),
            ("name<z", "has no order"),
            ("bites:many", "whole number"),
            ("size:-1", "number of bytes"),
            ("picked:soon", "a time such as"),
        ] {
            let problem = RowFilter::<Fruit>::parse(filter).unwrap_err();
            assert!(problem.to_string().contains(says), "{filter}: {problem}");
            assert_eq!(problem.example, Fruit::EXAMPLE);
        }
    }
}
