//! Events for members that want them and have no link yet.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use macula::{Delivery, ForwardingConfig, GapCause, Node, Publisher, Subscription};

use crate::mesh::{Realm, loopback, numbered, subscribe, until, within};

const COUNT: u64 = 10;

/// A publisher, and a subscriber that it knows to be one. Both say that they are where nobody answers, so they have no link
/// until one of them is told the address of the other.
struct Apart {
    publisher: Node,
    subscriber: Node,
    on: Publisher,
    events: Subscription,
    _dead: UdpSocket,
    _middle: Node,
}

impl Apart {
    async fn new() -> Self {
        let realm = Realm::new();
        let dead = UdpSocket::bind(loopback()).unwrap();
        let address = dead.local_addr().unwrap();
        let middle = realm.node().await;
        let publisher = hidden(&realm, address).await;
        let subscriber = hidden(&realm, address).await;
        for node in [&publisher, &subscriber] {
            within(node.connect(middle.local_addr())).await.unwrap();
        }
        until(async || publisher.stats().await.unwrap().members.alive == 3).await;
        let events = subscribe(&subscriber, "apart.*").await;
        let on = publisher.publisher("apart.x", macula::PublishOptions::default());
        let on = within(on).await.unwrap();
        let mut matching = on.matching();
        while !within(matching.changed()).await {}
        assert_eq!(publisher.peers().len(), 1);
        Self {
            publisher,
            subscriber,
            on,
            events,
            _dead: dead,
            _middle: middle,
        }
    }

    async fn publish(&self) {
        for sequence in 0..COUNT {
            within(self.on.publish(numbered(sequence))).await.unwrap();
        }
        self.on.flush().await;
    }

    async fn link(&self) {
        let linked = self.subscriber.connect(self.publisher.local_addr());
        within(linked).await.unwrap();
    }

    async fn dropped(&self) -> u64 {
        self.publisher.stats().await.unwrap().counts.dropped_no_link
    }

    /// Reads everything. How many events came; the others are told missing before them.
    async fn came(&mut self) -> u64 {
        let mut next = 0;
        let mut came = 0;
        while next < COUNT {
            match within(self.events.next()).await.unwrap() {
                Delivery::Event(event) => {
                    assert_eq!(event.sequence().get(), next);
                    assert_eq!(event.payload()[..], numbered(next));
                    (next, came) = (next + 1, came + 1);
                }
                Delivery::Gap(gap) => {
                    assert_eq!((gap.from().get(), gap.cause()), (next, GapCause::Dropped));
                    next = gap.to().unwrap().get();
                }
                other => panic!("{other:?}"),
            }
        }
        came
    }
}

/// A node that says that it is at `address`, and is not reached by others in the time of a test.
async fn hidden(realm: &Realm, address: SocketAddr) -> Node {
    let mut never = ForwardingConfig::default();
    never.head_start = Duration::from_secs(3_600);
    let builder = realm.builder().advertise(address).forwarding(never);
    within(builder.start()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_before_a_link_is_up_waits_for_it_a_second() {
    // On a busy machine a link may take longer; then the events are told missing. Not five times.
    for _attempt in 0..5 {
        let mut apart = Apart::new().await;
        apart.publish().await;
        apart.link().await;
        let came = apart.came().await;
        assert_eq!(apart.dropped().await, COUNT - came);
        if came == COUNT {
            return;
        }
    }
    panic!("nothing waits for a link");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_waited_in_vain_is_counted_and_told_when_there_is_a_link() {
    let mut apart = Apart::new().await;
    apart.publish().await;
    until(async || apart.dropped().await == COUNT).await;
    apart.link().await;
    assert_eq!(apart.came().await, 0);
}
