//! The order in which the providers of a call are tried.

use std::sync::atomic::Ordering;

use macula_wire::message::Invoke;
use macula_wire::{NodeId, Random};

use super::{CallRequest, Scope};
use crate::{Candidate, Candidates, Provider};

/// The candidates of a call, and which of them were tried.
///
/// A weight of 0 is never chosen. One that is seen to be full is chosen only when all that are left are.
#[derive(Debug)]
pub(super) struct Choice {
    candidates: Candidates,
    first: Option<usize>,
    /// What was tried after the first.
    later: Vec<usize>,
    random: Random,
    /// What the turn was when the call was made, if it takes turns.
    turn: u64,
}

impl Choice {
    pub(super) fn new(candidates: Candidates, random: Random) -> Self {
        let turn = if candidates.invoke() == Invoke::RoundRobin {
            candidates.turn().fetch_add(1, Ordering::Relaxed)
        } else {
            0
        };
        Self {
            candidates,
            first: None,
            later: Vec::new(),
            random,
            turn,
        }
    }

    /// The next provider to try; each comes once.
    pub(super) fn next(&mut self, request: &CallRequest) -> Option<&Candidate> {
        let at = self.pick(request)?;
        if self.first.is_none() {
            self.first = Some(at);
        } else {
            self.later.push(at);
        }
        self.candidates.all().get(at)
    }

    /// Whether one is left to try.
    pub(super) fn has_more(&self, request: &CallRequest) -> bool {
        let list = self.candidates.all();
        let mut each = list.iter().enumerate();
        each.any(|(at, candidate)| self.may(request, at, candidate))
    }

    fn may(&self, request: &CallRequest, at: usize, candidate: &Candidate) -> bool {
        candidate.weight > 0
            && self.first != Some(at)
            && !self.later.contains(&at)
            && match &request.scope {
                Scope::Any => true,
                Scope::Here => candidate.provider.is_here(),
                Scope::Zone(zone) => candidate.zone.as_ref() == Some(zone),
            }
    }

    fn pick(&mut self, request: &CallRequest) -> Option<usize> {
        // The usual case costs nothing.
        if let ([only], None) = (self.candidates.all(), self.first) {
            return self.may(request, 0, only).then_some(0);
        }
        let open: Vec<usize> = {
            let list = self.candidates.all().iter().enumerate();
            let open = list.filter(|(at, candidate)| self.may(request, *at, candidate));
            open.map(|(at, _)| at).collect()
        };
        let free: Vec<usize> = open
            .iter()
            .copied()
            .filter(|at| self.get(*at).is_some_and(|candidate| !candidate.is_full()))
            .collect();
        let open = if free.is_empty() { open } else { free };
        match self.candidates.invoke() {
            Invoke::Single | Invoke::First => self.extreme(&open, false),
            Invoke::Last => self.extreme(&open, true),
            Invoke::RoundRobin => {
                let point = self.turn;
                self.weighted(&open, |total| point.checked_rem(total).unwrap_or(0))
            }
            Invoke::Random => self.drawn(&open),
            Invoke::LeastLoaded => self.least(&open),
            Invoke::Hash => self.hashed(&open, request.key),
            Invoke::P2c => {
                let near = self.near(&open, |candidate| candidate.provider.is_here());
                let near_free = near
                    .iter()
                    .any(|at| self.get(*at).is_some_and(|one| !one.is_full()));
                self.of_two(if near_free { &near } else { &open })
            }
            Invoke::LocalFirst => {
                let near = self.near(&open, |candidate| candidate.provider.is_here());
                let zone = request.zone.as_ref();
                let zoned = self.near(&open, |one| zone.is_some() && one.zone.as_ref() == zone);
                let tiers = [&near, &zoned, &open];
                let tier = tiers.into_iter().find(|tier| !tier.is_empty())?;
                self.of_two(tier)
            }
        }
    }

    fn get(&self, at: usize) -> Option<&Candidate> {
        self.candidates.all().get(at)
    }

