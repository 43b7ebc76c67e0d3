//! `is_link_signature(url, secret)`: whether a secret in a URL is what a link for handing on is signed with.

use super::{About, Body, Function, Pattern, pattern};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "is_link_signature(url, secret)",
    text: "Whether a secret in a URL (both as observables have them, `[secret:…]`) is the signature of a download that \
           was signed (S3, Google Cloud Storage, Azure), or the token of a share or an invitation: who has the link \
           was meant to have it.",
    example: "SELECT s.value FROM observables u JOIN observables s USING (call_id) WHERE u.type = 'url' AND s.type = 'secret' AND NOT is_link_signature(u.value, s.value)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("is_link_signature", &ABOUT, Body::BoolOfTwo(is_link_signature))
}

/// Stands for the secret while the URL is looked at.
const HERE: &str = "\u{1}";
/// Kinds of secrets that signed downloads and links have.
static OF_SIGNED: Pattern =
    Pattern::new(|| pattern(r"^\[secret:(signature|aws_signature|azure_sas|credential|token|aws_access_key_id):"));
static OF_LINKS: Pattern = Pattern::new(|| pattern(r"^\[secret:(token|password|credential|signature):"));
static SIGNED: Pattern = Pattern::new(|| pattern(r"(?i)[?&](X-Amz-Signature|X-Goog-Signature|Signature|sig)="));
static IN_SIGNED: Pattern = Pattern::new(|| {
    pattern(
        r"(?i)^https?://[^?#@]*\?([^#]*&)?(X-Amz-(Signature|Credential|Security-Token)|X-Goog-(Signature|Credential)|AWSAccessKeyId|Signature|sig)=\x01(&|#|$)",
    )
});
/// The folder says that it is a share or an invitation.
static IN_LINK: Pattern = Pattern::new(|| {
    pattern(
        r"(?i)^https://[^/?#@]+/([^?#]*/)?(s|sh|shared?|sharing|d|dl|downloads?|f|files?|docs?|v|view|invite|invitation|join|j|wc|public|l|link|meet|meeting|exports?|attachments?|preview|embed)/[^?#]*\?([^#]*&)?(token|t|k|key|pwd|passcode|code|share\w*|access|st|sig)=\x01(&|#|$)",
    )
});

fn is_link_signature(url: &str, secret: &str) -> bool {
    if secret.is_empty() || !url.contains(secret) {
        return false;
    }
    let marked = url.replace(secret, HERE);
    (OF_SIGNED.is_match(secret) && SIGNED.is_match(url) && IN_SIGNED.is_match(&marked))
        || (OF_LINKS.is_match(secret) && IN_LINK.is_match(&marked))
}

#[cfg(test)]
mod tests {
    use super::is_link_signature;

    #[test]
    fn links_are_told_from_credentials_in_urls() {
        let signature = "[secret:signature:ab]";
        let token = "[secret:token:cd]";
        for (url, secret) in [
            ("https://b.s3.amazonaws.com/x?X-Amz-Date=1&X-Amz-Signature=[secret:signature:ab]", signature),
            ("https://a.blob.core.windows.net/c/x?sv=1&sig=[secret:signature:ab]", signature),
            ("https://files.example/s/q1?token=[secret:token:cd]", token),
        ] {
            assert!(is_link_signature(url, secret), "{url}");
        }
        for (url, secret) in [
            ("https://api.example/v1/users?token=[secret:token:cd]", token),
            ("https://files.example/s/q1?token=other", token),
            ("http://files.example/s/q1?token=[secret:token:cd]", token),
            ("https://[secret:token:cd]@files.example/s/q1", token),
            ("", ""),
        ] {
            assert!(!is_link_signature(url, secret), "{url}");
        }
    }
}
