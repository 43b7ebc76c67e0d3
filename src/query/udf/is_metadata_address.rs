//! `is_metadata_address(host_or_url)`: whether an address is a cloud's instance metadata service, which hands out
//! credentials to whatever runs on the machine.

use super::address::{self, Address};
use super::{About, Body, Function};
use datafusion::logical_expr::ScalarUDF;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ABOUT: About = About {
    syntax: "is_metadata_address(host_or_url)",
    text: "Whether a host, address or URL is a cloud's instance metadata or task credential service (AWS, Google \
           Cloud, Azure, Oracle, Alibaba, Tencent, Scaleway and those that share 169.254.169.254), in any spelling \
           of the address.",
    example: "SELECT call_id, value FROM observables WHERE is_metadata_address(value)",
};

pub(crate) fn udf() -> ScalarUDF {
    Function::of_texts("is_metadata_address", &ABOUT, Body::Bool(is_metadata))
}

const V4: &[Ipv4Addr] = &[
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Google Cloud, Azure, Oracle, DigitalOcean, OpenStack, …
    Ipv4Addr::new(169, 254, 170, 2),   // AWS ECS task credentials
    Ipv4Addr::new(169, 254, 170, 23),  // AWS EKS pod identity
    Ipv4Addr::new(168, 63, 129, 16),   // Azure wire server
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud classic
    Ipv4Addr::new(169, 254, 0, 23),    // Tencent Cloud
    Ipv4Addr::new(169, 254, 42, 42),   // Scaleway
];

const V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // AWS EKS pod identity
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google Cloud
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),   // Scaleway
];

const NAMES: &[&str] = &[
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.tencentyun.com",
    "metadata.packet.net",
    "metadata.platformequinix.com",
];

fn is_metadata(text: &str) -> bool {
    match address::of_any(text) {
        Some(Address::Ip(ip)) => is_metadata_ip(ip),
        Some(Address::Name(name)) => {
            NAMES.contains(&name.as_str())
                || (name == "metadata" && address::is_url(text))
                || address::implied(&name).is_some_and(is_metadata_ip)
        }
        None => false,
    }
}

fn is_metadata_ip(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => V4.contains(&ip),
        IpAddr::V6(ip) => V6.contains(&ip) || address::embedded(ip).is_some_and(|inner| V4.contains(&inner)),
    }
}

#[cfg(test)]
mod tests {
    use super::is_metadata;

    #[test]
    fn spellings_do_not_hide_it() {
        for text in [
            "http://169.254.169.254/latest/meta-data/iam/",
            "http://2852039166/",
            "http://0xA9FEA9FE/",
            "http://0251.0376.0251.0376/",
            "http://169.254.43518/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[fd00:ec2::254]/",
            "http://metadata.google.internal./computeMetadata/v1/",
            "http://169-254-169-254.nip.io/",
            "168.63.129.16",
        ] {
            assert!(is_metadata(text), "{text}");
        }
        for text in [
            "http://169.254.169.1/",
            "metadata",
            "https://metadata.example.com/",
            "https://example.com/169.254.169.254",
        ] {
            assert!(!is_metadata(text), "{text}");
        }
    }
}
