//! Where a command speaks: data on standard output, notes on standard error.

use std::io::{self, IsTerminal, Write};

use macula::wire::ContentType;
use serde::Serialize;

use super::exit::{Exit, Failed};

/// How a command speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// For programs, or for people.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program listens.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Writes one line of data.
    pub(crate) fn line(self, text: &str) -> Result<(), Failed> {
        let mut out = io::stdout().lock();
        let written = out
            .write_all(text.as_bytes())
            .and_then(|()| out.write_all(b"\n"));
        written
            .and_then(|()| out.flush())
            .map_err(|error| stopped(&error))
    }

    /// Writes data as it is.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Failed> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|error| stopped(&error))
    }

    /// Writes one object as a line of data.
    pub(crate) fn object(self, value: &impl Serialize) -> Result<(), Failed> {
        self.line(&encode(value)?)
    }

    /// Writes an object for programs, a line for people.
    pub(crate) fn either(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failed> {
        if self.json {
            self.object(value)
        } else {
            self.line(&text())
        }
    }

    /// Writes a note to standard error. That nobody reads it changes nothing.
    pub(crate) fn note(self, text: &str) {
        #[derive(Serialize)]
        struct Note<'a> {
            event: &'static str,
            text: &'a str,
        }
        if self.json {
            self.aside(
                &encode(&Note {
                    event: "note",
                    text,
                })
                .unwrap_or_default(),
            );
        } else {
            self.aside(text);
        }
    }

    /// Tells why the command failed.
    pub(crate) fn failed(self, failed: &Failed) {
        if failed.detail().is_empty() {
            return;
        }
        if self.json {
            return self.aside(&encode(&failed.report()).unwrap_or_default());
        }
        let (on, off) = if io::stderr().is_terminal() {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        self.aside(&format!(
            "{on}{}{off}: {}",
            failed.name(),
            lines(failed.detail())
        ));
    }

    fn aside(self, text: &str) {
        let mut err = io::stderr().lock();
        drop(
            err.write_all(text.as_bytes())
                .and_then(|()| err.write_all(b"\n")),
        );
    }
}

/// Standard output is gone: quietly if the reader has had enough.
fn stopped(error: &io::Error) -> Failed {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failed::new(Exit::Ok, "")
    } else {
        Failed::new(
            Exit::Failure,
            format!("standard output cannot be written: {error}"),
        )
    }
}

fn encode(value: &impl Serialize) -> Result<String, Failed> {
    serde_json::to_string(value).map_err(|error| Failed::new(Exit::Failure, error.to_string()))
}

/// A payload in output for programs: its text, or its bytes in hexadecimal where it is none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Payload<'a> {
    /// It is UTF-8.
    Text(&'a str),
    /// It is not.
    Bytes {
        /// Two digits a byte.
        hex: String,
    },
}

impl<'a> Payload<'a> {
    /// The payload `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Bytes { hex: hex(bytes) },
        }
    }
}

/// Two hexadecimal digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}

/// A payload for people: text without what could steer a terminal, bytes in hexadecimal.
pub(crate) fn shown(content: &ContentType, payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok(text) => escaped(text),
        Err(_) => format!("{content} {} bytes {}", payload.len(), hex(payload)),
    }
}

/// Text of somebody else on one line of a terminal.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// Text that may have several lines, as that of a mistake in a file.
fn lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_text_where_they_can_be() {
        assert_eq!(encode(&Payload::new(b"21.5")).unwrap(), "\"21.5\"");
        assert_eq!(
            encode(&Payload::new(b"\xff\x00")).unwrap(),
            "{\"hex\":\"ff00\"}"
        );
    }

    #[test]
    fn nothing_of_a_peer_steers_the_terminal() {
        assert_eq!(shown(&ContentType::Text, b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(shown(&ContentType::Text, "21.5 °C".as_bytes()), "21.5 °C");
    }
}
