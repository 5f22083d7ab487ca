//! What becomes of a link when another one to the same member takes its place.

use std::sync::Arc;
use std::time::Duration;

use macula_wire::ErrorCode;

use crate::plane::Plane;
use crate::plane::links::Attached;

/// How long a forwarded link is kept at least, so that the peer has moved to the direct one as well.
const KEPT: Duration = Duration::from_secs(2);
/// How long it is kept at most, for calls that run on it.
const MAX_KEPT: Duration = Duration::from_secs(600);
/// How often it is looked whether calls run on it.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Closes `old`, in place of which `new` was admitted.
///
/// A forwarded link that made room for a direct one is still good. So the calls that run on it end there, and nothing new
/// begins; any other link was given up by its dialler.
pub(super) fn retire(plane: &Arc<Plane>, old: Arc<Attached>, new: &Attached) {
    let same_run = old.link.epoch() == new.link.epoch();
    if !same_run || !old.link.is_forwarded() || new.link.is_forwarded() {
        return old.link.close(ErrorCode::OK, "replaced by another link");
    }
    plane.tasks.spawn("retire", async move {
        let idle = async {
            tokio::time::sleep(KEPT).await;
            while old.calls() > 0 {
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(MAX_KEPT, idle) => {}
            _ = old.link.closed() => {}
        }
        old.link.close(ErrorCode::OK, "replaced by a direct link");
    });
}
