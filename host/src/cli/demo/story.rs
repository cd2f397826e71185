//! What the demonstration tells: tables that somebody reads who has never seen Rolecall. Pure: from answers of the API to text.

use std::collections::BTreeSet;

use serde_json::Value;

use super::player::{Left, Snapshot, effective};
use super::traffic::{Compared, Expected, Step};
use crate::cli::account::reasons;
use crate::cli::{render, word};

/// Chapters with more requests than this are told in numbers, the others request by request.
const TOLD_ONE_BY_ONE: usize = 8;
/// As wide as text is pleasant to read beside the tables.
const LINE_CHARS: usize = 120;
/// As much of a request's body as fits a line.
const BODY_CHARS: usize = 400;

/// Text in lines that a terminal doesn't break in the middle of a word.
pub fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let chars = word.chars().count();
        let (gap, start) = if width == 0 { ("", chars) } else { (" ", width + 1 + chars) };
        if start > LINE_CHARS {
            lines += &format!("\n{word}");
            width = chars;
        } else {
            lines += &format!("{gap}{word}");
            width = start;
        }
    }
    lines + "\n"
}

/// The requests of a chapter: each on a line, or how many of each kind.
pub fn requests(steps: &[Step]) -> String {
    let mut text = String::new();
    if steps.len() <= TOLD_ONE_BY_ONE {
        for step in steps {
            text += &format!("  {} {} → {}   {}\n", step.method, with_placeholders(&step.path), step.status, step.title);
            if let Some(body) = &step.body {
                // Every PATCH has the same envelope: what it does is inside.
                text += &format!("      {}\n", shortened(&with_placeholders(&body.get("Operations").unwrap_or(body).to_string())));
            }
            if let Some(echo) = &step.echo {
                let set: Vec<String> = step.set.iter().map(|(pointer, value)| format!("{pointer} = {value}")).collect();
                text += &format!("      `{echo}` as it was read, meta and groups included, with {}\n", with_placeholders(&set.join(", ")));
            }
        }
        return text;
    }
    let mut kinds: Vec<(&str, &str, u16, usize)> = Vec::new();
    for step in steps {
        match kinds.iter_mut().find(|kind| (kind.0, kind.1, kind.2) == (&step.title, &step.method, step.status)) {
            Some(kind) => kind.3 += 1,
            None => kinds.push((&step.title, &step.method, step.status, 1)),
        }
    }
    for (title, method, status, count) in kinds {
        text += &format!("  {count:>3} × {method:<6} → {status}   {title}\n");
    }
    text
}

/// A text in which `{{name}}` is shown as `‹name›`. Braces of JSON stay: two of them end many a body.
fn with_placeholders(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once("{{") {
        let named = |(name, _): &(&str, &str)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        shown += before;
        match behind.split_once("}}").filter(named) {
            Some((name, after)) => {
                shown += &format!("‹{name}›");
                rest = after;
            }
            None => {
                shown += "{{";
                rest = behind;
            }
        }
    }
    shown + rest
}

fn shortened(body: &str) -> String {
    if body.chars().count() <= BODY_CHARS { body.to_owned() } else { body.chars().take(BODY_CHARS).collect::<String>() + "…" }
}

/// Each person as the identity provider wrote them and as the mapping made them.
pub fn accounts(people: &[String], resources: &[Value], accounts: &Snapshot, compare: &[Compared]) -> String {
    let header = ["person".to_owned(), String::new()].into_iter().chain(compare.iter().map(|column| column.title.clone()));
    let mut table = render::table(header.chain(["state".to_owned()]));
    let mut notes = String::new();
    for (person, resource) in people.iter().zip(resources) {
        let sent = compare.iter().map(|column| resource.pointer(&column.sent).map_or_else(String::new, word));
        table.add_row([person.clone(), "sent".to_owned()].into_iter().chain(sent).chain([activity(resource)]));
        let account = accounts.get(person).unwrap_or(&Value::Null);
        // An account that is held for a refusal has no shape: blanks say so better than dashes.
        let made = compare.iter().map(|column| account["profile"].get(&column.made).map_or_else(String::new, word));
        table.add_row([String::new(), "made".to_owned()].into_iter().chain(made).chain([word(&account["state"])]));
        if account["note"].is_object() {
            notes += &wrapped(&format!("{person} is {}", state(account)));
        }
    }
    format!("{table}\n{notes}")
}

fn activity(resource: &Value) -> String {
    match &resource["active"] {
        Value::Bool(active) => format!("active: {active}"),
        _ => String::new(),
    }
}

fn state(account: &Value) -> String {
    match account["note"]["message"].as_str() {
        Some(note) => format!("{}: {}", word(&account["state"]).replace('_', " "), word(&Value::from(note))),
        None => word(&account["state"]),
    }
}

