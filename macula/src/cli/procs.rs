//! `macula procs`: which procedures the realm serves, and who does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use macula::wire::{Pattern, Procedure};
use serde::Serialize;

use super::attach::Attach;
use super::duration;
use super::exit::{Exit, Failed};
use super::members::short;
use super::output::{Output, escaped};
use super::services::{Endpoint, Found, gather};
use super::table::{Table, grouped};

/// List the procedures that are served in the realm: how their names are read, who of several gets a call, and who they
/// are.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  macula procs --node mesh/node\n  macula procs text.upper --json --node mesh/node"
)]
pub(crate) struct Args {
    /// Only what a call of this procedure would find.
    procedure: Option<String>,
    /// How long to wait for answers.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    attach: Attach,
}

/// What is served under one name.
#[derive(Debug, Serialize)]
struct Line<'a> {
    event: &'static str,
    procedure: &'a str,
    #[serde(rename = "match")]
    matching: &'a str,
    invoke: &'a str,
    providers: Vec<Provider<'a>>,
}

/// One registration of it.
#[derive(Debug, Serialize)]
struct Provider<'a> {
    node: &'a str,
    provider: &'a str,
    service: &'a str,
    instance: &'a str,
    weight: Option<u64>,
    concurrency: Option<u64>,
    zone: Option<&'a str>,
}

pub(crate) async fn run(args: Args, output: Output) -> Result<Exit, Failed> {
    let wanted = args.procedure.as_deref().map(Procedure::new).transpose();
    let wanted = wanted.map_err(|error| Failed::usage(error.to_string()))?;
    let client = args.attach.client().await?;
    let gathered = gather(&client, "$svc.info", args.timeout).await;
    client.close().await;
    let gathered = gathered?;
    let lines = group(&gathered.services, wanted.as_ref());
    if output.is_json() {
        lines.iter().try_for_each(|line| output.object(line))?;
    } else {
        show(&lines, output)?;
    }
    let exit = gathered.exit(output);
    match (&args.procedure, lines.is_empty(), exit) {
        (Some(name), true, Exit::Ok) => Err(Failed::new(
            Exit::NotFound,
            format!("nobody serves {name}, or nobody whom this identity may call"),
        )),
        _ => Ok(exit),
    }
}

/// All registrations by their names.
fn group<'a>(services: &'a [Found], wanted: Option<&Procedure>) -> Vec<Line<'a>> {
    let mut by_name: BTreeMap<(&str, &str), Line<'a>> = BTreeMap::new();
    let all = services.iter().flat_map(|found| {
        let endpoints = found.endpoints.iter().flatten();
        endpoints.map(move |endpoint| (found, endpoint))
    });
    for (found, endpoint) in all.filter(|(_, endpoint)| covers(endpoint, wanted)) {
        let key = (endpoint.procedure.as_str(), endpoint.invoke.as_str());
        let line = by_name.entry(key).or_insert_with(|| Line {
            event: "procedure",
            procedure: &endpoint.procedure,
            matching: &endpoint.matching,
            invoke: &endpoint.invoke,
            providers: Vec::new(),
        });
        line.providers.push(Provider {
            node: &found.node,
            provider: &found.provider,
            service: &found.name,
            instance: &found.id,
            weight: endpoint.weight,
            concurrency: endpoint.concurrency,
            zone: endpoint.zone.as_deref(),
        });
    }
    by_name.into_values().collect()
}

fn covers(endpoint: &Endpoint, wanted: Option<&Procedure>) -> bool {
    wanted.is_none_or(|wanted| {
        Pattern::new(&endpoint.procedure).is_ok_and(|pattern| pattern.covers(wanted))
    })
}

fn show(lines: &[Line<'_>], output: Output) -> Result<(), Failed> {
    let heading = [
        "procedure",
        "match",
        "invoke",
        "providers",
        "nodes",
        "zones",
    ];
    let mut table = Table::new(&heading);
    for line in lines {
        let nodes: BTreeSet<String> = line.providers.iter().map(|one| short(one.node)).collect();
        let zones: BTreeSet<&str> = line.providers.iter().filter_map(|one| one.zone).collect();
        let count = u64::try_from(line.providers.len()).unwrap_or(u64::MAX);
        table.row([
            escaped(line.procedure),
            escaped(line.matching),
            escaped(line.invoke),
            grouped(count),
            nodes.into_iter().collect::<Vec<_>>().join(" "),
            if zones.is_empty() {
                "none".to_owned()
            } else {
                escaped(&zones.into_iter().collect::<Vec<_>>().join(" "))
            },
        ]);
    }
    table.lines().iter().try_for_each(|line| output.line(line))
}
