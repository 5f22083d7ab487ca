//! An energy market on real readings: homes that heat by the weather, a utility that publishes what they need in sum,
//! suppliers that make offers, and a market that finds the price.
//!
//! ```text
//! weather.<city>.temperature --> homes --> home.<id>.measured --> utility --> energy.<city>.demand --> market
//!                                                                                                       |  ^
//!                                                                              supplier.<name>.offer call  |
//!                                                                                                       v
//!                                                                                     market.<city>.price
//! ```
//!
//! Run it: `cargo run --release -p macula --example energy_market`. It replays two weeks of hourly temperatures of
//! Seattle and San Francisco, shows each day, and ends with an error if any sum differs from what the readings give.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

#[path = "shared/realm.rs"]
mod realm;

use std::collections::BTreeMap;
use std::time::Duration;

use macula::wire::{ContentType, ErrorCode};
use macula::{
    CallFailure, CallOptions, Delivery, Node, PublishOptions, RegisterOptions, Reply, Served,
    SubscribeOptions, Subscription,
};
use realm::{Failed, Realm};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

const CITIES: [(&str, &str); 2] = [
    ("seattle", include_str!("../data/seattle-temps.csv")),
    ("san-francisco", include_str!("../data/sf-temps.csv")),
];
/// Who supplies, how many watt hours an hour at most, and for how much.
const SUPPLIERS: [(&str, u64, u64); 3] = [
    ("hydro", 25_000, 4),
    ("wind", 10_000, 6),
    ("gas", 200_000, 19),
];
/// How long it may take until the market knows of a supplier.
const PATIENCE: Duration = Duration::from_secs(10);
const DAYS: usize = 14;
const HOURS: usize = DAYS * 24;
const HOMES: u32 = 20;
/// Below this outside temperature homes heat (the base of heating degree days in the United States).
const BALANCE_FAHRENHEIT: f64 = 65.0;

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Temperature {
    at: String,
    fahrenheit: f64,
}

/// What one home used in one hour.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Measured {
    city: String,
    at: String,
    watt_hours: u64,
}

