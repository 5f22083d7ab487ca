//! Membership alone: nodes that run the machine of macula-swim, linked along a random regular graph.

pub(crate) mod kill;
pub(crate) mod loss;
mod realm;
pub(crate) mod restart;
pub(crate) mod slow;
pub(crate) mod split;
mod start;
mod watch;

use std::time::Duration;

use realm::{Mesh, Realm};

pub(crate) use slow::DEFAULT_CELLS;

/// A run of membership.
type Run<'a> = crate::run::Run<'a, Realm>;

/// How often it is asked whether something has happened.
const STEP: Duration = Duration::from_millis(100);

/// Whether all running nodes have the same view, in which exactly they are alive.
fn views_are_equal(net: &Mesh) -> bool {
    let running = net.running().count();
    let mut digests = net.running().filter_map(|node| {
        let swim = net.machine(node)?;
        Some((swim.digest(), swim.counts().alive == running))
    });
    let Some((first, complete)) = digests.next() else {
        return true;
    };
    complete && digests.all(|(digest, complete)| complete && digest == first)
}
