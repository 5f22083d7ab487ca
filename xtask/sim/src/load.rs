//! What nodes send, and what it costs on the wire.

use std::time::Duration;

use macula_testkit::{Host, Net};
use macula_wire::Instant;

use crate::report::Figures;

/// What acknowledgements add to each message in bytes: an answer carries that of the message which it answers (6), and
/// is itself acknowledged by a packet with nothing else (61), so half of both.
///
/// Everything else around a message, and dials, are counted by the network itself.
const ACKNOWLEDGEMENT: f64 = 33.5;

/// What all nodes together sent, until some time or between two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    at: Instant,
    passed: Duration,
    pub(crate) messages: f64,
    pub(crate) bytes: f64,
    dials: f64,
}

impl Load {
    /// Everything so far.
    pub(crate) fn until_now<H: Host>(net: &Net<H>) -> Self {
        let (messages, bytes) = net.total_sent();
        let (messages, bytes) = (messages as f64, bytes as f64);
        Self {
            at: net.now(),
            passed: Duration::ZERO,
            messages,
            bytes: bytes + messages * ACKNOWLEDGEMENT,
            dials: net.counters().dials as f64,
        }
    }

    /// What came after `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            at: self.at,
            passed: self.at.saturating_since(earlier.at),
            messages: self.messages - earlier.messages,
            bytes: self.bytes - earlier.bytes,
            dials: self.dials - earlier.dials,
        }
    }

    /// Adds what each of `nodes` nodes sent in a second.
    pub(crate) fn figures(&self, nodes: f64, figures: &mut Figures) {
        let node_seconds = nodes * self.passed.as_secs_f64();
        figures.add("bytes_per_node_s", self.bytes / node_seconds);
        figures.add("msgs_per_node_s", self.messages / node_seconds);
        figures.add("dials_per_node_h", self.dials / node_seconds * 3_600.0);
    }
}
