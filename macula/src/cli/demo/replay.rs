//! Publishing a year at a pace, and calling while it passes.

use std::sync::Arc;
use std::time::Duration;

use macula::wire::ContentType;
use macula::{CallOptions, Node, PublishOptions};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::duration::as_micros;
use super::super::exit::{Exit, Failed};
use super::ledger::{Last, Ledger, Tally, keep};
use super::mesh::Mesh;
use super::readings::{City, Measured, Reading};
use super::station::{LATEST, MEAN};

/// How often the readings that are due are published.
const PUBLISH_PERIOD: Duration = Duration::from_millis(10);
/// How many calls are made while the year passes, at most ten a second.
const CALLS: u32 = 40;
const CALL_PERIOD: Duration = Duration::from_millis(100);
const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// Publishes the readings of a city, so that the last one leaves when `pace` has passed.
pub(crate) async fn replay(
    node: Node,
    city: City,
    readings: Arc<[Reading]>,
    pace: Duration,
    tally: Arc<Tally>,
) -> Result<(), Failed> {
    let options = PublishOptions::default().content(ContentType::Json);
    let publisher = node.publisher(&city.topic(), options).await?;
    let mut ticks = interval(PUBLISH_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let begun = Instant::now();
    let mut left = readings.iter();
    while left.len() > 0 {
        ticks.tick().await;
        let due = due(readings.len(), begun.elapsed(), pace);
        let sent = readings.len().saturating_sub(left.len());
        for reading in left.by_ref().take(due.saturating_sub(sent)) {
            let measured = Measured {
                at: reading.at,
                fahrenheit: reading.fahrenheit,
                sent_us: tally.now_us(),
            };
            let payload = serde_json::to_vec(&measured)
                .map_err(|error| Failed::new(Exit::Failure, error.to_string()))?;
            publisher.publish(payload).await?;
            tally.count(|counts| {
                counts.published = counts.published.saturating_add(1);
                counts.last = Some(Last {
                    city,
                    at: reading.at.to_owned(),
                    fahrenheit: reading.fahrenheit,
                });
            });
        }
    }
    publisher.flush().await;
    Ok(())
}

/// How many of `total` are to have left by now.
fn due(total: usize, elapsed: Duration, pace: Duration) -> usize {
    let share = u128::try_from(total)
        .unwrap_or(u128::MAX)
        .saturating_mul(elapsed.as_micros())
        .checked_div(pace.as_micros());
    share
        .and_then(|share| usize::try_from(share).ok())
        .unwrap_or(total)
        .min(total)
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct CallMade {
    /// The number of the node that called.
    pub(crate) caller: usize,
    /// What was called.
    pub(crate) procedure: &'static str,
    /// With which argument.
    pub(crate) city: City,
    /// The answer, or the name of the error and what it says.
    pub(crate) answer: Result<String, String>,
    /// How long it took in microseconds.
    pub(crate) latency_us: u64,
}

/// Calls in turn from several nodes.
#[derive(Debug)]
pub(crate) struct Caller {
    nodes: Vec<(usize, Node, Arc<Tally>)>,
    period: Duration,
}

impl Caller {
    /// Calls from the publishers, which serve nothing, and so ask others.
    pub(crate) fn new(mesh: &Mesh, ledger: &Ledger, pace: Duration) -> Self {
        let nodes = City::ALL.iter().map(|city| {
            let number = city.index();
            (number, mesh.publisher(*city).clone(), ledger.of(number))
        });
        Self {
            nodes: nodes.collect(),
            period: pace
                .checked_div(CALLS)
                .unwrap_or(CALL_PERIOD)
                .max(CALL_PERIOD),
        }
    }

    /// Calls until nobody wants to hear of it any more; a call that was made is seen to its end.
    pub(crate) async fn run(self, give: mpsc::Sender<CallMade>) {
        let mut ticks = interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first readings have to be there before anybody asks for them.
        ticks.tick().await;
        let questions = [LATEST, MEAN]
            .into_iter()
            .flat_map(|procedure| City::ALL.map(|city| (procedure, city)));
        for ((number, node, tally), (procedure, city)) in
            self.nodes.iter().cycle().zip(questions.cycle())
        {
            tokio::select! {
                _ = ticks.tick() => {}
                () = give.closed() => return,
            }
            let made = call(*number, node, procedure, city).await;
            tally.count(|counts| {
                if made.answer.is_ok() {
                    counts.calls = counts.calls.saturating_add(1);
                    keep(&mut counts.call_us, made.latency_us);
                } else {
                    counts.calls_failed = counts.calls_failed.saturating_add(1);
                }
            });
            if give.send(made).await.is_err() {
                return;
            }
        }
    }
}

async fn call(number: usize, node: &Node, procedure: &'static str, city: City) -> CallMade {
    let options = CallOptions::default()
        .deadline(CALL_DEADLINE)
        .content(ContentType::Json);
    let begun = Instant::now();
    let reply = node
        .call(
            procedure,
            format!("{{\"city\":\"{}\"}}", city.name()),
            options,
        )
        .await;
    CallMade {
        caller: number,
        procedure,
        city,
        answer: match reply {
            Ok(reply) => Ok(String::from_utf8_lossy(&reply.payload).into_owned()),
            Err(error) => Err(format!("{}: {error}", error.code())),
        },
        latency_us: as_micros(begun.elapsed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reading_is_due_when_the_time_is_over_and_not_before() {
        let pace = Duration::from_secs(10);
        assert_eq!(due(8_759, Duration::ZERO, pace), 0);
        assert_eq!(due(8_759, Duration::from_secs(5), pace), 4_379);
        assert_eq!(due(8_759, Duration::from_micros(9_999_999), pace), 8_758);
        assert_eq!(due(8_759, pace, pace), 8_759);
        assert_eq!(due(8_759, pace * 2, pace), 8_759);
        assert_eq!(due(8_759, Duration::ZERO, Duration::ZERO), 8_759);
    }
}
