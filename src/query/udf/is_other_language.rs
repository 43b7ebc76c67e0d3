//! `is_other_language(text)`: whether a user wrote in another language than English.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "is_other_language(text)",
    text: "Whether a text has letters and none of the commonest words of English requests. What it asks for cannot be \
           told by English words.",
    example: "SELECT session_id FROM prompts WHERE is_other_language(text)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("is_other_language", &ABOUT, Body::Bool(is_other_language))
}

static LETTER: Pattern = Pattern::new(|| pattern(r"\p{L}"));
static ENGLISH: Pattern = Pattern::new(|| {
    pattern(
        r"(?i)\b(the|to|my|and|please|this|that|what|with|your|from|it|all|new|show|read|list|find|check|send|get|give|open|look|tell|add|write|make|summari[sz]e|search|delete|remove|update|create|run|fix)\b",
    )
});

fn is_other_language(text: &str) -> bool {
    LETTER.is_match(text) && !ENGLISH.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::is_other_language;

    #[test]
    fn english_requests_are_told_from_others() {
        for text in ["Räum bitte das Verzeichnis auf", "ファイルを消して", "borra los datos", "Database?"] {
            assert!(is_other_language(text), "{text}");
        }
        for text in ["", "42 / 7", "Delete it", "Bitte fix das"] {
            assert!(!is_other_language(text), "{text}");
        }
    }
}
