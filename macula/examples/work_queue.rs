//! A work queue: jobs that go to one of several workers, come again when a worker fails, and end as dead letters when
//! nobody can do them.
//!
//! Run it: `cargo run --release -p macula --example work_queue`. An office hands out jobs to two workers on other nodes. One
//! worker leaves in the middle with a job in its hands, which the other one gets; one job is broken. It ends with an error if
//! a job is not done, or the broken one is not found among the dead letters.

#![expect(
    clippy::print_stdout,
    reason = "an example shows what it does on standard output"
)]

#[path = "shared/realm.rs"]
mod realm;

use std::collections::BTreeSet;
use std::time::Duration;

use macula::{
    Codec, Delivery, Event, EventOptions, Group, Node, PublishOptions, Qos, SubscribeOptions,
    Subscription,
};
use realm::{Failed, Realm};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const JOBS: u32 = 40;
/// What no worker can do.
const BROKEN: u32 = 13;
/// How often a job is tried.
const TRIES: u32 = 3;

/// A picture to be made smaller.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Job {
    picture: u32,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut realm = Realm::create("be.acme.pictures")?;
    let office = realm.member().await?;
    let (steady, leaving) = (realm.member().await?, realm.member().await?);
    let mut letters = office
        .subscribe("$sys.dlq.jobs.**", SubscribeOptions::default())
        .await?;
    let (tell, mut told) = mpsc::channel(64);
    let work = [
        (shared(&steady).await?, "steady", u32::MAX),
        (shared(&leaving).await?, "leaving", 5),
    ];
    let mut workers = JoinSet::new();
    for (jobs, name, patience) in work {
        workers.spawn(worker(jobs, name, patience, tell.clone()));
    }
    both_known(&office, &mut told).await?;
    let mut clerk = JoinSet::new();
    clerk.spawn(hand_out(office));
    let mut open: BTreeSet<u32> = (0..JOBS).filter(|picture| *picture != BROKEN).collect();
    while !open.is_empty() {
        let done = tokio::time::timeout(Duration::from_secs(20), told.recv()).await?;
        if let Some((name, picture)) = done {
            println!("{name}: picture {picture} is done");
            open.remove(&picture);
        }
    }
    let letter: Job = event(&mut letters).await?.value()?;
    println!("dead letter: picture {}", letter.picture);
    let counts = clerk.join_next().await.ok_or("nobody handed out jobs")?;
    let (done, given_up) = counts??;
    println!("the office knows: {done} done, {given_up} given up");
    if (letter.picture, done, given_up) != (BROKEN, JOBS.saturating_sub(1), 1) {
        return Err("one job was broken, and only that one".into());
    }
    Ok(())
}

/// One share in the jobs. A job that is not acknowledged within two seconds comes again, to whoever is there.
async fn shared(node: &Node) -> Result<Subscription, Failed> {
    let group = Group::new("resizers")?;
    let options = SubscribeOptions::default().manual_acks(Duration::from_secs(2), TRIES);
    Ok(node.subscribe_in(&group, "jobs.resize", options).await?)
}

/// Works until nothing comes any more, or until it has lost its patience: then it leaves with a job in its hands.
async fn worker(
    mut jobs: Subscription,
    name: &'static str,
    mut patience: u32,
    tell: mpsc::Sender<(&'static str, u32)>,
) -> Result<(), Failed> {
    loop {
        let event = event(&mut jobs).await?;
        let job: Job = event.value()?;
        if job.picture == BROKEN {
            println!(
                "{name}: picture {BROKEN} is broken, try {}",
                event.attempt()
            );
            event.nack(Duration::from_millis(50));
            continue;
        }
        if job.picture < JOBS {
            if patience == 0 {
                println!("{name}: leaves with picture {}", job.picture);
                return Ok(());
            }
            patience = patience.saturating_sub(1);
        }
        event.ack();
        tell.send((name, job.picture)).await?;
    }
}

/// Hands out jobs that mean nothing until both workers have had one.
async fn both_known(
    office: &Node,
    told: &mut mpsc::Receiver<(&'static str, u32)>,
) -> Result<(), Failed> {
    let options = PublishOptions::default().content(Codec::Json.content_type());
    let publisher = office.publisher("jobs.resize", options).await?;
    office.wait_for_subscribers("jobs.resize").await?;
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let warm_up = Codec::Json.encode(&Job { picture: JOBS })?;
        publisher.publish(warm_up).await?;
        if let Some((name, _)) = told.recv().await {
            seen.insert(name);
        }
    }
    Ok(())
}

/// Publishes the jobs, and waits for what becomes of them: how many were done, and how many given up.
async fn hand_out(office: Node) -> Result<(u32, u32), Failed> {
    let options = PublishOptions::default()
        .qos(Qos::AtLeastOnce)
        .content(Codec::Json.content_type());
    let publisher = office.publisher("jobs.resize", options).await?;
    let within = EventOptions::default().deadline(Duration::from_secs(5));
    let mut pending = Vec::new();
    for picture in 0..JOBS {
        let job = Codec::Json.encode(&Job { picture })?;
        pending.push(publisher.publish_with_receipt(job, &within).await?);
    }
    let (mut done, mut given_up) = (0_u32, 0_u32);
    for receipt in pending {
        let receipt = receipt.receipt().await?;
        done = done.saturating_add(receipt.acked);
        given_up = given_up.saturating_add(receipt.dropped);
    }
    Ok((done, given_up))
}

/// The next event.
async fn event(subscription: &mut Subscription) -> Result<Event, Failed> {
    loop {
        match tokio::time::timeout(Duration::from_secs(20), subscription.next()).await? {
            Some(Delivery::Event(event)) => return Ok(event),
            Some(_) => {}
            None => return Err("the subscription has ended".into()),
        }
    }
}
