//! Who subscribes on this node, and where events go.

use macula_wire::{NodeId, SubscriptionId};

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
    /// A subscription of an application on this node; the facade numbers them.
    LocalId
}
id! {
    /// The link of a client; the facade numbers them.
    SessionId
}

/// Whose subscription it is, and which.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever delivers has to act on each kind"
)]
pub enum Subscriber {
    /// An application on this node.
    Local(LocalId),
    /// A client, which numbers its own subscriptions.
    Session(SessionId, SubscriptionId),
}

impl Subscriber {
    /// Where its events go: a client gets each event once, however many of its subscriptions match.
    #[must_use]
    pub const fn destination(self) -> Destination {
        match self {
            Self::Local(id) => Destination::Local(id),
            Self::Session(session, _) => Destination::Session(session),
        }
    }
}

/// Who is owed an event.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever delivers has to act on each kind"
)]
pub enum Destination {
    /// A subscription of an application on this node.
    Local(LocalId),
    /// A client of this node.
    Session(SessionId),
    /// Another member, which delivers to its own subscribers.
    Member(NodeId),
}

impl Destination {
    /// Before every other.
    pub(crate) const FIRST: Self = Self::Local(LocalId(0));
}
