//! Host names and addresses as they are written in URLs, including the spellings that hide an address.
//!
//! Parsing follows the WHATWG URL standard (crate `url`), which is what HTTP clients do: `2130706433`, `0x7f.1` and
//! `017700000001` are all 127.0.0.1. Names are not resolved; only names that carry their address (`10.0.0.1.nip.io`)
//! or are reserved for one (`localhost`) are known.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// A host: an address, or a lower-case name without the trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Ip(IpAddr),
    Name(String),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Whether a text is a URL with an authority: `scheme://…` or `//…`.
pub fn is_url(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("//") || scheme_end(text).is_some()
}

/// Schemes behind which a name without a dot is a machine: `archive://report` and `memory://notes` name things.
const NETWORK: &str = "http https ws wss ftp ftps sftp ssh scp git svn rsync smb cifs nfs afp webdav dav davs telnet tcp udp tls ssl \
    grpc grpcs h2c rtsp rtmp sip sips stun turn xmpp irc ircs ldap ldaps imap imaps pop3 smtp smtps dict gopher \
    finger tftp vnc rdp coap coaps mqtt mqtts amqp amqps kafka nats stomp zmq redis rediss memcached mongodb \
    postgres postgresql mysql mariadb mssql sqlserver oracle clickhouse cassandra neo4j bolt couchdb influxdb \
    elasticsearch opensearch hdfs webhdfs zookeeper etcd consul docker syslog snmp ntp dns socks4 socks5 socks5h \
    proxy";

/// Whether a text is a URL that leads to a host: by its scheme, of which the first part counts (`git+ssh`, `postgresql+asyncpg`).
pub fn is_network_url(text: &str) -> bool {
    let text = text.trim_start();
    let scheme = scheme_end(text).map(|end| text[..end - 3].to_ascii_lowercase());
    let known = |scheme: String| NETWORK.split(' ').any(|name| Some(name) == scheme.split('+').next());
    text.starts_with("//") || scheme.is_some_and(known)
}

/// The host of a URL; `None` for anything else and for URLs without one (`file:///etc`, `mailto:`).
pub fn of_url(url: &str) -> Option<Address> {
    let url = url.trim();
    if let Some(name) = plain_name(url) {
        return Some(Address::Name(name.to_owned()));
    }
    let absolute = if url.starts_with("//") { format!("http:{url}") } else { url.to_owned() };
    scheme_end(&absolute)?;
    let host = match Url::parse(&absolute) {
        // Schemes that the standard does not know keep their host as written: parse it as HTTP would.
        Ok(parsed) => parsed.host_str().map(str::to_owned),
        // A bad port or path must not hide the host.
        Err(_) => Some(authority(&absolute[scheme_end(&absolute)?..]).to_owned()),
    }?;
    of_host(&host)
}

/// The host of a URL as nearly all are written: names in lower case under HTTP, which parsing would give back as they are. Rules ask for the hosts of
/// all URLs of a lake.
fn plain_name(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let is_plain = |label: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        label.bytes().all(plain) && !label.is_empty() && !label.starts_with("xn--")
    };
    // A last part that begins with a digit may make an address of the whole.
    let last = host.rsplit('.').next()?;
    (last.starts_with(|c: char| c.is_ascii_lowercase()) && host.split('.').all(is_plain)).then_some(host)
}

/// A host as it stands in a URL, without port: `example.com`, `[::1]`, `0x7f000001`.
pub fn of_host(host: &str) -> Option<Address> {
    let host = host.trim();
    // A bare IPv6 address needs brackets to be a URL's host.
    if let Ok(ip) = host.parse::<Ipv6Addr>() {
        return Some(Address::Ip(ip.into()));
    }
    match Host::parse(host) {
        Ok(Host::Ipv4(ip)) => Some(Address::Ip(ip.into())),
        Ok(Host::Ipv6(ip)) => Some(Address::Ip(ip.into())),
        Ok(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            (!name.is_empty()).then_some(Address::Name(name))
        }
        Err(_) => None,
    }
}

/// A URL, a host, an address, or one of the latter with port, path or user.
pub fn of_any(text: &str) -> Option<Address> {
    let text = text.trim();
    if is_url(text) {
        return of_url(text);
    }
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Some(Address::Ip(ip.into()));
    }
    let host = authority(text);
    match of_host(host)? {
        // Without a URL around it a number is a version (`1.2`) or a count more often than an address.
        Address::Ip(IpAddr::V4(_)) if !looks_like_address(host) => None,
        address => Some(address),
    }
}

