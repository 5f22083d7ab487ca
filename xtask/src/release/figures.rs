//! What `macula bench` has to reach against bare quinn on the same machine, and at least once by at most once.

use serde_json::Value;

use crate::ci::words;
use crate::failure::Failure;
use crate::process::cargo;

/// A bound on one key of the summary that `macula bench` prints last.
#[derive(Clone, Copy, Debug)]
struct Figure {
    arguments: &'static str,
    key: &'static str,
    bound: Bound,
}

#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

const FIGURES: &[Figure] = &[
    Figure {
        arguments: "events --size 64",
        key: "ratio",
        bound: Bound::AtLeast(0.7),
    },
    Figure {
        arguments: "events --size 1024",
        key: "ratio",
        bound: Bound::AtLeast(0.6),
    },
    Figure {
        arguments: "events --size 65536",
        key: "ratio",
        bound: Bound::AtLeast(0.6),
    },
    Figure {
        arguments: "stream --size 1024",
        key: "ratio",
        bound: Bound::AtLeast(0.3),
    },
    Figure {
        arguments: "calls --size 64",
        key: "p50_ratio",
        bound: Bound::AtMost(1.5),
    },
    Figure {
        arguments: "qos1 --size 64",
        key: "reference_ratio",
        bound: Bound::AtLeast(0.5),
    },
];

/// Runs all benches of the command and holds them to their bounds.
///
/// # Errors
///
/// When a bench fails or a bound does not hold; all benches run before that.
pub(super) fn check() -> Result<(), Failure> {
    let mut missed = Vec::new();
    for figure in FIGURES {
        let summary = cargo("run --quiet --release --locked -p macula -- bench")
            .words(figure.arguments)
            .words("--against quinn --json")
            .output()?;
        let value = last(&summary, figure.key).ok_or_else(|| {
            Failure::failed(format!(
                "`macula bench {}` prints no {}",
                figure.arguments, figure.key
            ))
        })?;
        let kept = keeps(value, figure.bound);
        let name = words(figure.arguments).join(" ");
        println!(
            "{name:24} {:10} {value:6.3}  {:?}  {}",
            figure.key,
            figure.bound,
            mark(kept)
        );
        if !kept {
            missed.push(format!("{name}: {} is {value:.3}", figure.key));
        }
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(Failure::failed(missed.join("; ")))
}

fn mark(kept: bool) -> &'static str {
    if kept { "ok" } else { "MISSED" }
}

fn keeps(value: f64, bound: Bound) -> bool {
    match bound {
        Bound::AtLeast(least) => value >= least,
        Bound::AtMost(most) => value <= most,
    }
}

/// The number under `key` in the last line of `output` that is a JSON object.
fn last(output: &str, key: &str) -> Option<f64> {
    let objects = output.lines().rev().map(serde_json::from_str::<Value>);
    objects.flatten().find(Value::is_object)?.get(key)?.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_object_counts() {
        let output = "{\"ratio\": 0.1}\nnote\n{\"ratio\": 0.9}\n";
        assert_eq!(last(output, "ratio"), Some(0.9));
        assert_eq!(last(output, "p50_ratio"), None);
        assert_eq!(last("", "ratio"), None);
    }

    #[test]
    fn a_bound_includes_itself() {
        assert!(keeps(0.6, Bound::AtLeast(0.6)) && !keeps(0.59, Bound::AtLeast(0.6)));
        assert!(keeps(1.5, Bound::AtMost(1.5)) && !keeps(1.51, Bound::AtMost(1.5)));
        assert!(!keeps(f64::NAN, Bound::AtLeast(0.6)));
    }
}
