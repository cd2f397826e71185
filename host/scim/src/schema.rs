//! Schemas and attribute characteristics (RFC 7643 §2, §4, §7): the one list of attributes.
//!
//! Validation, filters, PATCH, projection and discovery are all made from it; a tenant's extension
//! schemas join it.

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::ResourceKind;
use crate::path::AttrPath;

/// The core User schema (RFC 7643 §4.1).
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The core Group schema (RFC 7643 §4.2).
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// The enterprise extension (RFC 7643 §4.3).
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// An attribute's data type (RFC 7643 §2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Type {
    /// Text.
    #[default]
    String,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Decimal,
    /// A whole number.
    Integer,
    /// An instant, `xsd:dateTime`.
    DateTime,
    /// Base64.
    Binary,
    /// A URI.
    Reference,
    /// Sub-attributes.
    Complex,
}

/// Who may write it (RFC 7643 §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mutability {
    /// The server alone.
    ReadOnly,
    /// The client, at any time.
    #[default]
    ReadWrite,
    /// The client, once.
    Immutable,
    /// The client; never read.
    WriteOnly,
}

/// When it is returned (RFC 7643 §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Returned {
    /// Always.
    Always,
    /// Never.
    Never,
    /// Unless left out.
    #[default]
    Default,
    /// When asked for.
    Request,
}

/// In how far values are unique (RFC 7643 §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Uniqueness {
    /// Not.
    #[default]
    None,
    /// Within the connection.
    Server,
    /// Everywhere.
    Global,
}

/// An attribute with its characteristics (RFC 7643 §7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Attribute {
    /// The name, in the schema's case.
    pub name: String,
    /// The data type.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Whether it has many values.
    pub multi_valued: bool,
    /// For people.
    pub description: String,
    /// Whether it must be there.
    pub required: bool,
    /// Suggested values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub canonical_values: Vec<String>,
    /// Whether case matters in comparisons.
    pub case_exact: bool,
    /// Who may write it.
    pub mutability: Mutability,
    /// When it is returned.
    pub returned: Returned,
    /// In how far values are unique.
    pub uniqueness: Uniqueness,
    /// What a reference may refer to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reference_types: Vec<String>,
    /// The parts of a complex attribute.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sub_attributes: Vec<Attribute>,
}

impl Attribute {
    fn new(name: &str, kind: Type, description: &str) -> Self {
        Self { name: name.into(), kind, description: description.into(), ..Self::default() }
    }
    fn exact(mut self) -> Self {
        self.case_exact = true;
        self
    }
    fn required(mut self) -> Self {
        self.required = true;
        self
    }
    fn read_only(mut self) -> Self {
        self.mutability = Mutability::ReadOnly;
        self
    }
    fn immutable(mut self) -> Self {
        self.mutability = Mutability::Immutable;
        self
    }
    fn many(mut self) -> Self {
        self.multi_valued = true;
        self
    }
    fn refers(mut self, to: &[&str]) -> Self {
        self.reference_types = to.iter().map(|&t| t.into()).collect();
        self
    }
    fn parts(mut self, parts: Vec<Attribute>) -> Self {
        self.sub_attributes = parts;
        self
    }

    /// Whether what a client writes is kept: read-only attributes are the server's, and what is only ever written is dropped.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        !matches!(self.mutability, Mutability::ReadOnly | Mutability::WriteOnly)
    }

    /// The sub-attribute with that name, in any case.
    #[must_use]
    pub fn sub(&self, name: &str) -> Option<&Attribute> {
        self.sub_attributes.iter().find(|sub| sub.name.eq_ignore_ascii_case(name))
    }
}

/// A schema (RFC 7643 §7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Its URN.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
}

impl Schema {
    /// The attribute with that name, in any case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    }
}

/// What an attribute path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// The extension's URN; `None` for core and common attributes.
    pub extension: Option<&'a str>,
    /// The attribute.
    pub attribute: &'a Attribute,
    /// The sub-attribute, when the path names one.
    pub sub: Option<&'a Attribute>,
}

impl Resolved<'_> {
    /// The innermost attribute that the path names.
    #[must_use]
    pub fn leaf(&self) -> &Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

/// Every schema that a connection knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schemas {
    user: Arc<Schema>,
    group: Arc<Schema>,
    common: Arc<[Attribute]>,
    extensions: Vec<Arc<Schema>>,
}

/// The standard schemas, which all share.
impl Default for Schemas {
    fn default() -> Self {
        static STANDARD: LazyLock<Schemas> = LazyLock::new(|| Schemas {
            user: Arc::new(user()),
            group: Arc::new(group()),
            common: common().into(),
            extensions: vec![Arc::new(enterprise())],
        });
        STANDARD.clone()
    }
}

