//! Cleans up after a task runner that was killed.
//!
//! A small shell waits at the other end of a pipe. While all goes well it learns what was started and what has ended;
//! when the pipe closes, be it after Ctrl-C, a panic or SIGKILL, it ends what is left, and removes namespaces and
//! the directory. It stands in a process group of its own, so that what ends the whole group of the task runner does not end
//! it as well.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::failure::Failure;

/// Reads one fact a line. What a process number stands for is asked only once, at the end, of those that still run.
const SCRIPT: &str = "\
trap '' INT TERM HUP
alive=' '
spaces=''
folder=''
while read -r fact what; do
  case $fact in
    started) alive=\"$alive$what \" ;;
    ended) case $alive in *\" $what \"*) alive=\"${alive%% $what *} ${alive#* $what }\" ;; esac ;;
    space) spaces=\"$spaces $what\" ;;
    gone) spaces='' ;;
    folder) folder=$what ;;
    kept) folder='' ;;
  esac
done
for process in $alive; do kill -s KILL \"$process\" 2>/dev/null; done
for space in $spaces; do ip netns del \"$space\" 2>/dev/null; done
if [ -n \"$folder\" ]; then rm -rf -- \"$folder\"; fi
";

/// The shell that waits.
#[derive(Debug)]
pub(super) struct Guard {
    shell: Mutex<Child>,
    pipe: Mutex<Option<ChildStdin>>,
}

impl Guard {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When there is no shell.
    pub(super) fn start() -> Result<Self, Failure> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::failed(format!("sh: {error}")))?;
        let pipe = shell.stdin.take();
        Ok(Self {
            shell: Mutex::new(shell),
            pipe: Mutex::new(pipe),
        })
    }

    /// A process that has to end with us.
    pub(super) fn started(&self, process: u32) {
        self.tell(&format!("started {process}\n"));
    }

    /// The process has ended.
    pub(super) fn ended(&self, process: u32) {
        self.tell(&format!("ended {process}\n"));
    }

    /// A network namespace that has to go with us.
    pub(super) fn space(&self, name: &str) {
        self.tell(&format!("space {name}\n"));
    }

    /// All namespaces are removed.
    pub(super) fn spaces_are_gone(&self) {
        self.tell("gone all\n");
    }

    /// A directory that has to go with us.
    pub(super) fn folder(&self, path: &Path) {
        self.tell(&format!("folder {}\n", path.display()));
    }

    /// The directory is somebody else's affair from here on.
    pub(super) fn folder_is_kept(&self) {
        self.tell("kept all\n");
    }

    fn tell(&self, fact: &str) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = pipe.as_mut() {
            // Without the guard, what was started still ends with its own handle.
            drop(pipe.write_all(fact.as_bytes()));
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(
            self.pipe
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        drop(shell.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle() -> Child {
        Command::new("sh")
            .args(["-c", "while :; do read -r line || exit 7; done"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    }

    #[test]
    fn a_directory_is_removed_unless_it_is_kept() {
        for keep in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.keep();
            let guard = Guard::start().unwrap();
            guard.folder(&path);
            if keep {
                guard.folder_is_kept();
            }
            drop(guard);
            assert_eq!(path.exists(), keep);
            drop(std::fs::remove_dir(&path));
        }
    }

    #[test]
    fn what_ends_our_process_group_does_not_end_it() {
        let guard = Guard::start().unwrap();
        let id = guard.shell.lock().unwrap().id().to_string();
        let group = Command::new("ps").args(["-o", "pgid=", "-p", &id]).output();
        let group = group.unwrap().stdout;
        assert_eq!(String::from_utf8(group).unwrap().trim(), id);
    }

    #[test]
    fn what_is_left_ends_with_the_guard_and_nothing_else_does() {
        let (mut first, mut second, mut third) = (idle(), idle(), idle());
        let guard = Guard::start().unwrap();
        for child in [&first, &second, &third] {
            guard.started(child.id());
        }
        guard.ended(second.id());
        drop(guard);
        assert!(first.wait().unwrap().code().is_none());
        assert!(third.wait().unwrap().code().is_none());
        // The second one was ours no more: it ends by its own input.
        drop(second.stdin.take());
        assert_eq!(second.wait().unwrap().code(), Some(7));
    }
}
