//! What is promised of events that are kept.

use std::sync::Arc;

use macula_wire::{ErrorCode, Sequence};
use tokio::sync::oneshot;

use super::{OwnTopic, Waiting};
use crate::Error;
use crate::plane::Plane;
use crate::plane::reliable::Reserved;
use crate::receipt::{Claim, Qos};

/// What whoever publishes is told later of an event that is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    Nothing,
    Receipt,
}

/// Events that were taken.
#[derive(Debug)]
pub(crate) struct Placed {
    /// Of the first of them.
    pub(crate) sequence: Sequence,
    /// By which their receipts are waited for, where these are wanted.
    pub(crate) claim: Option<Claim>,
}

/// What goes with events that are kept until their receivers have them.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) room: Reserved,
    pub(crate) wanted: Wanted,
    /// Who waits until they are on disk, where they are kept there.
    pub(crate) stored: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Promise {
    /// A promise for events of `qos`, and where it is told that they are on disk.
    pub(crate) fn new(
        plane: &Plane,
        room: Reserved,
        wanted: Wanted,
        qos: Qos,
    ) -> Result<(Self, Option<Stored>), Error> {
        let mut promise = Self {
            room,
            wanted,
            stored: None,
        };
        if qos != Qos::Durable {
            return Ok((promise, None));
        }
        plane.check_event_log()?;
        let (give, take) = oneshot::channel();
        promise.stored = Some(give);
        Ok((promise, Some(take)))
    }
}

/// Where it is told that an event is on disk.
pub(crate) type Stored = oneshot::Receiver<Result<(), Error>>;

/// Waits until an event is on disk.
pub(crate) async fn stored(told: Stored) -> Result<(), Error> {
    told.await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorCode::SHUTTING_DOWN,
            "the node ended before the event was on disk",
        ))
    })
}

impl OwnTopic {
    /// Takes over what was promised for the events that were added last, and gives the right to their receipts.
    pub(super) fn promise(
        self: &Arc<Self>,
        plane: &Plane,
        waiting: &mut Waiting,
        mut promise: Promise,
    ) -> Option<Claim> {
        let (events, bytes) = &mut waiting.owed.reserved;
        if *events == 0 {
            plane.reliable.unordered.insert(self);
        }
        let (more_events, more_bytes) = promise.room.pass_on();
        *events = events.saturating_add(more_events);
        *bytes = bytes.saturating_add(more_bytes);
        waiting.owed.stored.extend(promise.stored);
        if promise.wanted == Wanted::Nothing {
            return None;
        }
        let count = u32::try_from(more_events).unwrap_or(u32::MAX);
        let behind = u32::try_from(waiting.builder.count()).unwrap_or(u32::MAX);
        let slip = waiting.owed.receipts.get_or_insert_default();
        Some(slip.claim(behind.saturating_sub(count), count))
    }
}
