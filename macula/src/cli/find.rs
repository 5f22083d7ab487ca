//! `macula find`: where a node is, who serves a procedure, who wants a topic.

use serde_json::json;

use super::attach::Attach;
use super::dht::{self, Findings, Search};
use super::exit::{Exit, Failed};
use super::output::Output;

/// Look up where a node is, who serves a procedure, or who wants the events of a topic.
///
/// The answer comes from the members that keep the records of the realm, signed by their owners.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "macula find [OPTIONS] NODE\n       macula find [OPTIONS] procedure NAME\n       macula find [OPTIONS] topic TOPIC",
    after_help = "Examples:\n  macula find 6f1c2a9b --node mesh/node\n  \
        macula find procedure home.42.status --node mesh/node\n  \
        macula find topic home.42.power --json --node mesh/node\n\n\
        Exit code 4 says that nothing was found."
)]
pub(crate) struct Args {
    /// A node (its id, or enough of its beginning to tell it from other members), or the word procedure or topic.
    #[arg(value_name = "WHAT")]
    what: String,
    /// The name of the procedure or the topic.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    search: Search,
    #[command(flatten)]
    attach: Attach,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let (kind, name) = match (args.what.as_str(), args.name) {
        ("procedure", Some(name)) => ("procedure", name),
        ("topic", Some(name)) => ("topic", name),
        (word @ ("procedure" | "topic"), None) => {
            return Err(Failed::usage(format!(
                "name the {word}: macula find {word} NAME"
            )));
        }
        (node, None) => ("node", node.to_owned()),
        (other, Some(_)) => {
            return Err(Failed::usage(format!(
                "{other:?} is no kind of thing that can be found: write procedure NAME, topic NAME, or a node alone"
            )));
        }
    };
    let client = args.attach.client().await?;
    let question = json!({ "kind": kind, "name": name, "paths": args.search.paths });
    let findings: Findings = dht::ask_about(&client, "$sys.find", &question).await?;
    client.close().await;
    dht::print(&findings, args.search.trace, output)
}
