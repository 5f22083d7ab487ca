//! An iterative lookup, without knowing how requests travel (Kademlia, section 2.3; disjoint paths as in S/Kademlia,
//! Baumgart and Mies 2007, section 4.4).

mod path;

pub(crate) use path::{Path, State};

use std::sync::Arc;
use std::time::Duration;

use macula_wire::message::Contact;
use macula_wire::{Instant, Key, NodeId};

use crate::closest::Told;
use crate::distance::{Distance, Place};

/// By how many more requests at a time an answer is made up for that is late.
const RISE: usize = 4;
/// How many of the closest have to answer on each path, however many paths there are: with fewer, the liars that name
/// each other end a path too soon.
const PATH_LEAST: usize = 5;

/// A request of a lookup, as told afterwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// Who was asked.
    pub node: NodeId,
    /// How many requests led there, this one among them.
    pub hops: u32,
    /// When it was asked.
    pub asked: Instant,
    /// What came of it.
    pub end: StepEnd,
    /// How long it took until then; zero while it is waited for.
    pub took: Duration,
}

/// What came of a request of a lookup.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StepEnd {
    /// An answer.
    Answered,
    /// No answer in the time that answers usually take; others were asked meanwhile.
    Late,
    /// No answer at all.
    Failed,
    /// The lookup ended before.
    Waiting,
}

/// What a lookup is to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) target: Key,
    /// How many of the closest have to answer in all.
    pub(crate) need: usize,
    /// How many requests are under way at a time on each path.
    pub(crate) alpha: usize,
    /// Up to how many that rises.
    pub(crate) alpha_max: usize,
}

/// The closest that answered, and by how many steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Best {
    pub(crate) distance: Distance,
    pub(crate) hops: u32,
    pub(crate) at: Instant,
}

/// A lookup over one path or several that have no node in common. Every node is asked by one path at most.
#[derive(Debug)]
pub(crate) struct Lookup {
    plan: Plan,
    paths: Vec<Path>,
    alpha: usize,
    best: Option<Best>,
    pub(crate) requests: u32,
    pub(crate) late: u32,
}

impl Lookup {
    /// Begins with the nodes known closest to the target, dealt out to `paths` paths in turn.
    pub(crate) fn new(plan: Plan, paths: usize, start: Vec<(Distance, Arc<Contact>)>) -> Self {
        let count = paths.max(1);
        let need = plan.need.div_ceil(count).max(PATH_LEAST).min(plan.need);
        let mut paths: Vec<Path> = (0..count).map(|_| Path::new(need)).collect();
        for (index, (distance, contact)) in start.into_iter().enumerate() {
            let turn = index.checked_rem(count).unwrap_or(0);
            if let Some(path) = paths.get_mut(turn) {
                path.learn(distance, &contact, 1);
            }
        }
        Self {
            plan,
            paths,
            alpha: plan.alpha,
            best: None,
            requests: 0,
            late: 0,
        }
    }

    pub(crate) const fn target(&self) -> &Key {
        &self.plan.target
    }

    pub(crate) const fn best(&self) -> Option<Best> {
        self.best
    }

    /// The next node to be asked, how far it is, and on which path it is asked; it counts as asked then.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(usize, Distance, Arc<Contact>)> {
        for (index, path) in self.paths.iter_mut().enumerate() {
            if let Some((distance, contact)) = path.next(now, self.alpha) {
                self.requests = self.requests.saturating_add(1);
                return Some((index, distance, contact));
            }
        }
        None
    }

    /// Whether no answer that is waited for can change the result.
    pub(crate) fn is_done(&self) -> bool {
        self.paths.iter().all(Path::is_done)
    }

    /// The node that far away answered with contacts.
    pub(crate) fn on_answer(
        &mut self,
        now: Instant,
        path: usize,
        distance: Distance,
        contacts: &[Told<'_>],
    ) {
        let Some(asked) = self.paths.get_mut(path) else {
            return;
        };
        let Some(depth) = asked.settle(now, distance, State::Answered) else {
            return;
        };
        if self.best.is_none_or(|best| distance < best.distance) {
            self.best = Some(Best {
                distance,
                hops: depth,
                at: now,
            });
        }
        let target = Place::of(&self.plan.target);
        for (place, contact) in contacts {
            let distance = target.to(*place);
            let is_known = self.paths.iter().any(|path| path.knows(distance));
            if !is_known && let Some(path) = self.paths.get_mut(path) {
                path.learn(distance, contact, depth.saturating_add(1));
            }
        }
    }

    /// An answer is late: others are asked meanwhile, and more at a time.
    pub(crate) fn on_late(&mut self, now: Instant, path: usize, asked: Distance) {
        if let Some(path) = self.paths.get_mut(path)
            && path.settle(now, asked, State::Late).is_some()
        {
            self.late = self.late.saturating_add(1);
            self.alpha = self.alpha.saturating_add(RISE).min(self.plan.alpha_max);
        }
    }

    /// A node will not answer.
    pub(crate) fn on_failed(&mut self, now: Instant, path: usize, asked: Distance) {
        if let Some(path) = self.paths.get_mut(path) {
            path.settle(now, asked, State::Failed);
        }
    }

    /// Every request so far, in the order in which they were made.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = self.paths.iter().flat_map(Path::steps).collect();
        steps.sort_by_key(|step| (step.asked, step.hops));
        steps
    }

    /// The closest that answered, closest first; at most as many as were needed.
    pub(crate) fn closest(&self) -> Vec<Arc<Contact>> {
        let mut all: Vec<(Distance, &Arc<Contact>)> =
            self.paths.iter().flat_map(Path::answered).collect();
        all.sort_by_key(|(distance, _)| *distance);
        all.truncate(self.plan.need);
        all.into_iter()
            .map(|(_, contact)| Arc::clone(contact))
            .collect()
    }
}
