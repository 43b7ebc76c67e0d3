//! Whether the rows of `sources` are those that the ingests wrote, in their order: each row's `chain` holds that of the row before in its
//! file, and the lake's chain of changes holds where the files end.

use super::sources::{Sources, chain_of, ends_of};
use crate::lake::{Lake, LakeError, Problem};

/// Follows the column `chain`. `expected`: what the lake's chain of changes has of it.
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
    let mut ends = Vec::new();
    for rows in Sources::stored(lake).await? {
        match ends_of(&rows) {
            Ok(of_file) => ends.extend(of_file),
            Err((at, expected)) => return Ok(Some(problem(Some(&rows[at].source_id), &expected, &rows[at].chain))),
        }
    }
    let found = chain_of(ends.iter().map(String::as_str));
    Ok(expected.filter(|expected| *expected != found).map(|expected| problem(None, expected, &found)))
}
