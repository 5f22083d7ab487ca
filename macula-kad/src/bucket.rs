//! A bucket: the contacts at one distance, and those that wait for a place (Kademlia, sections 2.2 and 4.1).

use std::sync::Arc;

use macula_wire::Instant;
use macula_wire::message::Contact;

use crate::closest::Placed;
use crate::config::Config;
use crate::distance::Place;
use crate::network::{networks, share};
use crate::rtt::Rtt;

/// By how many bits beyond those that a bucket shares its contacts are told apart. Contacts that differ in them shorten
/// lookups (Salah, Roos and Strufe, arXiv 1408.3079).
const DIVERSITY: usize = 4;

/// A contact in a bucket. Nothing is searched more than contacts, so one takes no more than a line of the cache.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    pub(crate) contact: Arc<Contact>,
    /// When it was last heard.
    pub(crate) heard: Instant,
    pub(crate) rtt: Rtt,
    /// How many requests in a row it has not answered.
    pub(crate) failures: u8,
}

/// What became of a contact that was heard.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    /// It has a place now, which it did not have before.
    Entered,
    /// It has a place.
    Known,
    /// It waits for a place, or found no room to wait.
    Waits,
    /// It waits for the place of this contact, which has not been heard for long and is to be checked.
    Check(Arc<Contact>),
}

/// What comes of a request that a contact has not answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Failed {
    /// Nothing: it keeps its place, or had none.
    Stays,
    /// Another waits for its place: this contact is to be checked.
    Check(Arc<Contact>),
    /// It has lost its place.
    Lost,
}

/// A bucket.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// In no order: to be heard again moves nobody.
    entries: Vec<Entry>,
    /// Heard of or heard from while there was no place; the latest last.
    waiting: Vec<Entry>,
    /// Told of by others, while there was room; they are asked before they get a place.
    told: Vec<Placed>,
}

impl Bucket {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut Entry> {
        let mut entries = self.entries.iter_mut();
        entries.find(|entry| entry.place == place)
    }

    /// A contact was heard that belongs into this bucket, whose members share `shared` bits with this node.
    pub(crate) fn hear(&mut self, entry: Entry, shared: usize, config: &Config) -> Heard {
        let place = entry.place;
        if let Some(index) = self.find(place) {
            return self.hear_again(index, entry, config);
        }
        if !self.networks_have_room(&entry, config.max_per_network) {
            return self.doubtful_neighbour(&entry, config);
        }
        if self.entries.len() < config.k {
            self.wait_no_more(place);
            self.entries.push(entry);
            return Heard::Entered;
        }
        if let Some(index) = self.crowded(place, shared) {
            let moved = self.entries.swap_remove(index);
            self.wait(moved, config);
            self.entries.push(entry);
            return Heard::Entered;
        }
        let now = entry.heard;
        self.wait(entry, config);
        self.doubtful(now, config, |_| true)
    }

    /// A contact was heard that has a place, perhaps at other addresses.
    fn hear_again(&mut self, index: usize, entry: Entry, config: &Config) -> Heard {
        let has_moved = |known: &Entry| {
            let (before, now) = (&known.contact, &entry.contact);
            !Arc::ptr_eq(before, now)
                && !now.addresses.is_empty()
                && now.addresses != before.addresses
        };
        match self.entries.get_mut(index) {
            Some(known) if !has_moved(known) => {
                known.heard = entry.heard;
                known.failures = 0;
            }
            _ => {
                let rtt = self.entries.swap_remove(index).rtt;
                if !self.networks_have_room(&entry, config.max_per_network) {
                    // It has moved to where others have all places.
                    self.promote(config);
                    return self.doubtful_neighbour(&entry, config);
                }
                self.entries.push(Entry { rtt, ..entry });
            }
        }
        Heard::Known
    }

    /// Those that have the places of its networks may be dead. The newcomer does not wait; it is heard again.
    fn doubtful_neighbour(&self, newcomer: &Entry, config: &Config) -> Heard {
        let newcomers = &newcomer.contact;
        let is_near = |other: &&Entry| share(&other.contact, newcomers);
        self.doubtful(newcomer.heard, config, is_near)
    }

    /// Of those of some contacts that have failed or were not heard for long, the longest unheard.
    fn doubtful(&self, now: Instant, config: &Config, some: impl Fn(&&Entry) -> bool) -> Heard {
        let is_doubtful = |entry: &&Entry| {
            entry.failures > 0 || now.saturating_since(entry.heard) >= config.check_after
        };
        let some = self.entries.iter().filter(some);
        let doubtful = some.filter(is_doubtful).min_by_key(|entry| entry.heard);
        doubtful.map_or(Heard::Waits, |doubtful| {
            Heard::Check(Arc::clone(&doubtful.contact))
        })
    }

