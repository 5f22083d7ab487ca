//! Calling a procedure, and writing down how each call ends.

use std::cell::Cell;
use std::time::Duration;

use futures::future::join_all;
use macula::{CallOptions, Client};
use macula_testkit::history::{Did, Journal};
use serde_json::json;

use super::label;
use super::part::{Asked, End, Failed, Part, say, say_ready};

/// How many calls end before progress is told.
const TELL: u64 = 20;

/// Call a procedure again and again.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    part: Part,
    /// What to call.
    procedure: String,
    /// By when each call has to end, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    deadline_ms: u64,
    /// How many calls are made at a time.
    #[arg(long, value_name = "N", default_value_t = 4)]
    in_flight: u32,
    /// How long to wait after each call, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5)]
    every_ms: u64,
    /// Take back each call whose number this divides, if it has not ended after --cancel-after-ms.
    #[arg(long, value_name = "N", default_value_t = 0)]
    cancel_each: u64,
    /// How long such a call is waited for, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10)]
    cancel_after_ms: u64,
    /// How long the arguments are, in bytes.
    #[arg(long, value_name = "N", default_value_t = 64)]
    size: usize,
}

pub(crate) async fn run(args: Args) -> Result<(), Failed> {
    let journal = args.part.open()?;
    let number = args.part.next_number(|did| {
        if let Did::Call { number, .. } = did {
            Some(*number)
        } else {
            None
        }
    })?;
    let mut asked = Asked::listen()?;
    let caller = Caller {
        name: args.part.name(),
        journal: &journal,
        args: &args,
        number: Cell::new(number),
        ended: Cell::new(0),
        answered: Cell::new(0),
        is_over: Cell::new(false),
    };
    say_ready();
    loop {
        let client = tokio::select! {
            client = args.part.attached(&journal) => client?,
            () = asked.wait() => break,
        };
        match caller.call_by(&client, &mut asked).await? {
            End::Done => {
                client.close().await;
                break;
            }
            End::Lost => journal.write(Did::Lost)?,
        }
    }
    caller.tell();
    Ok(())
}

struct Caller<'a> {
    name: String,
    journal: &'a Journal,
    args: &'a Args,
    number: Cell<u64>,
    ended: Cell<u64>,
    answered: Cell<u64>,
    is_over: Cell<bool>,
}

impl Caller<'_> {
    /// Calls by one link until it is lost or the signal comes; calls that are being made end first.
    async fn call_by(&self, client: &Client, asked: &mut Asked) -> Result<End, Failed> {
        self.is_over.set(false);
        let lanes = join_all((0..self.args.in_flight.max(1)).map(|_lane| self.lane(client)));
        tokio::pin!(lanes);
        let end = tokio::select! {
            () = asked.wait() => End::Done,
            _ = client.closed() => End::Lost,
            ended = &mut lanes => {
                ended.into_iter().collect::<Result<Vec<()>, Failed>>()?;
                return Ok(End::Lost);
            }
        };
        self.is_over.set(true);
        let ended = lanes.await;
        ended.into_iter().collect::<Result<Vec<()>, Failed>>()?;
        Ok(end)
    }

    async fn lane(&self, client: &Client) -> Result<(), Failed> {
        while !self.is_over.get() {
            let number = self.number.get();
            self.number.set(number.saturating_add(1));
            self.call(client, number).await?;
            self.ended.set(self.ended.get().saturating_add(1));
            if self.ended.get().is_multiple_of(TELL) {
                self.tell();
            }
            tokio::time::sleep(Duration::from_millis(self.args.every_ms)).await;
        }
        Ok(())
    }

    async fn call(&self, client: &Client, number: u64) -> Result<(), Failed> {
        let deadline_ms = self.args.deadline_ms;
        self.journal.write(Did::Call {
            number,
            deadline_ms,
            repeatable: false,
        })?;
        let payload = label::payload(&self.name, number, self.args.size);
        let options = CallOptions::default().deadline(Duration::from_millis(deadline_ms));
        let called = client.call(&self.args.procedure, payload, options);
        let is_taken_back =
            self.args.cancel_each > 0 && number.is_multiple_of(self.args.cancel_each);
        let ended = if is_taken_back {
            let after = Duration::from_millis(self.args.cancel_after_ms);
            match tokio::time::timeout(after, called).await {
                Ok(ended) => ended,
                Err(_late) => return Ok(self.journal.write(Did::Cancel { number })?),
            }
        } else {
            called.await
        };
        match ended {
            Ok(reply) => {
                let (by, of) = label::read(&reply.payload);
                self.answered.set(self.answered.get().saturating_add(1));
                self.journal.write(Did::Answered { number, by, of })?;
            }
            Err(error) => {
                let code = u16::from(error.code().number());
                self.journal.write(Did::Failed { number, code })?;
            }
        }
        Ok(())
    }

    fn tell(&self) {
        let (ended, answered) = (self.ended.get(), self.answered.get());
        say(&json!({"event": "called", "number": ended, "answered": answered}));
    }
}
