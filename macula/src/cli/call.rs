//! `macula call`: calling a procedure.

use std::time::Duration;

use macula::CallOptions;
use macula::wire::ContentType;
use serde::Serialize;
use tokio::time::Instant;

use super::attach::Attach;
use super::duration::as_micros;
use super::exit::{Exit, Failed};
use super::input::Input;
use super::output::{Output, Payload, escaped};
use super::{content, duration};

/// Call a procedure, wherever in the realm it is served.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  macula call temperature.latest '{\"city\":\"seattle\"}' --node mesh/node"
)]
pub(crate) struct Args {
    /// The procedure.
    procedure: String,
    /// The arguments, or `-` for standard input; by default none.
    arguments: Option<String>,
    /// How long to wait for the answer, as in 5s.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    deadline: Duration,
    /// What the arguments are: bytes, text, json, cbor, bincode, etf or a media type; by default text, or bytes for
    /// what comes from standard input.
    #[arg(long, value_name = "TYPE", value_parser = content::content)]
    content: Option<ContentType>,
    #[command(flatten)]
    attach: Attach,
}

#[derive(Serialize)]
struct Answer<'a> {
    event: &'static str,
    procedure: &'a str,
    content: &'a str,
    payload: Payload<'a>,
    latency_us: u64,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let (arguments, default) = match args.arguments.as_deref() {
        Some("-") => (Input::stdin().whole().await?, ContentType::Bytes),
        Some(text) => (text.as_bytes().to_vec(), ContentType::Text),
        None => (Vec::new(), ContentType::Bytes),
    };
    let client = args.attach.client().await?;
    let options = CallOptions::default()
        .deadline(args.deadline)
        .content(args.content.unwrap_or(default));
    let begun = Instant::now();
    let reply = client.call(&args.procedure, arguments, options).await?;
    let latency_us = as_micros(begun.elapsed());
    client.close().await;
    if output.is_json() {
        output.object(&Answer {
            event: "reply",
            procedure: &args.procedure,
            content: reply.content.media_type(),
            payload: Payload::new(&reply.payload),
            latency_us,
        })?;
        return Ok(Exit::Ok);
    }
    match std::str::from_utf8(&reply.payload) {
        Ok(text) => output.line(&text.lines().map(escaped).collect::<Vec<_>>().join("\n"))?,
        Err(_) => output.bytes(&reply.payload)?,
    }
    Ok(Exit::Ok)
}
