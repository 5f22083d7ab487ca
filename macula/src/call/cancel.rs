//! Taking calls back while they run.

use std::sync::{Arc, Mutex, PoisonError};

use macula_wire::message::CancelMode;
use tokio::sync::Notify;

/// Takes calls back while they run. Clones take back the same calls.
///
/// A call that was given it by [`CallOptions::canceller`](crate::CallOptions::canceller) ends with
/// [`CANCELED`](macula_wire::ErrorCode::CANCELED):
///
/// - [`CancelMode::KillNoWait`]: at once, and the callee is told to stop;
/// - [`CancelMode::Kill`]: when the callee has stopped, or with its answer if that came first;
/// - [`CancelMode::Skip`]: at once, and the callee runs to its end, which nobody hears of.
#[derive(Clone, Debug, Default)]
pub struct Canceller(Arc<State>);

/// How the calls are taken back. Each call that is served has one, so it is small.
#[derive(Debug, Default)]
struct State {
    mode: Mutex<Option<CancelMode>>,
    changed: Notify,
}

impl Canceller {
    /// Nothing is taken back yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes back the calls that have it, and those that get it later. A second time counts where the first one waits for
    /// the callee.
    pub fn cancel(&self, mode: CancelMode) {
        *self.0.mode.lock().unwrap_or_else(PoisonError::into_inner) = Some(mode);
        self.0.changed.notify_waiters();
    }

    pub(crate) fn listen(&self) -> Cancelled {
        Cancelled {
            state: Some(Arc::clone(&self.0)),
            told: None,
        }
    }
}

impl State {
    /// Waits for a way of taking back that is wanted. Cancel safe.
    async fn is(&self, wanted: impl Fn(CancelMode) -> bool) -> CancelMode {
        loop {
            // Made before the look, it hears of what comes after it.
            let changed = self.changed.notified();
            let mode = *self.mode.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(mode) = mode.filter(|mode| wanted(*mode)) {
                return mode;
            }
            changed.await;
        }
    }
}

/// Hears of it when a call is taken back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancelled {
    state: Option<Arc<State>>,
    told: Option<CancelMode>,
}

impl Cancelled {
    /// Whether nobody can take the call back by a word.
    pub(crate) const fn is_never(&self) -> bool {
        self.state.is_none()
    }

    /// How the call is taken back, once it is; each change once. Cancel safe.
    pub(crate) async fn next(&mut self) -> CancelMode {
        let Some(state) = &self.state else {
            return std::future::pending().await;
        };
        let told = self.told;
        let mode = state.is(|mode| Some(mode) != told).await;
        self.told = Some(mode);
        mode
    }

    /// Returns once the callee is to stop, and the caller waits for that. Cancel safe.
    pub(crate) async fn killed(&self) {
        match &self.state {
            Some(state) => drop(state.is(|mode| mode == CancelMode::Kill).await),
            None => std::future::pending().await,
        }
    }
}
