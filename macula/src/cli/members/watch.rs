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
    epoch: u64,
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
                // A number is missing, the node says that it could not tell everything (`missed`, which is no
                // change), or a later version speaks in another way.
                Ok(_) | Err(_) => known.take(&ask(client).await?),
            },
            Delivery::Closed(_) => return Ok(()),
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

    /// A change that was not told, made of how the member is now. When its tags changed is not known: the time is that
    /// of the answer, by the node's clock as everywhere.
    fn found(event: &str, member: &Member) -> Self {
        let mut more = Map::new();
        more.insert("tags".to_owned(), member.tags.clone().into_iter().collect());
        Self {
            event: event.to_owned(),
            node: member.node.clone(),
            at_ms: match event {
                "tags" => member.since_at_ms.saturating_add(member.since_ms),
                _ => member.since_at_ms,
            },
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
            epoch: 0,
            tags: BTreeMap::new(),
        });
        if let Some(state) = state {
            state.clone_into(&mut shown.state);
        }
        if let Some(epoch) = change.more.get("epoch").and_then(Value::as_u64) {
            shown.epoch = epoch;
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
            let events = events(self.members.get(&member.node), member);
            changes.extend(events.iter().map(|event| Change::found(event, member)));
            let shown = Shown {
                state: member.state.clone(),
                epoch: member.epoch,
                tags: member.tags.clone(),
            };
            now.insert(member.node.clone(), shown);
        }
        self.members = now;
        changes
    }
}

/// What must have happened to a member that is other than it was known to be.
fn events<'a>(before: Option<&Shown>, now: &'a Member) -> Vec<&'a str> {
    let is_other = before.is_none_or(|before| before.state != now.state);
    let has_ended = |before: &Shown| {
        matches!(before.state.as_str(), "alive" | "suspect") && before.epoch < now.epoch
    };
    match now.state.as_str() {
        "alive" if before.is_some_and(has_ended) => vec!["down", "up"],
        "alive" if is_other => vec!["up"],
        "dead" if is_other => vec!["down"],
        same if is_other => vec![same],
        _ if before.is_some_and(|before| before.tags != now.tags) => vec!["tags"],
        _ => Vec::new(),
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

    /// The events among what is told, with their times.
    fn told(changes: &[Change]) -> Vec<(&str, u64)> {
        let events = changes.iter();
        events
            .map(|change| (change.event.as_str(), change.at_ms))
            .collect()
    }

    #[test]
    fn a_restart_that_was_not_told_is_found_by_its_epoch() {
        let run = |state: &str, epoch| Member {
            epoch,
            since_at_ms: epoch * 100,
            ..member("a", state, epoch)
        };
        let mut known = Known::default();
        known.take(&[run("alive", 1)]);
        assert!(known.take(&[run("alive", 1)]).is_empty());
        let found = known.take(&[run("alive", 2)]);
        assert_eq!(told(&found), [("down", 200), ("up", 200)]);
        assert!(known.take(&[run("alive", 2)]).is_empty());
        known.take(&[run("suspect", 2)]);
        let found = known.take(&[run("alive", 3)]);
        assert_eq!(told(&found), [("down", 300), ("up", 300)]);
        // The end of the run was told, or that of the new one is what counts.
        known.take(&[run("dead", 3)]);
        assert_eq!(told(&known.take(&[run("alive", 4)])), [("up", 400)]);
        assert_eq!(told(&known.take(&[run("dead", 5)])), [("down", 500)]);
    }

    #[test]
    fn a_restart_that_was_told_is_not_told_again() {
        let mut known = Known::default();
        known.take(&[member("a", "alive", 1)]);
        for (number, event) in [(2, "down"), (3, "up")] {
            let told = serde_json::json!(
                {"event": event, "node": "a", "at_ms": 1, "change": number, "epoch": number}
            );
            known.apply(&serde_json::from_value(told).unwrap());
        }
        let mut again = member("a", "alive", 3);
        again.epoch = 3;
        assert!(known.take(&[again]).is_empty());
    }

    #[test]
    fn tags_that_were_not_told_have_the_time_of_the_answer() {
        let mut known = Known::default();
        known.take(&[member("a", "alive", 1)]);
        let mut tagged = member("a", "alive", 2);
        (tagged.since_at_ms, tagged.since_ms) = (1_000, 500);
        tagged.tags.insert("k".into(), "v".into());
        assert_eq!(told(&known.take(&[tagged])), [("tags", 1_500)]);
    }

    #[test]
    fn that_something_was_missed_is_no_change() {
        let missed = br#"{"event":"missed"}"#;
        assert!(serde_json::from_slice::<Change>(missed).is_err());
    }

    #[test]
    fn the_time_of_day_is_in_utc() {
        assert_eq!(time_of_day(1_795_375_668_809), "19:27:48.809Z");
        assert_eq!(time_of_day(0), "00:00:00.000Z");
    }
}
