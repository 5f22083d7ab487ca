//! How links come up, fall silent and end.

use super::NodeIndex;
use super::counters::count;
use super::event::Event;
use super::fabric::Fabric;
use super::link::{LinkRef, Pair};

impl Fabric {
    /// Makes a link that is up at once, or takes up one that is being made; `None` if there is one already, or nobody
    /// to be linked.
    pub(super) fn link(&mut self, a: NodeIndex, b: NodeIndex) -> Option<LinkRef> {
        if a == b || !self.runs(a) || !self.runs(b) {
            return None;
        }
        let pair = Pair::new(a, b);
        let link = match self.links.find(a, b) {
            Some(link) => link,
            None => self.links.begin(pair),
        };
        let taken_up = self.take_up(link);
        self.review_link(link);
        taken_up.then_some(link)
    }

    /// Marks a link as up; false if it is no more, or is up already.
    pub(super) fn take_up(&mut self, link: LinkRef) -> bool {
        let made = self.links.get_mut(link).filter(|link| !link.up);
        let Some(made) = made else {
            return false;
        };
        made.up = true;
        count(&mut self.counters.links_up);
        true
    }

    pub(super) fn drop_link_between(&mut self, a: NodeIndex, b: NodeIndex) {
        if let Some(link) = self.links.find(a, b) {
            self.drop_link(link);
        }
    }

    /// Ends a link, if it is still there: what is on its way is lost, and whoever had it up is told.
    pub(super) fn drop_link(&mut self, link: LinkRef) {
        let Some(mut link) = self.links.remove(link) else {
            return;
        };
        for parcel in link.take_held() {
            count(&mut self.counters.messages_broken);
            self.parcels.take(parcel);
        }
        if !link.up {
            count(&mut self.counters.dials_failed);
            return;
        }
        count(&mut self.counters.links_down);
        for node in [link.pair.0, link.pair.1] {
            let peer = link.pair.other(node);
            if let Some(place) = self.place(node).filter(|place| place.runs) {
                let life = place.life;
                self.queue.push(self.now, Event::Down { node, life, peer });
            }
        }
    }

    /// Looks at the links of a node after it was started, ended, paused or resumed.
    pub(super) fn review_node(&mut self, node: NodeIndex) {
        for link in self.links.of(node) {
            self.review_link(link);
        }
    }

    /// Looks at the link between two nodes after a block between them began or ended.
    pub(super) fn review_between(&mut self, a: NodeIndex, b: NodeIndex) {
        if let Some(link) = self.links.find(a, b) {
            self.review_link(link);
        }
    }

    /// Looks at every link after a fault of many began or ended.
    pub(super) fn review_all(&mut self) {
        for link in self.links.all() {
            self.review_link(link);
        }
    }

    /// A link that fell silent starts to time out, and on one that speaks again goes what had to wait.
    fn review_link(&mut self, link: LinkRef) {
        let Some(pair) = self.links.get(link).map(|link| link.pair) else {
            return;
        };
        let silent = self.is_silent(pair);
        let since = self.now;
        let Some(current) = self.links.get_mut(link) else {
            return;
        };
        if silent && current.silent_since.is_none() {
            current.silent_since = Some(since);
            let at = since + self.config.link_timeout;
            self.queue.push(at, Event::Idle { link, pair, since });
        } else if !silent {
            current.silent_since = None;
        }
        for (from, to) in [(pair.0, pair.1), (pair.1, pair.0)] {
            self.flush_what_waited(link, from, to);
        }
    }

    fn flush_what_waited(&mut self, link: LinkRef, from: NodeIndex, to: NodeIndex) {
        let current = self.links.get_mut(link);
        let waits = current.is_some_and(|link| link.way(from).holds());
        if waits && !self.links.is_blocked(from, to) {
            let delay = self.rules(from, to).delay(&mut self.random);
            self.queue
                .push(self.now + delay, Event::Flush { link, from, to });
        }
    }
}
