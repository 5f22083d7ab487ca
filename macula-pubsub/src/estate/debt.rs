//! Who is owed some events of a publisher.

use std::collections::BTreeMap;
use std::time::Duration;

use macula_wire::message::{Arrears, Balance, Priority};
use macula_wire::{Instant, NodeId};

use super::{Bequest, Inheritance, SharedEvent, SharedWith};
use crate::ids::Ids;

/// See the module.
#[derive(Debug)]
pub(super) struct Debt<T> {
    payload: T,
    count: u32,
    pub(super) bytes: usize,
    class: Priority,
    pub(super) expires: Option<Instant>,
    pub(super) rank: u32,
    pub(super) arrival: u64,
    /// Whether the publisher lives, and knows nothing of it any more.
    pub(super) is_forgotten: bool,
    /// What each member is owed.
    members: BTreeMap<NodeId, Ids>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    name: String,
    balance: Balance,
    members: Vec<NodeId>,
    /// By the id under which it is owed to the group.
    events: BTreeMap<u64, SharedEvent>,
}

/// What a publisher owes yet, as it says.
pub(super) struct Open {
    upto: u64,
    ids: BTreeMap<NodeId, Ids>,
}

impl Open {
    pub(super) fn new(arrears: &Arrears) -> Self {
        let mut ids: BTreeMap<NodeId, Ids> = BTreeMap::new();
        for arrear in &arrears.open {
            let of = ids.entry(arrear.node).or_default();
            for range in &arrear.open {
                of.add(range.first.get(), range.last.get());
            }
        }
        let upto = arrears.upto.get();
        Self { upto, ids }
    }

    /// Takes out of `owed` what is settled at a member.
    fn restrict(&self, member: &NodeId, owed: &mut Ids) {
        let mut known = owed.clone();
        let later = known.remove(self.upto, u64::MAX);
        let mut open = later;
        if let Some(ids) = self.ids.get(member) {
            for (first, last) in ids.ranges() {
                for (first, last) in known.remove(first, last).ranges() {
                    open.add(first, last);
                }
            }
        }
        *owed = open;
    }

    /// Who is owed an event of a group; `None` if it is settled.
    fn holder(&self, id: u64) -> Option<NodeId> {
        let holds = |(_, ids): &(&NodeId, &Ids)| ids.contains(id);
        self.ids.iter().find(holds).map(|(node, _)| *node)
    }
}

impl<T> Debt<T> {
    /// `None` if nobody is owed them but this node.
    pub(super) fn new(bequest: Bequest<T>, expires: Option<Instant>, arrival: u64) -> Option<Self> {
        let first = bequest.first.get();
        let last = first
            .saturating_add(u64::from(bequest.count))
            .saturating_sub(1);
        let (own, publisher) = (bequest.own, bequest.publisher);
        let others = bequest.debts.members.into_iter();
        let members: BTreeMap<NodeId, Ids> = others
            .filter(|member| *member != own && *member != publisher)
            .map(|member| (member, Ids::row(first, last)))
            .collect();
        let mut groups = Vec::new();
        for group in bequest.debts.groups {
            let mut events = BTreeMap::new();
            for (at, place) in (0..bequest.count).zip(&group.chosen) {
                let chosen = place.checked_sub(1).and_then(|place| {
                    let place = usize::try_from(place).ok()?;
                    group.members.get(place).copied()
                });
                let event = SharedEvent {
                    at,
                    chosen,
                    is_passed_on: false,
                };
                events.insert(group.first.get().saturating_add(u64::from(at)), event);
            }
            groups.push(Group {
                name: group.name,
                balance: group.balance,
                members: group.members,
                events,
            });
        }
        let debt = Self {
            payload: bequest.payload,
            count: bequest.count,
            bytes: bequest.bytes,
            class: bequest.class,
            expires,
            rank: bequest.rank,
            arrival,
            is_forgotten: false,
            members,
            groups,
        };
        (!debt.is_settled()).then_some(debt)
    }

    pub(super) fn events(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    fn is_settled(&self) -> bool {
        self.members.is_empty() && self.groups.is_empty()
    }

    /// Whether the publisher still owes some of it.
    pub(super) fn is_in(&self, open: &Open) -> bool {
        let owes = |(member, owed): (&NodeId, &Ids)| {
            let mut owed = owed.clone();
            open.restrict(member, &mut owed);
            !owed.is_empty()
        };
        let mut shared = self.groups.iter().flat_map(|group| group.events.keys());
        self.members.iter().any(owes) || shared.any(|id| open.holder(*id).is_some())
    }

    /// Forgets what is settled by the publisher's word. Whether that is all.
    pub(super) fn keep_open(&mut self, open: &Open) -> bool {
        self.members.retain(|member, owed| {
            open.restrict(member, owed);
            !owed.is_empty()
        });
        for group in &mut self.groups {
            group.events.retain(|id, event| {
                if *id >= open.upto {
                    return true;
                }
                let Some(holder) = open.holder(*id) else {
                    return false;
                };
                // Only its members stand there by their names; anybody else is on the publisher's node.
                let chosen = group.members.contains(&holder).then_some(holder);
                event.is_passed_on |= event.chosen != chosen;
                event.chosen = chosen;
                true
            });
        }
        self.groups.retain(|group| !group.events.is_empty());
        self.is_settled()
    }

    /// A member is owed nothing any more. Whether nobody is.
    pub(super) fn strike(&mut self, member: NodeId) -> bool {
        self.members.remove(&member);
        self.is_settled()
    }

    pub(super) fn inherited(self, publisher: NodeId, now: Instant) -> Inheritance<T> {
        let left = |at: Instant| at.saturating_since(now).max(Duration::from_millis(1));
        let groups = self.groups.into_iter().map(|group| SharedWith {
            name: group.name,
            balance: group.balance,
            members: group.members,
            events: group.events.into_values().collect(),
        });
        Inheritance {
            publisher,
            payload: self.payload,
            count: self.count,
            bytes: self.bytes,
            class: self.class,
            ttl: self.expires.map(left),
            members: self.members.into_keys().collect(),
            groups: groups.collect(),
        }
    }
}
