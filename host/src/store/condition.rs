//! Filters as conditions on columns. Pure: from a SCIM filter to what an index or a column can tell.
//!
//! A filter that can't be told by columns compiles to a condition that every match fulfils (often "always"); the rest is
//! then decided by [`Filter::matches`], which is the one meaning of a filter.

use rolecall_scim::ResourceKind;
use rolecall_scim::filter::{Filter, Literal, Op, Test, compared, fold, instant};
use rolecall_scim::path::AttrPath;
use rolecall_scim::schema::{Resolved, Schemas};
use rolecall_scim::sort::Sort;

/// Microseconds in the millisecond that clients see: `meta` is shown in milliseconds and stored in microseconds.
const SHOWN: i64 = 1_000;

/// What the columns of a resource can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Of every resource.
    Always,
    /// Of none.
    Never,
    /// Of what both are told of.
    And(Box<Condition>, Box<Condition>),
    /// Of what either is told of.
    Or(Box<Condition>, Box<Condition>),
    /// Of what the other is not told of, or where nobody knows.
    Not(Box<Condition>),
    /// A text column has the value.
    Text(TextColumn, String),
    /// A text column compares like that with the value: by bytes, as folded texts do in memory.
    Compare(TextColumn, TextOp, String),
    /// A text column has a value that is not empty (RFC 7644 §3.4.2.2, `pr`).
    Present(TextColumn),
    /// `active` was said to be that.
    Active(bool),
    /// An instant is in `from..until`.
    Between(InstantColumn, i64, i64),
    /// A user with that e-mail address (folded).
    Email(String),
    /// A group with that member.
    HasMember(String),
    /// A user below that group.
    InGroup(String),
}

/// A column that holds a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextColumn {
    Id,
    ExternalId,
    UserName,
    DisplayName,
}

impl TextColumn {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::ExternalId => "external_id",
            Self::UserName => "user_name",
            Self::DisplayName => "display_name",
        }
    }
}

/// How a text column compares. Of a column without a value nothing is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextOp {
    Contains,
    StartsWith,
    EndsWith,
    Gt,
    Ge,
    Lt,
    Le,
}

/// What a listing can be sorted by in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SortColumn {
    Id,
    Text(TextColumn),
    Instant(InstantColumn),
}

/// The column that orders resources of these kinds as [`Sort::key`] does; `None` where there is none for one of them.
pub(super) fn sort_column(schemas: &Schemas, kinds: &[ResourceKind], sort: Option<&Sort>) -> Option<SortColumn> {
    let Some(sort) = sort else { return Some(SortColumn::Id) };
    let mut found = None;
    for &kind in kinds {
        // A kind without the attribute has no value in the column either, and comes last.
        let Some(resolved) = compared(schemas, kind, &sort.path) else { continue };
        let column = match (resolved.attribute.name.as_str(), resolved.sub.map(|sub| sub.name.as_str())) {
            _ if resolved.extension.is_some() => None,
            ("id", None) => Some(SortColumn::Id),
            ("externalId", None) => Some(SortColumn::Text(TextColumn::ExternalId)),
            ("userName", None) => Some(SortColumn::Text(TextColumn::UserName)),
            ("displayName", None) => Some(SortColumn::Text(TextColumn::DisplayName)),
            ("meta", Some("created")) => Some(SortColumn::Instant(InstantColumn::Created)),
            ("meta", Some("lastModified")) => Some(SortColumn::Instant(InstantColumn::Modified)),
            _ => None,
        }?;
        if found.is_some_and(|found| found != column) {
            return None;
        }
        found = Some(column);
    }
    found
}

/// A column that holds an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstantColumn {
    Created,
    Modified,
}

impl InstantColumn {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Modified => "modified",
        }
    }
}

/// A filter as far as columns tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Compiled {
    /// Fulfilled by every match.
    pub(super) condition: Condition,
    /// Whether fulfilling it is also enough.
    pub(super) exact: bool,
}

impl Compiled {
    fn exact(condition: Condition) -> Self {
        Self { condition, exact: true }
    }

    /// Nothing is known: everything has to be looked at.
    fn unknown() -> Self {
        Self { condition: Condition::Always, exact: false }
    }

    fn necessary(self) -> Self {
        Self { exact: false, ..self }
    }
}

