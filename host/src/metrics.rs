//! Counters and histograms, exposed at `/metrics`. The only place that names prometheus_client.
//!
//! Labels come from bounded sets: the route table, fixed words, and at most [`TENANT_LABEL_LIMIT`]
//! tenants. Series that name a tenant are kept apart, because only the platform's operators may see them.

use std::collections::BTreeSet;
use std::sync::Mutex;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::model::TenantId;

/// The most tenants that get series of their own; those seen later share the label `other`, so that a scrape stays small.
pub const TENANT_LABEL_LIMIT: usize = 1_000;
/// The content type of what [`Metrics::render`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Seconds: from a quick read to the request timeout.
const DURATION_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantOutcome {
    tenant: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantCode {
    tenant: String,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabel {
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Word {
    word: &'static str,
}

type Durations = Family<RouteLabels, Histogram, fn() -> Histogram>;

/// Every metric of the process.
pub struct Metrics {
    process: Registry,
    tenants: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Durations,
    deliveries: Family<Word, Counter>,
    quirks: Family<Word, Counter>,
    pending: Gauge,
    evaluations: Family<TenantOutcome, Counter>,
    plugin_calls: Family<TenantLabel, Counter>,
    plugin_faults: Family<TenantCode, Counter>,
    labelled: Mutex<BTreeSet<String>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let new_histogram: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        let (mut process, mut tenants) = (Registry::with_prefix("rolecall"), Registry::with_prefix("rolecall"));
        let requests = Family::default();
        let durations = Durations::new_with_constructor(new_histogram);
        let deliveries = Family::default();
        let quirks = Family::default();
        let pending = Gauge::default();
        let evaluations = Family::default();
        let plugin_calls = Family::default();
        let plugin_faults = Family::default();
        process.register("http_requests", "Requests by route, method and class of status", requests.clone());
        process.register("http_request_duration_seconds", "Time from a request's head to its answer", durations.clone());
        process.register("deliveries", "Attempts to deliver an event to a target, by result", deliveries.clone());
        process.register("client_quirks", "Requests that needed a client's quirk to be handled, by quirk", quirks.clone());
        process.register("pending_people", "People whose evaluation is due", pending.clone());
        tenants.register("evaluations", "Evaluations by tenant and outcome", evaluations.clone());
        tenants.register("plugin_calls", "Calls of tenant plugins", plugin_calls.clone());
        tenants.register("plugin_faults", "Plugin calls without an answer, by tenant and code", plugin_faults.clone());
        Self {
            process,
            tenants,
            requests,
            durations,
            deliveries,
            quirks,
            pending,
            evaluations,
            plugin_calls,
            plugin_faults,
            labelled: Mutex::default(),
        }
    }
}

impl Metrics {
    /// Counts a request: `route` is the matched path of the route table, never the path as sent.
    pub fn request(&self, route: &str, method: &str, status: u16, seconds: f64) {
        let (method, status) = (method_word(method), status_class(status));
        self.requests.get_or_create(&RequestLabels { route: route.to_owned(), method, status }).inc();
        self.durations.get_or_create(&RouteLabels { route: route.to_owned(), method }).observe(seconds);
    }

    /// Counts an evaluation: `account`, `inactive`, `collision`, `out_of_scope`, `refused`, `fault`.
    pub fn evaluation(&self, tenant: &TenantId, outcome: &'static str) {
        self.evaluations.get_or_create(&TenantOutcome { tenant: self.label(tenant), outcome }).inc();
    }

    /// Counts a call of a tenant's plugin.
    pub fn plugin_call(&self, tenant: &TenantId) {
        self.plugin_calls.get_or_create(&TenantLabel { tenant: self.label(tenant) }).inc();
    }

    /// Counts a plugin call without an answer, by the fault's code.
    pub fn plugin_fault(&self, tenant: &TenantId, code: &'static str) {
        self.plugin_faults.get_or_create(&TenantCode { tenant: self.label(tenant), code }).inc();
    }

    /// Counts an attempt to deliver: `acknowledged`, `retry`, `dead`.
    pub fn delivery(&self, result: &'static str) {
        self.deliveries.get_or_create(&Word { word: result }).inc();
    }

    /// Counts a client quirk that was met and handled.
    pub fn quirk(&self, name: &'static str) {
        self.quirks.get_or_create(&Word { word: name }).inc();
    }

    /// Sets how many people are pending, all tenants together.
    pub fn pending(&self, people: i64) {
        self.pending.set(people);
    }

    /// The exposition text; with `tenants`, the series that name tenants too.
    #[must_use]
    pub fn render(&self, tenants: bool) -> String {
        let mut text = String::new();
        encode(&mut text, &self.process).expect("writing to a string can't fail");
        if tenants {
            let end = text.strip_suffix("# EOF\n").map_or(text.len(), str::len);
            text.truncate(end);
            encode(&mut text, &self.tenants).expect("writing to a string can't fail");
        }
        text
    }

    fn label(&self, tenant: &TenantId) -> String {
        let mut labelled = self.labelled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if labelled.contains(tenant.as_str()) {
            return tenant.0.clone();
        }
        if labelled.len() >= TENANT_LABEL_LIMIT {
            return "other".to_owned();
        }
        labelled.insert(tenant.0.clone());
        tenant.0.clone()
    }
}

/// Methods are a client's text: those that no route has share a label.
fn method_word(method: &str) -> &'static str {
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].into_iter().find(|known| *known == method).unwrap_or("other")
}

fn status_class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_that_name_a_tenant_are_shown_on_demand_only() {
        let metrics = Metrics::default();
        metrics.request("/healthz", "GET", 200, 0.002);
        metrics.plugin_fault(&TenantId::from("acme"), "fuel");
        let public = metrics.render(false);
        assert!(public.contains(r#"rolecall_http_requests_total{route="/healthz",method="GET",status="2xx"} 1"#), "{public}");
        assert!(!public.contains("acme"));
        assert!(public.ends_with("# EOF\n"));
        let all = metrics.render(true);
        assert!(all.contains(r#"rolecall_plugin_faults_total{tenant="acme",code="fuel"} 1"#), "{all}");
        assert_eq!(all.matches("# EOF").count(), 1);
    }

    #[test]
    fn labels_are_bounded() {
        let metrics = Metrics::default();
        for i in 0..TENANT_LABEL_LIMIT + 5 {
            metrics.plugin_call(&TenantId(format!("t{i}")));
        }
        metrics.request("unmatched", "BREW", 418, 0.0);
        let all = metrics.render(true);
        assert!(all.contains(r#"rolecall_plugin_calls_total{tenant="other"} 5"#));
        assert!(all.contains(r#"method="other",status="4xx""#));
    }
}
