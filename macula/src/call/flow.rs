//! What travels beside a call while it runs: parts of its arguments, and parts of its result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use macula_wire::message::CallMode;
use tokio::sync::{Mutex, mpsc};

use super::parts::{Giver, Taker, queue};
use super::{NodeReply, Reply};

/// The parts of one call. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow(Option<Arc<Streams>>);

#[derive(Debug)]
struct Streams {
    /// Parts of the arguments that are still to come.
    parts: Option<Mutex<Taker>>,
    /// Takes parts of the result.
    progress: Option<Giver>,
    /// Takes the answers of many.
    replies: Option<mpsc::Sender<NodeReply>>,
    /// Whether a part has gone either way, so that the call has to stay where it is.
    is_pinned: AtomicBool,
}

/// The other ends of a flow.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// Gives parts of the arguments; dropping it ends them.
    pub(crate) parts: Option<Giver>,
    /// Hears of parts of the result.
    pub(crate) progress: Option<Taker>,
}

impl Flow {
    /// The parts that go with calls of this mode, and their other ends.
    pub(crate) fn of(mode: CallMode) -> (Self, Ends) {
        if matches!(mode, CallMode::Plain | CallMode::Cast) {
            return (Self::default(), Ends::default());
        }
        let (give, take) = queue();
        let (parts, rest) = queue();
        let is_stream = mode == CallMode::Stream;
        let flow = Self(Some(Arc::new(Streams {
            parts: is_stream.then(|| Mutex::new(rest)),
            progress: Some(give),
            replies: None,
            is_pinned: AtomicBool::new(false),
        })));
        let ends = Ends {
            parts: is_stream.then_some(parts),
            progress: Some(take),
        };
        (flow, ends)
    }

    /// The answers of many.
    pub(crate) fn of_many(replies: mpsc::Sender<NodeReply>) -> Self {
        Self(Some(Arc::new(Streams {
            parts: None,
            progress: None,
            replies: Some(replies),
            is_pinned: AtomicBool::new(false),
        })))
    }

    /// Whether nothing travels beside the call.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the call has to stay where it is.
    pub(crate) fn is_pinned(&self) -> bool {
        let streams = self.0.as_ref();
        streams.is_some_and(|streams| streams.is_pinned.load(Ordering::Relaxed))
    }

    /// Whether somebody takes parts of the result.
    pub(crate) fn takes_progress(&self) -> bool {
        let streams = self.0.as_ref();
        streams.is_some_and(|streams| streams.progress.is_some())
    }

    /// Whether there are parts of the arguments.
    pub(crate) fn has_parts(&self) -> bool {
        let streams = self.0.as_ref();
        streams.is_some_and(|streams| streams.parts.is_some())
    }

    /// The next part of the arguments; `None` after the last, and where there are none. Cancel safe.
    pub(crate) async fn next_part(&self) -> Option<Reply> {
        let streams = self.0.as_ref()?;
        let mut parts = streams.parts.as_ref()?.lock().await;
        let part = parts.recv().await;
        self.pin();
        part
    }

    /// The next parts of the arguments that are there, once there is one; none after the last, and where there are none.
    /// Cancel safe.
    pub(crate) async fn next_parts(&self) -> Vec<Reply> {
        let Some(parts) = self.0.as_ref().and_then(|streams| streams.parts.as_ref()) else {
            return Vec::new();
        };
        let taken = parts.lock().await.recv_all().await;
        self.pin();
        taken
    }

    fn pin(&self) {
        if let Some(streams) = &self.0 {
            streams.is_pinned.store(true, Ordering::Relaxed);
        }
    }

    /// Hands a part of the result on, waiting for room. `false` if the caller is gone; where nobody takes parts it is
    /// dropped.
    pub(crate) async fn progress(&self, part: Reply) -> bool {
        let Some(streams) = self.0.as_ref() else {
            return true;
        };
        let Some(progress) = &streams.progress else {
            return true;
        };
        self.pin();
        progress.send(part).await
    }

    /// Hands an answer of one of many on, waiting for room.
    pub(crate) async fn reply(&self, reply: NodeReply) {
        let streams = self.0.as_ref();
        if let Some(replies) = streams.and_then(|streams| streams.replies.as_ref()) {
            // Whoever asked may have heard enough.
            drop(replies.send(reply).await);
        }
    }
}
