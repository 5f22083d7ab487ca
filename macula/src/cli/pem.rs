//! The first certificate of a PEM file (RFC 7468). There is nothing secret in it.

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The bytes between the first pair of marks.
///
/// # Errors
///
/// What is wrong, if there is no such pair or something else than base64 in it.
pub(crate) fn first_certificate(text: &str) -> Result<Vec<u8>, &'static str> {
    let (_, behind) = text
        .split_once(BEGIN)
        .ok_or("it has no certificate in PEM")?;
    let (body, _) = behind.split_once(END).ok_or("its certificate has no end")?;
    let mut der = Vec::with_capacity(body.len());
    let (mut bits, mut held, mut padding) = (0_u32, 0_u32, 0_u32);
    for character in body.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        if character == b'=' {
            padding = padding.saturating_add(1);
            continue;
        }
        if padding > 0 {
            return Err("its certificate goes on behind its padding");
        }
        bits = (bits << 6) | u32::from(digit(character).ok_or("its certificate is not base64")?);
        held = held.saturating_add(6);
        if held >= 8 {
            held = held.saturating_sub(8);
            der.push(u8::try_from((bits >> held) & 0xff).unwrap_or_default());
        }
    }
    // What is left is padding in bits: less than one digit's worth, and as many `=` as it takes.
    if held >= 6 || padding > 2 || bits.unbounded_shl(32_u32.saturating_sub(held)) != 0 {
        return Err("its certificate is cut off");
    }
    Ok(der)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => character.checked_sub(b'A'),
        b'a'..=b'z' => character.checked_sub(b'a')?.checked_add(26),
        b'0'..=b'9' => character.checked_sub(b'0')?.checked_add(52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_and_nothing_else() {
        let read = |body: &str| first_certificate(&format!("x\n{BEGIN}\n{body}\n{END}\n"));
        assert_eq!(read("").unwrap(), b"");
        assert_eq!(read("Zg==").unwrap(), b"f");
        assert_eq!(read("Zm8=").unwrap(), b"fo");
        assert_eq!(read("Zm9v\nYmFy").unwrap(), b"foobar");
        for wrong in ["Zm9v!", "Z", "Zg==Zg==", "Zh==", "Zg==="] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(first_certificate("Zm9v").is_err());
        assert!(first_certificate(BEGIN).is_err());
    }
}
