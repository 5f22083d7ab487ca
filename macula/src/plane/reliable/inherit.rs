//! Taking over from publishers that are lost, on a node that keeps their events.

use std::collections::{BTreeMap, BTreeSet};

use macula_kad::{Distance, key, position};
use macula_pubsub::{
    Bequest, Custody, Destination, Estate, EstateInput, EstateOutput, GroupMatch, Inheritance,
    Offer, Outcome, Share, ShareKey, SharedEvent, SharedWith, Upstream,
};
use macula_wire::message::{Balance, Debts, Deliver, RecordKind};
use macula_wire::{ChannelRun, DeliveryId, Instant, Machine, NodeId};

use super::{Machines, Parcel, Work};
use crate::plane::Plane;
use crate::plane::counters::add;

/// Of how many members it is remembered that they are lost.
const MAX_LOST: usize = 1_024;

/// What this node keeps in case that publishers are lost.
#[derive(Debug)]
pub(super) struct Heir {
    pub(super) estate: Estate<Parcel>,
    /// Members that are thought dead, or have left.
    lost: BTreeSet<NodeId>,
    /// What one of a group on this node has in its hands, until that has come to its end.
    in_hand: BTreeMap<DeliveryId, InHand>,
    next: DeliveryId,
}

/// An event that a lost publisher gave to one of a group on this node.
#[derive(Debug)]
pub(super) struct InHand {
    event: Parcel,
    name: String,
    balance: Balance,
    /// The members of the group.
    members: Vec<NodeId>,
}

impl Heir {
    pub(super) const fn new(estate: Estate<Parcel>) -> Self {
        Self {
            estate,
            lost: BTreeSet::new(),
            in_hand: BTreeMap::new(),
            next: DeliveryId::new(1),
        }
    }

    /// How many events one of a group here has in its hands.
    pub(super) fn in_hand(&self) -> usize {
        self.in_hand.len()
    }

    pub(super) fn on_lost(&mut self, now: Instant, member: NodeId) {
        if self.lost.len() >= MAX_LOST {
            self.lost.pop_first();
        }
        self.lost.insert(member);
        self.estate.handle_input(now, EstateInput::Lost(member));
    }

    pub(super) fn on_up(&mut self, now: Instant, member: NodeId) {
        self.lost.remove(&member);
        self.estate.handle_input(now, EstateInput::Back(member));
    }
}

impl Plane {
    /// How many of the members that keep the events of a publisher come before this one when it is lost: those that are
    /// closer to what it leaves behind in the routing of the realm.
    pub(crate) fn rank_after(&self, publisher: &NodeId, stores: &[NodeId]) -> Option<u32> {
        let own = self.node();
        let name = crate::testament::name_of(publisher)?;
        let at = key(&self.realm, RecordKind::Value, name.as_str());
        let distance = |node: &NodeId| Distance::between(&position(node), &at);
        let mine = distance(&own);
        let before = stores.iter().filter(|store| distance(store) < mine);
        stores
            .contains(&own)
            .then(|| u32::try_from(before.count()).unwrap_or(u32::MAX))
    }

    /// Carries out what the estate puts out.
    pub(super) fn on_estate(
        &self,
        machines: &mut Machines,
        now: Instant,
        output: EstateOutput<Parcel>,
        work: &mut Vec<Work>,
    ) {
        match output {
            EstateOutput::Inherited(inheritance) => {
                add(&self.counters.kept_taken_over, u64::from(inheritance.count));
                self.inherit(machines, now, *inheritance, work);
            }
            EstateOutput::GivenUp { events } => add(&self.counters.kept_given_up, events),
            _ => {}
        }
    }

    fn inherit(
        &self,
        machines: &mut Machines,
        now: Instant,
        all: Inheritance<Parcel>,
        work: &mut Vec<Work>,
    ) {
        let Inheritance {
            publisher,
            payload,
            count,
            bytes,
            class,
            ttl,
            members,
            groups,
            ..
        } = all;
        tracing::info!(
            publisher = %publisher.short(),
            topic = %payload.origin().topic,
            count,
            "sends what a lost member owed"
        );
        machines.inherit(
            now,
            Offer {
                payload: payload.clone(),
                count,
                bytes,
                class,
                ttl,
                custody: Custody::Inherited,
                owed: members.into_iter().map(Destination::Member).collect(),
                group: None,
                attempt: 0,
                upstream: None,
                receipts: None,
            },
        );
        for group in groups {
            for event in &group.events {
                self.inherit_shared(machines, now, &payload, &group, event, work);
            }
        }
    }

