//! Who may do what, by the rules of the realm.

use macula_realm::{Action, Authority, DefaultRules, Principal, Tenant, Verdict, Zone};
use macula_transport::PeerIdentity;
use macula_wire::{ErrorCode, Topic, limit};

use super::Plane;
use super::counters::add;
use crate::Error;
use crate::system::MEMBERS_TOPIC;

/// The rules of a node for its own clients: those for its application, and what the node tells of members may be listened
/// to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientRules;

impl Authority for ClientRules {
    fn check(&self, who: &Principal, action: Action, name: &str) -> Verdict {
        if name == MEMBERS_TOPIC && action == Action::Subscribe {
            return Verdict::Allow;
        }
        NodeRules.check(who, action, name)
    }
}

/// The rules of a node for its own application: those of the realm, dead letters may be read, and what the node tells of what
/// comes and goes may be listened to. That is about everybody, and so not for tenants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NodeRules;

impl Authority for NodeRules {
    fn check(&self, who: &Principal, action: Action, name: &str) -> Verdict {
        let told = name.starts_with("$meta.") && who.tenant.is_none();
        if told && action == Action::Subscribe {
            return Verdict::Allow;
        }
        match name.strip_prefix(limit::DEAD_LETTER_PREFIX) {
            // Whoever may listen to the topic may listen to its dead letters.
            Some(topic) if action == Action::Subscribe => DefaultRules.check(who, action, topic),
            _ => DefaultRules.check(who, action, name),
        }
    }
}

impl Plane {
    /// Whether this node may publish on `topic`.
    pub(crate) fn check_publish(&self, topic: &Topic) -> Result<(), Error> {
        if DefaultRules.check(&self.own, Action::Publish, topic.as_str()) == Verdict::Allow {
            return Ok(());
        }
        add(&self.counters.denied, 1);
        Err(denied("publish on", topic.as_str()))
    }

    /// Whether the realm's rules let `peer` do that.
    pub(crate) fn allows(&self, peer: &PeerIdentity, action: Action, name: &str) -> bool {
        DefaultRules.check(&principal(peer), action, name) == Verdict::Allow
    }
}

/// The peer as the rules know it.
pub(crate) fn principal(peer: &PeerIdentity) -> Principal {
    let tenant = peer
        .tenant
        .as_deref()
        .and_then(|text| Tenant::new(text).ok());
    let zone = peer.zone.as_deref().and_then(|text| Zone::new(text).ok());
    Principal::new(peer.node, peer.roles)
        .with_tenant(tenant)
        .with_zone(zone)
}

pub(super) fn denied(verb: &str, name: &str) -> Error {
    Error::new(
        ErrorCode::DENIED,
        format!(
            "this identity may not {verb} {name}: names that start with `$` are reserved, and a tenant has its own prefix only"
        ),
    )
}
