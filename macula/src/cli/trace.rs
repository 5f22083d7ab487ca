//! `macula trace`: the way to a node.

use macula::wire::ErrorCode;
use serde::{Deserialize, Serialize};

use super::attach::{self, Attach};
use super::duration::micros;
use super::exit::{Exit, Failed};
use super::members::short;
use super::output::{Output, escaped};
use super::table::Table;

/// Show the way from a node to another one: their link, or the members that carry packets between them.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula trace 5d4f --node mesh/node\n  macula trace kitchen --json --node mesh/node"
)]
pub(crate) struct Args {
    /// The other node: its id, the start of its id, or its tag `name`.
    #[arg(value_name = "NODE", id = "target")]
    target: String,
    #[command(flatten)]
    attach: Attach,
}

/// A way, as a node tells of it.
#[derive(Debug, Deserialize, Serialize)]
struct Trace {
    node: String,
    target: String,
    link: String,
    reached: bool,
    code: String,
    elapsed_us: u64,
    hops: Vec<Hop>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Hop {
    node: String,
    name: Option<String>,
    rtt_us: Option<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    trace: &'a Trace,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let client = args.attach.client().await?;
    let trace: Trace = attach::ask_with(&client, "$sys.trace", args.target).await?;
    client.close().await;
    if output.is_json() {
        output.object(&Line {
            event: "trace",
            trace: &trace,
        })?;
    } else {
        for line in trace.lines() {
            output.line(&line)?;
        }
    }
    Ok(match trace.error() {
        None => Exit::Ok,
        Some(code) => Exit::of(code),
    })
}

impl Trace {
    /// Why the way leads no further, if it does not lead there.
    fn error(&self) -> Option<ErrorCode> {
        let code = ErrorCode::from_name(&self.code).unwrap_or(ErrorCode::INTERNAL);
        (!self.reached).then_some(code)
    }

    fn lines(&self) -> Vec<String> {
        let mut table = Table::new(&["hop", "node", "name", "rtt"]);
        for (at, hop) in self.hops.iter().enumerate() {
            table.row([
                at.to_string(),
                short(&hop.node),
                hop.name.as_deref().map_or_else(|| "-".to_owned(), escaped),
                hop.rtt_us.map_or_else(|| "-".to_owned(), micros),
            ]);
        }
        let mut lines = table.lines();
        lines.push(self.verdict());
        lines
    }

    fn verdict(&self) -> String {
        let links = self.hops.len().saturating_sub(1);
        let target = short(&self.target);
        let Some(code) = self.error() else {
            let elapsed = micros(self.elapsed_us);
            let (way, links) = match (self.link.as_str(), links) {
                ("direct", _) => ("a direct link", "1 link".to_owned()),
                ("forwarded", links) => ("a forwarded link", format!("{links} links")),
                (_, links) => ("no link yet, but a way", format!("{links} links")),
            };
            return format!("{target} is reached in {elapsed}: {way}, {links}");
        };
        let last = self.hops.last().map_or("?", |hop| hop.node.as_str());
        let why = if code == ErrorCode::DEADLINE_EXCEEDED {
            "no answer came"
        } else {
            code.advice()
        };
        let last = short(last);
        format!("{target} is not reached: {} after {last}, {why}", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(link: &str, code: &str, nodes: &[(char, Option<u64>)]) -> Trace {
        let id = |digit: char| digit.to_string().repeat(64);
        Trace {
            node: id('a'),
            target: id('c'),
            link: link.into(),
            reached: code == "OK",
            code: code.into(),
            elapsed_us: 1_234,
            hops: nodes
                .iter()
                .map(|(digit, rtt_us)| Hop {
                    node: id(*digit),
                    name: (*digit == 'b').then(|| "hub".to_owned()),
                    rtt_us: *rtt_us,
                })
                .collect(),
        }
    }

    #[test]
    fn each_node_on_the_way_has_its_line() {
        let nodes = [('a', None), ('b', Some(700)), ('c', Some(300))];
        assert_eq!(
            trace("forwarded", "OK", &nodes).lines(),
            [
                "hop  node              name     rtt",
                "  0  aaaaaaaaaaaaaaaa  -          -",
                "  1  bbbbbbbbbbbbbbbb  hub   700 µs",
                "  2  cccccccccccccccc  -     300 µs",
                "cccccccccccccccc is reached in 1.2 ms: a forwarded link, 2 links",
            ]
        );
    }

    #[test]
    fn it_says_why_it_gets_no_further() {
        let lost = trace("none", "UNREACHABLE", &[('a', None), ('b', Some(700))]);
        let verdict = lost.verdict();
        assert!(
            verdict.contains("UNREACHABLE after bbbbbbbbbbbbbbbb"),
            "{verdict}"
        );
        assert_eq!(lost.error().map(Exit::of), Some(Exit::Unreachable));
        let silent = trace("none", "DEADLINE_EXCEEDED", &[('a', None)]);
        assert_eq!(silent.error().map(Exit::of), Some(Exit::Deadline));
        let direct = trace("direct", "OK", &[('a', None), ('c', Some(1_234))]);
        assert!(direct.error().is_none());
        assert!(direct.verdict().ends_with("a direct link, 1 link"));
    }
}
