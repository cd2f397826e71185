//! What an event says, as a person would say it.

use serde_json::Value;

use super::super::page::short;
use crate::model::Event;

/// Whom an event is about: by the name that the account has now, or had then.
pub(super) fn whom(event: &Event, name: Option<&str>) -> String {
    let then = event.personal.as_ref().and_then(|personal| personal["user_name"].as_str());
    let account = event.account.as_ref().map_or("", |account| account.as_str());
    name.or(then).map_or_else(|| format!("account {}", account.chars().take(8).collect::<String>()), str::to_owned)
}

/// The event in a sentence, without whom it is about. A kind that nothing is known of says its own words.
pub(super) fn sentence(event: &Event) -> String {
    let data = &event.data;
    let role = || text(&data["role"]);
    let with = |words: String, name: &str| with(data, words, name);
    match event.kind.as_str() {
        "account.created" => "got an account".to_owned(),
        "account.changed" => "the account changed".to_owned(),
        "account.activated" => "the account is in use".to_owned(),
        "account.suspended" => "the account was suspended".to_owned(),
        "account.removed" => "the account was removed".to_owned(),
        "account.revived" => "came back, and the account with them".to_owned(),
        "account.held" => with("the account is held".to_owned(), "why"),
        "account.out_of_scope" => "is none of the tenant’s people".to_owned(),
        "account.erased" => "personal values were erased".to_owned(),
        "account.scheduled" => with("the account begins at a date".to_owned(), "starts"),
        "account.ending" => with("the account ends at a date".to_owned(), "ends"),
        "account.protected" => "the account is protected: no job takes its roles".to_owned(),
        "account.unprotected" => "the account is protected no longer".to_owned(),
        "account.moved" => "moved to another connection with the account".to_owned(),
        "account.moved_back" => "went back to the connection before, with the account".to_owned(),
        "account.adopted" => "was given the account that was imported".to_owned(),
        "grant.added" => format!("was given {}{}", role(), because(data)),
        "grant.changed" => format!("has {} for other reasons{}", role(), because(data)),
        "grant.removed" => with(format!("no longer has {}", role()), "why"),
        "grant.retained" => with(format!("keeps {} for a time", role()), "deadline"),
        "grant.pending" => with(format!("is to have {}, and waits", role()), "waits_for"),
        "grant.dormant" => format!("{} is dormant: one action restores it", role()),
        "grant.loss_held" => format!("would lose {}: held until somebody answers", role()),
        "ruling.yes" => format!("somebody said yes{}", about(data)),
        "ruling.no" => format!("somebody said no{}", about(data)),
        "ruling.ended" => format!("what was said is over{}", about(data)),
        "exception.made" => format!("an exception was made{}", about(data)),
        "exception.ended" => format!("an exception ended{}", about(data)),
        "approval.reminded" => format!("a request still waits for an answer{}", about(data)),
        "adoption.decided" => "it was decided whose the account is".to_owned(),
        _ => of_nobody(event),
    }
}

