//! What an application says of a service.

use std::collections::BTreeMap;

use macula_wire::{ErrorCode, Procedure};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest name, version or key of the metadata, in bytes.
const MAX_WORD: usize = 64;
/// The longest description or value of the metadata, in bytes.
const MAX_TEXT: usize = 256;
/// How many pairs the metadata may have.
const MAX_METADATA: usize = 16;

/// How a service is described to those who ask for it.
///
/// The name is one segment of a name (`[A-Za-z0-9_-]`, at most 64 bytes), the version is a semantic one. Several nodes may
/// have services of one name: these are its *instances*.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceOptions {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) metadata: BTreeMap<String, String>,
}

impl ServiceOptions {
    /// A service of this name and version, with no description.
    #[must_use]
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            description: String::new(),
            metadata: BTreeMap::new(),
        }
    }

    /// What it is for, for people; at most 256 bytes.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// A mark that others see; at most 16, keys of 1 to 64 bytes, values of at most 256.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Whether it is within the limits.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |detail: &str| Err(Error::new(ErrorCode::INVALID_ARGUMENT, detail));
        if !is_name(&self.name) {
            return Err(Error::new(
                ErrorCode::INVALID_NAME,
                "a service's name is one segment of [A-Za-z0-9_-], at most 64 bytes",
            ));
        }
        if self.version.len() > MAX_WORD || !is_semantic(&self.version) {
            return wrong("a service's version is a semantic one, as in 1.4.0 or 2.0.0-rc.1");
        }
        if self.description.len() > MAX_TEXT {
            return wrong("a service's description has at most 256 bytes");
        }
        let fits =
            |key: &str, value: &str| (1..=MAX_WORD).contains(&key.len()) && value.len() <= MAX_TEXT;
        if self.metadata.len() > MAX_METADATA
            || !self.metadata.iter().all(|(key, value)| fits(key, value))
        {
            return wrong(
                "a service's metadata has at most 16 pairs, keys of 1 to 64 bytes, values of at most 256",
            );
        }
        Ok(())
    }
}

/// Whether it may name a service, or an instance of one.
pub(super) fn is_name(text: &str) -> bool {
    let is_plain = !text.starts_with('$') && !text.contains('.');
    is_plain && text.len() <= MAX_WORD && Procedure::new(text).is_ok()
}

/// Whether it is a version by the rules of semantic versioning 2.0.0.
fn is_semantic(version: &str) -> bool {
    let (rest, build) = cut(version, '+');
    let (core, pre) = cut(rest, '-');
    let numbers: Vec<&str> = core.split('.').collect();
    numbers.len() == 3
        && numbers.iter().all(|number| is_number(number))
        && build.is_none_or(|build| build.split('.').all(is_word))
        && pre.is_none_or(|pre| pre.split('.').all(is_release_word))
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    is_digits(text) && (text == "0" || !text.starts_with('0'))
}

fn is_word(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_letter)
}

fn is_release_word(text: &str) -> bool {
    is_word(text) && (!is_digits(text) || is_number(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_semantic_one() {
        for good in [
            "0.0.0",
            "1.4.10",
            "1.0.0-rc.1",
            "1.0.0-x-y.7+build.001",
            "1.0.0+001",
        ] {
            assert!(is_semantic(good), "{good}");
        }
        for bad in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "01.2.3",
            "1.2.x",
            "1.2.3-",
            "1.2.3-a..b",
            "1.2.3-01",
            "1.2.3+",
            "v1.2.3",
            "1.2.3 ",
        ] {
            assert!(!is_semantic(bad), "{bad}");
        }
    }

    #[test]
    fn every_limit_is_kept_on_both_sides() {
        let fine = || ServiceOptions::new("chat", "1.0.0");
        let code = |options: ServiceOptions| options.check().err().map(|error| error.code());
        for name in ["", "a.b", "$a", "a b", "a*", &"x".repeat(65)] {
            let options = ServiceOptions::new(name, "1.0.0");
            assert_eq!(code(options), Some(ErrorCode::INVALID_NAME), "{name}");
        }
        assert_eq!(code(ServiceOptions::new("x".repeat(64), "1.0.0")), None);
        let wrong = Some(ErrorCode::INVALID_ARGUMENT);
        assert_eq!(code(ServiceOptions::new("chat", "one")), wrong);
        assert_eq!(code(fine().description("x".repeat(256))), None);
        assert_eq!(code(fine().description("x".repeat(257))), wrong);
        assert_eq!(code(fine().metadata("k".repeat(64), "v".repeat(256))), None);
        assert_eq!(code(fine().metadata("k".repeat(65), "v")), wrong);
        assert_eq!(code(fine().metadata("", "v")), wrong);
        assert_eq!(code(fine().metadata("k", "v".repeat(257))), wrong);
        let many = |count: usize| {
            (0..count).fold(fine(), |options, at| options.metadata(at.to_string(), ""))
        };
        assert_eq!(code(many(16)), None);
        assert_eq!(code(many(17)), wrong);
    }
}
