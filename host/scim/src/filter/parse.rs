//! The grammar of filters (RFC 7644 §3.4.2.2), by recursive descent, checked against the schemas on the way.
//! Knows nothing of resources.
//!
//! Time grows with the text's length alone: every character is looked at a bounded number of times.

use super::{FILTER_DEPTH_LIMIT, Filter, Literal, Op, Test, default_part, instant};
use crate::path::{AttrPath, is_name, shown};
use crate::schema::{Attribute, Mutability, Returned, Schemas, Type};
use crate::{Quirk, ResourceKind, ScimError};

/// What the attribute names of a filter refer to.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// The attributes of resources of these kinds: what one of them has can be named.
    Resources(&'a [ResourceKind]),
    /// The parts of an attribute's values.
    Values(&'a Attribute),
    /// The values of an attribute that no schema has: nothing can be checked.
    Unknown,
}

pub(crate) struct Parser<'a> {
    schemas: &'a Schemas,
    text: &'a str,
    at: usize,
    depth: usize,
    /// The client quirks that were met, each once.
    pub(crate) quirks: Vec<Quirk>,
}

/// A literal as it stands in the text.
enum Raw<'a> {
    Quoted(String),
    Bare(&'a str),
}

impl<'a> Parser<'a> {
    pub(crate) fn new(schemas: &'a Schemas, text: &'a str) -> Self {
        Self { schemas, text, at: 0, depth: 0, quirks: Vec::new() }
    }

    /// A filter that is the whole text.
    pub(crate) fn whole(&mut self, scope: Scope<'a>) -> Result<Filter, ScimError> {
        let filter = self.or(scope)?;
        self.space();
        if self.at_end() { Ok(filter) } else { Err(self.expected("`and`, `or` or the end")) }
    }

