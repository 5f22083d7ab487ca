//! Publishing events on some topics in turn.

use std::time::Duration;

use macula::wire::ErrorCode;
use macula::{Client, PublishOptions, Publisher};
use macula_testkit::history::{Did, Journal};
use serde_json::json;
use tokio::time::Instant;

use super::label;
use super::part::{Asked, End, Failed, Part, say, say_ready};

/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);

/// Publish events, topics in turn.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    part: Part,
    /// On what, each event on the next of them.
    #[arg(long, value_name = "TOPIC", required = true)]
    topic: Vec<String>,
    /// How many events, over all processes of this application; without it, until SIGTERM.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// How many are written down and published together.
    #[arg(long, value_name = "N", default_value_t = 16)]
    burst: u64,
    /// How long to wait after each burst, in microseconds.
    #[arg(long, value_name = "US", default_value_t = 0)]
    every_us: u64,
    /// How long a payload is, in bytes.
    #[arg(long, value_name = "N", default_value_t = 64)]
    size: usize,
}

pub(crate) async fn run(args: Args) -> Result<(), Failed> {
    let journal = args.part.open()?;
    let number = args.part.next_number(|did| {
        if let Did::Publish { number, .. } = did {
            Some(*number)
        } else {
            None
        }
    })?;
    let mut asked = Asked::listen()?;
    let mut writer = Writer {
        name: args.part.name(),
        journal: &journal,
        args: &args,
        number,
        told: None,
    };
    say_ready();
    loop {
        let client = tokio::select! {
            client = args.part.attached(&journal) => client?,
            () = asked.wait() => break,
        };
        match writer.publish(&client, &mut asked).await? {
            End::Done => {
                client.close().await;
                break;
            }
            End::Lost => journal.write(Did::Lost)?,
        }
    }
    say(&json!({"event": "wrote", "number": writer.number}));
    Ok(())
}

struct Writer<'a> {
    name: String,
    journal: &'a Journal,
    args: &'a Args,
    /// The number of the next event.
    number: u64,
    told: Option<Instant>,
}

impl Writer<'_> {
    async fn publish(&mut self, client: &Client, asked: &mut Asked) -> Result<End, Failed> {
        let mut publishers = Vec::new();
        for topic in &self.args.topic {
            publishers.push(client.publisher(topic, PublishOptions::default())?);
        }
        let pace = Duration::from_micros(self.args.every_us);
        let mut next = Instant::now();
        loop {
            let left = self
                .args
                .count
                .map(|count| count.saturating_sub(self.number));
            let burst = left.unwrap_or(u64::MAX).min(self.args.burst.max(1));
            if burst == 0 {
                return Ok(End::Done);
            }
            if self.burst(client, &publishers, burst).await? == End::Lost {
                return Ok(End::Lost);
            }
            self.tell();
            next = (next + pace).max(Instant::now());
            tokio::select! {
                biased;
                () = asked.wait() => return Ok(End::Done),
                _ = client.closed() => return Ok(End::Lost),
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Writes down that events are about to be published, publishes them, and writes down what became of them.
    async fn burst(
        &mut self,
        client: &Client,
        publishers: &[Publisher],
        burst: u64,
    ) -> Result<End, Failed> {
        let numbers = self.number..self.number.saturating_add(burst);
        let count = u64::try_from(publishers.len()).unwrap_or(u64::MAX);
        let topic = |number: u64| {
            let turn = number.checked_rem(count).unwrap_or(0);
            publishers.get(usize::try_from(turn).unwrap_or(0))
        };
        let begun = numbers.clone().filter_map(|number| {
            let topic = topic(number)?.topic().as_str();
            Some(Did::Publish {
                topic,
                number,
                qos: 0,
                wait_ms: None,
                receipt: false,
            })
        });
        self.journal.write_all(begun)?;
        self.number = numbers.end;
        let mut became = Vec::new();
        let mut end = End::Done;
        for number in numbers {
            let Some(publisher) = topic(number) else {
                continue;
            };
            let lost = u16::from(ErrorCode::UNREACHABLE.number());
            if end == End::Lost {
                became.push(Did::Refused { number, code: lost });
                continue;
            }
            let payload = label::payload(&self.name, number, self.args.size);
            let done = tokio::select! {
                biased;
                done = publisher.publish(payload) => Some(done),
                _ = client.closed() => None,
            };
            became.push(match done {
                Some(Ok(())) => Did::Accepted { number },
                Some(Err(error)) if error.is_refused() => {
                    let code = u16::from(error.code().number());
                    Did::Refused { number, code }
                }
                Some(Err(error)) => {
                    let code = u16::from(error.code().number());
                    Did::Unsure { number, code }
                }
                None => {
                    end = End::Lost;
                    Did::Unsure { number, code: lost }
                }
            });
        }
        self.journal.write_all(became)?;
        Ok(end)
    }

    fn tell(&mut self) {
        let now = Instant::now();
        if self
            .told
            .is_none_or(|told| now.duration_since(told) >= TELL)
        {
            say(&json!({"event": "wrote", "number": self.number}));
            self.told = Some(now);
        }
    }
}
