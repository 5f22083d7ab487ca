//! The file of a listening socket: never open to others, and taken over from a process that is gone.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::error::BindError;

/// How long a process may take to show that it listens.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a file that others put there is looked at again.
const ATTEMPTS: usize = 4;

/// The file of a socket, removed when this is dropped unless another one has taken its place.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Listens at `path` with mode 0600.
///
/// The socket is made in a directory that only its owner may enter, given its mode there, and then linked to `path`,
/// which fails if something stands there.
pub(super) async fn bind(path: &Path) -> Result<(UnixListener, Place), BindError> {
    let failed = |source| BindError::Socket {
        path: path.to_owned(),
        source,
    };
    let private = Private::beside(path).map_err(failed)?;
    let made = private.0.join("s");
    let listener = UnixListener::bind(&made).map_err(failed)?;
    fs::set_permissions(&made, Permissions::from_mode(0o600)).map_err(failed)?;
    let metadata = fs::symlink_metadata(&made).map_err(failed)?;
    for _ in 0..ATTEMPTS {
        match fs::hard_link(&made, path) {
            Ok(()) => {
                let place = Place {
                    path: path.to_owned(),
                    device: metadata.dev(),
                    inode: metadata.ino(),
                };
                return Ok((listener, place));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                clear(path, &private).await?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Err(BindError::SocketInUse {
        path: path.to_owned(),
    })
}

/// Removes the socket of a dead process from `path`.
async fn clear(path: &Path, private: &Private) -> Result<(), BindError> {
    let in_use = || BindError::SocketInUse {
        path: path.to_owned(),
    };
    let failed = |source| BindError::Socket {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let kind = io::ErrorKind::AlreadyExists;
            return Err(failed(io::Error::new(kind, "a file that is no socket")));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    if is_live(path).await {
        return Err(in_use());
    }
    // Another process may do the same at the same time and have put its own socket there by now: what was taken away is
    // looked at once more, and put back if somebody listens.
    let taken = private.0.join("old");
    match fs::rename(path, &taken) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    if is_live(&taken).await {
        drop(fs::hard_link(&taken, path));
        return Err(in_use());
    }
    Ok(())
}

/// Whether a process listens at `path`.
async fn is_live(path: &Path) -> bool {
    match timeout(PROBE_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => !matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
        ),
        // Its queue of connections is full.
        Err(_) => true,
    }
}

/// A directory that only its owner may enter, removed with what is in it.
#[derive(Debug)]
struct Private(PathBuf);

impl Private {
    fn beside(path: &Path) -> io::Result<Self> {
        let mut random = [0; 4];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| io::Error::other("no randomness"))?;
        // Short, because the path of a socket has 107 bytes at most.
        let name = format!(".{:08x}", u32::from_be_bytes(random));
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        let made = parent.join(name);
        DirBuilder::new().mode(0o700).create(&made)?;
        Ok(Self(made))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        drop(fs::remove_file(self.0.join("s")));
        drop(fs::remove_file(self.0.join("old")));
        drop(fs::remove_dir(&self.0));
    }
}
