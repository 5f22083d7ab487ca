//! What is promised of an event that is kept.

use macula_wire::ErrorCode;
use tokio::sync::oneshot;

use crate::Error;
use crate::plane::Plane;
use crate::plane::reliable::Reserved;
use crate::receipt::{Outcomes, Qos};

/// What goes with an event that is kept until its receivers have it.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) room: Reserved,
    /// Who waits to hear what becomes of it.
    pub(crate) receipt: Option<oneshot::Sender<Outcomes>>,
    /// Who waits until it is on disk, where it is kept there.
    pub(crate) stored: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Promise {
    /// A promise for an event of `qos`, and where it is told that the event is on disk.
    pub(crate) fn new(
        plane: &Plane,
        room: Reserved,
        receipt: Option<oneshot::Sender<Outcomes>>,
        qos: Qos,
    ) -> Result<(Self, Option<Stored>), Error> {
        let mut promise = Self {
            room,
            receipt,
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
