//! Messages of others.

use std::sync::Arc;

use macula_wire::Body;
use macula_wire::message::{Contact, KadFind, KadFound};

use super::Kad;
use super::request::Purpose;
use crate::bucket::Heard;
use crate::check::Checked;
use crate::closest::Placed;
use crate::distance::Place;

impl Kad {
    pub(super) fn on_message(&mut self, from: Arc<Contact>, message: Checked) {
        if from.node == self.own {
            return;
        }
        let (body, _forged) = message.into_parts();
        match body {
            Body::KadFind(find) => {
                if self.admit(&from) {
                    self.on_find(from, &find);
                }
            }
            Body::KadFound(found) => self.on_found(&from, &found),
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
        let heard = self.table.hear(self.now, contact, &self.config);
        if let Heard::Check(doubtful) = heard {
            self.check(doubtful);
        }
    }

    fn on_find(&mut self, from: Arc<Contact>, find: &KadFind) {
        self.stats.answered = self.stats.answered.saturating_add(1);
        let asker = Place::of_node(&from.node);
        let nearest = self.closest_but(&find.key, self.config.k, asker);
        let found = KadFound {
            request: find.request,
            contacts: nearest.into_contacts(),
            records: Vec::new(),
            more: false,
        };
        self.send(from, found);
    }

    /// The contacts of an answer but for this node, which hears of them by it.
    fn told(&mut self, contacts: &[Arc<Contact>]) -> Vec<Placed> {
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

    fn on_found(&mut self, from: &Arc<Contact>, found: &KadFound) {
        let Some(pending) = self.answered(&from.node, found.request) else {
            return;
        };
        let heard = if from.addresses.is_empty() {
            &pending.to
        } else {
            from
        };
        self.hear(Arc::clone(heard));
        let contacts = self.told(&found.contacts);
        match pending.purpose {
            Purpose::Lookup {
                query,
                path,
                distance,
            } => {
                self.lookup_answered((query, path), (&from.node, distance), &contacts);
            }
            Purpose::Check => {}
        }
    }
}