/// Each person's groups, and their roles with the reasons; roles that rest on the same reasons share a row.
pub fn roles(people: &[String], resources: &[Value], accounts: &Snapshot) -> String {
    let mut table = render::table(["person", "in the groups", "holds", "because"]);
    for (person, resource) in people.iter().zip(resources) {
        let account = accounts.get(person).unwrap_or(&Value::Null);
        let groups: Vec<String> = resource["groups"].as_array().into_iter().flatten().map(|group| word(&group["display"])).collect();
        let mut lead = [person.clone(), groups.join("\n")];
        let mut rows: Vec<(String, Vec<String>)> = Vec::new();
        for grant in account["grants"].as_array().into_iter().flatten() {
            let because = reasons(&grant["reasons"]).join("\n");
            match rows.iter_mut().find(|row| row.0 == because) {
                Some(row) => row.1.push(word(&grant["role"])),
                None => rows.push((because, vec![word(&grant["role"])])),
            }
        }
        if rows.is_empty() {
            rows.push((format!("the account is {}", state(account)), vec!["–".to_owned()]));
        }
        for (because, roles) in rows {
            let [name, groups] = std::mem::take(&mut lead);
            table.add_row([name, groups, roles.join(", "), because]);
        }
    }
    format!("{table}\n")
}

/// Which group each handle stands for, and which wait for a yes.
pub fn handles(handles: &[Value]) -> String {
    let mut table = render::table(["handle", "group at the identity provider", "counts"]);
    for binding in handles {
        let counts =
            if binding["confirmed"] == true { "yes" } else { "not yet: a privileged role hangs on it, so a person must confirm it" };
        table.add_row([word(&binding["handle"]), word(&binding["display_name"]), counts.to_owned()]);
    }
    format!("{table}\n")
}

/// Who gained and lost what.
pub fn change(people: &[String], before: &Snapshot, after: &Snapshot) -> String {
    let mut table = render::table(["person", "gained", "lost", "kept"]);
    for person in people {
        let (had, has) = (held(before, person), held(after, person));
        let list =
            |roles: Vec<&&str>| if roles.is_empty() { "–".to_owned() } else { roles.into_iter().copied().collect::<Vec<_>>().join(", ") };
        table.add_row([
            person.clone(),
            list(has.difference(&had).collect()),
            list(had.difference(&has).collect()),
            list(had.intersection(&has).collect()),
        ]);
    }
    format!("{table}\n")
}

fn held<'a>(accounts: &'a Snapshot, person: &str) -> BTreeSet<&'a str> {
    accounts.get(person).map(effective).unwrap_or_default()
}

/// What each leaver lost, and how soon.
pub fn leavers(leavers: &[(String, Left)], before: &Snapshot, after: &Snapshot) -> String {
    let mut table = render::table(["leaver", "lost", "account now", "request answered after", "roles gone, seen from outside, after"]);
    for (person, left) in leavers {
        let lost: Vec<&str> = held(before, person).difference(&held(after, person)).copied().collect();
        table.add_row([
            person.clone(),
            lost.join(", "),
            after.get(person).map_or_else(|| "deleted".to_owned(), state),
            format!("{:.1} ms", left.answered_ms),
            format!("{:.1} ms", left.gone_ms),
        ]);
    }
    format!("{table}\n")
}