impl Schemas {
    /// The standard schemas alone: made once, because most tenants have no others.
    #[must_use]
    pub fn standard() -> Arc<Self> {
        static STANDARD: LazyLock<Arc<Schemas>> = LazyLock::new(Arc::default);
        Arc::clone(&STANDARD)
    }

    /// The standard schemas and a tenant's own extensions of User.
    ///
    /// # Errors
    /// A sentence when an extension's URN is malformed or taken, an attribute is named twice or malformed, is said to be unique
    /// (which nothing would enforce), or parts stand where there can be none.
    pub fn with_extensions(extensions: Vec<Schema>) -> Result<Self, String> {
        let mut schemas = Self::default();
        for mut extension in extensions {
            let id = &extension.id;
            if !id.to_ascii_lowercase().starts_with("urn:") || id.ends_with(':') || !id.chars().all(is_urn_char) {
                return Err(format!("schema id `{id}` must be a URN"));
            }
            if schemas.all().any(|known| known.id.eq_ignore_ascii_case(id)) {
                return Err(format!("schema `{id}` is there already"));
            }
            check_names(id, &extension.attributes)?;
            let mut all = extension.attributes.iter().flat_map(|attribute| std::iter::once(attribute).chain(&attribute.sub_attributes));
            if let Some(attribute) = all.find(|attribute| attribute.uniqueness != Uniqueness::None) {
                return Err(format!("schema `{id}`: `{}` can't be unique: leave `uniqueness` at none", attribute.name));
            }
            for attribute in &extension.attributes {
                check_names(id, &attribute.sub_attributes)?;
                // RFC 7643 §2.3.8: a complex attribute has parts, which are not complex themselves.
                let complex = attribute.kind == Complex;
                let nested = attribute.sub_attributes.iter().any(|part| part.kind == Complex || !part.sub_attributes.is_empty());
                if nested || complex == attribute.sub_attributes.is_empty() {
                    return Err(format!("schema `{id}`: `{}` needs parts exactly if it is complex, and parts have none", attribute.name));
                }
            }
            exact_by_type(&mut extension.attributes);
            schemas.extensions.push(Arc::new(extension));
        }
        Ok(schemas)
    }

    /// Every schema: User, Group, extensions.
    pub fn all(&self) -> impl Iterator<Item = &Schema> {
        [&self.user, &self.group].into_iter().chain(&self.extensions).map(Arc::as_ref)
    }

    /// The core schema of a kind.
    #[must_use]
    pub fn core(&self, kind: ResourceKind) -> &Schema {
        match kind {
            ResourceKind::User => &self.user,
            ResourceKind::Group => &self.group,
        }
    }

    /// The extensions of a kind (only users have any).
    #[must_use]
    pub fn extensions(&self, kind: ResourceKind) -> &[Arc<Schema>] {
        match kind {
            ResourceKind::User => &self.extensions,
            ResourceKind::Group => &[],
        }
    }

    /// The extension with that URN, in any case.
    #[must_use]
    pub fn extension(&self, kind: ResourceKind, urn: &str) -> Option<&Schema> {
        self.extensions(kind).iter().find(|schema| schema.id.eq_ignore_ascii_case(urn)).map(Arc::as_ref)
    }

