//! What applications say of events that are kept until they have them.

use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::{Destination, LocalId, Outcome, ReplayInput};
use macula_wire::DeliveryId;
use tokio::time::Instant;

use super::inbox::{Inbox, Progress};

/// How a subscription says that it is done with an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AckMode {
    /// By taking it.
    Auto,
    /// By its application's word.
    Manual {
        /// After which time without a word it gets the event again.
        redeliver_after: Duration,
        /// How often it gets an event at most; 0 for as often as it takes.
        max_deliver: u32,
    },
}

/// The right and the duty to say what becomes of some events of one subscription.
#[derive(Debug)]
pub(crate) struct Credit {
    inbox: Arc<Inbox>,
    to: LocalId,
    next: u64,
    left: u64,
    expires: Option<Instant>,
    mode: AckMode,
    attempt: u32,
    /// How far the application has come, once it has begun with several.
    progress: Option<Arc<Progress>>,
}

impl Credit {
    pub(super) const fn new(
        inbox: Arc<Inbox>,
        to: LocalId,
        (first, count): (DeliveryId, u32),
        expires: Option<Instant>,
        mode: AckMode,
        attempt: u32,
    ) -> Self {
        Self {
            inbox,
            to,
            next: first.get(),
            left: count as u64,
            expires,
            mode,
            attempt,
            progress: None,
        }
    }

    /// For how many events it is.
    pub(crate) const fn left(&self) -> u64 {
        self.left
    }

    /// The application is handed the next event. Where it says itself what becomes of it, it does so by the token.
    pub(crate) fn hand_over(&mut self) -> Option<Box<Token>> {
        self.left = self.left.checked_sub(1)?;
        let id = DeliveryId::new(self.next);
        self.next = self.next.saturating_add(1);
        let to = Destination::Local(self.to);
        match self.mode {
            AckMode::Auto => {
                self.go_on(id);
                // What is said by it comes too late; it tells that the event may have been handed over before.
                (self.attempt > 0).then(|| self.token(id, 0))
            }
            AckMode::Manual {
                redeliver_after: delay,
                max_deliver,
            } => {
                self.inbox.say(ReplayInput::Retry {
                    to,
                    id,
                    delay,
                    max_deliver,
                });
                Some(self.token(id, max_deliver))
            }
        }
    }

    /// The application has the event `id`, and those before it.
    #[inline]
    fn go_on(&mut self, id: DeliveryId) {
        if self.progress.is_none() && self.left == 0 {
            let to = Destination::Local(self.to);
            return self.inbox.say(settled(to, id, id, Outcome::Acked));
        }
        let handed = self.next;
        if self.progress.is_none() {
            self.begin(id);
        }
        if let Some(progress) = &self.progress {
            self.inbox
                .step(progress, handed.saturating_sub(progress.first()));
        }
    }

    #[cold]
    fn begin(&mut self, first: DeliveryId) {
        let to = Destination::Local(self.to);
        let count = self.left.saturating_add(1);
        let progress = Arc::new(Progress::new(to, first.get(), count));
        self.inbox.begin(&progress);
        self.progress = Some(progress);
    }

    fn token(&self, id: DeliveryId, max_deliver: u32) -> Box<Token> {
        Box::new(Token {
            inbox: Arc::clone(&self.inbox),
            to: Destination::Local(self.to),
            id,
            max_deliver,
            attempt: self.attempt,
        })
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        if self.left > 0 {
            if let Some(progress) = &self.progress {
                self.inbox.end(progress);
            }
            let first = DeliveryId::new(self.next);
            let last = DeliveryId::new(self.next.saturating_add(self.left).saturating_sub(1));
            let to = Destination::Local(self.to);
            let is_over = self.expires.is_some_and(|at| at <= Instant::now());
            let outcome = if is_over {
                Outcome::Expired
            } else {
                Outcome::Gone
            };
            self.inbox.say(settled(to, first, last, outcome));
        }
    }
}

/// By which an application says what becomes of one event. What is said first counts; a token that says nothing leaves
/// the event to be handed over again.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    inbox: Arc<Inbox>,
    to: Destination,
    id: DeliveryId,
    max_deliver: u32,
    attempt: u32,
}

impl Token {
    pub(crate) const fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn ack(&self) {
        let (to, id) = (self.to, self.id);
        self.inbox.say(settled(to, id, id, Outcome::Acked));
    }

    pub(crate) fn reject(&self) {
        let (to, id) = (self.to, self.id);
        self.inbox.say(settled(to, id, id, Outcome::Rejected));
    }

    pub(crate) fn retry(&self, delay: Duration) {
        self.inbox.say(ReplayInput::Retry {
            to: self.to,
            id: self.id,
            delay,
            max_deliver: self.max_deliver,
        });
    }
}

const fn settled(
    to: Destination,
    first: DeliveryId,
    last: DeliveryId,
    outcome: Outcome,
) -> ReplayInput {
    ReplayInput::Settled {
        to,
        first,
        last,
        outcome,
    }
}
