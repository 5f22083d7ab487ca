//! The side that dials, publishes and calls.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, MissedTickBehavior};

use super::message::{MAX_MESSAGE_LEN, MIN_MESSAGE_LEN, MIN_STAMPED_LEN, check_size, head};
use super::{BaselineError, setup};
use crate::{Config, TlsIdentity};

/// What is gathered before it is written.
const BUFFER_LEN: usize = 64 << 10;
/// From this size on, a message is passed on without being copied into the buffer.
const UNCOPIED_LEN: usize = 32 << 10;

/// How much to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Amount {
    /// This many messages.
    Messages(u64),
    /// As many as go out in this time.
    For(Duration),
}

/// What a client sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Sent {
    /// How many messages were written.
    pub messages: u64,
    /// How many of them the server says that it received.
    pub confirmed: u64,
    /// From the first write to the server's confirmation.
    pub elapsed: Duration,
}

/// A connection to a [`Server`](super::Server).
#[derive(Debug)]
pub struct Client {
    endpoint: quinn::Endpoint,
    connection: quinn::Connection,
}

impl Client {
    /// Connects to the server at `address`.
    ///
    /// # Errors
    ///
    /// [`BaselineError::Tls`] for an unusable `identity`, [`BaselineError::Bind`] without a socket and
    /// [`BaselineError::Connection`] if the server cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Safe: the attempt ends.
    pub async fn connect(
        address: SocketAddr,
        identity: &TlsIdentity,
        config: &Config,
    ) -> Result<Self, BaselineError> {
        let any: SocketAddr = if address.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let endpoint = setup::endpoint(any, None, config)?;
        let connection = endpoint
            .connect_with(setup::client(identity, config)?, address, "baseline")
            .map_err(BaselineError::connection)?
            .await
            .map_err(BaselineError::connection)?;
        Ok(Self {
            endpoint,
            connection,
        })
    }

    /// The largest packet that the path carries as far as is known, in bytes of UDP payload.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.connection.stats().path.current_mtu
    }

    /// Sends messages of `size` bytes, as many as `amount` says, and waits until the server has all.
    ///
    /// Small messages are gathered to 64 KiB a write; from 32 KiB on they are not copied.
    ///
    /// # Errors
    ///
    /// [`BaselineError::TooShort`] under [`MIN_MESSAGE_LEN`] bytes, with nothing sent; [`BaselineError::Connection`]
    /// if the connection breaks; [`BaselineError::Protocol`] over 16 MiB or for an unexpected answer.
    ///
    /// # Cancel safety
    ///
    /// Not safe: the stream is reset, and the server reports a broken connection.
    pub async fn send_events(&self, amount: Amount, size: usize) -> Result<Sent, BaselineError> {
        check_size(size, MIN_MESSAGE_LEN)?;
        let mut stream = self.open().await?;
        let started = Instant::now();
        let messages = if size < UNCOPIED_LEN {
            gathered(&mut stream, amount, size).await?
        } else {
            uncopied(&mut stream, amount, size).await?
        };
        self.confirm(stream, started, messages).await
    }

    /// Sends `messages` messages of `size` bytes, `rate` of them a second, each by itself and with the time of `nanos`.
    ///
    /// `nanos` reads a clock in nanoseconds that the server's process shares.
    ///
    /// # Errors
    ///
    /// As [`send_events`](Self::send_events), with [`MIN_STAMPED_LEN`] as the shortest.
    ///
    /// # Cancel safety
    ///
    /// Not safe: the stream is reset, and the server reports a broken connection.
    pub async fn send_at_rate(
        &self,
        rate: u32,
        messages: u64,
        size: usize,
        nanos: impl Fn() -> u64 + Send + Sync,
    ) -> Result<Sent, BaselineError> {
        check_size(size, MIN_STAMPED_LEN)?;
        let mut stream = self.open().await?;
        let started = Instant::now();
        let period = Duration::from_secs(1)
            .checked_div(rate)
            .unwrap_or(Duration::from_secs(1));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let rest = vec![0; size.saturating_sub(MIN_STAMPED_LEN)];
        let mut message = Vec::with_capacity(size.saturating_add(4));
        for sequence in 0..messages {
            ticks.tick().await;
            message.clear();
            message.extend_from_slice(&head(size, sequence));
            message.extend_from_slice(&nanos().to_be_bytes());
            message.extend_from_slice(&rest);
            stream
                .write_all(&message)
                .await
                .map_err(BaselineError::connection)?;
        }
        self.confirm(stream, started, messages).await
    }

    /// Sends `payload` on a stream of its own and returns what comes back.
    ///
    /// # Errors
    ///
    /// [`BaselineError::Connection`] if the connection breaks, or if the reply is over 16 MiB.
    ///
    /// # Cancel safety
    ///
    /// Safe: the stream is reset.
    pub async fn call(&self, payload: Bytes) -> Result<Bytes, BaselineError> {
        let (mut to, mut from) = self
            .connection
            .open_bi()
            .await
            .map_err(BaselineError::connection)?;
        to.write_chunk(payload)
            .await
            .map_err(BaselineError::connection)?;
        to.finish().map_err(BaselineError::connection)?;
        let reply = from
            .read_to_end(MAX_MESSAGE_LEN)
            .await
            .map_err(BaselineError::connection)?;
        Ok(reply.into())
    }

    /// Closes the connection and waits until the server knows.
    ///
    /// # Cancel safety
    ///
    /// Safe: the connection is closed all the same.
    pub async fn close(self) {
        self.connection.close(0_u32.into(), b"done");
        self.endpoint.wait_idle().await;
    }

    async fn open(&self) -> Result<quinn::SendStream, BaselineError> {
        let opened = self.connection.open_uni().await;
        opened.map_err(BaselineError::connection)
    }

    /// Ends `stream` and waits for the server's count.
    async fn confirm(
        &self,
        mut stream: quinn::SendStream,
        started: Instant,
        messages: u64,
    ) -> Result<Sent, BaselineError> {
        stream.finish().map_err(BaselineError::connection)?;
        let mut answer = self
            .connection
            .accept_uni()
            .await
            .map_err(BaselineError::connection)?;
        let mut count = [0; 8];
        answer
            .read_exact(&mut count)
            .await
            .map_err(BaselineError::connection)?;
        Ok(Sent {
            messages,
            confirmed: u64::from_be_bytes(count),
            elapsed: started.elapsed(),
        })
    }
}

