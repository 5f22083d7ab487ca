//! Who has a call at present.

use crate::Provider;
use crate::slots::Slot;

/// A provider that has the call.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Counts the providers from 1.
    pub(super) number: u32,
    pub(super) to: Provider,
    /// Counts the call among those that this node has there.
    _slot: Option<Slot>,
}

/// Those who have the call: one, and more only where it hedges.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    last: u32,
    first: Option<Attempt>,
    more: Vec<Attempt>,
}

impl Attempts {
    /// One more; its number.
    pub(super) fn add(&mut self, to: Provider, slot: Option<Slot>) -> u32 {
        self.last = self.last.saturating_add(1);
        let attempt = Attempt {
            number: self.last,
            to,
            _slot: slot,
        };
        if self.first.is_none() {
            self.first = Some(attempt);
        } else {
            self.more.push(attempt);
        }
        self.last
    }

    /// Takes one out; `None` if it does not have the call.
    pub(super) fn remove(&mut self, number: u32) -> Option<Attempt> {
        if self.first.as_ref().is_some_and(|one| one.number == number) {
            let next = (!self.more.is_empty()).then(|| self.more.remove(0));
            return std::mem::replace(&mut self.first, next);
        }
        let at = self.more.iter().position(|one| one.number == number)?;
        Some(self.more.remove(at))
    }

    pub(super) const fn first(&self) -> Option<&Attempt> {
        self.first.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.more)
    }

    pub(super) fn clear(&mut self) {
        self.first = None;
        self.more.clear();
    }
}
