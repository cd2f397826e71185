//! Which addresses are on the public internet, and what an operator lists beside them. Pure.
//!
//! From IANA's registries of special-purpose addresses (RFC 6890). Of IPv6 only what is assigned for global unicast (2000::/3) is public.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// The most entries of an operator's list: it is one of exceptions.
pub const ENTRIES_LIMIT: usize = 100;

const PRIVATE: &str = "a private network";
const RESERVED: &str = "a reserved range";
const LINK: &str = "a link";
const DOCUMENTATION: &str = "a range for documentation";
const MULTICAST: &str = "a multicast group";
const LOOPBACK: &str = "this machine";

/// What of IPv4 is not public.
const V4: &[([u8; 4], u32, &str)] = &[
    ([0, 0, 0, 0], 8, LOOPBACK),
    ([10, 0, 0, 0], 8, PRIVATE),
    ([100, 64, 0, 0], 10, "a provider's network"),
    ([127, 0, 0, 0], 8, LOOPBACK),
    ([169, 254, 0, 0], 16, LINK),
    ([172, 16, 0, 0], 12, PRIVATE),
    ([192, 0, 0, 0], 24, RESERVED),
    ([192, 0, 2, 0], 24, DOCUMENTATION),
    ([192, 88, 99, 0], 24, RESERVED),
    ([192, 168, 0, 0], 16, PRIVATE),
    ([198, 18, 0, 0], 15, "a range for measurements"),
    ([198, 51, 100, 0], 24, DOCUMENTATION),
    ([203, 0, 113, 0], 24, DOCUMENTATION),
    ([224, 0, 0, 0], 4, MULTICAST),
    ([240, 0, 0, 0], 4, RESERVED),
];

/// What of IPv6 is not public, by its first four groups; first match first.
const V6: &[([u16; 4], u32, &str)] = &[
    ([0xfc00, 0, 0, 0], 7, PRIVATE),
    ([0xfe80, 0, 0, 0], 10, LINK),
    ([0xff00, 0, 0, 0], 8, MULTICAST),
    ([0x2001, 0x0db8, 0, 0], 32, DOCUMENTATION),
    ([0x3fff, 0, 0, 0], 20, DOCUMENTATION),
    // Teredo, ORCHID and other assignments of protocols, and 6to4, which has an IPv4 address in it.
    ([0x2001, 0, 0, 0], 23, RESERVED),
    ([0x2002, 0, 0, 0], 16, RESERVED),
];

/// An entry of the list that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Which one.
    #[error("has `{0}`: give an address (`10.1.2.3`), a range (`10.1.0.0/16`) or a host's name (`hooks.internal`)")]
    Entry(String),
    /// Too many.
    #[error("may have at most {ENTRIES_LIMIT} entries")]
    TooMany,
}

/// What an operator lets be called beside the public internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    networks: Vec<(IpAddr, u32)>,
    hosts: BTreeSet<String>,
}

impl Allowed {
    /// Reads a list of addresses, ranges and names of hosts.
    ///
    /// # Errors
    /// The first entry that is none of those.
    pub fn read(entries: &[String]) -> Result<Self, Unreadable> {
        if entries.len() > ENTRIES_LIMIT {
            return Err(Unreadable::TooMany);
        }
        let mut allowed = Self::default();
        for entry in entries.iter().map(|entry| entry.trim()) {
            match (network(entry), Url::parse(&format!("https://{entry}/"))) {
                (Some(network), _) => allowed.networks.push(network),
                (None, Ok(url)) if is_name(entry) && host(&url).parse::<IpAddr>().is_err() => {
                    allowed.hosts.insert(name(host(&url)));
                }
                _ => return Err(Unreadable::Entry(entry.to_owned())),
            }
        }
        Ok(allowed)
    }

    /// This machine: for servers of one's own, where receivers run beside them.
    #[must_use]
    pub fn this_machine() -> Self {
        let networks = vec![(IpAddr::V4(Ipv4Addr::LOCALHOST), 8), (IpAddr::V6(Ipv6Addr::LOCALHOST), 128)];
        Self { networks, hosts: BTreeSet::from(["localhost".to_owned()]) }
    }

    /// Whether the host is listed by its name.
    pub(super) fn names(&self, host: &str) -> bool {
        self.hosts.contains(&name(host))
    }

    /// Whether the address is listed.
    pub(super) fn lists(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|(network, bits)| [address, plain(address)].iter().any(|address| is_within(*address, *network, *bits)))
    }
}

/// A URL's host; an IPv6 address without its brackets. The URL has read every way to write an IPv4 address.
pub(super) fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

