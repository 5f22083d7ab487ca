//! The proof that a crate needs no `std`: its attribute, the features of what it depends on, and a
//! build against a sysroot that has none.

use std::path::Path;

use crate::failure::Failure;
use crate::process::{Tool, cargo, host, read, root, rustc};

/// The crates of the sysroot that exist without an operating system.
const FREESTANDING: &[&str] = &["core", "alloc", "compiler_builtins"];

/// What speaks against `name` having no `std`, one line each.
///
/// # Errors
///
/// When cargo or a file cannot be read.
pub(super) fn violations(name: &str) -> Result<Vec<String>, Failure> {
    let library = read(&root().join(name).join("src/lib.rs"))?;
    let mut found = attribute_violations(name, &library);
    // `-p` of one crate resolves the features of that crate alone. Procedural macros run in the
    // compiler, so their features are none of ours.
    let tree = cargo("tree --edges normal,no-proc-macro --locked --prefix none --format")
        .arg("{p}|{f}")
        .arg("--package")
        .arg(name)
        .output()?;
    found.extend(feature_violations(name, &tree));
    Ok(found)
}

/// The attribute that a library without `std` has to carry.
fn attribute_violations(name: &str, library: &str) -> Vec<String> {
    if library.lines().any(|line| line.trim() == "#![no_std]") {
        return Vec::new();
    }
    vec![format!(
        "{name}/src/lib.rs does not say `#![no_std]`; add it after the crate's docs"
    )]
}

/// The features named `std` in lines of the form `name version (path)|feature,feature`.
fn feature_violations(name: &str, tree: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in tree.lines() {
        let Some((package, features)) = line.split_once('|') else {
            continue;
        };
        let features = features.trim_end_matches(" (*)");
        let dependency = package.split_whitespace().next().unwrap_or_default();
        if features.split(',').any(|feature| feature.trim() == "std") {
            found.push(format!(
                "{name} turns on the feature `std` of {dependency}; drop it from {name}/Cargo.toml \
                 (`cargo tree -p {name} -e normal,features -i {dependency}` shows the way)"
            ));
        }
    }
    found.dedup();
    found
}

/// Builds `name` with a sysroot that holds `core` and `alloc` and nothing else.
///
/// No other target has to be installed for it: with an explicit `--target`, the flags do not reach
/// procedural macros, which keep the whole sysroot.
///
/// # Errors
///
/// When the crate, or one that it depends on, needs `std`.
pub(super) fn build(name: &str) -> Result<(), Failure> {
    let host = host()?;
    let sysroot = Tool::new(rustc()).words("--print sysroot").output()?;
    let libraries = Path::new("lib/rustlib").join(&host).join("lib");
    let target = root().join("target/no-std");
    let bare = target.join("sysroot");
    copy_freestanding(
        &Path::new(sysroot.trim()).join(&libraries),
        &bare.join(&libraries),
    )?;
    cargo("check --quiet --locked --package")
        .arg(name)
        .words("--target")
        .arg(&host)
        .arg("--target-dir")
        .arg(&target)
        .without_env("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", format!("--sysroot={}", bare.display()))
        .run()
        .map_err(|failure| {
            Failure::failed(format!(
                "{name} does not build with core and alloc alone: {failure}"
            ))
        })
}

/// Copies the metadata of [`FREESTANDING`] crates, after removing those of another toolchain.
fn copy_freestanding(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::failed(format!(
            "cannot copy core and alloc from {}: {error}",
            from.display()
        ))
    };
    if to.exists() {
        std::fs::remove_dir_all(to).map_err(failed)?;
    }
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if is_freestanding(&file) {
            std::fs::copy(&path, to.join(file)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Whether `file` is the metadata of a [`FREESTANDING`] crate, such as `libcore-0123abcd.rmeta`.
fn is_freestanding(file: &str) -> bool {
    file.strip_prefix("lib")
        .and_then(|file| file.strip_suffix(".rmeta"))
        .and_then(|file| file.rsplit_once('-'))
        .is_some_and(|(name, _hash)| FREESTANDING.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_std_is_refused_wherever_it_is_on() {
        let found = feature_violations("w", "w v1 (p)|\nbytes v1|default,std\nbytes v1|std (*)\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("of bytes"), "{found:?}");
        assert!(feature_violations("w", "w v1 (p)|\nbytes v1|\nserde v1|alloc,nostd\n").is_empty());
    }

    #[test]
    fn the_attribute_must_stand_in_the_library() {
        assert_eq!(
            attribute_violations("w", "//! Docs.\nextern crate alloc;\n").len(),
            1
        );
        assert!(attribute_violations("w", "//! Docs.\n#![no_std]\n").is_empty());
    }

    #[test]
    fn only_core_and_alloc_are_copied() {
        assert!(is_freestanding("libcore-120cbae4.rmeta"));
        assert!(is_freestanding("libcompiler_builtins-27cfc16b.rmeta"));
        assert!(!is_freestanding("libstd-120cbae4.rmeta"));
        assert!(!is_freestanding("libcore-120cbae4.rlib"));
    }
}
