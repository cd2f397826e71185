//! What is pasted where: a guide for each identity provider, in the words of its own console, and the values that stand in it. Pure.

use std::fmt::Write as _;

use maud::{Markup, html};

/// How one identity provider is connected.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// In addresses.
    pub word: &'static str,
    /// For people.
    pub name: &'static str,
    /// Where its console has the fields.
    pub place: &'static str,
    /// What is done there before the values are pasted.
    pub before: &'static [&'static str],
    /// The field for the base URL.
    pub url: &'static str,
    /// What goes behind the base URL.
    pub suffix: &'static str,
    /// The field for the token.
    pub token: &'static str,
    /// The fields for an OAuth client, where it can be one.
    pub client: Option<ClientFields>,
    /// Other fields, with what goes into them.
    pub others: &'static [(&'static str, &'static str)],
    /// What is done after.
    pub after: &'static [&'static str],
    /// What is worth knowing.
    pub good_to_know: &'static [&'static str],
}

/// The fields for an OAuth client (RFC 6749 §4.4).
#[derive(Clone, Copy, Debug)]
pub struct ClientFields {
    /// What has to be chosen so that they are there.
    pub choose: &'static str,
    /// The token endpoint.
    pub token_url: &'static str,
    /// The client's id.
    pub id: &'static str,
    /// The client's secret.
    pub secret: &'static str,
}

/// Every guide. The last is for whatever has none of its own.
pub const GUIDES: &[Guide] = &[ENTRA, OKTA, KEYCLOAK, ONELOGIN, JUMPCLOUD, OTHER];

const ENTRA: Guide = Guide {
    word: "entra",
    name: "Microsoft Entra ID",
    place: "Entra admin centre → Enterprise applications → your application → Provisioning → New configuration",
    before: &[
        "Enterprise applications → New application → Create your own application → Integrate any other application you don’t find in the gallery.",
        "Open Provisioning → New configuration.",
    ],
    url: "Tenant URL",
    // With this flag Entra ID sends requests that are closer to the standard.
    suffix: "?aadOptscim062020",
    token: "Secret token",
    client: Some(ClientFields {
        choose: "Authentication method: OAuth2 client credentials grant",
        token_url: "Token endpoint",
        id: "Client identifier",
        secret: "Client secret",
    }),
    others: &[],
    after: &[
        "Test connection: it looks for a person and a group that don’t exist, and an empty list is the right answer.",
        "Under Mappings, keep userName, externalId (on objectId) and active as they are.",
        "Assign people and groups under Users and groups, try one person with Provision on demand, then Start provisioning.",
    ],
    good_to_know: &[
        "It comes about every 40 minutes.",
        "It does not provision nested groups: assign the inner groups themselves.",
        "Provision on demand speaks another dialect than the cycles: both are understood.",
    ],
};

const OKTA: Guide = Guide {
    word: "okta",
    name: "Okta",
    place: "Okta admin console → Applications → your application → Provisioning → Integration",
    before: &[
        "Applications → your application → General → App settings → Provisioning: SCIM; or add “SCIM 2.0 Test App (OAuth Bearer Token)” from the catalogue.",
        "Open Provisioning → Integration → Edit.",
    ],
    url: "SCIM connector base URL",
    suffix: "",
    token: "Authorization (Bearer)",
    client: None,
    others: &[
        ("Unique identifier field for users", "userName"),
        ("Supported provisioning actions", "Push New Users, Push Profile Updates, Push Groups"),
        ("Authentication Mode", "HTTP Header"),
    ],
    after: &[
        "Test Connector Configuration, then save.",
        "Provisioning → To App → Edit: Create Users, Update User Attributes, Deactivate Users. Leave Sync Password off.",
        "Assign people under Assignments, and push groups under Push Groups.",
    ],
    good_to_know: &[
        "It comes when something happens, so that hours of silence are usual.",
        "It never deletes people: it deactivates them, and they lose every role.",
    ],
};

const KEYCLOAK: Guide = Guide {
    word: "keycloak",
    name: "Keycloak, with a SCIM extension",
    place: "Keycloak admin console → your realm → User federation → Add scim providers",
    before: &[
        "Put the extension (keycloak-scim) into Keycloak’s providers and build it anew.",
        "Realm settings → Events → Event listeners: add scim.",
    ],
    url: "SCIM 2.0 endpoint",
    suffix: "",
    token: "Auth password/token",
    client: None,
    others: &[
        ("Endpoint content type", "application/scim+json"),
        ("Auth mode", "BEARER"),
        ("Enable user propagation", "On"),
        ("Enable group propagation", "On"),
        ("Enable import during sync", "Off"),
    ],
    after: &["Save, then Action → Sync all users sends those that there are."],
    good_to_know: &[
        "Some of its extensions send every member of a group again when one is added: nothing changes for those who were there.",
        "Names of fields differ between its extensions: what matters are the endpoint and the bearer token.",
    ],
};

