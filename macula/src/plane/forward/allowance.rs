//! How much one peer may have carried.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use macula_wire::{Instant, NodeId};

use super::{ForwardingConfig, lock};

/// How many origins of each peer are remembered as brought lately.
const MAX_ORIGINS: usize = 256;
/// For how many seconds of new origins a peer may save up.
const ORIGINS_SAVED: u64 = 4;
const NANOS: u128 = 1_000_000_000;

/// What a link has carried for its peer: how much of its allowance is left, and when it was last used.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    state: Mutex<State>,
    /// When something was carried to the peer last, in nanoseconds of the plane's clock, and one more; 0 for never.
    used: AtomicU64,
    /// The same of what this node sends by forwarded links of its own.
    served: AtomicU64,
    /// How many links the last packet of the peer took, if the link is a forwarded one; 0 before the first.
    hops: AtomicU8,
    /// How many packets had come, and one more, when the peer was found not to answer; 0 if it does.
    silent: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    bytes: Bucket,
    origins: Bucket,
    /// The origins that were let in, and when they were heard last.
    claimed: BTreeMap<NodeId, Instant>,
}

/// What is known of the origin of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Known {
    /// It has a forwarded link to this node.
    Linked,
    /// Nothing but what the packet says.
    Claimed,
}

impl Passage {
    /// Whether the peer may have so many bytes carried; they are taken off its allowance then.
    pub(super) fn may_pass(&self, now: Instant, bytes: usize, config: &ForwardingConfig) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut state = lock(&self.state);
        state
            .bytes
            .take(now, bytes, config.max_rate, config.max_burst)
    }

    /// Whether the peer may bring a packet of `origin`.
    pub(super) fn may_claim(
        &self,
        now: Instant,
        origin: NodeId,
        known: Known,
        config: &ForwardingConfig,
    ) -> bool {
        if known == Known::Linked {
            return true;
        }
        let mut state = lock(&self.state);
        if let Some(heard) = state.claimed.get_mut(&origin) {
            *heard = now;
            return true;
        }
        let rate = u64::from(config.max_origins);
        let saved = rate.saturating_mul(ORIGINS_SAVED);
        if !state.origins.take(now, 1, rate, saved) {
            return false;
        }
        if state.claimed.len() >= MAX_ORIGINS {
            let oldest = state.claimed.iter().min_by_key(|(_, heard)| **heard);
            if let Some(oldest) = oldest.map(|(origin, _)| *origin) {
                state.claimed.remove(&oldest);
            }
        }
        state.claimed.insert(origin, now);
        true
    }

    /// Takes note that something is carried to the peer.
    pub(super) fn used(&self, now: Instant) {
        set(&self.used, now);
    }

    /// Takes note that the peer carries something for this node.
    pub(super) fn served(&self, now: Instant) {
        set(&self.served, now);
    }

    /// When the peer carried something for this node last.
    pub(super) fn last_served(&self) -> Option<Instant> {
        get(&self.served)
    }

    /// Takes note of how many links a packet of the peer took.
    pub(super) fn came_by(&self, hops: usize) {
        let hops = u8::try_from(hops).unwrap_or(u8::MAX);
        self.hops.store(hops, Ordering::Relaxed);
    }

    /// How many links the last packet of the peer took.
    pub(crate) fn hops(&self) -> Option<u8> {
        Some(self.hops.load(Ordering::Relaxed)).filter(|hops| *hops > 0)
    }

    /// Takes note of whether the peer is silent, of which `received` packets came.
    pub(super) fn set_silent(&self, is_silent: bool, received: u64) {
        let silent = if is_silent {
            received.saturating_add(1)
        } else {
            0
        };
        self.silent.store(silent, Ordering::Relaxed);
    }

    /// Whether the peer was found not to answer, and nothing came since; `received` packets in all.
    pub(crate) fn is_silent(&self, received: u64) -> bool {
        self.silent.load(Ordering::Relaxed) == received.saturating_add(1)
    }

    /// When something was carried to the peer last.
    pub(super) fn last_used(&self) -> Option<Instant> {
        get(&self.used)
    }
}

