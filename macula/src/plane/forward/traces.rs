//! Traces of this node that wait for their answers.

use std::collections::BTreeMap;
use std::sync::Mutex;

use macula_wire::RequestId;
use macula_wire::message::Traced;
use tokio::sync::oneshot;

use super::lock;

/// How many traces may wait.
const MAX_TRACES: usize = 256;

/// Who waits for which answer.
#[derive(Debug, Default)]
pub(super) struct Traces(Mutex<BTreeMap<RequestId, oneshot::Sender<Traced>>>);

/// A trace that waits; dropping it ends that.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    traces: &'a Traces,
    request: RequestId,
    pub(super) answer: oneshot::Receiver<Traced>,
}

impl Traces {
    /// Waits for the answer to `request`; `None` if too many wait.
    pub(super) fn begin(&self, request: RequestId) -> Option<Waiting<'_>> {
        let (give, answer) = oneshot::channel();
        let mut waiting = lock(&self.0);
        if waiting.len() >= MAX_TRACES {
            return None;
        }
        waiting.insert(request, give);
        Some(Waiting {
            traces: self,
            request,
            answer,
        })
    }

    /// Hands an answer to who waits for it. Nobody does after its time.
    pub(super) fn answer(&self, traced: Traced) {
        let waiting = lock(&self.0).remove(&traced.request);
        if let Some(give) = waiting {
            drop(give.send(traced));
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.traces.0).remove(&self.request);
    }
}
