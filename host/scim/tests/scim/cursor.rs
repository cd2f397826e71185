//! Cursors: what goes in comes out, and nothing else is one.

use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use rolecall_scim::cursor::{CURSOR_CHARS_LIMIT, CURSOR_ID_BYTES_LIMIT, Cursor, Position, SORT_KEY_BYTES_LIMIT, bytes, question, text};
use rolecall_scim::filter::Filter;
use rolecall_scim::schema::Schemas;
use rolecall_scim::sort::Sort;
use rolecall_scim::{ResourceKind, ScimType};

fn position() -> Position {
    Position { backwards: false, kind: None, sort_key: Some("tada".into()), id: "0198".into() }
}

fn asked(filter: Option<&str>, sort: Option<(&str, &str)>, kinds: &[ResourceKind]) -> u64 {
    let schemas = Schemas::default();
    let filter = filter.map(|text| Filter::parse_any(&schemas, kinds, text).unwrap().0);
    let sort = sort.map(|(by, order)| Sort::parse(&schemas, kinds, Some(by), Some(order)).unwrap().unwrap());
    question(kinds, filter.as_ref(), sort.as_ref())
}

#[test]
fn a_question_is_what_was_asked_and_not_how_it_was_spelled() {
    const USER: &[ResourceKind] = &[ResourceKind::User];
    // RFC 9865 §2 itself asks for the first page with `userName` and for the second with `username`.
    assert_eq!(asked(Some("userName sw \"J\""), None, USER), asked(Some("username SW  \"J\""), None, USER));
    assert_eq!(asked(None, Some(("NAME.familyname", "Ascending")), USER), asked(None, Some(("name.familyName", "ascending")), USER));
    let different = [
        asked(None, None, USER),
        asked(None, None, &[ResourceKind::Group]),
        asked(None, None, &ResourceKind::ALL),
        asked(Some("userName sw \"J\""), None, USER),
        asked(Some("userName sw \"j\""), None, USER),
        asked(Some("userName ew \"J\""), None, USER),
        asked(Some("title sw \"J\""), None, USER),
        asked(Some("title pr"), None, USER),
        asked(Some("not (title pr)"), None, USER),
        asked(Some("title pr and active eq true"), None, USER),
        asked(Some("title pr or active eq true"), None, USER),
        asked(Some("active eq true and title pr"), None, USER),
        asked(Some("title eq \"true\" and title pr"), None, USER),
        asked(Some("title eq null"), None, USER),
        asked(Some("title eq \"null\""), None, USER),
        asked(Some("emails[type eq \"work\"]"), None, USER),
        asked(Some("emails[type eq \"work\"].value pr"), None, USER),
        asked(Some("emails[type eq \"work\"] and emails.value pr"), None, USER),
        asked(None, Some(("title", "ascending")), USER),
        asked(None, Some(("title", "descending")), USER),
        asked(Some("title pr"), Some(("title", "descending")), USER),
        asked(None, Some(("name.givenName", "ascending")), USER),
    ];
    for (index, one) in different.iter().enumerate() {
        assert!(!different[..index].contains(one), "number {index} is an earlier one");
    }
}

#[test]
fn a_question_is_the_same_in_every_version() {
    // A cursor made before an upgrade, or by the host next door, is good after it.
    assert_eq!(asked(Some("userName sw \"J\""), Some(("title", "descending")), &[ResourceKind::User]), 1_799_276_368_871_979_658);
}

#[test]
fn a_cursor_is_good_for_its_question_and_its_time() {
    let cursor = Cursor { question: 7, issued_s: 1_000, position: position() };
    let refused = |question, now_s| cursor.check(question, now_s, 60).unwrap_err().scim_type;
    assert_eq!(cursor.check(7, 1_000, 60), Ok(()));
    assert_eq!(cursor.check(7, 1_060, 60), Ok(()));
    assert_eq!(cursor.check(7, 900, 60), Ok(()), "clocks of two hosts differ");
    assert_eq!(refused(7, 1_061), Some(ScimType::ExpiredCursor));
    assert_eq!(refused(8, 1_000), Some(ScimType::InvalidCursor));
    let oldest = Cursor { issued_s: i64::MIN, ..cursor };
    assert_eq!(oldest.check(7, i64::MAX, 60).unwrap_err().scim_type, Some(ScimType::ExpiredCursor));
}

#[test]
fn cursors_are_bounded() {
    let sized = |key: usize, id: usize| {
        let position = Position { sort_key: Some("t".repeat(key)), id: "i".repeat(id), ..position() };
        Cursor { question: 0, issued_s: 0, position }.to_bytes()
    };
    let longest = sized(SORT_KEY_BYTES_LIMIT, CURSOR_ID_BYTES_LIMIT).unwrap();
    assert!(Cursor::from_bytes(&longest).is_ok());
    // A signature of 64 bytes fits beside it.
    assert!(text(&[longest, vec![0; 64]].concat()).len() <= CURSOR_CHARS_LIMIT);
    assert_eq!(sized(SORT_KEY_BYTES_LIMIT + 1, 1).unwrap_err().scim_type, Some(ScimType::InvalidCursor));
    assert_eq!(sized(1, CURSOR_ID_BYTES_LIMIT + 1).unwrap_err().scim_type, Some(ScimType::InvalidCursor));
    assert!(bytes(&"A".repeat(CURSOR_CHARS_LIMIT)).is_ok());
    assert_eq!(bytes(&"A".repeat(CURSOR_CHARS_LIMIT + 4)).unwrap_err().scim_type, Some(ScimType::InvalidCursor));
}

#[test]
fn what_was_tampered_with_is_refused_or_something_else() {
    let good = Cursor { question: 1, issued_s: 2, position: position() };
    let written = good.to_bytes().unwrap();
    for at in 0..written.len() {
        assert_ne!(Cursor::from_bytes(&written[..at]).ok().as_ref(), Some(&good));
        for bit in 0..8 {
            let mut other = written.clone();
            other[at] ^= 1 << bit;
            assert_ne!(Cursor::from_bytes(&other).ok().as_ref(), Some(&good), "byte {at}, bit {bit}");
        }
    }
    assert!(Cursor::from_bytes(&[&[9][..], &written[1..]].concat()).is_err(), "another version");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(
        question in any::<u64>(),
        issued_s in any::<i64>(),
        backwards in any::<bool>(),
        kind in select(vec![None, Some(ResourceKind::User), Some(ResourceKind::Group)]),
        sort_key in of(".{0,200}"),
        id in ".{0,30}",
    ) {
        let cursor = Cursor { question, issued_s, position: Position { backwards, kind, sort_key, id } };
        let sent = text(&cursor.to_bytes().unwrap());
        prop_assert!(sent.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)), "RFC 9865 §2 allows unreserved characters alone");
        prop_assert_eq!(Cursor::from_bytes(&bytes(&sent).unwrap()), Ok(cursor));
    }

    #[test]
    fn nothing_makes_it_panic(noise in prop::collection::vec(any::<u8>(), 0..80), text in any::<String>()) {
        if let Ok(cursor) = Cursor::from_bytes(&noise) {
            prop_assert_eq!(cursor.to_bytes().unwrap(), noise);
        }
        let _ = bytes(&text);
    }
}
