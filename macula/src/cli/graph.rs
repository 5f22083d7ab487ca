//! `macula graph`: the overlay as a node knows it, drawn.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::attach::{self, Attach};
use super::duration::micros;
use super::exit::{Exit, Failed};
use super::output::Output;

/// Draw who is linked to whom, as a node knows it: its links, and what its neighbours told it.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula graph --node mesh/node\n  macula graph --format dot --node mesh/node | dot -Tsvg > mesh.svg"
)]
pub(crate) struct Args {
    /// How to draw: for people, for Graphviz, for Markdown, or for programs.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    attach: Attach,
}

/// How a graph is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    /// One line for each member, with its ties.
    Text,
    /// The language of Graphviz.
    Dot,
    /// The language of Mermaid.
    Mermaid,
    /// One JSON object.
    Json,
}

/// A graph, as a node tells of it.
#[derive(Debug, Deserialize, Serialize)]
struct Graph {
    own: String,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Node {
    node: String,
    state: String,
    zone: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Edge {
    a: String,
    b: String,
    kind: String,
    rtt_us: Option<u64>,
}

#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(flatten)]
    graph: &'a Graph,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let client = args.attach.client().await?;
    let graph: Graph = attach::ask(&client, "$sys.graph").await?;
    client.close().await;
    let format = if output.is_json() {
        Format::Json
    } else {
        args.format
    };
    let lines = match format {
        Format::Text => graph.text(),
        Format::Dot => graph.dot(),
        Format::Mermaid => graph.mermaid(),
        Format::Json => {
            output.object(&Line {
                event: "graph",
                graph: &graph,
            })?;
            Vec::new()
        }
    };
    for line in lines {
        output.line(&line)?;
    }
    Ok(Exit::Ok)
}

impl Graph {
    /// The shortest beginnings of ids, of eight digits at least, that tell the members apart.
    fn names(&self) -> BTreeMap<&str, &str> {
        let ids: Vec<&str> = self.nodes.iter().map(|node| node.node.as_str()).collect();
        let cut = |length: usize| ids.iter().map(move |id| id.get(..length).unwrap_or(id));
        let is_enough = |length: &usize| {
            let names: std::collections::BTreeSet<&str> = cut(*length).collect();
            names.len() == ids.len()
        };
        let length = (8..=64).step_by(8).find(is_enough).unwrap_or(64);
        ids.iter().copied().zip(cut(length)).collect()
    }

    fn text(&self) -> Vec<String> {
        let names = self.names();
        let name = |id: &str| names.get(id).copied().unwrap_or("?").to_owned();
        let mut lines = Vec::new();
        for node in &self.nodes {
            let mut line = name(&node.node);
            if node.node == self.own {
                line.push_str(" (this node)");
            }
            if node.state != "alive" {
                line.push_str(&format!(" ({})", node.state));
            }
            lines.push(line);
            for edge in &self.edges {
                let other = match (edge.a == node.node, edge.b == node.node) {
                    (true, _) => &edge.b,
                    (_, true) => &edge.a,
                    (false, false) => continue,
                };
                let mut line = format!("  -- {}  {}", name(other), edge.kind);
                if let Some(rtt) = edge.rtt_us {
                    line.push_str(&format!(", {}", micros(rtt)));
                }
                lines.push(line);
            }
        }
        lines
    }

    fn dot(&self) -> Vec<String> {
        let names = self.names();
        let name = |id: &str| names.get(id).copied().unwrap_or("?");
        let mut lines = vec![
            "graph macula {".to_owned(),
            "  node [shape=box];".to_owned(),
        ];
        for node in &self.nodes {
            let style = match (node.node == self.own, node.state.as_str()) {
                (true, _) => " [style=bold]",
                (false, "alive") => "",
                (false, _) => " [style=dashed]",
            };
            lines.push(format!("  \"{}\"{style};", name(&node.node)));
        }
        for edge in &self.edges {
            let style = match edge.kind.as_str() {
                "neighbour" => " [style=bold]",
                "told" => "",
                _ => " [style=dotted]",
            };
            lines.push(format!(
                "  \"{}\" -- \"{}\"{style};",
                name(&edge.a),
                name(&edge.b)
            ));
        }
        lines.push("}".to_owned());
        lines
    }

    fn mermaid(&self) -> Vec<String> {
        let names = self.names();
        let name = |id: &str| names.get(id).copied().unwrap_or("?");
        let mut lines = vec!["graph LR".to_owned()];
        for node in &self.nodes {
            let name = name(&node.node);
            let shown = if node.node == self.own {
                format!("  n{name}[[\"{name}\"]]")
            } else {
                format!("  n{name}[\"{name}\"]")
            };
            lines.push(shown);
        }
        for edge in &self.edges {
            let line = match edge.kind.as_str() {
                "neighbour" => "===",
                "told" => "---",
                _ => "-.-",
            };
            lines.push(format!("  n{} {line} n{}", name(&edge.a), name(&edge.b)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let id = |digit: char| digit.to_string().repeat(64);
        let node = |digit, state: &str| Node {
            node: id(digit),
            state: state.into(),
            zone: None,
        };
        let edge = |a, b, kind: &str, rtt_us| Edge {
            a: id(a),
            b: id(b),
            kind: kind.into(),
            rtt_us,
        };
        Graph {
            own: id('a'),
            nodes: vec![node('a', "alive"), node('b', "alive"), node('c', "suspect")],
            edges: vec![
                edge('a', 'b', "neighbour", Some(700)),
                edge('a', 'c', "link", None),
                edge('b', 'c', "told", None),
            ],
        }
    }

    #[test]
    fn each_language_shows_every_member_and_every_tie() {
        let graph = graph();
        assert_eq!(
            graph.text(),
            [
                "aaaaaaaa (this node)",
                "  -- bbbbbbbb  neighbour, 700 µs",
                "  -- cccccccc  link",
                "bbbbbbbb",
                "  -- aaaaaaaa  neighbour, 700 µs",
                "  -- cccccccc  told",
                "cccccccc (suspect)",
                "  -- aaaaaaaa  link",
                "  -- bbbbbbbb  told",
            ]
        );
        assert_eq!(
            graph.dot(),
            [
                "graph macula {",
                "  node [shape=box];",
                "  \"aaaaaaaa\" [style=bold];",
                "  \"bbbbbbbb\";",
                "  \"cccccccc\" [style=dashed];",
                "  \"aaaaaaaa\" -- \"bbbbbbbb\" [style=bold];",
                "  \"aaaaaaaa\" -- \"cccccccc\" [style=dotted];",
                "  \"bbbbbbbb\" -- \"cccccccc\";",
                "}",
            ]
        );
        assert_eq!(
            graph.mermaid(),
            [
                "graph LR",
                "  naaaaaaaa[[\"aaaaaaaa\"]]",
                "  nbbbbbbbb[\"bbbbbbbb\"]",
                "  ncccccccc[\"cccccccc\"]",
                "  naaaaaaaa === nbbbbbbbb",
                "  naaaaaaaa -.- ncccccccc",
                "  nbbbbbbbb --- ncccccccc",
            ]
        );
    }

    #[test]
    fn ids_that_begin_alike_are_told_apart() {
        let mut graph = graph();
        let twin = format!("{}1{}", "b".repeat(8), "0".repeat(55));
        graph.nodes.push(Node {
            node: twin.clone(),
            state: "alive".into(),
            zone: None,
        });
        assert_eq!(graph.names()[twin.as_str()], "bbbbbbbb10000000");
    }
}
