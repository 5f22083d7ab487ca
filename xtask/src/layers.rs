//! `check-layers`: who may depend on whom. Editing [`TABLE`] is the review of the architecture.

mod check;
mod graph;
mod no_std;

use crate::failure::{Failure, verdict};
use check::{Kind, Row, row};

const WIRE: &str = "macula-wire";
const TRANSPORT: &str = "macula-transport";
const SWIM: &str = "macula-swim";
const KAD: &str = "macula-kad";
const REALM: &str = "macula-realm";
const PUBSUB: &str = "macula-pubsub";
const RPC: &str = "macula-rpc";
const GATEWAY: &str = "macula-gateway";
const FACADE: &str = "macula";
const TESTKIT: &str = "macula-testkit";
const BENCH: &str = "macula-bench";
const PLAYER: &str = "macula-player";
const SIM: &str = "macula-sim";
const XTASK: &str = "xtask";

/// Who may use whom. A row may name only rows above it, so no cycle can be written.
const TABLE: &[Row] = &[
    row(WIRE, Kind::Core, &[]),
    row(TRANSPORT, Kind::Shell, &[WIRE]),
    row(SWIM, Kind::Core, &[WIRE]),
    row(KAD, Kind::Core, &[WIRE]),
    // The feature `certificates` makes keys, which needs the randomness of the system.
    row(REALM, Kind::Core, &[WIRE]).with_shell_defaults(),
    row(PUBSUB, Kind::Core, &[WIRE, REALM]),
    row(RPC, Kind::Core, &[WIRE, REALM]),
    row(GATEWAY, Kind::Core, &[WIRE, REALM, PUBSUB, RPC]).planned(),
    row(
        FACADE,
        Kind::Shell,
        &[WIRE, TRANSPORT, SWIM, KAD, REALM, PUBSUB, RPC, GATEWAY],
    ),
    row(TESTKIT, Kind::Tool, &[WIRE]),
    row(
        BENCH,
        Kind::Tool,
        &[
            WIRE, TRANSPORT, SWIM, KAD, REALM, PUBSUB, RPC, GATEWAY, FACADE,
        ],
    ),
    row(PLAYER, Kind::Tool, &[FACADE, TESTKIT]),
    row(SIM, Kind::Tool, &[WIRE, SWIM, KAD, PUBSUB, TESTKIT]),
    row(
        XTASK,
        Kind::Tool,
        &[
            WIRE, TRANSPORT, SWIM, KAD, REALM, PUBSUB, RPC, GATEWAY, FACADE,
        ],
    ),
];

/// Runs the check.
///
/// # Errors
///
/// When the tree breaks a rule, or cargo cannot be asked.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if let Some(argument) = arguments.first() {
        return Err(Failure::usage(format!("`{argument}` is not accepted")));
    }
    verdict("the layers", &violations()?)?;
    println!(
        "layers: {} rows hold; {WIRE} and what it depends on have no `std`",
        TABLE.len()
    );
    no_std::build(WIRE)?;
    println!("layers: {WIRE} builds where only core and alloc exist");
    Ok(())
}

/// All violations that can be found without a build.
fn violations() -> Result<Vec<String>, Failure> {
    let graph = graph::read(TABLE)?;
    let mut found = check::table_violations(TABLE);
    found.extend(check::violations(TABLE, &graph));
    found.extend(no_std::violations(WIRE)?);
    Ok(found)
}

/// The members of the workspace.
#[cfg(test)]
pub(crate) fn members() -> Result<Vec<String>, Failure> {
    Ok(graph::read(&[])?.direct.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_this_workspace_hold() {
        let found = violations().unwrap();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}
