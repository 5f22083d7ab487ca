//! The arguments of a sub-command: flags, options with a value, and names.

use std::collections::{BTreeMap, BTreeSet};

use crate::failure::Failure;

/// What a sub-command accepts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepts {
    /// Flags such as `--list`.
    pub(crate) flags: &'static [&'static str],
    /// Options that take a whole number, such as `--seconds 10`.
    pub(crate) numbers: &'static [&'static str],
    /// Whether names that are not options may follow.
    pub(crate) names: Names,
}

/// Whether a sub-command takes names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Names {
    /// None.
    Refused,
    /// Any number of them.
    Many,
}

/// The arguments that were given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Options {
    flags: BTreeSet<String>,
    numbers: BTreeMap<String, u64>,
    names: Vec<String>,
}

impl Options {
    /// Reads `arguments`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for an option that is not accepted, and for a number that is none.
    pub(crate) fn read(accepts: Accepts, arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (option, value) = match argument.split_once('=') {
                Some((option, value)) => (option, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            if accepts.numbers.contains(&option) {
                let value = value.or_else(|| rest.next().cloned()).unwrap_or_default();
                let number = value.replace('_', "").parse().map_err(|_error| {
                    Failure::usage(format!("{option} takes a whole number, not `{value}`"))
                })?;
                options.numbers.insert(option.to_owned(), number);
            } else if accepts.flags.contains(&argument.as_str()) {
                options.flags.insert(argument.clone());
            } else if argument.starts_with('-') || accepts.names == Names::Refused {
                return Err(Failure::usage(format!(
                    "`{argument}` is not accepted; see --help"
                )));
            } else {
                options.names.push(argument.clone());
            }
        }
        Ok(options)
    }

    /// Whether `flag` was given.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    /// The number given with `option`.
    pub(crate) fn number(&self, option: &str) -> Option<u64> {
        self.numbers.get(option).copied()
    }

    /// The names, in the order given.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTS: Accepts = Accepts {
        flags: &["--list"],
        numbers: &["--runs"],
        names: Names::Many,
    };

    fn read(line: &str) -> Result<Options, Failure> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::read(ACCEPTS, &arguments)
    }

    #[test]
    fn flags_numbers_and_names_are_told_apart() {
        let options = read("one --runs 10_000 --list two").unwrap();
        assert!(options.has("--list"));
        assert_eq!(options.number("--runs"), Some(10_000));
        assert_eq!(options.names(), ["one", "two"]);
        assert_eq!(read("--runs=7").unwrap().number("--runs"), Some(7));
    }

    #[test]
    fn what_is_not_accepted_is_refused() {
        assert!(matches!(read("--lost"), Err(Failure::Usage(_))));
        assert!(matches!(read("--runs many"), Err(Failure::Usage(_))));
        assert!(matches!(read("--runs"), Err(Failure::Usage(_))));
        let none = Accepts {
            names: Names::Refused,
            ..ACCEPTS
        };
        assert!(matches!(
            Options::read(none, &["one".to_owned()]),
            Err(Failure::Usage(_))
        ));
    }
}
