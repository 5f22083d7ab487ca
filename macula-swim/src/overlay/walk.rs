//! Walks: where they begin, how they go on, and where they end.

use std::time::Duration;

use macula_wire::message::{Contact, OverlayAnswer, OverlayVerdict, OverlayWalk};
use macula_wire::{EdgeToken, NodeId};

use super::admission::Turn;
use super::deal::{Deal, Give, Seek};
use super::timer::Timer;
use super::view::Verdict;
use super::{Offence, Overlay};
use crate::config::part;

impl Overlay {
    /// Begins a walk that looks for `slots` edges, at `via` if that is given, otherwise at a neighbour.
    pub(super) fn start_walk(&mut self, slots: usize, via: Option<Contact>, hops: u8) {
        let token = self.token();
        let walk = OverlayWalk {
            token,
            origin: self.own.clone(),
            need: match slots {
                1 => 1,
                _ => u8::try_from(self.deficit()).unwrap_or(u8::MAX).max(1),
            },
            hops,
            // A walk for a single edge may end at each step.
            spare: match slots {
                1 => 0,
                _ => self.config.spare_steps,
            },
            avoid: self.avoid(),
        };
        let contact = via.as_ref().map(|peer| peer.node);
        let (first, patience) = match via {
            Some(via) => {
                // Whoever is asked directly answers at once; a contact may let this node wait for its turn.
                let patience = if hops == 0 {
                    self.config.half_timeout
                } else if self.links.contains(&via.node) {
                    self.config.contact_timeout
                } else {
                    self.config.deal_timeout
                };
                (via, patience)
            }
            None => {
                let Some(first) = self.any_neighbour(&[]) else {
                    return;
                };
                let addresses = Vec::new();
                let first = Contact {
                    node: first,
                    addresses,
                };
                // Longer walks take longer.
                let more = u32::from(hops.saturating_sub(self.steps()));
                let step = self.config.step_time.saturating_mul(more);
                let patience = self.walk_timeout().saturating_add(step);
                (first, patience.min(self.config.contact_timeout))
            }
        };
        self.stats.walks = self.stats.walks.saturating_add(1);
        let seek = Seek {
            since: self.now,
            slots,
            half: None,
            via: contact,
            let_in: false,
        };
        self.begin(token, Deal::Seek(seek), patience);
        self.post(&first, token, walk);
    }

    /// Those to whom no further edge can be made: the neighbours, and who may become one.
    pub(super) fn avoid(&self) -> Vec<NodeId> {
        let mut avoid: Vec<NodeId> = self.edges.keys().copied().collect();
        for deal in self.deals.values() {
            match deal {
                Deal::Give(give) => avoid.push(give.to.node),
                Deal::Seek(seek) => avoid.extend(seek.half.as_ref().map(|half| half.peer.node)),
                Deal::Tail(tail) => avoid.push(tail.new.node),
                Deal::Head(_) | Deal::Part(_) => (),
            }
        }
        avoid.sort_unstable();
        avoid.dedup();
        avoid.truncate(macula_wire::limit::MAX_NEIGHBOURS);
        avoid
    }

    /// A random neighbour with a link, none of `but`.
    fn any_neighbour(&mut self, but: &[NodeId]) -> Option<NodeId> {
        let fits = |node: &&NodeId| !but.contains(*node) && self.links.contains(*node);
        let count = self.edges.keys().filter(fits).count();
        let place = self.random.index(count);
        let fits = |node: &&NodeId| !but.contains(*node) && self.links.contains(*node);
        self.edges.keys().filter(fits).nth(place).copied()
    }

    pub(super) fn on_walk(&mut self, from: NodeId, mut walk: OverlayWalk) {
        let own = walk.origin.node == from;
        let max = match own {
            true => self.config.max_own_walks,
            false => self.config.max_passed_walks,
        };
        match self
            .paces
            .entry(from)
            .or_default()
            .count(self.now, own, max)
        {
            Verdict::Allowed => (),
            Verdict::FirstOver => {
                self.misbehaved(from, Offence::TooManyWalks);
                return;
            }
            Verdict::Over => return,
        }
        if walk.origin.node == self.own.node {
            // It came back to where it began: it goes on, or is lost.
            self.pass_on(from, walk);
            return;
        }
        // Whoever made it up, it goes no further than one of this node's would.
        if walk.need > 1 {
            walk.hops = walk.hops.min(self.steps().saturating_mul(2));
        }
        walk.spare = walk.spare.min(self.config.spare_steps);
        self.hear(&walk.origin);
        let newcomer = own && !self.edges.contains_key(&from);
        if newcomer && walk.hops > 0 {
            self.admit(walk);
        } else {
            self.step(from, walk);
        }
    }

