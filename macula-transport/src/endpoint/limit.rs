//! How many connections an endpoint has, and from whom it takes more.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use macula_wire::message::Role;
use macula_wire::{NodeId, RealmName};

use super::forward;
use crate::config::Config;

/// What happens to a connection attempt.
#[derive(Debug)]
pub(super) enum Admission {
    /// Its handshake may go on.
    Admitted(Permit),
    /// It has to prove its address first.
    Prove,
    /// A limit is reached, which one.
    Refused(&'static str),
}

/// Counts connections by address and by identity.
#[derive(Debug)]
pub(super) struct Limits {
    max_connections: usize,
    max_per_address: usize,
    max_pending: usize,
    max_pending_forwarded: usize,
    max_clients: usize,
    max_members: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    /// Handshakes over UDP.
    pending: usize,
    /// Handshakes over forwarding. A flood of them leaves those over UDP their share.
    pending_forwarded: usize,
    sources: BTreeMap<Source, Attempts>,
    identities: BTreeMap<(RealmName, NodeId, Role), usize>,
    refused: BTreeMap<&'static str, u64>,
}

/// Whose share a connection is counted against.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Source {
    /// A host: IPv4 in its own form, IPv6 by its network of 64 bits, which one host has at will.
    Host(IpAddr),
    /// A node that is reached by forwarding, by its number.
    Node(u64),
}

#[derive(Debug, Default)]
struct Attempts {
    /// Connections whose address is known not to be forged.
    proven: usize,
    /// Handshakes that anybody could have started in the name of the address.
    unproven: usize,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            max_connections: config.max_connections,
            max_per_address: config.max_connections_per_ip,
            max_pending: config.max_pending_handshakes,
            max_pending_forwarded: config.max_pending_forwarded_handshakes,
            max_clients: config.max_client_links_per_identity,
            max_members: config.max_member_links_per_identity,
            state: Mutex::default(),
        })
    }

    /// Judges an attempt from `address`; `proven` if the address cannot be forged.
    ///
    /// A node that is reached by forwarding is asked for proof as a host is. Whoever carries packets can claim any node,
    /// and so use up its share; that what is forwarded to the node comes back tells the node from the claim.
    pub(super) fn admit(self: &Arc<Self>, address: SocketAddr, proven: bool) -> Admission {
        let source = Source::of(address);
        let (max_pending, full) = match source {
            Source::Host(_) => (self.max_pending, "handshakes"),
            Source::Node(_) => (self.max_pending_forwarded, "forwarded handshakes"),
        };
        let mut state = self.lock();
        let (known, unproven) = state
            .sources
            .get(&source)
            .map_or((0, 0), |attempts| (attempts.proven, attempts.unproven));
        let pending = *state.pending(source);
        let refusal = if state.connections >= self.max_connections {
            Some("connections")
        } else if pending >= most_pending(max_pending) {
            Some(full)
        } else if known >= self.max_per_address {
            Some("address")
        } else {
            None
        };
        if let Some(limit) = refusal {
            state.refuse(limit);
            return Admission::Refused(limit);
        }
        let max_unproven = self.max_per_address.div_ceil(4);
        if !proven && (pending >= max_pending || unproven >= max_unproven) {
            return Admission::Prove;
        }
        state.connections = state.connections.saturating_add(1);
        *state.pending(source) = pending.saturating_add(1);
        let attempts = state.sources.entry(source).or_default();
        let count = if proven {
            &mut attempts.proven
        } else {
            &mut attempts.unproven
        };
        *count = count.saturating_add(1);
        drop(state);
        Admission::Admitted(Permit {
            limits: Arc::clone(self),
            source: Some(source),
            pending: true,
            proven,
        })
    }

    /// Counts a connection that this side dials.
    pub(super) fn dialled(self: &Arc<Self>) -> Permit {
        let mut state = self.lock();
        state.connections = state.connections.saturating_add(1);
        drop(state);
        Permit {
            limits: Arc::clone(self),
            source: None,
            pending: false,
            proven: true,
        }
    }

    /// Counts an accepted link of `node`; `None` if it has enough.
    pub(super) fn identify(
        self: &Arc<Self>,
        realm: &RealmName,
        node: NodeId,
        role: Role,
    ) -> Option<IdentityPermit> {
        let max = match role {
            Role::Member => self.max_members,
            Role::Client => self.max_clients,
        };
        let key = (realm.clone(), node, role);
        let mut state = self.lock();
        let links = state.identities.get(&key).copied().unwrap_or(0);
        if links >= max {
            state.refuse("identity");
            return None;
        }
        state
            .identities
            .insert(key.clone(), links.saturating_add(1));
        drop(state);
        Some(IdentityPermit {
            limits: Arc::clone(self),
            key,
        })
    }

    /// Connections, and handshakes among them.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        let pending = state.pending.saturating_add(state.pending_forwarded);
        (state.connections, pending)
    }

    pub(super) fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.lock().refused.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuse(&mut self, limit: &'static str) {
        let count = self.refused.entry(limit).or_default();
        *count = count.saturating_add(1);
    }

    const fn pending(&mut self, source: Source) -> &mut usize {
        match source {
            Source::Host(_) => &mut self.pending,
            Source::Node(_) => &mut self.pending_forwarded,
        }
    }

    /// A handshake is over.
    const fn settle(&mut self, source: Source) {
        let pending = self.pending(source);
        *pending = pending.saturating_sub(1);
    }

    fn release(&mut self, source: Source, proven: bool) {
        let Some(attempts) = self.sources.get_mut(&source) else {
            return;
        };
        let count = if proven {
            &mut attempts.proven
        } else {
            &mut attempts.unproven
        };
        *count = count.saturating_sub(1);
        if attempts.proven == 0 && attempts.unproven == 0 {
            self.sources.remove(&source);
        }
    }
}

