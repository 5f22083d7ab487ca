//! Samples of events.

use bytes::Bytes;
use macula_wire::batch::{Batch, Entries};
use macula_wire::message::{
    Alias, Arrear, Arrears, Balance, DebtGroup, Debts, Deliver, DeliveryRange, DeliveryRefusal,
    Event, EventAck, Gap, GroupInterest, Priority, Publish, Qos, Receipt, RefusalCause, Resend,
    Roles, Subscribe, Unsubscribe,
};
use macula_wire::{
    Audience, ChannelRun, ContentType, DeliveryId, Envelope, Header, MediaType, Pattern, RequestId,
    Selection, Sequence, SubscriptionId, Topic, TopicAlias,
};

use super::session::{EPOCH, node, signature};
use super::{Sample, sample};

fn topic(text: &str) -> Topic {
    Topic::new(text).unwrap()
}

fn publish() -> Publish {
    Publish {
        request: None,
        topic: topic("home.42.measured"),
        qos: Qos::AtMostOnce,
        retain: false,
        ttl_ms: None,
        key: None,
        dedup: None,
        content: ContentType::Json,
        headers: Vec::new(),
        audience: None,
        payload: Bytes::from_static(b"{\"t\":21.5}"),
    }
}

fn event() -> Event {
    Event {
        hops: 8,
        publisher: node(0),
        epoch: EPOCH,
        topic: topic("home.42.measured"),
        sequence: Sequence::new(0),
        ttl_ms: None,
        content: ContentType::Text,
        envelope: None,
        signature: None,
        payload: Bytes::from_static(b"21.5"),
    }
}

fn batch(payloads: &[&[u8]]) -> Batch {
    Batch {
        hops: 8,
        publisher: node(0),
        epoch: EPOCH,
        alias: TopicAlias::new(3),
        base: Sequence::new(70_000),
        ttl_ms: None,
        content: ContentType::Text,
        enveloped: false,
        signature: None,
        entries: Entries::from_payloads(payloads.iter().copied()).unwrap(),
    }
}

fn audience() -> Audience {
    Audience {
        exclude_self: true,
        eligible: Some(Selection {
            nodes: vec![node(0), node(1)],
            roles: Roles::STORE,
            tenants: vec!["acme".into(), "beta-2".into()],
        }),
        exclude: Some(Selection {
            nodes: Vec::new(),
            roles: Roles::GATEWAY,
            tenants: Vec::new(),
        }),
    }
}

fn envelope() -> Envelope {
    let header = |key: &str, value: &'static [u8]| Header {
        key: key.into(),
        value: Bytes::from_static(value),
    };
    Envelope {
        headers: vec![header("a", b"1"), header("b", b"2")],
        key: Some(Bytes::from_static(b"home-42")),
        dedup: Some(Bytes::from_static(&[0, 255])),
        audience: Some(Box::new(audience())),
        retain: true,
    }
}

fn enveloped(envelope: &Envelope, payload: &[u8]) -> Vec<u8> {
    let mut entry = Vec::new();
    envelope.encode(&mut entry).unwrap();
    entry.extend_from_slice(payload);
    entry
}

