//! The golden bytes as first inputs, so that every run begins with messages that are accepted.

use std::path::Path;

use serde_json::Value;

use super::target::Fuzzer;
use crate::failure::Failure;
use crate::process::read;
use crate::vectors;

/// The length of a frame's header in hexadecimal digits.
const HEADER_DIGITS: usize = 16;

/// Puts the body of each vector where its target finds it.
///
/// # Errors
///
/// When the vectors cannot be read or the inputs cannot be written.
pub(super) fn plant(fuzzer: &Fuzzer, targets: &[String]) -> Result<(), Failure> {
    for path in vectors::files()? {
        for (number, (target, bytes)) in (0_usize..).zip(inputs(&read(&path)?)) {
            if !targets.contains(&target) {
                continue;
            }
            let folder = fuzzer.found(&target);
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            write(&folder, &format!("{stem}-{number}"), &bytes)?;
        }
    }
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(folder.join(name), bytes))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", folder.display())))
}

/// The target and the input that each vector of a file makes; those that make none are left out.
fn inputs(text: &str) -> Vec<(String, Vec<u8>)> {
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    vectors.iter().filter_map(input).collect()
}

fn input(vector: &Value) -> Option<(String, Vec<u8>)> {
    let field = |name: &str| vector.get(name).and_then(Value::as_str);
    if let (Some(kind), Some(text)) = (field("kind"), field("text")) {
        return Some((format!("name_{kind}"), text.as_bytes().to_vec()));
    }
    let message = field("message")?.to_lowercase();
    let body = bytes(field("hex")?.get(HEADER_DIGITS..)?)?;
    Some((format!("message_{message}"), body))
}

/// The bytes that hexadecimal digits stand for.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_become_inputs_of_their_targets() {
        let text = r#"[
            {"message": "RPC_CALL", "hex": "0120000000000002c0C1"},
            {"kind": "topic", "text": "a.b", "hex": "612e62"},
            {"name": "frame of version 0", "hex": "00040000000000020700"},
            {"message": "PING", "hex": "0104"}
        ]"#;
        let expected = [
            ("message_rpc_call".to_owned(), vec![0xc0, 0xc1]),
            ("name_topic".to_owned(), b"a.b".to_vec()),
        ];
        assert_eq!(inputs(text), expected);
    }

    #[test]
    fn digits_are_read_in_pairs() {
        assert_eq!(bytes("0aFF"), Some(vec![10, 255]));
        assert_eq!(bytes(""), Some(Vec::new()));
        assert_eq!(bytes("0g"), None);
    }
}
