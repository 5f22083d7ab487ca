//! What holds for a whole simulated network.

use std::time::Duration;

use super::Conditions;

/// In which form messages travel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a message travels as it is or as bytes"
)]
pub enum Coding {
    /// As values, encoded for their length and the trace only: fast.
    Typed,
    /// Each message is encoded, its frame found and decoded again; a message that is not the same afterwards fails
    /// the run.
    #[default]
    Encoded,
}

/// What holds for a whole network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The conditions in every direction that has none of its own.
    pub conditions: Conditions,
    /// How long after its last sign of life a link counts as lost: both ends are told then. Default: 30 s, which is what
    /// QUIC links have as idle time-out.
    pub link_timeout: Duration,
    /// The longest frame that may be sent as a datagram in bytes; a longer one fails the run. Default: 1,200.
    pub max_datagram_len: usize,
    /// What a packet has in bytes beside the frame in it; counted for each datagram, and for each 1,200 bytes of a
    /// message on a stream.
    ///
    /// Default: 58. That is 20 of IPv4, 8 of UDP, and 30 of QUIC: 1 of the short header, 8 of connection id, 2 of packet
    /// number, 3 of the DATAGRAM frame's type and length, 16 of the AEAD's tag. Packets that only acknowledge are not
    /// counted.
    pub datagram_overhead: usize,
    /// What the handshakes of a dial take in bytes in all, both directions together; each end is charged with half, the
    /// dialler alone if nobody answers. Default: 13,000, which is two certificate chains with what QUIC pads and adds;
    /// set it to what is measured with real certificates.
    pub dial_bytes: u64,
    /// The most events of a run; one more fails it, because then something runs in circles. Default: 20,000,000.
    pub max_steps: u64,
    /// The most outputs that one event may cause at a node; one more fails the run. Default: 100,000.
    pub max_outputs: usize,
    /// In which form messages travel.
    pub coding: Coding,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            conditions: Conditions::default(),
            link_timeout: Duration::from_secs(30),
            max_datagram_len: 1_200,
            datagram_overhead: 58,
            dial_bytes: 13_000,
            max_steps: 20_000_000,
            max_outputs: 100_000,
            coding: Coding::default(),
        }
    }
}
