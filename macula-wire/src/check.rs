//! What values have to fulfil beside their layout: asked when they are written and when they are read.
//!
//! The same function judges in both directions, so that nothing is sent that its receiver has to refuse.

use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::limit::{MAX_ZONE_LEN, TOKEN_LEN};
use crate::{EncodeError, ErrorCode, RetryHint};

/// Refuses `value` for `field` unless `holds`.
pub(crate) const fn require(
    holds: bool,
    field: &'static str,
    value: u64,
) -> Result<(), EncodeError> {
    if holds {
        Ok(())
    } else {
        Err(EncodeError::Invalid { field, value })
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// At least one.
pub(crate) const fn some<T>(field: &'static str, items: &[T]) -> Result<(), EncodeError> {
    require(!items.is_empty(), field, 0)
}

/// Each greater than the one before it.
pub(crate) fn ascending<'a, T: Ord + ?Sized + 'a>(
    items: impl IntoIterator<Item = &'a T>,
) -> Result<(), EncodeError> {
    if items.into_iter().is_sorted_by(|one, next| one < next) {
        Ok(())
    } else {
        Err(EncodeError::NotCanonical)
    }
}

/// A token has exactly its length.
pub(crate) fn token(token: Option<&Bytes>) -> Result<(), EncodeError> {
    token.map_or(Ok(()), |token| {
        require(token.len() == TOKEN_LEN, "token", length(token))
    })
}

/// A byte string that is there is not empty: none has one form.
pub(crate) fn filled(field: &'static str, value: Option<&Bytes>) -> Result<(), EncodeError> {
    value.map_or(Ok(()), |value| require(!value.is_empty(), field, 0))
}

/// No certificate is empty.
pub(crate) fn certificates(chain: &[Bytes]) -> Result<(), EncodeError> {
    require(
        chain.iter().all(|certificate| !certificate.is_empty()),
        "chain",
        0,
    )
}

/// An address that a packet can be sent to.
pub(crate) fn address(field: &'static str, address: &SocketAddr) -> Result<(), EncodeError> {
    let ip = address.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let reachable = !ip.is_unspecified() && !ip.is_multicast() && !broadcast;
    require(reachable && address.port() != 0, field, 0)
}

/// Addresses that packets can be sent to, none of them twice.
pub(crate) fn addresses(addresses: &[SocketAddr]) -> Result<(), EncodeError> {
    let plain = |address: &SocketAddr| (address.ip().to_canonical(), address.port());
    for (index, one) in addresses.iter().enumerate() {
        address("addresses", one)?;
        let mut before = addresses.iter().take(index).map(plain);
        if before.any(|earlier| earlier == plain(one)) {
            return Err(EncodeError::NotCanonical);
        }
    }
    Ok(())
}

/// A text that is compared: one visible ASCII character at least, no other, no space.
pub(crate) fn word(field: &'static str, text: &str) -> Result<(), EncodeError> {
    some(field, text.as_bytes())?;
    let other = text.chars().find(|one| !one.is_ascii_graphic());
    other.map_or(Ok(()), |other| {
        require(false, field, u64::from(u32::from(other)))
    })
}

/// A zone: 1 to 63 of `[a-z0-9-]`.
pub(crate) fn zone(zone: Option<&str>) -> Result<(), EncodeError> {
    let Some(zone) = zone else {
        return Ok(());
    };
    some("zone", zone.as_bytes())?;
    if zone.len() > MAX_ZONE_LEN {
        return Err(EncodeError::TooLarge {
            field: "zone",
            max: MAX_ZONE_LEN,
        });
    }
    let legal = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let other = zone.bytes().find(|byte| !legal(byte));
    other.map_or(Ok(()), |other| require(false, "zone", u64::from(other)))
}

/// No control character: a text of a peer ends up in logs and on terminals.
pub(crate) fn text(field: &'static str, text: &str) -> Result<(), EncodeError> {
    let control = text.chars().find(|one| one.is_control());
    control.map_or(Ok(()), |control| {
        require(false, field, u64::from(u32::from(control)))
    })
}

/// An error is an error, and says when to try again only if that is its hint.
pub(crate) fn error(
    code: ErrorCode,
    retry: RetryHint,
    retry_after_ms: Option<u32>,
) -> Result<(), EncodeError> {
    require(code != ErrorCode::OK, "code", 0)?;
    let after = retry_after_ms.map_or(0, u64::from);
    let fits = retry_after_ms.is_none() || retry == RetryHint::After;
    require(fits, "retry_after_ms", after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_can_be_dialled_are_announced() {
        for (text, accepted) in [
            ("192.0.2.1:4433", true),
            ("127.0.0.1:1", true),
            ("[2001:db8::1]:4433", true),
            ("[::ffff:192.0.2.1]:4433", true),
            ("192.0.2.1:0", false),
            ("0.0.0.0:4433", false),
            ("[::]:4433", false),
            ("[::ffff:0.0.0.0]:4433", false),
            ("224.0.0.1:4433", false),
            ("[ff02::1]:4433", false),
            ("255.255.255.255:4433", false),
        ] {
            let parsed = text.parse().unwrap();
            assert_eq!(address("address", &parsed).is_ok(), accepted, "{text}");
        }
    }

    #[test]
    fn texts_of_each_sort() {
        for (accepted, refused) in [("a-1", ""), ("z", "Z"), ("eu-west-1", "eu west")] {
            assert_eq!(zone(Some(accepted)), Ok(()));
            assert!(zone(Some(refused)).is_err(), "{refused}");
        }
        assert!(zone(Some("a".repeat(63).as_str())).is_ok());
        assert!(zone(Some("a".repeat(64).as_str())).is_err());
        assert!(text("detail", "caf\u{e9} \u{1f600}").is_ok());
        for refused in ["\n", "a\u{1b}[31m", "\u{7f}", "\u{85}"] {
            assert!(text("detail", refused).is_err(), "{refused:?}");
        }
        assert!(word("key", "x-a.B").is_ok());
        for refused in ["", "a b", "\u{e9}"] {
            assert!(word("key", refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn only_the_hint_after_names_a_time() {
        let code = ErrorCode::RATE_LIMITED;
        assert!(error(code, RetryHint::After, Some(5)).is_ok());
        assert!(error(code, RetryHint::After, None).is_ok());
        assert!(error(code, RetryHint::Backoff, Some(5)).is_err());
        assert!(error(ErrorCode::OK, RetryHint::No, None).is_err());
    }
}
