//! The directory of a node on disk: identity, trust, configuration, and what it keeps between runs.

mod config;
mod members;

pub use config::{ConfigError, LimitsConfig, NodeConfig, StoreConfig};
pub use members::{MemberList, MemberListError};

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use macula_realm::{Certificate, FileError, NodeIdentity, TrustBundle};
use macula_wire::Epoch;
use thiserror::Error;

use crate::NodeBuilder;

const CONFIG_FILE: &str = "node.toml";
const EPOCH_FILE: &str = "epoch";
const SOCKET_FILE: &str = "macula.sock";
const MEMBERS_FILE: &str = "members.cache";
/// The largest file that is read.
const MAX_FILE_LEN: u64 = 1 << 20;

/// Where a node keeps its files: `node.crt`, `node.key`, `realm.trust`, `node.toml`, `epoch`, `members.cache` and `macula.sock`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeDirectory {
    path: PathBuf,
}

/// Why a node's directory cannot be used. Nothing in it was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The configuration says something that cannot be: the user's to mend.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that the program wrote itself is damaged; it is not trusted and not overwritten.
    #[error("{path} is damaged ({why}): restore it from a copy, or move it away to start anew", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file of the identity is missing, unreadable or damaged.
    #[error(transparent)]
    Identity(#[from] FileError),
    /// The system did not let a file be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl NodeDirectory {
    /// The directory at `path`, whether it exists or not.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The Unix socket that clients of this machine attach to.
    #[must_use]
    pub fn socket_path(&self) -> PathBuf {
        self.path.join(SOCKET_FILE)
    }

    /// The folder of the events that outlive the node: `events`.
    #[must_use]
    pub fn events_path(&self) -> PathBuf {
        self.path.join("events")
    }

    /// Where the node remembers the members of its realm between runs.
    #[must_use]
    pub fn members_path(&self) -> PathBuf {
        self.path.join(MEMBERS_FILE)
    }

    /// Where the configuration is.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.path.join(CONFIG_FILE)
    }

    /// Reads the node's certificate, without its key.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Identity`] if it is missing, unreadable or damaged.
    pub fn certificate(&self) -> Result<Certificate, DirectoryError> {
        Ok(NodeIdentity::load_certificate(&self.path)?)
    }

    /// Reads the configuration.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`] if it is missing or unreadable, [`DirectoryError::Config`] with the line of a mistake.
    pub fn config(&self) -> Result<NodeConfig, DirectoryError> {
        let path = self.config_path();
        let text = read(&path)?;
        Ok(NodeConfig::parse(&path, &text)?)
    }

    /// Writes the configuration of a new node.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Io`], also if there is one already: it is not overwritten.
    pub fn create_config(&self, config: &NodeConfig) -> Result<(), DirectoryError> {
        let path = self.config_path();
        let written = File::options()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| file.write_all(config.to_text().as_bytes()));
        written.map_err(|source| DirectoryError::Io { path, source })
    }

    /// Describes the node of this directory: its identity, trust and configuration.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`] for the first file that is missing, unreadable, damaged or wrong.
    pub fn builder(&self) -> Result<NodeBuilder, DirectoryError> {
        let config = self.config()?;
        let identity = NodeIdentity::load(&self.path)?;
        let trust = TrustBundle::load(&self.path)?;
        let mut builder = NodeBuilder::new()
            .identity(identity)
            .trust(trust)
            .local_socket(self.socket_path())
            .member_cache(self.members_path())
            .event_log(self.events_path());
        builder = config.apply(builder);
        Ok(builder)
    }

    /// Draws the number of the next run and writes it down before it is used: the wall clock in milliseconds, or one
    /// more than the last number if the clock was set back.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Damaged`] if the file does not hold a number, [`DirectoryError::Io`].
    pub fn next_epoch(&self, wall_ms: u64) -> Result<Epoch, DirectoryError> {
        let path = self.path.join(EPOCH_FILE);
        let last = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            _ => {
                let text = read(&path)?;
                text.trim_end()
                    .parse()
                    .map_err(|_| DirectoryError::Damaged {
                        path: path.clone(),
                        why: "it holds no number".into(),
                    })?
            }
        };
        let next = wall_ms.max(u64::saturating_add(last, 1));
        let written = self.replace(EPOCH_FILE, &format!("{next}\n"));
        written.map_err(|source| DirectoryError::Io { path, source })?;
        Ok(Epoch::new(next))
    }

    /// Replaces a small file so that a crash leaves the old or the new one.
    fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        let fresh = self.path.join(format!(".{name}.new"));
        let mut file = File::create(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, self.path.join(name))?;
        File::open(&self.path)?.sync_all()
    }
}

fn read(path: &Path) -> Result<String, DirectoryError> {
    let io = |source| DirectoryError::Io {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(io)?.len() > MAX_FILE_LEN {
        return Err(DirectoryError::Damaged {
            path: path.to_owned(),
            why: "it is larger than 1 MiB".into(),
        });
    }
    let bytes = fs::read(path).map_err(io)?;
    String::from_utf8(bytes).map_err(|_| DirectoryError::Damaged {
        path: path.to_owned(),
        why: "it is not UTF-8 text".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_only_rise_even_if_the_clock_is_set_back() {
        let place = tempfile::tempdir().unwrap();
        let directory = NodeDirectory::new(place.path());
        assert_eq!(directory.next_epoch(1_000).unwrap().get(), 1_000);
        assert_eq!(directory.next_epoch(2_000).unwrap().get(), 2_000);
        assert_eq!(directory.next_epoch(500).unwrap().get(), 2_001);
    }

    #[test]
    fn a_damaged_epoch_is_named_and_kept() {
        let place = tempfile::tempdir().unwrap();
        let directory = NodeDirectory::new(place.path());
        let file = place.path().join(EPOCH_FILE);
        for damaged in [&b"twelve\n"[..], b"", b"\xff\xfe"] {
            fs::write(&file, damaged).unwrap();
            let error = directory.next_epoch(1).unwrap_err();
            assert!(
                matches!(&error, DirectoryError::Damaged { path, .. } if *path == file),
                "{error}"
            );
            assert_eq!(fs::read(&file).unwrap(), damaged);
        }
        fs::write(&file, "12\n").unwrap();
        assert_eq!(directory.next_epoch(1).unwrap().get(), 13);
    }
}
