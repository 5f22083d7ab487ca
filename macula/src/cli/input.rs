//! Payloads from the command line and from standard input.

use macula::wire::{ErrorCode, limit};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader, Stdin};

use super::exit::{Exit, Failed};

/// The largest payload that is gathered: the largest that any node could take.
const MAX_LEN: usize = limit::FORMAT_MAX_PAYLOAD_LEN;

/// Standard input, read piece by piece.
#[derive(Debug)]
pub(crate) struct Input<R = BufReader<Stdin>>(R);

impl Input {
    /// Standard input.
    pub(crate) fn stdin() -> Self {
        Self(BufReader::new(tokio::io::stdin()))
    }
}

impl<R: AsyncBufRead + Unpin> Input<R> {
    /// All of it.
    pub(crate) async fn whole(&mut self) -> Result<Vec<u8>, Failed> {
        let mut bytes = Vec::new();
        let max = u64::try_from(MAX_LEN).unwrap_or(u64::MAX);
        let limited = (&mut self.0)
            .take(max.saturating_add(1))
            .read_to_end(&mut bytes)
            .await;
        limited.map_err(|error| unreadable(&error))?;
        if bytes.len() > MAX_LEN {
            return Err(too_long());
        }
        Ok(bytes)
    }

    /// The next line without its end, or nothing after the last. A line that is too long is skipped and told.
    pub(crate) async fn line(&mut self) -> Result<Option<Result<Vec<u8>, Failed>>, Failed> {
        let (mut line, mut is_over, mut is_begun) = (Vec::new(), false, false);
        loop {
            let read = self
                .0
                .fill_buf()
                .await
                .map_err(|error| unreadable(&error))?;
            if read.is_empty() {
                break;
            }
            is_begun = true;
            let end = read.iter().position(|byte| *byte == b'\n');
            let piece = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
            is_over |= line.len().saturating_add(piece.len()) > MAX_LEN;
            if !is_over {
                line.extend_from_slice(piece);
            }
            let used = piece.len().saturating_add(usize::from(end.is_some()));
            self.0.consume(used);
            if end.is_some() {
                break;
            }
        }
        Ok(match (is_begun, is_over) {
            (false, _) => None,
            (true, true) => Some(Err(too_long())),
            (true, false) => Some(Ok(line)),
        })
    }
}

fn unreadable(error: &std::io::Error) -> Failed {
    Failed::new(
        Exit::Failure,
        format!("standard input cannot be read: {error}"),
    )
}

fn too_long() -> Failed {
    Failed::coded(
        ErrorCode::PAYLOAD_TOO_LARGE,
        format!("a payload from standard input is over {MAX_LEN} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_split_and_the_last_needs_no_end() {
        let mut input = Input(&b"one\n\nthree"[..]);
        let mut lines = Vec::new();
        while let Some(line) = input.line().await.unwrap() {
            lines.push(String::from_utf8(line.unwrap()).unwrap());
        }
        assert_eq!(lines, ["one", "", "three"]);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_refused_and_the_next_is_read() {
        let mut text = vec![b'x'; MAX_LEN + 1];
        text.extend_from_slice(b"\nshort\n");
        let mut input = Input(&text[..]);
        let refused = input.line().await.unwrap().unwrap().unwrap_err();
        assert_eq!(refused.name(), "PAYLOAD_TOO_LARGE");
        assert_eq!(input.line().await.unwrap().unwrap().unwrap(), b"short");
        assert!(input.line().await.unwrap().is_none());
        assert!(Input(&text[..MAX_LEN]).whole().await.is_ok());
        assert!(Input(&text[..]).whole().await.is_err());
    }
}