    /// Lets a newcomer in when it is its turn.
    fn admit(&mut self, walk: OverlayWalk) {
        let (node, token) = (walk.origin.node, walk.token);
        if self.has_left {
            self.answer(node, token, OverlayVerdict::Refuse);
            return;
        }
        if self.edges.is_empty() && self.own.node > node && self.seeks_beyond(node) {
            // Two that are looking for the overlay are not to found one of their own.
            self.defer(node, token, self.config.min_pause.saturating_mul(4));
            return;
        }
        let late = self.now + self.config.walk_timeout;
        match self.admission.ask(walk, late, self.config.max_waiting) {
            Turn::Now(walk) => self.let_in(walk),
            Turn::Later => (),
            Turn::Full => {
                self.stats.newcomers_deferred = self.stats.newcomers_deferred.saturating_add(1);
                let round = part(self.config.walk_timeout, 5);
                let after = self.admission.patience(round);
                self.defer(node, token, after);
            }
        }
    }

    /// Whether this node has a walk under way that began at another node than `node`.
    fn seeks_beyond(&self, node: NodeId) -> bool {
        let beyond = |deal: &Deal| matches!(deal, Deal::Seek(seek) if seek.via != Some(node));
        self.deals.values().any(beyond)
    }

    /// Tells a newcomer to ask again later.
    fn defer(&mut self, node: NodeId, token: EdgeToken, after: Duration) {
        let answer = OverlayAnswer {
            token,
            verdict: OverlayVerdict::Retry,
            after_ms: u32::try_from(after.as_millis()).unwrap_or(u32::MAX),
        };
        self.tell(node, answer);
    }

    fn let_in(&mut self, walk: OverlayWalk) {
        let node = walk.origin.node;
        // From here on the newcomer knows that it takes no longer than a walk.
        self.answer(node, walk.token, OverlayVerdict::Ready);
        self.step(node, walk);
        self.arm_admit();
    }

    fn arm_admit(&mut self) {
        match self.admission.next_late() {
            Some(at) => self.timers.set(Timer::Admit, at),
            None => self.timers.cancel(Timer::Admit),
        }
    }

    pub(super) fn on_admit(&mut self) {
        self.admission.give_up(self.now, self.config.min_window);
        self.admit_next();
        self.arm_admit();
    }

    /// Lets in as many as there is room for.
    pub(super) fn admit_next(&mut self) {
        let late = self.now + self.config.walk_timeout;
        while let Some(walk) = self.admission.next(late) {
            self.let_in(walk);
        }
    }

    /// Ends a walk here if it may and can, or passes it on.
    pub(super) fn step(&mut self, from: NodeId, mut walk: OverlayWalk) {
        let origin = walk.origin.node;
        let may_end = walk.hops == 0 || walk.need == 1;
        let again = from == self.own.node;
        if again && walk.spare == 0 {
            return;
        }
        walk.spare = walk.spare.saturating_sub(u8::from(again));
        if may_end && !self.has_left && self.serve(&walk) {
            self.stats.walks_served = self.stats.walks_served.saturating_add(1);
            return;
        }
        if origin == from && walk.hops == 0 && walk.spare == 0 {
            // Asked directly: there is nobody else to ask.
            self.answer(origin, walk.token, OverlayVerdict::Refuse);
            return;
        }
        if walk.need == 1 && !self.has_left {
            if let Some(other) = self.meet(&walk) {
                // Somebody else with one edge too few came by: they can have each other, if it still lacks one.
                walk.hops = walk.hops.saturating_sub(1);
                let token = walk.token;
                self.post(&other, token, walk);
                self.linger(other.node);
                return;
            }
            let until = self.now + self.config.mark_lifetime;
            let avoided = self.edges.contains_key(&origin);
            if !avoided {
                self.view.mark(&walk.origin, until, self.config.max_marks);
            }
        }
        self.pass_on(from, walk);
    }

