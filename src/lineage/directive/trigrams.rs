//! Which three bytes stand in a row in a text: what tells quickly that a value cannot stand there.

/// Which three bytes stand in a row in a text, as bits: a text that lacks some of a value's does not hold the value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trigrams([u64; 8]);

impl Trigrams {
    pub(super) fn of(text: &str) -> Self {
        let mut bits = [0; 8];
        for three in text.as_bytes().windows(3) {
            let number = u32::from(three[0]) | u32::from(three[1]) << 8 | u32::from(three[2]) << 16;
            let at = number.wrapping_mul(0x9e37_79b1) >> 23;
            bits[(at / 64) as usize] |= 1_u64 << (at % 64);
        }
        Self(bits)
    }

    /// Whether a text with these may hold one with those.
    pub(super) fn may_hold(&self, value: &Self) -> bool {
        self.0.iter().zip(&value.0).all(|(own, of_value)| own & of_value == *of_value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_hold_what_it_holds() {
        let text = "please send the harbour report to anna@firm.example before 10:30";
        let trigrams = Trigrams::of(text);
        for from in 0..text.len() {
            for to in from..text.len() {
                assert!(trigrams.may_hold(&Trigrams::of(&text[from..to])), "{}", &text[from..to]);
            }
        }
        let others = ["orchard", "anna@firm.com", "11:30", "granite lantern"];
        assert!(others.iter().all(|other| !trigrams.may_hold(&Trigrams::of(other))));
    }
}