    fn near(&self, open: &[usize], is_near: impl Fn(&Candidate) -> bool) -> Vec<usize> {
        let near = open.iter().copied();
        near.filter(|at| self.get(*at).is_some_and(&is_near))
            .collect()
    }

    /// The one that registered first or last. To others this node is as old as the oldest registration on it.
    fn extreme(&self, open: &[usize], is_last: bool) -> Option<usize> {
        let here = self.candidates.here().iter().map(|one| one.since_ms).min();
        let own = self.candidates.own();
        let age = |at: &usize| {
            let candidate = self.get(*at)?;
            let (node, since) = match candidate.provider {
                Provider::Member(node) => (node, candidate.since_ms),
                Provider::Local(_) | Provider::Session(..) => (own, here.unwrap_or(0)),
            };
            Some((since, node, candidate.since_ms, candidate.provider))
        };
        let open = open.iter();
        let found = if is_last {
            open.max_by_key(|at| age(at))
        } else {
            open.min_by_key(|at| age(at))
        };
        found.copied()
    }

    /// The one at a point of the line on which each has the length of its weight.
    fn weighted(&self, open: &[usize], point: impl FnOnce(u64) -> u64) -> Option<usize> {
        let weight = |at: &usize| self.get(*at).map_or(0, |one| u64::from(one.weight));
        let total = open.iter().map(weight).fold(0, u64::saturating_add);
        let mut point = point(total);
        let found = open.iter().find(|at| {
            let weight = weight(at);
            let hit = point < weight;
            point = point.saturating_sub(weight);
            hit
        });
        found.copied()
    }

    fn drawn(&mut self, open: &[usize]) -> Option<usize> {
        let mut random = self.random.fork();
        self.weighted(open, |total| random.below(total))
    }

    /// The one with the fewest calls for its weight; one of them where several have as few.
    fn least(&mut self, open: &[usize]) -> Option<usize> {
        let first = *open.first()?;
        let is_less = |one: usize, other: usize| self.is_less_loaded(one, other);
        let best = open
            .iter()
            .copied()
            .fold(first, |best, at| if is_less(at, best) { at } else { best });
        let equal = open.iter().copied().filter(|at| !is_less(best, *at));
        let equal: Vec<usize> = equal.collect();
        self.drawn(&equal)
    }

    /// Of two that are drawn the one with fewer calls for its weight.
    fn of_two(&mut self, open: &[usize]) -> Option<usize> {
        let one = self.drawn(open)?;
        let rest: Vec<usize> = open.iter().copied().filter(|at| *at != one).collect();
        let Some(other) = self.drawn(&rest) else {
            return Some(one);
        };
        Some(if self.is_less_loaded(other, one) {
            other
        } else {
            one
        })
    }

    fn is_less_loaded(&self, one: usize, other: usize) -> bool {
        let (Some(one), Some(other)) = (self.get(one), self.get(other)) else {
            return false;
        };
        let load = |of: &Candidate, by: &Candidate| {
            u64::from(of.slots.used()).saturating_mul(u64::from(by.weight))
        };
        load(one, other) < load(other, one)
    }

    /// The one with the highest score of the key; those on this node have that of the node, and among themselves that of
    /// their own number.
    fn hashed(&self, open: &[usize], key: u64) -> Option<usize> {
        let own = self.candidates.own();
        let score = |at: &usize| {
            let candidate = self.get(*at)?;
            Some(match candidate.provider {
                Provider::Member(node) => (score(key, &node), 0),
                Provider::Local(registration) => (score(key, &own), mix(key ^ registration.get())),
                Provider::Session(session, registration) => {
                    let number = session.get().rotate_left(32) ^ registration.get();
                    (score(key, &own), mix(key ^ number))
                }
            })
        };
        open.iter().max_by_key(|at| score(at)).copied()
    }
}

/// The hash of a key: FNV-1a with 64 bits.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    fnv(0xcbf2_9ce4_8422_2325, bytes)
}

/// How much a node is preferred for a key: the hash goes on over its id, and is mixed.
fn score(key: u64, node: &NodeId) -> u64 {
    mix(fnv(key, node.as_bytes()))
}

fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The last steps of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
