//! Rules about one file of Rust.

use super::File;

/// Lets the sleep on the same or the next line pass, with a reason behind it.
const ALLOW_SLEEP: &str = "// tidy: allow sleep: ";

/// What is wrong with `file`, one line each.
pub(super) fn violations(file: &File) -> Vec<String> {
    let mut found = opening(file);
    found.extend(attributes(file));
    found.extend(notes(file));
    found.extend(sleeps(file));
    found
}

/// The first line says what the file is for.
fn opening(file: &File) -> Vec<String> {
    let first = file.text().lines().next().unwrap_or_default();
    if first.starts_with("//!") && first.len() > "//! ".len() {
        return Vec::new();
    }
    vec![format!(
        "{}:1: open the file with a `//!` line that says what it holds",
        file.path
    )]
}

/// Tests run, and fail by what they assert.
fn attributes(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in numbered(file.text()) {
        let line = line.trim();
        if !line.starts_with("#[") {
            continue;
        }
        if line.contains("#[ignore]") {
            found.push(format!(
                "{}:{number}: a test that does not run needs a reason: #[ignore = \"..\"]",
                file.path
            ));
        }
        if line.contains("#[should_panic") {
            found.push(format!(
                "{}:{number}: `should_panic` passes for any panic; assert on what is returned",
                file.path
            ));
        }
    }
    found
}

/// Open work names its issue: `TODO(#12)`.
fn notes(file: &File) -> Vec<String> {
    // Written apart, so that this file does not find itself.
    let words = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["XX", "X"].concat(),
    ];
    let mut found = Vec::new();
    for (number, line) in numbered(file.text()) {
        for word in &words {
            if bare(line, word) {
                found.push(format!(
                    "{}:{number}: name the issue, as in {word}(#12), or do it",
                    file.path
                ));
            }
        }
    }
    found
}

/// Whether `word` stands in `line` as a word of its own without `(#` behind it.
fn bare(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _word)| {
        let (before, rest) = line.split_at(at);
        let after = rest.strip_prefix(word).unwrap_or_default();
        let apart = |character: char| !character.is_alphanumeric() && character != '_';
        before.chars().next_back().is_none_or(apart)
            && after.chars().next().is_none_or(apart)
            && !after.starts_with("(#")
    })
}

/// Tests wait for conditions; a sleep is a guess about the speed of a machine.
fn sleeps(file: &File) -> Vec<String> {
    let tests = test_lines(file);
    let mut found = Vec::new();
    let mut allowed = false;
    for ((number, line), is_test) in numbered(file.text()).zip(tests) {
        let allows = |line: &str| {
            line.split_once(ALLOW_SLEEP)
                .is_some_and(|(_code, reason)| !reason.trim().is_empty())
        };
        let code = line.split("//").next().unwrap_or_default();
        if is_test && calls_sleep(code) && !allowed && !allows(line) {
            found.push(format!(
                "{}:{number}: wait for a condition instead of sleeping, or say why not with \
                 `{ALLOW_SLEEP}REASON`",
                file.path
            ));
        }
        allowed = allows(line);
    }
    found
}

/// Whether `code` calls a function named `sleep`; a method of that name is somebody's own clock.
fn calls_sleep(code: &str) -> bool {
    code.match_indices("sleep(").any(|(at, _call)| {
        let before = code.split_at(at).0;
        let last = before.chars().next_back();
        last.is_none_or(|last| !last.is_alphanumeric() && !matches!(last, '_' | '.' | '"' | '`'))
            && !before.trim_end().ends_with("fn")
    })
}

/// For each line of `file`, whether it is test code.
pub(super) fn test_lines(file: &File) -> Vec<bool> {
    let lines: Vec<&str> = file.text().lines().collect();
    let mut tests = vec![file.is_test(); lines.len()];
    let mut end = None;
    for (index, line) in lines.iter().enumerate() {
        if end.is_none() && line.trim() == "#[cfg(test)]" {
            end = end_of_test_module(lines.get(index..).unwrap_or_default());
        }
        if let (Some(end_line), Some(test)) = (end.as_deref(), tests.get_mut(index)) {
            *test = true;
            if *line == end_line {
                end = None;
            }
        }
    }
    tests
}

/// The line that closes the module which the attribute in the first of `lines` belongs to.
///
/// Relies on the layout that rustfmt gives.
fn end_of_test_module(lines: &[&str]) -> Option<String> {
    let attribute = lines.first()?;
    let indent = attribute
        .split_at(attribute.len().saturating_sub(attribute.trim_start().len()))
        .0;
    let opening = lines.iter().skip(1).take(12).find(|line| {
        let line = line.trim_start();
        ["mod ", "pub mod ", "pub(crate) mod ", "pub(super) mod "]
            .iter()
            .any(|start| line.starts_with(start))
            || ["fn ", "impl ", "use ", "pub fn ", "struct "]
                .iter()
                .any(|start| line.starts_with(start))
    })?;
    (opening.contains("mod ") && opening.trim_end().ends_with('{')).then(|| format!("{indent}}}"))
}

