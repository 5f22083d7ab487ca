//! What interest and offers put out, and what routing tells of the interest and the offers of others.

use macula_kad::{RecordChange, key, record_id};
use macula_pubsub::WatchKey;
use macula_rpc::Offer;
use macula_wire::message::{
    InterestContent, Invoke, RecordContent, RecordKind, SignedRoutingRecord,
};
use macula_wire::{Instant, Key, Machine, NodeId, Pattern, limit};

use super::{NodeMachine, NodeOutput, Watched};

impl NodeMachine {
    /// Carries out what interest and offers want: records are published and keys watched. Returns whether there was
    /// anything. Records leave together.
    pub(super) fn route_messaging(&mut self, now: Instant) -> bool {
        let mut changes = Vec::new();
        let mut moved = false;
        while let Some(output) = self.pubsub.poll_output() {
            moved = true;
            changes.extend(self.route_pubsub(now, output));
        }
        while let Some(output) = self.rpc.poll_output() {
            moved = true;
            changes.extend(self.route_rpc(now, output));
        }
        if !changes.is_empty() {
            let failed = self.kad.change(now, changes);
            self.counts.unpublished = self.counts.unpublished.saturating_add(failed);
        }
        moved
    }

    fn route_pubsub(
        &mut self,
        now: Instant,
        output: macula_pubsub::Output,
    ) -> Option<RecordChange> {
        use macula_pubsub::Output;
        match output {
            Output::Announce { pattern } => {
                self.wanted(&pattern, true);
                return Some(RecordChange::Publish(interest(pattern)));
            }
            Output::AnnounceShared {
                pattern,
                each,
                groups,
            } => {
                self.wanted(&pattern, true);
                let content = InterestContent {
                    pattern,
                    each,
                    groups,
                };
                return Some(RecordChange::Publish(RecordContent::Interest(content)));
            }
            Output::Groups(groups) => self.outputs.push_back(NodeOutput::Groups(groups)),
            Output::Withdraw { pattern } => {
                self.wanted(&pattern, false);
                return Some(self.withdrawal(&interest(pattern)));
            }
            Output::Table(table) => self.outputs.push_back(NodeOutput::Table(table)),
            Output::Watch { key } => self.watch(now, Watched::Topics(key)),
            Output::Unwatch { key } => self.unwatch(now, &Watched::Topics(key)),
            _ => {}
        }
        None
    }

    fn route_rpc(&mut self, now: Instant, output: macula_rpc::Output) -> Option<RecordChange> {
        use macula_rpc::Output;
        match output {
            Output::Announce { pattern, offer } => {
                self.served(&pattern, true);
                let content = RecordContent::Provider(offer.content(pattern));
                return Some(RecordChange::Publish(content));
            }
            Output::Withdraw { pattern } => {
                self.served(&pattern, false);
                // Of a record that goes only the name counts.
                let content = Offer::new(0, Invoke::P2c).content(pattern);
                return Some(self.withdrawal(&RecordContent::Provider(content)));
            }
            Output::Ended { registrant, why } => {
                let ended = NodeOutput::RegistrationEnded { registrant, why };
                self.outputs.push_back(ended);
            }
            Output::Table(table) => self.outputs.push_back(NodeOutput::Providers(table)),
            Output::Watch { key } => self.watch(now, Watched::Procedures(key)),
            Output::Unwatch { key } => self.unwatch(now, &Watched::Procedures(key)),
            _ => {}
        }
        None
    }

    fn wanted(&mut self, pattern: &Pattern, is_wanted: bool) {
        let pattern = pattern.clone();
        self.outputs
            .push_back(NodeOutput::Wanted { pattern, is_wanted });
    }

    fn served(&mut self, pattern: &Pattern, is_served: bool) {
        let pattern = pattern.clone();
        self.outputs
            .push_back(NodeOutput::Served { pattern, is_served });
    }

    fn withdrawal(&self, content: &RecordContent) -> RecordChange {
        RecordChange::Withdraw(record_id(&self.own, content))
    }

