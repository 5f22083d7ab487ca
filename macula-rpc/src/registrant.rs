//! Who provides procedures, here and elsewhere.

use macula_wire::{NodeId, RegistrationId};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(u64);

        impl $name {
            /// The id with this number.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }
    };
}

id! {
    /// A registration of an application on this node; the facade numbers them.
    RegistrationKey
}
id! {
    /// The link of a client; the facade numbers them.
    SessionKey
}

/// Whose registration it is, and which.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever serves has to act on each kind"
)]
pub enum Registrant {
    /// An application on this node.
    Local(RegistrationKey),
    /// A client, which numbers its own registrations.
    Session(SessionKey, RegistrationId),
}

/// Who can be sent a call.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever sends calls has to act on each kind"
)]
pub enum Provider {
    /// An application on this node.
    Local(RegistrationKey),
    /// A client of this node.
    Session(SessionKey, RegistrationId),
    /// Another member, which knows its own applications and clients.
    Member(NodeId),
}

impl Provider {
    /// Whether the call stays on this node.
    #[must_use]
    pub const fn is_here(self) -> bool {
        match self {
            Self::Local(_) | Self::Session(..) => true,
            Self::Member(_) => false,
        }
    }
}

impl From<Registrant> for Provider {
    fn from(registrant: Registrant) -> Self {
        match registrant {
            Registrant::Local(key) => Self::Local(key),
            Registrant::Session(session, id) => Self::Session(session, id),
        }
    }
}

/// How a procedure is provided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RegisterOptions {
    /// How many calls run at a time; 0, the default, for as many as [`Config::max_concurrency`](crate::Config), which is
    /// also the most. A further call is refused with `BUSY`.
    pub concurrency: u32,
    /// How much of the calls it gets beside other providers; 1 by default. 0 gets none, as while it drains.
    pub weight: u32,
}

impl Default for RegisterOptions {
    fn default() -> Self {
        Self {
            concurrency: 0,
            weight: 1,
        }
    }
}
