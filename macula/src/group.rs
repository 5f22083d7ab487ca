//! Subscriptions that share events.

use macula_wire::message::GroupInterest;
use macula_wire::{ErrorCode, limit};

pub use macula_wire::message::Balance;

use crate::Error;

/// A group of subscriptions, on any nodes of the realm: one of them gets each event.
///
/// Its events are kept until the one has them, as with [`Qos::AtLeastOnce`](crate::Qos::AtLeastOnce), whatever their
/// publisher promised. If that one is lost first, or gives the event back, another one gets it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group(GroupInterest);

impl Group {
    /// The group with this name, 1 to 64 visible ASCII characters, balanced by turns.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::INVALID_NAME`] for any other name.
    pub fn new(name: &str) -> Result<Self, Error> {
        let is_word = name.bytes().all(|byte| byte.is_ascii_graphic());
        if name.is_empty() || name.len() > limit::MAX_GROUP_LEN || !is_word {
            return Err(Error::new(
                ErrorCode::INVALID_NAME,
                "the name of a group has 1 to 64 visible ASCII characters",
            ));
        }
        Ok(Self(GroupInterest {
            name: name.to_owned(),
            balance: Balance::RoundRobin,
        }))
    }

    /// Balanced in this way. All subscriptions of a group have to say the same.
    #[must_use]
    pub const fn balance(mut self, balance: Balance) -> Self {
        self.0.balance = balance;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) const fn interest(&self) -> &GroupInterest {
        &self.0
    }
}
