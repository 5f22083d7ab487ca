//! How deliveries are printed.

use std::collections::BTreeMap;

use macula::{Delivery, Event, Gap};
use serde::Serialize;

use crate::cli::exit::Failed;
use crate::cli::output::{Output, Payload, shown};

#[derive(Serialize)]
struct Received<'a> {
    event: &'static str,
    topic: &'a str,
    publisher: String,
    epoch: u64,
    seq: u64,
    content: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_left_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<u64>,
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct Lagged {
    event: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct Closed {
    event: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct Missing<'a> {
    event: &'static str,
    topic: &'a str,
    publisher: String,
    epoch: u64,
    from: u64,
    to: Option<u64>,
    count: Option<u64>,
    cause: &'static str,
}

/// What is no event.
pub(super) fn print_other(delivery: &Delivery, output: Output) -> Result<(), Failed> {
    match delivery {
        Delivery::Gap(gap) => print_gap(gap, output),
        Delivery::Lagged(count) => print_lagged(*count, output),
        Delivery::Closed(reason) if output.is_json() => output.object(&Closed {
            event: "closed",
            reason: reason.name(),
        }),
        Delivery::Closed(_) | Delivery::Event(_) | Delivery::Retained(_) | _ => Ok(()),
    }
}

fn print_lagged(count: u64, output: Output) -> Result<(), Failed> {
    if output.is_json() {
        return output.object(&Lagged {
            event: "lagged",
            count,
        });
    }
    output.note(&format!("{count} events were dropped for newer ones"));
    Ok(())
}

/// Prints an event, and, where it is told, when that is.
pub(super) fn print(
    name: &'static str,
    event: &Event,
    raw: bool,
    at_ms: Option<u64>,
    output: Output,
) -> Result<(), Failed> {
    let payload = event.payload();
    if raw {
        let mut bytes = payload.to_vec();
        bytes.push(b'\n');
        return output.bytes(&bytes);
    }
    if !output.is_json() {
        let at = at_ms.map_or_else(String::new, |at| format!("{at} "));
        return output.line(&format!(
            "{at}{} {}",
            event.topic(),
            shown(event.content_type(), payload)
        ));
    }
    output.object(&Received {
        event: name,
        topic: event.topic().as_str(),
        publisher: event.publisher().to_string(),
        epoch: event.epoch().get(),
        seq: event.sequence().get(),
        content: event.content_type().media_type(),
        headers: event
            .headers()
            .iter()
            .map(|header| (header.key.as_str(), text(&header.value)))
            .collect(),
        key: event.key().map(|key| text(key)),
        dedup_id: event.dedup_id().map(|id| text(id)),
        ttl_left_ms: event
            .ttl_left()
            .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        at_ms,
        payload: Payload::new(payload),
    })
}

/// Bytes that are mostly text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn print_gap(gap: &Gap, output: Output) -> Result<(), Failed> {
    if output.is_json() {
        return output.object(&Missing {
            event: "gap",
            topic: gap.topic().as_str(),
            publisher: gap.publisher().to_string(),
            epoch: gap.epoch().get(),
            from: gap.from().get(),
            to: gap.to().map(macula::wire::Sequence::get),
            count: gap.count(),
            cause: gap.cause().name(),
        });
    }
    let count = gap.count().map_or_else(
        || "an unknown number of".to_owned(),
        |count| count.to_string(),
    );
    output.note(&format!(
        "gap: {count} events of {} on {} are missing ({})",
        gap.publisher().short(),
        gap.topic(),
        gap.cause().name()
    ));
    Ok(())
}
