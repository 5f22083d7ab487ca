//! The side that listens, receives and answers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::message::{MAX_MESSAGE_LEN, Splitter, number_at};
use super::{BaselineError, setup};
use crate::{Config, TlsIdentity};

/// What a server received.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Received {
    /// How many messages came.
    pub messages: u64,
    /// Their bytes, without the lengths.
    pub bytes: u64,
    /// How many sequences were left out or came again.
    pub out_of_order: u64,
    /// From the first byte to the end of the stream.
    pub elapsed: Duration,
}

/// How long each message was on its way.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Latencies {
    /// Nanoseconds from the sender's clock to the receiver's, in the order of arrival.
    pub nanos: Vec<u64>,
    /// How many sequences were left out or came again.
    pub out_of_order: u64,
}

/// Listens for one [`Client`](super::Client) after another.
#[derive(Debug)]
pub struct Server {
    endpoint: quinn::Endpoint,
    local_addr: SocketAddr,
    max_calls: quinn::VarInt,
}

impl Server {
    /// Listens on `address`; port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// [`BaselineError::Tls`] for an unusable `identity` and [`BaselineError::Bind`] without a socket.
    pub fn bind(
        address: SocketAddr,
        identity: &TlsIdentity,
        config: &Config,
    ) -> Result<Self, BaselineError> {
        let endpoint = setup::endpoint(address, Some(setup::server(identity, config)?), config)?;
        let local_addr = endpoint
            .local_addr()
            .map_err(|error| setup::bind_error(address, &error))?;
        Ok(Self {
            endpoint,
            local_addr,
            max_calls: config.max_call_streams.into(),
        })
    }

    /// Where the server listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Accepts one client and receives the messages of one stream.
    ///
    /// # Errors
    ///
    /// [`BaselineError::Connection`] if the connection breaks before the end of the stream and
    /// [`BaselineError::Protocol`] for anything but messages.
    ///
    /// # Cancel safety
    ///
    /// Not safe: the client and what it has sent are lost.
    pub async fn serve_events(&self) -> Result<Received, BaselineError> {
        let connection = self.accept().await?;
        let mut received = Received::default();
        let mut next = 0_u64;
        let elapsed = receive(&connection, |message| {
            let sequence = number_at(message, 0)?;
            if sequence != next {
                received.out_of_order = received.out_of_order.saturating_add(1);
            }
            next = sequence.saturating_add(1);
            let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
            received.bytes = received.bytes.saturating_add(length);
            received.messages = received.messages.saturating_add(1);
            Ok(())
        })
        .await?;
        received.elapsed = elapsed;
        confirm(&connection, received.messages).await?;
        Ok(received)
    }

    /// Accepts one client and measures how long the messages of one stream were on their way.
    ///
    /// `nanos` reads the clock that the client stamps them by. At most `max_samples` are kept, the first ones.
    ///
    /// # Errors
    ///
    /// As [`serve_events`](Self::serve_events).
    ///
    /// # Cancel safety
    ///
    /// Not safe: the client and what it has sent are lost.
    pub async fn serve_latency(
        &self,
        max_samples: usize,
        nanos: impl Fn() -> u64 + Send + Sync,
    ) -> Result<Latencies, BaselineError> {
        let connection = self.accept().await?;
        let mut latencies = Latencies::default();
        let mut next = 0_u64;
        receive(&connection, |message| {
            let sequence = number_at(message, 0)?;
            let sent = number_at(message, 8)?;
            if sequence != next {
                latencies.out_of_order = latencies.out_of_order.saturating_add(1);
            }
            next = sequence.saturating_add(1);
            if latencies.nanos.len() < max_samples {
                latencies.nanos.push(nanos().saturating_sub(sent));
            }
            Ok(())
        })
        .await?;
        confirm(&connection, next).await?;
        Ok(latencies)
    }

    /// Accepts one client and answers each of its streams with the same bytes, until it goes. Returns their number.
    ///
    /// # Errors
    ///
    /// [`BaselineError::Connection`] if no connection comes about; its end is no error.
    ///
    /// # Cancel safety
    ///
    /// Not safe: the client is lost.
    pub async fn serve_calls(&self) -> Result<u64, BaselineError> {
        let connection = self.accept().await?;
        connection.set_max_concurrent_bi_streams(self.max_calls);
        let mut calls = 0_u64;
        let mut running = JoinSet::new();
        while let Ok((to, from)) = connection.accept_bi().await {
            calls = calls.saturating_add(1);
            running.spawn(echo(to, from));
            while running.try_join_next().is_some() {}
        }
        running.shutdown().await;
        Ok(calls)
    }

    async fn accept(&self) -> Result<quinn::Connection, BaselineError> {
        let incoming = self
            .endpoint
            .accept()
            .await
            .ok_or(BaselineError::Protocol("the server is closed"))?;
        incoming.await.map_err(BaselineError::connection)
    }
}

/// Passes the messages of the first stream to `each` and returns the time from its first byte to its end.
async fn receive(
    connection: &quinn::Connection,
    mut each: impl FnMut(&[u8]) -> Result<(), BaselineError> + Send,
) -> Result<Duration, BaselineError> {
    let mut stream = connection
        .accept_uni()
        .await
        .map_err(BaselineError::connection)?;
    let started = Instant::now();
    let mut splitter = Splitter::default();
    // As many pieces as have come are taken at once.
    let mut pieces = [const { Bytes::new() }; 32];
    while let Some(count) = stream
        .read_chunks(&mut pieces)
        .await
        .map_err(BaselineError::connection)?
    {
        for piece in pieces.iter_mut().take(count) {
            splitter.push(std::mem::take(piece), &mut each)?;
        }
    }
    if splitter.is_at_boundary() {
        Ok(started.elapsed())
    } else {
        Err(BaselineError::Protocol("the stream ended within a message"))
    }
}

/// Tells the client how many messages came, and waits until it knows or is gone.
async fn confirm(connection: &quinn::Connection, messages: u64) -> Result<(), BaselineError> {
    let mut answer = connection
        .open_uni()
        .await
        .map_err(BaselineError::connection)?;
    answer
        .write_all(&messages.to_be_bytes())
        .await
        .map_err(BaselineError::connection)?;
    answer.finish().map_err(BaselineError::connection)?;
    drop(answer.stopped().await);
    Ok(())
}

/// Sends back what comes. A caller that gives up is not waited for.
async fn echo(mut to: quinn::SendStream, mut from: quinn::RecvStream) {
    if let Ok(payload) = from.read_to_end(MAX_MESSAGE_LEN).await
        && to.write_chunk(payload.into()).await.is_ok()
    {
        let _: Result<_, _> = to.finish();
    }
}
