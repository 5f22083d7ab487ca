//! How many connections an endpoint has, and from whom it takes more.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use macula_wire::message::Role;
use macula_wire::{NodeId, RealmName};

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
    max_clients: usize,
    max_members: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    pending: usize,
    addresses: BTreeMap<IpAddr, Address>,
    identities: BTreeMap<(RealmName, NodeId, Role), usize>,
    refused: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
struct Address {
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
            max_clients: config.max_client_links_per_identity,
            max_members: config.max_member_links_per_identity,
            state: Mutex::default(),
        })
    }

    /// Judges an attempt from `ip`; `proven` if the address cannot be forged.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr, proven: bool) -> Admission {
        let ip = counted_as(ip);
        let mut state = self.lock();
        let (known, unproven) = state
            .addresses
            .get(&ip)
            .map_or((0, 0), |address| (address.proven, address.unproven));
        let refusal = if state.connections >= self.max_connections {
            Some("connections")
        } else if state.pending >= self.most_pending() {
            Some("handshakes")
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
        if !proven && (state.pending >= self.max_pending || unproven >= max_unproven) {
            return Admission::Prove;
        }
        state.connections = state.connections.saturating_add(1);
        state.pending = state.pending.saturating_add(1);
        let address = state.addresses.entry(ip).or_default();
        let count = if proven {
            &mut address.proven
        } else {
            &mut address.unproven
        };
        *count = count.saturating_add(1);
        drop(state);
        Admission::Admitted(Permit {
            limits: Arc::clone(self),
            ip: Some(ip),
            pending: true,
            proven,
        })
    }

    /// How many handshakes may be under way even with proven addresses.
    const fn most_pending(&self) -> usize {
        self.max_pending.saturating_add(1).saturating_mul(4)
    }

    /// Counts a connection that this side dials.
    pub(super) fn dialled(self: &Arc<Self>) -> Permit {
        let mut state = self.lock();
        state.connections = state.connections.saturating_add(1);
        drop(state);
        Permit {
            limits: Arc::clone(self),
            ip: None,
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
        (state.connections, state.pending)
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

    fn release(&mut self, ip: IpAddr, proven: bool) {
        let Some(address) = self.addresses.get_mut(&ip) else {
            return;
        };
        let count = if proven {
            &mut address.proven
        } else {
            &mut address.unproven
        };
        *count = count.saturating_sub(1);
        if address.proven == 0 && address.unproven == 0 {
            self.addresses.remove(&ip);
        }
    }
}

/// Counts one connection until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limits: Arc<Limits>,
    /// `None` for a connection that this side dialled.
    ip: Option<IpAddr>,
    pending: bool,
    proven: bool,
}

impl Permit {
    /// The handshake is done, which proves the address. `false` if its address has enough connections.
    pub(super) fn proven(&mut self) -> bool {
        let limits = Arc::clone(&self.limits);
        let mut state = limits.lock();
        if std::mem::take(&mut self.pending) {
            state.pending = state.pending.saturating_sub(1);
        }
        let Some(ip) = self.ip.filter(|_| !self.proven) else {
            return true;
        };
        self.proven = true;
        let address = state.addresses.entry(ip).or_default();
        address.unproven = address.unproven.saturating_sub(1);
        address.proven = address.proven.saturating_add(1);
        if address.proven > limits.max_per_address {
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
        if self.pending {
            state.pending = state.pending.saturating_sub(1);
        }
        if let Some(ip) = self.ip {
            state.release(ip, self.proven);
        }
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

/// The address that stands for `ip`: IPv4 in its own form, IPv6 by its network of 64 bits, which one host has at will.
fn counted_as(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(change: impl FnOnce(&mut Config)) -> Arc<Limits> {
        let mut config = Config::default();
        change(&mut config);
        Limits::new(&config)
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[track_caller]
    fn admitted(admission: Admission) -> Permit {
        let Admission::Admitted(permit) = admission else {
            panic!("{admission:?}")
        };
        permit
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let limits = limits(|config| config.max_connections_per_ip = 2);
        let first = admitted(limits.admit(ip(1), true));
        let _second = admitted(limits.admit(ip(1), true));
        let third = limits.admit(ip(1), true);
        assert!(matches!(third, Admission::Refused("address")));
        let _other = admitted(limits.admit(ip(2), true));
        drop(first);
        let _third = admitted(limits.admit(ip(1), true));
        assert_eq!(limits.refused(), BTreeMap::from([("address", 1)]));
        assert_eq!(limits.counts(), (3, 3));
    }

    #[test]
    fn many_handshakes_ask_for_proof_before_they_are_refused() {
        let limits = limits(|config| {
            config.max_pending_handshakes = 2;
            config.max_connections_per_ip = 100;
        });
        let mut held = vec![
            admitted(limits.admit(ip(1), false)),
            admitted(limits.admit(ip(2), false)),
        ];
        assert!(matches!(limits.admit(ip(3), false), Admission::Prove));
        for last in 3..13 {
            held.push(admitted(limits.admit(ip(last), true)));
        }
        let one_more = limits.admit(ip(13), true);
        assert!(matches!(one_more, Admission::Refused("handshakes")));
        assert!(held[0].proven());
        held.push(admitted(limits.admit(ip(13), true)));
        drop(held);
        assert_eq!(limits.counts(), (0, 0));
        assert!(limits.lock().addresses.is_empty());
    }

    #[test]
    fn forged_attempts_do_not_use_up_the_share_of_an_address() {
        let limits = limits(|config| config.max_connections_per_ip = 4);
        let _forged = admitted(limits.admit(ip(1), false));
        assert!(matches!(limits.admit(ip(1), false), Admission::Prove));
        let _held: Vec<Permit> = (0..4)
            .map(|_| admitted(limits.admit(ip(1), true)))
            .collect();
        assert!(matches!(limits.admit(ip(1), true), Admission::Refused(_)));
    }

    #[test]
    fn an_identity_has_its_share_by_role() {
        let limits = limits(|config| config.max_client_links_per_identity = 1);
        let realm = RealmName::new("be.acme").unwrap();
        let node = NodeId::default();
        let held = limits.identify(&realm, node, Role::Client);
        assert!(held.is_some());
        assert!(limits.identify(&realm, node, Role::Client).is_none());
        assert!(limits.identify(&realm, node, Role::Member).is_some());
        drop(held);
        assert!(limits.identify(&realm, node, Role::Client).is_some());
    }

    #[test]
    fn one_host_counts_as_one_address() {
        let of = |text: &str| counted_as(text.parse().unwrap());
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
    }
}
