//! What clients do that the RFC does not ask for, and that is handled all the same: the one list of it, with its sources.
//!
//! The documentation, the health pages and the API are made from it.

/// The list as a table: a row is a variant with its word, the clients that are known to do it, and where that is documented.
macro_rules! quirks {
    ($($(#[$doc:meta])* $name:ident: $word:literal, [$($client:literal),+], $source:literal;)+) => {
        /// A client quirk that was met and handled. Nothing of it changes what a strict client sees.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Quirk {
            $($(#[$doc])* $name,)+
        }

        impl Quirk {
            /// Every quirk.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// A stable word for it, in metrics and health pages.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// The clients that are known to do it.
            #[must_use]
            pub fn clients(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($client),+],)+ }
            }

            /// Where it is documented.
            #[must_use]
            pub fn source(self) -> &'static str {
                match self { $(Self::$name => $source,)+ }
            }
        }
    };
}

quirks! {
    /// `Add`, `Replace`, `Remove` capitalised.
    CapitalisedOp: "capitalised_op", ["Entra ID"], "MicrosoftDocs/entra-docs, application-provisioning-config-problem-scim-compatibility";
    /// A boolean as a text, `"False"`.
    BooleanText: "boolean_text", ["Entra ID"], "MicrosoftDocs/entra-docs, application-provisioning-config-problem-scim-compatibility";
    /// Values are removed by naming them in a `value` instead of by a filter.
    RemoveWithValue: "remove_with_value", ["Entra ID"], "MicrosoftDocs/entra-docs, application-provisioning-config-problem-scim-compatibility";
    /// Dotted or URN-qualified keys in a PATCH without a path.
    DottedKeys: "dotted_keys", ["Entra ID"], "MicrosoftDocs/entra-docs, application-provisioning-config-problem-scim-compatibility";
    /// A scalar for a complex value, such as the manager or a member.
    ScalarForComplex: "scalar_for_complex", ["Entra ID"],
        "MicrosoftDocs/entra-docs, application-provisioning-config-problem-scim-compatibility; AzureAD/SCIMReferenceCode #24";
    /// A value wrapped in an array, or in an object of the array, where it stands for itself.
    WrappedScalar: "wrapped_scalar", ["Entra ID", "SCIM-SDK"],
        "wso2/charon #110; learn.microsoft.com/answers, questions/1693075; Captain-P-Goldfish/SCIM-SDK #968";
    /// An element is made because the value path of an `add`, or of Entra ID's `Replace`, matched none.
    ElementMade: "element_made", ["Entra ID"], "MicrosoftDocs/entra-docs, use-scim-to-provision-users-and-groups";
    /// JSON in a text: as the value of a role, which is kept as it is, or in a PATCH in the place of an object.
    JsonText: "json_text", ["Entra ID", "scim-for-keycloak", "SCIM-SDK"],
        "MicrosoftDocs/entra-docs, application-provisioning-config-problem-scim-compatibility; Captain-P-Goldfish/scim-for-keycloak #133, #172; Captain-P-Goldfish/SCIM-SDK #404";
    /// A text without quotes in a filter.
    UnquotedText: "unquoted_text", ["Entra ID"], "MicrosoftDocs/entra-docs, use-scim-to-provision-users-and-groups";
    /// An empty array for an attribute that has no value, such as `roles`.
    EmptyValues: "empty_values", ["Entra ID"], "MicrosoftDocs/entra-docs, use-scim-to-provision-users-and-groups";
    /// A `meta` or an `id` that the client made up for what it creates.
    ClientMeta: "client_meta", ["Entra ID"], "MicrosoftDocs/entra-docs, use-scim-to-provision-users-and-groups";
    /// A schema URN that nobody knows.
    UnknownSchema: "unknown_schema", ["Entra ID"], "MicrosoftDocs/entra-docs, use-scim-to-provision-users-and-groups (ADSCIM group schema)";
    /// A schema URN of SCIM 1.
    Scim1Schema: "scim_1_schema", ["OneLogin"], "goauthentik/authentik #11249";
    /// Read-only attributes in a PATCH without a path.
    ReadOnlyEcho: "read_only_echo", ["Okta", "authentik"], "okta/okta-developer-docs, reference/scim/scim-20; goauthentik/authentik #23950";
    /// A PUT of what a GET gave, with its `meta` or `groups`.
    PutEcho: "put_echo", ["Okta"], "okta/okta-developer-docs, reference/scim/scim-20";
    /// A group is created with an empty `members`.
    EmptyMembers: "empty_members", ["Okta"], "okta/okta-developer-docs, reference/scim/scim-20";
    /// A plaintext password, which is never kept.
    PasswordSent: "password_sent", ["Okta"], "okta/okta-developer-docs, reference/scim/scim-20";
    /// All members are sent again when one is added. The server sees it, not this crate.
    MembersResent: "members_resent", ["scim-for-keycloak"], "Captaingoldfish/scim-for-keycloak";
    /// Somebody who never was is added to a group by PATCH, with others or alone. The server sees it, not this crate.
    UnknownMember: "unknown_member", ["scim-sanity"], "scim-sanity 0.7.4 (PyPI), strict probe, phase 3";
    /// Dangling `&` and `?` in the query string. The server sees it, not this crate.
    DanglingQuery: "dangling_query", ["OneLogin"], "goauthentik/authentik #11249";
}

impl Quirk {
    /// The quirk with that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|quirk| quirk.word() == word)
    }
}
