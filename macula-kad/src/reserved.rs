//! Names that nobody announces.

use macula_wire::limit;
use macula_wire::message::RecordContent;

/// Whether the name is one that nobody announces: it is reserved, and neither that of an index of topics, of testaments, of
/// dead letters, nor of services.
pub(crate) fn is_reserved(content: &RecordContent) -> bool {
    let name = content.name();
    let first = name.split('.').next().unwrap_or_default();
    let of_services = matches!(content, RecordContent::Provider(provider)
        if provider.pattern.is_of_services());
    let of_letters = matches!(content, RecordContent::Interest(interest)
        if interest.pattern.is_of_dead_letters());
    let is_ours = matches!(content, RecordContent::Value(_))
        && [limit::INDEX_SEGMENT, limit::TESTAMENT_SEGMENT].contains(&first);
    name.starts_with('$') && !is_ours && !of_services && !of_letters
}
