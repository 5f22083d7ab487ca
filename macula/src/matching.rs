//! Whether anybody wants what is published.

use std::sync::Arc;

use crate::plane::Plane;
use crate::plane::topic::OwnTopic;

/// Whether anybody matches the topic of a [`Publisher`](crate::Publisher), as it changes.
///
/// Somebody does while an application of this node, a client of it, or another member that this node knows of has a
/// subscription that matches. A client knows of its own member only, which takes everything: there somebody always does.
#[derive(Debug)]
pub struct Matching {
    plane: Arc<Plane>,
    topic: Arc<OwnTopic>,
    told: Option<bool>,
}

impl Matching {
    pub(crate) const fn new(plane: Arc<Plane>, topic: Arc<OwnTopic>) -> Self {
        Self {
            plane,
            topic,
            told: None,
        }
    }

    /// Whether anybody matches now.
    #[must_use]
    pub fn is_matched(&self) -> bool {
        self.topic.is_wanted(&self.plane)
    }

    /// Waits until that is otherwise than it was told last, and tells it; the first time at once. What changes back
    /// before it was told is not told.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped before it returns, nothing was told.
    pub async fn changed(&mut self) -> bool {
        loop {
            let plane = Arc::clone(&self.plane);
            let change = plane.tables_change();
            tokio::pin!(change);
            change.as_mut().enable();
            let is_matched = self.is_matched();
            if self.told.replace(is_matched) != Some(is_matched) {
                return is_matched;
            }
            change.await;
        }
    }
}
