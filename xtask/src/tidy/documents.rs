//! Rules about Markdown: links lead somewhere, and the index knows every document.

use std::collections::{BTreeMap, BTreeSet};

use super::File;
use super::source::numbered;

/// The document that links to all others.
const INDEX: &str = "docs/README.md";

/// What is wrong with the documents among `files`, one line each.
pub(super) fn violations(files: &[File]) -> Vec<String> {
    let paths = paths(files);
    let anchors: BTreeMap<&str, BTreeSet<String>> = files
        .iter()
        .filter(|file| file.has_extension("md"))
        .map(|file| (file.path.as_str(), anchors(file.text())))
        .collect();
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.has_extension("md")) {
        for link in links(file.text()) {
            if let Some(fault) = judge(file, &link.target, &paths, &anchors) {
                found.push(format!("{}:{}: {fault}", file.path, link.line));
            }
        }
    }
    found.extend(index(files));
    found
}

/// The files and the folders that hold them.
fn paths(files: &[File]) -> BTreeSet<&str> {
    let mut paths = BTreeSet::from([""]);
    for file in files {
        let mut path = file.path.as_str();
        paths.insert(path);
        while let Some((folder, _name)) = path.rsplit_once('/') {
            paths.insert(folder);
            path = folder;
        }
    }
    paths
}

/// What is wrong with a link to `target` in `file`.
fn judge(
    file: &File,
    target: &str,
    paths: &BTreeSet<&str>,
    anchors: &BTreeMap<&str, BTreeSet<String>>,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let full = if path.is_empty() {
        Some(file.path.clone())
    } else {
        resolve(file.folder(), path)
    };
    let Some(full) = full.filter(|full| paths.contains(full.as_str())) else {
        return Some(format!(
            "the link to `{target}` leads nowhere; mend it or drop it"
        ));
    };
    let known = anchors.get(full.as_str());
    if !anchor.is_empty() && known.is_some_and(|known| !known.contains(anchor)) {
        return Some(format!(
            "{full} has no heading `#{anchor}`; mend the link to `{target}`"
        ));
    }
    None
}

/// The path that `relative` means in `folder`; nothing when it leaves the tree.
fn resolve(folder: &str, relative: &str) -> Option<String> {
    if relative.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

struct Link {
    line: usize,
    target: String,
}

/// The links and images of a Markdown text, without those in code.
fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, prose) in prose(text) {
        let mut rest = prose.as_str();
        while let Some((_before, after)) = rest.split_once("](") {
            let target = match after.strip_prefix('<') {
                Some(bracketed) => bracketed.split('>').next(),
                None => after.split([')', ' ']).next(),
            };
            links.extend(target.map(|target| Link {
                line,
                target: target.to_owned(),
            }));
            rest = after;
        }
        let definition = prose
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]: "));
        if let Some((_name, target)) = definition {
            let target = target.split_whitespace().next().unwrap_or_default();
            links.push(Link {
                line,
                target: target.trim_matches(['<', '>']).to_owned(),
            });
        }
    }
    links
}

/// The numbered lines of a Markdown text outside code blocks, without code spans.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut fence: Option<&str> = None;
    for (number, line) in numbered(text) {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => {
                // Every second piece between back ticks is code.
                lines.push((
                    number,
                    line.split('`').step_by(2).collect::<Vec<_>>().join(""),
                ));
            }
            (Some(_), _) => {}
        }
    }
    lines
}

/// The anchors that the headings of a Markdown text get, and those it sets itself.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        for attribute in ["id=\"", "name=\""] {
            let own = line
                .split_once(attribute)
                .and_then(|(_tag, rest)| rest.split_once('"'));
            anchors.extend(own.map(|(name, _rest)| name.to_owned()));
        }
        let heading = line.trim_start_matches('#');
        if !fenced && heading.len() < line.len() && heading.starts_with(' ') {
            let slug = slug(heading.trim());
            let unique = (0_usize..).map(|count| match count {
                0 => slug.clone(),
                count => format!("{slug}-{count}"),
            });
            anchors.extend(unique.into_iter().find(|name| !anchors.contains(name)));
        }
    }
    anchors
}

/// A heading as the anchor that forges make of it.
fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'))
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

/// Documents that the index does not link to.
fn index(files: &[File]) -> Vec<String> {
    let index = files.iter().find(|file| file.path == INDEX);
    let linked: BTreeSet<String> = index
        .map(|index| links(index.text()))
        .unwrap_or_default()
        .iter()
        .filter_map(|link| resolve("docs", link.target.split('#').next().unwrap_or_default()))
        .collect();
    files
        .iter()
        .filter(|file| file.path.starts_with("docs/") && file.has_extension("md"))
        .filter(|file| file.path != INDEX && !linked.contains(&file.path))
        .map(|file| format!("{}: link to it from {INDEX}", file.path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with two documents and an index.
    fn tree(text: &str) -> Vec<File> {
        vec![
            File::with("docs/README.md", "[a](a.md) [b](adr/001-b.md)\n"),
            File::with("docs/a.md", text),
            File::with(
                "docs/adr/001-b.md",
                "# Why QUIC, and not TCP?\n## Again\n## Again\n",
            ),
            File::with("macula/src/lib.rs", "//! L.\n"),
        ]
    }

    #[track_caller]
    fn refused(text: &str, fault: &str) {
        let found = violations(&tree(text));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(fault), "{found:?}");
    }

    #[track_caller]
    fn accepted(text: &str) {
        assert_eq!(violations(&tree(text)), Vec::<String>::new());
    }

    #[test]
    fn a_link_leads_to_a_file_or_a_folder() {
        refused(
            "see [b](adr/002-c.md)\n",
            "docs/a.md:1: the link to `adr/002-c.md`",
        );
        refused("![picture](picture.png \"title\")\n", "leads nowhere");
        refused("[b]: adr/002-c.md\n", "leads nowhere");
        refused("[out](../../other/README.md)\n", "leads nowhere");
        refused("[absolute](/docs/a.md)\n", "leads nowhere");
        accepted("see [b](adr/001-b.md), [l](../macula/src/lib.rs), [f](../macula/src)\n");
        accepted("[b]: <adr/001-b.md>\n");
        accepted("[w](https://example.org/nowhere) [m](mailto:a@example.org)\n");
    }

    #[test]
    fn a_link_leads_to_a_heading() {
        refused("[b](adr/001-b.md#why-tcp)\n", "no heading `#why-tcp`");
        refused("[here](#nowhere)\n", "no heading `#nowhere`");
        accepted("[b](adr/001-b.md#why-quic-and-not-tcp) [2](adr/001-b.md#again-1)\n");
        accepted("# Here\n[here](#here)\n<a id=\"own\"></a> [own](#own)\n");
    }

    #[test]
    fn code_holds_no_links() {
        accepted("`[b](nowhere.md)`\n```\n[b](nowhere.md)\n```\n");
        refused("```\ncode\n```\n[b](nowhere.md)\n", "docs/a.md:4: ");
    }

    #[test]
    fn the_index_knows_every_document() {
        let mut files = tree("");
        assert!(violations(&files).is_empty());
        files.push(File::with("docs/c.md", ""));
        assert_eq!(
            violations(&files),
            ["docs/c.md: link to it from docs/README.md"]
        );
    }
}
