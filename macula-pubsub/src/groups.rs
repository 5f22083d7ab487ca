//! Groups: subscribers that share events, so that each event goes to one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use macula_wire::message::{Balance, GroupInterest};
use macula_wire::{NodeId, Pattern, Topic};

use crate::interest::stays_here;
use crate::{Config, Destination, WatchKey};

/// The members of the groups under one key: by pattern, by the name of the group, with the balance that each asks for.
type Keyed = BTreeMap<Pattern, BTreeMap<Arc<str>, BTreeMap<Destination, Balance>>>;

/// Who shares which topic, at one moment. It never changes; [`PubSub`](crate::PubSub) puts out a new one instead.
#[derive(Clone, Debug, Default)]
pub struct GroupTable {
    keyed: Arc<BTreeMap<WatchKey, Arc<Keyed>>>,
}

/// A group that is owed an event: one of these gets it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GroupMatch {
    /// The name of the group.
    pub name: Arc<str>,
    /// How the one is chosen. Where members of the group do not agree, what the first of them asks for counts.
    pub balance: Balance,
    /// The members of the group that want the topic, ascending, each once.
    pub members: Vec<Destination>,
}

impl GroupMatch {
    /// A group of these members.
    #[must_use]
    pub fn new(name: &str, balance: Balance, members: Vec<Destination>) -> Self {
        Self {
            name: name.into(),
            balance,
            members,
        }
    }
}

impl GroupTable {
    /// The groups that are owed `topic`, ascending by name. Costs a match with each pattern of a group under the first
    /// segment of the topic, and with each that begins with a wildcard.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> Vec<GroupMatch> {
        let mut found: BTreeMap<Arc<str>, BTreeMap<Destination, Balance>> = BTreeMap::new();
        for key in [WatchKey::of_topic(topic), WatchKey::Wildcard] {
            for (pattern, groups) in self.keyed.get(&key).into_iter().flat_map(|keyed| &**keyed) {
                if !pattern.matches(topic) {
                    continue;
                }
                for (name, members) in groups {
                    found.entry(Arc::clone(name)).or_default().extend(members);
                }
            }
        }
        let each = found.into_iter().filter_map(|(name, members)| {
            let (_, balance) = members.first_key_value()?;
            Some(GroupMatch {
                name,
                balance: *balance,
                members: members.keys().copied().collect(),
            })
        });
        each.collect()
    }

    /// Whether there is no group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keyed.is_empty()
    }
}

/// The groups of this node, and those of others as far as they are known.
#[derive(Debug)]
pub(crate) struct Groups {
    table: GroupTable,
    /// How many subscriptions of a destination on this node have a pattern in a group.
    own: BTreeMap<(Pattern, Arc<str>, Destination), u32>,
    /// The balance of each group of this node, and how many subscriptions it has.
    balances: BTreeMap<Arc<str>, (Balance, u32)>,
    heard: BTreeMap<NodeId, BTreeMap<Pattern, Vec<GroupInterest>>>,
    /// How many groups others have, each counted for each of its patterns.
    count: usize,
    max_interests: usize,
    max_patterns: usize,
    /// Patterns of which it may have to be told anew which groups of this node want them.
    touched: BTreeSet<Pattern>,
    has_changed: bool,
}

