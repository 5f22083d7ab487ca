//! Telling the realm's routing what this node keeps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_kad::record_id;
use macula_wire::message::{RecordContent, ValueContent};
use macula_wire::{ContentType, MediaType, Topic, limit};

use crate::node::Control;
use crate::plane::Plane;

/// How long what was told holds at least, so that many changes make one.
const PERIOD: Duration = Duration::from_secs(1);
/// How often what is too old is looked for.
const TEND_PERIOD: Duration = Duration::from_secs(10);
/// How long a value outlives its publisher if it has no end of its own.
const LEASE: Duration = Duration::from_secs(48 * 3_600);

/// Runs as long as the node does.
pub(crate) async fn announce(plane: Arc<Plane>, control: Control) {
    let mut ticks = tokio::time::interval(TEND_PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = plane.archive.changed.notified() => {}
            _ = ticks.tick() => plane.archive.tend(plane.clock.unix_ms()),
        }
        let changes = changes(&plane);
        if changes.is_empty() {
            continue;
        }
        let own = plane.node();
        let told = control
            .run(move |machine, now| {
                let kad = machine.kad_mut();
                for (content, lease) in changes {
                    let id = record_id(&own, &content);
                    // An earlier run may have told of it, which a record of this run has to take the place of before it
                    // can be taken back.
                    let published = kad.publish_for(now, content, lease.unwrap_or(LEASE));
                    if let Err(error) = published {
                        tracing::warn!(%error, "what this node keeps cannot be told");
                    }
                    if lease.is_none() {
                        kad.withdraw(now, &id);
                    }
                }
            })
            .await;
        if told.is_err() {
            return;
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// What is to be published, with its lease, or taken back.
fn changes(plane: &Plane) -> Vec<(RecordContent, Option<Duration>)> {
    let news = std::mem::take(&mut plane.archive.lock().news);
    let unix_ms = plane.clock.unix_ms();
    let mut changes = Vec::new();
    let mut state = plane.archive.lock();
    for topic in news.values {
        let Some(value) = state.values.get(&topic) else {
            continue;
        };
        let lease = value.encoded.as_ref().map(|_| match value.event.until_ms {
            0 => LEASE,
            until => Duration::from_millis(until.saturating_sub(unix_ms)).min(LEASE),
        });
        let bytes = value.encoded.clone().unwrap_or_default();
        if value.encoded.is_none() {
            state.values.remove(&topic);
        }
        changes.push((content(topic, limit::RETAINED_TYPE, bytes), lease));
    }
    drop(state);
    for first in news.firsts {
        let Ok(name) = Topic::new(&index_name(&first)) else {
            tracing::debug!(
                first,
                "topics with so long a first segment are found by their whole names only"
            );
            continue;
        };
        let mut index = plane.archive.index(&first);
        let mut bytes = Vec::new();
        // As many as fit: the others are found by their whole names only.
        while index.encode(&mut bytes).is_err() || bytes.len() > super::MAX_RETAINED_LEN {
            index.topics.truncate(index.topics.len() / 2);
            bytes.clear();
        }
        let lease = (!index.topics.is_empty()).then_some(LEASE);
        changes.push((content(name, limit::INDEX_TYPE, bytes.into()), lease));
    }
    changes
}

/// Under what name it is told which topics with a first segment are kept; that of a reserved one goes without its `$`.
pub(super) fn index_name(first: &str) -> String {
    let first = first.strip_prefix('$').unwrap_or(first);
    format!("{}.{first}", limit::INDEX_SEGMENT)
}

fn content(name: Topic, media_type: &str, value: Bytes) -> RecordContent {
    let content = MediaType::new(media_type).map_or(ContentType::Bytes, ContentType::Named);
    RecordContent::Value(ValueContent {
        name,
        content,
        value,
    })
}
