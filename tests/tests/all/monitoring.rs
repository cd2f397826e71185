//! The alerting rules and the dashboard in `examples/monitoring`: each metric and label that they name is one that a running server shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rolecall_tests::receiver::Receiver;
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};

/// What Prometheus adds to what it scrapes.
const ADDED_LABELS: [&str; 3] = ["job", "instance", "le"];
/// What Prometheus makes itself.
const ADDED_METRICS: [&str; 1] = ["up"];

/// Metrics, each with its labels and their values.
type Shown = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/monitoring").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `name="value"` parts: also with `=~` and the like between.
fn labels(text: &str) -> Vec<(String, String)> {
    let parts = text.split("\",").filter(|part| !part.trim().is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('"').unwrap_or_else(|| panic!("no value in `{part}`"));
        (name.trim().trim_end_matches(['=', '~', '!']).to_owned(), value.trim_end_matches('"').to_owned())
    };
    parts.map(pair).collect()
}

/// What `/metrics` shows.
fn shown(text: &str) -> Shown {
    let mut shown = Shown::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let of = shown.entry(name.to_owned()).or_default();
        if let Some((_, rest)) = line.split_once('{') {
            for (label, value) in labels(rest.rsplit_once('}').expect("labels end").0) {
                of.entry(label).or_default().insert(value);
            }
        }
    }
    shown
}

/// Each `expr` of the rules, and the labels that their words name.
fn rules() -> Vec<(String, Vec<String>)> {
    let text = example("rolecall.rules.yml");
    let mut rules: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(expression) = line.strip_prefix("expr: ") {
            rules.push((expression.to_owned(), Vec::new()));
        }
        let named = line.split("{{ $labels.").skip(1).filter_map(|rest| rest.split(' ').next());
        named.for_each(|label| rules.last_mut().expect("an alert begins with its expression").1.push(label.to_owned()));
    }
    let alerts = text.lines().filter(|line| line.trim().starts_with("- alert: ")).count();
    assert_eq!(rules.len(), alerts, "an alert has one expression, on one line");
    rules
}

/// Each expression of the dashboard's panels, and the labels of its legend.
fn panels() -> Vec<(String, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(&example("rolecall.dashboard.json")).expect("a dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("a dashboard has panels").iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    targets
        .map(|target| {
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            let named = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::to_owned).collect();
            (target["expr"].as_str().expect("a target has an expression").to_owned(), named)
        })
        .collect()
}

/// A metric by its name, with its matchers.
type Metric = (String, Vec<(String, String)>);

/// The metrics of an expression with their matchers, and the labels that it groups by.
fn named(expression: &str) -> (Vec<Metric>, Vec<String>) {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut metrics, mut grouped, mut rest) = (Vec::new(), Vec::new(), expression);
    while let Some(start) = rest.find(is_word) {
        let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |length| start + length);
        let (word, after) = (&rest[start..end], &rest[end..]);
        rest = after;
        if word == "by" {
            let (labels, after) = after.trim_start().strip_prefix('(').and_then(|list| list.split_once(')')).expect("`by` has a list");
            grouped.extend(labels.split(',').map(|label| label.trim().to_owned()));
            rest = after;
        } else if word.starts_with("rolecall_") || ADDED_METRICS.contains(&word) {
            let matchers = after.strip_prefix('{').and_then(|matchers| matchers.split_once('}'));
            metrics.push((word.to_owned(), matchers.map(|(matchers, _)| labels(matchers)).unwrap_or_default()));
            rest = matchers.map_or(after, |(_, after)| after);
        }
    }
    (metrics, grouped)
}

/// What is wrong with an expression; the labels of its words are among those that it groups by, or of what it names.
fn findings_of((expression, words): &(String, Vec<String>), shown: &Shown) -> Vec<String> {
    let (metrics, grouped) = named(expression);
    let mut findings = Vec::new();
    if metrics.is_empty() {
        findings.push(format!("`{expression}` names no metric"));
    }
    let mut known: BTreeSet<&str> = ADDED_LABELS.into();
    for (metric, matchers) in metrics.iter().filter(|(metric, _)| !ADDED_METRICS.contains(&metric.as_str())) {
        let Some(of) = shown.get(metric) else {
            findings.push(format!("there is no metric `{metric}` (`{expression}`)"));
            continue;
        };
        known.extend(of.keys().map(String::as_str));
        for (label, values) in matchers.iter().filter(|(label, _)| !ADDED_LABELS.contains(&label.as_str())) {
            let is_seen = |value: &str| {
                let seen = |found: &String| value.strip_suffix(".*").map_or(found == value, |start| found.starts_with(start));
                of.get(label).is_some_and(|values| values.iter().any(seen))
            };
            findings
                .extend(values.split('|').filter(|value| !is_seen(value)).map(|value| format!("no `{metric}` has {label}=\"{value}\"")));
        }
    }
    let unknown = grouped.iter().chain(words).filter(|label| !known.contains(label.as_str()));
    findings.extend(unknown.map(|label| format!("nothing in `{expression}` has the label `{label}`")));
    findings
}

on_both_databases! {
    /// After some traffic, and what is rare: a failing plugin, a revision that is taken back, deliveries that fail.
    async fn rules_and_dashboard_name_what_there_is(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_probe().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let receiver = Receiver::start([500, 410]).await;
        acme.api.put("/targets/crm", json!({"url": receiver.url()})).await.expect(200);
        let ada = entra.create("ada@acme.example").await;
        entra.set(&ada, "active", json!("False")).await;
        server.settle().await;
        server.app().metrics.plugin_fault(&acme.id, "fuel");
        server.app().metrics.revision_returned(&acme.id);
        server.app().metrics.request("/readyz", "GET", 503, 0.1);
        let metrics = server.operator.at(server.url()).get("/metrics").await;
        let shown = shown(&metrics.text);
        assert!(shown.contains_key("rolecall_http_requests_total"), "{}", metrics.text);
        let all = [rules(), panels()].concat();
        assert!(all.len() > 20, "{all:?}");
        let findings: Vec<String> = all.iter().flat_map(|one| findings_of(one, &shown)).collect();
        assert!(findings.is_empty(), "{}\n\n{}", findings.join("\n"), metrics.text);
        // What names nothing is found.
        for (wrong, why) in [
            ("rate(rolecall_nothing_total[5m])", "no metric"),
            (r#"rolecall_connections{state="fine"}"#, "state=\"fine\""),
            (r#"rolecall_connections{state=~"failing|fine"}"#, "state=\"fine\""),
            (r#"rolecall_connections{tenant="acme"}"#, "tenant="),
            ("sum by (tenant) (rolecall_connections)", "label `tenant`"),
            ("1 > 0", "names no metric"),
        ] {
            let found = findings_of(&(wrong.to_owned(), Vec::new()), &shown);
            assert!(found.len() == 1 && found[0].contains(why), "{wrong}: {found:?}");
        }
        server.stop().await;
    }
}
