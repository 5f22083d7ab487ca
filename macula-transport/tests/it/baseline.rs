//! The limit that benches compare with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use macula_transport::baseline::{Amount, BaselineError, Client, Server};
use macula_transport::{Config, TlsIdentity};
use tokio::task::JoinSet;

use crate::support::{BOTH, Realm, loopback, within};

fn identity() -> TlsIdentity {
    Realm::new("be.acme.iot").node(BOTH).identity
}

fn server() -> Server {
    Server::bind(loopback(), &identity(), &Config::default()).unwrap()
}

async fn client(server: &Server) -> Client {
    let (identity, config) = (identity(), Config::default());
    let connect = Client::connect(server.local_addr(), &identity, &config);
    within(connect).await.unwrap()
}

#[tokio::test]
async fn every_event_arrives_once_and_in_order() {
    for (size, messages) in [
        (8, 1),
        (64, 50_000),
        (1_024, 5_000),
        (32_768, 200),
        (65_536, 100),
    ] {
        let server = server();
        let sending = async {
            let client = client(&server).await;
            let amount = Amount::Messages(messages);
            let sent = client.send_events(amount, size).await.unwrap();
            client.close().await;
            sent
        };
        let (sent, received) = within(async { tokio::join!(sending, server.serve_events()) }).await;
        let received = received.unwrap();
        assert_eq!((sent.messages, sent.confirmed), (messages, messages));
        assert_eq!((received.messages, received.out_of_order), (messages, 0));
        assert_eq!(received.bytes, messages * u64::try_from(size).unwrap());
    }
}

#[tokio::test]
async fn events_are_sent_for_a_time() {
    let server = server();
    let sending = async {
        let client = client(&server).await;
        let amount = Amount::For(Duration::from_millis(50));
        let sent = client.send_events(amount, 1_024).await.unwrap();
        assert!(client.mtu() >= 1_200);
        client.close().await;
        sent
    };
    let (sent, received) = within(async { tokio::join!(sending, server.serve_events()) }).await;
    assert!(sent.messages > 0 && sent.elapsed >= Duration::from_millis(50));
    assert_eq!(received.unwrap().messages, sent.confirmed);
    assert_eq!(sent.messages, sent.confirmed);
}

#[tokio::test]
async fn a_message_that_cannot_hold_its_sequence_is_refused() {
    let server = server();
    let sending = async {
        let client = client(&server).await;
        let short = client.send_events(Amount::Messages(1), 7).await;
        assert_eq!(short, Err(BaselineError::TooShort { min: 8 }));
        let short = client.send_at_rate(1_000, 1, 15, || 0).await;
        assert_eq!(short, Err(BaselineError::TooShort { min: 16 }));
        let sent = client.send_events(Amount::Messages(1), 8).await.unwrap();
        client.close().await;
        sent
    };
    let (sent, received) = within(async { tokio::join!(sending, server.serve_events()) }).await;
    assert_eq!((sent.confirmed, received.unwrap().messages), (1, 1));
}

#[tokio::test]
async fn calls_come_back_as_they_were_with_many_in_flight() {
    let server = server();
    let calling = async {
        let client = Arc::new(client(&server).await);
        let mut calls = JoinSet::new();
        for number in 0_u32..200 {
            let client = Arc::clone(&client);
            calls.spawn(async move {
                let payload = Bytes::from(number.to_be_bytes().repeat(16));
                client.call(payload.clone()).await.unwrap() == payload
            });
        }
        let answers = calls.join_all().await;
        assert_eq!(answers.iter().filter(|same| **same).count(), 200);
        Arc::into_inner(client).unwrap().close().await;
    };
    let ((), calls) = within(async { tokio::join!(calling, server.serve_calls()) }).await;
    assert_eq!(calls, Ok(200));
}

#[tokio::test]
async fn latency_is_what_the_shared_clock_says() {
    let server = server();
    // Each look at the clock is a microsecond after the one before.
    let clock = Arc::new(AtomicU64::new(0));
    let nanos = |clock: &Arc<AtomicU64>| {
        let clock = Arc::clone(clock);
        move || clock.fetch_add(1_000, Ordering::Relaxed)
    };
    let sending = async {
        let client = client(&server).await;
        let sent = client.send_at_rate(5_000, 100, 64, nanos(&clock)).await;
        client.close().await;
        sent.unwrap()
    };
    let serving = server.serve_latency(60, nanos(&clock));
    let (sent, latencies) = within(async { tokio::join!(sending, serving) }).await;
    let latencies = latencies.unwrap();
    assert_eq!((sent.messages, sent.confirmed), (100, 100));
    assert_eq!((latencies.nanos.len(), latencies.out_of_order), (60, 0));
    assert!(latencies.nanos.iter().all(|nanos| *nanos >= 1_000));
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = server();
    let second = Server::bind(server.local_addr(), &identity(), &Config::default());
    assert!(
        matches!(second, Err(BaselineError::Bind { address, .. }) if address == server.local_addr())
    );
}
