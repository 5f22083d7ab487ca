//! The public networks in which a contact can be dialled. Whoever has one network has as many addresses in it as it likes.

use std::net::{IpAddr, SocketAddr};

use macula_wire::message::Contact;

/// A public network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Network {
    V4([u8; 3]),
    V6([u8; 7]),
}

/// The public networks of all addresses of a contact, some perhaps more than once. It says itself which addresses it has,
/// in what order it likes, so none of them counts less than another.
pub(crate) fn networks(contact: &Contact) -> impl Iterator<Item = Network> {
    contact.addresses.iter().filter_map(network)
}

/// Whether two contacts have addresses in one public network.
pub(crate) fn share(one: &Contact, other: &Contact) -> bool {
    networks(one).any(|network| networks(other).any(|other| other == network))
}

fn network(address: &SocketAddr) -> Option<Network> {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let is_public = !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared);
            is_public.then_some(Network::V4([a, b, c]))
        }
        IpAddr::V6(ip) => {
            let is_public =
                !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local());
            let first = ip.octets().first_chunk::<7>().copied();
            first.filter(|_| is_public).map(Network::V6)
        }
    }
}