/// Compiles a filter on resources of a kind.
pub(super) fn compile(schemas: &Schemas, kind: ResourceKind, filter: &Filter) -> Compiled {
    match filter {
        Filter::And(a, b) => {
            let (a, b) = (compile(schemas, kind, a), compile(schemas, kind, b));
            Compiled { exact: a.exact && b.exact, condition: and(a.condition, b.condition) }
        }
        Filter::Or(a, b) => {
            let (a, b) = (compile(schemas, kind, a), compile(schemas, kind, b));
            Compiled { exact: a.exact && b.exact, condition: or(a.condition, b.condition) }
        }
        Filter::Not(inner) => match compile(schemas, kind, inner) {
            Compiled { condition, exact: true } => Compiled::exact(not(condition)),
            // The complement of a necessary condition is no necessary condition of the complement.
            _ => Compiled::unknown(),
        },
        Filter::Test(path, test) => match compared(schemas, kind, path) {
            Some(resolved) => compile_test(kind, &resolved, test),
            None => compile_absent(test),
        },
        Filter::Values { attribute, filter, then } => {
            let Some(resolved) = schemas.resolve(kind, attribute) else { return Compiled::exact(Condition::Never) };
            let behind = match then {
                Some((sub, test)) if sub.eq_ignore_ascii_case("value") => compile_values(&resolved, test).necessary(),
                _ => Compiled::unknown(),
            };
            let inside = compile_value_filter(&resolved, filter);
            if then.is_none() { inside } else { Compiled { condition: and(inside.condition, behind.condition), exact: false } }
        }
    }
}

/// Whether deciding the filter in memory needs the rows beside the document: members of a group, groups of a user.
pub(super) fn reads_rows(filter: &Filter) -> bool {
    let is_row = |path: &AttrPath| ["members", "groups"].iter().any(|name| path.name.eq_ignore_ascii_case(name));
    match filter {
        Filter::And(a, b) | Filter::Or(a, b) => reads_rows(a) || reads_rows(b),
        Filter::Not(inner) => reads_rows(inner),
        Filter::Test(path, _) => is_row(path),
        Filter::Values { attribute, .. } => is_row(attribute),
    }
}

fn and(a: Condition, b: Condition) -> Condition {
    match (a, b) {
        (Condition::Never, _) | (_, Condition::Never) => Condition::Never,
        (Condition::Always, other) | (other, Condition::Always) => other,
        (a, b) => Condition::And(a.into(), b.into()),
    }
}

fn or(a: Condition, b: Condition) -> Condition {
    match (a, b) {
        (Condition::Always, _) | (_, Condition::Always) => Condition::Always,
        (Condition::Never, other) | (other, Condition::Never) => other,
        (a, b) => Condition::Or(a.into(), b.into()),
    }
}

fn not(condition: Condition) -> Condition {
    match condition {
        Condition::Always => Condition::Never,
        Condition::Never => Condition::Always,
        Condition::Not(inner) => *inner,
        other => Condition::Not(other.into()),
    }
}

/// A test of what a kind of resource does not have (RFC 7644 §3.4.2.1): it counts as absent.
fn compile_absent(test: &Test) -> Compiled {
    let holds = match test {
        Test::Present => false,
        Test::Compare(op, Literal::Null) => *op == Op::Eq,
        Test::Compare(op, _) => *op == Op::Ne,
    };
    Compiled::exact(if holds { Condition::Always } else { Condition::Never })
}

fn compile_test(kind: ResourceKind, resolved: &Resolved<'_>, test: &Test) -> Compiled {
    if resolved.extension.is_some() {
        return Compiled::unknown();
    }
    let text = |column: TextColumn, folded: bool| match test {
        Test::Present => Compiled::exact(Condition::Present(column)),
        Test::Compare(op, Literal::Text(value)) => compile_text(column, *op, if folded { fold(value) } else { value.clone() }),
        Test::Compare(Op::Eq, Literal::Null) => Compiled::exact(not(Condition::Present(column))),
        Test::Compare(Op::Ne, Literal::Null) => Compiled::exact(Condition::Present(column)),
        Test::Compare(..) => Compiled::unknown(),
    };
    match (kind, resolved.attribute.name.as_str(), resolved.sub.map(|sub| sub.name.as_str())) {
        (_, "id", None) => text(TextColumn::Id, false),
        (_, "externalId", None) => text(TextColumn::ExternalId, false),
        (ResourceKind::User, "userName", None) => text(TextColumn::UserName, true),
        (_, "displayName", None) => text(TextColumn::DisplayName, true),
        (ResourceKind::User, "active", None) => match test {
            Test::Present => Compiled::exact(or(Condition::Active(true), Condition::Active(false))),
            Test::Compare(Op::Eq, Literal::Bool(value)) => Compiled::exact(Condition::Active(*value)),
            Test::Compare(Op::Ne, Literal::Bool(value)) => Compiled::exact(not(Condition::Active(*value))),
            Test::Compare(..) => Compiled::unknown(),
        },
        (_, "meta", Some("resourceType")) => match test {
            Test::Compare(Op::Eq, Literal::Text(value)) => {
                Compiled::exact(if value == kind.name() { Condition::Always } else { Condition::Never })
            }
            _ => Compiled::unknown(),
        },
        (_, "meta", Some("created")) => compile_instant(InstantColumn::Created, test),
        (_, "meta", Some("lastModified")) => compile_instant(InstantColumn::Modified, test),
        (_, _, Some("value")) => compile_values(resolved, test),
        _ => Compiled::unknown(),
    }
}

