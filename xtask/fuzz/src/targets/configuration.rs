//! The configuration file of a node.

use std::path::Path;

use macula::NodeConfig;

/// A file is refused, or what it says is written and read again.
pub fn node(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let path = Path::new("node.toml");
    match NodeConfig::parse(path, text) {
        Ok(config) => {
            let again = NodeConfig::parse(path, &config.to_text());
            assert_eq!(again.expect("it was written by us"), config);
        }
        Err(error) => assert!(error.to_string().starts_with("node.toml: ")),
    }
}
