//! The committed corpus: small, minimised, and changed only by `--keep`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::target::{Fuzzer, files};
use crate::failure::Failure;

/// The most inputs that are committed for one target, besides those that once crashed it.
const MOST: usize = 24;

/// Replaces the committed corpus of `target` by a minimal one that covers as much, together with
/// what the last run found. Inputs named `crash-..` stay.
///
/// # Errors
///
/// When the binary or the file system fails; the committed corpus is then unchanged, or lacks
/// inputs that `git` can bring back.
pub(super) fn keep(fuzzer: &Fuzzer, target: &str) -> Result<(), Failure> {
    let committed = fuzzer.committed(target);
    let merged = tempfile::tempdir().map_err(|error| failed(&committed, &error))?;
    let (succeeded, _stdout, stderr) = fuzzer
        .start(target)
        .arg("-set_cover_merge=1")
        .arg(merged.path())
        .arg(&committed)
        .arg(fuzzer.found(target))
        .captured()?;
    if !succeeded {
        return Err(Failure::failed(format!(
            "cannot merge the corpus of {target}:\n{stderr}"
        )));
    }
    let kept = smallest(merged.path(), MOST)?;
    if kept.is_empty() {
        return Ok(());
    }
    let before = files(&committed);
    for path in listed(&committed)?
        .into_iter()
        .filter(|path| !once_crashed(path))
    {
        std::fs::remove_file(&path).map_err(|error| failed(&path, &error))?;
    }
    for path in &kept {
        let name = path.file_name().unwrap_or_default();
        std::fs::copy(path, committed.join(name)).map_err(|error| failed(path, &error))?;
    }
    println!("{target:24} corpus {before} -> {}", files(&committed));
    Ok(())
}

/// Folders of the corpus that no target reads, and targets without inputs, one line each.
pub(super) fn violations(corpora: &BTreeMap<String, usize>, targets: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for name in corpora.keys().filter(|name| !targets.contains(name)) {
        found.push(format!(
            "xtask/fuzz/corpus/{name}: no target has this name; remove the folder"
        ));
    }
    for name in targets {
        if corpora.get(name).is_none_or(|inputs| *inputs == 0) {
            found.push(format!(
                "{name} has no committed inputs; `cargo xtask fuzz {name} --seconds 60 --keep` adds some"
            ));
        }
    }
    found
}

/// The `most` smallest files of `folder`.
fn smallest(folder: &Path, most: usize) -> Result<Vec<PathBuf>, Failure> {
    let mut sized = Vec::new();
    for path in listed(folder)? {
        let size = path
            .metadata()
            .map_err(|error| failed(&path, &error))?
            .len();
        sized.push((size, path));
    }
    sized.sort();
    sized.truncate(most);
    Ok(sized.into_iter().map(|(_size, path)| path).collect())
}

/// The files in `folder`.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    std::fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        })
        .map_err(|error| failed(folder, &error))
}

/// Whether the input stays because it found a fault once.
fn once_crashed(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("crash-"))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot change {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_inputs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("long", "aaaa"), ("short", "a"), ("middle", "aa")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let kept = smallest(folder.path(), 2).unwrap();
        let names: Vec<_> = kept.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["short", "middle"]);
    }

    #[test]
    fn targets_and_corpora_must_match() {
        let corpora = BTreeMap::from([("frame".to_owned(), 3), ("topic".to_owned(), 0)]);
        let both = ["frame".to_owned(), "topic".to_owned()];
        assert_eq!(violations(&corpora, &both[..1]).len(), 1);
        assert_eq!(violations(&corpora, &both).len(), 1);
        let full = BTreeMap::from([("frame".to_owned(), 3), ("topic".to_owned(), 1)]);
        assert_eq!(violations(&full, &both), Vec::<String>::new());
    }

    #[test]
    fn an_input_that_crashed_once_stays() {
        assert!(once_crashed(Path::new("corpus/frame/crash-empty-batch")));
        assert!(!once_crashed(Path::new("corpus/frame/0a1b2c")));
    }
}
