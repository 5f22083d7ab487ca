//! The command as a process: started, read line by line, asked to end.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process of the command. It is killed when the test is done with it.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
    what: String,
}

/// What became of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) lines: Vec<String>,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts `macula` with these arguments and nothing on standard input.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(arguments, Stdio::null())
    }

    /// Starts `macula` with this on standard input.
    pub(crate) fn start_with_input(arguments: &[&str], input: &[u8]) -> Self {
        let mut process = Self::spawn(arguments, Stdio::piped());
        let mut stdin = process.child.stdin.take().unwrap();
        let input = input.to_vec();
        // The process may end without having read all of it.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
        process
    }

    fn spawn(arguments: &[&str], stdin: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_macula"))
            .args(arguments)
            .env_remove("MACULA_NODE")
            .env_remove("MACULA_LOG")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (give, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).split(b'\n').map_while(Result::ok);
            for line in lines {
                if give
                    .send(String::from_utf8_lossy(&line).into_owned())
                    .is_err()
                {
                    return;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(stderr.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self {
            child,
            lines,
            errors: Some(errors),
            what: arguments.join(" "),
        }
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output; nothing once the process has closed it.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("`macula {}` said nothing for {PATIENCE:?}", self.what)
            }
        }
    }

    /// Reads on until a line is an object of this kind.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, event: &str) -> Value {
        while let Some(line) = self.line() {
            let object = parse(&line);
            if object["event"] == event {
                return object;
            }
        }
        let stderr = self.errors.take().unwrap().join().unwrap();
        panic!("`macula {}` ended without {event:?}: {stderr}", self.what);
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &command])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ended {
        let mut lines = Vec::new();
        while let Some(line) = self.line() {
            lines.push(line);
        }
        let stderr = self.errors.take().unwrap().join().unwrap();
        Ended {
            code: self.child.wait().unwrap().code(),
            lines,
            stderr,
        }
    }

    /// Closes standard output for the process, as a reader does that has had enough, and waits for the end.
    pub(crate) fn end_unread(mut self) -> Ended {
        // The thread that reads ends with the next line.
        self.lines = channel().1;
        let stderr = self.errors.take().unwrap().join().unwrap();
        Ended {
            code: self.child.wait().unwrap().code(),
            lines: Vec::new(),
            stderr,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Ended {
    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The objects of standard output.
    #[track_caller]
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.lines.iter().map(|line| parse(line)).collect()
    }

    /// The only object of standard output.
    #[track_caller]
    pub(crate) fn object(&self) -> Value {
        let [line] = self.lines.as_slice() else {
            panic!("not one line: {self:#?}")
        };
        parse(line)
    }

    /// The error that it told on standard error with `--json`.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let objects = self.stderr.lines().map(parse);
        let errors: Vec<Value> = objects
            .filter(|object| object["event"] == "error")
            .collect();
        errors
            .last()
            .unwrap_or_else(|| panic!("no error was told: {self:#?}"))
            .clone()
    }
}

#[track_caller]
fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Runs `macula` to its end.
pub(crate) fn macula(arguments: &[&str]) -> Ended {
    Process::start(arguments).end()
}

/// A directory in which `macula init` has made a realm and a node.
pub(crate) struct Place {
    directory: TempDir,
}

impl Place {
    /// A new realm with one node that listens at a port that the system chooses.
    pub(crate) fn new() -> Self {
        Self::named("be.acme.iot")
    }

    /// The same with another name for the realm.
    pub(crate) fn named(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let realm = [
            "init",
            "--realm",
            name,
            "--dir",
            path,
            "--listen",
            "127.0.0.1:0",
            "--json",
        ];
        macula(&realm).expect(0);
        Self { directory }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The directory of the first node.
    pub(crate) fn node(&self) -> String {
        self.text("node")
    }

    /// Issues another certificate into the directory `name`.
    pub(crate) fn issue(&self, name: &str, more: &[&str]) -> String {
        let (realm, out) = (self.text("realm"), self.text(name));
        let mut arguments = vec!["cert", "issue", "--realm", &realm, "--out", &out, "--json"];
        arguments.extend(more);
        macula(&arguments).expect(0);
        out
    }

    /// Starts the node of a directory and waits until it serves.
    pub(crate) fn run(directory: &str, more: &[&str]) -> Running {
        let mut arguments = vec!["node", "run", "--dir", directory];
        arguments.extend(more);
        let mut process = Process::start(&arguments);
        let ready = process.wait_for("ready");
        Running {
            process,
            directory: directory.to_owned(),
            id: ready["node"].as_str().unwrap().to_owned(),
            listen: ready["listen"].as_str().unwrap().to_owned(),
        }
    }

    /// Starts the first node.
    pub(crate) fn run_node(&self) -> Running {
        Self::run(&self.node(), &[])
    }
}

/// A node that serves.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) directory: String,
    pub(crate) id: String,
    pub(crate) listen: String,
}

impl Running {
    /// The arguments with what attaches them to this node, and objects wanted.
    pub(crate) fn attached<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let words = match arguments[0] {
            "dht" | "services" => 2,
            _ => 1,
        };
        let (name, rest) = arguments.split_at(words.min(arguments.len()));
        let attach = ["--json", "--node", &self.directory];
        [name, &attach, rest].concat()
    }

    /// Runs a command that is attached to this node to its end.
    pub(crate) fn macula(&self, arguments: &[&str]) -> Ended {
        macula(&self.attached(arguments))
    }

    /// Starts a command that is attached to this node.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&self.attached(arguments))
    }

    /// Lets it leave.
    pub(crate) fn stop(self) -> Ended {
        self.process.signal("TERM");
        self.process.end()
    }
}

/// Makes a condition true by asking again and again.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    // Each look starts a process or reads a file, so it need not be slowed down.
    let begun = macula::transport::Clock::new();
    while !is_so() {
        let waited = Duration::from_nanos(begun.now().as_nanos());
        assert!(waited < PATIENCE, "{what} did not come true");
        std::thread::yield_now();
    }
}

/// What a file holds.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}