/// The sentence of an event that is about no account.
fn of_nobody(event: &Event) -> String {
    let data = &event.data;
    let said = |name: &str| text(&data[name]);
    let with = |words: String, name: &str| with(data, words, name);
    match event.kind.as_str() {
        "hold.opened" => "more people than may be at once are concerned: a hold was opened".to_owned(),
        "hold.closed" => with("a hold is closed".to_owned(), "why"),
        "revision.activated" => format!("revision {} was activated", short(&said("revision"))),
        "revision.held" => format!("revision {} waits for somebody to activate it", short(&said("revision"))),
        "revision.returned" => format!("a revision was taken back, and {} is active again", short(&said("revision"))),
        "trial.started" => with(format!("revision {} is tried out", short(&said("revision"))), "kind"),
        "trial.ended" => with("a trial ended".to_owned(), "state"),
        "handle.bound" => with("a group got its handle".to_owned(), "handle"),
        "handle.confirmed" => with("a handle was confirmed".to_owned(), "handle"),
        "connection.alarm" => with("a connection is not well".to_owned(), "state"),
        "connection.alarm_escalated" => with("a connection is still not well".to_owned(), "state"),
        "connection.all_clear" => "a connection is well again".to_owned(),
        "connection.taking_over" => "it was said from which connection another takes over".to_owned(),
        "connection.moved_back" => "people went back to the connection before".to_owned(),
        "connection.live" => "a connection was let in".to_owned(),
        "connection.first_seen" => "a connection’s first request came".to_owned(),
        "connection.guarded" => "the guard counts a connection".to_owned(),
        "connection.unguarded" => "the guard counts a connection no longer".to_owned(),
        "review.decided" => with("lines of a review were decided".to_owned(), "decision"),
        "token.created" => "a token was made".to_owned(),
        "session.begun" => {
            let roles: Vec<&str> = data["admin_roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let may = if data["write"] == true { "to change everything".to_owned() } else { format!("as {}", roles.join(", ")) };
            with(format!("somebody signed in to the workspace {}", if may == "as " { "to read" } else { &may }), "via")
        }
        "session.ended" => "a session of the workspace was ended".to_owned(),
        "link.made" => match said("purpose").as_str() {
            "setup" => "a link to a connection’s set-up was made".to_owned(),
            _ => "a link that signs somebody in was made".to_owned(),
        },
        "link.ended" => "links to a connection’s set-up were ended".to_owned(),
        "drift.uploaded" => with("an identity provider’s export was uploaded".to_owned(), "name"),
        "drift.compared" => "the export was compared with what is stored".to_owned(),
        "drift.ready" => "what a reconciliation would do is known".to_owned(),
        "drift.begun" => "a reconciliation is carried out".to_owned(),
        "drift.finished" => "a reconciliation is done".to_owned(),
        "drift.expired" => "a reconciliation ended before it was carried out".to_owned(),
        "drift.abandoned" => "a reconciliation was given up".to_owned(),
        "token.revoked" => "a token was ended".to_owned(),
        "target.created" => with("a target was made".to_owned(), "target"),
        "target.changed" => with("a target was changed".to_owned(), "target"),
        "target.paused" => with(with("a target was paused".to_owned(), "target"), "why"),
        "target.resumed" => with("a target goes on".to_owned(), "target"),
        "target.removed" => with("a target was removed".to_owned(), "target"),
        "provider.created" => with("a sign-in provider was set".to_owned(), "provider"),
        "provider.changed" => with("a sign-in provider was changed".to_owned(), "provider"),
        "provider.removed" => with("a sign-in provider was removed".to_owned(), "provider"),
        "receipt.overdue" => "a target has not said that a departure is done".to_owned(),
        "process.begun" => with("a process began".to_owned(), "kind"),
        "process.done" => with("a process is done".to_owned(), "kind"),
        "process.dated" => with("a process has another date".to_owned(), "kind"),
        "process.called_off" => with("a process was called off".to_owned(), "kind"),
        kind => {
            let (what, did) = kind.split_once('.').unwrap_or((kind, ""));
            format!("{} {}", what.replace('_', " "), did.replace('_', " ")).trim().to_owned()
        }
    }
}

/// The words, and what the event says under a name.
fn with(data: &Value, words: String, name: &str) -> String {
    let said = text(&data[name]);
    if said.is_empty() { words } else { format!("{words} ({})", said.replace('_', " ")) }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// By which policies.
fn because(data: &Value) -> String {
    let policies: Vec<&str> = data["reasons"].as_array().into_iter().flatten().filter_map(|reason| reason["policy"].as_str()).collect();
    if policies.is_empty() { String::new() } else { format!(" by {}", policies.join(", ")) }
}

/// What was said of which role.
fn about(data: &Value) -> String {
    match (text(&data["kind"]).as_str(), text(&data["role"]).as_str()) {
        ("", "") => String::new(),
        (kind, "") => format!(" ({kind})"),
        ("", role) => format!(" about {role}"),
        (kind, role) => format!(" about {role} ({kind})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Actor, Instant};

    #[test]
    fn events_are_told_as_people_would() {
        let event = |kind: &str, data: Value| Event {
            seq: 1,
            id: "e".into(),
            at: Instant(0),
            kind: kind.into(),
            actor: Actor { kind: "worker".into(), id: "w".into() },
            request_id: None,
            account: Some("0123456789".into()),
            data,
            personal: Some(json!({"user_name": "ada"})),
        };
        for (kind, data, told) in [
            ("grant.added", json!({"role": "vpn", "reasons": [{"policy": "staff"}]}), "was given vpn by staff"),
            ("grant.removed", json!({"role": "vpn", "why": "out_of_scope"}), "no longer has vpn (out of scope)"),
            ("ruling.yes", json!({"role": "root", "kind": "approval"}), "somebody said yes about root (approval)"),
            ("revision.activated", json!({"revision": "0123456789abcdef"}), "revision 0123456789ab was activated"),
            ("plugin_key.added", json!({}), "plugin key added"),
        ] {
            assert_eq!(sentence(&event(kind, data)), told);
        }
        let event = event("account.created", json!({}));
        assert_eq!((whom(&event, Some("bob")), whom(&event, None)), ("bob".to_owned(), "ada".to_owned()));
        assert_eq!(whom(&Event { personal: None, ..event }, None), "account 01234567");
    }
}
