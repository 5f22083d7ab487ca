//! Growing the table and keeping it fresh (Kademlia, section 2.3).

use std::sync::Arc;
use std::time::Duration;

use macula_wire::Instant;
use macula_wire::message::Contact;

use super::publish::millis;
use super::query::{Asker, Query};
use super::request::Purpose;
use super::{Kad, LookupOptions};
use crate::QueryError;
use crate::closest::Placed;
use crate::timer::Timer;

/// In how many empty parts of each bucket somebody is looked for when a node joins.
const PARTS: usize = 4;

impl Kad {
    /// Enters by a contact: looks up this node's own position, and then somebody in each bucket.
    ///
    /// # Errors
    ///
    /// [`QueryError::TooMany`] if as many lookups are under way as may be. The contact is taken in all the same.
    pub fn join(&mut self, now: Instant, contact: Arc<Contact>) -> Result<(), QueryError> {
        self.advance(now);
        self.hear(Placed::new(contact));
        let limit = self.config.max_queries;
        let joined = if self.queries.len() < limit {
            let (target, need) = (*self.table.position(), self.config.k);
            self.start(Asker::Join, target, need, LookupOptions::default());
            Ok(())
        } else {
            Err(QueryError::TooMany { limit })
        };
        self.flush();
        joined
    }

    /// This node knows its neighbourhood: now the rest of the key space.
    pub(super) fn on_joined(&mut self) {
        let count = self.table.buckets().len();
        for shared in (0..count).rev() {
            self.fill(shared, PARTS);
        }
    }

    /// Looks for somebody in some empty parts of a bucket. A narrow lookup does: whoever it passes is a contact.
    fn fill(&mut self, shared: usize, most: usize) {
        let Some(bucket) = self.table.buckets().get(shared) else {
            return;
        };
        if bucket.entries().len() < self.config.k.min(PARTS) && shared > 0 {
            let parts = [0, 8];
            for part in parts {
                self.look(shared, part);
            }
            return;
        }
        let mut parts: Vec<usize> = bucket.empty_parts(shared).collect();
        self.random.shuffle(&mut parts);
        parts.truncate(most);
        for part in parts {
            self.look(shared, part);
        }
    }

    fn look(&mut self, shared: usize, part: usize) {
        if self.queries.len() >= self.config.max_queries {
            return;
        }
        let target = self.table.key_in(shared, part, &mut self.random);
        self.start(Asker::Refresh, target, 1, LookupOptions::default());
    }

    /// A narrow lookup has ended. After the last one, contacts that others told of are asked, which gives them places.
    pub(super) fn on_refreshed(&mut self) {
        if self.queries.values().any(Query::is_refresh) {
            return;
        }
        for contact in self.table.take_told(&self.config) {
            self.check(contact);
        }
    }

    pub(super) fn plan_refresh(&mut self) {
        let every = self.config.refresh_every;
        let jitter = self.random.below(millis(every.div_f64(5.0)).max(1));
        let early = Duration::from_millis(jitter);
        self.after(Timer::Refresh, every.saturating_sub(early));
    }

    /// Looks for new contacts where there is room.
    pub(super) fn on_refresh(&mut self) {
        let (target, need) = (*self.table.position(), self.config.k);
        if self.table.len() > 0 && self.queries.len() < self.config.max_queries {
            self.start(Asker::Join, target, need, LookupOptions::default());
        }
        self.plan_refresh();
    }

    /// Asks a contact that failed or has not been heard for long, because another wants its place.
    pub(super) fn check(&mut self, doubtful: Arc<Contact>) {
        if self.checks.insert(doubtful.node) {
            let key = *self.table.position();
            self.find(Placed::new(doubtful), key, None, Purpose::Check);
        }
    }
}
