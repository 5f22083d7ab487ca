//! What the caller can see of the table.

use std::net::SocketAddr;
use std::time::Duration;

use macula_wire::{Instant, NodeId};

use super::Kad;

/// A contact in the table.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ContactView<'a> {
    /// Who.
    pub node: NodeId,
    /// Where it can be dialled, best first.
    pub addresses: &'a [SocketAddr],
    /// Its bucket: how many leading bits its position shares with that of this node.
    pub shared_bits: usize,
    /// How long an answer takes; `None` before the first.
    pub rtt: Option<Duration>,
    /// When it was last heard.
    pub heard: Instant,
    /// How many requests in a row it has left unanswered.
    pub failures: u8,
}

impl Kad {
    /// The contacts that have a place in the table, those of the nearest bucket first.
    pub fn contacts(&self) -> impl Iterator<Item = ContactView<'_>> {
        let buckets = self.table.buckets().iter().enumerate().rev();
        buckets.flat_map(|(shared_bits, bucket)| {
            bucket.entries().iter().map(move |entry| ContactView {
                node: entry.contact.node,
                addresses: &entry.contact.addresses,
                shared_bits,
                rtt: entry.rtt.get(),
                heard: entry.heard,
                failures: entry.failures,
            })
        })
    }
}