const ONELOGIN: Guide = Guide {
    word: "onelogin",
    name: "OneLogin",
    place: "OneLogin administration → Applications → your application → Configuration",
    before: &["Applications → Add App → “SCIM Provisioner with SAML (SCIM v2 Enterprise)”, then open Configuration."],
    url: "SCIM Base URL",
    suffix: "",
    token: "SCIM Bearer Token",
    client: None,
    others: &[],
    after: &[
        "API Connection → API Status: Enable.",
        "Provisioning → Enable provisioning; Entitlements → Refresh, for groups.",
        "“When users are deleted, or the user’s app access is removed”: Suspend or Delete. Do Nothing would leave them with their roles.",
    ],
    good_to_know: &["It sends schemas of SCIM 1 and separators with nothing between them: both are understood."],
};

const JUMPCLOUD: Guide = Guide {
    word: "jumpcloud",
    name: "JumpCloud",
    place: "JumpCloud admin portal → SSO Applications → your application → Identity Management",
    before: &["SSO Applications → Add New Application → Custom Application → Export users to this app (Identity Management)."],
    url: "Base URL",
    suffix: "",
    token: "Token Key",
    client: None,
    others: &[("SCIM Version", "SCIM 2.0"), ("Test User Email", "an address that nobody has")],
    after: &[
        "Test Connection, then Activate and save.",
        "Switch on management of user groups and group membership, and choose groups under User Groups.",
    ],
    good_to_know: &["Its test makes a person and a group and takes them away again: in staging that has no effect on anybody."],
};

const OTHER: Guide = Guide {
    word: "other",
    name: "Google Workspace, authentik or another",
    place: "the provisioning settings of the application, at your identity provider",
    before: &["Make an application that provisions by SCIM 2.0, by whichever name it goes there."],
    url: "Base URL (SCIM endpoint, tenant URL)",
    suffix: "",
    token: "Bearer token (API token, secret)",
    client: Some(ClientFields {
        choose: "OAuth 2.0, grant type client credentials",
        token_url: "Token URL (access token URL)",
        id: "Client id",
        secret: "Client secret",
    }),
    others: &[],
    after: &["Test the connection there, send one person, then everybody."],
    good_to_know: &[
        "Google Workspace provisions every few hours, and only to applications of its catalogue; it never sends archived users.",
        "The base URL ends with /v2 and has no slash behind it.",
    ],
};

/// The guide of that word; the last one for a word that there is not.
#[must_use]
pub fn guide(word: Option<&str>) -> &'static Guide {
    GUIDES.iter().find(|guide| Some(guide.word) == word).unwrap_or(&GUIDES[GUIDES.len() - 1])
}

/// A secret that was just made: it is shown this once.
#[derive(Clone, Debug)]
pub enum Fresh {
    /// A bearer token.
    Token(String),
    /// A secret of the OAuth client.
    ClientSecret(String),
}

/// What goes into the fields.
#[derive(Clone, Debug)]
pub struct Values {
    /// The connection's base URL.
    pub base_url: String,
    /// Its token endpoint.
    pub token_url: String,
    /// The id of its OAuth client.
    pub client_id: String,
    /// What was just made.
    pub fresh: Option<Fresh>,
}

impl Values {
    /// Names and values as an environment file.
    #[must_use]
    pub fn env(&self) -> String {
        let mut text = format!("SCIM_BASE_URL={}\n", self.base_url);
        match &self.fresh {
            Some(Fresh::ClientSecret(secret)) => {
                let _ = write!(text, "SCIM_TOKEN_URL={}\nSCIM_CLIENT_ID={}\nSCIM_CLIENT_SECRET={secret}\n", self.token_url, self.client_id);
            }
            Some(Fresh::Token(token)) => {
                let _ = writeln!(text, "SCIM_TOKEN={token}");
            }
            None => text.push_str("SCIM_TOKEN=the token\n"),
        }
        text
    }

    /// A request to try, for a shell that has read the environment file: no secret is left in its history.
    #[must_use]
    pub fn curl(&self) -> String {
        let ask = "curl -H \"Authorization: Bearer $SCIM_TOKEN\" \"$SCIM_BASE_URL/Users?count=1\"";
        match &self.fresh {
            Some(Fresh::ClientSecret(_)) => format!(
                "SCIM_TOKEN=$(curl -s -u \"$SCIM_CLIENT_ID:$SCIM_CLIENT_SECRET\" -d grant_type=client_credentials \"$SCIM_TOKEN_URL\" | jq -r .access_token)\n{ask}"
            ),
            _ => ask.to_owned(),
        }
    }
}

