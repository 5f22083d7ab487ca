//! What lookups found, as a node tells of it and as it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::duration::micros;
use super::super::exit::{Exit, Failed};
use super::super::output::{Output, escaped};
use super::super::table::Table;

/// One line of output, as programs read it.
#[derive(Serialize)]
pub(super) struct Line<'a, T> {
    pub(super) event: &'static str,
    #[serde(flatten)]
    pub(super) value: &'a T,
}

/// What a lookup found, as a node tells of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Findings {
    pub(super) key: String,
    pub(super) complete: bool,
    pub(super) records: Vec<Record>,
    pub(super) closest: Vec<Contact>,
    pub(super) hops: u32,
    pub(super) requests: u32,
    pub(super) late: u32,
    pub(super) took_us: u64,
    pub(super) steps: Vec<Step>,
}

/// A record, as a node tells of it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Record {
    owner: String,
    kind: String,
    name: String,
    sequence: u64,
    expires_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    addresses: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    neighbours: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Contact {
    pub(super) node: String,
    pub(super) addresses: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Step {
    node: String,
    hops: u32,
    end: String,
    after_us: u64,
    took_us: u64,
}

/// A node's own part of the routing, as it tells of it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Routing {
    pub(super) node: String,
    pub(super) position: String,
    pub(super) nodes: u64,
    pub(super) contacts: Vec<Entry>,
    pub(super) records: u64,
    pub(super) record_bytes: u64,
    pub(super) own_records: u64,
    pub(super) watches: u64,
    pub(super) watched: u64,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Entry {
    pub(super) node: String,
    pub(super) shared_bits: u32,
    pub(super) addresses: Vec<String>,
    pub(super) rtt_us: Option<u64>,
    pub(super) heard_ms: u64,
    pub(super) failures: u8,
}

/// Prints what was found: a line for each record.
pub(crate) fn print(findings: &Findings, trace: bool, output: Output) -> Result<Exit, Failed> {
    if output.is_json() {
        output.object(&Line {
            event: "found",
            value: findings,
        })?;
    } else {
        for record in &findings.records {
            output.line(&record.line())?;
        }
        if findings.records.is_empty() {
            output.note("nothing was found");
        }
        summary(findings, trace, output)?;
    }
    Ok(if findings.records.is_empty() {
        Exit::NotFound
    } else {
        Exit::Ok
    })
}

pub(super) fn summary(findings: &Findings, trace: bool, output: Output) -> Result<(), Failed> {
    if trace {
        let mut table = Table::new(&["asked", "hop", "after", "took", "end"]);
        for step in &findings.steps {
            table.row([
                short(&step.node),
                step.hops.to_string(),
                micros(step.after_us),
                micros(step.took_us),
                step.end.clone(),
            ]);
        }
        lines(&table, output)?;
    }
    let from = if findings.requests == 0 {
        "from the memory of the node".to_owned()
    } else {
        format!("{} hops, {} requests", findings.hops, findings.requests)
    };
    let late = match findings.late {
        0 => String::new(),
        late => format!(", {late} of them late"),
    };
    let cut = if findings.complete {
        ""
    } else {
        "; its time was over before its end"
    };
    output.note(&format!("{from}{late}, {}{cut}", micros(findings.took_us)));
    Ok(())
}

impl Record {
    /// The record for people.
    fn line(&self) -> String {
        let owner = short(&self.owner);
        match self.kind.as_str() {
            "node" => {
                let tags = self.tags.iter().flatten();
                let tags: Vec<String> = tags
                    .map(|(key, value)| escaped(&format!("{key}={value}")))
                    .collect();
                let addresses = self.addresses.as_deref().unwrap_or_default();
                format!(
                    "{}  at {}  neighbours {}  tags {}",
                    self.owner,
                    if addresses.is_empty() {
                        "no address".to_owned()
                    } else {
                        addresses.join(" ")
                    },
                    self.neighbours.as_ref().map_or(0, Vec::len),
                    if tags.is_empty() {
                        "none".to_owned()
                    } else {
                        tags.join(" ")
                    },
                )
            }
            "provider" => format!("{owner}  weight {}", self.weight.unwrap_or(0)),
            "interest" => format!("{owner}  {}", escaped(&self.name)),
            _ => {
                let text = self.text.as_deref().map(escaped);
                let hex = self.hex.as_deref().map(|hex| format!("0x{hex}"));
                format!("{owner}  {}", text.or(hex).unwrap_or_default())
            }
        }
    }
}

pub(super) fn lines(table: &Table, output: Output) -> Result<Exit, Failed> {
    for line in table.lines() {
        output.line(&line)?;
    }
    Ok(Exit::Ok)
}

/// Enough of an id or a key to tell it apart at a glance.
pub(super) fn short(id: &str) -> String {
    id.get(..16).unwrap_or(id).to_owned()
}
