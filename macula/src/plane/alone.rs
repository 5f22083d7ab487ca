//! Calls of other members that one function of this process alone can run.
//!
//! Where several can, [`outgoing`](super::outgoing) tries one after the other, by their policy. Where there is one, what it
//! answers is the answer, and nothing has to be chosen, kept or tried again.

use std::sync::Arc;

use macula_rpc::{Candidates, Entry, Provider, RegistrationKey};
use macula_wire::message::{CallResult, Failure, RpcCall};
use macula_wire::{Instant, NodeId, Procedure};

use super::Plane;
use super::counters::add;
use super::invoke;
use super::outgoing::nobody;
use crate::call::{Cancelled, Flow};

/// A call that came from another member.
pub(super) struct Call {
    pub(super) request: Box<RpcCall>,
    /// The member that vouches for the caller, where that is a client of another node.
    pub(super) via: Option<NodeId>,
    pub(super) deadline: Instant,
    pub(super) flow: Flow,
    pub(super) cancelled: Cancelled,
}

/// The function that a call goes to, if there is one on this node and no other.
pub(super) fn function(plane: &Plane, procedure: &Procedure) -> Option<RegistrationKey> {
    let providers = plane.providers.load();
    match providers.find(procedure).map(Candidates::here)? {
        [only] if only.weight > 0 => match only.provider {
            Provider::Local(key) => Some(key),
            Provider::Session(..) | Provider::Member(_) => None,
        },
        _ => None,
    }
}

/// Runs the call by the function, if it is admitted. Dropping the future takes the call back.
pub(super) async fn run(
    plane: &Arc<Plane>,
    now: Instant,
    call: Call,
    key: RegistrationKey,
) -> Result<CallResult, Failure> {
    let result = match enter(plane, now, &call, key) {
        Ok(held) => {
            let work = invoke::Work {
                key,
                via: call.via,
                request: call.request,
                deadline: call.deadline,
                flow: call.flow,
                cancelled: call.cancelled,
                held,
            };
            invoke::run(plane, work).await
        }
        Err(failure) => Err(failure),
    };
    if result.is_err() {
        add(&plane.counters.calls_failed, 1);
    }
    result
}

/// Admits the call to this node, and takes a slot of the registration.
fn enter(
    plane: &Plane,
    now: Instant,
    call: &Call,
    key: RegistrationKey,
) -> Result<(macula_rpc::Admission, Entry), Failure> {
    let (caller, id) = (call.request.caller, call.request.call);
    let admission = plane.invocations.admit(now, caller, id, call.deadline)?;
    let providers = plane.providers.load();
    let slots = providers.slots(Provider::Local(key)).ok_or_else(nobody)?;
    let entry = admission.enter(now, slots)?;
    Ok((admission, entry))
}