    /// The known URN that `text` begins with, followed by `:` or the end; the longest one.
    #[must_use]
    pub fn leading_urn<'t>(&self, text: &'t str) -> Option<(&'t str, &'t str)> {
        self.all()
            .filter_map(|schema| {
                let head = text.get(..schema.id.len())?;
                let rest = &text[schema.id.len()..];
                let ends = rest.is_empty() || rest.starts_with(':');
                (ends && head.eq_ignore_ascii_case(&schema.id)).then(|| (head, rest.strip_prefix(':').unwrap_or(rest)))
            })
            .max_by_key(|(head, _)| head.len())
    }

    /// A core or common attribute by name.
    #[must_use]
    pub fn attribute(&self, kind: ResourceKind, name: &str) -> Option<&Attribute> {
        self.core(kind).attribute(name).or_else(|| self.common.iter().find(|a| a.name.eq_ignore_ascii_case(name)))
    }

    /// The one extension attribute with that name: RFC 7644 §3.10 only recommends the URN in front of it.
    fn extended(&self, kind: ResourceKind, name: &str) -> Option<(&str, &Attribute)> {
        let mut found = self.extensions(kind).iter().filter_map(|schema| Some((schema.id.as_str(), schema.attribute(name)?)));
        found.next().filter(|_| found.next().is_none())
    }

    /// What a path means for a kind of resource; `None` when it names nothing. An extension's attribute
    /// is found without its URN where the name is unambiguous.
    #[must_use]
    pub fn resolve(&self, kind: ResourceKind, path: &AttrPath) -> Option<Resolved<'_>> {
        let (extension, attribute) = match &path.urn {
            None => match self.attribute(kind, &path.name) {
                Some(attribute) => (None, attribute),
                None => self.extended(kind, &path.name).map(|(urn, attribute)| (Some(urn), attribute))?,
            },
            Some(urn) if urn.eq_ignore_ascii_case(&self.core(kind).id) => (None, self.attribute(kind, &path.name)?),
            Some(urn) => {
                let schema = self.extension(kind, urn)?;
                (Some(schema.id.as_str()), schema.attribute(&path.name)?)
            }
        };
        let sub = match &path.sub {
            None => None,
            Some(name) => Some(attribute.sub(name)?),
        };
        Some(Resolved { extension, attribute, sub })
    }

    /// What a path means for the first of several kinds that has it; a core or common attribute comes before an
    /// extension's attribute that is named without its URN.
    #[must_use]
    pub fn resolve_any(&self, kinds: &[ResourceKind], path: &AttrPath) -> Option<Resolved<'_>> {
        let found = || kinds.iter().filter_map(|&kind| self.resolve(kind, path));
        found().find(|found| found.extension.is_none()).or_else(|| found().next())
    }
}

/// Characters of a URN that no filter or path gives a meaning.
fn is_urn_char(c: char) -> bool {
    c.is_ascii_graphic() && !"()[]\"\\".contains(c)
}

/// RFC 7643 §2.3.6, §2.3.7: bytes and references are case exact, whatever a schema says.
fn exact_by_type(attributes: &mut [Attribute]) {
    for attribute in attributes {
        attribute.case_exact |= matches!(attribute.kind, Binary | Reference);
        exact_by_type(&mut attribute.sub_attributes);
    }
}

fn check_names(schema: &str, attributes: &[Attribute]) -> Result<(), String> {
    for (i, attribute) in attributes.iter().enumerate() {
        if !crate::path::is_name(&attribute.name) {
            return Err(format!("schema `{schema}`: `{}` is no attribute name", attribute.name));
        }
        if attributes[..i].iter().any(|other| other.name.eq_ignore_ascii_case(&attribute.name)) {
            return Err(format!("schema `{schema}` names `{}` twice", attribute.name));
        }
    }
    Ok(())
}

use Type::{Binary, Boolean, Complex, DateTime, Reference, String as Text};

fn multi(name: &str, description: &str, value: Attribute, types: &[&str]) -> Attribute {
    let kind =
        Attribute { canonical_values: types.iter().map(|&t| t.into()).collect(), ..Attribute::new("type", Text, "What the value is for.") };
    Attribute::new(name, Complex, description).many().parts(vec![
        value,
        Attribute::new("display", Text, "A name for people."),
        kind,
        Attribute::new("primary", Boolean, "Whether this is the preferred value."),
    ])
}

fn common() -> Vec<Attribute> {
    let mut id = Attribute::new("id", Text, "The server's identifier of the resource.").exact().read_only();
    id.returned = Returned::Always;
    id.uniqueness = Uniqueness::Server;
    let mut schemas = Attribute::new("schemas", Reference, "The schemas that the resource uses.").exact().many();
    schemas.returned = Returned::Always;
    vec![
        id,
        schemas,
        Attribute::new("externalId", Text, "The client's identifier of the resource.").exact(),
        Attribute::new("meta", Complex, "What the server keeps about the resource.").read_only().parts(vec![
            Attribute::new("resourceType", Text, "User or Group.").exact().read_only(),
            Attribute::new("created", DateTime, "When it was created.").read_only(),
            Attribute::new("lastModified", DateTime, "When it was last changed.").read_only(),
            Attribute::new("location", Reference, "Its URI.").exact().read_only(),
            Attribute::new("version", Text, "Its entity tag.").exact().read_only(),
        ]),
    ]
}

