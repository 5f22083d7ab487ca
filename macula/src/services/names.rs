//! Serving the names by which services are asked what they are.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use macula_realm::{Action, Authority, Principal, Verdict};
use macula_rpc::{RegisterOptions, Registrant, RegistrationKey};
use macula_wire::Pattern;

use super::answer;
use crate::node::Control;
use crate::plane::Plane;
use crate::plane::invoke::Registration;
use crate::plane::tally::Tally;

/// The shortest time between two rounds, so that who registers and ends again and again announces no more than that.
const PAUSE: Duration = Duration::from_millis(100);

/// The node serves these names itself; nobody else may.
#[derive(Debug)]
struct Platform;

impl Authority for Platform {
    fn check(&self, _: &Principal, _: Action, _: &str) -> Verdict {
        Verdict::Allow
    }
}

/// Serves the names of the instances that are there, as they come and go.
pub(crate) async fn announce(plane: Arc<Plane>, control: Control) {
    let mut served: BTreeMap<Pattern, RegistrationKey> = BTreeMap::new();
    // The keys of applications count from the other end.
    let mut next = u64::MAX;
    loop {
        plane.services.changed.notified().await;
        let wanted = plane.services.names();
        let is_gone = |pattern: &Pattern| !wanted.contains(pattern);
        let gone = served.iter().filter(|(pattern, _)| is_gone(pattern));
        let gone: Vec<(Pattern, RegistrationKey)> =
            gone.map(|(pattern, key)| (pattern.clone(), *key)).collect();
        served.retain(|pattern, _| wanted.contains(pattern));
        let mut fresh = Vec::new();
        for pattern in wanted {
            if !served.contains_key(&pattern) {
                let key = RegistrationKey::new(next);
                next = next.saturating_sub(1);
                served.insert(pattern.clone(), key);
                fresh.push((pattern, key));
            }
        }
        if (!gone.is_empty() || !fresh.is_empty())
            && change(&plane, &control, gone, fresh).await.is_none()
        {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Carries one round out. `None` if the node has stopped.
async fn change(
    plane: &Arc<Plane>,
    control: &Control,
    gone: Vec<(Pattern, RegistrationKey)>,
    fresh: Vec<(Pattern, RegistrationKey)>,
) -> Option<()> {
    {
        let registrations = plane.registrations.write();
        let mut registrations = registrations.unwrap_or_else(PoisonError::into_inner);
        for (_, key) in &gone {
            registrations.remove(key);
        }
        let handler = answer::handler(Arc::downgrade(plane));
        for (_, key) in &fresh {
            let registration = Registration {
                handler: handler.clone(),
                tally: Arc::<Tally>::default(),
            };
            registrations.insert(*key, registration);
        }
    }
    let who = plane.own.clone();
    let changed = control.run(move |machine, now| {
        let rpc = machine.rpc_mut();
        for (pattern, key) in gone {
            if let Err(error) = rpc.unregister(now, Registrant::Local(key)) {
                tracing::debug!(%pattern, %error, "a service was not announced");
            }
        }
        for (pattern, key) in fresh {
            let (registrant, options) = (Registrant::Local(key), RegisterOptions::default());
            let name = pattern.clone();
            if let Err(error) = rpc.register(now, &Platform, &who, registrant, pattern, options) {
                tracing::warn!(%name, %error, "a service cannot be announced");
            }
        }
    });
    changed.await.ok()
}
