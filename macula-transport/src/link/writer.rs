//! The tasks that empty the outboxes of a link.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use macula_wire::message::{Priority, StreamKind};

use super::Shared;
use crate::error::LinkError;
use crate::outbox::Outbox;
use crate::stream::WriteHalf;

/// Above every event stream and every call.
const CONTROL_PRIORITY: i32 = 4;

/// Writes the control stream until the connection ends, then closes what is left of the link.
pub(super) async fn control(
    shared: Arc<Shared>,
    mut half: WriteHalf,
    permit: Option<Box<dyn Send>>,
) {
    half.set_priority(CONTROL_PRIORITY);
    let writing = async {
        if let Ok(Some(mut half)) = write(&shared.control, half, None).await {
            half.finish();
            half.delivered().await;
        }
        shared.control.abort();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = writing => {}
        _ = shared.carrier.closed() => {}
    }
    for outbox in shared.all_events().iter().chain([&shared.control]) {
        outbox.abort();
    }
    shared.changed.notify_waiters();
    drop(permit);
}

/// Starts to write the event stream of `priority`.
pub(super) fn start_events(link: &Weak<Shared>, priority: Priority) {
    if let Some(shared) = link.upgrade() {
        let tasks = shared.tasks.clone();
        tasks.spawn("link events", events(shared, priority));
    }
}

async fn events(shared: Arc<Shared>, priority: Priority) {
    let outbox = shared.events(priority);
    let writing = async {
        let mut half = shared.carrier.open_uni().await?;
        half.set_priority(stream_priority(priority));
        let opening = shared.opening(StreamKind::Events(priority));
        if let Some(mut half) = write(outbox, half, Some(opening)).await? {
            half.finish();
            half.delivered().await;
        }
        Ok::<(), LinkError>(())
    };
    if let Err(error) = writing.await {
        tracing::debug!(link = %shared.id, ?priority, %error, "event stream ended");
    }
    outbox.abort();
    shared.changed.notify_waiters();
}

/// Calls are at 0.
const fn stream_priority(priority: Priority) -> i32 {
    match priority {
        Priority::Realtime => 3,
        Priority::High => 2,
        Priority::Normal => 0,
        Priority::Bulk => -1,
    }
}

/// Writes what waits until nothing comes any more, and gives the stream back; `None` if the link ended while nothing waited.
async fn write(
    outbox: &Outbox,
    half: WriteHalf,
    opening: Option<Bytes>,
) -> Result<Option<WriteHalf>, LinkError> {
    let mut half = Some(half);
    let mut pieces: Vec<Bytes> = opening.into_iter().collect();
    while let Some(taken) = outbox.take(&mut pieces, &mut half).await {
        let Some(half) = &mut half else {
            return Ok(None);
        };
        half.write_chunks(&mut pieces).await?;
        pieces.clear();
        outbox.written(taken);
    }
    Ok(half)
}