fn set(time: &AtomicU64, now: Instant) {
    time.store(now.as_nanos().saturating_add(1), Ordering::Relaxed);
}

fn get(time: &AtomicU64) -> Option<Instant> {
    let nanos = time.load(Ordering::Relaxed).checked_sub(1)?;
    Some(Instant::from_nanos(nanos))
}

/// A bucket of tokens, full at first.
#[derive(Debug, Default)]
struct Bucket {
    /// How many were taken and have not come back.
    spent: u64,
    at: Instant,
}

impl Bucket {
    /// Takes `count` out of a bucket of `size` that gets `rate` a second, if there are as many.
    fn take(&mut self, now: Instant, count: u64, rate: u64, size: u64) -> bool {
        let elapsed = now.saturating_since(self.at).as_nanos();
        let back = elapsed.saturating_mul(u128::from(rate)) / NANOS;
        let back = u64::try_from(back).unwrap_or(u64::MAX);
        // The part of a token that is not whole yet is kept by not moving the time on.
        if back > 0 {
            self.spent = self.spent.saturating_sub(back);
            self.at = now;
        }
        let spent = self.spent.saturating_add(count);
        if spent > size {
            return false;
        }
        self.spent = spent;
        true
    }
}

#[cfg(test)]
mod tests {
    use macula_testkit::node_id;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_peer_has_its_burst_and_then_its_rate() {
        let config = ForwardingConfig {
            max_rate: 1_000,
            max_burst: 5_000,
            ..ForwardingConfig::default()
        };
        let passage = Passage::default();
        let mut passed = 0;
        for millis in 0..10_000 {
            while passage.may_pass(at(millis), 100, &config) {
                passed += 100;
            }
        }
        assert_eq!(passed, 5_000 + 9_900);
        assert!(passage.may_pass(at(60_000), 5_000, &config));
        assert!(!passage.may_pass(at(60_000), 1, &config));
    }

    #[test]
    fn nothing_is_carried_beyond_a_burst_of_nothing() {
        let config = ForwardingConfig {
            max_burst: 0,
            ..ForwardingConfig::default()
        };
        assert!(!Passage::default().may_pass(at(9_999), 1, &config));
    }

    #[test]
    fn made_up_origins_are_stopped_and_those_known_are_not() {
        let config = ForwardingConfig::default();
        let passage = Passage::default();
        let claim =
            |millis, index, known| passage.may_claim(at(millis), node_id(index), known, &config);
        let taken = (0..10_000).filter(|index| claim(0, *index, Known::Claimed));
        assert_eq!(taken.count(), 64);
        assert!(claim(0, 9_999, Known::Linked));
        assert!(claim(0, 7, Known::Claimed), "it was let in before");
        assert!(!claim(0, 64, Known::Claimed));
        assert!(claim(1_000, 64, Known::Claimed), "16 in each second");
        for index in 10_000..20_000_usize {
            let millis = 60 * u64::try_from(index).unwrap();
            claim(millis, index, Known::Claimed);
        }
        assert!(lock(&passage.state).claimed.len() <= MAX_ORIGINS);
    }

    #[test]
    fn a_silence_ends_with_the_next_packet() {
        let passage = Passage::default();
        assert!(!passage.is_silent(0) && !passage.is_silent(7));
        passage.set_silent(true, 7);
        assert!(passage.is_silent(7) && !passage.is_silent(8));
        passage.set_silent(false, 7);
        assert!(!passage.is_silent(7));
    }

    #[test]
    fn the_last_use_is_remembered_from_the_first_moment_on() {
        let passage = Passage::default();
        assert_eq!(passage.last_used(), None);
        passage.used(Instant::ZERO);
        assert_eq!(passage.last_used(), Some(Instant::ZERO));
    }
}
