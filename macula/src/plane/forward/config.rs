//! What can be chosen about forwarding.

use std::time::Duration;

/// How much a node carries for others, and how it looks for ways of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ForwardingConfig {
    /// How many bytes in a second each peer may have carried to others or to this node; 4 MiB by default, 0 carries only
    /// what `max_burst` gives. More is dropped and counted, which QUIC takes for loss: it slows down.
    pub max_rate: u64,
    /// How many bytes each peer may have carried at once after it was quiet; 1 MiB by default, 0 carries nothing.
    pub max_burst: u64,
    /// How many nodes in a second each peer may begin to bring packets of; 16 by default, four times as many at once.
    /// Packets of further ones are dropped and counted. Nodes with a link do not count.
    pub max_origins: u32,
    /// How long addresses of a member have to answer before it is dialled by forwarding as well; 3 s by default.
    ///
    /// Shorter has a link sooner where no address works, and makes links in vain where addresses are slow.
    pub head_start: Duration,
    /// The first pause before the addresses of a member are dialled again to which there is a forwarded link; 5 s by
    /// default. Pauses double, each shortened by chance by up to a half.
    pub min_retry: Duration,
    /// The longest such pause; 5 min by default.
    pub max_retry: Duration,
}

impl Default for ForwardingConfig {
    fn default() -> Self {
        Self {
            max_rate: 4 << 20,
            max_burst: 1 << 20,
            max_origins: 16,
            head_start: Duration::from_secs(3),
            min_retry: Duration::from_secs(5),
            max_retry: Duration::from_secs(300),
        }
    }
}
