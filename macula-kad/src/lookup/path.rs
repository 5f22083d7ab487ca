//! One path of a lookup: a list of candidates by distance.

use std::sync::Arc;

use macula_wire::Instant;
use macula_wire::message::Contact;

use super::{Step, StepEnd};
use crate::distance::Distance;

/// The most candidates of a path on which so many have to answer. Those beyond are farther than any that could be needed.
const fn most(need: usize) -> usize {
    need.saturating_mul(4).saturating_add(16)
}

/// How far a candidate is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// It was not asked yet.
    Fresh,
    /// It was asked.
    Asked,
    /// Its answer is late; it still counts if it comes.
    Late,
    /// It answered.
    Answered,
    /// It will not answer.
    Failed,
}

#[derive(Debug)]
struct Candidate {
    distance: Distance,
    contact: Arc<Contact>,
    /// How many requests lead to it, its own among them.
    depth: u32,
    state: State,
    /// When it was asked, and when it answered or was given up.
    asked: Instant,
    ended: Instant,
}

impl Candidate {
    /// Whether it may yet count among the closest.
    const fn is_live(&self) -> bool {
        matches!(self.state, State::Fresh | State::Asked | State::Answered)
    }
}

/// The candidates of one path, closest first.
#[derive(Debug)]
pub(crate) struct Path {
    need: usize,
    candidates: Vec<Candidate>,
    /// How many answers are waited for that are not late.
    asked: usize,
}

impl Path {
    pub(crate) const fn new(need: usize) -> Self {
        Self {
            need,
            candidates: Vec::new(),
            asked: 0,
        }
    }

    fn find(&self, distance: Distance) -> Result<usize, usize> {
        self.candidates
            .binary_search_by_key(&distance, |candidate| candidate.distance)
    }

    pub(crate) fn knows(&self, distance: Distance) -> bool {
        self.find(distance).is_ok()
    }

    /// Takes in a candidate that is `depth` requests away.
    pub(crate) fn learn(&mut self, distance: Distance, contact: &Arc<Contact>, depth: u32) {
        let Err(place) = self.find(distance) else {
            return;
        };
        let most = most(self.need);
        if place >= most {
            return;
        }
        let candidate = Candidate {
            distance,
            contact: Arc::clone(contact),
            depth,
            state: State::Fresh,
            asked: Instant::ZERO,
            ended: Instant::ZERO,
        };
        self.candidates.insert(place, candidate);
        if self.candidates.len() > most
            && let Some(farthest) = self.candidates.pop()
            && farthest.state == State::Asked
        {
            self.asked = self.asked.saturating_sub(1);
        }
    }

    /// The closest that was not asked yet, among those that may count, while fewer than `alpha` answers are waited for.
    pub(crate) fn next(&mut self, now: Instant, alpha: usize) -> Option<(Distance, Arc<Contact>)> {
        if self.asked >= alpha {
            return None;
        }
        let live = self.candidates.iter_mut().filter(|one| one.is_live());
        let mut window = live.take(self.need);
        let next = window.find(|candidate| candidate.state == State::Fresh)?;
        next.state = State::Asked;
        next.asked = now;
        self.asked = self.asked.saturating_add(1);
        Some((next.distance, Arc::clone(&next.contact)))
    }

    /// Whether the closest have all answered; those that are late are waited for a while.
    pub(crate) fn is_done(&self) -> bool {
        let candidates = self.candidates.iter();
        let mut possible = candidates.filter(|one| one.state != State::Failed);
        possible
            .by_ref()
            .take(self.need)
            .all(|candidate| candidate.state == State::Answered)
    }

    /// What became of the candidate that far away, which was asked; answers with its depth, or `None` if that changes nothing.
    pub(crate) fn settle(&mut self, now: Instant, distance: Distance, state: State) -> Option<u32> {
        let place = self.find(distance).ok()?;
        let candidate = self.candidates.get_mut(place)?;
        if !matches!(candidate.state, State::Asked | State::Late) || candidate.state == state {
            return None;
        }
        if candidate.state == State::Asked {
            self.asked = self.asked.saturating_sub(1);
        }
        candidate.state = state;
        candidate.ended = now;
        Some(candidate.depth)
    }

    /// What was asked of whom, closest first.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> {
        let asked = self
            .candidates
            .iter()
            .filter(|one| one.state != State::Fresh);
        asked.map(|candidate| Step {
            node: candidate.contact.node,
            hops: candidate.depth,
            asked: candidate.asked,
            end: match candidate.state {
                State::Answered => StepEnd::Answered,
                State::Late => StepEnd::Late,
                State::Failed => StepEnd::Failed,
                State::Asked | State::Fresh => StepEnd::Waiting,
            },
            took: candidate.ended.saturating_since(candidate.asked),
        })
    }

    /// Those that answered, closest first.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (Distance, &Arc<Contact>)> {
        self.candidates
            .iter()
            .filter(|candidate| candidate.state == State::Answered)
            .map(|candidate| (candidate.distance, &candidate.contact))
    }
}
