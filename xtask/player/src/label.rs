//! Who wrote an event or made a call, and which one it is, as the payload says.

/// The largest label; payloads are at least that long where names are short.
const PAD: char = '.';

/// The payload of an event or a call: the label, filled up to `length` bytes.
pub(crate) fn payload(by: &str, number: u64, length: usize) -> Vec<u8> {
    let mut text = format!("{by} {number} ");
    while text.len() < length {
        text.push(PAD);
    }
    text.into_bytes()
}

/// What a payload says; of one that was not made here, a name that nobody has.
pub(crate) fn read(payload: &[u8]) -> (&str, u64) {
    let parse = || {
        let text = std::str::from_utf8(payload).ok()?;
        let (by, rest) = text.split_once(' ')?;
        let (number, _pad) = rest.split_once(' ')?;
        Some((by, number.parse().ok()?))
    };
    parse().unwrap_or(("(nobody)", u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read_as_it_was_written() {
        for length in [0, 10, 1_000] {
            let payload = payload("w1", 12_345, length);
            assert!(payload.len() >= length);
            assert_eq!(read(&payload), ("w1", 12_345));
        }
    }

    #[test]
    fn what_is_no_label_is_nobodys() {
        for payload in [&b""[..], b"w1", b"w1 x ", b"\xff 1 ", b"w1 1"] {
            assert_eq!(read(payload).0, "(nobody)");
        }
    }
}
