//! Taking over from publishers that are lost, on a node that keeps their events.

use std::collections::BTreeSet;

use macula_kad::{Distance, key, position};
use macula_pubsub::{
    Bequest, Custody, Destination, Estate, EstateInput, EstateOutput, GroupMatch, Inheritance,
    Offer, ShareKey, SharedEvent, SharedWith,
};
use macula_wire::message::{Balance, Debts, Deliver, RecordKind};
use macula_wire::{Instant, Machine, NodeId};

use super::{Machines, Parcel};
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
}

impl Heir {
    pub(super) const fn new(estate: Estate<Parcel>) -> Self {
        Self {
            estate,
            lost: BTreeSet::new(),
        }
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
    ) {
        match output {
            EstateOutput::Inherited(inheritance) => {
                add(&self.counters.kept_taken_over, u64::from(inheritance.count));
                self.inherit(machines, now, *inheritance);
            }
            EstateOutput::GivenUp { events } => add(&self.counters.kept_given_up, events),
            _ => {}
        }
    }

    fn inherit(&self, machines: &mut Machines, now: Instant, all: Inheritance<Parcel>) {
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
        let here = self.groups.load().matches(&payload.origin().topic);
        for group in groups {
            let own = here.iter().find(|one| *one.name == *group.name);
            let mut own: Vec<Destination> = own
                .map(|one| one.members.clone())
                .unwrap_or_default()
                .into_iter()
                .filter(|to| !matches!(to, Destination::Member(_)))
                .collect();
            self.strike_ended(&mut own);
            for event in &group.events {
                self.inherit_shared(machines, now, &payload, &group, &own, event);
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
        own: &[Destination],
        event: &SharedEvent,
    ) {
        let Some(single) = payload.single(event.at) else {
            debug_assert!(false, "an event of the batch");
            return;
        };
        let node = self.node();
        if event.chosen == Some(node) && machines.has_share(&single.share_of(&group.name)) {
            // A subscriber here was given it by the publisher.
            return;
        }
        let others = group.members.iter().filter(|member| **member != node);
        let others = others.copied().map(Destination::Member);
        let candidates: Vec<Destination> = own.iter().copied().chain(others).collect();
        if candidates.is_empty() {
            return;
        }
        let chosen = event
            .chosen
            .filter(|one| *one != node && !machines.heir.lost.contains(one));
        let single = single.apart();
        let offered = GroupMatch::new(&group.name, group.balance, candidates);
        let mut offer = single.offered_to(&offered);
        offer.chosen = chosen.map(Destination::Member);
        if !matches!(group.balance, Balance::Hash | Balance::Failover) {
            // Whoever else takes over as well chooses alike.
            offer.balance = Balance::Hash;
            offer.key = single.identity();
        }
        // Whoever was chosen knows whether it had it; another one does not.
        let attempt = u32::from(event.is_passed_on || chosen.is_none());
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
            ttl: parcel.ttl(),
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