/// Says when to stop, without a look at the clock for each message.
#[derive(Debug)]
struct Goal {
    messages: u64,
    until: Option<Instant>,
}

impl Goal {
    fn new(amount: Amount) -> Self {
        match amount {
            Amount::Messages(messages) => Self {
                messages,
                until: None,
            },
            Amount::For(time) => Self {
                messages: u64::MAX,
                until: Some(Instant::now() + time),
            },
        }
    }

    fn time_is_up(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

async fn gathered(
    stream: &mut quinn::SendStream,
    amount: Amount,
    size: usize,
) -> Result<u64, BaselineError> {
    let goal = Goal::new(amount);
    let rest = vec![0; size.saturating_sub(MIN_MESSAGE_LEN)];
    let whole = size.saturating_add(4);
    let mut buffer = Vec::with_capacity(BUFFER_LEN);
    let mut sent = 0_u64;
    while sent < goal.messages && !goal.time_is_up() {
        buffer.clear();
        while sent < goal.messages && buffer.len().saturating_add(whole) <= BUFFER_LEN {
            buffer.extend_from_slice(&head(size, sent));
            buffer.extend_from_slice(&rest);
            sent = sent.saturating_add(1);
        }
        stream
            .write_all(&buffer)
            .await
            .map_err(BaselineError::connection)?;
    }
    Ok(sent)
}

async fn uncopied(
    stream: &mut quinn::SendStream,
    amount: Amount,
    size: usize,
) -> Result<u64, BaselineError> {
    let goal = Goal::new(amount);
    let rest = Bytes::from(vec![0; size.saturating_sub(MIN_MESSAGE_LEN)]);
    let mut sent = 0_u64;
    while sent < goal.messages && !goal.time_is_up() {
        let mut pieces = [Bytes::copy_from_slice(&head(size, sent)), rest.clone()];
        stream
            .write_all_chunks(&mut pieces)
            .await
            .map_err(BaselineError::connection)?;
        sent = sent.saturating_add(1);
    }
    Ok(sent)
}