/// A text without NUL, which no stored text has (and which PostgreSQL refuses to be asked about).
fn text_condition(value: &str, condition: impl FnOnce(&str) -> Condition) -> Compiled {
    Compiled::exact(if value.contains('\0') { Condition::Never } else { condition(value) })
}

/// A comparison of a text column with a value that is folded as the column is.
fn compile_text(column: TextColumn, op: Op, value: String) -> Compiled {
    let compare = |op| move |value: &str| Condition::Compare(column, op, value.to_owned());
    match op {
        Op::Eq => text_condition(&value, |value| Condition::Text(column, value.to_owned())),
        Op::Ne if value.contains('\0') => Compiled::exact(Condition::Always),
        Op::Ne => Compiled::exact(not(Condition::Text(column, value))),
        Op::Contains => text_condition(&value, compare(TextOp::Contains)),
        Op::StartsWith => text_condition(&value, compare(TextOp::StartsWith)),
        Op::EndsWith => text_condition(&value, compare(TextOp::EndsWith)),
        // An order has an answer for what no database can be asked about.
        _ if value.contains('\0') => Compiled::unknown(),
        Op::Gt => Compiled::exact(Condition::Compare(column, TextOp::Gt, value)),
        Op::Ge => Compiled::exact(Condition::Compare(column, TextOp::Ge, value)),
        Op::Lt => Compiled::exact(Condition::Compare(column, TextOp::Lt, value)),
        Op::Le => Compiled::exact(Condition::Compare(column, TextOp::Le, value)),
    }
}

/// `emails.value eq`, `members.value eq`, `groups.value eq`: some value is that.
fn compile_values(resolved: &Resolved<'_>, test: &Test) -> Compiled {
    let Test::Compare(Op::Eq, Literal::Text(value)) = test else { return Compiled::unknown() };
    match resolved.attribute.name.as_str() {
        _ if resolved.extension.is_some() => Compiled::unknown(),
        "emails" => text_condition(value, |value| Condition::Email(fold(value))),
        "members" => text_condition(value, |value| Condition::HasMember(value.to_owned())),
        "groups" => text_condition(value, |value| Condition::InGroup(value.to_owned())),
        _ => Compiled::unknown(),
    }
}

/// What is between the brackets of `emails[…]`: some value fulfils all of it.
fn compile_value_filter(resolved: &Resolved<'_>, filter: &Filter) -> Compiled {
    match filter {
        Filter::Test(path, test) if path.urn.is_none() && path.sub.is_none() && path.name.eq_ignore_ascii_case("value") => {
            compile_values(resolved, test)
        }
        // Two tests of one value: each is necessary, but different values could fulfil them.
        Filter::And(a, b) => {
            let (a, b) = (compile_value_filter(resolved, a), compile_value_filter(resolved, b));
            Compiled { condition: and(a.condition, b.condition), exact: false }
        }
        Filter::Or(a, b) => {
            let (a, b) = (compile_value_filter(resolved, a), compile_value_filter(resolved, b));
            Compiled { exact: a.exact && b.exact, condition: or(a.condition, b.condition) }
        }
        _ => Compiled::unknown(),
    }
}

