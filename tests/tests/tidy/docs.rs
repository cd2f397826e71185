//! What the pages for people have to keep to: links that lead somewhere, targets that exist, nobody's real name or address.

use super::{all_files, all_texts, none, root, texts};

#[test]
fn links_between_pages_lead_somewhere() {
    let mut findings = Vec::new();
    let pages = texts(&["md"]);
    assert!(pages.iter().any(|(path, _)| path == "README.md"), "README.md is missing");
    for (path, text) in &pages {
        let folder = root().join(path).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if is_elsewhere {
                continue;
            }
            let linked = if file.is_empty() { root().join(path) } else { folder.join(file) };
            if !linked.exists() {
                findings.push(format!("{path}: `{target}` does not exist"));
            } else if !anchor.is_empty() && linked.extension().is_some_and(|extension| extension == "md") {
                let page = std::fs::read_to_string(&linked).unwrap();
                if !page.lines().filter(|line| line.starts_with('#')).any(|line| anchor_of(line) == anchor) {
                    findings.push(format!("{path}: `{target}` names no heading"));
                }
            }
        }
    }
    none("links", findings);
}

/// The anchor that a page's heading gets: its letters and digits in lower case, blanks as hyphens.
fn anchor_of(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim();
    title
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[test]
fn make_targets_that_pages_name_exist() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: Vec<&str> = makefile
        .lines()
        .filter(|line| line.contains(": ") && line.contains(" ## ") && !line.starts_with(['\t', '#']))
        .filter_map(|line| line.split(':').next())
        .collect();
    assert!(targets.contains(&"test") && targets.contains(&"demo"), "{targets:?}");
    let mut findings = Vec::new();
    for (path, text) in texts(&["md"]) {
        for named in text.split("`make ").skip(1).filter_map(|rest| rest.split(['`', ' ']).next()) {
            if !targets.contains(&named) {
                findings.push(format!("{path}: `make {named}`"));
            }
        }
    }
    none("make targets", findings);
    let silent =
        makefile.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(':') && !line.contains("## "));
    none("targets without an explanation", silent.map(str::to_owned).collect());
}

#[test]
fn people_in_examples_are_invented() {
    // Addresses end in what RFC 2606 reserves, so that no message can ever reach anybody.
    let reserved = ["example.com", "example.org", "example.net", ".example", ".test", ".invalid", "localhost"];
    let mut findings = Vec::new();
    for (path, text) in all_texts() {
        if path.ends_with("Cargo.lock") || path == "LICENSE" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for (at, _) in line.match_indices('@') {
                let before = line[..at].chars().next_back();
                let domain: String = line[at + 1..].chars().take_while(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).collect();
                let domain = domain.trim_end_matches(['.', '-']).to_ascii_lowercase();
                let is_address = before.is_some_and(|c| c.is_alphanumeric())
                    && domain.contains('.')
                    && !domain.starts_with(|c: char| c.is_ascii_digit());
                if is_address && !reserved.iter().any(|end| domain.ends_with(end)) {
                    findings.push(format!("{path}:{}: `{domain}`", number + 1));
                }
            }
        }
    }
    none("addresses outside the reserved example domains", findings);
}

#[test]
fn every_guide_can_be_reached_from_the_readme() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let unreachable =
        all_files().into_iter().filter(|path| path.starts_with("docs/") && path.ends_with(".md") && path.matches('/').count() == 1);
    none("README.md does not link to", unreachable.filter(|path| !readme.contains(&format!("]({path}"))).collect());
}
