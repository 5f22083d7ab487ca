//! What can be seen of the control plane.

use std::sync::Arc;

use macula_wire::{NodeId, Pattern, Topic};

use super::PubSub;
use crate::{Subscriber, Table};

impl PubSub {
    /// The latest table. Its [`Output::Table`](crate::Output::Table) may still wait.
    #[must_use]
    pub const fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The version of the table in which every change made so far has its effect. It has been put out, or it will be
    /// within [`Config::settle`](crate::Config::settle).
    #[must_use]
    pub fn version(&self) -> u64 {
        let pending = u64::from(self.pace.due().is_some());
        self.table.version().saturating_add(pending)
    }

    /// How many subscriptions there are on this node.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// The subscriptions of this node, ascending.
    pub fn subscribed(&self) -> impl Iterator<Item = (&Subscriber, &Pattern)> {
        self.subscriptions.iter()
    }

    /// How many distinct patterns this node wants.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.interests.own_patterns()
    }

    /// The topics that are declared for publishing, ascending.
    pub fn publications(&self) -> impl Iterator<Item = &Topic> {
        self.publications.keys()
    }

    /// Counts the changes of the set of declared topics.
    #[must_use]
    pub const fn declarations(&self) -> u64 {
        self.declarations
    }

    /// What `member` wants under the keys that are watched, ascending.
    pub fn interest_of(&self, member: &NodeId) -> impl Iterator<Item = &Pattern> {
        self.interests.of(member)
    }

    /// The other members that want something under the keys that are watched, ascending.
    pub fn interested(&self) -> impl Iterator<Item = &NodeId> {
        self.interests.members()
    }

    /// How many patterns other members want, each counted for each of them.
    #[must_use]
    pub const fn interests(&self) -> usize {
        self.interests.count()
    }

    /// How often a pattern of another member was refused because of
    /// [`Config::max_interests`](crate::Config::max_interests) or [`Config::max_patterns`](crate::Config::max_patterns); its events do not reach that member from here.
    #[must_use]
    pub const fn interests_refused(&self) -> u64 {
        self.interests.refused()
    }
}