/// The lines of a text with their numbers, from 1.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1_usize..).zip(text.lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = "macula/tests/it/main.rs";
    const CODE: &str = "macula/src/node.rs";
    /// Written apart, so that the rule does not find its own test.
    const CALL: &str = concat!("sle", "ep(d);");

    #[track_caller]
    fn refused(path: &str, text: &str, place: &str) {
        let found = violations(&File::with(path, text));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(&format!("{path}:{place}: ")),
            "{found:?}"
        );
    }

    #[track_caller]
    fn accepted(path: &str, text: &str) {
        assert_eq!(violations(&File::with(path, text)), Vec::<String>::new());
    }

    #[test]
    fn a_file_opens_with_its_purpose() {
        refused(CODE, "use std::fmt;\n", "1");
        refused(CODE, "//!\nuse std::fmt;\n", "1");
        accepted(CODE, "//! What it is for.\nuse std::fmt;\n");
    }

    #[test]
    fn a_test_that_does_not_run_has_a_reason() {
        refused(TEST, "//! T.\n#[test]\n#[ignore]\nfn a() {}\n", "3");
        refused(TEST, "//! T.\n#[test] #[ignore]\nfn a() {}\n", "2");
        accepted(
            TEST,
            "//! T.\n#[test]\n#[ignore = \"needs a network\"]\nfn a() {}\n",
        );
        accepted(TEST, "//! T.\n// says #[ignore] in a comment\n");
    }

    #[test]
    fn a_test_does_not_pass_by_any_panic() {
        refused(
            TEST,
            "//! T.\n#[should_panic(expected = \"a\")]\nfn a() {}\n",
            "2",
        );
        accepted(TEST, "//! T.\n#[test]\nfn a() {}\n");
    }

    #[test]
    fn open_work_names_its_issue() {
        let word = ["TO", "DO"].concat();
        refused(CODE, &format!("//! C.\n// {word}: later\n"), "2");
        refused(CODE, &format!("//! C.\n//{word}\n"), "2");
        accepted(CODE, &format!("//! C.\n// {word}(#12): later\n"));
        accepted(CODE, &format!("//! C.\nconst {word}_LIST: u8 = 0;\n"));
    }

    #[test]
    fn a_test_does_not_sleep() {
        refused(
            TEST,
            "//! T.\nfn a() {\n    std::thread::sleep(d);\n}\n",
            "3",
        );
        refused(
            TEST,
            "//! T.\nasync fn a() {\n    tokio::time::sleep(d).await;\n}\n",
            "3",
        );
        refused(
            TEST,
            "//! T.\nasync fn a() {\n    sleep(d).await;\n}\n",
            "3",
        );
        accepted(
            CODE,
            "//! C.\nasync fn a() {\n    tokio::time::sleep(d).await;\n}\n",
        );
        accepted(
            TEST,
            "//! T.\nfn a(clock: &Clock) {\n    clock.sleep(d);\n}\n",
        );
        accepted(TEST, "//! T.\nfn sleep(d: Duration) {}\n");
    }

    #[test]
    fn a_sleep_with_a_reason_passes() {
        let allowed = "//! T.\n// tidy: allow sleep: the clock is paused\nsleep(d).await;\n";
        accepted(TEST, allowed);
        accepted(
            TEST,
            "//! T.\nsleep(d).await; // tidy: allow sleep: the clock is paused\n",
        );
        refused(
            TEST,
            "//! T.\nsleep(d).await; // tidy: allow sleep: \n",
            "2",
        );
        refused(TEST, &format!("{allowed}{CALL}\n"), "4");
    }

    #[test]
    fn a_module_of_tests_is_test_code() {
        let text = format!(
            "//! C.\nfn a() {{}}\n#[cfg(test)]\n#[expect(clippy::x, reason = \"r\")]\nmod tests {{\n    \
             fn b() {{\n        {CALL}\n    }}\n}}\nfn c() {{\n    {CALL}\n}}\n"
        );
        refused(CODE, &text, "7");
        let lines = test_lines(&File::with(CODE, &text));
        let inside: Vec<usize> = (1..)
            .zip(lines)
            .filter(|(_, test)| *test)
            .map(|(n, _)| n)
            .collect();
        assert_eq!(inside, [3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_function_for_tests_does_not_open_a_module() {
        let text = "//! C.\n#[cfg(test)]\nfn a() {}\nmod b {\n    fn c() {}\n}\n";
        assert!(test_lines(&File::with(CODE, text)).iter().all(|test| !test));
    }
}