impl Groups {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            table: GroupTable::default(),
            own: BTreeMap::new(),
            balances: BTreeMap::new(),
            heard: BTreeMap::new(),
            count: 0,
            max_interests: config.max_interests,
            max_patterns: config.max_patterns,
            touched: BTreeSet::new(),
            has_changed: false,
        }
    }

    /// The balance of a group of this node.
    pub(crate) fn balance(&self, name: &str) -> Option<Balance> {
        self.balances.get(name).map(|(balance, _)| *balance)
    }

    /// A subscription of this node more.
    pub(crate) fn add(
        &mut self,
        pattern: &Pattern,
        name: &Arc<str>,
        balance: Balance,
        to: Destination,
    ) {
        let (balance, members) = {
            let fresh = (balance, 0);
            let entry = self.balances.entry(Arc::clone(name)).or_insert(fresh);
            entry.1 = entry.1.saturating_add(1);
            *entry
        };
        debug_assert!(members > 0, "it was counted");
        let key = (pattern.clone(), Arc::clone(name), to);
        let count = self.own.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        if *count == 1 {
            self.insert(pattern, name, to, balance);
            self.touch(pattern);
        }
    }

    /// A subscription of this node less.
    pub(crate) fn remove(&mut self, pattern: &Pattern, name: &Arc<str>, to: Destination) {
        let key = (pattern.clone(), Arc::clone(name), to);
        let Some(count) = self.own.get_mut(&key) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.own.remove(&key);
            self.take_out(pattern, name, to);
            self.touch(pattern);
        }
        if let Some((_, members)) = self.balances.get_mut(name) {
            *members = members.saturating_sub(1);
            if *members == 0 {
                self.balances.remove(name);
            }
        }
    }

    /// What a node tells of itself under reserved names stays on the node.
    fn touch(&mut self, pattern: &Pattern) {
        if !stays_here(pattern) {
            self.touched.insert(pattern.clone());
        }
    }

    /// These groups of another member, and no others, want a pattern. What is beyond the limits is left out.
    pub(crate) fn hear(&mut self, node: NodeId, pattern: &Pattern, groups: &[GroupInterest]) {
        if stays_here(pattern) {
            return;
        }
        let before = self.heard.get_mut(&node).and_then(|of| of.remove(pattern));
        let to = Destination::Member(node);
        let before = before.unwrap_or_default();
        if before == groups {
            if !before.is_empty() {
                self.heard
                    .entry(node)
                    .or_default()
                    .insert(pattern.clone(), before);
            }
            return;
        }
        for group in &before {
            self.take_out(pattern, &group.name.as_str().into(), to);
        }
        self.count = self.count.saturating_sub(before.len());
        let has = self.heard.get(&node).map_or(0, BTreeMap::len);
        let room = self.max_interests.saturating_sub(self.count);
        if !groups.is_empty() && has < self.max_patterns && groups.len() <= room {
            for group in groups {
                self.insert(pattern, &group.name.as_str().into(), to, group.balance);
            }
            self.count = self.count.saturating_add(groups.len());
            let of = self.heard.entry(node).or_default();
            of.insert(pattern.clone(), groups.to_vec());
        }
        if self.heard.get(&node).is_some_and(BTreeMap::is_empty) {
            self.heard.remove(&node);
        }
    }

    /// Forgets all groups of a member.
    pub(crate) fn forget(&mut self, node: NodeId) {
        let patterns: Vec<Pattern> = self
            .heard
            .get(&node)
            .into_iter()
            .flat_map(BTreeMap::keys)
            .cloned()
            .collect();
        for pattern in &patterns {
            self.hear(node, pattern, &[]);
        }
    }

    /// Forgets the groups of other members under a key.
    pub(crate) fn forget_key(&mut self, key: &WatchKey) {
        let of = |(node, patterns): (&NodeId, &BTreeMap<Pattern, Vec<GroupInterest>>)| {
            let under = patterns
                .keys()
                .filter(|pattern| WatchKey::of_pattern(pattern) == *key);
            let node = *node;
            under
                .map(move |pattern| (node, pattern.clone()))
                .collect::<Vec<_>>()
        };
        let all: Vec<(NodeId, Pattern)> = self.heard.iter().flat_map(of).collect();
        for (node, pattern) in all {
            self.hear(node, &pattern, &[]);
        }
    }

    /// The groups of this node that want a pattern, ascending by name.
    pub(crate) fn of(&self, pattern: &Pattern) -> Vec<GroupInterest> {
        let first = (pattern.clone(), Arc::from(""), Destination::FIRST);
        let mut groups: Vec<GroupInterest> = Vec::new();
        for (wanted, name, _) in self.own.range(first..).map(|(key, _)| key) {
            if wanted != pattern {
                break;
            }
            if groups.last().is_some_and(|last| *last.name == **name) {
                continue;
            }
            let balance = self.balance(name).unwrap_or(Balance::RoundRobin);
            groups.push(GroupInterest {
                name: (**name).to_owned(),
                balance,
            });
        }
        groups
    }

    /// The next pattern whose groups on this node have changed.
    pub(crate) fn next_touched(&mut self) -> Option<Pattern> {
        self.touched.pop_first()
    }

    /// Takes note that a pattern is told of anyway.
    pub(crate) fn told(&mut self, pattern: &Pattern) {
        self.touched.remove(pattern);
    }

    /// Whether the table differs from the one that was taken last.
    pub(crate) const fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// The present table.
    pub(crate) fn take_table(&mut self) -> GroupTable {
        self.has_changed = false;
        self.table.clone()
    }

    /// How many groups others have, each counted for each of its patterns.
    #[cfg(test)]
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    fn insert(&mut self, pattern: &Pattern, name: &Arc<str>, to: Destination, balance: Balance) {
        let all = Arc::make_mut(&mut self.table.keyed);
        let keyed = all.entry(WatchKey::of_pattern(pattern)).or_default();
        let groups = Arc::make_mut(keyed).entry(pattern.clone()).or_default();
        let members = groups.entry(Arc::clone(name)).or_default();
        members.insert(to, balance);
        self.has_changed = true;
    }

    fn take_out(&mut self, pattern: &Pattern, name: &Arc<str>, to: Destination) {
        let key = WatchKey::of_pattern(pattern);
        let all = Arc::make_mut(&mut self.table.keyed);
        let Some(keyed) = all.get_mut(&key).map(Arc::make_mut) else {
            return;
        };
        if let Some(groups) = keyed.get_mut(pattern) {
            if let Some(members) = groups.get_mut(name) {
                members.remove(&to);
                if members.is_empty() {
                    groups.remove(name);
                }
            }
            if groups.is_empty() {
                keyed.remove(pattern);
            }
        }
        if keyed.is_empty() {
            all.remove(&key);
        }
        self.has_changed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalId;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    fn found(groups: &mut Groups, topic: &str) -> Vec<(String, Balance, usize)> {
        let matches = groups.take_table().matches(&Topic::new(topic).unwrap());
        let each = matches.into_iter();
        each.map(|one| (one.name.to_string(), one.balance, one.members.len()))
            .collect()
    }

    fn group(name: &str, balance: Balance) -> GroupInterest {
        GroupInterest {
            name: name.into(),
            balance,
        }
    }

    const SELF: Destination = Destination::Local(LocalId::new(1));
    const OTHER: Destination = Destination::Local(LocalId::new(2));

    #[test]
    fn a_group_is_found_by_each_pattern_of_its_members_and_leaves_nothing_behind() {
        let mut groups = Groups::new(&Config::default());
        let node = NodeId::from_bytes([1; 32]);
        let name: Arc<str> = "g".into();
        groups.add(&pattern("a.*"), &name, Balance::Sticky, SELF);
        groups.add(&pattern("a.*"), &name, Balance::Sticky, SELF);
        groups.add(&pattern("*.b"), &name, Balance::Sticky, OTHER);
        groups.hear(
            node,
            &pattern("a.b"),
            &[group("f", Balance::Random), group("g", Balance::Hash)],
        );
        let all = [
            ("f".to_owned(), Balance::Random, 1),
            ("g".to_owned(), Balance::Sticky, 3),
        ];
        assert_eq!(found(&mut groups, "a.b"), all);
        assert_eq!(
            found(&mut groups, "a.c"),
            [("g".to_owned(), Balance::Sticky, 1)]
        );
        assert_eq!(groups.of(&pattern("a.*")), [group("g", Balance::Sticky)]);
        groups.remove(&pattern("a.*"), &name, SELF);
        assert_eq!(found(&mut groups, "a.c").len(), 1);
        groups.remove(&pattern("a.*"), &name, SELF);
        assert_eq!(found(&mut groups, "a.c"), []);
        groups.remove(&pattern("*.b"), &name, OTHER);
        assert_eq!(groups.balance("g"), None);
        assert_eq!(groups.count(), 2);
        groups.forget_key(&WatchKey::of_pattern(&pattern("a")));
        assert_eq!(groups.count(), 0);
        groups.hear(node, &pattern("a.b"), &[group("g", Balance::Hash)]);
        groups.forget(node);
        assert!(groups.take_table().is_empty());
        assert!(groups.heard.is_empty() && groups.own.is_empty());
    }

    #[test]
    fn what_others_say_is_bounded() {
        let config = Config {
            max_interests: 2,
            ..Config::default()
        };
        let mut groups = Groups::new(&config);
        for at in 0..5 {
            let node = NodeId::from_bytes([at; 32]);
            groups.hear(node, &pattern("a.b"), &[group("g", Balance::Hash)]);
        }
        assert_eq!(
            found(&mut groups, "a.b"),
            [("g".to_owned(), Balance::Hash, 2)]
        );
        assert_eq!((groups.count(), groups.heard.len()), (2, 2));
    }
}
