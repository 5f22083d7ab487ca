//! `macula members --watch`: what happens to members, as it happens.

use std::collections::BTreeMap;

use macula::{Client, Delivery, SubscribeOptions, Subscription};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Member, ask, list, short, tags};
use crate::cli::exit::{Exit, Failed};
use crate::cli::output::Output;
use crate::cli::signal::Signals;

/// The topic on which a node tells its clients what happens to members.
const TOPIC: &str = "$sys.members";

/// A change, as a node tells of it.
#[derive(Debug, Deserialize, Serialize)]
struct Change {
    event: String,
    node: String,
    at_ms: u64,
    change: u64,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// Said once after the list: from here on every change is told.
#[derive(Serialize)]
struct Watching {
    event: &'static str,
    members: usize,
}

/// What is known of the members, so that a change that was not told is found by asking again.
#[derive(Debug, Default)]
struct Known {
    members: BTreeMap<String, Shown>,
    /// The number of the last change that is in it.
    as_of: u64,
}

/// As much of a member as has a change of its own.
#[derive(Debug, Eq, PartialEq)]
struct Shown {
    state: String,
    tags: BTreeMap<String, String>,
}

pub(super) async fn run(client: &Client, output: Output) -> Result<Exit, Failed> {
    let mut signals = Signals::listen()?;
    // First of all, so that nothing that happens after the list is missed.
    let subscription = client.subscribe(TOPIC, SubscribeOptions::default()).await?;
    let members = ask(client).await?;
    list(&members, output)?;
    let watching = Watching {
        event: "watching",
        members: members.len(),
    };
    if output.is_json() {
        output.object(&watching)?;
    } else {
        output.note("watching; end it with Ctrl-C");
    }
    let mut known = Known::default();
    known.take(&members);
    tokio::select! {
        lost = watch(client, subscription, known, output) => {
            lost?;
            let reason = client.closed().await;
            Err(Failed::new(Exit::Unreachable, format!("the node closed the link: {reason}")))
        }
        _ = signals.next() => {
            client.close().await;
            Ok(Exit::Ok)
        }
    }
}

/// Tells changes until the link is lost.
async fn watch(
    client: &Client,
    mut subscription: Subscription,
    mut known: Known,
    output: Output,
) -> Result<(), Failed> {
    while let Some(delivery) = subscription.next().await {
        let changes = match delivery {
            Delivery::Event(event) => match serde_json::from_slice::<Change>(event.payload()) {
                Ok(change) if change.change <= known.as_of => Vec::new(),
                Ok(change) if change.change == known.as_of.saturating_add(1) => {
                    known.apply(&change);
                    vec![change]
                }
                // A number is missing, or a later version speaks in another way.
                Ok(_) | Err(_) => known.take(&ask(client).await?),
            },
            Delivery::Gap(_) | _ => known.take(&ask(client).await?),
        };
        for change in &changes {
            print(change, output)?;
        }
    }
    Ok(())
}

fn print(change: &Change, output: Output) -> Result<(), Failed> {
    if output.is_json() {
        return output.object(change);
    }
    let mut line = format!(
        "{}  {:<8} {}",
        time_of_day(change.at_ms),
        change.event,
        short(&change.node)
    );
    if let Some(address) = change.more.get("addresses").and_then(|list| list.get(0)) {
        line.push_str(&format!("  {}", address.as_str().unwrap_or_default()));
    }
    if let Some(shown) = change.tags() {
        line.push_str(&format!("  {}", tags(&shown)));
    }
    output.line(&line)
}

impl Change {
    fn tags(&self) -> Option<BTreeMap<String, String>> {
        let tags = self.more.get("tags")?;
        serde_json::from_value(tags.clone()).ok()
    }

    /// A change that was not told, made of how the member is now.
    fn found(event: &str, member: &Member) -> Self {
        let mut more = Map::new();
        more.insert("tags".to_owned(), member.tags.clone().into_iter().collect());
        Self {
            event: event.to_owned(),
            node: member.node.clone(),
            at_ms: member.since_at_ms,
            change: member.as_of,
            more,
        }
    }
}

impl Known {
    /// Takes a change in.
    fn apply(&mut self, change: &Change) {
        self.as_of = change.change;
        let state = match change.event.as_str() {
            "up" => Some("alive"),
            "suspect" => Some("suspect"),
            "down" => Some("dead"),
            "left" => Some("left"),
            _ => None,
        };
        let shown = self.members.entry(change.node.clone());
        let shown = shown.or_insert_with(|| Shown {
            state: String::new(),
            tags: BTreeMap::new(),
        });
        if let Some(state) = state {
            state.clone_into(&mut shown.state);
        }
        if let Some(tags) = change.tags() {
            shown.tags = tags;
        }
    }

    /// Takes the whole membership in, and says what is new.
    fn take(&mut self, members: &[Member]) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut now = BTreeMap::new();
        for member in members {
            self.as_of = self.as_of.max(member.as_of);
            let before = self.members.get(&member.node);
            if before.is_none_or(|before| before.state != member.state) {
                let event = match member.state.as_str() {
                    "alive" => "up",
                    "dead" => "down",
                    same => same,
                };
                changes.push(Change::found(event, member));
            } else if before.is_some_and(|before| before.tags != member.tags) {
                changes.push(Change::found("tags", member));
            }
            let shown = Shown {
                state: member.state.clone(),
                tags: member.tags.clone(),
            };
            now.insert(member.node.clone(), shown);
        }
        self.members = now;
        changes
    }
}

/// The time of day in UTC, to the millisecond.
fn time_of_day(at_ms: u64) -> String {
    let of_day = at_ms % 86_400_000;
    let (seconds, ms) = (of_day / 1_000, of_day % 1_000);
    let (minutes, second) = (seconds / 60, seconds % 60);
    format!(
        "{:02}:{:02}:{second:02}.{ms:03}Z",
        minutes / 60,
        minutes % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: &str, state: &str, as_of: u64) -> Member {
        Member {
            node: node.into(),
            state: state.into(),
            epoch: 1,
            incarnation: 0,
            addresses: Vec::new(),
            roles: Vec::new(),
            zone: None,
            agent: String::new(),
            tags: BTreeMap::new(),
            rtt_us: None,
            since_at_ms: 0,
            since_ms: 0,
            linked: true,
            as_of,
        }
    }

    #[test]
    fn what_was_not_told_is_found_by_asking() {
        let mut known = Known::default();
        known.take(&[member("a", "alive", 3), member("b", "alive", 3)]);
        let told: Change = serde_json::from_value(serde_json::json!(
            {"event": "suspect", "node": "b", "at_ms": 1, "change": 4}
        ))
        .unwrap();
        known.apply(&told);
        assert_eq!(known.as_of, 4);
        let mut tagged = member("a", "alive", 9);
        tagged.tags.insert("k".into(), "v".into());
        let found = known.take(&[tagged, member("b", "dead", 9), member("c", "alive", 9)]);
        let names: Vec<(&str, &str)> = found
            .iter()
            .map(|change| (change.event.as_str(), change.node.as_str()))
            .collect();
        assert_eq!(names, [("tags", "a"), ("down", "b"), ("up", "c")]);
        assert_eq!(known.as_of, 9);
    }

    #[test]
    fn the_time_of_day_is_in_utc() {
        assert_eq!(time_of_day(1_795_375_668_809), "19:27:48.809Z");
        assert_eq!(time_of_day(0), "00:00:00.000Z");
    }
}
