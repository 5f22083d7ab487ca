//! The little of DER (ITU-T X.690) that the profile needs, in its one legal form.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const SEQUENCE: u8 = 0x30;
/// The context tag `[0]`, implicit, of a primitive type.
pub(crate) const CONTEXT_0: u8 = 0x80;
/// The context tag `[1]`, implicit, of a primitive type.
pub(crate) const CONTEXT_1: u8 = 0x81;
/// The tag of a URI in a general name (RFC 5280, section 4.2.1.6).
pub(crate) const URI: u8 = 0x86;

/// Reads one value after the other.
pub(crate) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next value.
    pub(crate) fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The content of the next value, if it has this tag and its length is in the shortest form.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        if *found != tag {
            return None;
        }
        let (len, rest) = length(rest)?;
        let content = rest.get(..len)?;
        self.0 = rest.get(len..)?;
        Some(content)
    }

    /// The next value as a whole: a sequence that holds others.
    pub(crate) fn sequence(&mut self) -> Option<Self> {
        self.take(SEQUENCE).map(Self)
    }

    /// The next value as a number of at most 32 bits, in its shortest form.
    pub(crate) fn number(&mut self) -> Option<u32> {
        let content = self.take(INTEGER)?;
        let digits = match content {
            [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => rest,
            [first, ..] if *first < 0x80 && (*first != 0 || content.len() == 1) => content,
            _ => return None,
        };
        if digits.len() > 4 {
            return None;
        }
        Some(
            digits
                .iter()
                .fold(0, |number, byte| (number << 8) | u32::from(*byte)),
        )
    }
}

/// A length of at most 65,535 in its shortest form, and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ 0..=0x7f, rest @ ..] => Some((usize::from(*short), rest)),
        [0x81, len @ 0x80..=0xff, rest @ ..] => Some((usize::from(*len), rest)),
        [0x82, high @ 1..=0xff, low, rest @ ..] => {
            Some((usize::from(u16::from_be_bytes([*high, *low])), rest))
        }
        _ => None,
    }
}

/// The value of this tag and content, which is at most 65,535 bytes.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let [high, low] = len.to_be_bytes();
    let mut out = vec![tag];
    match len {
        0..=0x7f => out.push(low),
        0x80..=0xff => out.extend_from_slice(&[0x81, low]),
        _ => out.extend_from_slice(&[0x82, high, low]),
    }
    out.extend_from_slice(content);
    out
}

/// A number in its shortest form.
pub(crate) fn number(number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take(3).take_while(|byte| **byte == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    let mut content = Vec::with_capacity(5);
    if digits.first().is_some_and(|byte| *byte >= 0x80) {
        content.push(0);
    }
    content.extend_from_slice(digits);
    value(INTEGER, &content)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_have_one_form() {
        for (bytes, expected) in [
            (&[2, 1, 0][..], Some(0)),
            (&[2, 1, 0x7f], Some(0x7f)),
            (&[2, 2, 0, 0x80], Some(0x80)),
            (&[2, 5, 0, 0xff, 0xff, 0xff, 0xff], Some(u32::MAX)),
            (&[2, 0], None),
            (&[2, 2, 0, 0x7f], None),
            (&[2, 2, 0, 0], None),
            (&[2, 1, 0x80], None),
            (&[2, 5, 1, 0, 0, 0, 0], None),
            (&[2, 0x81, 1, 0], None),
            (&[2, 2, 1], None),
            (&[4, 1, 0], None),
        ] {
            assert_eq!(Der::new(bytes).number(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn lengths_have_one_form() {
        let long = |head: &[u8], len: usize| [&[SEQUENCE], head, vec![7; len].as_slice()].concat();
        for (bytes, legal) in [
            (long(&[0x7f], 0x7f), true),
            (long(&[0x81, 0x80], 0x80), true),
            (long(&[0x82, 1, 0], 0x100), true),
            (long(&[0x81, 0x7f], 0x7f), false),
            (long(&[0x82, 0, 0x80], 0x80), false),
            (long(&[0x83, 0, 1, 0], 0x100), false),
            (long(&[0x80], 0), false),
            (long(&[0x7f], 0x7e), false),
        ] {
            assert_eq!(Der::new(&bytes).take(SEQUENCE).is_some(), legal);
        }
    }

    proptest! {
        #[test]
        fn a_number_comes_back(number in any::<u32>()) {
            let bytes = super::number(number);
            let mut der = Der::new(&bytes);
            prop_assert_eq!(der.number(), Some(number));
            prop_assert!(der.is_empty());
        }

        #[test]
        fn a_value_comes_back_or_was_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let whole = value(URI, &bytes);
            prop_assert_eq!(Der::new(&whole).take(URI), Some(bytes.as_slice()));
            if let Some(tag) = Der::new(&bytes).tag() {
                let mut der = Der::new(&bytes);
                if let Some(content) = der.take(tag) {
                    prop_assert_eq!([value(tag, content), der.0.to_vec()].concat(), bytes);
                }
            }
        }
    }
}
