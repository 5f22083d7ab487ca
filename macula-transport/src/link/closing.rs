//! Ending a link without losing what was sent.

use std::sync::Arc;

use macula_wire::ErrorCode;
use macula_wire::message::{Close, Message};

use super::Shared;
use crate::error::{CloseReason, cut};
use crate::outbox::OutFrame;

/// Begins to close the link from this side, once.
pub(super) fn close(shared: &Arc<Shared>, code: ErrorCode, detail: &str) {
    let reason = CloseReason::local(code, detail);
    if !shared.begin_end(reason) {
        return;
    }
    let detail = cut(detail);
    let link = Arc::clone(shared);
    shared.tasks.spawn("link close", async move {
        let drained = tokio::time::timeout(link.drain_timeout, drain(&link, code, &detail)).await;
        if drained.is_err() {
            tracing::debug!(link = %link.id, "closed before everything was delivered");
        }
        link.carrier.close(code, &detail);
    });
}

/// Sends what waits, then CLOSE, and waits for the peer to end the connection.
///
/// CLOSE comes after the peer has all events, because it ends the connection as soon as it finds nothing more to read.
async fn drain(shared: &Shared, code: ErrorCode, detail: &str) {
    for outbox in shared.all_events() {
        outbox.end();
    }
    for outbox in shared.all_events() {
        outbox.ended().await;
    }
    let close = Message::from(Close {
        code,
        detail: detail.to_owned(),
    });
    match OutFrame::message(&close) {
        Ok(frame) => shared.control.push_last(frame),
        Err(_) => shared.control.end(),
    }
    shared.carrier.closed().await;
}

/// Resolves when a link that the peer closes has nothing more to read or to write.
pub(super) async fn quiet(shared: &Shared) {
    loop {
        let changed = shared.changed.notified();
        if shared.readers() == 0 {
            break;
        }
        changed.await;
    }
    for outbox in shared.all_events() {
        outbox.ended().await;
    }
}