    /// Another told of a contact. It is remembered if there is room for it among the contacts.
    pub(crate) fn hear_of(&mut self, place: Place, contact: &Arc<Contact>, config: &Config) {
        let room = config.k.saturating_sub(self.entries.len());
        if self.told.len() < room.saturating_mul(2)
            && self.find(place).is_none()
            && self.told.iter().all(|told| told.place != place)
        {
            let contact = Arc::clone(contact);
            self.told.push(Placed { place, contact });
        }
    }

    /// As many of those told of as there is room for.
    pub(crate) fn take_told(&mut self, config: &Config) -> Vec<Arc<Contact>> {
        let told = std::mem::take(&mut self.told);
        let room = config.k.saturating_sub(self.entries.len());
        let news = told
            .into_iter()
            .filter(|told| self.find(told.place).is_none());
        news.take(room).map(|told| told.contact).collect()
    }

    /// A contact has not answered a request, or a check of it. One lost request is no proof: while another waits for its
    /// place it is checked, and loses it if that fails; otherwise when it has failed as often as `patience` says.
    pub(crate) fn fail(
        &mut self,
        place: Place,
        is_check: bool,
        patience: u8,
        config: &Config,
    ) -> Failed {
        let Some(index) = self.find(place) else {
            self.wait_no_more(place);
            return Failed::Stays;
        };
        let is_wanted = !self.waiting.is_empty();
        let Some(entry) = self.entries.get_mut(index) else {
            return Failed::Stays;
        };
        entry.failures = entry.failures.saturating_add(1);
        if entry.failures >= patience || (is_check && is_wanted) {
            self.entries.swap_remove(index);
            self.promote(config);
            Failed::Lost
        } else if is_wanted {
            Failed::Check(Arc::clone(&entry.contact))
        } else {
            Failed::Stays
        }
    }

    /// A contact is gone for good. Whether it had a place.
    pub(crate) fn remove(&mut self, place: Place, config: &Config) -> bool {
        self.wait_no_more(place);
        self.told.retain(|told| told.place != place);
        let Some(index) = self.find(place) else {
            return false;
        };
        self.entries.swap_remove(index);
        self.promote(config);
        true
    }

    /// Which of the parts of this bucket hold nobody, as the bits beyond the shared ones.
    pub(crate) fn empty_parts(&self, shared: usize) -> impl Iterator<Item = usize> {
        let parts = self
            .entries
            .iter()
            .fold(0_u32, |parts, entry| parts | 1 << part(entry.place, shared));
        (0..1 << DIVERSITY).filter(move |index| parts & (1_u32 << index) == 0)
    }

    fn find(&self, place: Place) -> Option<usize> {
        self.entries.iter().position(|entry| entry.place == place)
    }

    fn wait_no_more(&mut self, place: Place) {
        self.waiting.retain(|waits| waits.place != place);
    }

    /// The latest of those that wait takes the place that is free, if its networks have room.
    fn promote(&mut self, config: &Config) {
        let max = config.max_per_network;
        let mut waiting = self.waiting.iter();
        if let Some(index) = waiting.rposition(|entry| self.networks_have_room(entry, max)) {
            let next = self.waiting.remove(index);
            self.entries.push(next);
        }
    }

    fn wait(&mut self, entry: Entry, config: &Config) {
        self.wait_no_more(entry.place);
        if self.waiting.len() >= config.replacements && !self.waiting.is_empty() {
            self.waiting.remove(0);
        }
        if config.replacements > 0 {
            self.waiting.push(entry);
        }
    }

    /// The newest contact of the fullest part, if `place` is of a part that holds nobody and that one has some to
    /// spare.
    fn crowded(&self, place: Place, shared: usize) -> Option<usize> {
        let mut counts = [0_u8; 1 << DIVERSITY];
        for entry in &self.entries {
            if let Some(count) = counts.get_mut(part(entry.place, shared)) {
                *count = count.saturating_add(1);
            }
        }
        if counts
            .get(part(place, shared))
            .is_none_or(|count| *count > 0)
        {
            return None;
        }
        let (fullest, count) = counts.iter().enumerate().max_by_key(|(_, count)| **count)?;
        let entries = self.entries.iter().enumerate();
        let of_fullest = entries.filter(|(_, entry)| part(entry.place, shared) == fullest);
        let newest = of_fullest.max_by_key(|(_, entry)| entry.heard);
        newest.filter(|_| *count > 1).map(|(index, _)| index)
    }

    fn networks_have_room(&self, entry: &Entry, max: usize) -> bool {
        max == usize::MAX
            || networks(&entry.contact).all(|network| {
                let others = self.entries.iter();
                let there = others.filter(|other| {
                    let mut others = networks(&other.contact);
                    others.any(|other| other == network)
                });
                there.count() < max
            })
    }
}

/// The part of a bucket in which a position lies.
fn part(place: Place, shared: usize) -> usize {
    let first = shared.saturating_add(1);
    (first..first.saturating_add(DIVERSITY))
        .fold(0, |part, index| part << 1 | usize::from(place.bit(index)))
}
