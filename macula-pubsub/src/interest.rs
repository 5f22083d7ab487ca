//! Who wants what: the subscribers of this node, and the other members as far as that is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use macula_wire::{NodeId, Pattern};

use crate::matcher::Matcher;
use crate::owner::Owner;
use crate::{Config, Destination, WatchKey};

/// What has changed about a pattern of this node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// It is wanted now.
    Announce(Pattern),
    /// Nobody here wants it any more.
    Withdraw(Pattern),
}

/// The interest of everybody, as the tree that tables are made of, and what is still to be said of our own.
///
/// What a node tells of itself under reserved names stays on the node: interest in it is neither announced nor heard. Dead
/// letters do not stay.
///
/// Methods that may change the tree say whether they did.
#[derive(Debug)]
pub(crate) struct Interests {
    /// How many subscriptions of a destination on this node have a pattern.
    wanted: BTreeMap<(Pattern, Owner), u32>,
    /// The distinct patterns of this node that concern others.
    own: BTreeSet<Pattern>,
    /// Patterns that came or went since others were told, and whether they have been announced. All others are announced if
    /// they are among those of this node.
    touched: BTreeMap<Pattern, bool>,
    /// What other members want.
    heard: BTreeMap<NodeId, Heard>,
    /// Under which key whom to look for, and how many patterns each has there.
    keys: BTreeMap<WatchKey, BTreeMap<NodeId, usize>>,
    /// How many patterns all other members have together.
    count: usize,
    max_interests: usize,
    max_patterns: usize,
    refused: u64,
    matcher: Matcher<Owner>,
}

/// What one member wants.
#[derive(Debug)]
struct Heard {
    /// The member, as its entries in the tree share it.
    node: Arc<NodeId>,
    patterns: BTreeSet<Pattern>,
}

impl Interests {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            wanted: BTreeMap::new(),
            own: BTreeSet::new(),
            touched: BTreeMap::new(),
            heard: BTreeMap::new(),
            keys: BTreeMap::new(),
            count: 0,
            max_interests: config.max_interests,
            max_patterns: config.max_patterns,
            refused: 0,
            matcher: Matcher::new(config.match_key),
        }
    }

    /// A subscription of this node more.
    pub(crate) fn add(&mut self, pattern: &Pattern, destination: Destination) -> bool {
        let key = (pattern.clone(), own(destination));
        let count = self.wanted.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        if *count > 1 {
            return false;
        }
        if !stays_here(pattern) && self.own.insert(pattern.clone()) {
            self.touched.entry(pattern.clone()).or_insert(false);
        }
        self.matcher.insert(pattern, own(destination))
    }

    /// A subscription of this node less.
    pub(crate) fn remove(&mut self, pattern: &Pattern, destination: Destination) -> bool {
        let key = (pattern.clone(), own(destination));
        match self.wanted.get_mut(&key) {
            None => return false,
            Some(count) if *count > 1 => {
                *count = count.saturating_sub(1);
                return false;
            }
            Some(_) => self.wanted.remove(&key),
        };
        let first = (pattern.clone(), Owner::FIRST);
        let next = self.wanted.range(first..).next();
        if next.is_none_or(|((next, _), _)| next != pattern) && self.own.remove(pattern) {
            self.touched.entry(pattern.clone()).or_insert(true);
        }
        self.matcher.remove(pattern, &own(destination))
    }

    /// Another member wants a pattern. Beyond the limits it is refused, and counted.
    pub(crate) fn want(&mut self, node: NodeId, pattern: Pattern) -> bool {
        if stays_here(&pattern) {
            return false;
        }
        let known = self.heard.get(&node);
        if known.is_some_and(|known| known.patterns.contains(&pattern)) {
            return false;
        }
        let has = known.map_or(0, |known| known.patterns.len());
        if has >= self.max_patterns || self.count >= self.max_interests {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        let keyed = self.keys.entry(WatchKey::of_pattern(&pattern)).or_default();
        let keyed = keyed.entry(node).or_insert(0);
        *keyed = keyed.saturating_add(1);
        self.count = self.count.saturating_add(1);
        let heard = self.heard.entry(node).or_insert_with(|| Heard {
            node: Arc::new(node),
            patterns: BTreeSet::new(),
        });
        let owner = Owner::Member(Arc::clone(&heard.node));
        let changed = self.matcher.insert(&pattern, owner);
        heard.patterns.insert(pattern);
        changed
    }

    /// Another member wants a pattern no more.
    pub(crate) fn unwant(&mut self, node: NodeId, pattern: &Pattern) -> bool {
        let Some(known) = self.heard.get_mut(&node) else {
            return false;
        };
        if !known.patterns.remove(pattern) {
            return false;
        }
        let owner = Owner::Member(Arc::clone(&known.node));
        if known.patterns.is_empty() {
            self.heard.remove(&node);
        }
        self.count = self.count.saturating_sub(1);
        let key = WatchKey::of_pattern(pattern);
        if let Some(nodes) = self.keys.get_mut(&key)
            && let Some(count) = nodes.get_mut(&node)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                nodes.remove(&node);
            }
            if nodes.is_empty() {
                self.keys.remove(&key);
            }
        }
        self.matcher.remove(pattern, &owner)
    }

    /// Forgets all that a member wants.
    pub(crate) fn forget(&mut self, node: NodeId) -> bool {
        let patterns: Vec<Pattern> = self.of(&node).cloned().collect();
        let mut changed = false;
        for pattern in &patterns {
            changed |= self.unwant(node, pattern);
        }
        changed
    }

    /// Forgets what anybody wants under a key.
    pub(crate) fn forget_key(&mut self, key: &WatchKey) -> bool {
        let nodes = self.keys.get(key);
        let nodes: Vec<NodeId> = nodes
            .into_iter()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect();
        let mut changed = false;
        for node in nodes {
            let patterns = self
                .of(&node)
                .filter(|pattern| WatchKey::of_pattern(pattern) == *key);
            let patterns: Vec<Pattern> = patterns.cloned().collect();
            for pattern in &patterns {
                changed |= self.unwant(node, pattern);
            }
        }
        changed
    }

    /// The next of what changed about the patterns of this node, in their order.
    pub(crate) fn next_change(&mut self) -> Option<Change> {
        while let Some((pattern, announced)) = self.touched.pop_first() {
            match (self.own.contains(&pattern), announced) {
                (true, false) => return Some(Change::Announce(pattern)),
                (false, true) => return Some(Change::Withdraw(pattern)),
                (true, true) | (false, false) => {}
            }
        }
        None
    }

    /// The distinct patterns of this node that concern others.
    pub(crate) fn own_patterns(&self) -> usize {
        self.own.len()
    }

    /// Whether somebody on this node wants `pattern`, and others are told.
    pub(crate) fn is_own(&self, pattern: &Pattern) -> bool {
        self.own.contains(pattern)
    }

    pub(crate) fn of(&self, member: &NodeId) -> impl Iterator<Item = &Pattern> {
        let heard = self.heard.get(member);
        heard.into_iter().flat_map(|heard| &heard.patterns)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &NodeId> {
        self.heard.keys()
    }

    /// How many patterns other members want, each counted for each of them.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// How much was refused because of the limits.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn snapshot(&self) -> Matcher<Owner> {
        self.matcher.clone()
    }
}

/// Whether what matches a pattern does not leave the node that tells it.
pub(crate) fn stays_here(pattern: &Pattern) -> bool {
    pattern.is_reserved() && !pattern.is_of_dead_letters()
}

/// The owner that a subscription of this node has; it is never a member.
fn own(destination: Destination) -> Owner {
    Owner::new(destination, Arc::new)
}
