//! Content types and priorities as people write them.

use macula::wire::ContentType;
use macula::wire::message::Priority;

/// Reads a short name (`bytes`, `text`, `json`, `cbor`, `bincode`, `etf`) or a media type.
///
/// # Errors
///
/// The text to show, if it is neither.
pub(crate) fn content(text: &str) -> Result<ContentType, String> {
    match text {
        "bytes" => Ok(ContentType::Bytes),
        "text" => Ok(ContentType::Text),
        "json" => Ok(ContentType::Json),
        "cbor" => Ok(ContentType::Cbor),
        "bincode" => Ok(ContentType::Bincode),
        "etf" => Ok(ContentType::Etf),
        other if other.contains('/') => {
            ContentType::from_media_type(other).ok_or_else(|| wrong(text))
        }
        _ => Err(wrong(text)),
    }
}

fn wrong(text: &str) -> String {
    format!(
        "{text:?} is no content type: write bytes, text, json, cbor, bincode, etf, or a media type such as image/png"
    )
}

/// Reads the name of a priority.
///
/// # Errors
///
/// The text to show, if there is none of this name.
pub(crate) fn priority(text: &str) -> Result<Priority, String> {
    let all = [
        Priority::Realtime,
        Priority::High,
        Priority::Normal,
        Priority::Bulk,
    ];
    all.into_iter()
        .find(|priority| priority_name(*priority) == text)
        .ok_or_else(|| format!("{text:?} is no priority: write realtime, high, normal or bulk"))
}

const fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Realtime => "realtime",
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Bulk => "bulk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_media_types_are_read() {
        assert_eq!(content("json"), Ok(ContentType::Json));
        assert_eq!(content("application/json"), Ok(ContentType::Json));
        assert_eq!(content("image/png").unwrap().media_type(), "image/png");
        assert!(content("jsno").is_err());
        assert!(content("image/ png").is_err());
        assert_eq!(priority("bulk"), Ok(Priority::Bulk));
        assert!(priority("Bulk").is_err());
    }
}
