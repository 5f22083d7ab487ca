//! The network between nodes, whose packets a scenario can lose, delay, double and reorder.

mod fault;
mod later;
mod leftovers;
mod proxy;
mod spaces;

use std::sync::Arc;

pub(super) use fault::{Fault, Percent, Tally};

use super::guard::Guard;
use crate::failure::Failure;
use proxy::Proxy;
use spaces::Spaces;

/// What the network is made of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Kind {
    /// Loopback and a forwarder of our own: works everywhere.
    #[default]
    Proxy,
    /// Network namespaces of Linux, which take root: packets go through the kernel alone.
    Spaces,
}

/// Where a node runs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Place {
    /// What stands before its command line.
    pub(super) prefix: Vec<String>,
    /// Where it listens.
    pub(super) listen: String,
    /// What it tells others to dial, where that differs.
    pub(super) advertise: Option<String>,
}

impl Place {
    /// A place in no special network.
    pub(super) fn at(listen: &str) -> Self {
        Self {
            listen: listen.to_owned(),
            ..Self::default()
        }
    }
}

/// A network with a fixed number of places, numbered from 0.
#[derive(Debug)]
pub(super) enum Net {
    Proxy(Proxy),
    Spaces(Spaces),
}

/// Whether namespaces can be made here.
pub(super) fn has_namespaces() -> bool {
    let guard = Guard::start().map(Arc::new);
    guard.is_ok_and(|guard| Spaces::make(1, &guard).is_ok())
}

impl Net {
    /// A network in which nothing is wrong yet.
    ///
    /// # Errors
    ///
    /// When the system does not give what it takes.
    pub(super) fn new(kind: Kind, size: usize, guard: &Arc<Guard>) -> Result<Self, Failure> {
        Ok(match kind {
            Kind::Proxy => Self::Proxy(Proxy::start(size)?),
            Kind::Spaces => Self::Spaces(Spaces::make(size, guard)?),
        })
    }

    /// Where the node of this number has to run.
    ///
    /// # Errors
    ///
    /// When there is no such place.
    pub(super) fn place(&self, number: usize) -> Result<Place, Failure> {
        match self {
            Self::Proxy(proxy) => proxy.place(number),
            Self::Spaces(spaces) => spaces.place(number),
        }
    }

    /// Tells where the node of this number listens now, or that it has ended.
    ///
    /// # Errors
    ///
    /// When there is no such place.
    pub(super) fn listens(&self, number: usize, address: Option<&str>) -> Result<(), Failure> {
        match self {
            Self::Proxy(proxy) => proxy.listens(number, address),
            // There each node has an address for ever.
            Self::Spaces(_) => Ok(()),
        }
    }

    /// The address by which others reach it.
    ///
    /// # Errors
    ///
    /// When there is no such place.
    pub(super) fn reach(&self, number: usize) -> Result<String, Failure> {
        match self {
            Self::Proxy(proxy) => proxy.reach(number),
            Self::Spaces(spaces) => spaces.reach(number),
        }
    }

    /// What happens from here on to packets from one place to another, instead of what did so far.
    ///
    /// # Errors
    ///
    /// When there is no such place, and when this kind of network cannot do that.
    pub(super) fn set(&self, from: usize, to: usize, fault: Fault) -> Result<(), Failure> {
        match self {
            Self::Proxy(proxy) => proxy.set(from, to, fault),
            Self::Spaces(spaces) => spaces.set(from, to, fault),
        }
    }

    /// What happened to packets from one place to another so far.
    ///
    /// # Errors
    ///
    /// When there is no such place, and when the system does not tell.
    pub(super) fn tally(&self, from: usize, to: usize) -> Result<Tally, Failure> {
        match self {
            Self::Proxy(proxy) => proxy.tally(from, to),
            Self::Spaces(spaces) => spaces.tally(from, to),
        }
    }
}
