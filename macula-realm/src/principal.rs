//! Who asks, as its certificate says.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use macula_wire::message::Roles;
use macula_wire::{NameError, NodeId};

/// The longest tenant or zone in bytes.
const MAX_LEN: usize = 63;

macro_rules! label {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 63 of `[a-z0-9-]`. Cloning shares the text.
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads the one legal spelling.
            ///
            /// # Errors
            ///
            /// [`NameError::EmptySegment`] for nothing at all, [`NameError::Length`] over 63 bytes,
            /// [`NameError::Character`] for anything but `a-z`, `0-9` and `-`.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
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

label! {
    /// A named part of a realm, which has the names whose first segment it is.
    Tenant
}
label! {
    /// Where a node stands, such as a site or a data centre.
    Zone
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::EmptySegment { at: 0 });
    }
    if text.len() > MAX_LEN {
        return Err(NameError::Length { max: MAX_LEN });
    }
    let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    match text.bytes().position(|byte| !legal(byte)) {
        Some(at) => Err(NameError::Character { at }),
        None => Ok(()),
    }
}

/// Who asks: a node with what its certificate says of it.
///
/// Nothing in it comes from what the node says itself.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Principal {
    /// The node.
    pub node: NodeId,
    /// Its tenant; without one it belongs to the realm as a whole.
    pub tenant: Option<Tenant>,
    /// What it may be.
    pub roles: Roles,
    /// Where it stands.
    pub zone: Option<Zone>,
}

impl Principal {
    /// A node with these roles, of no tenant and in no zone.
    #[must_use]
    pub const fn new(node: NodeId, roles: Roles) -> Self {
        Self {
            node,
            tenant: None,
            roles,
            zone: None,
        }
    }

    /// The same in `tenant`.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Option<Tenant>>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// The same in `zone`.
    #[must_use]
    pub fn with_zone(mut self, zone: impl Into<Option<Zone>>) -> Self {
        self.zone = zone.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_and_a_zone_have_one_spelling() {
        let longest = "x".repeat(63);
        for text in ["a", "acme-2", "0", "-", longest.as_str()] {
            assert_eq!(
                Tenant::new(text).map(|tenant| tenant.to_string()),
                Ok(text.into())
            );
            assert_eq!(
                text.parse::<Zone>().map(|zone| zone.as_str().to_owned()),
                Ok(text.into())
            );
        }
        let over = "x".repeat(64);
        for (text, error) in [
            ("", NameError::EmptySegment { at: 0 }),
            (over.as_str(), NameError::Length { max: 63 }),
            ("aCme", NameError::Character { at: 1 }),
            ("a.b", NameError::Character { at: 1 }),
            ("ab_", NameError::Character { at: 2 }),
            ("*", NameError::Character { at: 0 }),
            ("$sys", NameError::Character { at: 0 }),
            ("a b", NameError::Character { at: 1 }),
            ("caf\u{e9}", NameError::Character { at: 3 }),
        ] {
            assert_eq!(Tenant::new(text), Err(error), "{text:?}");
            assert_eq!(Zone::new(text), Err(error), "{text:?}");
        }
    }
}
