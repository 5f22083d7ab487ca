//! `macula version`: which program this is, and which the node runs.

use serde::{Deserialize, Serialize};

use super::attach::{self, Attach};
use super::exit::{Exit, Failed};
use super::output::{Output, escaped};

/// The version of the protocol that this program speaks.
const PROTOCOL: &str = "macula/1";

/// Print the version of this program, and of a node if one is named.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  macula version --node mesh/node")]
pub(crate) struct Args {
    #[command(flatten)]
    attach: Attach,
}

#[derive(Serialize)]
struct Version<'a> {
    event: &'static str,
    version: &'static str,
    protocol: &'static str,
    node: Option<&'a str>,
    agent: Option<&'a str>,
}

/// As much of the node's answer as is wanted here.
#[derive(Deserialize)]
struct Info {
    node: String,
    agent: String,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let info: Option<Info> = if args.attach.is_named() {
        let client = args.attach.client().await?;
        let info = attach::ask(&client, "$sys.node").await?;
        client.close().await;
        Some(info)
    } else {
        None
    };
    let version = Version {
        event: "version",
        version: env!("CARGO_PKG_VERSION"),
        protocol: PROTOCOL,
        node: info.as_ref().map(|info| info.node.as_str()),
        agent: info.as_ref().map(|info| info.agent.as_str()),
    };
    output.either(&version, || {
        let own = format!("macula {} ({PROTOCOL})", version.version);
        match &info {
            Some(info) => format!("{own}\nnode {} runs {}", info.node, escaped(&info.agent)),
            None => own,
        }
    })?;
    Ok(Exit::Ok)
}
