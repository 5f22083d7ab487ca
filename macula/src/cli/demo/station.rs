//! A node that receives readings and answers questions about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use macula::wire::{ErrorCode, NodeId};
use macula::{
    CallFailure, Delivery, Event, Invocation, Node, Overflow, RegisterOptions, Reply, Served,
    SubscribeOptions, Subscription,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::super::exit::Failed;
use super::ledger::{Last, Ledger, Tally, keep};
use super::mesh::{HELLO_TOPIC, Mesh};
use super::readings::{City, Measured};

/// What the receivers want.
const PATTERN: &str = "weather.*.temperature";
/// Room for both years: what is slow in drawing a picture must not cost readings.
const MAX_EVENTS: usize = 1 << 16;

/// Answers with the last reading of a city.
pub(crate) const LATEST: &str = "temperature.latest";
/// Answers with the mean of all readings of a city so far.
pub(crate) const MEAN: &str = "temperature.mean";

/// A receiver and what it serves.
#[derive(Debug)]
pub(crate) struct Station {
    records: Arc<Records>,
    _served: [Served; 2],
}

/// What a receiver has seen.
#[derive(Debug, Default)]
struct Records {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    cities: BTreeMap<City, Year>,
    heard: BTreeSet<NodeId>,
}

/// The year of a city as far as it has passed.
#[derive(Clone, Debug, Default)]
struct Year {
    at: String,
    fahrenheit: f64,
    count: u32,
    sum: f64,
    next: u64,
}

#[derive(Deserialize)]
struct Question<'a> {
    #[serde(borrow)]
    city: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
struct Latest<'a> {
    city: City,
    at: &'a str,
    fahrenheit: f64,
}

#[derive(Serialize)]
struct Mean<'a> {
    city: City,
    until: &'a str,
    readings: u32,
    fahrenheit: f64,
}

impl Station {
    /// Lets every receiver subscribe and serve.
    pub(crate) async fn start_all(
        mesh: &Mesh,
        ledger: &Ledger,
        tasks: &mut JoinSet<()>,
    ) -> Result<Vec<Self>, Failed> {
        let mut stations = Vec::new();
        for (number, node) in mesh.receivers() {
            stations.push(Self::start(node, ledger.of(number), tasks).await?);
        }
        Ok(stations)
    }

    async fn start(
        node: &Node,
        tally: Arc<Tally>,
        tasks: &mut JoinSet<()>,
    ) -> Result<Self, Failed> {
        let records = Arc::new(Records::default());
        let options = SubscribeOptions::default()
            .max_events(MAX_EVENTS)
            .overflow(Overflow::DropOldest);
        let subscription = node.subscribe(PATTERN, options).await?;
        tasks.spawn(receive(
            subscription,
            Arc::clone(&records),
            Arc::clone(&tally),
        ));
        let serve =
            async |procedure: &str, answer: fn(City, &Year) -> Result<Reply, CallFailure>| {
                let (records, tally) = (Arc::clone(&records), Arc::clone(&tally));
                let function = move |invocation: Invocation| {
                    let answered = records.answer(&invocation, answer);
                    if answered.is_ok() {
                        tally.count(|counts| counts.answered = counts.answered.saturating_add(1));
                    }
                    std::future::ready(answered)
                };
                node.register(procedure, RegisterOptions::default(), function)
                    .await
            };
        let served = [serve(LATEST, latest).await?, serve(MEAN, mean).await?];
        Ok(Self {
            records,
            _served: served,
        })
    }

    /// Whose hello has come.
    pub(crate) fn heard(&self) -> BTreeSet<NodeId> {
        self.records.lock().heard.clone()
    }
}

async fn receive(mut subscription: Subscription, records: Arc<Records>, tally: Arc<Tally>) {
    while let Some(delivery) = subscription.next().await {
        match delivery {
            Delivery::Event(event) if event.topic().as_str() == HELLO_TOPIC => {
                records.lock().heard.insert(event.publisher());
            }
            Delivery::Event(event) => records.take(&event, &tally),
            Delivery::Gap(gap) if gap.topic().as_str() == HELLO_TOPIC => {}
            Delivery::Gap(gap) => tally.count(|counts| {
                counts.gaps = counts.gaps.saturating_add(1);
                counts.missed = counts.missed.saturating_add(gap.count().unwrap_or(0));
            }),
            Delivery::Lagged(_) | Delivery::Retained(_) | Delivery::Closed(_) | _ => {}
        }
    }
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a reading and counts it.
    fn take(&self, event: &Event, tally: &Tally) {
        let city = event
            .topic()
            .as_str()
            .split('.')
            .nth(1)
            .and_then(City::from_name);
        let measured = serde_json::from_slice::<Measured<'_>>(event.payload()).ok();
        let (Some(city), Some(measured)) = (city, measured) else {
            return;
        };
        let is_next = {
            let mut seen = self.lock();
            let year = seen.cities.entry(city).or_default();
            let sequence = event.sequence().get();
            let is_next = sequence >= year.next;
            year.next = sequence.saturating_add(1);
            measured.at.clone_into(&mut year.at);
            year.fahrenheit = measured.fahrenheit;
            year.count = year.count.saturating_add(1);
            year.sum += measured.fahrenheit;
            is_next
        };
        let latency = tally.now_us().saturating_sub(measured.sent_us);
        tally.count(|counts| {
            if is_next {
                counts.received = counts.received.saturating_add(1);
            } else {
                counts.disordered = counts.disordered.saturating_add(1);
            }
            keep(&mut counts.event_us, latency);
            counts.last = Some(Last {
                city,
                at: measured.at.to_owned(),
                fahrenheit: measured.fahrenheit,
            });
        });
    }

    fn answer(
        &self,
        invocation: &Invocation,
        answer: fn(City, &Year) -> Result<Reply, CallFailure>,
    ) -> Result<Reply, CallFailure> {
        let question: Question<'_> = serde_json::from_slice(&invocation.payload).map_err(|_| {
            CallFailure::code(
                ErrorCode::INVALID_ARGUMENT,
                "the argument is {\"city\": NAME}",
            )
        })?;
        let city = City::from_name(&question.city).ok_or_else(|| {
            CallFailure::application("unknown-city", "there are seattle and san-francisco")
        })?;
        let year = self.lock().cities.get(&city).cloned();
        let year =
            year.ok_or_else(|| CallFailure::application("no-readings", "no reading has come yet"))?;
        answer(city, &year)
    }
}

fn latest(city: City, year: &Year) -> Result<Reply, CallFailure> {
    json(&Latest {
        city,
        at: &year.at,
        fahrenheit: year.fahrenheit,
    })
}

fn mean(city: City, year: &Year) -> Result<Reply, CallFailure> {
    json(&Mean {
        city,
        until: &year.at,
        readings: year.count,
        fahrenheit: (year.sum / f64::from(year.count.max(1)) * 10.0).round() / 10.0,
    })
}

fn json(value: &impl Serialize) -> Result<Reply, CallFailure> {
    let text = serde_json::to_string(value);
    text.map(Reply::json)
        .map_err(|error| CallFailure::code(ErrorCode::INTERNAL, &error.to_string()))
}
