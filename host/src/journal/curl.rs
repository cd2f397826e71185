//! A request of the provisioning log as a line for a terminal: what was sent with its values gone, to be filled in and sent again. Pure.

use crate::store::LogEntry;

/// What stands where the token was.
const TOKEN: &str = "$TOKEN";

/// The request as `curl` sends it; `base` is the connection's base URL. `None` for an entry that is no single request.
#[must_use]
pub fn curl(base: &str, entry: &LogEntry) -> Option<String> {
    if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&entry.method.as_str()) {
        return None;
    }
    let shown = entry.detail.shown.as_deref().unwrap_or_default();
    let shown = shown.strip_prefix(&entry.method).unwrap_or(shown).trim_start();
    // `Users?filter=…`, `Users {…}`, `Users/{id}`.
    let end = shown.find(['?', ' ']).unwrap_or(shown.len());
    let (route, rest) = shown.split_at(end);
    let endpoint = match entry.kind {
        Some(kind) => kind.endpoint(),
        None if route.is_empty() => "…",
        None => route,
    };
    let id = entry.resource.as_ref().filter(|_| entry.method != "POST").map(|id| format!("/{id}")).unwrap_or_default();
    let id = if id.is_empty() && route.ends_with("/{id}") && entry.kind.is_some() { "/…".to_owned() } else { id };
    let query = if rest.starts_with('?') { rest.replace(' ', "+") } else { String::new() };
    let mut line = format!("curl -X {} {}", entry.method, quoted(&format!("{base}/{endpoint}{id}{query}")));
    line.push_str(&format!(" -H \"Authorization: Bearer {TOKEN}\""));
    if let Some(body) = rest.strip_prefix(' ').filter(|body| !body.is_empty()) {
        line.push_str(&format!(" -H {} --data {}", quoted("Content-Type: application/scim+json"), quoted(body)));
    }
    Some(line)
}

/// In single quotes, as a shell takes it literally.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use rolecall_scim::ResourceKind;

    use super::*;
    use crate::model::{Instant, LogDetail, OutcomeCode, ResourceId};

    #[test]
    fn a_request_is_a_line_that_a_shell_takes_literally() {
        let entry = |method: &str, kind: Option<ResourceKind>, resource: Option<&str>, shown: &str| LogEntry {
            at: Instant(0),
            request_id: "r".into(),
            method: method.into(),
            kind,
            resource: resource.map(ResourceId::from),
            status: 200,
            scim_type: None,
            reason: None,
            applied: 1,
            no_op: 0,
            refused: 0,
            code: OutcomeCode::Applied,
            detail: LogDetail { shown: Some(shown.into()), ..LogDetail::default() },
        };
        let (user, group) = (Some(ResourceKind::User), Some(ResourceKind::Group));
        let auth = "-H \"Authorization: Bearer $TOKEN\"";
        let json = "-H 'Content-Type: application/scim+json'";
        for (entry, line) in [
            (
                entry("PATCH", user, Some("u1"), "PATCH Users {\"op\":\"it's …\"}"),
                format!("curl -X PATCH 'https://r/v2/Users/u1' {auth} {json} --data '{{\"op\":\"it'\\''s …\"}}'"),
            ),
            (entry("DELETE", group, Some("g1"), "DELETE Groups"), format!("curl -X DELETE 'https://r/v2/Groups/g1' {auth}")),
            (entry("POST", user, Some("u1"), "POST Users {}"), format!("curl -X POST 'https://r/v2/Users' {auth} {json} --data '{{}}'")),
            (
                entry("GET", user, None, "GET Users?filter=userName eq \"…\""),
                format!("curl -X GET 'https://r/v2/Users?filter=userName+eq+\"…\"' {auth}"),
            ),
            (entry("GET", user, None, "GET Users/{id}"), format!("curl -X GET 'https://r/v2/Users/…' {auth}")),
            (entry("POST", None, None, "POST Bulk"), format!("curl -X POST 'https://r/v2/Bulk' {auth}")),
        ] {
            assert_eq!(curl("https://r/v2", &entry), Some(line));
        }
        assert_eq!(curl("https://r/v2", &entry("*", None, None, "")), None);
    }
}