/// Comparisons with what is *shown*: the stored microseconds cut to milliseconds.
fn compile_instant(column: InstantColumn, test: &Test) -> Compiled {
    let (op, text) = match test {
        Test::Present => return Compiled::exact(Condition::Always),
        Test::Compare(op, Literal::Text(text)) => (*op, text),
        Test::Compare(..) => return Compiled::unknown(),
    };
    let Some(at) = instant(text) else { return Compiled::unknown() };
    let floor = |nanos: i128| i64::try_from(nanos.div_euclid(1_000 * i128::from(SHOWN))).unwrap_or(i64::MAX).saturating_mul(SHOWN);
    let nanos = at.as_nanos();
    let down = floor(nanos);
    let is_shown = i128::from(down) * 1_000 == nanos;
    let after = down.saturating_add(SHOWN);
    let up = if is_shown { down } else { after };
    match op {
        Op::Gt => Compiled::exact(Condition::Between(column, after, i64::MAX)),
        Op::Ge => Compiled::exact(Condition::Between(column, up, i64::MAX)),
        Op::Lt => Compiled::exact(Condition::Between(column, i64::MIN, up)),
        Op::Le => Compiled::exact(Condition::Between(column, i64::MIN, after)),
        Op::Eq if is_shown => Compiled::exact(Condition::Between(column, down, after)),
        Op::Eq => Compiled::exact(Condition::Never),
        Op::Ne | Op::Contains | Op::StartsWith | Op::EndsWith => Compiled::unknown(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(path: &str, op: Op, value: Literal) -> Filter {
        let (name, sub) = path.split_once('.').map_or((path, None), |(name, sub)| (name, Some(sub.to_owned())));
        Filter::Test(AttrPath { urn: None, name: name.into(), sub }, Test::Compare(op, value))
    }

    fn eq(path: &str, value: &str) -> Filter {
        test(path, Op::Eq, Literal::Text(value.into()))
    }

    fn check(filter: &Filter, expect: &str) {
        let Compiled { condition, exact } = compile(&Schemas::default(), ResourceKind::User, filter);
        assert_eq!(format!("{}{condition:?}", if exact { "= " } else { "⊆ " }), expect);
    }

    #[test]
    fn columns_tell_what_they_can() {
        check(&eq("USERNAME", "Ana"), r#"= Text(UserName, "ana")"#);
        check(&eq("externalId", "Ana"), r#"= Text(ExternalId, "Ana")"#);
        check(&eq("emails.value", "Ana@example.com"), r#"= Email("ana@example.com")"#);
        check(&eq("nickName", "Ana"), "⊆ Always");
        check(&eq("userName", "a\0"), "= Never");
        check(&test("active", Op::Eq, Literal::Bool(false)), "= Active(false)");
        check(&test("userName", Op::Eq, Literal::Bool(true)), "⊆ Always");
        check(&Filter::Not(Box::new(eq("userName", "ana"))), r#"= Not(Text(UserName, "ana"))"#);
        check(&Filter::Not(Box::new(eq("nickName", "ana"))), "⊆ Always");
        check(&test("userName", Op::Ne, Literal::Text("ANA".into())), r#"= Not(Text(UserName, "ana"))"#);
        check(&test("userName", Op::StartsWith, Literal::Text("ANA".into())), r#"= Compare(UserName, StartsWith, "ana")"#);
        check(&test("userName", Op::Lt, Literal::Text("a\0".into())), "⊆ Always");
        check(&eq("meta.resourceType", "Group"), "= Never");
        check(&Filter::And(eq("nickName", "x").into(), eq("userName", "ana").into()), r#"⊆ Text(UserName, "ana")"#);
        check(&Filter::Or(eq("nickName", "x").into(), eq("userName", "ana").into()), "⊆ Always");
    }

    #[test]
    fn value_paths_are_necessary_conditions() {
        let emails = AttrPath { urn: None, name: "emails".into(), sub: None };
        let values = |filter: Filter, then| Filter::Values { attribute: emails.clone(), filter: filter.into(), then };
        check(&values(eq("value", "A@example.com"), None), r#"= Email("a@example.com")"#);
        let work = Filter::And(eq("type", "work").into(), eq("value", "a@example.com").into());
        check(&values(work, None), r#"⊆ Email("a@example.com")"#);
        let then = Some(("value".to_owned(), Test::Compare(Op::Eq, Literal::Text("a@example.com".into()))));
        check(&values(eq("type", "work"), then), r#"⊆ Email("a@example.com")"#);
    }

    #[test]
    fn instants_are_compared_as_they_are_shown() {
        let shown = |op| test("meta.lastModified", op, Literal::Text("1970-01-01T00:00:00.002Z".into()));
        check(&shown(Op::Gt), "= Between(Modified, 3000, 9223372036854775807)");
        check(&shown(Op::Ge), "= Between(Modified, 2000, 9223372036854775807)");
        check(&shown(Op::Lt), "= Between(Modified, -9223372036854775808, 2000)");
        check(&shown(Op::Le), "= Between(Modified, -9223372036854775808, 3000)");
        check(&shown(Op::Eq), "= Between(Modified, 2000, 3000)");
        let finer = |op| test("meta.created", op, Literal::Text("1970-01-01T00:00:00.0025Z".into()));
        check(&finer(Op::Ge), "= Between(Created, 3000, 9223372036854775807)");
        check(&finer(Op::Lt), "= Between(Created, -9223372036854775808, 3000)");
        check(&finer(Op::Eq), "= Never");
    }
}
