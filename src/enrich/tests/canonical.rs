//! RFC 8785: its sample object, its sorting example, its numbers.

use super::super::canonical::Canonical;
use super::super::walk::Tape;
use super::*;

fn canonical(text: &str) -> String {
    let mut tape = Tape::default();
    assert!(tape.parse(text), "{text}");
    let mut out = Vec::new();
    Canonical::write(text, &tape, &mut out, &mut Vec::new());
    String::from_utf8(out).expect("text")
}

#[test]
fn the_examples_of_the_rfc() {
    let sample = r#"{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"#;
    let expected = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
    assert_eq!(canonical(sample), expected);
    let sorting = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
        "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
    let order: Vec<String> =
        canonical(sorting).split("\":\"").skip(1).map(|v| v.split('"').next().unwrap_or("").to_owned()).collect();
    assert_eq!(
        order,
        [
            "Carriage Return",
            "One",
            "Control",
            "Latin Small Letter O With Diaeresis",
            "Euro Sign",
            "Emoji: Grinning Face",
            "Hebrew Letter Dalet With Dagesh"
        ]
    );
    // Raw characters sort as their escapes do.
    assert_eq!(canonical("{\"\u{fb33}\":1,\"\u{1F600}\":2}"), "{\"\u{1F600}\":2,\"\u{fb33}\":1}");
    for (bits, text) in [
        (0x0000000000000000u64, "0"),
        (0x8000000000000000, "0"),
        (0x0000000000000001, "5e-324"),
        (0x7fefffffffffffff, "1.7976931348623157e+308"),
        (0x44b52d02c7e14af6, "1e+23"),
        (0x444b1ae4d6e2ef50, "1e+21"),
        (0x3eb0c6f7a0b5ed8d, "0.000001"),
        (0x41b3de4355555553, "333333333.3333332"),
    ] {
        assert_eq!(canonical(&format!("{:e}", f64::from_bits(bits))), text);
    }
}

#[test]
fn what_differs_stays_different() {
    assert_eq!(
        canonical("[12345678901234567890, 12345678901234567891, -0]"),
        "[12345678901234567890,12345678901234567891,0]"
    );
    assert_eq!(canonical(r#"{"b":1,"a":2,"b":0}"#), r#"{"a":2,"b":1,"b":0}"#);
    assert_eq!(canonical(r#"["\uD83D", "\uD83Dx\uDE00"]"#), r#"["\ud83d","\ud83dx\ude00"]"#);
    let hash = |text: &str| {
        let mut call = Call { arguments: Some(text.into()), arguments_state: PayloadState::Present, ..Call::default() };
        enricher().call(&mut call);
        call.arguments_hash
    };
    assert_eq!(hash(r#"{"b": 1.0, "a": "\u0041"}"#), hash(r#"{"a":"A","b":1}"#));
    assert_ne!(hash(r#"{"a":1}"#), hash(r#"{"a":"1"}"#));
}
