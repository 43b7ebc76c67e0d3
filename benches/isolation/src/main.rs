//! Fits the isolation forest on a matrix of 32-bit floats in a file, scores every row, and prints the seconds of both and a digest of the scores.
#![expect(dead_code, unreachable_pub, reason = "modules of the program, of which this uses a part")]

#[path = "../../../src/model/forest.rs"]
mod forest;
#[path = "../../../src/model/isolation.rs"]
mod isolation;

use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, width, scores] = &arguments[..] else { panic!("isolation MATRIX WIDTH SCORES") };
    let width: usize = width.parse().expect("a number of columns");
    let bytes = std::fs::read(path).expect("the matrix");
    let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let started = Instant::now();
    let forest = isolation::IsolationForest::fit(&values, width, 1).expect("rows");
    let fitted = started.elapsed().as_secs_f64();
    let found = forest.scores(&values);
    let scored = started.elapsed().as_secs_f64() - fitted;
    std::fs::write(scores, found.iter().flat_map(|score| score.to_le_bytes()).collect::<Vec<u8>>()).expect("written");
    println!("{{\"fit\": {fitted:.3}, \"score\": {scored:.3}}}");
}
