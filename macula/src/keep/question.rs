//! The question for earlier events: a pattern and how much is wanted, as headers of a call.

use std::time::Duration;

use bytes::Bytes;
use macula_wire::{Header, Pattern, PatternSegment, Topic};

use super::Wanted;
use crate::queue::History;

impl Wanted {
    /// As headers of a question.
    pub(crate) fn headers(self, pattern: &Pattern) -> Vec<Header> {
        let header = |key: &str, value: String| Header {
            key: key.into(),
            value: Bytes::from(value),
        };
        let mut headers = Vec::new();
        match self.history {
            Some(History::Last(count)) => headers.push(header("history", count.to_string())),
            Some(History::Since(age)) => {
                headers.push(header("history-ms", age.as_millis().to_string()));
            }
            None => {}
        }
        if self.last {
            headers.push(header("last", "1".into()));
        }
        headers.push(header("pattern", pattern.to_string()));
        headers
    }

    /// The question in these headers, and about what.
    pub(crate) fn read(headers: &[Header]) -> Option<(Pattern, Self)> {
        let value = |key: &str| {
            let header = headers.iter().find(|header| header.key == key)?;
            std::str::from_utf8(&header.value).ok()
        };
        let number = |key: &str| value(key)?.parse::<u64>().ok();
        let count = number("history").map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let age = number("history-ms").map(Duration::from_millis);
        let wanted = Self {
            last: value("last").is_some(),
            history: count.map(History::Last).or_else(|| age.map(History::Since)),
        };
        Some((Pattern::new(value("pattern")?).ok()?, wanted))
    }
}

/// The topic that a pattern without wildcards is.
pub(super) fn literal(pattern: &Pattern) -> Option<Topic> {
    let mut segments = pattern.segments();
    segments
        .all(|segment| matches!(segment, PatternSegment::Literal(_)))
        .then(|| Topic::new(pattern.as_str()).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_as_it_was_put() {
        let pattern = Pattern::new("a.*").unwrap();
        for (last, history) in [
            (true, None),
            (false, Some(History::Last(7))),
            (true, Some(History::Since(Duration::from_millis(1_500)))),
        ] {
            let wanted = Wanted { last, history };
            let (about, read) = Wanted::read(&wanted.headers(&pattern)).unwrap();
            assert_eq!(
                (about, read.last, read.history),
                (pattern.clone(), last, history)
            );
        }
        assert!(Wanted::read(&[]).is_none());
    }

    #[test]
    fn a_pattern_without_wildcards_is_a_topic() {
        for (pattern, is_topic) in [("a.b", true), ("a.*", false), ("a.**", false)] {
            assert_eq!(literal(&Pattern::new(pattern).unwrap()).is_some(), is_topic);
        }
    }
}
