//! What a client has its member publish, and what the member says of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use macula_transport::OutFrame;
use macula_wire::message::{Body, Message, Priority, Publish};
use macula_wire::{ErrorCode, RequestId};
use tokio::sync::oneshot;

use super::Plane;
use crate::Error;
use crate::receipt::{Outcomes, Slip};

/// Numbers of requests begin here, so that they differ from those on the control stream.
const FIRST: u64 = 1 << 40;

/// Events that a member was asked to publish and has not said everything of.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<RequestId, Waits>>,
}

#[derive(Debug)]
struct Waits {
    kept: Option<oneshot::Sender<Result<(), Error>>>,
    receipt: Option<Slip>,
}

impl Plane {
    /// Has the member publish an event, and waits until it is kept there.
    pub(crate) async fn ask_to_publish(
        self: &Arc<Self>,
        mut publish: Publish,
        priority: Priority,
        receipt: Option<Slip>,
    ) -> Result<(), Error> {
        let Some(uplink) = &self.uplink else {
            return Err(Error::new(
                ErrorCode::INTERNAL,
                "a node asks nobody to publish",
            ));
        };
        let number = self.asked.next.fetch_add(1, Ordering::Relaxed);
        let request = RequestId::new(FIRST.saturating_add(number));
        publish.request = Some(request);
        let frame = OutFrame::message(&Message::from(publish)).map_err(|error| {
            Error::caused(ErrorCode::INVALID_ARGUMENT, error.to_string(), error)
        })?;
        let (kept, answer) = oneshot::channel();
        let kept = Some(kept);
        self.asked
            .with(|waiting| waiting.insert(request, Waits { kept, receipt }));
        let gone = || Error::new(ErrorCode::UNREACHABLE, "the link to the node is closed");
        if uplink.link.events(priority).push(frame).await.is_err() {
            self.asked.with(|waiting| waiting.remove(&request));
            return Err(gone());
        }
        answer.await.map_err(|_| gone())?
    }

    /// Takes in what the member says. `false` if it is about something else.
    pub(crate) fn publish_answered(&self, body: &Body) -> bool {
        match body {
            Body::Ack(ack) => {
                let kept = self.asked.with(|waiting| {
                    let waits = waiting.get_mut(&ack.request);
                    waits.map(|waits| waits.kept.take())
                });
                let is_ours = kept.is_some();
                if let Some(kept) = kept.flatten() {
                    // Whoever published may not wait any more.
                    kept.send(Ok(())).ok();
                }
                is_ours
            }
            Body::Receipt(receipt) => {
                let waits = self.asked.with(|waiting| waiting.remove(&receipt.request));
                let outcomes = Outcomes {
                    matched: receipt.matched,
                    acked: receipt.acked,
                    expired: receipt.expired,
                    dropped: receipt.dropped,
                };
                if let Some(slip) = waits.and_then(|waits| waits.receipt) {
                    slip.put_down(0, 0, outcomes);
                }
                true
            }
            Body::Error(report) => {
                let Some(request) = report.request else {
                    return false;
                };
                let waits = self.asked.with(|waiting| waiting.remove(&request));
                let is_ours = waits.is_some();
                if let Some(kept) = waits.and_then(|waits| waits.kept) {
                    let error = Error::new(report.code, report.detail.clone());
                    kept.send(Err(error)).ok();
                }
                is_ours
            }
            _ => false,
        }
    }

    /// The link to the member is closed: nothing more is heard of what was asked.
    pub(crate) fn forget_asked(&self) {
        self.asked.with(BTreeMap::clear);
    }
}

impl Asked {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<RequestId, Waits>) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
