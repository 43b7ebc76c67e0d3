//! The tests that run the binary, one file per promise.

mod common; // the binary in a clean environment, rows as JSON

mod formats; // every format on its sample logs
mod sql; // SQL functions as written down
