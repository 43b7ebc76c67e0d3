//! `entropy(text)`: Shannon entropy in bits per character. Random keys and encrypted data score high, prose low.

use super::{About, Body, Function};
use datafusion::logical_expr::ScalarUDF;
use std::collections::HashMap;

const ABOUT: About = About {
    syntax: "entropy(text)",
    text: "Shannon entropy of the text in bits per character; 0 for an empty text. English prose has about 4, \
           base64 of random bytes close to 6. A text of n characters has at most log2(n), so compare texts of like \
           length.",
    example: "SELECT call_id FROM calls WHERE length(arguments) > 100 AND entropy(arguments) > 5.5",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("entropy", &ABOUT, Body::Float(entropy))
}

fn entropy(text: &str) -> f64 {
    let mut ascii = [0u32; 128];
    let mut other: HashMap<char, u32> = HashMap::new();
    let mut total = 0u32;
    for c in text.chars() {
        total += 1;
        match ascii.get_mut(c as usize) {
            Some(count) => *count += 1,
            None => *other.entry(c).or_default() += 1,
        }
    }
    // Sorted, because the order of a hash map would change the last digits from run to run.
    let mut counts: Vec<u32> = ascii.into_iter().chain(other.into_values()).filter(|n| *n > 0).collect();
    counts.sort_unstable();
    counts.into_iter().map(|n| f64::from(n) / f64::from(total)).map(|p| -p * p.log2()).sum::<f64>().abs()
}

#[cfg(test)]
mod tests {
    use super::entropy;

    #[test]
    fn equals_the_logarithm_for_distinct_characters() {
        assert_eq!(entropy(""), 0.0);
        assert_eq!(entropy("aaaa"), 0.0);
        assert_eq!(entropy("abcd"), 2.0);
        assert_eq!(entropy("äöüß"), 2.0);
        assert!(entropy("the quick brown fox jumps over it") < 4.5);
    }
}
