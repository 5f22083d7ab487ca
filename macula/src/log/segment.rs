//! The files of the log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a segment begins with.
pub(super) const MAGIC: &[u8; 8] = b"MACEVT\0\x01";

/// Where records are appended. A trait so that tests can let a disk fail.
pub(crate) trait Disk: Send {
    /// Writes behind what is there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when all that was written is on the medium.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts off what stands behind `length`.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

impl Disk for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// The file of a segment.
pub(super) fn path_of(folder: &Path, index: u64) -> PathBuf {
    folder.join(format!("events-{index:016x}.log"))
}

/// The segments of a folder, in their order.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let index = name
            .and_then(|name| name.strip_prefix("events-")?.strip_suffix(".log"))
            .and_then(|index| u64::from_str_radix(index, 16).ok());
        found.extend(index.map(|index| (index, path)));
    }
    found.sort();
    Ok(found)
}

/// Creates the file of a segment, whose name is on the medium when this returns.
pub(crate) fn create(path: &Path) -> io::Result<Box<dyn Disk>> {
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(Box::new(file))
}
