//! A client tells its member to which service a registration will belong.

use macula_rpc::SessionKey;
use macula_wire::message::RpcCall;
use macula_wire::{ErrorCode, NodeId, RegistrationId};
use serde::{Deserialize, Serialize};

use super::{
    MAX_DECLARED, MAX_INSTANCES, MAX_SESSION_INSTANCES, Number, ServiceOptions, Services, State,
    options, too_many,
};
use crate::Error;
use crate::plane::Plane;
use crate::plane::caller::session_key;
use crate::plane::links::Attached;

/// Asked by clients of their member.
pub(crate) const SERVICE: &str = "$sys.service";

/// What a client says of a registration that it is about to make.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Declaration {
    /// The number that the registration will have.
    pub(crate) registration: u64,
    /// The id of the instance.
    pub(crate) id: String,
    /// What the service is.
    pub(crate) service: ServiceOptions,
}

/// Takes in what a client says.
pub(crate) fn declare(plane: &Plane, attached: &Attached, request: &RpcCall) -> Result<(), Error> {
    let wrong = |detail: &str| Error::new(ErrorCode::INVALID_ARGUMENT, detail);
    let Some(session) = attached.session() else {
        return Err(wrong("only a client tells its member of its services"));
    };
    let declaration: Declaration = serde_json::from_slice(&request.payload)
        .map_err(|error| wrong(&format!("no service: {error}")))?;
    declaration.service.check()?;
    if !options::is_name(&declaration.id) {
        return Err(wrong(
            "the id of an instance is one segment of [A-Za-z0-9_-], at most 64 bytes",
        ));
    }
    let provider = attached.link.peer().node;
    plane
        .services
        .declare(plane, session_key(session), provider, declaration)
}

impl Services {
    pub(super) fn declare(
        &self,
        plane: &Plane,
        session: SessionKey,
        provider: NodeId,
        declaration: Declaration,
    ) -> Result<(), Error> {
        let Declaration {
            registration,
            id,
            service,
        } = declaration;
        let key = (session, RegistrationId::new(registration));
        self.write(|state| {
            check_room(state, key)?;
            let number = match find(state, session, &id, &service)? {
                Some(number) => number,
                None => {
                    check_instances(state, session)?;
                    let mut instance = self.instance(plane, service, Some(session), provider);
                    instance.id = id;
                    state.make(instance)
                }
            };
            if let Some(before) = state.settle_declared(key)
                && before != number
            {
                state.tidy(before);
            }
            state.declared.insert(key, number);
            if let Some(instance) = state.instances.get_mut(&number) {
                instance.expected = instance.expected.saturating_add(1);
            }
            Ok(())
        })
    }
}

/// The instance of this id, if it is there, of this client, and described alike.
fn find(
    state: &State,
    session: SessionKey,
    id: &str,
    service: &ServiceOptions,
) -> Result<Option<Number>, Error> {
    let Some((number, found)) = state.instances.iter().find(|(_, one)| one.id == id) else {
        return Ok(None);
    };
    if found.session == Some(session) && found.about == *service {
        return Ok(Some(*number));
    }
    let detail = "another service has this id";
    Err(Error::new(ErrorCode::INVALID_ARGUMENT, detail))
}

fn check_room(state: &State, key: (SessionKey, RegistrationId)) -> Result<(), Error> {
    let (session, _) = key;
    let first = (session, RegistrationId::new(0));
    let last = (session, RegistrationId::new(u64::MAX));
    let count = state.declared.range(first..=last).count();
    if count >= MAX_DECLARED && !state.declared.contains_key(&key) {
        let detail = format!("{MAX_DECLARED} registrations were declared and not made yet");
        return Err(Error::new(ErrorCode::QUOTA_EXCEEDED, detail));
    }
    Ok(())
}

fn check_instances(state: &State, session: SessionKey) -> Result<(), Error> {
    if state.made().count() >= MAX_INSTANCES {
        return Err(too_many(MAX_INSTANCES, "the node"));
    }
    let own = state.made().filter(|one| one.session == Some(session));
    if own.count() >= MAX_SESSION_INSTANCES {
        return Err(too_many(MAX_SESSION_INSTANCES, "the client"));
    }
    Ok(())
}
