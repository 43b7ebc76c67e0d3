//! `is_internal_address(host_or_url)`: whether an address lies inside the network of the machine that asks.

use super::address::{self, Address};
use super::{About, Body, Function};
use datafusion::logical_expr::ScalarUDF;
use std::net::{IpAddr, Ipv4Addr};

const ABOUT: About = About {
    syntax: "is_internal_address(host_or_url)",
    text: "Whether a host, address or URL is internal: loopback, private (RFC 1918, ULA), link-local, carrier-grade \
           NAT, unspecified, IPv4 inside IPv6, localhost, .local, .internal, .lan, .home.arpa and similar, and a \
           URL of a network scheme whose host has no dot. Decimal, hex and octal spellings count. Names are not resolved.",
    example: "SELECT call_id, value FROM observables WHERE type = 'url' AND is_internal_address(value)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::remembering("is_internal_address", &ABOUT, Body::Bool(is_internal))
}

/// Zones that public DNS does not answer: RFC 6762, RFC 8375, ICANN's .internal, and customary ones.
const ZONES: &[&str] =
    &[".local", ".internal", ".lan", ".home.arpa", ".localdomain", ".intranet", ".corp", ".home", ".private", ".test"];

fn is_internal(text: &str) -> bool {
    match address::of_any(text) {
        Some(Address::Ip(ip)) => is_internal_ip(ip),
        Some(Address::Name(name)) => match address::implied(&name) {
            Some(ip) => is_internal_ip(ip),
            None => {
                ZONES.iter().any(|zone| name.ends_with(zone)) || (!name.contains('.') && address::is_network_url(text))
            }
        },
        None => false,
    }
}

fn is_internal_ip(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_internal_v4(ip),
        IpAddr::V6(ip) => match address::embedded(ip) {
            Some(inner) => is_internal_v4(inner),
            // fec0::/10 is the site-local range that ULA replaced; it still routes nowhere.
            None => {
                ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local()
                    || ip.segments()[0] & 0xffc0 == 0xfec0
            }
        },
    }
}

fn is_internal_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
}

#[cfg(test)]
mod tests {
    use super::is_internal;

    #[test]
    fn spellings_do_not_hide_it() {
        for text in [
            "10.1.2.3",
            "http://172.31.255.1/x",
            "192.168.0.1:8080",
            "http://2130706433",
            "0x7f000001",
            "http://0300.0250.1",
            "http://0/",
            "100.64.0.1",
            "fe80::1",
            "fd12::1",
            "http://[::ffff:10.0.0.1]/",
            "localhost:3000",
            "http://redis:6379",
            "postgresql+asyncpg://db/orders",
            "GIT+SSH://git@forge/repo",
            "//intranet/share",
            "archive://10.1.2.3/x",
            "db.prod.internal",
            "http://169.254.169.254/",
            "http://10.0.0.1.nip.io/",
        ] {
            assert!(is_internal(text), "{text}");
        }
        for text in [
            "8.8.8.8",
            "https://example.com",
            "172.32.0.1",
            "100.128.0.1",
            "10.1",
            "redis",
            "archive://x",
            "memory://notes",
            "file://report",
            "mcp+tool://search",
            "internal.example.com",
            "2001:db8::1",
            "",
        ] {
            assert!(!is_internal(text), "{text}");
        }
    }
}