fn user() -> Schema {
    let mut user_name = Attribute::new("userName", Text, "The login name at the identity provider.").required();
    user_name.uniqueness = Uniqueness::Server;
    let mut password = Attribute::new("password", Text, "Accepted and dropped: sign-in is the identity provider's.");
    password.mutability = Mutability::WriteOnly;
    password.returned = Returned::Never;
    let name = Attribute::new("name", Complex, "The parts of the person's name.").parts(
        [
            ("formatted", "The whole name."),
            ("familyName", "The family name."),
            ("givenName", "The given name."),
            ("middleName", "The middle names."),
            ("honorificPrefix", "A title before the name."),
            ("honorificSuffix", "A suffix behind the name."),
        ]
        .map(|(name, text)| Attribute::new(name, Text, text))
        .into(),
    );
    let address = Attribute::new("addresses", Complex, "Postal addresses.").many().parts(
        ["formatted", "streetAddress", "locality", "region", "postalCode", "country"]
            .map(|part| Attribute::new(part, Text, "A part of the address."))
            .into_iter()
            .chain([
                Attribute {
                    canonical_values: ["work", "home", "other"].map(Into::into).into(),
                    ..Attribute::new("type", Text, "What it is for.")
                },
                Attribute::new("primary", Boolean, "Whether this is the preferred address."),
            ])
            .collect(),
    );
    let groups =
        Attribute::new("groups", Complex, "The groups that the user is in; changed through the groups.").many().read_only().parts(vec![
            Attribute::new("value", Text, "The group's id.").exact().read_only(),
            Attribute::new("$ref", Reference, "The group's URI.").exact().read_only().refers(&["User", "Group"]),
            Attribute::new("display", Text, "The group's name.").read_only(),
            Attribute {
                canonical_values: ["direct", "indirect"].map(Into::into).into(),
                ..Attribute::new("type", Text, "direct or indirect.").read_only()
            },
        ]);
    let text = |name: &str, description: &str| Attribute::new(name, Text, description);
    let value = |description: &str| Attribute::new("value", Text, description);
    Schema {
        id: USER.into(),
        name: "User".into(),
        description: "A person's account at the identity provider".into(),
        attributes: vec![
            user_name,
            name,
            text("displayName", "The name to show."),
            text("nickName", "What the person is called."),
            Attribute::new("profileUrl", Reference, "The person's page.").refers(&["external"]),
            text("title", "The job title."),
            text("userType", "Employee, contractor …"),
            text("preferredLanguage", "A language tag."),
            text("locale", "For dates, numbers and currency."),
            text("timezone", "An IANA time zone."),
            Attribute::new("active", Boolean, "Whether the person may use the platform."),
            password,
            multi("emails", "E-mail addresses.", value("The address."), &["work", "home", "other"]),
            multi("phoneNumbers", "Telephone numbers.", value("The number."), &["work", "home", "mobile", "fax", "pager", "other"]),
            multi(
                "ims",
                "Instant messaging addresses.",
                value("The address."),
                &["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"],
            ),
            multi(
                "photos",
                "Pictures.",
                Attribute::new("value", Reference, "The picture's URL.").exact().refers(&["external"]),
                &["photo", "thumbnail"],
            ),
            address,
            groups,
            multi("entitlements", "Entitlements at the identity provider.", value("The entitlement."), &[]),
            multi("roles", "Roles at the identity provider.", value("The role."), &[]),
            multi("x509Certificates", "Certificates.", Attribute::new("value", Binary, "DER, in Base64.").exact(), &[]),
        ],
    }
}

fn group() -> Schema {
    // On request: it follows the member's own name, so that a client that compares what it wrote with what it reads would find
    // something that it never wrote (RFC 7643 §8.7.1 has no such part).
    let display = Attribute { returned: Returned::Request, ..Attribute::new("display", Text, "The member's name.").read_only() };
    let members = Attribute::new("members", Complex, "Users and groups in this group.").many().parts(vec![
        Attribute::new("value", Text, "The member's id.").exact().immutable(),
        Attribute::new("$ref", Reference, "The member's URI.").exact().immutable().refers(&["User", "Group"]),
        display,
        Attribute { canonical_values: vec!["User".into(), "Group".into()], ..Attribute::new("type", Text, "User or Group.").immutable() },
    ]);
    Schema {
        id: GROUP.into(),
        name: "Group".into(),
        description: "A group at the identity provider".into(),
        attributes: vec![Attribute::new("displayName", Text, "The group's name.").required(), members],
    }
}

fn enterprise() -> Schema {
    let text = |name: &str, description: &str| Attribute::new(name, Text, description);
    Schema {
        id: ENTERPRISE.into(),
        name: "EnterpriseUser".into(),
        description: "What organisations keep about their people".into(),
        attributes: vec![
            text("employeeNumber", "The person's number in the organisation."),
            text("costCenter", "The cost centre."),
            text("organization", "The organisation."),
            text("division", "The division."),
            text("department", "The department."),
            Attribute::new("manager", Complex, "The person's manager.").parts(vec![
                Attribute::new("value", Text, "The manager's id.").exact(),
                Attribute::new("$ref", Reference, "The manager's URI.").exact().refers(&["User"]),
                text("displayName", "The manager's name.").read_only(),
            ]),
        ],
    }
}
