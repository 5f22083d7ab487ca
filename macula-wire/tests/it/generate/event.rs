//! PUBLISH to GAP.

use macula_wire::batch::{Batch, Entries};
use macula_wire::message::{
    Alias, Arrear, Arrears, Balance, DebtGroup, Debts, Deliver, DeliveryRange, DeliveryRefusal,
    Event, EventAck, Gap, GroupInterest, Priority, Publish, Qos, Receipt, RefusalCause, Resend,
    Roles, Subscribe, Unsubscribe,
};
use macula_wire::{
    Audience, Body, ChannelRun, DeliveryId, Envelope, Epoch, NodeId, RequestId, Selection,
    Sequence, SubscriptionId, TopicAlias,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::BoxedStrategy;

use super::session::chain;
use super::{
    bytes, content, headers, key, node, number, pattern, payload, signature, topic, wide, word,
};

/// A group of subscribers.
pub(super) fn group() -> impl Strategy<Value = GroupInterest> {
    (word(), select(Balance::ALL.to_vec()))
        .prop_map(|(name, balance)| GroupInterest { name, balance })
}

pub(super) fn bodies() -> BoxedStrategy<Body> {
    let subscription = || number(SubscriptionId::new);
    let request = || number(RequestId::new);
    prop_oneof![
        publish().prop_map(Body::from),
        (
            request(),
            subscription(),
            pattern(),
            prop::option::of(group()),
            any::<bool>(),
        )
            .prop_map(|(request, subscription, pattern, group, early)| {
                Subscribe {
                    request,
                    subscription,
                    pattern,
                    group,
                    early,
                }
                .into()
            }),
        (request(), subscription()).prop_map(|(request, subscription)| {
            Unsubscribe {
                request,
                subscription,
            }
            .into()
        }),
        event().prop_map(Body::from),
        alias().prop_map(Body::from),
        batch().prop_map(Body::from),
        receipt().prop_map(Body::from),
        gap().prop_map(Body::from),
        deliver().prop_map(Body::from),
        ack().prop_map(Body::from),
        resend().prop_map(Body::from),
        debts().prop_map(Body::from),
        arrears().prop_map(Body::from),
    ]
    .boxed()
}

fn publish() -> impl Strategy<Value = Publish> {
    let request = prop::option::of(number(RequestId::new));
    let qos = select(Qos::ALL.to_vec());
    let keys = (prop::option::of(key()), prop::option::of(key()));
    let what = (
        content(),
        headers(),
        prop::option::of(audience().prop_map(Box::new)),
        payload(),
    );
    (
        request,
        topic(),
        qos,
        any::<bool>(),
        any::<Option<u32>>(),
        keys,
        what,
    )
        .prop_map(
            |(request, topic, qos, retain, ttl_ms, (key, dedup), what)| {
                let (content, headers, audience, payload) = what;
                Publish {
                    request,
                    topic,
                    qos,
                    retain,
                    ttl_ms,
                    key,
                    dedup,
                    content,
                    headers,
                    audience,
                    payload,
                }
            },
        )
}

fn event() -> impl Strategy<Value = Event> {
    let origin = (node(), number(Epoch::new), topic(), number(Sequence::new));
    let what = (
        content(),
        prop::option::of(envelope().prop_map(Box::new)),
        prop::option::of(signature()),
        payload(),
    );
    (any::<u8>(), origin, any::<Option<u32>>(), what).prop_map(
        |(hops, (publisher, epoch, topic, sequence), ttl_ms, what)| {
            let (content, envelope, signature, payload) = what;
            Event {
                hops,
                publisher,
                epoch,
                topic,
                sequence,
                ttl_ms,
                content,
                envelope,
                signature,
                payload,
            }
        },
    )
}

fn alias() -> impl Strategy<Value = Alias> {
    let origin = (node(), number(Epoch::new), number(TopicAlias::new));
    (origin, topic(), number(Sequence::new), chain(0)).prop_map(
        |((publisher, epoch, alias), topic, next, chain)| Alias {
            publisher,
            epoch,
            alias,
            topic,
            next,
            chain,
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    let origin = (node(), number(Epoch::new), number(TopicAlias::new));
    let base = wide().prop_map(|base| Sequence::new(base.min(u64::MAX - 5_000)));
    let enveloped = (envelope(), bytes(40)).prop_map(|(envelope, payload)| {
        let mut entry = Vec::new();
        envelope.encode(&mut entry).unwrap();
        entry.extend_from_slice(&payload);
        entry.into()
    });
    let entries = prop_oneof![
        3 => prop::collection::vec(bytes(40), 1..10).prop_map(|entries| (false, entries)),
        2 => prop::collection::vec(enveloped, 1..5).prop_map(|entries| (true, entries)),
        1 => prop::collection::vec(bytes(2), 250..260).prop_map(|entries| (false, entries)),
    ];
    let what = (content(), prop::option::of(signature()), entries);
    (any::<u8>(), origin, base, any::<Option<u32>>(), what).prop_map(
        |(hops, (publisher, epoch, alias), base, ttl_ms, (content, signature, what))| Batch {
            hops,
            publisher,
            epoch,
            alias,
            base,
            ttl_ms,
            content,
            enveloped: what.0,
            signature,
            entries: Entries::from_payloads(what.1.iter().map(AsRef::as_ref)).unwrap(),
        },
    )
}

fn selection() -> impl Strategy<Value = Selection> {
    let tenants = prop::collection::btree_set(super::of("az09-", 1..=5), 0..3);
    let nodes = prop::collection::btree_set(node(), 0..3);
    (nodes, any::<u32>(), tenants).prop_map(|(nodes, roles, tenants)| Selection {
        roles: Roles::from_bits(roles | u32::from(nodes.is_empty() && tenants.is_empty())),
        nodes: nodes.into_iter().collect(),
        tenants: tenants.into_iter().collect(),
    })
}

fn audience() -> impl Strategy<Value = Audience> {
    let selection = || prop::option::of(selection());
    (any::<bool>(), selection(), selection()).prop_map(|(exclude_self, eligible, exclude)| {
        Audience {
            exclude_self: exclude_self || (eligible.is_none() && exclude.is_none()),
            eligible,
            exclude,
        }
    })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let keys = (prop::option::of(key()), prop::option::of(key()));
    let audience = prop::option::of(audience().prop_map(Box::new));
    (headers(), keys, audience, any::<bool>()).prop_map(
        |(headers, (key, dedup), audience, retain)| Envelope {
            headers,
            key,
            dedup,
            audience,
            retain,
        },
    )
}

fn gap() -> impl Strategy<Value = Gap> {
    let numbers = (number(Epoch::new), number(Sequence::new));
    (node(), topic(), numbers).prop_map(|(publisher, topic, (epoch, from))| Gap {
        publisher,
        epoch,
        topic,
        from,
    })
}

fn receipt() -> impl Strategy<Value = Receipt> {
    let parts = any::<[u16; 4]>();
    (number(RequestId::new), parts).prop_map(|(request, [acked, expired, dropped, open])| Receipt {
        request,
        matched: [acked, expired, dropped, open].map(u32::from).iter().sum(),
        acked: acked.into(),
        expired: expired.into(),
        dropped: dropped.into(),
    })
}

fn deliver() -> impl Strategy<Value = Deliver> {
    let ids = (1..u64::MAX - u64::from(u32::MAX)).prop_flat_map(|first| {
        let below = prop_oneof![Just(first - 1), 0..first];
        (Just(first), below, 0..=first)
    });
    let count = prop_oneof![1..300_u32, 1..=u32::MAX];
    let group = prop::option::of(word());
    (number(ChannelRun::new), ids, count, group, any::<u32>()).prop_map(
        |(run, (first, prev, floor), count, group, attempt)| Deliver {
            run,
            prev: DeliveryId::new(prev),
            first: DeliveryId::new(first),
            count,
            floor: DeliveryId::new(floor),
            group,
            attempt,
        },
    )
}

/// Ranges behind `upto` with ids between them.
fn ranges(upto: u64) -> impl Strategy<Value = Vec<DeliveryRange>> {
    let steps = prop::collection::vec((2..400_u64, 0..400_u64), 0..=32);
    steps.prop_map(move |steps| {
        let mut at = upto;
        let each = steps.into_iter().map(|(apart, more)| {
            let first = at + apart;
            at = first + more;
            DeliveryRange {
                first: DeliveryId::new(first),
                last: DeliveryId::new(at),
            }
        });
        each.collect()
    })
}

fn ack() -> impl Strategy<Value = EventAck> {
    let upto = wide().prop_map(|upto| upto.min(u64::MAX / 2));
    let lists = upto.prop_flat_map(|upto| (Just(upto), ranges(upto), ranges(0)));
    let class = select(Priority::ALL.to_vec());
    let cause = select(RefusalCause::ALL.to_vec());
    (number(ChannelRun::new), class, lists, cause).prop_map(
        |(run, class, (upto, acked, refused), cause)| EventAck {
            run,
            class,
            upto: DeliveryId::new(upto),
            acked,
            refused: refused
                .into_iter()
                .map(|range| DeliveryRefusal { range, cause })
                .collect(),
        },
    )
}

fn resend() -> impl Strategy<Value = Resend> {
    let class = select(Priority::ALL.to_vec());
    (number(ChannelRun::new), class, number(DeliveryId::new))
        .prop_map(|(run, class, after)| Resend { run, class, after })
}

/// Nodes as they stand in lists.
fn nodes(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<NodeId>> {
    prop::collection::btree_set(node(), count).prop_map(|nodes| nodes.into_iter().collect())
}

fn debt_group() -> impl Strategy<Value = DebtGroup> {
    let members = nodes(0..6).prop_flat_map(|members| {
        let most = u32::try_from(members.len()).unwrap();
        (Just(members), prop::collection::vec(0..=most, 1..20))
    });
    let first = wide().prop_map(|first| first.clamp(1, u64::MAX / 2));
    (word(), select(Balance::ALL.to_vec()), members, first).prop_map(
        |(name, balance, (members, chosen), first)| DebtGroup {
            name,
            balance,
            members,
            first: DeliveryId::new(first),
            chosen,
        },
    )
}

fn debts() -> impl Strategy<Value = Debts> {
    let groups = prop::collection::vec(debt_group(), 0..4).prop_map(|mut groups| {
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        groups.dedup_by(|one, other| one.name == other.name);
        groups
    });
    (nodes(0..20), nodes(1..17), groups).prop_map(|(members, stores, groups)| Debts {
        members,
        stores,
        groups,
    })
}

fn arrears() -> impl Strategy<Value = Arrears> {
    let open = nodes(0..6).prop_flat_map(|nodes| {
        let each = nodes.into_iter().map(|node| {
            let open = ranges(0).prop_filter("none is owed nothing", |open| !open.is_empty());
            open.prop_map(move |open| Arrear { node, open })
        });
        each.collect::<Vec<_>>()
    });
    let ids = (number(DeliveryId::new), number(DeliveryId::new));
    (number(ChannelRun::new), ids, open).prop_map(|(run, (since, upto), open)| Arrears {
        run,
        since,
        upto,
        open,
    })
}
