//! What is watched: the procedures that are called from here, and the patterns that are served here.

use macula_realm::{Action, Authority, Principal, Verdict};
use macula_wire::message::Invoke;
use macula_wire::{Instant, Pattern, Procedure};

use super::{Output, Rpc};
use crate::{Offer, OfferKey, UnwatchError, WatchError};

impl Rpc {
    /// Says that somebody on this node is going to call `procedure`; each watch is ended by [`unwatch`](Self::unwatch).
    ///
    /// The first one looks for providers ([`Output::Watch`]).
    ///
    /// # Errors
    ///
    /// [`WatchError`]: no right to call, or a limit. Nothing has changed then.
    pub fn watch(
        &mut self,
        now: Instant,
        authority: &impl Authority,
        who: &Principal,
        procedure: &Procedure,
    ) -> Result<(), WatchError> {
        self.advance(now);
        match authority.check(who, Action::Call, procedure.as_str()) {
            Verdict::Allow => {}
            Verdict::Deny => return Err(WatchError::Denied),
            Verdict::Unknown => return Err(WatchError::Undecided),
        }
        if let Some(count) = self.called.get_mut(procedure) {
            *count = count.saturating_add(1);
            return Ok(());
        }
        let limit = self.config.max_watched;
        if self.called.len() >= limit {
            return Err(WatchError::TooManyProcedures { limit });
        }
        self.called.insert(procedure.clone(), 1);
        for key in OfferKey::of_procedure(procedure) {
            self.hold(key);
        }
        Ok(())
    }

    /// Ends one [`watch`](Self::watch) of `procedure`.
    ///
    /// # Errors
    ///
    /// [`UnwatchError::Unknown`] if nobody watches it.
    pub fn unwatch(&mut self, now: Instant, procedure: &Procedure) -> Result<(), UnwatchError> {
        self.advance(now);
        let called = self.called.get_mut(procedure);
        let count = called.ok_or(UnwatchError::Unknown)?;
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.called.remove(procedure);
            let mut changed = false;
            for key in OfferKey::of_procedure(procedure) {
                changed |= self.let_go(key);
            }
            self.settle_if(changed);
        }
        Ok(())
    }

    /// Watches a key once more.
    pub(super) fn hold(&mut self, key: OfferKey) {
        let count = self.watched.entry(key.clone()).or_insert(0);
        *count = count.saturating_add(1);
        if *count == 1 {
            self.outputs.push_back(Output::Watch { key });
        }
    }

    /// Watches a key once less; whether the table changed by it.
    pub(super) fn let_go(&mut self, key: OfferKey) -> bool {
        let Some(count) = self.watched.get_mut(&key) else {
            return false;
        };
        *count = count.saturating_sub(1);
        if *count > 0 {
            return false;
        }
        self.watched.remove(&key);
        let changed = self.offers.forget_key(&key);
        self.outputs.push_back(Output::Unwatch { key });
        changed
    }
}

/// Whether whoever serves it has to know who else does. All nodes serve the names of services, alike, so that nobody needs
/// to hear of all others.
pub(super) fn is_compared(pattern: &Pattern) -> bool {
    !pattern.is_of_services()
}

/// Whether an offer cannot be that of a node that describes its services. Nobody is to put out those of all others by
/// another policy or a takeover.
pub(super) fn is_alien(pattern: &Pattern, offer: &Offer) -> bool {
    pattern.is_of_services() && (offer.invoke != Invoke::P2c || offer.takeover)
}