    /// One event that one of a group is owed.
    fn inherit_shared(
        &self,
        machines: &mut Machines,
        now: Instant,
        payload: &Parcel,
        group: &SharedWith,
        event: &SharedEvent,
        work: &mut Vec<Work>,
    ) {
        let Some(single) = payload.single(event.at) else {
            debug_assert!(false, "an event of the batch");
            return;
        };
        let node = self.node();
        let shared = InHand {
            event: single.apart(),
            name: group.name.clone(),
            balance: group.balance,
            members: group.members.clone(),
        };
        if event.chosen == Some(node) && machines.has_share(&single.share_of(&group.name)) {
            // A subscriber here was given it by the publisher.
            return self.wait_for(machines, now, shared, work);
        }
        let chosen = event
            .chosen
            .filter(|one| *one != node && !machines.heir.lost.contains(one));
        // Whoever was chosen knows whether it had it; another one does not.
        let attempt = u32::from(event.is_passed_on || chosen.is_none());
        self.offer_shared(machines, now, shared, chosen, attempt);
    }

    /// Offers an event to one of its group: to `chosen` first, if that is somebody.
    fn offer_shared(
        &self,
        machines: &mut Machines,
        now: Instant,
        shared: InHand,
        chosen: Option<NodeId>,
        attempt: u32,
    ) {
        let single = shared.event;
        let node = self.node();
        let here = self.groups.load().matches(&single.origin().topic);
        let here = here.into_iter().find(|one| *one.name == *shared.name);
        let here = here.map(|one| one.members).unwrap_or_default();
        let mut candidates: Vec<Destination> = here
            .into_iter()
            .filter(|to| !matches!(to, Destination::Member(_)))
            .collect();
        self.strike_ended(&mut candidates);
        let others = shared.members.iter().filter(|member| **member != node);
        candidates.extend(others.copied().map(Destination::Member));
        if candidates.is_empty() {
            return;
        }
        let offered = GroupMatch::new(&shared.name, shared.balance, candidates);
        let mut offer = single.offered_to(&offered);
        offer.chosen = chosen.map(Destination::Member);
        if !matches!(shared.balance, Balance::Hash | Balance::Failover) {
            // Whoever else takes over as well chooses alike.
            offer.balance = Balance::Hash;
            offer.key = single.identity();
        }
        machines.inherit(
            now,
            Offer {
                count: 1,
                bytes: single.batch().entries.encoded().len(),
                class: single.origin().priority,
                ttl: single.left(),
                custody: Custody::Inherited,
                owed: Vec::new(),
                group: Some(offer),
                attempt,
                upstream: None,
                receipts: None,
                payload: single,
            },
        );
    }

    /// One of a group here has an event of a lost publisher: what becomes of it is heard, in the publisher's place.
    fn wait_for(
        &self,
        machines: &mut Machines,
        now: Instant,
        shared: InHand,
        work: &mut Vec<Work>,
    ) {
        let id = machines.heir.next;
        machines.heir.next = id.next();
        let here = Upstream {
            peer: self.node(),
            class: shared.event.origin().priority,
            run: ChannelRun::new(0),
            first: id,
        };
        let key = shared.event.share_of(&shared.name);
        machines.heir.in_hand.insert(id, shared);
        if let Share::Settled(outcome) = machines.shares.take(key, here) {
            self.was_in_hand(machines, now, id, outcome, work);
        }
    }

    /// What one of a group here had in its hands has come to its end: where that one has gone without having taken it, another
    /// one gets it, and where it was rejected it is a dead letter.
    pub(super) fn was_in_hand(
        &self,
        machines: &mut Machines,
        now: Instant,
        id: DeliveryId,
        outcome: Outcome,
        work: &mut Vec<Work>,
    ) {
        let Some(shared) = machines.heir.in_hand.remove(&id) else {
            return;
        };
        match outcome {
            Outcome::Gone => self.offer_shared(machines, now, shared, None, 1),
            Outcome::Rejected => work.push(Work::Dead(shared.event, 0)),
            Outcome::Acked | Outcome::Expired => {}
        }
    }
}

impl Machines {
    /// Keeps a batch that came in, in case that its publisher is lost.
    pub(super) fn bequeath(
        &mut self,
        now: Instant,
        parcel: &Parcel,
        deliver: &Deliver,
        own: NodeId,
        (debts, rank): (Debts, u32),
    ) {
        let elsewhere = self.replay.used(Custody::Inherited);
        let bequest = Bequest {
            publisher: parcel.origin().publisher,
            run: deliver.run,
            first: deliver.first,
            count: deliver.count,
            payload: parcel.clone(),
            bytes: parcel.batch().entries.encoded().len(),
            class: parcel.origin().priority,
            ttl: parcel.left(),
            debts,
            rank,
            own,
        };
        self.heir.estate.take(now, bequest, elsewhere);
    }

    fn inherit(&mut self, now: Instant, offer: Offer<Parcel>) {
        if let Err(error) = self.replay.offer(now, offer) {
            debug_assert!(false, "what is inherited is taken: {error}");
        }
    }

    fn has_share(&self, key: &ShareKey) -> bool {
        self.shares.has(key)
    }
}
