//! `registrable_domain(host)`: the part of a host name that somebody registered, roughly.

use super::address::{self, Address};
use super::{About, Body, Function};
use datafusion::logical_expr::ScalarUDF;

const ABOUT: About = About {
    syntax: "registrable_domain(host)",
    text: "The last two labels of a host name, or three where the last two are a public suffix (co.uk, com.au, …) \
           or a service that gives a subdomain to anyone (github.io, vercel.app, …). An address or a single label \
           stays as it is. A short built-in list, not the Public Suffix List: good for grouping, not for deciding \
           who owns a name.",
    example: "SELECT DISTINCT registrable_domain(host_of(value)) FROM observables WHERE type = 'url'",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("registrable_domain", &ABOUT, Body::Text(registrable_domain))
}

/// Second-level labels under which country registries sell names.
const COUNTRY_SECOND: &[&str] = &[
    "ac", "co", "com", "edu", "firm", "gen", "go", "gob", "gouv", "gov", "govt", "gv", "ind", "info", "ltd", "me",
    "mil", "ne", "net", "nic", "nom", "or", "org", "plc", "sch",
];

/// Hosting, tunnel and dynamic DNS services where the next label is the customer.
const SHARED: &[&str] = &[
    "amplifyapp.com",
    "appspot.com",
    "azureedge.net",
    "azurewebsites.net",
    "blogspot.com",
    "cloudapp.net",
    "cloudfront.net",
    "ddns.net",
    "deno.dev",
    "duckdns.org",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "gitlab.io",
    "glitch.me",
    "herokuapp.com",
    "hf.space",
    "loca.lt",
    "myshopify.com",
    "netlify.app",
    "ngrok-free.app",
    "ngrok-free.dev",
    "ngrok.app",
    "ngrok.io",
    "no-ip.org",
    "oast.fun",
    "oast.live",
    "oast.me",
    "oast.online",
    "oast.pro",
    "oast.site",
    "onrender.com",
    "pages.dev",
    "pipedream.net",
    "r2.dev",
    "railway.app",
    "repl.co",
    "replit.app",
    "replit.dev",
    "run.app",
    "serveo.net",
    "surge.sh",
    "sytes.net",
    "trycloudflare.com",
    "ts.net",
    "vercel.app",
    "web.app",
    "webflow.io",
    "wixsite.com",
    "workers.dev",
    "zapto.org",
];

fn registrable_domain(host: &str) -> Option<String> {
    let name = match address::of_any(host)? {
        Address::Ip(ip) => return Some(ip.to_string()),
        Address::Name(name) => name,
    };
    let labels: Vec<&str> = name.split('.').collect();
    let last = |n: usize| labels[labels.len().saturating_sub(n)..].join(".");
    let country_second = |pair: &str| {
        pair.split_once('.').is_some_and(|(second, country)| country.len() == 2 && COUNTRY_SECOND.contains(&second))
    };
    let pair = last(2);
    Some(if country_second(&pair) || SHARED.contains(&pair.as_str()) { last(3) } else { pair })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_what_one_party_registered() {
        for (host, expected) in [
            ("www.example.com", "example.com"),
            ("a.b.example.co.uk", "example.co.uk"),
            ("evil.github.io", "evil.github.io"),
            ("x.evil.workers.dev", "evil.workers.dev"),
            ("10.0.0.1", "10.0.0.1"),
            ("localhost", "localhost"),
            ("co.uk", "co.uk"),
            ("https://WWW.Example.com/x", "example.com"),
        ] {
            assert_eq!(registrable_domain(host).as_deref(), Some(expected), "{host}");
        }
        assert_eq!(registrable_domain(""), None);
    }
}
