//! The addresses under which QUIC knows nodes that are reached by forwarding. They never leave the process.
//!
//! An endpoint on an IPv6 address takes them out of one /64 of unique local addresses. One on an IPv4 address takes them
//! out of the multicast block 239.0.0.0/8: quinn dials no IPv6 address from there, and no packet of a real network has a
//! multicast source (RFC 1122, section 3.2.1.3), so nobody is shut out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The network of the IPv6 addresses, drawn at random (RFC 4193): fd6b:9c2e:51d7:7a03::/64.
const V6: u128 = 0xfd6b_9c2e_51d7_7a03 << 64;
/// The network of the IPv4 addresses.
const V4: u32 = 239 << 24;
/// How many hosts the network of the IPv4 addresses has.
const V4_HOSTS: u64 = 1 << 24;
/// How many ports each has, 0 not being one.
const PORTS: u64 = 0xffff;
/// The port of every IPv6 address.
const V6_PORT: u16 = 1;

/// How many addresses there are: about 10^12.
pub(super) const NUMBERS: u64 = V4_HOSTS.saturating_mul(PORTS);

/// Which of the two networks an endpoint takes its addresses from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// The family of a socket on `local`.
    pub(super) const fn of(local: SocketAddr) -> Self {
        match local {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }

    /// The address with `number`, which is below [`NUMBERS`].
    pub(super) fn address(self, number: u64) -> SocketAddr {
        match self {
            Self::V4 => {
                let host = u32::try_from(number / PORTS).unwrap_or(u32::MAX);
                let port = u16::try_from(number % PORTS).unwrap_or(0);
                let ip = Ipv4Addr::from_bits(V4 | (host & !(u32::MAX << 24)));
                SocketAddr::new(ip.into(), port.saturating_add(1))
            }
            Self::V6 => {
                let ip = Ipv6Addr::from_bits(V6 | u128::from(number));
                SocketAddr::new(ip.into(), V6_PORT)
            }
        }
    }
}

/// The number of an address of ours, of either family; `None` for every other address.
pub(crate) fn number(address: SocketAddr) -> Option<u64> {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let host = ip.to_bits() ^ V4;
            let port = u64::from(address.port().saturating_sub(1));
            let first = u64::from(host).saturating_mul(PORTS);
            (host >> 24 == 0).then(|| first.saturating_add(port))
        }
        IpAddr::V6(ip) => {
            let host = ip.to_bits() ^ V6;
            u64::try_from(host).ok()
        }
    }
}

/// Whether the address stands for a node that is reached by forwarding.
pub(crate) fn is_mapped(address: SocketAddr) -> bool {
    number(address).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_an_address_of_its_own_in_either_family() {
        for family in [Family::V4, Family::V6] {
            for number in [0, 1, PORTS - 1, PORTS, PORTS + 1, NUMBERS - 1] {
                let address = family.address(number);
                assert_eq!(super::number(address), Some(number), "{address}");
                assert_ne!(address.port(), 0, "quinn dials no port 0");
                assert_eq!(Family::of(address), family);
            }
        }
        assert_eq!(
            Family::V4.address(PORTS).to_string(),
            "239.0.0.1:1".to_owned()
        );
        assert_eq!(
            Family::V6.address(255).to_string(),
            "[fd6b:9c2e:51d7:7a03::ff]:1".to_owned()
        );
    }

    #[test]
    fn other_addresses_are_not_ours() {
        for other in [
            "127.0.0.1:4433",
            "238.255.255.255:1",
            "240.0.0.0:1",
            "[::1]:4433",
            "[fd6b:9c2e:51d7:7a02:ffff:ffff:ffff:ffff]:1",
            "[fd6b:9c2e:51d7:7a04::]:1",
            "[::ffff:10.0.0.1]:1",
        ] {
            assert!(!is_mapped(other.parse().unwrap()), "{other}");
        }
        for ours in [
            "239.0.0.0:0",
            "239.255.255.255:65535",
            "[::ffff:239.1.2.3]:9",
            "[fd6b:9c2e:51d7:7a03:ffff:ffff:ffff:ffff]:4433",
        ] {
            assert!(is_mapped(ours.parse().unwrap()), "{ours}");
        }
    }
}