pub(super) fn samples() -> Vec<Sample> {
    [
        publications(),
        batches(),
        interests(),
        channels(),
        takeovers(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn publications() -> Vec<Sample> {
    let header = |key: &str, value: &'static [u8]| Header {
        key: key.into(),
        value: Bytes::from_static(value),
    };
    let full = Publish {
        request: Some(RequestId::new(300)),
        qos: Qos::AtLeastOnce,
        retain: true,
        ttl_ms: Some(60_000),
        key: Some(Bytes::from_static(b"home-42")),
        dedup: Some(Bytes::from_static(&[0, 1, 2, 255])),
        content: ContentType::Named(MediaType::new("application/vnd.acme+json").unwrap()),
        headers: vec![
            header(
                "traceparent",
                b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ),
            header("x-note", b""),
        ],
        audience: Some(Box::new(audience())),
        ..publish()
    };
    let signed = Event {
        hops: 0,
        sequence: Sequence::new(u64::MAX - 1),
        ttl_ms: Some(1_500),
        envelope: Some(Box::new(envelope())),
        signature: Some(signature(0x80)),
        ..event()
    };
    let mut samples = vec![
        sample("publish, plain", publish()),
        sample("publish with every option", full),
        sample("event, plain", event()),
        sample("event with an envelope, signed", signed),
    ];
    for content in [
        ContentType::Bytes,
        ContentType::Text,
        ContentType::Json,
        ContentType::Cbor,
        ContentType::Bincode,
        ContentType::Etf,
    ] {
        let name = format!("publish of {content}");
        let payload = Bytes::new();
        samples.push(sample(
            &name,
            Publish {
                content,
                payload,
                ..publish()
            },
        ));
    }
    samples
}

fn batches() -> Vec<Sample> {
    let long = [7_u8; 251];
    let own = || Alias {
        publisher: node(0),
        epoch: EPOCH,
        alias: TopicAlias::new(3),
        topic: topic("home.42.measured"),
        next: Sequence::new(70_000),
        chain: Vec::new(),
    };
    let foreign = Alias {
        alias: TopicAlias::new(300),
        topic: topic("$sys.node"),
        next: Sequence::new(0),
        chain: vec![Bytes::from_static(b"leaf"), Bytes::from_static(b"root")],
        ..own()
    };
    let signed = Batch {
        hops: 7,
        ttl_ms: Some(5_000),
        content: ContentType::Bytes,
        signature: Some(signature(0x80)),
        ..batch(&[b"", &[0], &long])
    };
    let last = Batch {
        base: Sequence::new(u64::MAX - 2),
        ..batch(&[b"a", b"b"])
    };
    let entries = [
        enveloped(&envelope(), b"21.5"),
        enveloped(&Envelope::EMPTY, b""),
    ];
    let with_envelopes = Batch {
        enveloped: true,
        ..batch(&[&entries[0], &entries[1]])
    };
    let nothing: [&[u8]; 251] = [b""; 251];
    vec![
        sample("alias, own topic", own()),
        sample("alias with a chain", foreign),
        sample("batch of one", batch(&[b"21.5"])),
        sample("batch of three", batch(&[b"21.5", b"21.6", b"21.4"])),
        sample("batch, signed, lengths 0, 1 and 251", signed),
        sample("batch at the end of the sequences", last),
        sample("batch with envelopes", with_envelopes),
        sample("batch of 251 empty events", batch(&nothing)),
    ]
}

fn interests() -> Vec<Sample> {
    vec![
        sample(
            "subscribe",
            Subscribe {
                request: RequestId::new(1),
                subscription: SubscriptionId::new(1),
                pattern: Pattern::new("home.*.measured").unwrap(),
                group: None,
                early: false,
            },
        ),
        sample(
            "subscribe to events ahead of their turn as well",
            Subscribe {
                request: RequestId::new(4),
                subscription: SubscriptionId::new(3),
                pattern: Pattern::new("home.**").unwrap(),
                group: None,
                early: true,
            },
        ),
        sample(
            "subscribe in a group",
            Subscribe {
                request: RequestId::new(3),
                subscription: SubscriptionId::new(2),
                pattern: Pattern::new("orders.**").unwrap(),
                group: Some(GroupInterest {
                    name: "billing".into(),
                    balance: Balance::LeastInflight,
                }),
                early: false,
            },
        ),
        sample(
            "unsubscribe",
            Unsubscribe {
                request: RequestId::new(2),
                subscription: SubscriptionId::new(1),
            },
        ),
        sample(
            "gap",
            Gap {
                publisher: node(1),
                epoch: EPOCH,
                topic: topic("weather.seattle.temperature"),
                from: Sequence::new(4_185),
            },
        ),
        sample(
            "receipt",
            Receipt {
                request: RequestId::new(300),
                matched: 70_000,
                acked: 69_990,
                expired: 4,
                dropped: 3,
            },
        ),
    ]
}

fn range(first: u64, last: u64) -> DeliveryRange {
    DeliveryRange {
        first: DeliveryId::new(first),
        last: DeliveryId::new(last),
    }
}

fn channels() -> Vec<Sample> {
    let run = ChannelRun::new(EPOCH.get());
    let deliver = || Deliver {
        run,
        prev: DeliveryId::new(0),
        first: DeliveryId::new(1),
        count: 3,
        floor: DeliveryId::new(1),
        group: None,
        attempt: 0,
    };
    let ack = || EventAck {
        run,
        class: Priority::Normal,
        upto: DeliveryId::new(3),
        acked: Vec::new(),
        refused: Vec::new(),
    };
    vec![
        sample("deliver, the first of a channel", deliver()),
        sample(
            "deliver to a group, once more",
            Deliver {
                prev: DeliveryId::new(300),
                first: DeliveryId::new(70_000),
                count: 1,
                floor: DeliveryId::new(251),
                group: Some("workers".into()),
                attempt: 2,
                ..deliver()
            },
        ),
        sample("event_ack, all", ack()),
        sample(
            "event_ack with ranges and refusals",
            EventAck {
                class: Priority::Bulk,
                acked: vec![range(5, 5), range(7, 300)],
                refused: vec![
                    DeliveryRefusal {
                        range: range(2, 2),
                        cause: RefusalCause::Gone,
                    },
                    DeliveryRefusal {
                        range: range(3, 5),
                        cause: RefusalCause::Rejected,
                    },
                ],
                ..ack()
            },
        ),
        sample(
            "resend",
            Resend {
                run,
                class: Priority::Realtime,
                after: DeliveryId::new(251),
            },
        ),
    ]
}

fn takeovers() -> Vec<Sample> {
    let run = ChannelRun::new(EPOCH.get());
    vec![
        sample(
            "debts, a member and the store itself",
            Debts {
                members: vec![node(1), node(2)],
                stores: vec![node(2)],
                groups: Vec::new(),
            },
        ),
        sample(
            "debts of a group, of which one is on the publisher's node",
            Debts {
                members: vec![node(2)],
                stores: vec![node(2)],
                groups: vec![DebtGroup {
                    name: "workers".into(),
                    balance: Balance::LeastInflight,
                    members: vec![node(1), node(3)],
                    first: DeliveryId::new(251),
                    chosen: vec![0, 2, 1],
                }],
            },
        ),
        sample(
            "arrears, none",
            Arrears {
                run,
                since: DeliveryId::new(1),
                upto: DeliveryId::new(300),
                open: Vec::new(),
            },
        ),
        sample(
            "arrears of two members",
            Arrears {
                run,
                since: DeliveryId::new(251),
                upto: DeliveryId::new(70_000),
                open: vec![
                    Arrear {
                        node: node(1),
                        open: vec![range(5, 5), range(7, 300)],
                    },
                    Arrear {
                        node: node(2),
                        open: vec![range(251, 251)],
                    },
                ],
            },
        ),
    ]
}
