//! Queues that are full.

use macula_transport::{Config, LinkEvent, OutFrame, Outbox, OutboxError};
use macula_wire::message::Priority;

use crate::support::{Pair, numbered, until, within};

const FRAME: usize = 10_000;

fn small() -> Config {
    let mut config = Config::default();
    config.event_outbox_bytes = 64 << 10;
    config.send_window = 128 << 10;
    config.stream_receive_window = 128 << 10;
    config
}

/// Pushes until `outbox` stays full because nobody reads, and tells how many frames it took.
async fn fill(outbox: &Outbox) -> u64 {
    let mut accepted = 0;
    let mut full_for = 0;
    within(async {
        while full_for < 1_000 {
            match outbox.try_push(numbered(accepted, FRAME).into()) {
                Ok(()) => {
                    accepted += 1;
                    full_for = 0;
                }
                Err(OutboxError::Full { queued, max }) => {
                    assert!(queued >= max && queued < max + 2 * FRAME);
                    full_for += 1;
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    accepted
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_sender_up_and_nothing_is_lost() {
    let mut pair = Pair::with(small(), small()).await;
    let outbox = pair.near.events(Priority::Normal).clone();
    let accepted = fill(&outbox).await;
    assert!(!outbox.has_room());
    assert!(outbox.full_events() >= 1_000);
    let held = usize::try_from(accepted).unwrap() * FRAME;
    // The outbox, and what the windows of both sides let pass.
    assert!(
        held < (64 << 10) + (128 << 10) * 2 + 4 * FRAME,
        "{held} bytes were taken"
    );
    // One that waits gets in once the reader reads, and all comes in order.
    let pushed = outbox.push(numbered(accepted, FRAME).into());
    let read = async {
        let LinkEvent::Events(_, mut events) = pair.far_events.next().await else {
            panic!("no events")
        };
        for index in 0..=accepted {
            let frame = events.next().await.unwrap().unwrap();
            assert_eq!(frame.body[..8], index.to_be_bytes());
        }
    };
    let (pushed, ()) = within(async { tokio::join!(pushed, read) }).await;
    pushed.unwrap();
    until(|| outbox.queued_bytes() == 0).await;
    assert!(outbox.has_room());
    assert_eq!(outbox.sent_frames(), accepted + 1);
    within(outbox.room()).await.unwrap();
}

#[tokio::test]
async fn one_frame_over_the_bound_passes_when_nothing_waits() {
    let mut pair = Pair::with(small(), small()).await;
    let outbox = pair.near.events(Priority::Bulk).clone();
    let large = OutFrame::from(numbered(1, 1 << 20));
    outbox.try_push(large.clone()).unwrap();
    assert!(matches!(
        outbox.try_push(large),
        Err(OutboxError::Full { .. })
    ));
    let LinkEvent::Events(Priority::Bulk, mut events) = within(pair.far_events.next()).await else {
        panic!("no events")
    };
    let frame = within(events.next()).await.unwrap().unwrap();
    assert_eq!(frame.body.len(), 1 << 20);
}

#[tokio::test]
async fn waiting_for_room_ends_with_the_link() {
    let mut pair = Pair::with(small(), small()).await;
    let outbox = pair.near.events(Priority::Normal).clone();
    fill(&outbox).await;
    let (room, push) = (outbox.room(), outbox.push(numbered(0, FRAME).into()));
    drop(pair.far_events);
    let (room, push) = within(async {
        let closing =
            async { while !matches!(pair.near_events.next().await, LinkEvent::Closed(_)) {} };
        let (room, push, ()) = tokio::join!(room, push, closing);
        (room, push)
    })
    .await;
    assert_eq!(room, Err(OutboxError::Closed));
    assert_eq!(push, Err(OutboxError::Closed));
    let late = outbox.try_push(numbered(0, FRAME).into());
    assert_eq!(late, Err(OutboxError::Closed));
}

#[tokio::test]
async fn who_pushes_writes_where_nothing_waits_and_the_rest_follows_in_order() {
    let mut pair = Pair::with(small(), small()).await;
    let outbox = pair.near.events(Priority::Normal).clone();
    let mut pushed = 0;
    // The first frame opens the stream. From then on none needs another task to be written.
    while pushed < 2 || outbox.sent_frames() < pushed {
        until(|| outbox.queued_bytes() == 0).await;
        tokio::task::yield_now().await;
        outbox.try_push(numbered(pushed, FRAME).into()).unwrap();
        pushed += 1;
        assert!(pushed < 1_000, "no frame was written at once");
    }
    // Without a reader the stream takes one in part: nothing overtakes what is left of it.
    while outbox.queued_bytes() == 0 {
        outbox.try_push(numbered(pushed, FRAME).into()).unwrap();
        pushed += 1;
    }
    assert!(
        outbox.queued_bytes() < FRAME + 8 + 1,
        "only a part of one waits"
    );
    for _ in 0..3 {
        outbox.try_push(numbered(pushed, FRAME).into()).unwrap();
        pushed += 1;
    }
    let LinkEvent::Events(_, mut events) = within(pair.far_events.next()).await else {
        panic!("no events")
    };
    for index in 0..pushed {
        let frame = within(events.next()).await.unwrap().unwrap();
        assert_eq!(frame.body[..8], index.to_be_bytes());
    }
    until(|| outbox.sent_frames() == pushed).await;
    assert_eq!(outbox.queued_bytes(), 0);
}
