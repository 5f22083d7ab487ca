//! One libFuzzer binary for all targets; `MACULA_FUZZ_TARGET` selects one, `--list` prints their
//! names.
#![no_main]

mod memory;
mod targets;

use std::sync::OnceLock;

use targets::Target;

/// Names the target, or is `--list`.
const VARIABLE: &str = "MACULA_FUZZ_TARGET";

static SELECTED: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: select(),
    |data: &[u8]| {
        if let Some(target) = SELECTED.get() {
            memory::bounded(data.len(), || target.run(data));
        }
    }
);

/// Selects the target that the environment names, or ends the process.
fn select() {
    let name = std::env::var(VARIABLE).unwrap_or_default();
    let targets = targets::all();
    if name == "--list" {
        for target in targets {
            println!("{}", target.name());
        }
        std::process::exit(0);
    }
    match targets.into_iter().find(|target| target.name() == name) {
        Some(target) => drop(SELECTED.set(target)),
        None => {
            eprintln!("set {VARIABLE} to a target, or to --list");
            std::process::exit(2);
        }
    }
}
