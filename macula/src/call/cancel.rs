//! Taking calls back while they run.

use macula_wire::message::CancelMode;
use tokio::sync::watch;

/// Takes calls back while they run. Clones take back the same calls.
///
/// A call that was given it by [`CallOptions::canceller`](crate::CallOptions::canceller) ends with
/// [`CANCELED`](macula_wire::ErrorCode::CANCELED):
///
/// - [`CancelMode::KillNoWait`]: at once, and the callee is told to stop;
/// - [`CancelMode::Kill`]: when the callee has stopped, or with its answer if that came first;
/// - [`CancelMode::Skip`]: at once, and the callee runs to its end, which nobody hears of.
#[derive(Clone, Debug, Default)]
pub struct Canceller(watch::Sender<Option<CancelMode>>);

impl Canceller {
    /// Nothing is taken back yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes back the calls that have it, and those that get it later. A second time counts where the first one waits for
    /// the callee.
    pub fn cancel(&self, mode: CancelMode) {
        self.0.send_replace(Some(mode));
    }

    pub(crate) fn listen(&self) -> Cancelled {
        Cancelled {
            receiver: Some(self.0.subscribe()),
            told: None,
        }
    }
}

/// Hears of it when a call is taken back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancelled {
    receiver: Option<watch::Receiver<Option<CancelMode>>>,
    told: Option<CancelMode>,
}

impl Cancelled {
    /// Whether nobody can take the call back by a word.
    pub(crate) const fn is_never(&self) -> bool {
        self.receiver.is_none()
    }

    /// How the call is taken back, once it is; each change once. Cancel safe.
    pub(crate) async fn next(&mut self) -> CancelMode {
        if let Some(receiver) = &mut self.receiver {
            let told = self.told;
            let fresh = |mode: &Option<CancelMode>| mode.is_some() && *mode != told;
            let mode = receiver.wait_for(fresh).await.ok().and_then(|mode| *mode);
            if let Some(mode) = mode {
                self.told = Some(mode);
                return mode;
            }
        }
        std::future::pending().await
    }

    /// Returns once the callee is to stop, and the caller waits for that. Cancel safe.
    pub(crate) async fn killed(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            let killed = |mode: &Option<CancelMode>| *mode == Some(CancelMode::Kill);
            if receiver.wait_for(killed).await.is_ok() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}
