//! Whether what was promised was kept, by what all have written.

use std::time::Duration;

use serde_json::Value;

use super::ledger::Ledger;
use crate::clock::wall;
use crate::failure::Failure;
use crate::mesh::child::Input;
use crate::mesh::until::{Deadline, Seen, pause, until};
use crate::mesh::world::World;

/// How long nothing may come before nothing moves.
const STILL: Duration = Duration::from_secs(1);
const STILL_LIMIT: Duration = Duration::from_secs(120);
/// How long what is owed may still be owed when nothing moves.
const OWED_LIMIT: Duration = Duration::from_secs(20);
const CHECK_LIMIT: Duration = Duration::from_secs(600);
/// What may be mended by waiting: something has not come yet.
const ABSENCES: [&str; 4] = ["NotSilent", "NotLost", "ReceiptComes", "CallEnds"];

/// Waits until none of these journals grows any more.
///
/// # Errors
///
/// When they go on for two minutes.
pub(super) fn is_still(ledger: &Ledger, names: &[&str]) -> Result<(), Failure> {
    let lengths = || -> Vec<u64> { names.iter().map(|name| ledger.length(name)).collect() };
    let (mut last, mut since) = (lengths(), wall());
    until(STILL_LIMIT, "nothing moves", || {
        let now = lengths();
        if now != last {
            (last, since) = (now, wall());
        }
        let still = wall().saturating_sub(since) >= STILL;
        Ok(Seen::when(still, || format!("journals of {last:?} bytes")))
    })?;
    Ok(())
}

/// What the check says, when it says that all was kept. What may yet come is waited for.
///
/// # Errors
///
/// When a promise was broken, with the records that show it.
pub(super) fn kept(world: &World, ledger: &mut Ledger) -> Result<Value, Failure> {
    let deadline = Deadline::within(OWED_LIMIT);
    loop {
        ledger.quiet()?;
        let answer = check(world, ledger)?;
        if answer.get("kept").and_then(Value::as_bool) == Some(true) {
            return Ok(answer);
        }
        let broken = answer.get("broken").and_then(Value::as_object);
        let may_come = broken
            .is_some_and(|broken| broken.keys().all(|rule| ABSENCES.contains(&rule.as_str())));
        if !may_come || deadline.left().is_none() {
            let why = answer.get("explained").and_then(Value::as_str);
            let why = why.unwrap_or("the check says nothing");
            return Err(Failure::failed(format!("a promise was broken\n{why}")));
        }
        pause();
    }
}

fn check(world: &World, ledger: &Ledger) -> Result<Value, Failure> {
    let folder = ledger.folder();
    let mut child = world.play("check", &["check", &folder], Input::None)?;
    child.wait_for(0, CHECK_LIMIT)?;
    let answer = child.line(CHECK_LIMIT)?;
    answer.ok_or_else(|| Failure::failed("the check says nothing"))
}
