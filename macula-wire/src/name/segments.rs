//! The check that topics, patterns and procedures share.

use super::{MAX_NAME_LEN, MAX_SEGMENTS, NameError};

/// What a segment may be besides literal.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Wildcards {
    Refused,
    Allowed,
}

/// Checks that `text` is canonical: segments of `[A-Za-z0-9_-]` joined by single dots, the first perhaps after `$`.
pub(super) fn check(text: &str, wildcards: Wildcards) -> Result<(), NameError> {
    if text.len() > MAX_NAME_LEN {
        return Err(NameError::Length { max: MAX_NAME_LEN });
    }
    let mut at = 0_usize;
    let mut tail = None;
    for (index, segment) in text.split('.').enumerate() {
        if index >= MAX_SEGMENTS {
            return Err(NameError::TooManySegments { max: MAX_SEGMENTS });
        }
        if let Some(at) = tail {
            return Err(NameError::Wildcard { at });
        }
        match (segment, wildcards) {
            ("", _) => return Err(NameError::EmptySegment { at }),
            ("*" | "**", Wildcards::Refused) => return Err(NameError::Wildcard { at }),
            ("*", Wildcards::Allowed) => {}
            ("**", Wildcards::Allowed) => tail = Some(at),
            (literal, _) => check_literal(literal, index, at)?,
        }
        at = at.saturating_add(segment.len()).saturating_add(1);
    }
    Ok(())
}

fn check_literal(segment: &str, index: usize, start: usize) -> Result<(), NameError> {
    let at = |offset: usize| start.saturating_add(offset);
    let body = match segment.strip_prefix('$') {
        Some("") => return Err(NameError::EmptySegment { at: at(1) }),
        Some(body) if index == 0 => body,
        Some(_) => return Err(NameError::Reserved { at: start }),
        None => segment,
    };
    let skipped = segment.len().saturating_sub(body.len());
    for (offset, byte) in body.bytes().enumerate() {
        let at = at(offset.saturating_add(skipped));
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => {}
            b'$' => return Err(NameError::Reserved { at }),
            b'*' => return Err(NameError::Wildcard { at }),
            _ => return Err(NameError::Character { at }),
        }
    }
    Ok(())
}
