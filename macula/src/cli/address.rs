//! Addresses as people write them.

use std::net::{SocketAddr, ToSocketAddrs};

/// Reads `HOST:PORT`; a name is looked up, and its first address taken.
///
/// # Errors
///
/// The text to show, if it is no address or the name is not known.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let found = text.to_socket_addrs().map_err(|error| {
        format!("{text:?} is no address ({error}): write HOST:PORT, as in 127.0.0.1:4433")
    })?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| format!("{text:?} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_a_port() {
        assert_eq!(parse("127.0.0.1:4433").unwrap().port(), 4433);
        assert!(parse("[::1]:1").unwrap().is_ipv6());
        for text in ["127.0.0.1", "", ":4433x", "127.0.0.1:70000"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