/// The fields with their values, the environment file and the request to try.
#[must_use]
pub fn shown(guide: &Guide, values: &Values) -> Markup {
    let url = format!("{}{}", values.base_url, guide.suffix);
    html! {
        section.card {
            h2 { "1. Open the settings" }
            p { (guide.place) }
            ol { @for step in guide.before { li { (step) } } }
        }
        section.card {
            h2 { "2. Paste these values" }
            (fields(guide, values, &url))
        }
        section.card {
            h2 { "3. Finish there" }
            ol { @for step in guide.after { li { (step) } } }
            ul.quiet { @for fact in guide.good_to_know { li { (fact) } } }
        }
        details.card {
            summary { "As an environment file, and a request to try" }
            div.heading { h3 #env-title { ".env" } div.beside { button type="button" data-copies="env" { "Copy the file" } } }
            pre #env tabindex="0" aria-labelledby="env-title" { (values.env()) }
            div.heading { h3 #curl-title { "curl" } div.beside { button type="button" data-copies="curl" { "Copy the request" } } }
            pre #curl tabindex="0" aria-labelledby="curl-title" { (values.curl()) }
            p.quiet { "An empty list, or people, is the right answer; 401 says that the token is not this connection’s." }
        }
    }
}

fn fields(guide: &Guide, values: &Values, url: &str) -> Markup {
    html! {
        dl.pairs {
            dt { (guide.url) } dd { (copied("value-url", url, false)) }
            @match (&values.fresh, guide.client) {
                (Some(Fresh::ClientSecret(secret)), client) => {
                    @let client = client.or(OTHER.client);
                    @if let Some(client) = client {
                        dt { "Way to sign in" } dd { (client.choose) }
                        dt { (client.token_url) } dd { (copied("value-token-url", &values.token_url, false)) }
                        dt { (client.id) } dd { (copied("value-client", &values.client_id, false)) }
                        dt { (client.secret) } dd { (copied("value-secret", secret, true)) }
                    }
                }
                (Some(Fresh::Token(token)), _) => { dt { (guide.token) } dd { (copied("value-token", token, true)) } }
                (None, _) => { dt { (guide.token) } dd.quiet { "shown once, when it is made" } }
            }
            @for (field, value) in guide.others { dt { (field) } dd { (value) } }
        }
    }
}

/// A value that is copied with a button.
#[must_use]
pub fn copied(id: &str, value: &str, once: bool) -> Markup {
    html! {
        span.copy { output id=(id) { (value) } button type="button" data-copies=(id) { "Copy" } }
        @if once { p.note { "Copy it now: it is shown this once and can’t be looked up again." } }
    }
}

/// The links to the other guides: `to` gives the address of one.
#[must_use]
pub fn chooser(chosen: &Guide, to: impl Fn(&Guide) -> String) -> Markup {
    html! {
        nav aria-label="Identity provider" {
            ul.tabs {
                @for guide in GUIDES {
                    li { a href=(to(guide)) aria-current=[(guide.word == chosen.word).then_some("true")] { (guide.name) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(fresh: Option<Fresh>) -> Values {
        let (base_url, token_url) = ("https://r.example/scim/c1/v2".to_owned(), "https://r.example/scim/c1/oauth/token".to_owned());
        Values { base_url, token_url, client_id: "c1".into(), fresh }
    }

    #[test]
    fn each_guide_shows_its_fields_with_the_values() {
        for guide in GUIDES {
            let text = shown(guide, &values(Some(Fresh::Token("rc_secret".into())))).into_string();
            let url = format!("https://r.example/scim/c1/v2{}", guide.suffix);
            for part in [guide.url, guide.token, url.as_str(), "rc_secret", "SCIM_TOKEN=rc_secret"] {
                let part = html! { (part) }.into_string();
                assert!(text.contains(&part), "{}: {part}", guide.word);
            }
            assert_eq!(super::guide(Some(guide.word)).name, guide.name);
        }
        assert_eq!(guide(Some("nonsense")).word, "other");
    }

    #[test]
    fn a_client_is_shown_where_it_can_be_used_and_a_secret_is_never_in_a_command() {
        let of_client = values(Some(Fresh::ClientSecret("rs_secret".into())));
        let text = shown(&ENTRA, &of_client).into_string();
        for part in ["Token endpoint", "Client identifier", "https://r.example/scim/c1/oauth/token", "rs_secret"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(!text.contains("Secret token"));
        assert!(of_client.env().contains("SCIM_CLIENT_SECRET=rs_secret\n"));
        assert!(!of_client.curl().contains("rs_secret"));
        let without = shown(&OKTA, &values(None)).into_string();
        assert!(without.contains("shown once, when it is made"));
    }
}
