//! Messages of others.

use std::sync::Arc;

use macula_wire::Body;
use macula_wire::limit::MAX_RECORDS;
use macula_wire::message::{Contact, KadAnswer, KadFind, KadFound, KadWant, SignedRoutingRecord};

use super::Kad;
use super::request::Purpose;
use super::stage::parts;
use crate::bucket::Heard;
use crate::check::Checked;
use crate::closest::Placed;
use crate::distance::Place;

impl Kad {
    pub(super) fn on_message(&mut self, from: Arc<Contact>, message: Checked) {
        if from.node == self.own {
            return;
        }
        let (body, forged) = message.into_parts();
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "other messages are those of other protocols"
        )]
        match body {
            Body::KadFound(found) => self.on_found(&from, &found, &forged),
            Body::KadAnswer(answer) => self.on_answer(&from, &answer),
            Body::KadChanges(changes) => self.on_changes(&from.node, &changes, &forged),
            Body::KadWant(want) => self.on_wanted(&from, &want),
            // All others ask for something.
            _ if !self.admit(&from) => {}
            Body::KadFind(find) => self.on_find(from, &find),
            Body::KadStore(store) => self.on_store(from, &store, &forged),
            Body::KadWatch(watch) => self.on_watch(&from, &watch),
            Body::KadDigest(digest) => self.on_digest(from, &digest),
            _ => {}
        }
    }

    /// Whether a peer may ask now. It is a contact by asking.
    fn admit(&mut self, from: &Arc<Contact>) -> bool {
        if !self.allowances.take(self.now, &from.node) {
            self.stats.refused_rate = self.stats.refused_rate.saturating_add(1);
            return false;
        }
        self.hear(Arc::clone(from));
        true
    }

    /// A contact was heard.
    pub(super) fn hear(&mut self, contact: Arc<Contact>) {
        let node = contact.node;
        match self.table.hear(self.now, contact, &self.config) {
            Heard::Check(doubtful) => self.check(doubtful),
            // Without membership, contacts are all that tells who ought to keep what.
            Heard::Entered if self.members.is_empty() && self.has_records() => self.came(&node),
            Heard::Entered | Heard::Known | Heard::Waits => {}
        }
    }

    fn on_find(&mut self, from: Arc<Contact>, find: &KadFind) {
        self.stats.answered = self.stats.answered.saturating_add(1);
        let asker = Place::of_node(&from.node);
        let nearest = self.closest_but(&find.key, self.config.k, asker);
        let (records, more) = self.found_here(find);
        let found = KadFound {
            request: find.request,
            contacts: nearest.into_contacts(),
            records,
            more,
        };
        self.send(from, found);
    }

    /// The records that are asked for, as many as fit a message, and whether there are more.
    fn found_here(&self, find: &KadFind) -> (Vec<Arc<SignedRoutingRecord>>, bool) {
        let Some(kind) = find.kind else {
            return (Vec::new(), false);
        };
        let records = self.store.under(find.key, kind).map(Arc::clone);
        // One more than fits tells that there are more.
        let records = records.take(MAX_RECORDS.saturating_add(1));
        let mut parts = parts(records).into_iter();
        (parts.next().unwrap_or_default(), parts.next().is_some())
    }

    fn on_answer(&mut self, from: &Arc<Contact>, answer: &KadAnswer) {
        let Some(pending) = self.answered(&from.node, answer.request) else {
            return;
        };
        self.hear(Arc::clone(from));
        match pending.purpose {
            Purpose::Store(ids) => self.store_answered(from.node, &ids, answer),
            Purpose::Watch(key, kind) => self.watch_answered(&from.node, (key, kind), answer),
            Purpose::Lookup { .. } | Purpose::Check | Purpose::Digest(_) => {}
        }
    }

    fn on_wanted(&mut self, from: &Arc<Contact>, want: &KadWant) {
        let Some(pending) = self.answered(&from.node, want.request) else {
            return;
        };
        self.hear(Arc::clone(from));
        if let Purpose::Digest(named) = pending.purpose {
            self.on_want(from, &named, want);
        }
    }

    /// The contacts of an answer but for this node, which hears of them by it.
    fn heard_of(&mut self, contacts: &[Arc<Contact>]) -> Vec<Placed> {
        let own = self.table.place();
        let placed = contacts
            .iter()
            .map(|contact| Placed::new(Arc::clone(contact)));
        let placed: Vec<Placed> = placed.filter(|placed| placed.place != own).collect();
        for one in &placed {
            self.table.hear_of(one, &self.config);
        }
        placed
    }

    fn on_found(&mut self, from: &Arc<Contact>, found: &KadFound, forged: &[usize]) {
        let Some(pending) = self.answered(&from.node, found.request) else {
            return;
        };
        let heard = if from.addresses.is_empty() {
            &pending.to
        } else {
            from
        };
        self.hear(Arc::clone(heard));
        let contacts = self.heard_of(&found.contacts);
        match pending.purpose {
            Purpose::Lookup {
                query,
                path,
                distance,
            } => {
                self.take_records(query, found, forged);
                self.lookup_answered((query, path), (&from.node, distance), &contacts);
            }
            Purpose::Check | Purpose::Store(_) | Purpose::Digest(_) | Purpose::Watch(..) => {}
        }
    }
}
