//! The plane of a node, and the log of events that it goes on with.

use std::sync::Arc;

use macula_transport::{Clock, entropy};
use macula_wire::{ChannelRun, Epoch, ErrorCode};

use super::Plan;
use crate::Error;
use crate::log::{EventLog, KeptRecord, Writing};
use crate::node::meta::MetaNews;
use crate::node::trace::NAME_TAG;
use crate::plane::prove::Prover;
use crate::plane::{Owner, Plane};

/// The plane, which goes on with what an earlier run of the node still owes.
pub(super) async fn plane_with_log(
    plan: &Plan,
    epoch: Epoch,
    clock: Clock,
) -> Result<Arc<Plane>, Error> {
    let found = open_event_log(plan, epoch).await?;
    let plane = Arc::new(plane(plan, epoch, clock, found.as_ref())?);
    if let Some(found) = found {
        let writing = Arc::clone(&found.log).run(found.writing);
        plane.tasks.spawn("event log", writing);
        plane.take_up(found.kept, found.next);
    }
    Ok(plane)
}

/// The event log of a node as it was found.
struct FoundLog {
    log: Arc<EventLog>,
    writing: Writing,
    kept: Vec<KeptRecord>,
    run: ChannelRun,
    next: u64,
}

/// Opens the log of events, if the node has one.
async fn open_event_log(plan: &Plan, epoch: Epoch) -> Result<Option<FoundLog>, Error> {
    let Some(folder) = plan.event_log.clone() else {
        return Ok(None);
    };
    let name = folder.display().to_string();
    let opened = tokio::task::spawn_blocking(move || crate::log::recover(&folder, epoch.get()));
    let found = opened.await.map_err(|error| {
        Error::caused(ErrorCode::INTERNAL, "reading the event log panicked", error)
    })?;
    let found = found.map_err(|error| {
        let detail = format!("the event log in {name} cannot be opened: {error}");
        Error::caused(ErrorCode::UNAVAILABLE, detail, error)
    })?;
    if found.torn > 0 || found.damaged > 0 {
        tracing::warn!(
            torn = found.torn,
            damaged = found.damaged,
            set_aside = ?found.set_aside,
            "the event log was damaged: what could be read is sent, the rest was set aside"
        );
    }
    let run = ChannelRun::new(found.run);
    let (log, writing) = EventLog::new(found.writer);
    Ok(Some(FoundLog {
        log,
        writing,
        kept: found.kept,
        run,
        next: found.next,
    }))
}

fn plane(
    plan: &Plan,
    epoch: Epoch,
    clock: Clock,
    found: Option<&FoundLog>,
) -> Result<Plane, Error> {
    let own = plan.identity.certificate().principal();
    let realm = plan.trust.realm().clone();
    let prover = Prover::new(realm.clone(), Some(Arc::new(plan.trust.clone())), None);
    let random =
        entropy().map_err(|error| Error::caused(ErrorCode::INTERNAL, error.to_string(), error))?;
    let own = Owner {
        principal: own,
        realm,
        epoch,
        max_payload_len: plan.max_payload_len,
        replay: plan.replay.clone(),
        run: found.map_or_else(|| ChannelRun::new(epoch.get()), |found| found.run),
        log: found.map(|found| Arc::clone(&found.log)),
        uplink: None,
    };
    let plane = Plane::new(own, clock, prover, random);
    for tag in plan.tags.iter().filter(|tag| tag.key == NAME_TAG) {
        plane.services.call(&tag.value);
    }
    let fresh = plane.meta.set(MetaNews::new(&plane)?).is_ok();
    debug_assert!(fresh, "a plane has one node");
    Ok(plane)
}
