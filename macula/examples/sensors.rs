//! Sensors whose last readings are there for whoever comes later, also when the sensor has gone.
//!
//! Run it: `cargo run --release -p macula --example sensors`. Two homes publish temperatures; a display that comes later
//! begins with the last value of each and the last readings that the publisher keeps, and ends with an error if one is
//! missing or comes twice.

#![expect(
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    reason = "an example shows what it does, with numbers that are small"
)]

#[path = "shared/realm.rs"]
mod realm;

use std::collections::BTreeMap;
use std::time::Duration;

use macula::{
    Codec, Delivery, EventOptions, FindOptions, History, Node, PublishOptions, Query,
    SubscribeOptions, Subscription,
};
use realm::{Failed, Realm};
use serde::{Deserialize, Serialize};

const HOMES: [&str; 2] = ["home.41.temperature", "home.42.temperature"];
const READINGS: u32 = 20;
const KEPT: u32 = 5;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Reading {
    celsius: f64,
    minute: u32,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut realm = Realm::create("be.acme.home")?;
    let (sensors, display) = (realm.member().await?, realm.member().await?);
    for topic in HOMES {
        measure(&sensors, topic).await?;
    }
    told(&display).await?;
    let last = SubscribeOptions::default().last();
    show_last(&mut display.subscribe("home.*.temperature", last).await?).await?;
    let history = SubscribeOptions::default().history(History::Last(KEPT));
    let mut readings = display.subscribe("home.*.temperature", history).await?;
    show_history(&mut readings).await?;
    sensors.wait_for_subscribers(HOMES[0]).await?;
    let live = Reading {
        celsius: 19.0,
        minute: READINGS,
    };
    publish(&sensors, HOMES[0], &live).await?;
    let (topic, reading) = event(&mut readings).await?;
    if topic != HOMES[0] || reading != live {
        return Err(format!("{reading:?} on {topic} is not what follows").into());
    }
    println!("now {topic}: {:.1} °C", reading.celsius);
    Ok(())
}

/// Publishes the readings of one home, of which the node keeps the last and the newest stays.
async fn measure(node: &Node, topic: &str) -> Result<(), Failed> {
    let options = PublishOptions::default()
        .content(Codec::Json.content_type())
        .history(KEPT);
    let publisher = node.publisher(topic, options).await?;
    let retained = EventOptions::default().retain().header("unit", "celsius");
    for minute in 0..READINGS {
        let celsius = 20.0 + f64::from(minute) / 10.0;
        let reading = Codec::Json.encode(&Reading { celsius, minute })?;
        publisher.publish_with(reading, &retained).await?;
    }
    Ok(())
}

/// Publishes one value.
async fn publish(node: &Node, topic: &str, reading: &Reading) -> Result<(), Failed> {
    node.publish_value(topic, reading, Codec::Cbor).await?;
    Ok(())
}

/// Waits until the realm knows the last values; it takes a second or two.
async fn told(node: &Node) -> Result<(), Failed> {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    let last = format!("\"minute\":{}", READINGS - 1);
    for topic in HOMES {
        loop {
            let query = Query::Value(topic.parse()?);
            let found = node.find(&query, FindOptions::default()).await?;
            let hex: String = last.bytes().map(|byte| format!("{byte:02x}")).collect();
            let has = |shown: &Option<String>| {
                shown
                    .as_ref()
                    .is_some_and(|shown| shown.contains(&last) || shown.contains(&hex))
            };
            let mut records = found.records.iter();
            if records.any(|record| has(&record.text) || has(&record.hex)) {
                break;
            }
            if tokio::time::Instant::now() > patience {
                return Err(format!("the last value of {topic} is not known").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

/// Shows the last value of each home.
async fn show_last(readings: &mut Subscription) -> Result<(), Failed> {
    for _ in HOMES {
        match readings.next().await {
            Some(Delivery::Retained(event)) => {
                let reading: Reading = event.value()?;
                println!("last {}: {:.1} °C", event.topic(), reading.celsius);
                if reading.minute != READINGS - 1 {
                    return Err(format!("{reading:?} is not the last value").into());
                }
            }
            other => return Err(format!("{other:?} is no last value").into()),
        }
    }
    Ok(())
}

/// Shows the last readings of each home, in their order and none twice.
async fn show_history(readings: &mut Subscription) -> Result<(), Failed> {
    let mut next: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..KEPT * 2 {
        let (topic, reading) = event(readings).await?;
        let expected = next.entry(topic.clone()).or_insert(READINGS - KEPT);
        if reading.minute != *expected {
            return Err(format!("{reading:?} on {topic}: {expected} is due").into());
        }
        *expected += 1;
    }
    for (topic, minute) in next {
        println!("{topic}: {KEPT} readings up to minute {}", minute - 1);
    }
    Ok(())
}

/// The next event, as a value.
async fn event(readings: &mut Subscription) -> Result<(String, Reading), Failed> {
    while let Some(delivery) = readings.next().await {
        match delivery {
            Delivery::Event(event) => return Ok((event.topic().to_string(), event.value()?)),
            Delivery::Gap(gap) => println!("{:?} are missing: {}", gap.count(), gap.cause().name()),
            Delivery::Lagged(count) => println!("{count} made room for newer ones"),
            Delivery::Retained(event) => println!("once more: {}", event.topic()),
            Delivery::Closed(reason) => println!("the end: {}", reason.name()),
            _ => {}
        }
    }
    Err("the subscription has ended".into())
}
