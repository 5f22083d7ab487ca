//! `macula topics`: what is subscribed to in the realm, and where, and how much is published.

mod rates;

use std::collections::BTreeMap;
use std::time::Duration;

use macula::CallOptions;
use macula::wire::{NodeId, Pattern, Topic};
use serde::{Deserialize, Serialize};

use super::attach::Attach;
use super::duration;
use super::each;
use super::exit::{Exit, Failed};
use super::members::short;
use super::output::{Output, escaped};
use super::table::{Table, grouped};

/// List the patterns that are subscribed to in the realm, and on which nodes.
///
/// Every member is asked for its own. Of each pattern the applications and clients of a node count.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula topics --node mesh/node\n  macula topics home.42.temperature --node mesh/node\n  macula topics --here --json --node mesh/node\n  macula topics --rates --node mesh/node"
)]
pub(crate) struct Args {
    /// Only patterns that an event on this topic would match.
    topic: Option<String>,
    /// Only those of the node itself.
    #[arg(long)]
    here: bool,
    /// Also list the topics that are published on, with the events and bytes of a second, measured over this time (1s).
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "1s", value_parser = duration::parse)]
    rates: Option<Duration>,
    /// How long to wait for answers.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    attach: Attach,
}

/// What a member answers.
#[derive(Debug, Deserialize)]
struct Answer {
    subscriptions: Vec<Subscribed>,
    more: u64,
}

#[derive(Debug, Deserialize)]
struct Subscribed {
    pattern: String,
    subscribers: u64,
    clients: u64,
}

/// A pattern, and who wants it.
#[derive(Debug, Serialize)]
struct Line {
    event: &'static str,
    pattern: String,
    subscribers: u64,
    nodes: Vec<OnNode>,
}

#[derive(Debug, Serialize)]
struct OnNode {
    node: String,
    subscribers: u64,
    clients: u64,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let topic = args.topic.as_deref().map(Topic::new).transpose();
    let topic = topic.map_err(|error| Failed::usage(error.to_string()))?;
    let client = args.attach.client().await?;
    let members = if args.here {
        vec![client.member()]
    } else {
        each::members(&client).await?
    };
    let options = CallOptions::default().deadline(args.timeout);
    let question = "$meta.subscription.list";
    let answers = each::ask_all(&client, &members, question, &options).await;
    let rates = match args.rates {
        Some(time) => Some(rates::measure(&client, &members, &options, time).await),
        None => None,
    };
    client.close().await;
    let mut lines = BTreeMap::new();
    let mut exit = Exit::Ok;
    for (node, reply) in answers {
        let told = match reply {
            Ok(reply) => serde_json::from_slice::<Answer>(&reply.payload)
                .map_err(|error| format!("its answer cannot be read: {error}")),
            Err(error) => Err(format!(
                "{}: {}",
                error.code().name(),
                escaped(error.detail())
            )),
        };
        match told {
            Ok(answer) => {
                if answer.more > 0 {
                    output.note(&format!(
                        "{} wants {} more patterns than an answer has room for",
                        short(&node.to_string()),
                        answer.more
                    ));
                    exit = Exit::Partial;
                }
                take(&mut lines, node, answer, topic.as_ref());
            }
            Err(why) => {
                output.note(&format!(
                    "{} did not answer: {why}",
                    short(&node.to_string())
                ));
                exit = Exit::Partial;
            }
        }
    }
    print(lines.into_values().collect(), output)?;
    if let Some(rates) = rates {
        if rates.is_partial() {
            output.note("not every node told all that is published on it");
            exit = Exit::Partial;
        }
        rates.print(topic.as_ref(), output)?;
    }
    Ok(exit)
}

/// Adds what a member wants.
fn take(lines: &mut BTreeMap<String, Line>, node: NodeId, answer: Answer, topic: Option<&Topic>) {
    let fits = |one: &Subscribed| {
        topic.is_none_or(|topic| {
            Pattern::new(&one.pattern).is_ok_and(|pattern| pattern.matches(topic))
        })
    };
    for one in answer.subscriptions.into_iter().filter(fits) {
        let line = lines.entry(one.pattern.clone()).or_insert_with(|| Line {
            event: "topic",
            pattern: one.pattern,
            subscribers: 0,
            nodes: Vec::new(),
        });
        line.subscribers = line.subscribers.saturating_add(one.subscribers);
        line.nodes.push(OnNode {
            node: node.to_string(),
            subscribers: one.subscribers,
            clients: one.clients,
        });
    }
}

fn print(mut lines: Vec<Line>, output: Output) -> Result<(), Failed> {
    for line in &mut lines {
        line.nodes.sort_by(|one, other| one.node.cmp(&other.node));
    }
    if output.is_json() {
        return lines.iter().try_for_each(|line| output.object(line));
    }
    let mut table = Table::new(&["pattern", "subscribers", "nodes", "by node"]);
    for line in &lines {
        let each = line.nodes.iter();
        let each: Vec<String> = each
            .map(|one| format!("{}:{}", short(&escaped(&one.node)), one.subscribers))
            .collect();
        let nodes = u64::try_from(line.nodes.len()).unwrap_or(u64::MAX);
        table.row([
            escaped(&line.pattern),
            grouped(line.subscribers),
            grouped(nodes),
            each.join(" "),
        ]);
    }
    table.lines().iter().try_for_each(|line| output.line(line))
}