/// Counts one connection until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limits: Arc<Limits>,
    /// `None` for a connection that this side dialled.
    source: Option<Source>,
    pending: bool,
    proven: bool,
}

impl Permit {
    /// The handshake is done, which proves the address. `false` if its address has enough connections.
    pub(super) fn proven(&mut self) -> bool {
        let limits = Arc::clone(&self.limits);
        let Some(source) = self.source else {
            return true;
        };
        let mut state = limits.lock();
        if std::mem::take(&mut self.pending) {
            state.settle(source);
        }
        if std::mem::replace(&mut self.proven, true) {
            return true;
        }
        let attempts = state.sources.entry(source).or_default();
        attempts.unproven = attempts.unproven.saturating_sub(1);
        attempts.proven = attempts.proven.saturating_add(1);
        if attempts.proven > limits.max_per_address {
            state.refuse("address");
            return false;
        }
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limits.lock();
        state.connections = state.connections.saturating_sub(1);
        let Some(source) = self.source else {
            return;
        };
        if self.pending {
            state.settle(source);
        }
        state.release(source, self.proven);
    }
}

/// Counts one link of an identity until it is dropped.
#[derive(Debug)]
pub(super) struct IdentityPermit {
    limits: Arc<Limits>,
    key: (RealmName, NodeId, Role),
}

impl Drop for IdentityPermit {
    fn drop(&mut self) {
        let mut state = self.limits.lock();
        let left = state
            .identities
            .get(&self.key)
            .map_or(0, |links| links.saturating_sub(1));
        if left == 0 {
            state.identities.remove(&self.key);
        } else if let Some(links) = state.identities.get_mut(&self.key) {
            *links = left;
        }
    }
}

impl Source {
    fn of(address: SocketAddr) -> Self {
        if let Some(number) = forward::number(address) {
            return Self::Node(number);
        }
        match address.ip().to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & (u128::MAX << 64);
                Self::Host(Ipv6Addr::from_bits(network).into())
            }
            v4 @ IpAddr::V4(_) => Self::Host(v4),
        }
    }
}

/// How many handshakes may be under way even with proven addresses, where `max` may be without.
const fn most_pending(max: usize) -> usize {
    max.saturating_add(1).saturating_mul(4)
}

#[cfg(test)]
mod tests;
