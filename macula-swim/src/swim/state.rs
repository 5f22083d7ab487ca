//! What becomes of members: their state, the memory of the dead, and their return.

use std::time::Duration;

use macula_wire::NodeId;

use super::{Class, Swim};
use crate::config::part;
use crate::member::State;
use crate::timer::Timer;

/// For how many revive periods after somebody came back the dead are tried, and views compared, more
/// often.
const RETURN_PERIODS: u32 = 4;
/// How much more often.
const RETURN_HASTE: u32 = 10;

impl Swim {
    /// Changes the state of a member and what depends on it.
    pub(super) fn enter_state(&mut self, node: NodeId, state: State) {
        self.members.set_state(&node, state, self.now);
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.dead = state == State::Dead;
        }
        if state != State::Suspect {
            self.suspicions.remove(&node);
            self.timers.cancel(Timer::Suspicion(node));
            self.timers.cancel(Timer::Check(node));
        }
        if !state.is_present() {
            self.timers.cancel(Timer::Connect(node));
            let at = self.now + self.config.forget_after;
            self.timers.arm(Timer::Forget, at);
        }
    }

    /// Tries one of the dead: it may be that only the way to it was cut.
    pub(super) fn on_revive(&mut self) {
        let pause = self.hastened(self.config.revive_period);
        self.after(Timer::Revive, pause);
        let Some(node) = self.members.any_dead(&mut self.random) else {
            return;
        };
        if self.peers.contains(&node) {
            let number = self.probes.number();
            self.ping(number, node, Class::Reliable);
        } else {
            self.connect(node);
        }
    }

    /// A period, or a part of it while the dead come back: there is much to find and to tell then.
    pub(super) fn hastened(&self, period: Duration) -> Duration {
        let lately = self.config.revive_period.saturating_mul(RETURN_PERIODS);
        let returned = |at| self.now.saturating_since(at) < lately;
        let haste = self.last_return.is_some_and(returned);
        part(period, if haste { RETURN_HASTE } else { 1 })
    }

    /// One of the dead was there all the time, so others that are held for dead may be, too.
    pub(super) fn on_return(&mut self) {
        self.last_return = Some(self.now);
        let soon = part(self.config.revive_period, RETURN_HASTE);
        let at = self.now + self.within(soon);
        if self.timers.at(Timer::Revive).is_none_or(|set| set > at) {
            self.timers.set(Timer::Revive, at);
        }
    }

    pub(super) fn on_forget(&mut self) {
        while let Some((since, node)) = self.members.oldest_tombstone() {
            let at = since + self.config.forget_after;
            if at > self.now {
                self.timers.set(Timer::Forget, at);
                return;
            }
            self.forget(&node);
        }
    }

    fn forget(&mut self, node: &NodeId) {
        self.members.remove(node);
        if let Some(peer) = self.peers.get_mut(node) {
            peer.greeted = false;
        }
        self.gossip.forget(*node);
        self.timers.cancel(Timer::Connect(*node));
    }

    /// Makes room for a new member; answers whether there is any.
    pub(super) fn make_room(&mut self) -> bool {
        if self.members.len() < self.config.max_members {
            return true;
        }
        let Some((_, node)) = self.members.oldest_tombstone() else {
            self.stats.refused_full = self.stats.refused_full.saturating_add(1);
            return false;
        };
        self.forget(&node);
        true
    }
}
