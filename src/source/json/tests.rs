use super::Object;
use proptest::prelude::*;

/// What serde_json makes of a text.
fn by_serde(text: &str) -> Option<Vec<(String, String)>> {
    serde_json::from_str::<Object<'_>>(text).ok().map(|object| owned(&object))
}

fn owned(object: &Object<'_>) -> Vec<(String, String)> {
    object.members().iter().map(|(key, raw)| (key.to_string(), (*raw).to_owned())).collect()
}

/// Pieces that make texts which are JSON, nearly JSON, or not at all.
fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\"",
        "\"b\\n\"",
        "\"\\u00e9\"",
        "\"\\ud800\"",
        "\"\\x\"",
        "\"\u{1}\"",
        "\"long enough for the vectors: é\"",
        "\"",
        "\\",
        "0",
        "01",
        "-1",
        "-",
        "1.5",
        "1.",
        "2e9",
        "2e",
        "1E+2",
        "true",
        "false",
        "null",
        "nul",
        " ",
        "\t",
        "{\"k\":",
        "{\"k\":[1,{\"x\":{}}]}",
        "é",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_json_is_what_serde_takes(inside in text(), whole in text()) {
        for text in [format!("{{\"m\":{inside}}}"), format!("{{{inside}}}"), whole] {
            prop_assert_eq!(Object::checked(&text).map(|object| owned(&object)), by_serde(&text), "{}", text);
        }
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        prop_assert_eq!(Object::checked(&text).map(|object| owned(&object)), by_serde(&text));
        let _ = Object::trusted(&text);
    }
}

#[test]
fn nesting_does_not_use_the_stack() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(Object::checked(&deep).is_some());
    assert!(Object::checked(&deep[..deep.len() - 2]).is_none());
}

#[test]
fn duplicate_keys_are_found_among_many_and_few() {
    for count in [2, 40] {
        let members: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
        let object = |last: &str| {
            Object::parse(&format!("{{{},{last}}}", members.join(","))).map(|o| o.has_duplicate_keys()).ok()
        };
        assert_eq!(object("\"k1\":0"), Some(true));
        assert_eq!(object("\"x\":0"), Some(false));
    }
}
