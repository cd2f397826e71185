//! Names and logins made regular. Knows nothing of settings or accounts.

use rolecall_plugin::{User, Value};

use crate::ascii;

/// Whether `text` starts with `prefix`, whatever the case of ASCII letters.
pub fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether `text` ends with `suffix`, whatever the case of ASCII letters.
pub fn ends_with(text: &str, suffix: &str) -> bool {
    let start = text.len().checked_sub(suffix.len());
    start.and_then(|start| text.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// One space between words, none around them.
pub fn tidy(name: &str) -> String {
    let mut tidied = String::with_capacity(name.len());
    for word in name.split_whitespace() {
        if !tidied.is_empty() {
            tidied.push(' ');
        }
        tidied.push_str(word);
    }
    tidied
}

/// The display name: given and family name; else what the identity provider shows, turned around where it is `Family, Given`.
pub fn display_name<'a>(user: &'a User<'_>) -> Option<Value<'a>> {
    if let (Some(given), Some(family)) = (user.given_name(), user.family_name()) {
        let full = tidy(&format!("{} {}", given.text(), family.text()));
        return Some(Value::new(full, "name.givenName + name.familyName"));
    }
    let shown = user.display_name().or_else(|| user.formatted_name())?;
    Some(shown.map(|name| match name.split_once(',') {
        Some((family, given)) if !given.contains(',') => tidy(&format!("{given} {family}")),
        _ => tidy(name),
    }))
}

/// The login: the local part of a user name in lower-case ASCII, with `domain` or the user name's own.
/// `None` when a letter has no ASCII spelling here: leaving it out would give two people one name.
pub fn login(user_name: &str, domain: Option<&str>) -> Option<String> {
    let (local, own_domain) = user_name.rsplit_once('@').map_or((user_name, None), |(local, domain)| (local, Some(domain)));
    let mut login = String::with_capacity(user_name.len() + 8);
    let separator = |login: &mut String, with: char| {
        if !login.is_empty() && !login.ends_with(['.', '-', '_']) {
            login.push(with);
        }
    };
    for letter in local.chars() {
        match letter {
            'a'..='z' | '0'..='9' | '+' => login.push(letter),
            'A'..='Z' => login.push(letter.to_ascii_lowercase()),
            '.' | '-' | '_' => separator(&mut login, letter),
            '\'' | '’' | '`' => {}
            letter if letter.is_whitespace() || letter.is_ascii() => separator(&mut login, '.'),
            letter => login.push_str(ascii::spell(letter)?),
        }
    }
    login.truncate(login.trim_end_matches(['.', '-', '_']).len());
    if login.is_empty() {
        return None;
    }
    if let Some(domain) = domain.or(own_domain).filter(|domain| !domain.is_empty()) {
        login.push('@');
        login.push_str(&domain.to_lowercase());
    }
    Some(login)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_lower_case_ascii() {
        for (user_name, domain, expected) in [
            ("José.Müller@acme.example", None, Some("jose.muller@acme.example")),
            ("Jose\u{301}.Mu\u{308}ller@acme.example", None, Some("jose.muller@acme.example")),
            ("Łukasz Żółć", Some("acme.example"), Some("lukasz.zolc@acme.example")),
            ("Ægir_Þórsson-Weiß@old.example", Some("acme.example"), Some("aegir_thorsson-weiss@acme.example")),
            ("Юлия.Щербакова@acme.example", None, Some("yuliya.shcherbakova@acme.example")),
            ("Γιώργος.Παπαδόπουλος@acme.example", None, Some("giorgos.papadopoulos@acme.example")),
            ("Nguyễn.Thị.Đặng@acme.example", None, Some("nguyen.thi.dang@acme.example")),
            ("O’Brien..Ann.@ACME.example", None, Some("obrien.ann@acme.example")),
            ("a@b@Acme.Example", None, Some("a.b@acme.example")),
            ("王伟@acme.example", None, None),
            ("王.li@acme.example", None, None),
            ("...@acme.example", None, None),
            ("", None, None),
        ] {
            assert_eq!(login(user_name, domain).as_deref(), expected, "{user_name}");
        }
    }

    #[test]
    fn display_names_are_given_then_family() {
        for (json, expected) in [
            (r#"{"name":{"givenName":" Ann  Marie","familyName":"O'Brien "},"displayName":"x"}"#, "Ann Marie O'Brien"),
            (r#"{"name":{"givenName":"Ann"},"displayName":"Müller,  José"}"#, "José Müller"),
            (r#"{"displayName":"Smith, John, PhD"}"#, "Smith, John, PhD"),
            (r#"{"name":{"formatted":"Zoë"}}"#, "Zoë"),
        ] {
            let user = User::from_json(json).unwrap();
            assert_eq!(display_name(&user).unwrap().text(), expected);
        }
        assert!(display_name(&User::default()).is_none());
    }

    #[test]
    fn affixes_ignore_case_and_never_split_a_letter() {
        assert!(starts_with("TEST-1", "test-") && !starts_with("tes", "test-") && !starts_with("é", "x"));
        assert!(ends_with("a@Contractors.ACME.example", "@contractors.acme.example") && !ends_with("é", "x") && !ends_with("", "x"));
    }
}