    /// A filter and the closing bracket behind it.
    pub(crate) fn bracketed(&mut self, scope: Scope<'a>) -> Result<Filter, ScimError> {
        self.nested(scope, ']')
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(crate) fn at_end(&self) -> bool {
        self.rest().is_empty()
    }

    pub(crate) fn eat(&mut self, c: char) -> bool {
        let eaten = self.rest().starts_with(c);
        if eaten {
            self.at += c.len_utf8();
        }
        eaten
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// A word: everything up to a space, a bracket, a parenthesis or a quote.
    pub(crate) fn token(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || "()[]\"".contains(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Where the parser is, counted in characters from 1.
    pub(crate) fn column(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    fn expected(&self, what: &str) -> ScimError {
        ScimError::invalid_filter(format!("filter, column {}: expected {what}", self.column()))
    }

    fn quirk(&mut self, quirk: Quirk) {
        if !self.quirks.contains(&quirk) {
            self.quirks.push(quirk);
        }
    }

    fn or(&mut self, scope: Scope<'a>) -> Result<Filter, ScimError> {
        let mut operands = vec![self.and(scope)?];
        while self.joined_by("or") {
            operands.push(self.and(scope)?);
        }
        Ok(join(operands, Join::Or))
    }

    fn and(&mut self, scope: Scope<'a>) -> Result<Filter, ScimError> {
        let mut operands = vec![self.term(scope)?];
        while self.joined_by("and") {
            operands.push(self.term(scope)?);
        }
        Ok(join(operands, Join::And))
    }

    /// Eats a logical operator, which stands apart from what is before it.
    fn joined_by(&mut self, word: &str) -> bool {
        let before = self.at;
        self.space();
        let apart = self.at > before || self.text[..before].ends_with([')', ']']);
        if apart && self.token().eq_ignore_ascii_case(word) {
            return true;
        }
        self.at = before;
        false
    }

    fn nested(&mut self, scope: Scope<'a>, closing: char) -> Result<Filter, ScimError> {
        self.depth += 1;
        if self.depth > FILTER_DEPTH_LIMIT {
            return Err(ScimError::invalid_filter(format!("the filter is nested deeper than {FILTER_DEPTH_LIMIT} levels")));
        }
        let filter = self.or(scope)?;
        self.space();
        if !self.eat(closing) {
            return Err(self.expected(&format!("`and`, `or` or `{closing}`")));
        }
        self.depth -= 1;
        Ok(filter)
    }

    fn term(&mut self, scope: Scope<'a>) -> Result<Filter, ScimError> {
        self.space();
        if self.eat('(') {
            return self.nested(scope, ')');
        }
        let start = self.at;
        let token = self.token();
        if token.eq_ignore_ascii_case("not") {
            self.space();
            if !self.eat('(') {
                return Err(self.expected("`(` behind `not`"));
            }
            return Ok(Filter::Not(Box::new(self.nested(scope, ')')?)));
        }
        if token.is_empty() {
            return Err(self.expected("an attribute, `not` or `(`"));
        }
        let path = AttrPath::from_token(self.schemas, token).map_err(|error| {
            self.at = start;
            ScimError::invalid_filter(format!("filter, column {}: {}", self.column(), error.detail))
        })?;
        let (attribute, part) = self.resolve(scope, &path, start)?;
        if self.eat('[') {
            return self.values(scope, path, attribute, start);
        }
        // `None` only where the schemas don't know the attribute.
        let named = part.or(attribute);
        let before = self.at;
        let test = self.test(named)?;
        let whose = match scope {
            Scope::Values(attribute) => Some(attribute),
            Scope::Resources(_) | Scope::Unknown => attribute,
        };
        let kinds = if let Scope::Resources(kinds) = scope { kinds } else { &[] };
        match (id_beside(whose, &path, kinds), scope) {
            // The id is a part of the resource, and of none of its values.
            (Some((id, _)), Scope::Values(_)) if id.name == "id" => {
                self.at = start;
                Err(self.expected("another part: `location` can be asked for as `meta.location`"))
            }
            (Some((path, kinds)), _) => Ok(Filter::Test(path, self.by_id(test, kinds, before)?)),
            (None, _) => Ok(Filter::Test(path, test)),
        }
    }

    /// The test of an id that a test of the URI comes to. An id is compared, and not looked into.
    fn by_id(&mut self, test: Test, kinds: &[ResourceKind], start: usize) -> Result<Test, ScimError> {
        match test {
            Test::Compare(op @ (Op::Eq | Op::Ne), Literal::Text(uri)) => {
                Ok(Test::Compare(op, Literal::Text(id_of(&uri, kinds).to_owned())))
            }
            Test::Present | Test::Compare(Op::Eq | Op::Ne, _) => Ok(test),
            Test::Compare(..) => {
                self.at = start;
                Err(self.expected("eq, ne or pr: URIs are made for each answer, so filter by the id"))
            }
        }
    }

    /// The attribute and the sub-attribute that a path names; neither is there in an unknown scope.
    fn resolve(
        &mut self,
        scope: Scope<'a>,
        path: &AttrPath,
        start: usize,
    ) -> Result<(Option<&'a Attribute>, Option<&'a Attribute>), ScimError> {
        let found = match scope {
            Scope::Unknown => return Ok((None, None)),
            Scope::Resources(kinds) => self.schemas.resolve_any(kinds, path).map(|found| (found.attribute, found.sub)),
            Scope::Values(attribute) => part_of(attribute, path).map(|part| (part, None)),
        };
        match found {
            // A value that is never returned must not be guessed through a filter either (RFC 7643 §7, `returned`).
            Some((attribute, part)) if [Some(attribute), part].into_iter().flatten().all(|named| named.returned != Returned::Never) => {
                Ok((Some(attribute), part))
            }
            _ => {
                self.at = start;
                let name = shown(&path.to_string());
                Err(ScimError::invalid_filter(format!("filter, column {}: there is no attribute `{name}` to filter by", self.column())))
            }
        }
    }

    /// What follows `attribute[`. Value paths don't nest (RFC 7644 §3.4.2.2, `valFilter`).
    fn values(&mut self, scope: Scope<'a>, path: AttrPath, attribute: Option<&'a Attribute>, start: usize) -> Result<Filter, ScimError> {
        let attribute = attribute.filter(|attribute| attribute.multi_valued || attribute.kind == Type::Complex);
        let (Scope::Resources(_), None, Some(attribute)) = (scope, &path.sub, attribute) else {
            self.at = start;
            return Err(self.expected("an attribute with many values, outside of brackets, in front of `[`"));
        };
        let filter = Box::new(self.bracketed(Scope::Values(attribute))?);
        if !self.eat('.') {
            return Ok(Filter::Values { attribute: path, filter, then: None });
        }
        let start = self.at;
        let name = self.token();
        if !is_name(name) {
            self.at = start;
            return Err(self.expected("the name of a sub-attribute"));
        }
        let sub = AttrPath { urn: None, name: name.into(), sub: None };
        let part = self.resolve(Scope::Values(attribute), &sub, start)?.0;
        let before = self.at;
        let test = self.test(part)?;
        let (sub, test) = match id_beside(Some(attribute), &sub, &[]) {
            Some((sub, kinds)) => (sub, self.by_id(test, kinds, before)?),
            None => (sub, test),
        };
        Ok(Filter::Values { attribute: path, filter, then: Some((sub.name, test)) })
    }

    /// An operator and what it compares with.
    fn test(&mut self, named: Option<&Attribute>) -> Result<Test, ScimError> {
        self.space();
        let start = self.at;
        let word = self.token();
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Test::Present);
        }
        let Some((_, op)) = Op::WORDS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(word)) else {
            self.at = start;
            return Err(self.expected("an operator: eq, ne, co, sw, ew, gt, ge, lt, le or pr"));
        };
        self.space();
        let start = self.at;
        let raw = self.raw()?;
        let (literal, quirk) = literal(raw, op, named).map_err(|wanted| {
            self.at = start;
            self.expected(&wanted)
        })?;
        quirk.into_iter().for_each(|quirk| self.quirk(quirk));
        Ok(Test::Compare(op, literal))
    }

    fn raw(&mut self) -> Result<Raw<'a>, ScimError> {
        if !self.rest().starts_with('"') {
            let word = self.token();
            return if word.is_empty() { Err(self.expected("a value to compare with")) } else { Ok(Raw::Bare(word)) };
        }
        let mut escaped = false;
        let end = self.rest().char_indices().skip(1).find(|&(_, c)| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let Some((end, _)) = end else { return Err(self.expected("a closing quote behind the text")) };
        match serde_json::from_str(&self.rest()[..=end]) {
            Ok(text) => {
                self.at += end + 1;
                Ok(Raw::Quoted(text))
            }
            Err(_) => Err(self.expected("a JSON string: escape quotes, backslashes and control characters")),
        }
    }
}

/// The part of an attribute's values that a path in brackets names. `value` is a value itself where it has no parts.
pub(super) fn part_of<'a>(attribute: &'a Attribute, path: &AttrPath) -> Option<&'a Attribute> {
    if path.urn.is_some() || path.sub.is_some() {
        return None;
    }
    match attribute.kind {
        Type::Complex => attribute.sub(&path.name),
        _ => path.name.eq_ignore_ascii_case("value").then_some(attribute),
    }
}

