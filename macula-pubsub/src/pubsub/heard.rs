//! What other members are told of this one, and heard to want.

use macula_wire::message::GroupInterest;
use macula_wire::{NodeId, Pattern};

use super::{Output, PubSub};
use crate::WatchKey;

impl PubSub {
    pub(super) fn announce(&mut self, pattern: Pattern, each: bool) {
        self.groups.told(&pattern);
        let groups = self.groups.of(&pattern);
        self.outputs.push_back(match (each, groups.is_empty()) {
            (true, true) => Output::Announce { pattern },
            (false, true) => Output::Withdraw { pattern },
            (each, false) => Output::AnnounceShared {
                pattern,
                each,
                groups,
            },
        });
    }
    pub(super) fn on_shared(&mut self, node: NodeId, pattern: &Pattern, groups: &[GroupInterest]) {
        if node == self.own || !self.watched.contains_key(&WatchKey::of_pattern(pattern)) {
            return;
        }
        self.groups.hear(node, pattern, groups);
        self.settle_if(self.groups.has_changed());
    }

    pub(super) fn on_wanted(&mut self, node: NodeId, pattern: Pattern) {
        if node == self.own || !self.watched.contains_key(&WatchKey::of_pattern(&pattern)) {
            return;
        }
        let changed = self.interests.want(node, pattern);
        self.settle_if(changed);
    }

    pub(super) fn on_unwanted(&mut self, node: NodeId, pattern: &Pattern) {
        let changed = self.interests.unwant(node, pattern);
        self.settle_if(changed);
    }

    pub(super) fn on_member_down(&mut self, node: NodeId) {
        self.groups.forget(node);
        let changed = self.interests.forget(node) | self.groups.has_changed();
        self.settle_if(changed);
    }
}
