//! The headers `Accept` and `Prefer`.

use proptest::prelude::*;
use rolecall_scim::content::{JSON, Prefer, Returns, SCIM_JSON, accepted};

#[test]
fn the_media_type_is_what_the_client_likes_best() {
    let offered = [SCIM_JSON, JSON];
    for (accept, wanted) in [
        (None, Some(SCIM_JSON)),
        (Some(""), Some(SCIM_JSON)),
        (Some(" , ,"), Some(SCIM_JSON)),
        (Some("*/*"), Some(SCIM_JSON)),
        (Some("application/*"), Some(SCIM_JSON)),
        (Some("application/json"), Some(JSON)),
        (Some("APPLICATION/JSON; charset=utf-8"), Some(JSON)),
        (Some("application/scim+json"), Some(SCIM_JSON)),
        (Some("application/json, application/scim+json"), Some(SCIM_JSON)),
        (Some("application/scim+json;q=0.5, application/json"), Some(JSON)),
        (Some("application/json;q=0.9, */*;q=0.1"), Some(JSON)),
        (Some("application/scim+json;q=0, */*"), Some(JSON)),
        (Some("*/*;q=0.1, application/scim+json;q=0"), Some(JSON)),
        (Some("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"), Some(SCIM_JSON)),
        // Java's, of before its version 19.
        (Some("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"), Some(SCIM_JSON)),
        (Some("text/html, *"), Some(SCIM_JSON)),
        (Some("text/html, */*;q=."), None),
        (Some("text/html"), None),
        (Some("text/*, image/png"), None),
        (Some("*/*;q=0"), None),
        (Some("application/json; q=0.000, application/scim+json; Q=0"), None),
        (Some("application/json;profile=\"a,b;q=0\", text/html"), Some(JSON)),
        (Some("application/json;profile=\"\\\",\";q=0.1, application/scim+json;q=0.2"), Some(SCIM_JSON)),
        // What is malformed says nothing.
        (Some("json, application/json;q=2, application/json;q=0.1234, application/json;q=x, application/ json"), Some(SCIM_JSON)),
        (Some("nonsense, application/json"), Some(JSON)),
    ] {
        assert_eq!(accepted(accept, &offered), wanted, "{accept:?}");
    }
    assert_eq!(accepted(Some("*/*"), &[]), None);
    let long = format!("{}application/json", "text/html,".repeat(100));
    assert_eq!(accepted(Some(&long), &offered), None, "the rest is not looked at");
}

#[test]
fn preferences_are_read_as_rfc_7240_writes_them() {
    let nothing = Prefer::default();
    let asynchronous = Prefer { respond_async: true, ..nothing };
    let returns = |returns| Prefer { returns: Some(returns), ..nothing };
    for (headers, wanted) in [
        (&[][..], nothing),
        (&[""], nothing),
        (&["respond-async"], asynchronous),
        (&["Respond-Async ; whatever"], asynchronous),
        (&["respond-async, wait=10"], Prefer { wait_s: Some(10), ..asynchronous }),
        (&["respond-async", "wait = 10"], Prefer { wait_s: Some(10), ..asynchronous }),
        (&["wait=999999"], Prefer { wait_s: Some(3_600), ..nothing }),
        (&["wait=soon"], nothing),
        (&["wait=-1"], nothing),
        (&["return=minimal"], returns(Returns::Minimal)),
        (&["Return=\"representation\"; foo=\"some, \\\" value\""], returns(Returns::Representation)),
        (&["return=minimal, return=representation"], returns(Returns::Minimal)),
        (&["return=everything, return=minimal"], nothing),
        (&["handling=lenient, foo; bar=\"respond-async, return=minimal\""], nothing),
        (&["foo=\"a, respond-async\", return=minimal"], returns(Returns::Minimal)),
    ] {
        assert_eq!(Prefer::parse(headers.iter().copied()), wanted, "{headers:?}");
    }
    assert_eq!(Returns::Minimal.applied(), "return=minimal");
    assert_eq!(Returns::Representation.applied(), "return=representation");
    let late = format!("{}respond-async", "x,".repeat(100));
    assert_eq!(Prefer::parse([late.as_str()]), nothing, "the rest is not looked at");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_header_makes_a_parser_panic(text in "[a-z*/;,=\"\\\\ q0-9.]{0,40}", noise in any::<String>()) {
        for text in [&text, &noise] {
            let chosen = accepted(Some(text), &[SCIM_JSON, JSON]);
            prop_assert!(chosen.is_none_or(|chosen| [SCIM_JSON, JSON].contains(&chosen)));
            let _ = Prefer::parse([text.as_str()]);
        }
    }

    #[test]
    fn the_higher_weight_wins(scim in 0_u16..=1000, json in 0_u16..=1000) {
        let weight = |thousandths: u16| if thousandths == 1000 { "1".to_owned() } else { format!("0.{thousandths:03}") };
        let header = format!("application/scim+json;q={}, application/json;q={}", weight(scim), weight(json));
        let wanted = if scim == 0 && json == 0 { None } else if scim >= json { Some(SCIM_JSON) } else { Some(JSON) };
        prop_assert_eq!(accepted(Some(&header), &[SCIM_JSON, JSON]), wanted);
    }
}