/// Where the id stands that a path's URI ends with; `None` where the path names another value. The URIs of resources are made for each
/// answer, by the address that the server is asked at, and not stored: `meta.location`, and `$ref` of members and of a user's groups. Beside
/// it, of which kinds the resource may be; `kinds` are those that are asked for.
fn id_beside<'k>(attribute: Option<&Attribute>, path: &AttrPath, kinds: &'k [ResourceKind]) -> Option<(AttrPath, &'k [ResourceKind])> {
    let attribute = attribute?;
    let last = path.sub.as_deref().unwrap_or(&path.name);
    let is_of_resource = attribute.name == "meta" && last.eq_ignore_ascii_case("location");
    if is_of_resource {
        return Some((AttrPath { urn: None, name: "id".into(), sub: None }, kinds));
    }
    let made = attribute.sub(last).is_some_and(|part| part.kind == Type::Reference && part.mutability != Mutability::ReadWrite);
    if !made || !last.eq_ignore_ascii_case("$ref") || !["members", "groups"].contains(&attribute.name.as_str()) {
        return None;
    }
    let value = || "value".to_owned();
    let id = match path.sub {
        Some(_) => AttrPath { sub: Some(value()), ..path.clone() },
        None => AttrPath { name: value(), ..path.clone() },
    };
    Some((id, if attribute.name == "groups" { &[ResourceKind::Group] } else { &ResourceKind::ALL }))
}

/// The id in the URI of a resource of these kinds; an empty text, which is nobody's, where it is none.
fn id_of<'u>(uri: &'u str, kinds: &[ResourceKind]) -> &'u str {
    let (before, id) = uri.rsplit_once('/').unwrap_or_default();
    let endpoint = before.rsplit('/').next().unwrap_or_default();
    if kinds.iter().any(|kind| kind.endpoint() == endpoint) { id } else { "" }
}

