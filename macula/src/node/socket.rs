//! Where a node listens, and where it can be dialled, as far as it can tell by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use macula_transport::BindError;
use macula_wire::ErrorCode;

use crate::Error;

/// The address that others can dial, of a node that listens at `local`.
///
/// Where it listens at every interface, that is the address of the one that leads outwards: the system is asked which
/// it would use, without a packet being sent. A machine without a network advertises its loopback address.
pub(crate) fn advertised(local: SocketAddr) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    // Addresses for documentation (RFC 5737, RFC 3849): routed like any other of the internet, in use by nobody.
    let (any, far, loopback): (SocketAddr, SocketAddr, IpAddr) = match local {
        SocketAddr::V4(_) => (
            (Ipv4Addr::UNSPECIFIED, 0).into(),
            (Ipv4Addr::new(192, 0, 2, 1), 9).into(),
            Ipv4Addr::LOCALHOST.into(),
        ),
        SocketAddr::V6(_) => (
            (Ipv6Addr::UNSPECIFIED, 0).into(),
            (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into(),
            Ipv6Addr::LOCALHOST.into(),
        ),
    };
    let outward = UdpSocket::bind(any)
        .and_then(|socket| socket.connect(far).and_then(|()| socket.local_addr()))
        .map(|address| address.ip())
        .ok()
        .filter(|ip| !ip.is_unspecified());
    SocketAddr::new(outward.unwrap_or(loopback), local.port())
}

/// Why a node cannot listen, and what to do.
pub(super) fn bind_error(error: &BindError, listen: SocketAddr) -> Error {
    match error {
        BindError::AddressInUse { .. } => Error::new(
            ErrorCode::UNAVAILABLE,
            format!(
                "{listen}/udp is in use: stop the program that has it, or choose another with --listen"
            ),
        ),
        other => Error::new(
            ErrorCode::INTERNAL,
            format!("cannot listen at {listen}/udp: {other}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_says_nothing_is_never_advertised() {
        for local in ["0.0.0.0:4433", "[::]:4433"] {
            let found = advertised(local.parse().unwrap());
            assert!(
                !found.ip().is_unspecified() && found.port() == 4433,
                "{found}"
            );
        }
        let exact = "127.0.0.1:7".parse().unwrap();
        assert_eq!(advertised(exact), exact);
    }
}
