//! What somebody probably meant whose words occur nowhere: each word without a hit is replaced by the nearest word of the
//! index.

use crate::error::{CatalogueError, could_not};
use crate::search::ATTEMPT;
use crate::statements::statements;
use crate::words::{self, Ending};
use sqlx::SqliteConnection;

/// Words of the index that are looked at for one word of a query; of a million models, those with its first letter.
const CANDIDATES: i64 = 60_000;
/// A shorter word is near to too many others.
const SHORTEST: usize = 4;
/// A word of this length may have two mistakes.
const LONG: usize = 8;

statements! {
    OCCURS = "SELECT EXISTS (SELECT 1 FROM model_search WHERE model_search MATCH ?1)";
    /// How many models have a word comes with it, to choose among those that are as near.
    NEIGHBOURS = "
        SELECT coalesce(group_concat(term || ' ' || doc, char(10)), '')
        FROM (SELECT term, doc FROM search_word WHERE term >= ?1 AND term < ?2 LIMIT ?3)";
}

/// A query as it was probably meant; none where nothing can be put right.
pub(crate) async fn corrected(connection: &mut SqliteConnection, text: &str) -> Result<Option<String>, CatalogueError> {
    let failed = could_not(ATTEMPT);
    let mut terms = words::query_terms(text);
    let last = terms.len().saturating_sub(1);
    let mut changed = false;
    for (at, term) in terms.iter_mut().enumerate() {
        let ending = if at == last { Ending::Open } else { Ending::Whole };
        let Some(expression) = words::match_expression(term, ending) else { continue };
        let occurs: bool =
            sqlx::query_scalar(OCCURS).bind(expression).fetch_one(&mut *connection).await.map_err(&failed)?;
        if occurs {
            continue;
        }
        let Some(near) = nearest(connection, &words::folded(term)).await.map_err(&failed)? else { return Ok(None) };
        *term = near;
        changed = true;
    }
    Ok(changed.then(|| terms.join(" ")))
}

/// The word of the index with the fewest mistakes between, and of those the commonest. Mistakes in both of the first
/// two letters are not looked for.
async fn nearest(connection: &mut SqliteConnection, word: &str) -> Result<Option<String>, sqlx::Error> {
    let length = word.chars().count();
    if length < SHORTEST {
        return Ok(None);
    }
    let allowed = if length >= LONG { 2 } else { 1 };
    for letters in [2, 1] {
        let begin: String = word.chars().take(letters).collect();
        let list: String = sqlx::query_scalar(NEIGHBOURS)
            .bind(&begin)
            .bind(format!("{begin}\u{10ffff}"))
            .bind(CANDIDATES)
            .fetch_one(&mut *connection)
            .await?;
        let candidates = list.lines().filter_map(|line| {
            let (term, models) = line.rsplit_once(' ')?;
            let mistakes = distance(word, term, allowed)?;
            Some((mistakes, std::cmp::Reverse(models.parse::<u64>().ok()?), term))
        });
        if let Some((_, _, term)) = candidates.min() {
            return Ok(Some(term.to_owned()));
        }
    }
    Ok(None)
}

/// How many letters must be put in, left out, replaced or exchanged with their neighbour to make one word of the
/// other (optimal string alignment); none when it is more than `allowed`.
fn distance(one: &str, other: &str, allowed: usize) -> Option<usize> {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len().abs_diff(other.len()) > allowed {
        return None;
    }
    let mut before_last = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.iter().enumerate() {
        let mut row = vec![at + 1];
        for (with, against) in other.iter().enumerate() {
            let mut least = (last[with] + usize::from(letter != against)).min(last[with + 1] + 1).min(row[with] + 1);
            if at > 0 && with > 0 && *letter == other[with - 1] && one[at - 1] == *against {
                least = least.min(before_last[with - 1] + 1);
            }
            row.push(least);
        }
        if row.iter().all(|mistakes| *mistakes > allowed) {
            return None;
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|mistakes| *mistakes <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_counted() {
        for (one, other, allowed, wanted) in [
            ("dream", "dream", 1, Some(0)),
            ("draem", "dream", 1, Some(1)),
            ("drem", "dream", 1, Some(1)),
            ("dreaam", "dream", 1, Some(1)),
            ("drxam", "dream", 1, Some(1)),
            ("drxax", "dream", 1, None),
            ("drxax", "dream", 2, Some(2)),
            ("dreamshapre", "dreamshaper", 2, Some(1)),
            ("wide", "dream", 2, None),
            ("少女前線", "少女前戦", 1, Some(1)),
        ] {
            assert_eq!(distance(one, other, allowed), wanted, "{one} {other}");
            assert_eq!(distance(other, one, allowed), wanted, "{other} {one}");
        }
    }
}
