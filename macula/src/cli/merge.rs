//! Several subscriptions as one.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use macula::{Delivery, Subscription};

type Next = Pin<Box<dyn Future<Output = (Subscription, Option<Delivery>)> + Send>>;

/// Subscriptions whose deliveries come one after the other, each in its turn.
pub(crate) struct Merged {
    waiting: Vec<Next>,
    turn: usize,
}

impl Merged {
    /// The deliveries of all of them.
    pub(crate) fn new(subscriptions: Vec<Subscription>) -> Self {
        Self {
            waiting: subscriptions.into_iter().map(next_of).collect(),
            turn: 0,
        }
    }

    /// The next delivery; nothing once one of them has ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        poll_fn(|context| {
            let count = self.waiting.len();
            for step in 0..count {
                let at = self.turn.wrapping_add(step).checked_rem(count).unwrap_or(0);
                let Some(next) = self.waiting.get_mut(at) else {
                    continue;
                };
                if let Poll::Ready((subscription, delivery)) = next.as_mut().poll(context) {
                    *next = next_of(subscription);
                    self.turn = at.wrapping_add(1);
                    return Poll::Ready(delivery);
                }
            }
            Poll::Pending
        })
        .await
    }
}

fn next_of(mut subscription: Subscription) -> Next {
    Box::pin(async move {
        let delivery = subscription.next().await;
        (subscription, delivery)
    })
}