/// How somebody's account differs from what the traffic says must have become of it.
pub fn surprise(person: &str, expected: &Expected, accounts: &Snapshot) -> Option<String> {
    let account = accounts.get(person).unwrap_or(&Value::Null);
    let differ = |what: &str, expected: &str, found: &str| Some(format!("{person}: expected {what} `{expected}` and found `{found}`"));
    if let Some(state) = &expected.state
        && account["state"] != **state
    {
        return differ("the state", state, &word(&account["state"]));
    }
    if let Some(login) = &expected.login
        && account["user_name"] != **login
    {
        return differ("the login", login, &word(&account["user_name"]));
    }
    let roles: BTreeSet<&str> = expected.roles.as_ref()?.iter().map(String::as_str).collect();
    let found = effective(account);
    let joined = |roles: &BTreeSet<&str>| roles.iter().copied().collect::<Vec<_>>().join(", ");
    if roles == found { None } else { differ("the roles", &joined(&roles), &joined(&found)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn snapshot(roles: &[&str], state: &str) -> Snapshot {
        let grants: Vec<Value> = roles.iter().map(|role| json!({"role": role, "state": "effective", "reasons": []})).collect();
        Snapshot::from([("ada".to_owned(), json!({"state": state, "user_name": "ada@acme.example", "grants": grants}))])
    }

    #[test]
    fn a_mover_gains_loses_and_keeps() {
        let table = change(&["ada".into()], &snapshot(&["a", "b"], "active"), &snapshot(&["b", "c"], "active"));
        let row: Vec<&str> = table.lines().nth(3).unwrap_or_default().split('┆').map(|cell| cell.trim_matches(['│', ' '])).collect();
        assert_eq!(row, ["ada", "c", "a", "b"], "{table}");
    }

    #[test]
    fn surprises_are_named_and_pending_roles_do_not_count() {
        let expected = |value: Value| serde_json::from_value::<Expected>(value).unwrap();
        let mut found = snapshot(&["b", "a"], "active");
        assert_eq!(surprise("ada", &expected(json!({"state": "active", "login": "ada@acme.example", "roles": ["a", "b"]})), &found), None);
        let surprised = surprise("ada", &expected(json!({"roles": ["a"]})), &found);
        assert_eq!(surprised.as_deref(), Some("ada: expected the roles `a` and found `a, b`"));
        let surprised = surprise("ada", &expected(json!({"state": "suspended"})), &found);
        assert_eq!(surprised.as_deref(), Some("ada: expected the state `suspended` and found `active`"));
        found.get_mut("ada").unwrap()["grants"][0]["state"] = json!("pending");
        assert_eq!(surprise("ada", &expected(json!({"roles": ["a"]})), &found), None);
        assert!(surprise("bob", &expected(json!({"state": "active"})), &found).is_some());
    }

    #[test]
    fn text_is_broken_between_words() {
        let text = format!("{} {}  c", "a".repeat(100), "b".repeat(30));
        assert_eq!(wrapped(&text), format!("{}\n{} c\n", "a".repeat(100), "b".repeat(30)));
        assert_eq!(wrapped(""), "\n");
    }

    #[test]
    fn many_requests_are_counted_and_few_are_told() {
        let step = |title: &str| -> Step {
            serde_json::from_value(json!({"title": title, "method": "POST", "path": "/Users", "status": 201})).unwrap()
        };
        let many: Vec<Step> = (0..10).map(|i| step(if i < 7 { "create" } else { "look" })).collect();
        assert_eq!(requests(&many), "    7 × POST   → 201   create\n    3 × POST   → 201   look\n");
        let told = Step { body: Some(json!({"a": 1})), ..step("create") };
        assert_eq!(requests(&[told]), "  POST /Users → 201   create\n      {\"a\":1}\n");
        // What stands for a value is shown as that, and braces of JSON are left alone.
        let body = json!({"Operations": [{"op": "replace", "path": "members", "value": {"id": "{{ada.id}}", "of": {"active": false}}}]});
        let told = Step {
            body: Some(body),
            ..serde_json::from_value(json!({"title": "x", "method": "PATCH", "path": "/Users/{{ada.id}}", "status": 200})).unwrap()
        };
        let shown = requests(&[told]);
        assert!(shown.starts_with("  PATCH /Users/‹ada.id› → 200") && shown.contains("\"id\":\"‹ada.id›\""), "{shown}");
        assert!(shown.contains("{\"active\":false}}"), "{shown}");
    }

    #[test]
    fn people_are_shown_as_sent_and_as_made() {
        let compare: Vec<Compared> = serde_json::from_value(json!([{"title": "login", "sent": "/userName", "made": "user_name"}])).unwrap();
        let accounts_now =
            Snapshot::from([("bo".to_owned(), json!({"state": "held", "note": {"message": "needs a number"}, "profile": {}}))]);
        let table = accounts(&["bo".into()], &[json!({"userName": "Bo@x.example", "active": true})], &accounts_now, &compare);
        assert!(table.contains("Bo@x.example") && table.contains("active: true"), "{table}");
        assert!(table.ends_with("\nbo is held: needs a number\n"), "{table}");
    }

    #[test]
    fn roles_that_rest_on_the_same_reasons_share_a_row() {
        let grant = |role: &str, policy: &str| json!({"role": role, "state": "effective", "reasons": [{"policy": policy}]});
        let accounts = Snapshot::from([("bo".to_owned(), json!({"grants": [grant("a", "p"), grant("b", "q"), grant("c", "p")]}))]);
        let table = roles(&["bo".into()], &[json!({"groups": [{"display": "Staff"}]})], &accounts);
        let cells: Vec<Vec<&str>> =
            table.lines().skip(3).map(|line| line.split('┆').map(|cell| cell.trim_matches(['│', ' '])).collect()).collect();
        assert_eq!(cells[..2], [vec!["bo", "Staff", "a, c", "policy p"], vec!["", "", "b", "policy q"]], "{table}");
    }
}