/// The address that a name stands for without asking anyone: reserved names, and wildcard DNS services that
/// answer with the address in the name.
pub fn implied(name: &str) -> Option<IpAddr> {
    let is = |zone: &str| name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
    if ["localhost", "localtest.me", "lvh.me", "vcap.me"].into_iter().any(is) || name == "localhost.localdomain" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let rest = [".nip.io", ".sslip.io", ".xip.io"].into_iter().find_map(|zone| name.strip_suffix(zone))?;
    let labels: Vec<&str> = rest.rsplit('.').take(4).collect();
    let dotted = (labels.len() == 4).then(|| labels.iter().rev().copied().collect::<Vec<_>>().join("."));
    let last = labels.first().copied().unwrap_or_default();
    // `10-0-0-1.nip.io`, `name-10-0-0-1.nip.io`, `0a000001.nip.io`, `--1.sslip.io`
    let dashed = last.rsplitn(5, '-').take(4).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(".");
    let hex = (last.len() == 8).then(|| u32::from_str_radix(last, 16).ok()).flatten();
    dotted
        .and_then(|d| d.parse().ok())
        .or_else(|| dashed.parse::<Ipv4Addr>().ok().map(IpAddr::from))
        .or_else(|| hex.map(|bits| Ipv4Addr::from_bits(bits).into()))
        .or_else(|| last.replace('-', ":").parse::<Ipv6Addr>().ok().map(IpAddr::from))
}

/// The IPv4 address inside an IPv6 one: mapped, compatible, NAT64, 6to4.
pub fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] if ip > Ipv6Addr::LOCALHOST => {
            Some(v4(high, low))
        }
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// Index after `scheme://` (browsers and clients take backslashes for slashes).
fn scheme_end(text: &str) -> Option<usize> {
    let colon = text.find(':')?;
    let scheme = &text[..colon];
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let slashes = text.get(colon + 1..colon + 3)?.bytes().all(|b| b == b'/' || b == b'\\');
    (valid && slashes).then_some(colon + 3)
}

/// The host part of `user@host:port/path`.
fn authority(text: &str) -> &str {
    let text = text.trim_start_matches(['/', '\\']);
    let end = text.find(['/', '\\', '?', '#']).unwrap_or(text.len());
    let host = text[..end].rsplit('@').next().unwrap_or_default();
    match host.rfind(']') {
        Some(close) => &host[..=close],
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Four numbers, or one that is too long or too odd to be anything else.
fn looks_like_address(host: &str) -> bool {
    host.split('.').filter(|label| !label.is_empty()).count() == 4
        || host.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("0x"))
        || host.len() >= 9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_parsed_is_what_parsing_gives() {
        let labels = [
            "a",
            "example",
            "a1",
            "1a",
            "0x7f",
            "a-b",
            "-a",
            "a-",
            "a--b",
            "xn--a",
            "xn--bcher-kva",
            "A",
            "ä",
            "a_b",
            "%61",
            "127",
            "",
            "com",
            "test",
        ];
        let mut plain = 0;
        for scheme in ["http://", "https://", "HTTPS://", "ftp://", "//"] {
            for first in labels {
                for last in labels {
                    for end in ["", "/p?q#f", "?q", "#f", ":80/x", ":99999/", "\\x", "/a\tb c", "."] {
                        let url = format!("{scheme}{first}.{last}{end}");
                        let Some(name) = plain_name(&url) else { continue };
                        assert_eq!(Url::parse(&url).ok().as_ref().and_then(Url::host_str), Some(name), "{url}");
                        assert_eq!(of_host(name), Some(Address::Name(name.to_owned())), "{url}");
                        plain += 1;
                    }
                }
            }
        }
        assert!(plain > 500, "{plain}");
    }

    #[test]
    fn every_spelling_of_one_address_is_that_address() {
        let loopback = Some(Address::Ip(Ipv4Addr::LOCALHOST.into()));
        for text in [
            "http://127.0.0.1/",
            "http://2130706433",
            "http://0x7f000001:80/x",
            "http://0177.0.0.1",
            "http://127.1",
            "http://user:pw@127.0.0.1:99999/",
            "HTTP:\\\\127.0.0.1\\x",
            "http://%31%32%37.0.0.1/",
            "http://１２７.0.0.1",
            "ssh://git@127.0.0.1:22/repo",
            "//127.0.0.1/x",
            "2130706433",
            "127.0.0.1:8080/admin",
        ] {
            assert_eq!(of_any(text), loopback, "{text}");
        }
        assert_eq!(of_any("[::1]:8080"), Some(Address::Ip(Ipv6Addr::LOCALHOST.into())));
        assert_eq!(of_any("1.2"), None);
        assert_eq!(of_any(""), None);
    }

    #[test]
    fn a_name_that_carries_its_address_gives_it() {
        let ten = Some(IpAddr::from([10, 0, 0, 1]));
        for name in ["10.0.0.1.nip.io", "app.10.0.0.1.nip.io", "app-10-0-0-1.sslip.io", "0a000001.nip.io"] {
            assert_eq!(implied(name), ten, "{name}");
        }
        assert_eq!(implied("mylocalhost"), None);
        assert_eq!(implied("nip.io"), None);
    }

    #[test]
    fn ipv6_gives_up_the_ipv4_address_inside() {
        for text in ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"] {
            let ip: Ipv6Addr = text.parse().expect("an address");
            assert_eq!(embedded(ip), Some(Ipv4Addr::new(169, 254, 169, 254)), "{text}");
        }
        assert_eq!(embedded(Ipv6Addr::LOCALHOST), None);
    }
}
