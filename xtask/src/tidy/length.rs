//! How long a file may be: short, or listed, and the list only shrinks.

use std::collections::BTreeMap;

use super::File;
use super::source::{numbered, test_lines};

/// Above this many lines without tests, a file needs an entry in the list.
const QUESTIONED: usize = 400;
/// Above this many lines without tests, a file is refused.
const REFUSED: usize = 800;
/// How far an entry may lie above the file before it has to be lowered.
const SLACK: usize = 20;
/// Files above [`QUESTIONED`], one a line: path and greatest length.
pub(super) const RATCHET: &str = "xtask/src/tidy_ratchet.txt";

/// What is wrong with the lengths of `files`, one line each.
pub(super) fn violations(files: &[File]) -> Vec<String> {
    let list = files
        .iter()
        .find(|file| file.path == RATCHET)
        .map_or("", File::text);
    let (entries, mut found) = entries(list);
    for (path, limit) in &entries {
        if !files.iter().any(|file| file.path == *path) {
            found.push(format!(
                "{RATCHET}: {path} is not there ({limit}); take its line out"
            ));
        }
    }
    for file in files
        .iter()
        .filter(|file| file.has_extension("rs") && !file.is_test())
    {
        let length = test_lines(file).iter().filter(|test| !**test).count();
        let entry = entries.get(file.path.as_str()).copied();
        found.extend(judge(length, entry).map(|fault| format!("{}: {fault}", file.path)));
    }
    found
}

/// What is wrong with a file of `length` lines that has `entry` in the list.
fn judge(length: usize, entry: Option<usize>) -> Option<String> {
    if length > REFUSED {
        return Some(format!(
            "{length} lines without tests; split it, {REFUSED} is the end"
        ));
    }
    match entry {
        None if length > QUESTIONED => Some(format!(
            "{length} lines without tests; split it, or answer for it with `PATH {length}` in {RATCHET}"
        )),
        Some(_limit) if length <= QUESTIONED => {
            Some(format!("{length} lines; take its line out of {RATCHET}"))
        }
        Some(limit) if length > limit => Some(format!(
            "{length} lines, {RATCHET} allows {limit}; split it, the list only shrinks"
        )),
        Some(limit) if limit > length.saturating_add(SLACK) => Some(format!(
            "{length} lines, {RATCHET} allows {limit}; lower that to {length}"
        )),
        None | Some(_) => None,
    }
}

/// The entries of the list, and what is wrong with its lines.
fn entries(list: &str) -> (BTreeMap<&str, usize>, Vec<String>) {
    let mut entries = BTreeMap::new();
    let mut found = Vec::new();
    for (number, line) in numbered(list) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = line
            .split_once(' ')
            .and_then(|(path, limit)| Some((path, limit.parse().ok()?)));
        match entry {
            Some((path, limit)) => {
                entries.insert(path, limit);
            }
            None => found.push(format!("{RATCHET}:{number}: write `PATH LINES`")),
        }
    }
    (entries, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "macula/src/node.rs";

    fn file(lines: usize) -> File {
        File::with(PATH, &"//\n".repeat(lines))
    }

    #[track_caller]
    fn refused(lines: usize, list: &str, text: &str) {
        let found = violations(&[file(lines), File::with(RATCHET, list)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(text), "{found:?}");
    }

    #[track_caller]
    fn accepted(lines: usize, list: &str) {
        let found = violations(&[file(lines), File::with(RATCHET, list)]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_long_file_needs_an_entry() {
        accepted(400, "");
        refused(401, "", "split it");
        accepted(401, "# why\nmacula/src/node.rs 401\n");
    }

    #[test]
    fn an_entry_does_not_grow_and_does_not_linger() {
        accepted(500, "macula/src/node.rs 510\n");
        refused(511, "macula/src/node.rs 510\n", "only shrinks");
        refused(480, "macula/src/node.rs 510\n", "lower that to 480");
        refused(400, "macula/src/node.rs 410\n", "take its line out");
        refused(10, "macula/src/gone.rs 410\n", "is not there");
        refused(10, "macula/src/node.rs\n", "write `PATH LINES`");
    }

    #[test]
    fn no_entry_excuses_a_huge_file() {
        accepted(800, "macula/src/node.rs 800\n");
        refused(801, "macula/src/node.rs 801\n", "800 is the end");
    }

    #[test]
    fn tests_do_not_count() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    //\n".repeat(900));
        assert!(violations(&[File::with(PATH, &tests)]).is_empty());
        assert!(violations(&[File::with("macula/tests/it/a.rs", &"//\n".repeat(900))]).is_empty());
    }
}
