//! An address that stays while a connection needs it.

use std::net::SocketAddr;
use std::sync::Arc;

use macula_wire::{NodeId, RealmName};

use super::Forwarding;
use crate::credentials::PeerIdentity;

/// The address of a node. It stands for that node until the lease is dropped, at least.
#[derive(Debug)]
pub(in crate::endpoint) struct Lease {
    forwarding: Arc<Forwarding>,
    number: u64,
    realm: RealmName,
    node: NodeId,
}

impl Lease {
    /// Gives `number` back when it is dropped.
    pub(super) const fn new(
        forwarding: Arc<Forwarding>,
        number: u64,
        realm: RealmName,
        node: NodeId,
    ) -> Self {
        Self {
            forwarding,
            number,
            realm,
            node,
        }
    }

    pub(in crate::endpoint) fn address(&self) -> SocketAddr {
        self.forwarding.family.address(self.number)
    }

    pub(in crate::endpoint) const fn node(&self) -> NodeId {
        self.node
    }

    /// Whether `peer` is who the packets are said to come from.
    ///
    /// # Errors
    ///
    /// The cause why not, for counters.
    pub(in crate::endpoint) fn check(&self, peer: &PeerIdentity) -> Result<(), &'static str> {
        if peer.realm != self.realm {
            Err("another realm")
        } else if peer.node != self.node {
            Err("another node")
        } else {
            Ok(())
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.forwarding.release(self.number);
    }
}
