//! The committed corpus: small, minimised, and changed only by `--keep`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::target::{Fuzzer, files};
use crate::failure::Failure;

/// The most inputs that are committed for one target, besides those that stay whatever they cover.
const MOST: usize = 24;

/// Replaces the committed corpus of `target` by a minimal one that covers as much, together with
/// what the last run found. Inputs named `crash-..` or `seed-..` stay.
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
    let kept = spread(merged.path(), MOST)?;
    if kept.is_empty() {
        return Ok(());
    }
    let before = files(&committed);
    for path in listed(&committed)?.into_iter().filter(|path| !stays(path)) {
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

/// At most `most` files of `folder`: evenly spread over their sizes, the smallest and the largest
/// among them, because short inputs are refused early and long ones get far.
fn spread(folder: &Path, most: usize) -> Result<Vec<PathBuf>, Failure> {
    let mut sized = Vec::new();
    for path in listed(folder)? {
        let size = path
            .metadata()
            .map_err(|error| failed(&path, &error))?
            .len();
        sized.push((size, path));
    }
    sized.sort();
    let last = sized.len().saturating_sub(1);
    let count = most.min(sized.len());
    let rank = |index: usize| {
        index
            .saturating_mul(last)
            .checked_div(count.saturating_sub(1))
            .unwrap_or(0)
    };
    Ok((0..count)
        .filter_map(|index| sized.get(rank(index)))
        .map(|(_, path)| path.clone())
        .collect())
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

/// Whether the input stays whatever it covers: it found a fault once, or was made by hand.
fn stays(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with("crash-") || name.starts_with("seed-")
    })
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot change {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_of_all_sizes_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for size in 1..=9 {
            let name = folder.path().join(size.to_string());
            std::fs::write(name, "a".repeat(size)).unwrap();
        }
        let kept = |most| -> Vec<String> {
            let kept = spread(folder.path(), most).unwrap();
            kept.iter()
                .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(kept(3), ["1", "5", "9"]);
        assert_eq!(kept(1), ["1"]);
        assert_eq!(kept(20).len(), 9);
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
    fn inputs_with_a_name_of_their_own_stay() {
        assert!(stays(Path::new("corpus/frame/seed-tenant")));
        assert!(stays(Path::new("corpus/frame/crash-empty-batch")));
        assert!(!stays(Path::new("corpus/frame/0a1b2c")));
    }
}
