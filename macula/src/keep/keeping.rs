//! Keeping events of others, as nodes of the role `store` do.

use std::sync::Arc;

use macula_wire::message::Roles;
use macula_wire::{ErrorCode, Pattern};
use tokio::sync::oneshot;

use crate::event::Delivery;
use crate::plane::Plane;
use crate::queue::{History, SubscribeOptions};
use crate::subscription::Subscription;
use crate::{Error, Node};

/// How many events wait to be kept before the oldest are missed.
const WINDOW: usize = 65_536;
/// How many bytes of them.
const WINDOW_BYTES: usize = 32 << 20;

/// Events that a node keeps for later subscriptions, until this is dropped; what was kept by then stays.
#[derive(Debug)]
pub struct Keeping {
    pattern: Pattern,
    /// Ends the task when it is dropped.
    _running: oneshot::Sender<()>,
}

impl Keeping {
    /// Of which topics.
    #[must_use]
    pub const fn pattern(&self) -> &Pattern {
        &self.pattern
    }
}

impl Node {
    /// Keeps the events of a pattern in memory from here on, so that subscriptions that are made later can begin with
    /// them, also when their publishers have gone: of each publisher and topic as many as `history` says, at most 4,096,
    /// and 64 MiB in all.
    ///
    /// # Errors
    ///
    /// [`DENIED`](ErrorCode::DENIED) if the node's certificate does not have the role `store`, and those of
    /// [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, nothing is kept.
    pub async fn keep(&self, pattern: &str, history: History) -> Result<Keeping, Error> {
        if !self.plane().own.roles.contains(Roles::STORE) {
            let detail =
                "only a node with the role `store` in its certificate keeps events for others";
            return Err(Error::new(ErrorCode::DENIED, detail));
        }
        let options = SubscribeOptions::default()
            .max_events(WINDOW)
            .max_bytes(WINDOW_BYTES);
        let subscription = self.subscribe(pattern, options).await?;
        let pattern = subscription.pattern().clone();
        self.plane().archive.begin_keeping(&pattern);
        let plane = Arc::clone(self.plane());
        let (running, ended) = oneshot::channel();
        let keeping = run(Arc::clone(&plane), subscription, history, ended);
        plane.tasks.spawn("keeping", keeping);
        Ok(Keeping {
            pattern,
            _running: running,
        })
    }
}

async fn run(
    plane: Arc<Plane>,
    mut subscription: Subscription,
    history: History,
    mut ended: oneshot::Receiver<()>,
) {
    let pattern = subscription.pattern().clone();
    loop {
        let delivery = tokio::select! {
            delivery = subscription.next() => delivery,
            _ = &mut ended => break,
        };
        match delivery {
            Some(Delivery::Event(event)) => {
                plane.archive.hold(&event, history, plane.clock.unix_ms());
            }
            Some(_) => {}
            None => break,
        }
    }
    plane.archive.end_keeping(&pattern);
}
