//! Certificates and keys on disk: written whole or not at all, and keys for their owner's eyes only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use macula_wire::limit::MAX_CHAIN;
use zeroize::Zeroizing;

use crate::key::random;
use crate::{FileError, NodeKey, pem};

/// The largest file that is read.
const MAX_FILE_LEN: u64 = 1 << 20;
const KEY_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o700;

/// What may stand where a file is to be written.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Place {
    /// Nothing.
    New,
    /// Nothing, or the same key.
    NewOrSame,
    /// Anything; it is replaced.
    Replace,
}

/// Makes `directory`, and those above it, for its owner alone, if it is not there.
pub(crate) fn prepare(directory: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(|source| FileError::Unwritable {
            path: directory.to_owned(),
            source,
        })
}

/// Writes a private key, mode 0600 from its first moment on.
pub(crate) fn write_key(path: &Path, key: &NodeKey, place: Place) -> Result<(), FileError> {
    if place == Place::NewOrSame {
        match read_key(path) {
            Ok(old) if old.node() == key.node() => return Ok(()),
            Err(FileError::Missing { .. }) => {}
            Err(error @ FileError::Permissions { .. }) => return Err(error),
            Ok(_) | Err(_) => {
                return Err(FileError::Exists {
                    path: path.to_owned(),
                });
            }
        }
    }
    let text = pem::encode(pem::PRIVATE_KEY, key.pkcs8());
    write(path, text.as_bytes(), KEY_MODE, Place::New)
}

/// Writes what everybody may read.
pub(crate) fn write_public(path: &Path, bytes: &[u8], place: Place) -> Result<(), FileError> {
    write(path, bytes, PUBLIC_MODE, place)
}

/// Writes beside `path`, flushes to the disk and then gives the file its name, so that whatever happens there is
/// either the old file or the whole new one.
fn write(path: &Path, bytes: &[u8], mode: u32, place: Place) -> Result<(), FileError> {
    let unwritable = |source| FileError::Unwritable {
        path: path.to_owned(),
        source,
    };
    let temporary = beside(path).map_err(unwritable)?;
    let written = write_all(&temporary, bytes, mode).and_then(|()| match place {
        Place::Replace => fs::rename(&temporary, path),
        // A link, unlike a rename, fails if the name is taken.
        Place::New | Place::NewOrSame => {
            fs::hard_link(&temporary, path).and_then(|()| fs::remove_file(&temporary))
        }
    });
    if written.is_err() {
        // What went wrong first is what the caller has to know; there may be nothing to remove.
        drop(fs::remove_file(&temporary));
    }
    match written {
        Ok(()) => sync_directory(path).map_err(unwritable),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(FileError::Exists {
            path: path.to_owned(),
        }),
        Err(error) => Err(unwritable(error)),
    }
}

fn write_all(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name in the same directory that nobody else uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let mut bytes = [0; 8];
    random(&mut bytes).map_err(io::Error::other)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{:016x}.tmp", u64::from_be_bytes(bytes)));
    Ok(path.with_file_name(hidden))
}

/// Makes a new name in the directory survive a loss of power.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

/// Reads a private key in PEM, if nobody but its owner can.
pub(crate) fn read_key(path: &Path) -> Result<NodeKey, FileError> {
    let bytes = read(path, Secrecy::Secret)?;
    let damaged = |why: &str| damaged(path, why);
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is not text"))?;
    let sections = pem::decode(pem::PRIVATE_KEY, text, 1).map_err(damaged)?;
    let [pkcs8] = sections.as_slice() else {
        return Err(damaged("it holds no private key in PEM"));
    };
    NodeKey::from_pkcs8(pkcs8).map_err(|error| damaged(&error.to_string()))
}

/// Reads 1 to 4 certificates in PEM, as DER.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, FileError> {
    let text = read_text(path)?;
    let sections =
        pem::decode(pem::CERTIFICATE, &text, MAX_CHAIN).map_err(|why| damaged(path, why))?;
    if sections.is_empty() {
        return Err(damaged(path, "it holds no certificate in PEM"));
    }
    Ok(sections.iter().map(|der| der.to_vec()).collect())
}

/// Reads a text that everybody may see.
pub(crate) fn read_text(path: &Path) -> Result<String, FileError> {
    let bytes = read(path, Secrecy::Public)?;
    std::str::from_utf8(&bytes)
        .map(str::to_owned)
        .map_err(|_| damaged(path, "it is not text"))
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Secrecy {
    Public,
    Secret,
}

fn read(path: &Path, secrecy: Secrecy) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let unreadable = |source: io::Error| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            FileError::Missing { path }
        } else {
            FileError::Unreadable { path, source }
        }
    };
    // Before it is opened, because opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(damaged(path, "it is not a regular file"));
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if secrecy == Secrecy::Secret && mode & 0o077 != 0 {
        return Err(FileError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    if metadata.len() > MAX_FILE_LEN {
        return Err(damaged(path, "it is over 1 MiB"));
    }
    // With room to spare, so that growing leaves no copy of a key behind.
    let room = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(64)));
    file.take(MAX_FILE_LEN)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.is_empty() {
        return Err(damaged(path, "it is empty"));
    }
    Ok(bytes)
}

fn damaged(path: &Path, why: &str) -> FileError {
    FileError::Damaged {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}
