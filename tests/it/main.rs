//! The tests that run the binary, one file per promise.

mod common; // the binary in a clean environment, rows as JSON

mod corpus; // real logs beside the repository: counts, order, one run seen from three points
mod crash; // kill -9 at random instants, then again
mod formats; // every format on its sample logs
mod growth; // grown, rotated, copied, piped, sliced logs
mod sql; // SQL functions as written down