/// A literal in the type of the attribute that it is compared with, or what was expected instead.
fn literal(raw: Raw<'_>, op: Op, named: Option<&Attribute>) -> Result<(Literal, Option<Quirk>), String> {
    let text: &str = match &raw {
        Raw::Quoted(text) => text,
        Raw::Bare(word) => word,
    };
    // PostgreSQL can't hold it, so nothing that is kept has one.
    if text.contains('\0') {
        return Err("a text without NUL".into());
    }
    if matches!(raw, Raw::Bare("null")) {
        return if matches!(op, Op::Eq | Op::Ne) { Ok((Literal::Null, None)) } else { Err("eq or ne with null".into()) };
    }
    let Some(named) = named else { return Ok(unchecked(raw)) };
    let leaf = default_part(named).unwrap_or(named);
    let ordered = matches!(op, Op::Gt | Op::Ge | Op::Lt | Op::Le);
    let textual = matches!(op, Op::Contains | Op::StartsWith | Op::EndsWith);
    match leaf.kind {
        Type::Complex => Err(format!("a part of `{}` to compare, such as `{0}.{}`", named.name, first_part(named))),
        Type::Boolean if ordered || textual => Err(format!("eq, ne or pr: `{}` is a boolean", named.name)),
        Type::Boolean => boolean(raw).ok_or_else(|| "true or false".into()),
        Type::Integer | Type::Decimal if textual => Err(format!("eq, ne, gt, ge, lt, le or pr: `{}` is a number", named.name)),
        Type::Integer | Type::Decimal => match raw {
            Raw::Bare(word) => number(word).map(|number| (number, None)).ok_or_else(|| "a number".into()),
            Raw::Quoted(_) => Err("a number without quotes".into()),
        },
        Type::DateTime if textual => Err(format!("eq, ne, gt, ge, lt, le or pr: `{}` is an instant", named.name)),
        Type::DateTime => match raw {
            Raw::Quoted(text) if instant(&text).is_some() => Ok((Literal::Text(text), None)),
            _ => Err("a quoted instant such as \"2026-01-31T08:00:00Z\"".into()),
        },
        Type::Binary if ordered => Err(format!("eq, ne, co, sw, ew or pr: `{}` is binary", named.name)),
        Type::String | Type::Reference | Type::Binary => match raw {
            Raw::Quoted(text) => Ok((Literal::Text(text), None)),
            // A sample in Entra ID's documentation lacks the quotes: `externalId eq jyoung`.
            Raw::Bare(word) if op == Op::Eq && word.starts_with(char::is_alphanumeric) && !is_word(word) => {
                Ok((Literal::Text(word.into()), Some(Quirk::UnquotedText)))
            }
            Raw::Bare(_) => Err("a text in quotes".into()),
        },
    }
}

fn first_part(attribute: &Attribute) -> &str {
    attribute.sub_attributes.first().map_or("value", |part| &part.name)
}

/// A boolean; Entra ID quotes it (`roles[primary eq "True"]`).
fn boolean(raw: Raw<'_>) -> Option<(Literal, Option<Quirk>)> {
    let (word, quirk) = match &raw {
        Raw::Bare(word @ ("true" | "false")) => (*word, None),
        Raw::Bare(word) => (*word, Some(Quirk::BooleanText)),
        Raw::Quoted(text) => (text.as_str(), Some(Quirk::BooleanText)),
    };
    let value = [("true", true), ("false", false)].into_iter().find(|(known, _)| known.eq_ignore_ascii_case(word))?.1;
    Some((Literal::Bool(value), quirk))
}

fn number(word: &str) -> Option<Literal> {
    serde_json::from_str(word).ok().map(Literal::Number)
}

/// A word of the grammar, which can't be a value without quotes.
fn is_word(word: &str) -> bool {
    ["and", "or", "not", "pr"].into_iter().chain(Op::WORDS.map(|(known, _)| known)).any(|known| known.eq_ignore_ascii_case(word))
}

fn unchecked(raw: Raw<'_>) -> (Literal, Option<Quirk>) {
    match raw {
        Raw::Quoted(text) => (Literal::Text(text), None),
        Raw::Bare("true") => (Literal::Bool(true), None),
        Raw::Bare("false") => (Literal::Bool(false), None),
        Raw::Bare(word) => number(word).map_or_else(|| (Literal::Text(word.into()), Some(Quirk::UnquotedText)), |number| (number, None)),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Join {
    And,
    Or,
}

/// A chain as a balanced tree. Parentheses around a part of a chain make no difference, so they are dissolved.
fn join(operands: Vec<Filter>, with: Join) -> Filter {
    let mut chain = Vec::with_capacity(operands.len());
    operands.into_iter().for_each(|operand| dissolve(operand, with, &mut chain));
    while chain.len() > 1 {
        let mut halved = Vec::with_capacity(chain.len().div_ceil(2));
        let mut operands = chain.into_iter();
        while let Some(left) = operands.next() {
            halved.push(match operands.next() {
                None => left,
                Some(right) if with == Join::And => Filter::And(Box::new(left), Box::new(right)),
                Some(right) => Filter::Or(Box::new(left), Box::new(right)),
            });
        }
        chain = halved;
    }
    chain.pop().expect("a chain starts with one operand and halving keeps at least one")
}

fn dissolve(filter: Filter, with: Join, chain: &mut Vec<Filter>) {
    match (filter, with) {
        (Filter::And(left, right), Join::And) | (Filter::Or(left, right), Join::Or) => {
            dissolve(*left, with, chain);
            dissolve(*right, with, chain);
        }
        (filter, _) => chain.push(filter),
    }
}
