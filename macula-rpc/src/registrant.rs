//! Who provides procedures, here and elsewhere.

use macula_realm::Zone;
use macula_wire::message::Invoke;
use macula_wire::{NodeId, RegistrationId};

use crate::Match;

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

impl TryFrom<Provider> for Registrant {
    /// The other member.
    type Error = NodeId;

    fn try_from(provider: Provider) -> Result<Self, NodeId> {
        match provider {
            Provider::Local(key) => Ok(Self::Local(key)),
            Provider::Session(session, id) => Ok(Self::Session(session, id)),
            Provider::Member(node) => Err(node),
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
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RegisterOptions {
    /// How many calls run at a time; 0, the default, for as many as [`Config::max_concurrency`](crate::Config), which is
    /// also the most. A further call is refused with `BUSY`.
    pub concurrency: u32,
    /// How much of the calls it gets beside other providers; 1 by default. 0 gets none, as while it drains.
    pub weight: u32,
    /// Which of several providers gets a call; [`Invoke::P2c`] by default. All providers of one pattern have to have the
    /// same.
    pub invoke: Invoke,
    /// How the name is read; [`Match::Exact`] by default.
    pub matching: Match,
    /// Where it stands; that of the node by default.
    pub zone: Option<Zone>,
    /// Whether it takes the place of whoever registered before, who is told. Off by default.
    pub takeover: bool,
}

impl Default for RegisterOptions {
    fn default() -> Self {
        Self {
            concurrency: 0,
            weight: 1,
            invoke: Invoke::P2c,
            matching: Match::Exact,
            zone: None,
            takeover: false,
        }
    }
}

impl RegisterOptions {
    /// With this policy.
    #[must_use]
    pub const fn invoke(mut self, invoke: Invoke) -> Self {
        self.invoke = invoke;
        self
    }

    /// With the name read like this.
    #[must_use]
    pub const fn matching(mut self, matching: Match) -> Self {
        self.matching = matching;
        self
    }

    /// With at most so many calls at a time.
    #[must_use]
    pub const fn concurrency(mut self, concurrency: u32) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// With this share of the calls.
    #[must_use]
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Standing in this zone.
    #[must_use]
    pub fn zone(mut self, zone: Zone) -> Self {
        self.zone = Some(zone);
        self
    }

    /// Taking the place of whoever registered before.
    #[must_use]
    pub const fn takeover(mut self) -> Self {
        self.takeover = true;
        self
    }
}
