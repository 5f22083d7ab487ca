//! `macula http`: the HTTP/3 face of a node.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use macula::RealmCredentials;
use macula::realm::{NodeIdentity, TrustBundle};
use macula::transport::Credentials;
use macula::transport::http3;
use serde::Serialize;

use super::address;
use super::exit::{Exit, Failed};
use super::output::{Output, Payload, hex};

/// Ask the HTTP/3 face of a node.
#[derive(clap::Subcommand, Debug)]
#[command(after_help = "Example:\n  macula http get /healthz --connect 127.0.0.1:4433")]
pub(crate) enum Command {
    Get(GetArgs),
}

/// Fetch a document from any node.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  macula http get /metrics --connect 127.0.0.1:4433 --identity mesh/node"
)]
pub(crate) struct GetArgs {
    /// What to fetch: /healthz, /metrics or /v1/node.
    path: String,
    /// The UDP address of the node.
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    connect: SocketAddr,
    /// The directory with the certificate and the key to show, for what is not for everybody.
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
}

#[derive(Serialize)]
struct Response<'a> {
    event: &'static str,
    status: u16,
    content_type: &'a str,
    server_sha256: String,
    body: Payload<'a>,
}

pub(crate) async fn run(command: Command, output: Output) -> Result<Exit, Failed> {
    let Command::Get(args) = command;
    let credentials = match &args.identity {
        None => None,
        Some(directory) => {
            let identity = NodeIdentity::load(directory)?;
            let credentials = RealmCredentials::new(&identity, TrustBundle::load(directory)?);
            Some(Arc::new(credentials) as Arc<dyn Credentials>)
        }
    };
    let reply = http3::get(args.connect, &args.path, credentials).await?;
    if output.is_json() {
        output.object(&Response {
            event: "response",
            status: reply.status,
            content_type: &reply.content_type,
            server_sha256: hex(&reply.server_fingerprint),
            body: Payload::new(&reply.body),
        })?;
    } else if reply.status < 400 {
        output.bytes(&reply.body)?;
    }
    let exit = match reply.status {
        ..=399 => return Ok(Exit::Ok),
        401 | 403 => Exit::Denied,
        404 => Exit::NotFound,
        503 => Exit::Unreachable,
        _ => Exit::Failure,
    };
    let said = String::from_utf8_lossy(&reply.body);
    Err(Failed::new(
        exit,
        format!("status {}: {}", reply.status, said.trim()),
    ))
}
