//! `vectors`: the golden bytes of the wire protocol.

use std::path::PathBuf;

use serde_json::Value;

use crate::failure::Failure;
use crate::options::{Accepts, Names, Options};
use crate::process::{cargo, read, root};

/// Where the vectors lie.
const FOLDER: &str = "macula-wire/tests/vectors";
/// The fewest vectors, and the fewest invalid ones among them.
const LEAST: Counts = Counts {
    total: 30,
    invalid: 10,
};

/// How many vectors there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Counts {
    total: usize,
    invalid: usize,
}

/// Runs the test that holds the vectors, or writes them anew with `--bless`.
///
/// # Errors
///
/// When bytes differ, a file is damaged, or there are too few vectors.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let accepts = Accepts {
        flags: &["--bless"],
        numbers: &[],
        names: Names::Refused,
    };
    let options = Options::read(accepts, arguments)?;
    let mut test = cargo("test --quiet --locked -p macula-wire --test it vectors");
    if options.has("--bless") {
        test = test.env("MACULA_BLESS", "1");
    }
    test.run()?;
    let counts = count()?;
    println!(
        "vectors: {} in total, {} of them invalid",
        counts.total, counts.invalid
    );
    enough(counts)
}

/// The files that hold vectors.
///
/// # Errors
///
/// When they cannot be listed.
pub(crate) fn files() -> Result<Vec<PathBuf>, Failure> {
    let failed = |error| Failure::failed(format!("cannot list {FOLDER}: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root().join(FOLDER)).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    Ok(files)
}

/// Counts the vectors in all files.
fn count() -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    for path in files()? {
        let in_file = count_in(&read(&path)?)
            .map_err(|fault| Failure::failed(format!("{}: {fault}", path.display())))?;
        counts.total = counts.total.saturating_add(in_file.total);
        counts.invalid = counts.invalid.saturating_add(in_file.invalid);
    }
    Ok(counts)
}

/// Counts the vectors in one file; the fault when one has not the shape that readers rely on.
fn count_in(text: &str) -> Result<Counts, String> {
    let vectors: Vec<Value> = serde_json::from_str(text)
        .map_err(|error| format!("is not an array of vectors: {error}"))?;
    let mut counts = Counts::default();
    for (index, vector) in vectors.iter().enumerate() {
        let field = |name: &str| vector.get(name);
        let text = |name: &str| field(name).and_then(Value::as_str);
        let place = text("name").map_or_else(|| format!("vector {index}"), str::to_owned);
        let valid = field("valid").and_then(Value::as_bool);
        let hex = text("hex").unwrap_or("-");
        if hex.len() % 2 != 0 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(format!("{place} has no `hex` of whole bytes"));
        }
        match valid {
            Some(true) if field("fields").is_none() => {
                return Err(format!("{place} is valid and has no `fields`"));
            }
            Some(false) if text("error").is_none() => {
                return Err(format!("{place} is invalid and names no `error`"));
            }
            None => return Err(format!("{place} does not say whether it is `valid`")),
            Some(_) => {}
        }
        counts.total = counts.total.saturating_add(1);
        counts.invalid = counts
            .invalid
            .saturating_add(usize::from(valid == Some(false)));
    }
    Ok(counts)
}

fn enough(counts: Counts) -> Result<(), Failure> {
    if counts.total >= LEAST.total && counts.invalid >= LEAST.invalid {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "at least {} vectors, {} of them invalid, have to be in {FOLDER}",
        LEAST.total, LEAST.invalid
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"name": "a", "hex": "0aFF", "valid": true, "fields": {}}"#;
    const BAD: &str = r#"{"name": "b", "hex": "", "valid": false, "error": "unexpected_end"}"#;

    #[test]
    fn vectors_are_counted() {
        let counts = count_in(&format!("[{GOOD}, {BAD}]")).unwrap();
        assert_eq!(
            counts,
            Counts {
                total: 2,
                invalid: 1
            }
        );
    }

    #[test]
    fn a_vector_of_another_shape_is_refused() {
        for (from, to) in [
            ("\"hex\": \"0aFF\"", "\"hex\": \"0aF\""),
            ("\"hex\": \"0aFF\"", "\"hex\": \"0x\""),
            ("\"hex\"", "\"bytes\""),
            ("\"valid\": true", "\"valid\": 1"),
            ("\"fields\"", "\"values\""),
            ("true", "false"),
        ] {
            let changed = GOOD.replace(from, to);
            assert_ne!(changed, GOOD);
            assert!(count_in(&format!("[{changed}]")).is_err(), "{changed}");
        }
        assert!(count_in("{}").is_err());
    }

    #[test]
    fn the_vectors_of_this_tree_are_enough() {
        assert_eq!(enough(count().unwrap()), Ok(()));
    }

    #[test]
    fn few_vectors_do_not_pass() {
        assert!(
            enough(Counts {
                total: 30,
                invalid: 10
            })
            .is_ok()
        );
        assert!(
            enough(Counts {
                total: 29,
                invalid: 10
            })
            .is_err()
        );
        assert!(
            enough(Counts {
                total: 30,
                invalid: 9
            })
            .is_err()
        );
    }
}
