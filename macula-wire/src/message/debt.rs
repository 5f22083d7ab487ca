//! 0x80 and 0x81: what a publisher tells the members that keep its events for others, in case that it is lost.

use alloc::string::String;
use alloc::vec::Vec;

use super::reliable::{Balance, DeliveryRange};
use crate::field::record;
use crate::limit::{MAX_ARREARS, MAX_BATCH_EVENTS, MAX_DEBT_GROUPS, MAX_DEBTORS, MAX_GROUP_LEN};
use crate::limit::{MAX_OPEN_RANGES, MAX_STORES};
use crate::{ChannelRun, DeliveryId, EncodeError, NodeId, check};

record! {
    /// A group of which one is owed each of some events.
    pub struct DebtGroup {
        /// Its name, 1 to 64 bytes of visible ASCII.
        pub name: String [MAX_GROUP_LEN],
        /// How the one is chosen.
        pub balance: Balance,
        /// The members that it has beside the publisher, at most 1,024, strictly ascending.
        pub members: Vec<NodeId> [MAX_DEBTORS],
        /// The id under which the first of the events is owed to the group; the others have the ids that follow.
        pub first: DeliveryId,
        /// Who was chosen for each of the events: 0 for somebody on the publisher's own node, else the place in `members`,
        /// from 1 on.
        pub chosen: Vec<u32> [MAX_BATCH_EVENTS],
    }
    check check_group
}

fn check_group(group: &DebtGroup) -> Result<(), EncodeError> {
    check::word("name", &group.name)?;
    check::ascending(&group.members)?;
    check::some("chosen", &group.chosen)?;
    let count = u64::try_from(group.chosen.len()).unwrap_or(u64::MAX);
    let first = group.first.get();
    check::require(first > 0, "first", first)?;
    check::require(first.checked_add(count).is_some(), "first", first)?;
    let members = u32::try_from(group.members.len()).unwrap_or(u32::MAX);
    let beyond = group.chosen.iter().find(|place| **place > members);
    beyond.map_or(Ok(()), |place| {
        check::require(false, "chosen", u64::from(*place))
    })
}

record! {
    /// DEBTS: who is owed the events of the DELIVER that follows, beside the receiver.
    pub struct Debts {
        /// The members that are owed each of them, at most 1,024, strictly ascending.
        pub members: Vec<NodeId> [MAX_DEBTORS],
        /// The members that are told who is owed them, the receiver among them: 1 to 16, strictly ascending.
        pub stores: Vec<NodeId> [MAX_STORES],
        /// The groups of which one is owed each of them, at most 64, strictly ascending by name.
        pub groups: Vec<DebtGroup> [MAX_DEBT_GROUPS],
    }
    check check_debts
}

fn check_debts(debts: &Debts) -> Result<(), EncodeError> {
    check::ascending(&debts.members)?;
    check::some("stores", &debts.stores)?;
    check::ascending(&debts.stores)?;
    check::ascending(debts.groups.iter().map(|group| &group.name))
}

record! {
    /// What one member is owed yet.
    pub struct Arrear {
        /// The member; the publisher itself for somebody of a group on its own node.
        pub node: NodeId,
        /// The ids under which that was first told: 1 to 2,048 ranges, ascending, without an id in two.
        pub open: Vec<DeliveryRange> [MAX_OPEN_RANGES],
    }
    check check_arrear
}

fn check_arrear(arrear: &Arrear) -> Result<(), EncodeError> {
    check::some("open", &arrear.open)?;
    let mut before = None;
    for range in &arrear.open {
        let first = range.first;
        check::require(before < Some(first), "open", first.get())?;
        before = Some(range.last);
    }
    Ok(())
}

record! {
    /// ARREARS: what the sender owes yet, of all that it gave ids below `upto`. Tells all anew each time.
    pub struct Arrears {
        /// The sender's numbering, as DELIVER said.
        pub run: ChannelRun,
        /// Of what was given ids below this one the sender may have forgotten what does not stand in `open`.
        pub since: DeliveryId,
        /// What was given ids from `since` on and below this one is settled, unless it stands in `open`.
        pub upto: DeliveryId,
        /// Who is owed what, at most 512, strictly ascending by node.
        pub open: Vec<Arrear> [MAX_ARREARS],
    }
    check check_arrears
}

fn check_arrears(arrears: &Arrears) -> Result<(), EncodeError> {
    check::ascending(arrears.open.iter().map(|arrear| &arrear.node))
}
