//! `macula status` and `macula stats`: how a node is.

use serde::Serialize;
use serde_json::{Map, Value};

use super::attach::{self, Attach};
use super::exit::{Exit, Failed};
use super::output::{Output, escaped};
use super::table::{Table, grouped};

/// Tell how a node is: who it is, and all that it counts.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  macula status --node mesh/node --json")]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    attach: Attach,
}

/// List what a node counts, by the names of /metrics.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  macula stats --node mesh/node")]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    attach: Attach,
}

/// Answers of the node, as it gave them.
#[derive(Serialize)]
struct Status {
    event: &'static str,
    #[serde(flatten)]
    node: Map<String, Value>,
    stats: Map<String, Value>,
}

#[derive(Serialize)]
struct Stats {
    event: &'static str,
    #[serde(flatten)]
    stats: Map<String, Value>,
}

pub(crate) async fn status(args: StatusArgs, output: Output) -> Result<Exit, Failed> {
    let client = args.attach.client().await?;
    let node: Map<String, Value> = attach::ask(&client, "$sys.node").await?;
    let stats: Map<String, Value> = attach::ask(&client, "$sys.stats").await?;
    client.close().await;
    if output.is_json() {
        output.object(&Status {
            event: "status",
            node,
            stats,
        })?;
        return Ok(Exit::Ok);
    }
    let at = |path: &str| stats_at(&stats, path);
    for (name, value) in &node {
        // The number of a run is no amount.
        let text = value
            .as_u64()
            .map_or_else(|| plain(value), |number| number.to_string());
        output.line(&format!("{name:<10} {text}"))?;
    }
    for (name, text) in [
        (
            "members",
            format!(
                "{} alive, {} suspect",
                at("members.alive"),
                at("members.suspect")
            ),
        ),
        (
            "health",
            format!(
                "{} of 3 doubts, {} stalls, {} suspicions, {} of them cleared",
                at("membership.health"),
                at("membership.stalls"),
                at("membership.suspicions"),
                at("membership.suspicions_cleared")
            ),
        ),
        (
            "links",
            format!(
                "{} to members, {} of clients",
                at("links_members"),
                at("links_clients")
            ),
        ),
        (
            "events",
            format!(
                "{} published, {} received, {} missing",
                at("counts.events_published"),
                at("counts.events_received"),
                at("counts.missing")
            ),
        ),
        (
            "calls",
            format!(
                "{} made, {} received",
                at("counts.calls_made"),
                at("counts.calls_received")
            ),
        ),
        ("memory", format!("{} bytes", at("process_resident_bytes"))),
        ("panics", at("panics")),
    ] {
        output.line(&format!("{name:<10} {text}"))?;
    }
    Ok(Exit::Ok)
}

pub(crate) async fn stats(args: StatsArgs, output: Output) -> Result<Exit, Failed> {
    let client = args.attach.client().await?;
    let stats: Map<String, Value> = attach::ask(&client, "$sys.stats").await?;
    client.close().await;
    if output.is_json() {
        output.object(&Stats {
            event: "stats",
            stats,
        })?;
        return Ok(Exit::Ok);
    }
    let mut rows = Vec::new();
    flatten("", &Value::Object(stats), &mut rows);
    let mut table = Table::new(&["name", "value"]);
    for (name, value) in rows {
        table.row([name, value]);
    }
    for line in table.lines() {
        output.line(&line)?;
    }
    Ok(Exit::Ok)
}

/// The values inside, by the names that lead to them.
fn flatten(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let below = |key: &str| {
        if name.is_empty() {
            key.to_owned()
        } else {
            format!("{name}.{key}")
        }
    };
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(&below(key), value, rows);
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                flatten(&below(&at.to_string()), value, rows);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            rows.push((name.to_owned(), plain(value)));
        }
    }
}

/// The number behind a path of names.
fn stats_at(stats: &Map<String, Value>, path: &str) -> String {
    let mut names = path.split('.');
    let first = names.next().and_then(|name| stats.get(name));
    let found = names.try_fold(first, |value, name| value.map(|value| value.get(name)));
    found.flatten().map_or_else(|| "?".to_owned(), plain)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), grouped),
        Value::String(text) => escaped(text),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_path() {
        let stats = serde_json::json!({"a": {"b": 1_234}, "c": [{"d": 5}]});
        let Value::Object(stats) = stats else {
            panic!()
        };
        assert_eq!(stats_at(&stats, "a.b"), "1,234");
        assert_eq!(stats_at(&stats, "a.x"), "?");
        let mut rows = Vec::new();
        flatten("", &Value::Object(stats), &mut rows);
        assert_eq!(
            rows,
            [
                ("a.b".to_owned(), "1,234".to_owned()),
                ("c.0.d".to_owned(), "5".to_owned())
            ]
        );
    }
}
