//! Processes that attach to a member, with an identity of their own or with that of the node.

mod local;
mod meta;
mod rights;
mod testament;

use macula::wire::ErrorCode;
use macula::{
    CallOptions, Client, Delivery, Invocation, Node, RegisterOptions, Reply, SubscribeOptions,
    Subscription,
};

use crate::mesh::{Realm, event, numbered, offered, subscribe, told, until, within};

pub(crate) async fn listen(client: &Client, pattern: &str) -> Subscription {
    let options = SubscribeOptions::default();
    within(client.subscribe(pattern, options)).await.unwrap()
}

/// Says who calls, and by whom.
async fn who(invocation: Invocation) -> Result<Reply, macula::CallFailure> {
    let (caller, via) = (invocation.caller, invocation.via);
    Ok(Reply::text(format!("{caller} {via:?}")))
}

/// A client of one member, and another member.
async fn place() -> (Node, Node, Client) {
    let realm = Realm::new();
    let [member, other] = realm.mesh().await;
    let client = realm.client(&member).await;
    assert_eq!(client.member(), member.node_id());
    assert_ne!(client.node_id(), member.node_id());
    (member, other, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_client_reach_other_members_under_its_own_id() {
    const COUNT: u64 = 100;
    let (member, other, client) = place().await;
    let mut subscriptions = [
        subscribe(&member, "c.*").await,
        subscribe(&other, "c.*").await,
    ];
    told(&other, &member).await;
    for sequence in 0..COUNT {
        within(client.publish("c.x", numbered(sequence)))
            .await
            .unwrap();
    }
    for subscription in &mut subscriptions {
        for sequence in 0..COUNT {
            let event = event(subscription).await;
            assert_eq!(event.publisher(), client.node_id());
            assert_eq!(event.sequence().get(), sequence);
            assert_eq!(event.payload()[..], numbered(sequence));
        }
    }
    let counts = other.stats().await.unwrap().counts;
    assert_eq!((counts.dropped_unproven, counts.missing), (0, 0));
    // The last one may have arrived before it is counted here.
    let forwarded = || async { member.stats().await.unwrap().counts.events_forwarded };
    within(async {
        while forwarded().await < COUNT {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(forwarded().await, COUNT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_what_it_subscribes_to_until_it_unsubscribes() {
    let (member, other, client) = place().await;
    let mut ending = listen(&client, "d.*").await;
    let mut staying = listen(&client, "e.*").await;
    within(other.wait_for_subscribers("d.x")).await.unwrap();
    within(other.wait_for_subscribers("e.x")).await.unwrap();
    for node in [&member, &other] {
        node.publish("d.x", "far and near").await.unwrap();
        let event = event(&mut ending).await;
        assert_eq!(event.publisher(), node.node_id());
        assert_eq!(event.payload()[..], *b"far and near");
    }
    within(client.publish("d.x", "mine")).await.unwrap();
    assert_eq!(event(&mut ending).await.publisher(), client.node_id());
    within(client.unsubscribe(ending)).await.unwrap();
    let before = member.stats().await.unwrap();
    assert_eq!(before.subscriptions, 1);
    member.publish("d.x", "too late").await.unwrap();
    member.publish("e.x", "in time").await.unwrap();
    assert_eq!(event(&mut staying).await.payload()[..], *b"in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_calls_and_serves_through_its_member() {
    let (member, other, client) = place().await;
    let options = RegisterOptions::default();
    let _near = member
        .register("f.near", options.clone(), who)
        .await
        .unwrap();
    let _far = other.register("f.far", options.clone(), who).await.unwrap();
    offered(&other, &member).await;
    let id = client.node_id();
    for (name, via) in [("f.near", None), ("f.far", Some(member.node_id()))] {
        let reply = client.call(name, "", CallOptions::default());
        let reply = within(reply).await.unwrap();
        assert_eq!(reply.payload[..], *format!("{id} {via:?}").as_bytes());
    }
    let served = within(client.register("f.mine", options.clone(), who))
        .await
        .unwrap();
    until(async || {
        let reply = other.call("f.mine", "", CallOptions::default()).await;
        reply.is_ok_and(|reply| {
            reply
                .payload
                .starts_with(other.node_id().to_string().as_bytes())
        })
    })
    .await;
    let reply = within(client.call("f.mine", "", CallOptions::default())).await;
    assert!(
        reply
            .unwrap()
            .payload
            .starts_with(id.to_string().as_bytes())
    );
    within(client.unregister(served)).await.unwrap();
    let error = within(client.call("f.mine", "", CallOptions::default())).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::NO_SUCH_PROCEDURE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_its_link_ends_what_a_client_asked_for() {
    let (member, other, client) = place().await;
    let _wanted = listen(&client, "g.*").await;
    let _served = client
        .register("g.mine", RegisterOptions::default(), who)
        .await
        .unwrap();
    within(other.wait_for_subscribers("g.x")).await.unwrap();
    let stats = member.stats().await.unwrap();
    let asked = (
        stats.links_clients,
        stats.subscriptions,
        stats.registrations,
    );
    assert_eq!(asked, (1, 1, 1));
    within(client.close()).await;
    until(async || {
        let stats = member.stats().await.unwrap();
        stats.links_clients + stats.subscriptions + stats.registrations == 0
    })
    .await;
    let error = within(client.call("g.mine", "", CallOptions::default())).await;
    assert!(error.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_its_member_ends_the_subscriptions_of_a_client() {
    let (member, _, client) = place().await;
    let mut subscription = listen(&client, "h.*").await;
    within(client.publish("h.x", "last")).await.unwrap();
    assert_eq!(event(&mut subscription).await.payload()[..], *b"last");
    within(member.shutdown()).await;
    let end = within(subscription.next()).await;
    assert!(matches!(end, Some(Delivery::Closed(_))), "{end:?}");
    assert!(within(subscription.next()).await.is_none());
    within(client.closed()).await;
    let error = within(client.subscribe("h.*", SubscribeOptions::default())).await;
    assert!(error.is_err());
    let error = within(client.call("h.x", "", CallOptions::default())).await;
    assert!(error.is_err());
}