/// What the homes of a city used in one hour: nobody but the utility sees a single home.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Demand {
    city: String,
    at: String,
    homes: u32,
    watt_hours: u64,
    greatest: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Offer {
    watt_hours: u64,
    cents_a_kwh: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Price {
    city: String,
    at: String,
    watt_hours: u64,
    cents_a_kwh: u64,
    supplied_by: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut realm = Realm::create("be.acme.energy")?;
    let weather = realm.member().await?;
    let (homes, utility, market) = (
        realm.member().await?,
        realm.member().await?,
        realm.member().await?,
    );
    let mut prices = weather
        .subscribe("market.*.price", SubscribeOptions::default())
        .await?;
    let mut served = Vec::new();
    for (name, capacity, price) in SUPPLIERS {
        let node = realm.member().await?;
        served.push((node.clone(), supply(&node, name, capacity, price).await?));
    }
    for (name, ..) in SUPPLIERS {
        tokio::time::timeout(PATIENCE, offered(&market, name)).await??;
    }
    let mut running = JoinSet::new();
    let heard = homes
        .subscribe("weather.*.temperature", SubscribeOptions::default())
        .await?;
    running.spawn(live(homes.clone(), heard));
    let heard = utility
        .subscribe("home.*.measured", SubscribeOptions::default())
        .await?;
    running.spawn(aggregate(utility.clone(), heard));
    let heard = market
        .subscribe("energy.*.demand", SubscribeOptions::default())
        .await?;
    running.spawn(trade(market.clone(), heard));

    replay(&weather, &mut prices, &mut running).await?;
    running.shutdown().await;
    drop(served);
    println!(
        "every sum is what the readings give: {HOURS} hours, {} homes",
        HOMES * 2
    );
    Ok(())
}

/// Publishes the readings hour by hour, waits for the price of each, and holds it against the readings.
async fn replay(
    weather: &Node,
    prices: &mut Subscription,
    running: &mut JoinSet<Result<(), Failed>>,
) -> Result<(), Failed> {
    let mut days: BTreeMap<(String, String), Vec<Price>> = BTreeMap::new();
    for hour in 0..HOURS {
        for (city, readings) in CITIES {
            let reading = reading(readings, hour).ok_or("the readings end too early")?;
            publish(weather, &format!("weather.{city}.temperature"), &reading).await?;
            let price: Price = tokio::select! {
                price = next(prices) => price?,
                Some(ended) = running.join_next() => return Err(ended.map_or_else(Failed::from, |result| result.err().unwrap_or_else(|| "a part ended too early".into()))),
            };
            let expected: u64 = (0..HOMES).map(|home| used(home, reading.fahrenheit)).sum();
            if (price.city.as_str(), &price.at, price.watt_hours) != (city, &reading.at, expected) {
                return Err(format!(
                    "{price:?} is not the price of {expected} Wh at {}",
                    reading.at
                )
                .into());
            }
            let day = reading.at.get(..10).unwrap_or(&reading.at).to_owned();
            days.entry((day, city.to_owned())).or_default().push(price);
        }
    }
    println!(
        "{:10}  {:13}  {:>9}  {:>15}  suppliers",
        "day", "city", "kWh", "cents a kWh"
    );
    for ((day, city), prices) in &days {
        let sum: u64 = prices.iter().map(|price| price.watt_hours).sum();
        let cents = || prices.iter().map(|price| price.cents_a_kwh);
        let (low, high) = (cents().min().unwrap_or(0), cents().max().unwrap_or(0));
        let mut names: Vec<&str> = prices
            .iter()
            .flat_map(|price| price.supplied_by.iter().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        println!(
            "{day}  {city:13}  {:>9.1}  {:>15}  {}",
            kwh(sum),
            format!("{low} to {high}"),
            names.join(", ")
        );
    }
    Ok(())
}

/// The homes: each uses what its insulation and the weather make it use.
async fn live(node: Node, mut weather: Subscription) -> Result<(), Failed> {
    while let Some(delivery) = weather.next().await {
        let Delivery::Event(event) = delivery else {
            return Err(format!("a reading was lost: {delivery:?}").into());
        };
        let city = event
            .topic()
            .as_str()
            .split('.')
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let reading: Temperature = serde_json::from_slice(event.payload())?;
        for home in 0..HOMES {
            let measured = Measured {
                city: city.clone(),
                at: reading.at.clone(),
                watt_hours: used(home, reading.fahrenheit),
            };
            publish(&node, &format!("home.{city}-{home}.measured"), &measured).await?;
        }
    }
    Ok(())
}

/// The utility: sums the homes of a city for each hour, and publishes the sum when all have reported.
async fn aggregate(node: Node, mut homes: Subscription) -> Result<(), Failed> {
    let mut open: BTreeMap<(String, String), Demand> = BTreeMap::new();
    while let Some(delivery) = homes.next().await {
        let Delivery::Event(event) = delivery else {
            return Err(format!("a home was not heard: {delivery:?}").into());
        };
        let measured: Measured = serde_json::from_slice(event.payload())?;
        let key = (measured.city.clone(), measured.at.clone());
        let demand = open.entry(key.clone()).or_insert_with(|| Demand {
            city: measured.city,
            at: measured.at,
            homes: 0,
            watt_hours: 0,
            greatest: 0,
        });
        demand.homes = demand.homes.saturating_add(1);
        demand.watt_hours = demand.watt_hours.saturating_add(measured.watt_hours);
        demand.greatest = demand.greatest.max(measured.watt_hours);
        if demand.homes == HOMES {
            publish(&node, &format!("energy.{}.demand", demand.city), demand).await?;
            open.remove(&key);
        }
    }
    Ok(())
}

/// A supplier: offers what it can supply at its price.
async fn supply(
    node: &Node,
    name: &str,
    capacity: u64,
    cents_a_kwh: u64,
) -> Result<Served, Failed> {
    let procedure = format!("supplier.{name}.offer");
    let served = node.register(
        &procedure,
        RegisterOptions::default(),
        move |invocation| async move {
            let wanted: u64 = serde_json::from_slice(&invocation.payload).map_err(|error| {
                CallFailure::code(ErrorCode::INVALID_ARGUMENT, &error.to_string())
            })?;
            let offer = Offer {
                watt_hours: wanted.min(capacity),
                cents_a_kwh,
            };
            serde_json::to_string(&offer)
                .map(Reply::json)
                .map_err(|error| CallFailure::application("no-offer", &error.to_string()))
        },
    );
    Ok(served.await?)
}

/// Waits until the market knows of a supplier: who registers a procedure is known to others a moment later.
async fn offered(market: &Node, name: &str) -> Result<(), Failed> {
    let options = CallOptions::default().content(ContentType::Json);
    let procedure = format!("supplier.{name}.offer");
    while let Err(error) = market.call(&procedure, "0", options.clone()).await {
        if error.code() != ErrorCode::NO_SUCH_PROCEDURE {
            return Err(error.into());
        }
    }
    Ok(())
}

/// The market: asks the suppliers, takes the cheapest first, and the dearest taken makes the price.
async fn trade(node: Node, mut demands: Subscription) -> Result<(), Failed> {
    while let Some(delivery) = demands.next().await {
        let Delivery::Event(event) = delivery else {
            return Err(format!("a demand was lost: {delivery:?}").into());
        };
        let demand: Demand = serde_json::from_slice(event.payload())?;
        let mut offers = Vec::new();
        for name in SUPPLIERS.map(|(name, ..)| name) {
            let asked = serde_json::to_vec(&demand.watt_hours)?;
            let options = CallOptions::default().content(ContentType::Json);
            let reply = node
                .call(&format!("supplier.{name}.offer"), asked, options)
                .await?;
            let offer: Offer = serde_json::from_slice(&reply.payload)?;
            offers.push((offer, name));
        }
        offers.sort_by_key(|(offer, _)| offer.cents_a_kwh);
        let mut price = Price {
            city: demand.city,
            at: demand.at,
            watt_hours: 0,
            cents_a_kwh: 0,
            supplied_by: Vec::new(),
        };
        for (offer, name) in offers {
            let missing = demand.watt_hours.saturating_sub(price.watt_hours);
            if missing > 0 {
                price.watt_hours = price
                    .watt_hours
                    .saturating_add(offer.watt_hours.min(missing));
                price.cents_a_kwh = offer.cents_a_kwh;
                price.supplied_by.push(name.to_owned());
            }
        }
        publish(&node, &format!("market.{}.price", price.city), &price).await?;
    }
    Ok(())
}

/// What a home uses in an hour: a base load, and heat by how cold it is outside and how well the home is insulated.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, positive and far below 2^53"
)]
fn used(home: u32, fahrenheit: f64) -> u64 {
    let cold = (BALANCE_FAHRENHEIT - fahrenheit).max(0.0);
    (300.0 + cold * (20.0 + 4.0 * f64::from(home))).round() as u64
}

/// The reading of an hour.
fn reading(readings: &str, hour: usize) -> Option<Temperature> {
    let (at, degrees) = readings
        .lines()
        .nth(hour.checked_add(1)?)?
        .split_once(',')?;
    let fahrenheit = degrees.trim().parse().ok()?;
    Some(Temperature {
        at: at.to_owned(),
        fahrenheit,
    })
}

/// The next event, as what it holds.
async fn next<T: DeserializeOwned>(subscription: &mut Subscription) -> Result<T, Failed> {
    match subscription.next().await {
        Some(Delivery::Event(event)) => Ok(serde_json::from_slice(event.payload())?),
        other => Err(format!("no event, but {other:?}").into()),
    }
}

/// Publishes a value, when those who want it are known.
async fn publish(node: &Node, topic: &str, value: &impl Serialize) -> Result<(), Failed> {
    let options = PublishOptions::default().content(ContentType::Json);
    let publisher = node.publisher(topic, options).await?;
    Ok(publisher.publish(serde_json::to_vec(value)?).await?)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn kwh(watt_hours: u64) -> f64 {
    watt_hours as f64 / 1_000.0
}
