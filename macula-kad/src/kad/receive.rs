//! Messages of others.

use std::sync::Arc;

use macula_wire::Body;
use macula_wire::limit::MAX_RECORDS;
use macula_wire::message::{Contact, KadAnswer, KadFind, KadFound, KadWant, SignedRoutingRecord};

use super::Kad;
use super::request::Purpose;
use super::stage::{parts, worth};
use crate::bucket::Heard;
use crate::check::{Checked, records};
use crate::closest::{Placed, Told};
use crate::distance::Place;

impl Kad {
    pub(super) fn on_message(&mut self, from: Arc<Contact>, message: Checked) {
        if from.node == self.own {
            return;
        }
        let (body, forged) = message.into_parts();
        let from = Placed::new(from);
        self.outdo(records(&body), &forged);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "other messages are those of other protocols"
        )]
        match body {
            Body::KadFound(found) => self.on_found(&from, &found, &forged),
            Body::KadAnswer(answer) => self.on_answer(&from, &answer),
            Body::KadChanges(changes) => self.on_changes(&from.contact.node, &changes, &forged),
            Body::KadWant(want) => self.on_wanted(&from, &want),
            // All others ask for something.
            _ if !self.admit(&from) => {}
            Body::KadFind(find) => self.on_find(from, &find),
            Body::KadStore(store) => self.on_store(from.contact, &store, &forged),
            Body::KadWatch(watch) => self.on_watch(&from.contact, &watch),
            Body::KadDigest(digest) => self.on_digest(from.contact, &digest),
            _ => {}
        }
    }

    /// Whether a peer may ask now. It is a contact by asking.
    fn admit(&mut self, from: &Placed) -> bool {
        if !self.allowances.take(self.now, &from.contact.node) {
            self.stats.refused_rate = self.stats.refused_rate.saturating_add(1);
            return false;
        }
        self.hear(from.clone());
        true
    }

    /// A contact was heard.
    pub(super) fn hear(&mut self, contact: Placed) {
        let node = contact.contact.node;
        match self.table.hear(self.now, contact, &self.config) {
            Heard::Check(doubtful) => self.check(doubtful),
            // Without membership, contacts are all that tells who ought to keep what.
            Heard::Entered if self.members.is_empty() && self.has_records() => self.came(&node),
            Heard::Entered | Heard::Known | Heard::Waits => {}
        }
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, to: Arc<Contact>, body: impl Into<Body>) {
        self.stats.answered = self.stats.answered.saturating_add(1);
        self.send(to, body);
    }

    fn on_find(&mut self, from: Placed, find: &KadFind) {
        let nearest = self.closest_but(&find.key, self.config.k, from.place);
        let contacts = nearest.into_contacts();
        let (records, more) = self.found_here(find);
        self.allowances
            .charge(self.now, &from.contact.node, worth(&records));
        let found = KadFound {
            request: find.request,
            contacts,
            records,
            more,
        };
        self.answer(from.contact, found);
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

    fn on_answer(&mut self, from: &Placed, answer: &KadAnswer) {
        let fits = |purpose: &Purpose| matches!(purpose, Purpose::Store(_) | Purpose::Watch(..));
        let Some(pending) = self.answered(from, answer.request, fits) else {
            return;
        };
        self.hear(from.clone());
        let node = from.contact.node;
        match pending.purpose {
            Purpose::Store(ids) => self.store_answered(node, &ids, answer),
            Purpose::Watch(key, kind) => self.watch_answered(&node, (key, kind), answer),
            Purpose::Lookup { .. } | Purpose::Check | Purpose::Digest(_) => {}
        }
    }

    fn on_wanted(&mut self, from: &Placed, want: &KadWant) {
        let fits = |purpose: &Purpose| matches!(purpose, Purpose::Digest(_));
        let Some(pending) = self.answered(from, want.request, fits) else {
            return;
        };
        self.hear(from.clone());
        if let Purpose::Digest(named) = pending.purpose {
            self.on_want(&from.contact, &named, want);
        }
    }

    /// The contacts of an answer of `from`: neither itself nor this node, and each once.
    fn heard_of<'a>(&mut self, from: Place, contacts: &'a [Arc<Contact>]) -> Vec<Told<'a>> {
        let not = [self.table.place(), from];
        let mut fitting: Vec<Told<'a>> = Vec::with_capacity(contacts.len());
        for contact in contacts {
            let place = Place::of_node(&contact.node);
            if not.contains(&place) || fitting.iter().any(|(other, _)| *other == place) {
                self.stats.refused_contacts = self.stats.refused_contacts.saturating_add(1);
            } else {
                self.table.hear_of(place, contact, &self.config);
                fitting.push((place, contact));
            }
        }
        fitting
    }

    fn on_found(&mut self, from: &Placed, found: &KadFound, forged: &[usize]) {
        let fits = |purpose: &Purpose| matches!(purpose, Purpose::Lookup { .. } | Purpose::Check);
        let Some(pending) = self.answered(from, found.request, fits) else {
            return;
        };
        let heard = if from.contact.addresses.is_empty() {
            &pending.to
        } else {
            from
        };
        self.hear(heard.clone());
        let contacts = self.heard_of(from.place, &found.contacts);
        match pending.purpose {
            Purpose::Lookup {
                query,
                path,
                distance,
            } => {
                self.take_records(query, found, forged);
                let answer = (&from.contact.node, distance);
                self.lookup_answered((query, path), answer, &contacts);
            }
            Purpose::Check | Purpose::Store(_) | Purpose::Digest(_) | Purpose::Watch(..) => {}
        }
    }
}
