//! What becomes of a link when another one to the same member takes its place.

use std::sync::Arc;
use std::time::Duration;

use macula_wire::ErrorCode;

use crate::plane::Plane;
use crate::plane::links::Attached;

/// How long events that are on their way to a link, on either side, may take to get there.
const HANDED_OVER: Duration = Duration::from_millis(20);
/// How long events of the former link may take to arrive before those of the new one follow.
const ARRIVED_WITHIN: Duration = Duration::from_secs(2);
/// How long the former link is kept at least, so that the peer has moved to the new one as well.
const KEPT: Duration = Duration::from_secs(2);
/// How long it is kept at most, for calls that run on it.
const MAX_KEPT: Duration = Duration::from_secs(600);
/// How often it is looked whether calls run on it.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Closes `old`, in place of which `new` was admitted.
///
/// A forwarded link that made room for a direct one is still good, and a direct one that made room for a forwarded one may
/// become so again; so is one that crossed the other, because both sides dialled. So its events arrive before those of the
/// other, which are held until then, and the calls that run on it end there. Any other link was given up by its dialler.
pub(super) fn retire(plane: &Arc<Plane>, old: Arc<Attached>, new: Arc<Attached>) {
    if !new.relieves(&old) {
        return old.link.close(ErrorCode::OK, "replaced by another link");
    }
    plane.tasks.spawn("retire", async move {
        let moved = async {
            tokio::time::sleep(HANDED_OVER).await;
            drop(tokio::time::timeout(ARRIVED_WITHIN, old.link.finish_events()).await);
            tokio::time::sleep(HANDED_OVER).await;
            new.release();
            idle(&old).await;
        };
        tokio::select! {
            _ = tokio::time::timeout(MAX_KEPT, moved) => {}
            _ = old.link.closed() => {}
        }
        new.release();
        old.link.close(ErrorCode::OK, "replaced by another link");
    });
}

/// Closes a link that crossed the one that is kept. The peer may have used it until it saw the other one come up.
pub(super) fn see_out(plane: &Arc<Plane>, surplus: Arc<Attached>) {
    plane.tasks.spawn("see out", async move {
        tokio::select! {
            _ = tokio::time::timeout(MAX_KEPT, idle(&surplus)) => {}
            _ = surplus.link.closed() => {}
        }
        let detail = "another link to this node is up";
        surplus.link.close(ErrorCode::OK, detail);
    });
}

/// Returns when a former link has had its time and no calls run on it.
async fn idle(former: &Attached) {
    tokio::time::sleep(KEPT).await;
    while former.calls() > 0 {
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}
