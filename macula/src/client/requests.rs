//! Requests on the control stream, and their answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use macula_rpc::RegistrationKey;
use macula_transport::{CloseReason, OutFrame};
use macula_wire::message::{Body, ErrorReport, Message};
use macula_wire::{ErrorCode, RequestId};
use tokio::sync::oneshot;

use super::lost;
use crate::Error;
use crate::plane::links::Attached;

/// How long a member may take to answer a request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

type Waiting = oneshot::Sender<Result<(), Error>>;

/// Requests that wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<RequestId, Waiting>>,
    /// What was registered by which request, for the member to tell when it ends.
    registered: Mutex<BTreeMap<RequestId, RegistrationKey>>,
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RequestId, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes by which request something is registered.
    pub(crate) fn registers(&self, request: RequestId, key: RegistrationKey) {
        self.registered(|known| known.insert(request, key));
    }

    /// What was registered by a request that is answered a second time.
    pub(crate) fn ended(&self, request: RequestId) -> Option<RegistrationKey> {
        self.registered(|known| known.remove(&request))
    }

    /// A registration is no more.
    pub(crate) fn unregisters(&self, key: RegistrationKey) {
        self.registered(|known| known.retain(|_, other| *other != key));
    }

    fn registered<T>(
        &self,
        with: impl FnOnce(&mut BTreeMap<RequestId, RegistrationKey>) -> T,
    ) -> T {
        let known = self.registered.lock();
        with(&mut known.unwrap_or_else(PoisonError::into_inner))
    }

    fn number(&self) -> RequestId {
        RequestId::new(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn push(attached: &Attached, body: Body) -> Result<(), Error> {
        let frame = OutFrame::message(&Message::from(body)).map_err(|error| {
            Error::caused(ErrorCode::INVALID_ARGUMENT, error.to_string(), error)
        })?;
        attached.link.control().try_push(frame).map_err(|error| {
            match attached.link.close_reason() {
                Some(reason) => lost(&reason),
                None => Error::caused(ErrorCode::OVERLOADED, error.to_string(), error),
            }
        })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(
        &self,
        attached: &Attached,
        body: impl FnOnce(RequestId) -> Body,
    ) -> Result<(), Error> {
        let request = self.number();
        let (give, take) = oneshot::channel();
        self.lock().insert(request, give);
        let asked = Self::push(attached, body(request));
        let answered = match asked {
            Ok(()) => tokio::time::timeout(ANSWER_TIMEOUT, take).await,
            Err(error) => Ok(Ok(Err(error))),
        };
        self.lock().remove(&request);
        match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::new(
                ErrorCode::UNREACHABLE,
                "the link to the node is closed",
            )),
            Err(_) => Err(Error::new(
                ErrorCode::DEADLINE_EXCEEDED,
                "the node did not answer within 5 s: check that it is not overloaded",
            )),
        }
    }

    /// Sends a request whose answer nobody needs.
    pub(crate) fn send_only(&self, attached: &Attached, body: impl FnOnce(RequestId) -> Body) {
        if let Err(error) = Self::push(attached, body(self.number())) {
            tracing::debug!(%error, "the member forgets it with the link");
        }
    }

    /// Waits until everything sent before was carried out: requests are answered in order, so one that has to be
    /// refused is answered after them.
    pub(crate) async fn settled(&self, attached: &Attached) -> Result<(), Error> {
        let unknown = macula_wire::SubscriptionId::new(u64::MAX);
        let asked = self.ask(attached, |request| {
            macula_wire::message::Unsubscribe {
                request,
                subscription: unknown,
            }
            .into()
        });
        match asked.await {
            Err(error) if error.code() == ErrorCode::UNREACHABLE => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes in an answer. `false` if it answers nothing that waits.
    pub(crate) fn answer(&self, request: RequestId, result: Result<(), ErrorReport>) -> bool {
        let Some(waiting) = self.lock().remove(&request) else {
            return false;
        };
        let result = result.map_err(|report| Error::new(report.code, report.detail));
        waiting.send(result).is_ok()
    }

    /// Fails everything that waits: the link is lost.
    pub(crate) fn fail(&self, reason: &CloseReason) {
        let waiting = std::mem::take(&mut *self.lock());
        for (_, waiting) in waiting {
            drop(waiting.send(Err(lost(reason))));
        }
    }
}
