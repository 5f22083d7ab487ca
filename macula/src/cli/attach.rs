//! Attaching to a node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use macula::realm::{NodeIdentity, TrustBundle};
use macula::transport::Config;
use macula::{CallOptions, Client, NodeDirectory};
use serde::de::DeserializeOwned;

use super::address;
use super::exit::{Exit, Failed};

/// How long a node may take to answer a first packet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which node to attach to.
#[derive(Args, Clone, Debug)]
pub(crate) struct Attach {
    /// The directory of a node that runs on this machine: attach to its Unix socket.
    #[arg(long, env = "MACULA_NODE", value_name = "DIR")]
    node: Option<PathBuf>,
    /// A node anywhere: attach to it over QUIC, with the identity of --identity.
    #[arg(long, value_name = "ADDR", value_parser = address::parse, requires = "identity")]
    connect: Option<SocketAddr>,
    /// The directory with the certificate, the key and the trust bundle to attach with.
    #[arg(long, value_name = "DIR", requires = "connect")]
    identity: Option<PathBuf>,
}

impl Attach {
    /// Whether a node is named at all.
    pub(crate) const fn is_named(&self) -> bool {
        self.node.is_some() || self.connect.is_some()
    }

    /// Attaches to it.
    pub(crate) async fn client(&self) -> Result<Client, Failed> {
        if let (Some(address), Some(directory)) = (self.connect, &self.identity) {
            let mut transport = Config::default();
            transport.handshake_timeout = CONNECT_TIMEOUT;
            let client = Client::builder()
                .identity(NodeIdentity::load(directory)?)
                .trust(TrustBundle::load(directory)?)
                .transport(transport);
            return Ok(client.connect(address).await?);
        }
        let directory = self.node.as_ref().ok_or_else(|| {
            Failed::usage("no node is named: use --node DIR, set MACULA_NODE, or use --connect ADDR --identity DIR")
        })?;
        Ok(Client::local(&NodeDirectory::new(directory)).await?)
    }
}

/// Asks the member about itself.
pub(crate) async fn ask<T: DeserializeOwned>(client: &Client, question: &str) -> Result<T, Failed> {
    ask_with(client, question, String::new()).await
}

/// Asks the member about what the arguments name.
pub(crate) async fn ask_with<T: DeserializeOwned>(
    client: &Client,
    question: &str,
    arguments: String,
) -> Result<T, Failed> {
    let reply = client
        .call(question, arguments, CallOptions::default())
        .await?;
    serde_json::from_slice(&reply.payload).map_err(|error| {
        Failed::new(
            Exit::Failure,
            format!("the node answered {question} with something else: {error}"),
        )
    })
}
