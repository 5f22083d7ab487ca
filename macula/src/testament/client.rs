//! What clients leave behind with their member.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_realm::Action;
use macula_transport::CloseReason;
use macula_wire::message::{Body, Message, Publish, RpcCall};
use macula_wire::{ErrorCode, Frame, Header, Topic, limit};

use super::{MAX_DELAY, MAX_TESTAMENTS, TESTAMENT, TestamentOn, left, publish};
use crate::plane::Plane;
use crate::plane::links::Attached;
use crate::{CallOptions, Client, Error, EventOptions};

/// The largest of them, with what goes with it, in bytes.
const MAX_TESTAMENT_LEN: usize = 64 << 10;

/// An event that is published once the client has gone.
#[derive(Clone, Debug)]
pub(crate) struct Testament {
    publish: Publish,
    on: TestamentOn,
    delay: Duration,
}

impl Client {
    /// Leaves an event behind, which the member publishes under its own id `delay` after this client has gone; at most 16,
    /// of 64 KiB each, and a day. Nothing is published if the client has attached to the same member again by then.
    /// [`Event::testator`](crate::Event::testator) says whose it is. It ends with the member, which keeps it in memory.
    ///
    /// # Errors
    ///
    /// [`INVALID_NAME`](ErrorCode::INVALID_NAME), [`INVALID_ARGUMENT`](ErrorCode::INVALID_ARGUMENT) for options that cannot
    /// be, [`DENIED`](ErrorCode::DENIED) if the client may not publish on the topic,
    /// [`QUOTA_EXCEEDED`](ErrorCode::QUOTA_EXCEEDED) beyond the limits, and those of [`call`](Self::call).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the event may or may not be left behind.
    pub async fn leave_behind(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        options: &EventOptions,
        on: TestamentOn,
        delay: Duration,
    ) -> Result<(), Error> {
        let topic = Topic::in_realm(self.realm(), topic)?;
        let publish = left(topic, payload.into(), options)?;
        let bytes = Message::from(publish).to_bytes().map_err(|error| {
            Error::caused(ErrorCode::INVALID_ARGUMENT, error.to_string(), error)
        })?;
        let header = |key: &str, value: String| Header {
            key: key.into(),
            value: value.into(),
        };
        let mut headers = vec![header("delay-ms", delay.as_millis().to_string())];
        if on == TestamentOn::Ended {
            headers.push(header("on", "ended".into()));
        }
        let call = CallOptions {
            headers,
            ..CallOptions::default()
        };
        self.call(TESTAMENT, bytes, call).await.map(drop)
    }

    /// Takes back all that this client left behind on this link.
    ///
    /// # Errors
    ///
    /// Those of [`call`](Self::call).
    pub async fn revoke_testaments(&self) -> Result<(), Error> {
        let options = CallOptions::default();
        self.call(TESTAMENT, Bytes::new(), options).await.map(drop)
    }
}

/// Takes in what a client leaves behind, or, without anything, takes all of it back.
pub(crate) fn take(plane: &Plane, attached: &Attached, request: &RpcCall) -> Result<(), Error> {
    if request.payload.is_empty() {
        attached.testaments(Vec::clear);
        return Ok(());
    }
    let wrong = |detail: &str| Error::new(ErrorCode::INVALID_ARGUMENT, detail);
    let publish = read(&request.payload).ok_or_else(|| wrong("it is no PUBLISH"))?;
    if request.payload.len() > MAX_TESTAMENT_LEN || publish.headers.len() >= limit::MAX_HEADERS {
        let detail = "a testament has at most 64 KiB and 31 headers";
        return Err(Error::new(ErrorCode::QUOTA_EXCEEDED, detail));
    }
    if publish
        .headers
        .iter()
        .any(|header| header.key.starts_with('$'))
    {
        return Err(wrong("no key of an application's header begins with `$`"));
    }
    if !plane.allows(
        attached.link.peer(),
        Action::Publish,
        publish.topic.as_str(),
    ) {
        let detail = "the rights of this identity do not allow the testament";
        return Err(Error::new(ErrorCode::DENIED, detail));
    }
    let value = |key: &str| {
        let header = request.headers.iter().find(|header| header.key == key)?;
        std::str::from_utf8(&header.value).ok()
    };
    let delay = value("delay-ms").map_or(Some(0), |text| text.parse().ok());
    let delay = Duration::from_millis(delay.ok_or_else(|| wrong("delay-ms is no number"))?);
    if delay > MAX_DELAY {
        return Err(wrong("the delay is over a day"));
    }
    let on = match value("on") {
        None => TestamentOn::Lost,
        Some("ended") => TestamentOn::Ended,
        Some(_) => return Err(wrong("the header `on` is neither missing nor `ended`")),
    };
    attached.testaments(|testaments| {
        if testaments.len() >= MAX_TESTAMENTS {
            let detail = "a client leaves at most 16 events behind";
            return Err(Error::new(ErrorCode::QUOTA_EXCEEDED, detail));
        }
        testaments.push(Testament { publish, on, delay });
        Ok(())
    })
}

/// The PUBLISH that makes up all of `bytes`.
fn read(bytes: &Bytes) -> Option<Publish> {
    let frame = Frame::from_datagram(bytes.clone(), MAX_TESTAMENT_LEN.saturating_mul(2)).ok()?;
    match Message::decode(&frame).ok()?.body {
        Body::Publish(publish) => Some(publish),
        _ => None,
    }
}

/// A client's link has ended: what it left behind is published, unless it comes back.
pub(crate) fn open(plane: &Arc<Plane>, attached: &Attached, reason: &CloseReason) {
    let is_lost = reason.code != ErrorCode::OK || !reason.by_peer;
    let client = attached.link.peer().node;
    let left = attached.testaments(std::mem::take);
    let due = left
        .into_iter()
        .filter(|one| is_lost || one.on == TestamentOn::Ended);
    for testament in due {
        let shared = Arc::clone(plane);
        plane.tasks.spawn("testament", async move {
            tokio::time::sleep(testament.delay).await;
            let mut sessions = shared.links.sessions().into_iter();
            let is_back = sessions.any(|session| {
                // A local client has the identity of the node, as others have that come and go.
                session.link.peer().node == client && !session.link.is_local()
            });
            if is_back && !testament.delay.is_zero() {
                return;
            }
            let topic = testament.publish.topic.clone();
            if let Err(error) = publish(&shared, testament.publish, client).await {
                tracing::warn!(%topic, %error, "a client's testament could not be published");
            }
        });
    }
}
