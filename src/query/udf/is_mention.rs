//! `is_mention(path)`: whether a value at this place of the arguments is only spoken of there.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "is_mention(path)",
    text: "Whether an address at this place of the arguments (observables.path) is part of what is sent, and not where \
           it goes: a body, a comment, a title, a picture, an attachment.",
    example: "SELECT value FROM observables WHERE origin = 'argument' AND type = 'email' AND NOT is_mention(path)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("is_mention", &ABOUT, Body::Bool(is_mention))
}

/// Members that hold text, or something that goes along with it.
static CONTENT: Pattern = Pattern::new(|| {
    pattern(
        r"(?i)(^|/)\w*(body|text|content|message|html|markdown|description|comment|note|summary|title|subject|caption|snippet|prompt|query|detail|agenda|reason|instruction)\w*(/\d+)*$|(attachment|image|avatar|logo|icon|photo|thumbnail|source|reference)\w*(/\d+)*(/\w*(url|uri|link|href|src))?$",
    )
});
/// Members of such names that say where it goes all the same: `message_webhook`, `content_recipients`.
static DESTINATION: Pattern =
    Pattern::new(|| pattern(r"(?i)(webhook|endpoint|recipients?|_to|address|emails?)(/\d+)*$"));

fn is_mention(path: &str) -> bool {
    CONTENT.is_match(path) && !DESTINATION.is_match(path)
}

#[cfg(test)]
mod tests {
    use super::is_mention;

    #[test]
    fn content_is_told_from_destination() {
        for path in ["/body", "/message/text", "/blocks/0/text", "/attachments/1/url", "/image_url", "/notes"] {
            assert!(is_mention(path), "{path}");
        }
        for path in ["", "/to", "/recipients/0", "/url", "/webhook_url", "/message_webhook", "/endpoint", "/cc/2"] {
            assert!(!is_mention(path), "{path}");
        }
    }
}