    /// One who came by with one edge too few, is no neighbour of the origin of `walk`, and is not that itself.
    fn meet(&mut self, walk: &OverlayWalk) -> Option<Contact> {
        if !self.has_room_to_wait() {
            return None;
        }
        let now = self.now;
        self.view.take_mark(now, |node| {
            node != walk.origin.node && !walk.avoid.contains(&node)
        })
    }

    fn pass_on(&mut self, from: NodeId, mut walk: OverlayWalk) {
        if walk.hops > 0 {
            walk.hops = walk.hops.saturating_sub(1);
        } else if walk.spare > 0 {
            walk.spare = walk.spare.saturating_sub(1);
        } else {
            self.stats.walks_lost = self.stats.walks_lost.saturating_add(1);
            return;
        }
        let origin = walk.origin.node;
        // Not straight back, unless there is no other way.
        let next = self.any_neighbour(&[from, origin]);
        let next = next.or_else(|| self.any_neighbour(&[origin]));
        if let Some(next) = next {
            self.stats.walks_passed = self.stats.walks_passed.saturating_add(1);
            self.tell(next, walk);
        } else if origin == self.own.node || self.has_left || !self.serve(&walk) {
            self.stats.walks_lost = self.stats.walks_lost.saturating_add(1);
        }
    }

    /// Holds an edge, or an end of one, ready for the origin of a walk; answers whether it could.
    fn serve(&mut self, walk: &OverlayWalk) -> bool {
        let origin = walk.origin.node;
        let unfit = walk.avoid.contains(&self.own.node)
            || self.edges.contains_key(&origin)
            || self.is_engaged(origin)
            || self.deals.contains_key(&walk.token)
            || self.deals.len() >= self.config.max_deals;
        if unfit {
            return walk.need == 1 && self.open_up(walk);
        }
        let odd = |count: usize| count % 2 == 1;
        let deficit = self.deficit();
        if odd(deficit) && odd(usize::from(walk.need)) && self.make_place() {
            self.give(walk, None);
            return true;
        }
        let mut can_give = self.free() > 0;
        if can_give && self.is_small() {
            self.give(walk, None);
            return true;
        }
        if walk.need > 1 {
            let fitting = self.edges_for(walk);
            let loose: Vec<NodeId> = fitting
                .iter()
                .copied()
                .filter(|node| self.is_loose(*node))
                .collect();
            if let Some(old) = loose.get(self.random.index(loose.len())) {
                self.give(walk, Some(*old));
                return true;
            }
            // Those that are locked will be free again, here or elsewhere.
            can_give &= fitting.is_empty();
        } else {
            // One edge too few is no use to a node that lacks two: it would be left with one.
            can_give &= odd(deficit) || self.edges.is_empty();
        }
        if can_give {
            self.give(walk, None);
        }
        can_give
    }

    /// The edges that the origin of a walk could enter, were they not locked.
    fn edges_for(&self, walk: &OverlayWalk) -> Vec<NodeId> {
        let origin = walk.origin.node;
        let fitting = self.edges.iter().filter(|(node, edge)| {
            **node != origin
                && !walk.avoid.contains(*node)
                && !edge.leads_to(origin)
                && self.links.contains(*node)
        });
        fitting.map(|(node, _)| *node).collect()
    }

    fn give(&mut self, walk: &OverlayWalk, old: Option<NodeId>) {
        let give = Give {
            to: walk.origin.clone(),
            old,
            gone: false,
            instead: old,
            near: false,
            walk: old.is_some().then(|| walk.clone()),
            again: 0,
        };
        self.begin_give(walk.token, give, old.is_some());
    }

    /// Two neighbours that lack one edge each drop the one between them, so that each lacks two: it enters an edge.
    /// Answers whether the walk has thereby ended.
    fn open_up(&mut self, walk: &OverlayWalk) -> bool {
        let origin = walk.origin.node;
        let locked = |overlay: &Self| {
            let edge = overlay.edges.get(&origin);
            edge.is_none_or(|edge| edge.lock.is_some())
        };
        if self.deficit() != 1 || locked(self) || self.is_small() {
            return false;
        }
        self.drop_edge(origin);
        self.repair_soon();
        true
    }

    /// Answers a message of the exchange `token`.
    pub(super) fn answer(&mut self, to: NodeId, token: EdgeToken, verdict: OverlayVerdict) {
        let after_ms = 0;
        let answer = OverlayAnswer {
            token,
            verdict,
            after_ms,
        };
        self.tell(to, answer);
    }
}
