//! Channels: ids that go backwards, ranges that make no sense, lists over their limits.

use macula_wire::limit::{MAX_ACK_RANGES, MAX_DEBTORS, MAX_GROUP_LEN, MAX_STORES};
use macula_wire::message::{
    Arrear, Arrears, Balance, DebtGroup, Debts, Deliver, DeliveryRange, DeliveryRefusal, EventAck,
    Priority, RefusalCause,
};
use macula_wire::{ChannelRun, DeliveryId, EncodeError, NodeId};

use super::{invalid, too_large, twins};

fn deliver() -> Deliver {
    Deliver {
        run: ChannelRun::new(1),
        prev: DeliveryId::new(6),
        first: DeliveryId::new(7),
        count: 1,
        floor: DeliveryId::new(7),
        group: None,
        attempt: 0,
    }
}

#[test]
fn what_is_delivered_goes_forward() {
    let refused = Deliver {
        prev: DeliveryId::new(7),
        ..deliver()
    };
    twins(deliver(), refused, invalid("prev", 7));
    let refused = Deliver {
        floor: DeliveryId::new(8),
        ..deliver()
    };
    twins(deliver(), refused, invalid("floor", 8));
    let refused = Deliver {
        count: 0,
        ..deliver()
    };
    twins(deliver(), refused, invalid("count", 0));
    let last = |count| Deliver {
        first: DeliveryId::new(u64::MAX),
        count,
        ..deliver()
    };
    twins(last(1), last(2), invalid("first", u64::MAX));
}

#[test]
fn a_group_has_a_name() {
    let named = |name: String| Deliver {
        group: Some(name),
        ..deliver()
    };
    let longest = || named("g".repeat(MAX_GROUP_LEN));
    let error = too_large("group", MAX_GROUP_LEN);
    twins(longest(), named("g".repeat(MAX_GROUP_LEN + 1)), error);
    twins(longest(), named(String::new()), invalid("group", 0));
    twins(longest(), named("a b".into()), invalid("group", 32));
}

fn range(first: u64, last: u64) -> DeliveryRange {
    DeliveryRange {
        first: DeliveryId::new(first),
        last: DeliveryId::new(last),
    }
}

fn ack(acked: Vec<DeliveryRange>) -> EventAck {
    EventAck {
        run: ChannelRun::new(1),
        class: Priority::Normal,
        upto: DeliveryId::new(3),
        acked,
        refused: Vec::new(),
    }
}

#[test]
fn ranges_ascend_with_ids_between_them() {
    let accepted = || ack(vec![range(5, 6), range(8, 8)]);
    let refused = |ranges, first| twins(accepted(), ack(ranges), invalid("acked", first));
    refused(vec![range(4, 6)], 4);
    refused(vec![range(2, 6)], 2);
    refused(vec![range(5, 6), range(7, 8)], 7);
    refused(vec![range(8, 8), range(5, 6)], 5);
    twins(accepted(), ack(vec![range(6, 5)]), invalid("last", 5));
    let many = |count| {
        let each = (0..count).map(|n: u64| range(5 + 2 * n, 5 + 2 * n));
        ack(each.collect())
    };
    let max = u64::try_from(MAX_ACK_RANGES).unwrap();
    twins(many(max), many(max + 1), too_large("acked", MAX_ACK_RANGES));
}

#[test]
fn refusals_ascend() {
    let refusing = |ranges: &[(u64, u64)]| EventAck {
        refused: ranges
            .iter()
            .map(|(first, last)| DeliveryRefusal {
                range: range(*first, *last),
                cause: RefusalCause::Gone,
            })
            .collect(),
        ..ack(Vec::new())
    };
    let accepted = || refusing(&[(0, 1), (2, 3)]);
    twins(
        accepted(),
        refusing(&[(2, 3), (0, 1)]),
        invalid("refused", 0),
    );
    twins(
        accepted(),
        refusing(&[(1, 2), (2, 3)]),
        invalid("refused", 2),
    );
    let many: Vec<(u64, u64)> = (0..=32).map(|n| (n, n)).collect();
    let error = too_large("refused", MAX_ACK_RANGES);
    twins(refusing(&many[..32]), refusing(&many), error);
}

fn nodes(count: usize) -> Vec<NodeId> {
    let node = |at: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&u64::try_from(at).unwrap().to_be_bytes());
        NodeId::from_bytes(bytes)
    };
    (0..count).map(node).collect()
}

fn debts() -> Debts {
    Debts {
        members: nodes(2),
        stores: nodes(1),
        groups: vec![DebtGroup {
            name: "g".into(),
            balance: Balance::Sticky,
            members: nodes(2),
            first: DeliveryId::new(7),
            chosen: vec![0, 2],
        }],
    }
}

#[test]
fn debts_name_each_once_and_choose_whom_they_name() {
    let members = |members| Debts { members, ..debts() };
    let most = || members(nodes(MAX_DEBTORS));
    twins(
        most(),
        members(nodes(MAX_DEBTORS + 1)),
        too_large("members", MAX_DEBTORS),
    );
    let mut twice = nodes(2);
    twice.reverse();
    twins(debts(), members(twice), EncodeError::NotCanonical);
    let stores = |count| Debts {
        stores: nodes(count),
        ..debts()
    };
    twins(stores(1), stores(0), invalid("stores", 0));
    twins(
        stores(MAX_STORES),
        stores(MAX_STORES + 1),
        too_large("stores", MAX_STORES),
    );
    let group = |change: fn(&mut DebtGroup)| {
        let mut changed = debts();
        change(&mut changed.groups[0]);
        changed
    };
    twins(
        debts(),
        group(|group| group.chosen = vec![3]),
        invalid("chosen", 3),
    );
    twins(
        debts(),
        group(|group| group.chosen.clear()),
        invalid("chosen", 0),
    );
    twins(
        debts(),
        group(|group| group.first = DeliveryId::new(0)),
        invalid("first", 0),
    );
    twins(
        group(|group| group.first = DeliveryId::new(u64::MAX - 2)),
        group(|group| group.first = DeliveryId::new(u64::MAX - 1)),
        invalid("first", u64::MAX - 1),
    );
    twins(
        debts(),
        group(|group| group.name.clear()),
        invalid("name", 0),
    );
    let mut double = debts();
    double.groups.push(double.groups[0].clone());
    twins(debts(), double, EncodeError::NotCanonical);
}

#[test]
fn arrears_name_each_member_once_with_something_that_it_is_owed() {
    let owed = |open: &[(u64, u64)]| Arrears {
        run: ChannelRun::new(1),
        since: DeliveryId::new(1),
        upto: DeliveryId::new(9),
        open: vec![Arrear {
            node: nodes(1)[0],
            open: open
                .iter()
                .map(|(first, last)| range(*first, *last))
                .collect(),
        }],
    };
    twins(owed(&[(1, 1)]), owed(&[]), invalid("open", 0));
    twins(
        owed(&[(1, 2), (3, 4)]),
        owed(&[(1, 2), (2, 4)]),
        invalid("open", 2),
    );
    let mut twice = owed(&[(1, 1)]);
    twice.open.push(twice.open[0].clone());
    twins(owed(&[(1, 1)]), twice, EncodeError::NotCanonical);
}
