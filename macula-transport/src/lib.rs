//! Links between Macula nodes: QUIC with mutual TLS, HTTP/3 on the same port, in-process links for tests.

mod backoff;
#[cfg(feature = "baseline")]
pub mod baseline;
mod clock;
mod config;
mod credentials;
mod driver;
mod endpoint;
mod entropy;
mod error;
#[cfg(feature = "http3")]
pub mod http3;
mod link;
pub mod memory;
mod outbox;
mod stats;
mod stream;
mod task;
mod tls;
pub mod unix;

pub use backoff::Backoff;
pub use clock::Clock;
pub use config::{Config, Hello};
pub use credentials::{Credentials, PeerIdentity, PeerRefused, TlsIdentity};
pub use driver::{Call, Driver, Sink};
pub use endpoint::{Endpoint, ForwardedPacket, ForwardedPackets, Incoming, MAX_FORWARDED_PACKET};
pub use entropy::{EntropyError, entropy};
pub use error::{BindError, CloseReason, DatagramError, LinkError, OutboxError};
pub use link::{Link, LinkEvent, LinkId, LinkReceiver, Path, Side};
pub use outbox::{OutFrame, Outbox};
pub use stats::{EndpointStats, LinkStats};
pub use stream::{FrameReceiver, FrameSender};
pub use task::{TaskSet, is_beginning};
