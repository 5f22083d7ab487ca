//! Events that come while earlier ones are missing.

use macula::wire::message::{Alias, Body, Message, Priority};
use macula::wire::{
    Batch, ContentType, Entries, Epoch, NodeId, Sequence, Signer, TopicAlias, limit, signed,
};
use macula::{Delivery, Node, Order, SubscribeOptions, Subscription};

use crate::forger::Forger;
use crate::mesh::{Realm, numbered, until, within};

const TOPIC: &str = "early.x";

/// A member that publishes along a tree as it likes.
struct Publisher {
    forger: Forger,
    alias: Alias,
}

impl Publisher {
    async fn join(realm: &Realm, node: &Node, other: NodeId) -> Self {
        let (forger, _) = Forger::join(realm, node, other).await;
        let alias = Alias {
            publisher: forger.identity.node(),
            epoch: Epoch::new(1),
            alias: TopicAlias::new(1),
            topic: TOPIC.parse().unwrap(),
            next: Sequence::new(u64::MAX),
            chain: Vec::new(),
        };
        let publisher = Self { forger, alias };
        publisher.push(publisher.alias.clone()).await;
        publisher
    }

    async fn push(&self, body: impl Into<Body>) {
        let message = Message::from(body.into());
        until(async || {
            let frame = macula::transport::OutFrame::message(&message).unwrap();
            let outbox = self.forger.link.events(Priority::Normal);
            outbox.try_push(frame).is_ok()
        })
        .await;
    }

    /// Sends so many events from a sequence on, in one batch.
    async fn send(&self, base: u64, count: u64) {
        let payloads: Vec<Vec<u8>> = (base..base + count).map(numbered).collect();
        let mut batch = Batch {
            hops: limit::TREE_HOPS,
            publisher: self.alias.publisher,
            epoch: self.alias.epoch,
            alias: self.alias.alias,
            base: Sequence::new(base),
            ttl_ms: None,
            content: ContentType::Bytes,
            enveloped: false,
            signature: None,
            entries: Entries::from_payloads(payloads.iter().map(Vec::as_slice)).unwrap(),
        };
        let identity = &self.forger.identity;
        let digest = macula::realm::sha256(batch.entries.encoded());
        let bytes = signed::batch_bytes(identity.realm(), &self.alias.topic, &batch, &digest);
        batch.signature = Some(identity.signer().sign(&bytes.unwrap()));
        self.push(batch).await;
    }
}

/// What comes, in short, up to so many deliveries.
async fn read(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        told.push(match within(subscription.next()).await.unwrap() {
            Delivery::Event(event) => {
                assert_eq!(event.payload()[..], numbered(event.sequence().get()));
                event.sequence().to_string()
            }
            Delivery::Gap(gap) => format!("gap {}..{}", gap.from(), gap.to().unwrap()),
            Delivery::Lagged(count) => format!("lagged {count}"),
            other => panic!("{other:?}"),
        });
    }
    told
}

fn options(order: Order) -> SubscribeOptions {
    SubscribeOptions::default().order(order)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_order_nothing_waits_for_what_is_missing() {
    let realm = Realm::new();
    let [node, other] = realm.mesh().await;
    let client = realm.client(&node).await;
    let subscribe = async |order| node.subscribe(TOPIC, options(order)).await.unwrap();
    let mut ordered = subscribe(Order::PerKey).await;
    let mut unordered = subscribe(Order::None).await;
    let mut latest = subscribe(Order::Latest).await;
    let attached = async |order| {
        within(client.subscribe(TOPIC, options(order)))
            .await
            .unwrap()
    };
    let mut ordered_client = attached(Order::PerKey).await;
    let mut unordered_client = attached(Order::None).await;
    let publisher = Publisher::join(&realm, &node, other.node_id()).await;

    publisher.send(0, 1).await;
    assert_eq!(read(&mut latest, 1).await, ["0"]);
    publisher.send(2, 2).await;
    // They have what came while the others wait for what did not.
    assert_eq!(read(&mut unordered, 3).await, ["0", "2", "3"]);
    assert_eq!(read(&mut unordered_client, 3).await, ["0", "2", "3"]);
    assert_eq!(read(&mut latest, 2).await, ["lagged 1", "3"]);
    // Nobody has it: it is given up, and told once.
    assert_eq!(read(&mut ordered, 4).await, ["0", "gap 1..2", "2", "3"]);
    assert_eq!(read(&mut unordered, 1).await, ["gap 1..2"]);
    assert_eq!(
        read(&mut ordered_client, 4).await,
        ["0", "gap 1..2", "2", "3"]
    );
    assert_eq!(read(&mut unordered_client, 1).await, ["gap 1..2"]);
    assert_eq!(read(&mut latest, 1).await, ["gap 1..2"]);

    // What is late comes, and nothing comes twice.
    publisher.send(5, 1).await;
    assert_eq!(read(&mut unordered, 1).await, ["5"]);
    publisher.send(4, 1).await;
    publisher.send(6, 1).await;
    let told = read(&mut unordered, 2).await;
    if told == ["gap 4..5", "6"] {
        // The machine was slow: the event came after it was given up.
        return;
    }
    assert_eq!(told, ["4", "6"]);
    assert_eq!(read(&mut ordered, 3).await, ["4", "5", "6"]);
    assert_eq!(read(&mut ordered_client, 3).await, ["4", "5", "6"]);
    let told = read(&mut unordered_client, 3).await;
    assert_eq!(told, ["5", "4", "6"]);
    let counts = unordered.counts();
    assert_eq!((counts.delivered, counts.dropped()), (6, 0));
    let counts = latest.counts();
    let early = node.stats().await.unwrap().counts.events_early;
    // By the two subscriptions of the node: of the batches at 2 and 5.
    assert_eq!(early, 2 * 3);
    assert!(counts.superseded >= 1, "{counts:?}");
    until(async || latest.counts().superseded >= 2).await;
}
