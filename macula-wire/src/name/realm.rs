//! Realm names.

use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use super::{MAX_NAME_LEN, MAX_SEGMENTS, NameError};

/// A realm: a name in reverse DNS order such as `be.acme.iot`.
///
/// Two to 16 labels joined by dots, at most 255 bytes; a label is 1 to 63 of `[a-z0-9-]` with neither end a hyphen
/// (RFC 1035, section 2.3.1, with digits allowed first). Cloning shares the text.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RealmName(Arc<str>);

/// The longest label in bytes.
const MAX_LABEL_LEN: usize = 63;

impl RealmName {
    /// Reads the canonical form.
    ///
    /// # Errors
    ///
    /// Any other spelling is refused: upper case, a single label, a label that starts or ends with a hyphen.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_NAME_LEN {
            return Err(NameError::Length { max: MAX_NAME_LEN });
        }
        let mut at = 0_usize;
        let mut labels = 0_usize;
        for label in text.split('.') {
            labels = labels.saturating_add(1);
            if labels > MAX_SEGMENTS {
                return Err(NameError::TooManySegments { max: MAX_SEGMENTS });
            }
            check_label(label, at)?;
            at = at.saturating_add(label.len()).saturating_add(1);
        }
        if labels < 2 {
            return Err(NameError::EmptySegment { at: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The canonical form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `text` without a leading `realm:` if that realm is this one; otherwise `text` as it is.
    #[must_use]
    pub fn strip_from<'a>(&self, text: &'a str) -> &'a str {
        text.strip_prefix(self.as_str())
            .and_then(|rest| rest.strip_prefix(':'))
            .unwrap_or(text)
    }
}

fn check_label(label: &str, start: usize) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptySegment { at: start });
    }
    if label.len() > MAX_LABEL_LEN {
        return Err(NameError::Length { max: MAX_LABEL_LEN });
    }
    let last = label.len().saturating_sub(1);
    for (offset, byte) in label.bytes().enumerate() {
        let legal = match byte {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'-' => offset != 0 && offset != last,
            _ => false,
        };
        if !legal {
            return Err(NameError::Character {
                at: start.saturating_add(offset),
            });
        }
    }
    Ok(())
}

impl fmt::Display for RealmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RealmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RealmName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms_are_reverse_dns() {
        for text in ["be.acme", "be.acme.iot", "be.acme-2.iot", "io.0x"] {
            assert!(RealmName::new(text).is_ok(), "{text}");
        }
        for text in [
            "", "be", "Be.acme", "be..acme", "be.-a", "be.a-", "be.a_b", "be.a.", "be.a/b",
        ] {
            assert!(RealmName::new(text).is_err(), "{text}");
        }
    }
}
