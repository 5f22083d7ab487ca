//! Watching for those who want what a client publishes.

use std::sync::Arc;

use macula_pubsub::Source;
use macula_wire::Topic;

use super::{Announced, Ingress};
use crate::plane::watches::Use;

impl Ingress {
    /// Watches for those who want what a client publishes, the first time or after a long pause. The client's stream waits
    /// for it, so that its first event reaches those who are there; others do not.
    pub(super) async fn watch_for(&self, topic: &Topic) -> Option<Arc<Use>> {
        let is_clients = matches!(self.source, Source::Session(_)) && !self.is_local();
        if !is_clients || !self.may_publish(topic) {
            return None;
        }
        match self.plane.watch_topic(topic).await {
            Ok(used) => used,
            Err(error) => {
                tracing::debug!(%topic, %error, "nobody is looked for who wants what a client publishes");
                None
            }
        }
    }

    /// Events of a topic have come. What was not published on for long is not watched any more, and is again.
    pub(super) async fn keep_watching(&self, announced: &Announced) {
        let now = self.plane.clock.now();
        if !announced.used.as_ref().is_some_and(|used| used.touch(now)) {
            self.watch_for(&announced.origin.topic).await;
        }
    }
}
