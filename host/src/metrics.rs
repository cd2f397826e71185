//! Counters and histograms, exposed at `/metrics`. The only place that names prometheus_client.
//!
//! Labels come from bounded sets: the route table, fixed words, and at most [`TENANT_LABEL_LIMIT`]
//! tenants. Series that name a tenant are kept apart, because only the platform's operators may see them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::model::{HealthState, TenantId, Usage};

/// The most tenants that get series of their own; those seen later share the label `other`, so that a scrape stays small.
pub const TENANT_LABEL_LIMIT: usize = 1_000;
/// The most plugins of a tenant that get series of their own, by name; those seen later share the label `other`.
pub const PLUGIN_LABEL_LIMIT: usize = 8;
/// The most tenants whose plugins have histograms of their own: each is a dozen series a plugin.
pub const HISTOGRAM_TENANTS_LIMIT: usize = 200;
/// The content type of what [`Metrics::render`] makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Seconds: from a quick read to the request timeout.
const DURATION_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Seconds of a plugin call: from a small mapping in Rust to the wall clock's limit.
const CALL_BUCKETS: [f64; 12] = [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0];
/// Fuel of a plugin call: from next to nothing to the limit.
const FUEL_BUCKETS: [f64; 9] = [1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 5e6, 2e7];
/// Seconds of a tenant's calls: fewer, because there are many tenants.
const TENANT_CALL_BUCKETS: [f64; 6] = [0.000_05, 0.000_25, 0.001, 0.01, 0.1, 1.0];
/// Fuel of a tenant's calls.
const TENANT_FUEL_BUCKETS: [f64; 5] = [1e4, 1e5, 1e6, 5e6, 2e7];

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
struct TenantHook {
    tenant: String,
    hook: &'static str,
    plugin: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantPlugin {
    tenant: String,
    plugin: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantWhat {
    tenant: String,
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantCall {
    tenant: String,
    hook: &'static str,
    result: &'static str,
    plugin: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabel {
    hook: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Word {
    word: &'static str,
}

/// What the sandbox has at a moment.
#[derive(Clone, Copy, Debug)]
pub struct SandboxState {
    /// Calls that run.
    pub running: u64,
    /// Calls that can run at the same time.
    pub slots: u32,
    /// Plugins that are in use.
    pub plugins: usize,
    /// Plugins that were compiled since the start.
    pub compiled: u64,
    /// Plugins that were found compiled on disk since the start.
    pub read_back: u64,
    /// How often a plugin was asked for that was in memory, since the start.
    pub found: u64,
    /// How long compiling, or reading back, took since the start, in milliseconds.
    pub compile_ms: u64,
}

type Durations = Family<RouteLabels, Histogram, fn() -> Histogram>;
type ByHook = Family<HookLabel, Histogram, fn() -> Histogram>;
type ByPlugin = Family<TenantPlugin, Histogram, fn() -> Histogram>;
/// Seconds or any other measure that is added up.
type Sum = Counter<f64, AtomicU64>;

/// Every metric of the process.
pub struct Metrics {
    process: Registry,
    tenants: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Durations,
    deliveries: Family<Word, Counter>,
    quirks: Family<Word, Counter>,
    evaluations: Family<TenantOutcome, Counter>,
    plugin_calls: Family<TenantCall, Counter>,
    plugin_fuel: Family<TenantHook, Counter>,
    plugin_seconds: Family<TenantHook, Sum>,
    plugin_memory: Family<TenantHook, Gauge>,
    call_seconds: ByHook,
    call_fuel: ByHook,
    sandbox: SandboxGauges,
    connections: Family<StateLabel, Gauge>,
    plugin_faults: Family<TenantCode, Counter>,
    revisions_returned: Family<TenantCode, Counter>,
    plugin_dropped: Family<TenantWhat, Counter>,
    tenant_seconds: ByPlugin,
    tenant_fuel: ByPlugin,
    labelled: Mutex<Labelled>,
}

/// The tenants that have series of their own, each with its plugins that do.
#[derive(Default)]
struct Labelled(BTreeMap<String, BTreeSet<String>>);

/// What the sandbox has, as it was at the last look.
#[derive(Default)]
struct SandboxGauges {
    running: Gauge,
    slots: Gauge,
    plugins: Gauge,
    compiled: Gauge,
    read_back: Gauge,
    found: Gauge,
    compile_ms: Gauge,
}

impl SandboxGauges {
    fn registered(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        for (name, help, gauge) in [
            ("plugin_slots_in_use", "Plugin calls that run", &gauges.running),
            ("plugin_slots", "Plugin calls that can run at the same time", &gauges.slots),
            ("plugins_loaded", "Plugins that are in use", &gauges.plugins),
            ("plugins_compiled", "Plugins that were compiled since the start", &gauges.compiled),
            ("plugins_read_back", "Plugins that were found compiled on disk since the start", &gauges.read_back),
            ("plugins_found", "How often a plugin was asked for that was in memory, since the start", &gauges.found),
            ("plugins_compile_milliseconds", "How long compiling plugins, or reading them back, took since the start", &gauges.compile_ms),
        ] {
            registry.register(name, help, gauge.clone());
        }
        gauges
    }

    fn set(&self, has: &SandboxState) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.running.set(number(has.running));
        self.slots.set(has.slots.into());
        self.plugins.set(i64::try_from(has.plugins).unwrap_or(i64::MAX));
        self.compiled.set(number(has.compiled));
        self.read_back.set(number(has.read_back));
        self.found.set(number(has.found));
        self.compile_ms.set(number(has.compile_ms));
    }
}

/// How an attempt to deliver ends.
const DELIVERY_WORDS: [&str; 4] = ["acknowledged", "retry", "unwanted", "dead"];

impl Default for Metrics {
    fn default() -> Self {
        let new_histogram: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        let (mut process, mut tenants) = (Registry::with_prefix("rolecall"), Registry::with_prefix("rolecall"));
        let requests = Family::default();
        let durations = Durations::new_with_constructor(new_histogram);
        let deliveries = Family::default();
        // From the beginning, so that the first one of a process is an increase.
        for word in DELIVERY_WORDS {
            drop(Family::<Word, Counter>::get_or_create(&deliveries, &Word { word }));
        }
        let quirks = Family::default();
        let evaluations = Family::default();
        let (plugin_calls, plugin_fuel, plugin_seconds, plugin_memory) =
            (Family::default(), Family::default(), Family::default(), Family::default());
        let (plugin_faults, revisions_returned) = (Family::default(), Family::default());
        let connections = Family::default();
        process.register("connections", "Connections by their health, as judged last", Family::clone(&connections));
        process.register("http_requests", "Requests by route, method and class of status", requests.clone());
        process.register("http_request_duration_seconds", "Time from a request's head to its answer", durations.clone());
        process.register("deliveries", "Attempts to deliver an event to a target, by result", deliveries.clone());
        process.register("client_quirks", "Requests that needed a client's quirk to be handled, by quirk", quirks.clone());
        let call_seconds = ByHook::new_with_constructor(|| Histogram::new(CALL_BUCKETS));
        let call_fuel = ByHook::new_with_constructor(|| Histogram::new(FUEL_BUCKETS));
        process.register("plugin_call_duration_seconds", "Time of plugin calls that gave an answer, by hook", call_seconds.clone());
        process.register("plugin_call_fuel", "Fuel of plugin calls that gave an answer, by hook", call_fuel.clone());
        let sandbox = SandboxGauges::registered(&mut process);
        tenants.register("evaluations", "Evaluations by tenant and outcome", evaluations.clone());
        tenants.register("plugin_calls", "Calls of tenant plugins, by hook and result: ok, or the fault's code", plugin_calls.clone());
        tenants.register("plugin_fuel", "Fuel that plugin calls used", plugin_fuel.clone());
        tenants.register("plugin_seconds", "Time that plugin calls took", plugin_seconds.clone());
        tenants.register("plugin_memory_bytes_max", "The most memory that a plugin call had since the start", plugin_memory.clone());
        let plugin_dropped = Family::default();
        let tenant_seconds = ByPlugin::new_with_constructor(|| Histogram::new(TENANT_CALL_BUCKETS));
        let tenant_fuel = ByPlugin::new_with_constructor(|| Histogram::new(TENANT_FUEL_BUCKETS));
        tenants.register(
            "plugin_records_dropped",
            "Log lines and failures of plugins that were too many to be kept",
            plugin_dropped.clone(),
        );
        tenants.register("plugin_run_seconds", "Time of a tenant's plugin calls that gave an answer", tenant_seconds.clone());
        tenants.register("plugin_run_fuel", "Fuel of a tenant's plugin calls that gave an answer", tenant_fuel.clone());
        tenants.register("plugin_faults", "Plugin calls without an answer, by tenant and code", plugin_faults.clone());
        tenants.register(
            "revisions_returned",
            "Revisions that were taken back because they turned too many people away",
            revisions_returned.clone(),
        );
        Self {
            process,
            tenants,
            requests,
            durations,
            deliveries,
            quirks,
            evaluations,
            plugin_calls,
            plugin_fuel,
            plugin_seconds,
            plugin_memory,
            call_seconds,
            call_fuel,
            sandbox,
            connections,
            plugin_faults,
            revisions_returned,
            plugin_dropped,
            tenant_seconds,
            tenant_fuel,
            labelled: Mutex::default(),
        }
    }
}

impl Metrics {
    /// How many connections are in each state.
    pub fn connections(&self, states: &BTreeMap<HealthState, i64>) {
        for (state, count) in states {
            self.connections.get_or_create(&StateLabel { state: state.word() }).set(*count);
        }
    }

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

    /// Counts a call of a tenant's plugin, and what it used or the code of the fault that it ended with.
    pub fn plugin_call(&self, tenant: &TenantId, plugin: &str, hook: &'static str, used: Result<Usage, &'static str>) {
        let Labels { tenant, plugin, has_histograms } = self.labels(tenant, plugin);
        let result = used.err().unwrap_or("ok");
        self.plugin_calls.get_or_create(&TenantCall { tenant: tenant.clone(), hook, result, plugin: plugin.clone() }).inc();
        let Ok(usage) = used else { return };
        let (label, seconds) = (TenantHook { tenant: tenant.clone(), hook, plugin: plugin.clone() }, usage.took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "far below the fuel at which a float would round")]
        let fuel = usage.fuel as f64;
        self.plugin_fuel.get_or_create(&label).inc_by(usage.fuel);
        self.plugin_seconds.get_or_create(&label).inc_by(seconds);
        let memory = i64::try_from(usage.memory_bytes).unwrap_or(i64::MAX);
        self.plugin_memory.get_or_create(&label).inner().fetch_max(memory, Ordering::Relaxed);
        self.call_seconds.get_or_create(&HookLabel { hook }).observe(seconds);
        self.call_fuel.get_or_create(&HookLabel { hook }).observe(fuel);
        if has_histograms {
            let label = TenantPlugin { tenant, plugin };
            self.tenant_seconds.get_or_create(&label).observe(seconds);
            self.tenant_fuel.get_or_create(&label).observe(fuel);
        }
    }

    /// What a plugin's good calls in this process used, by hook: nothing for one that has no series of its own.
    #[must_use]
    pub fn plugin_figures(&self, tenant: &TenantId, plugin: &str) -> Vec<(&'static str, PluginFigures)> {
        let of = |hook: &'static str| {
            let label = TenantHook { tenant: tenant.0.clone(), hook, plugin: plugin.to_owned() };
            let called = TenantCall { tenant: label.tenant.clone(), hook, result: "ok", plugin: label.plugin.clone() };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of durations, cut to whole milliseconds")]
            let milliseconds = self.plugin_seconds.get(&label).map_or(0, |sum| (sum.get() * 1_000.0) as u64);
            let memory_bytes = self.plugin_memory.get(&label).map_or(0, |most| most.get());
            let calls = self.plugin_calls.get(&called)?.get();
            let fuel = self.plugin_fuel.get(&label).map_or(0, |sum| sum.get());
            Some((hook, PluginFigures { calls, fuel, milliseconds, memory_bytes }))
        };
        ["transform-user", "propose-roles"].into_iter().filter_map(of).collect()
    }

    /// Counts what a tenant's plugins had too much of to be kept.
    pub fn plugin_records_dropped(&self, tenant: &TenantId, what: &'static str, count: u64) {
        if count > 0 {
            self.plugin_dropped.get_or_create(&TenantWhat { tenant: self.label(tenant), what }).inc_by(count);
        }
    }

    /// Sets what the sandbox has now.
    pub fn sandbox(&self, has: &SandboxState) {
        self.sandbox.set(has);
    }

    /// Counts a plugin call without an answer, by the fault's code.
    pub fn plugin_fault(&self, tenant: &TenantId, code: &'static str) {
        self.plugin_faults.get_or_create(&TenantCode { tenant: self.label(tenant), code }).inc();
    }

    /// Counts a revision that was taken back.
    pub fn revision_returned(&self, tenant: &TenantId) {
        self.revisions_returned.get_or_create(&TenantCode { tenant: self.label(tenant), code: "turned_away" }).inc();
    }

    /// Counts an attempt to deliver, by how it ended: `acknowledged`, `retry`, `unwanted`, `dead`.
    pub fn delivery(&self, result: &'static str) {
        self.deliveries.get_or_create(&Word { word: result }).inc();
    }

    /// Counts a client quirk that was met and handled.
    pub fn quirk(&self, name: &'static str) {
        self.quirks.get_or_create(&Word { word: name }).inc();
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
        self.labelled.lock().unwrap_or_else(std::sync::PoisonError::into_inner).tenant(tenant).0
    }

    fn labels(&self, tenant: &TenantId, plugin: &str) -> Labels {
        let mut labelled = self.labelled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let has_histograms =
            labelled.0.len() < HISTOGRAM_TENANTS_LIMIT || labelled.0.get(tenant.as_str()).is_some_and(|plugins| !plugins.is_empty());
        let (tenant, plugins) = labelled.tenant(tenant);
        let Some(plugins) = plugins else { return Labels { tenant, plugin: OTHER.to_owned(), has_histograms: false } };
        let known = plugins.contains(plugin) || (plugins.len() < PLUGIN_LABEL_LIMIT && plugins.insert(plugin.to_owned()));
        Labels { tenant, plugin: if known { plugin.to_owned() } else { OTHER.to_owned() }, has_histograms }
    }
}

/// What a plugin's good calls used since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginFigures {
    /// How many there were.
    pub calls: u64,
    /// Fuel in all.
    pub fuel: u64,
    /// Time in all.
    pub milliseconds: u64,
    /// The most memory of one, in bytes.
    pub memory_bytes: i64,
}

/// What stands for all that have no series of their own.
const OTHER: &str = "other";

/// The labels of a plugin's call.
struct Labels {
    tenant: String,
    plugin: String,
    has_histograms: bool,
}

impl Labelled {
    /// The tenant's label, and its plugins where it has one of its own.
    fn tenant(&mut self, tenant: &TenantId) -> (String, Option<&mut BTreeSet<String>>) {
        if !self.0.contains_key(tenant.as_str()) {
            if self.0.len() >= TENANT_LABEL_LIMIT {
                return (OTHER.to_owned(), None);
            }
            self.0.insert(tenant.0.clone(), BTreeSet::new());
        }
        (tenant.0.clone(), self.0.get_mut(tenant.as_str()))
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
        // Nothing has failed where 501 says that there is no such thing: alerts look at what is 5xx.
        400..=499 | 501 => "4xx",
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
    fn what_calls_used_is_added_up_and_the_most_memory_kept() {
        let metrics = Metrics::default();
        for (fuel, memory_bytes) in [(100, 131_072), (50, 65_536)] {
            metrics.plugin_call(
                &TenantId::from("acme"),
                "mapping",
                "transform-user",
                Ok(Usage { fuel, memory_bytes, took: std::time::Duration::from_millis(1) }),
            );
        }
        metrics.sandbox(&SandboxState { running: 1, slots: 20, plugins: 2, compiled: 3, read_back: 4, found: 5, compile_ms: 6 });
        let all = metrics.render(true);
        for series in [
            r#"rolecall_plugin_calls_total{tenant="acme",hook="transform-user",result="ok",plugin="mapping"} 2"#,
            r#"rolecall_plugin_fuel_total{tenant="acme",hook="transform-user",plugin="mapping"} 150"#,
            r#"rolecall_plugin_seconds_total{tenant="acme",hook="transform-user",plugin="mapping"} 0.002"#,
            r#"rolecall_plugin_memory_bytes_max{tenant="acme",hook="transform-user",plugin="mapping"} 131072"#,
            r#"rolecall_plugin_call_fuel_bucket{le="1000.0",hook="transform-user"} 2"#,
            "rolecall_plugin_slots_in_use 1",
            "rolecall_plugins_read_back 4",
            "rolecall_plugins_found 5",
            "rolecall_plugins_compile_milliseconds 6",
            r#"rolecall_plugin_run_seconds_bucket{le="0.01",tenant="acme",plugin="mapping"} 2"#,
            r#"rolecall_plugin_run_fuel_sum{tenant="acme",plugin="mapping"} 150.0"#,
        ] {
            assert!(all.contains(series), "{series} is not in\n{all}");
        }
    }

    #[test]
    fn labels_are_bounded() {
        let metrics = Metrics::default();
        for i in 0..TENANT_LABEL_LIMIT + 5 {
            metrics.plugin_call(&TenantId(format!("t{i}")), "mapping", "transform-user", Err("fuel"));
        }
        for i in 0..PLUGIN_LABEL_LIMIT + 3 {
            metrics.plugin_call(&TenantId::from("t0"), &format!("p{i}"), "transform-user", Ok(Usage::default()));
        }
        metrics.request("unmatched", "BREW", 418, 0.0);
        let all = metrics.render(true);
        assert!(all.contains(r#"rolecall_plugin_calls_total{tenant="other",hook="transform-user",result="fuel",plugin="other"} 5"#));
        assert!(all.contains(r#"rolecall_plugin_calls_total{tenant="t0",hook="transform-user",result="ok",plugin="other"} 4"#));
        assert!(all.contains(r#"rolecall_plugin_run_fuel_count{tenant="t0",plugin="other"} 4"#));
        assert!(all.contains(r#"method="other",status="4xx""#));
    }
}
