//! PEM (RFC 7468), read and written without leaving copies of a key in memory.

use zeroize::Zeroizing;

/// The label of a certificate.
pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
/// The label of a private key in PKCS#8.
pub(crate) const PRIVATE_KEY: &str = "PRIVATE KEY";

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Characters of a line; every line but the last of a section has as many.
const LINE_LEN: usize = 64;

/// One section: lines of 64 characters, each ended by a line feed.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let lines = der.len().div_ceil(48).saturating_add(3);
    // Enough for all of it, so that growing leaves no copy behind.
    let mut out = Zeroizing::new(String::with_capacity(lines.saturating_mul(80)));
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            put_group(group, &mut out);
        }
        out.push('\n');
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

/// Three bytes as four characters; fewer are padded.
fn put_group(group: &[u8], out: &mut String) {
    let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
    let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
    for at in 0..4_u32 {
        if at > u32::try_from(group.len()).unwrap_or(3) {
            out.push('=');
            continue;
        }
        let shift = 18_u32.saturating_sub(at.saturating_mul(6));
        let index = usize::try_from((bits >> shift) & 63).unwrap_or_default();
        out.push(char::from(DIGITS.get(index).copied().unwrap_or(b'=')));
    }
}

/// The sections of `text`, all of which have this label, at most `max` of them.
///
/// Text around the sections is skipped, as RFC 7468 asks.
pub(crate) fn decode(
    label: &str,
    text: &str,
    max: usize,
) -> Result<Vec<Zeroizing<Vec<u8>>>, &'static str> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut sections = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with("-----BEGIN ") {
            continue;
        }
        if line.trim_end() != begin {
            return Err("it holds a section of another kind");
        }
        if sections.len() >= max {
            return Err("it holds more sections than it may");
        }
        sections.push(section(&mut lines, &end, text.len())?);
    }
    Ok(sections)
}

fn section<'a>(
    lines: &mut impl Iterator<Item = &'a str>,
    end: &str,
    capacity: usize,
) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut out = Zeroizing::new(Vec::with_capacity(capacity));
    let mut last = false;
    for line in lines {
        let line = line.trim_end();
        if line == end {
            return Ok(out);
        }
        let padded_inside = line.trim_end_matches('=').contains('=');
        if last || padded_inside || line.is_empty() || line.len() > LINE_LEN {
            return Err("a section is not base64 in lines of 64");
        }
        last = line.len() < LINE_LEN || line.ends_with('=');
        for group in line.as_bytes().chunks(4) {
            take_group(group, &mut out).ok_or("a section is not base64 in lines of 64")?;
        }
    }
    Err("a section has no end")
}

/// Four characters as three bytes; the bits that padding leaves over have to be zero.
fn take_group(group: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let [a, b, c, d] = group else { return None };
    let (padding, c, d) = match (c, d) {
        (b'=', b'=') => (2, 0, 0),
        (c, b'=') => (1, digit(*c)?, 0),
        (c, d) => (0, digit(*c)?, digit(*d)?),
    };
    let bits = (digit(*a)? << 18) | (digit(*b)? << 12) | (c << 6) | d;
    let [_, x, y, z] = bits.to_be_bytes();
    match padding {
        0 => out.extend_from_slice(&[x, y, z]),
        1 if z == 0 => out.extend_from_slice(&[x, y]),
        2 if y == 0 && z == 0 => out.push(x),
        _ => return None,
    }
    Some(())
}

fn digit(character: u8) -> Option<u32> {
    let at = match character {
        b'A'..=b'Z' => character.saturating_sub(b'A'),
        b'a'..=b'z' => character.saturating_sub(b'a').saturating_add(26),
        b'0'..=b'9' => character.saturating_sub(b'0').saturating_add(52),
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        for (bytes, text) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let whole = format!("-----BEGIN X-----\n{text}\n-----END X-----\n");
            assert_eq!(*encode("X", bytes.as_bytes()), whole);
            let read = decode("X", &whole, 1).unwrap();
            assert_eq!(read.len(), 1);
            assert_eq!(*read[0], bytes.as_bytes());
        }
    }

    #[test]
    fn what_is_not_pem_is_refused() {
        let good = encode("X", &[7; 100]);
        assert_eq!(decode("X", &good, 1).map(|all| all.len()), Ok(1));
        assert_eq!(decode("X", "", 1).map(|all| all.len()), Ok(0));
        let noted = format!("a note\n{}another\r\n", good.replace('\n', "\r\n"));
        assert_eq!(*decode("X", &noted, 1).unwrap()[0], vec![7; 100]);
        for bad in [
            good.replace("END", "FIN"),
            good.replace("BEGIN X", "BEGIN Y"),
            good.replace("BwcHBwcH", "BwcH wcH"),
            good.replacen("BwcHBw==", "BwcHBx==", 1),
            good.replacen("BwcHBw==", "BwcHBw=", 1),
            good.replacen("\nBwcH", "\nBwc", 1),
            good.replacen("\nBwcH", "\n\nBwcH", 1),
            good.repeat(2),
        ] {
            assert!(decode("X", &bad, 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_bits_behind_the_last_byte_are_zero() {
        let read = |text: &str| {
            let whole = format!("-----BEGIN X-----\n{text}\n-----END X-----\n");
            decode("X", &whole, 1).map(|all| all[0].to_vec())
        };
        assert_eq!(read("Zg=="), Ok(b"f".to_vec()));
        assert_eq!(read("Zm8="), Ok(b"fo".to_vec()));
        for bad in [
            "Zh==", "Zm9=", "Z===", "====", "Zg=v", "Zg", "Zm9vZ", "Zm8=Zm8=",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(der in proptest::collection::vec(any::<u8>(), 1..400)) {
            let text = encode(CERTIFICATE, &der);
            let read = decode(CERTIFICATE, &text, 1).unwrap();
            prop_assert_eq!(&*read[0], &der);
        }

        #[test]
        fn no_text_panics(text in "(-----BEGIN X-----\n)?[A-Za-z0-9+/=\n -]{0,200}(-----END X-----\n)?") {
            let read = decode("X", &text, 2);
            prop_assert!(read.map_or(true, |all| all.len() <= 2));
        }
    }
}