/// What kind of address it is, unless it is public.
pub(super) fn kind(address: IpAddr) -> Option<&'static str> {
    match plain(address) {
        IpAddr::V4(plain) => {
            V4.iter().find(|(network, bits, _)| is_within(plain.into(), Ipv4Addr::from(*network).into(), *bits)).map(|row| row.2)
        }
        IpAddr::V6(plain) if plain == Ipv6Addr::LOCALHOST || plain == Ipv6Addr::UNSPECIFIED => Some(LOOPBACK),
        IpAddr::V6(plain) => {
            let first = |[a, b, c, d]: [u16; 4]| Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0);
            let special = V6.iter().find(|(network, bits, _)| is_within(plain.into(), first(*network).into(), *bits)).map(|row| row.2);
            special.or((plain.segments()[0] & 0xe000 != 0x2000).then_some(RESERVED))
        }
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped (RFC 4291 §2.5.5.2), or translated by the well-known prefix (RFC 6052).
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(long) = address else { return address };
    let translated = || match long.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    };
    long.to_ipv4_mapped().or_else(translated).map_or(address, IpAddr::V4)
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => (address.to_bits() ^ network.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0,
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits() ^ network.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0,
        _ => false,
    }
}

fn network(entry: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = entry.split_once('/').map_or((entry, None), |(address, bits)| (address, Some(bits)));
    let address = address.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((address, bits))
}

fn is_name(entry: &str) -> bool {
    !entry.is_empty() && !entry.contains(['/', '?', '#', '@', ':', '*', '[', ' '])
}

fn name(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_public_or_of_a_kind() {
        for (addresses, expected) in [
            (
                &["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "198.20.0.0", "223.255.255.255"][..],
                None,
            ),
            (&["2606:4700::1111", "2a00::1", "2001:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"], None),
            (
                &["127.0.0.1", "127.255.255.255", "0.0.0.0", "0.1.2.3", "::1", "::", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"],
                Some(LOOPBACK),
            ),
            (&["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.1.1", "::ffff:10.0.0.1"], Some(PRIVATE)),
            (&["fc00::", "fdff:ffff::1", "64:ff9b::192.168.0.1"], Some(PRIVATE)),
            (&["169.254.0.0", "169.254.169.254", "fe80::1", "febf::1", "64:ff9b::a9fe:a9fe"], Some(LINK)),
            (&["100.64.0.0", "100.127.255.255"], Some("a provider's network")),
            (&["192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "3fff::1", "3fff:fff::"], Some(DOCUMENTATION)),
            (&["198.18.0.0", "198.19.255.255"], Some("a range for measurements")),
            (&["224.0.0.1", "239.255.255.255", "ff02::1"], Some(MULTICAST)),
            (&["192.0.0.8", "192.88.99.1", "240.0.0.1", "255.255.255.255"], Some(RESERVED)),
            (
                &["2001::1", "2001:1ff::1", "2002:7f00:1::", "::8.8.8.8", "100::1", "64:ff9b:1::1", "fec0::1", "4000::", "5f00::1"],
                Some(RESERVED),
            ),
        ] {
            for address in addresses {
                assert_eq!(kind(address.parse().unwrap()), expected, "{address}");
            }
        }
    }

    #[test]
    fn entries_are_addresses_ranges_and_names() {
        let read = |entries: &[&str]| Allowed::read(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>());
        let all = read(&["10.1.2.3", "0.0.0.0/0", "::/0", "fd00::/8", "localhost", "Hooks.Internal.", " 127.0.0.0/8 "]).unwrap();
        assert!(all.lists("192.168.0.1".parse().unwrap()) && all.lists("fe80::1".parse().unwrap()));
        assert!(all.names("hooks.internal") && all.names("LOCALHOST") && !all.names("internal"));
        let one = read(&["10.1.2.3", "fd00::1"]).unwrap();
        assert!(one.lists("10.1.2.3".parse().unwrap()) && one.lists("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!one.lists("10.1.2.2".parse().unwrap()) && !one.lists("fd00::2".parse().unwrap()));
        for entry in
            ["", "10.0.0.0/33", "10.0.0.0/x", "::/129", "*", "*.internal", "http://x", "x:80", "x/y", "a b", "u@x", "10.1", "2130706433"]
        {
            assert_eq!(read(&[entry]), Err(Unreadable::Entry(entry.into())), "{entry}");
        }
        let many: Vec<String> = (0..=ENTRIES_LIMIT).map(|number| format!("h{number}")).collect();
        assert_eq!(Allowed::read(&many), Err(Unreadable::TooMany));
    }
}
