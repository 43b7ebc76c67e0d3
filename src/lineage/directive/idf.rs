//! How much a token tells: its inverse document frequency among argument texts and results.
//!
//! `idf(t) = ln((N + 1) / (df(t) + 1)) + 0.3` over N texts. The table stands for N = 1000 texts of office and software work, so that the score of a
//! flow or a call never depends on what else a lake holds.

use super::verbs;
use super::words::{Token, of_word};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Weights of tokens.
#[derive(Clone, Debug, Default)]
pub struct Idf {
    known: HashMap<Token, f64, ahash::RandomState>,
    unknown: f64,
}

/// Words that stand in about 200 of 1000 texts.
const USUAL: &str = "date time name id day user list file email mail message number title type status new result page today description account item note \
    content text value get data info information address order";

/// Words that stand in about 60 of 1000 texts.
const COMMON: &str = "amount available back book call change check city code com comment company contact cost country create created current customer delete detail document \
    end error event false find first found free friend from good go help high home hour http https hotel issue key last link location log long look low make meeting member \
    minute monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october november december month morning \
    need next null office one open option pay payment people person phone plan please point post price product project question rate read recipient request review \
    room schedule search send sender service set share show size start state street subject success system take task team tell test thing total transaction true two update \
    use version view visit want way web website week work world write year yes 10 20 2023 2024 2025 2026 2027 12 15 30 00";

/// Words that stand in about 20 of 1000 texts.
const KNOWN: &str = "access action add admin age agent air airport api app application area article assistant attachment author balance bank base bill birthday body booking branch \
    business buy calendar cancel car card cart case category center change channel chat child class client close cloud color command commit complete condition confirm confirmation \
    connection control copy country course credit currency dashboard database deadline default delivery department design detail dev dinner discount discussion doc download \
    draft due duration edit employee english environment evening example expense family feature feedback field final flight flow folder follow food form format full function game general \
    generate gift git github goal google group guest guide head health history holiday house idea image important include index input instruction install internal invite invitation invoice job \
    language large launch lead learn letter level library life line live loan local lunch main manager map market master max media medium menu method min model money music network news \
    night offer old online output overview owner package paper parent park part party password path pending photo pizza place policy pool port position power premium print private process profile program \
    progress property provide public purchase put quantity query rating reason receipt receive recent recipe record refund release remind reminder remove rent repo report repository reservation \
    reserve resource response restaurant result return role route rule run sale sample save school script second secret section secure security sell server session setting shop short sign single site \
    small social source space special standard step stock store story style submit subscription summary supplier support table tag tax team term ticket tool top topic total train transfer travel trip unit \
    upload url username vacation video wait weather wire year zone 1 2 3 4 5 6 7 8 9 11 13 14 16 17 18 19 21 22 24 25 28 31 50 100 200 500 1000 org net www";

/// Texts that the table stands for.
const TEXTS: u32 = 1000;

static BUILTIN: LazyLock<Idf> = LazyLock::new(|| {
    let mut idf = Idf { known: HashMap::default(), unknown: weight(0) };
    for (words, frequency) in [(verbs::actions(), 8), (KNOWN, 20), (COMMON, 60), (USUAL, 200)] {
        idf.known.extend(words.split_ascii_whitespace().map(|word| (of_word(word), weight(frequency))));
    }
    idf
});

fn weight(frequency: u32) -> f64 {
    let weight = (f64::from(TEXTS) + 1.0) / (f64::from(frequency) + 1.0);
    weight.ln().max(0.0) + 0.3
}

impl Idf {
    /// The table that comes with the program.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// The weight of a token; at least 0.3.
    pub fn weight(&self, token: Token) -> f64 {
        self.known.get(&token).copied().unwrap_or(self.unknown)
    }
}
