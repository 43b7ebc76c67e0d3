//! `in_network(host_or_url, network)`: whether an address lies in a network in CIDR notation.

use super::address::{self, Address};
use super::{About, Body, Function};
use datafusion::logical_expr::ScalarUDF;
use std::net::IpAddr;

const ABOUT: About = About {
    syntax: "in_network(host_or_url, network)",
    text: "Whether an address, or the address that a URL names, lies in a network such as 10.0.0.0/8 or fd00::/8. \
           False for names, which are not resolved, and for what is no network.",
    example: "SELECT call_id, value FROM observables WHERE in_network(value, '10.0.0.0/8')",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("in_network", &ABOUT, Body::BoolOfTwo(in_network))
}

fn in_network(host_or_url: &str, network: &str) -> bool {
    parse_network(network).is_some_and(|network| lies_in(host_or_url, network))
}

/// Whether an address, or the one that a URL names, lies in the network.
pub(super) fn lies_in(host_or_url: &str, network: (IpAddr, u32)) -> bool {
    matches!(address::of_any(host_or_url), Some(Address::Ip(ip)) if contains(network, ip))
}

/// Reads `10.0.0.0/8`; an address alone is a network of one.
pub fn parse_network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(a, b)| (a, Some(b)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((address, bits))
}

fn contains((network, bits): (IpAddr, u32), ip: IpAddr) -> bool {
    let same = |a: u128, b: u128, width: u32| bits == 0 || (a ^ b) >> (width - bits) == 0;
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => same(u32::from(network).into(), u32::from(ip).into(), 32),
        (IpAddr::V6(network), IpAddr::V6(ip)) => same(network.into(), ip.into(), 128),
        (IpAddr::V4(_), IpAddr::V6(ip)) => {
            address::embedded(ip).is_some_and(|ip| contains((network, bits), IpAddr::V4(ip)))
        }
        (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