    /// Whether something is watched at present.
    #[must_use]
    pub fn is_watched(&self, watched: &Watched) -> bool {
        self.watched.contains_key(&self.place(watched))
    }

    /// Where the records are kept that a watch is about.
    fn place(&self, watched: &Watched) -> (Key, RecordKind) {
        let (kind, name) = match watched {
            Watched::Topics(key) => (RecordKind::Interest, key.name()),
            Watched::Procedures(key) => (RecordKind::Provider, key.name()),
        };
        (key(self.kad.realm(), kind, name), kind)
    }

    fn watch(&mut self, now: Instant, watched: Watched) {
        let (key, kind) = self.place(&watched);
        if watched.is_reserved() {
            // Nobody tells others of reserved names.
            return self.watching(watched);
        }
        if self.kad.watch(now, key, kind).is_err() {
            self.counts.unwatched = self.counts.unwatched.saturating_add(1);
            return self.watching(watched);
        }
        self.watched.insert((key, kind), watched);
    }

    fn unwatch(&mut self, now: Instant, watched: &Watched) {
        let (key, kind) = self.place(watched);
        if self.watched.remove(&(key, kind)).is_some() {
            self.kad.unwatch(now, key, kind);
        }
    }

    /// All that is there now was told about a name.
    fn watching(&mut self, watched: Watched) {
        let version = match &watched {
            Watched::Topics(_) => self.pubsub.version(),
            Watched::Procedures(_) => self.rpc.version(),
        };
        self.outputs
            .push_back(NodeOutput::Watching { watched, version });
    }

    /// Routing has told all that is under a key.
    pub(super) fn on_watching(&mut self, key: Key, kind: RecordKind) {
        if let Some(watched) = self.watched.get(&(key, kind)).cloned() {
            self.watching(watched);
        }
    }

    /// A record under a watched key holds, or holds no more.
    pub(super) fn on_changed(&mut self, now: Instant, record: &SignedRoutingRecord, holds: bool) {
        let node = record.record.owner;
        match &record.record.content {
            RecordContent::Interest(interest) => {
                let pattern = interest.pattern.clone();
                let groups = if holds {
                    interest.groups.clone()
                } else {
                    Vec::new()
                };
                let shared = macula_pubsub::Input::Shared {
                    node,
                    pattern: pattern.clone(),
                    groups,
                };
                self.pubsub.handle_input(now, shared);
                let input = if holds && interest.each {
                    macula_pubsub::Input::Wanted { node, pattern }
                } else {
                    macula_pubsub::Input::Unwanted { node, pattern }
                };
                self.pubsub.handle_input(now, input);
            }
            RecordContent::Provider(provider) => {
                let pattern = provider.pattern.clone();
                let input = if holds {
                    let offer = Offer::from(provider);
                    macula_rpc::Input::Offered {
                        node,
                        pattern,
                        offer,
                    }
                } else {
                    macula_rpc::Input::Unoffered { node, pattern }
                };
                self.rpc.handle_input(now, input);
            }
            _ => {}
        }
    }

    /// A member is gone, and with it what it wanted and offered.
    pub(super) fn forget_messaging(&mut self, now: Instant, node: NodeId) {
        self.pubsub
            .handle_input(now, macula_pubsub::Input::MemberDown { node });
        self.rpc
            .handle_input(now, macula_rpc::Input::MemberDown { node });
    }
}

fn interest(pattern: Pattern) -> RecordContent {
    RecordContent::Interest(InterestContent::each(pattern))
}

impl Watched {
    /// Whether it is about names that nobody announces.
    fn is_reserved(&self) -> bool {
        match self {
            Self::Topics(WatchKey::Wildcard) => false,
            Self::Topics(WatchKey::Segment(segment)) => {
                segment.starts_with('$') && !limit::DEAD_LETTER_PREFIX.starts_with(&**segment)
            }
            Self::Procedures(key) => key.is_reserved() && !key.is_of_services(),
        }
    }
}
