//! `docs/limits.md` and `docs/plugins/limits.md` are made from the constants that the code really uses: `UPDATE_EXPECT=1` writes it, a plain run compares.

use super::{root, texts, without_tests};

/// Where the page stands.
const PAGE: &str = "docs/limits.md";

/// A bound in the code: what it says of itself, and its value.
struct Bound {
    file: String,
    name: String,
    value: String,
    meaning: String,
}

/// Whether a constant's name says that it bounds something.
fn is_bound(name: &str) -> bool {
    name.split('_').any(|word| matches!(word, "LIMIT" | "LIMITS" | "MAX" | "TIMEOUT"))
}

/// The bounds of one source file, with the first sentence of their documentation.
fn bounds_of(file: &str, text: &str) -> Vec<Bound> {
    let mut docs: Vec<&str> = Vec::new();
    let mut bounds = Vec::new();
    for line in without_tests(text).lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("/// ") {
            docs.push(doc);
            continue;
        }
        let declared = line.strip_prefix("pub ").or_else(|| line.strip_prefix("pub(crate) ")).or_else(|| line.strip_prefix("pub(super) "));
        if let Some((name, rest)) = declared.unwrap_or(line).strip_prefix("const ").and_then(|rest| rest.split_once(':'))
            && let Some((_, value)) = rest.split_once('=')
            && is_bound(name)
        {
            bounds.push(Bound {
                file: file.to_owned(),
                name: name.to_owned(),
                value: grouped(value.trim().trim_end_matches(';')).replace('|', "\\|"),
                meaning: docs.join(" ").replace('|', "\\|"),
            });
        }
        if !line.starts_with("#[") {
            docs.clear();
        }
    }
    bounds
}

/// Numbers as people write them: `20_000` → `20,000`.
fn grouped(value: &str) -> String {
    let characters: Vec<char> = value.chars().collect();
    let is_digit = |at: Option<&char>| at.is_some_and(char::is_ascii_digit);
    (0..characters.len())
        .map(|at| match characters[at] {
            '_' if at > 0 && is_digit(characters.get(at - 1)) && is_digit(characters.get(at + 1)) => ',',
            c => c,
        })
        .collect()
}

fn page() -> String {
    let mut bounds: Vec<Bound> = texts(&["rs"])
        .into_iter()
        .filter(|(path, _)| path.starts_with("host/src/") || path.starts_with("host/scim/src/"))
        .flat_map(|(path, text)| bounds_of(&path, &text))
        .collect();
    assert!(bounds.len() > 10, "only {} bounds were found", bounds.len());
    bounds.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    let mut page = String::from(
        "# Limits\n\nEverything that Rolecall takes in, keeps waiting or does at once is bounded. Past a bound the answer says which one it was and what to do.\n\
         This page is made from the code (`UPDATE_EXPECT=1 cargo test -p rolecall-tests --test tidy`): each row is a constant there.\n\n\
         | what is bounded | at | constant |\n|---|---|---|\n",
    );
    for Bound { file, name, value, meaning } in bounds {
        assert!(!meaning.is_empty(), "{file}: `{name}` does not say what it bounds");
        page.push_str(&format!("| {meaning} | {value} | [`{name}`](../{file}) |\n"));
    }
    page
}

/// Where the page of what a plugin may use stands, and what it is made from.
const PLUGINS_PAGE: &str = "docs/plugins/limits.md";
const PLUGINS_SOURCES: [&str; 2] = ["host/src/plugins/limits.rs", "host/src/mapping.rs"];

/// A product of whole numbers, as a size where the name says that it is one: `16 * 1024 * 1024` → `16 MiB`.
fn for_people(name: &str, value: &str) -> String {
    let factors = value.split('*').map(|factor| factor.trim().replace(',', "").parse::<u64>());
    let Ok(number) = factors.collect::<Result<Vec<u64>, _>>().map(|factors| factors.iter().product::<u64>()) else {
        return value.to_owned();
    };
    let unit = if name.contains("BYTES") {
        " bytes"
    } else if name.ends_with("_MS_LIMIT") {
        " ms"
    } else {
        ""
    };
    match (unit, number) {
        (" bytes", number) if number >= 1 << 20 && number % (1 << 20) == 0 => format!("{} MiB", number >> 20),
        (" bytes", number) if number >= 1 << 12 && number % (1 << 10) == 0 => format!("{} KiB", number >> 10),
        _ => {
            let digits = number.to_string();
            let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
            format!("{}{unit}", groups.join(","))
        }
    }
}

fn plugins_page() -> String {
    let mut page = String::from(
        "# What a plugin may use\n\nThe limits are the same on an author's machine, in CI and in a server, and so is the verdict: fuel is counted, not timed. `rolecall plugin bench` says\n\
         how near a call is to each. This page is made from the code (`UPDATE_EXPECT=1 cargo test -p rolecall-tests --test tidy`).\n\n\
         | what is bounded, and why | at most |\n|---|---|\n",
    );
    for file in PLUGINS_SOURCES {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let bounds = bounds_of(file, &text);
        assert!(!bounds.is_empty(), "{file} has no bounds");
        for Bound { name, value, meaning, .. } in bounds {
            page.push_str(&format!("| {meaning} | {} |\n", for_people(&name, &value)));
        }
    }
    page
}

#[test]
fn the_page_of_limits_says_what_the_code_does() {
    compare(PAGE, &page());
}

#[test]
fn the_page_of_what_a_plugin_may_use_says_what_the_code_does() {
    compare(PLUGINS_PAGE, &plugins_page());
}

fn compare(page: &str, expected: &str) {
    let path = root().join(page);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let first_difference = written.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(written == expected, "{page} is out of date (run with UPDATE_EXPECT=1); first difference: {first_difference:?}");
}
