//! `host_of(url)`: where a URL leads.

use super::{About, Body, Function, address};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "host_of(url)",
    text: "Host of a URL (`scheme://…` or `//…`): lower case, no port, no user, IDN in punycode, addresses in their \
           usual spelling whatever the one in the URL. NULL if the text is no URL or names no host.",
    example: "SELECT DISTINCT host_of(value) FROM observables WHERE type = 'url'",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("host_of", &ABOUT, Body::Text(|url| address::of_url(url).map(|host| host.to_string())))
}

#[cfg(test)]
mod tests {
    use super::address::of_url;

    #[test]
    fn is_what_a_client_would_connect_to() {
        let host = |url| of_url(url).map(|h| h.to_string());
        assert_eq!(host("https://Example.COM.:443/a?b#c").as_deref(), Some("example.com"));
        assert_eq!(host("https://good.example@evil.example/").as_deref(), Some("evil.example"));
        assert_eq!(host("https://evil.example\\@good.example/").as_deref(), Some("evil.example"));
        assert_eq!(host("https://bücher.example/").as_deref(), Some("xn--bcher-kva.example"));
        assert_eq!(host("postgres://u:p@DB.internal/x").as_deref(), Some("db.internal"));
        assert_eq!(host("http://[::1]:80/").as_deref(), Some("::1"));
        assert_eq!(host("file:///etc/passwd"), None);
        assert_eq!(host("example.com/a"), None);
        assert_eq!(host("mailto:a@example.com"), None);
    }
}
