//! Watching on behalf of the data plane: what is published on or called, as long as it is.

use std::sync::Arc;
use std::time::Duration;

use macula_pubsub::DeclareError;
use macula_realm::{Action, Authority, Principal, Verdict};
use macula_rpc::WatchError;
use macula_wire::Instant;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::control::Control;
use crate::Error;
use crate::machine::NodeMachine;
use crate::plane::Plane;
use crate::plane::watches::{IDLE, Name, WatchRequest};

/// How many requests may wait.
pub(crate) const MAX_REQUESTS: usize = 1_024;
/// How often it is looked for what nobody uses any more.
const LOOK_PERIOD: Duration = Duration::from_secs(30);

/// What is watched was asked for by somebody whose rights were checked before.
#[derive(Debug)]
struct Checked;

impl Authority for Checked {
    fn check(&self, _: &Principal, _: Action, _: &str) -> Verdict {
        Verdict::Allow
    }
}

/// Why a name is not watched.
enum Refused {
    Full(Error),
    Other(Error),
}

/// Carries requests out, one by one, and ends what nobody uses.
pub(crate) async fn run(
    plane: Arc<Plane>,
    control: Control,
    mut requests: mpsc::Receiver<WatchRequest>,
) {
    let mut ticks = tokio::time::interval(LOOK_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(WatchRequest { name, done }) = requests.recv() => {
                let result = begin(&plane, &control, name).await;
                // Whoever asked may have gone.
                drop(done.send(result));
            }
            _ = ticks.tick() => {
                for name in plane.watches.take_idle(plane.clock.now(), IDLE) {
                    end(&plane, &control, name).await;
                }
            }
            else => return,
        }
    }
}

async fn begin(plane: &Arc<Plane>, control: &Control, name: Name) -> Result<(), Error> {
    if plane.watches.is_watched(&name) {
        return Ok(());
    }
    let refused = match watch(plane, control, name.clone()).await {
        Err(Refused::Full(error)) => match plane.watches.take_oldest(&name) {
            Some(oldest) => {
                end(plane, control, oldest).await;
                watch(plane, control, name.clone()).await
            }
            None => Err(Refused::Full(error)),
        },
        other => other,
    };
    match refused {
        Ok(()) => {
            plane.watches.begun(plane.clock.now(), name);
            Ok(())
        }
        Err(Refused::Full(error) | Refused::Other(error)) => Err(error),
    }
}

async fn watch(plane: &Plane, control: &Control, name: Name) -> Result<(), Refused> {
    let who = plane.own.clone();
    let begun = control.run(move |machine, now| declare(machine, now, &who, &name));
    begun
        .await
        .unwrap_or_else(|error| Err(Refused::Other(error)))
}

fn declare(
    machine: &mut NodeMachine,
    now: Instant,
    who: &Principal,
    name: &Name,
) -> Result<(), Refused> {
    match name {
        Name::Topic(topic) => {
            let declared = machine.pubsub_mut().declare(now, &Checked, who, topic);
            declared.map_err(|error| {
                let full = matches!(error, DeclareError::TooManyTopics { .. });
                refused(full, Error::caused(error.code(), error.to_string(), error))
            })
        }
        Name::Procedure(procedure) => {
            let watched = machine.rpc_mut().watch(now, &Checked, who, procedure);
            watched.map_err(|error| {
                let full = matches!(error, WatchError::TooManyProcedures { .. });
                refused(full, Error::caused(error.code(), error.to_string(), error))
            })
        }
    }
}

const fn refused(full: bool, error: Error) -> Refused {
    if full {
        Refused::Full(error)
    } else {
        Refused::Other(error)
    }
}

/// Ends a watch. What was told of it is forgotten before anything is told anew, because both happen on the driver.
async fn end(plane: &Arc<Plane>, control: &Control, name: Name) {
    let shared = Arc::clone(plane);
    let ended = control.run(move |machine, now| {
        let known = match &name {
            Name::Topic(topic) => machine.pubsub_mut().retract(now, topic).is_ok(),
            Name::Procedure(procedure) => machine.rpc_mut().unwatch(now, procedure).is_ok(),
        };
        debug_assert!(known, "what is noted is watched");
        machine.settle(now);
        for watched in name.watched() {
            if !machine.is_watched(&watched) {
                shared.watches.forget(&watched);
            }
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "the node stopped before its watches did");
    }
}
