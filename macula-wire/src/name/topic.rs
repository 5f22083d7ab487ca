//! Topics and procedures: concrete dotted names.

use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use super::segments::{Wildcards, check};
use super::{NameError, RealmName};
use crate::limit::DEAD_LETTER_PREFIX;

macro_rules! concrete_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// One to 16 segments of `[A-Za-z0-9_-]` joined by dots, at most 255 bytes. A `$` before the first segment
        /// marks a reserved name. Cloning shares the text.
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads the canonical form.
            ///
            /// # Errors
            ///
            /// Any other spelling is refused, wildcards included.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text, Wildcards::Refused)?;
                Ok(Self(text.into()))
            }

            /// Reads the canonical form, perhaps qualified by the caller's own realm as `realm:name`.
            ///
            /// # Errors
            ///
            /// As [`new`](Self::new); another realm's prefix is refused as a character at the colon.
            pub fn in_realm(realm: &RealmName, text: &str) -> Result<Self, NameError> {
                Self::new(realm.strip_from(text))
            }

            /// The canonical form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The segments in order; the first keeps its `$`.
            pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
                self.0.split('.')
            }

            /// Whether the name is reserved for the platform: it starts with `$`.
            #[must_use]
            pub fn is_reserved(&self) -> bool {
                self.0.starts_with('$')
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

concrete_name! {
    /// The name that an event is published under.
    Topic
}
concrete_name! {
    /// The name that a call is made to.
    Procedure
}

impl Topic {
    /// Whether it is one of dead letters, which are for all members of a realm though it is reserved.
    #[must_use]
    pub fn is_of_dead_letters(&self) -> bool {
        self.0.starts_with(DEAD_LETTER_PREFIX)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    #[track_caller]
    fn refused(text: &str, error: NameError) {
        assert_eq!(Topic::new(text), Err(error), "{text:?}");
        assert_eq!(Procedure::new(text), Err(error), "{text:?}");
    }

    #[test]
    fn canonical_names_are_accepted() {
        for text in [
            "a",
            "home.42.measured",
            "A-b_c.D",
            "$sys.members",
            "temperature.latest_v1",
        ] {
            assert_eq!(
                Topic::new(text).map(|topic| topic.as_str().into()),
                Ok(String::from(text))
            );
        }
        let longest: String = core::iter::repeat_n('x', 255).collect();
        assert!(Topic::new(&longest).is_ok());
        assert!(Topic::new("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a").is_ok());
    }

    #[test]
    fn everything_else_is_refused() {
        refused("", NameError::EmptySegment { at: 0 });
        refused("a..b", NameError::EmptySegment { at: 2 });
        refused("a.", NameError::EmptySegment { at: 2 });
        refused(".a", NameError::EmptySegment { at: 0 });
        refused("a.*", NameError::Wildcard { at: 2 });
        refused("a.**", NameError::Wildcard { at: 2 });
        refused("a.b*", NameError::Wildcard { at: 3 });
        refused("a.\u{7}", NameError::Character { at: 2 });
        refused("a b", NameError::Character { at: 1 });
        refused("caf\u{e9}", NameError::Character { at: 3 });
        refused("a.$b", NameError::Reserved { at: 2 });
        refused("$", NameError::EmptySegment { at: 1 });
        refused("$a$", NameError::Reserved { at: 2 });
        refused("a:b", NameError::Character { at: 1 });
        refused(
            "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a",
            NameError::TooManySegments { max: 16 },
        );
        let long: String = core::iter::repeat_n('x', 300).collect();
        refused(&long, NameError::Length { max: 255 });
    }

    #[test]
    fn the_own_realm_is_stripped_and_another_is_refused() {
        let realm = RealmName::new("be.acme.iot").unwrap();
        let topic = Topic::in_realm(&realm, "be.acme.iot:home.42").unwrap();
        assert_eq!(topic.as_str(), "home.42");
        assert_eq!(
            Topic::in_realm(&realm, "be.other:home.42"),
            Err(NameError::Character { at: 8 })
        );
    }
}
