//! Whether the rows of `sources` are those that the ingests wrote, in their order: each row's `chain` holds that of the row before.

use super::digest_of;
use super::sources::Sources;
use crate::lake::{Lake, LakeError, Problem};

/// Follows the column `chain`. `expected`: what the lake's chain of changes has of its last row.
///
/// # Errors
/// The table cannot be read.
pub async fn verify_sources(lake: &Lake, expected: Option<&str>) -> Result<Option<Problem>, LakeError> {
    let problem = |row: Option<&str>, expected: &str, found: &str| Problem {
        change: None,
        file: row.map_or_else(|| "sources".to_owned(), |row| format!("sources, row {row}")),
        expected: format!("chain {expected}"),
        found: found.to_owned(),
    };
    let mut last = String::new();
    for row in Sources::stored(lake).await? {
        last = digest_of(&[Some(&last), Some(&row.source_id), Some(&row.digest)]);
        if last != row.chain {
            return Ok(Some(problem(Some(&row.source_id), &last, &row.chain)));
        }
    }
    Ok(expected.filter(|expected| *expected != last).map(|expected| problem(None, expected, &last)))
}
