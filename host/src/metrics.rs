//! Counters and histograms, exposed at `/metrics`. The only place that names prometheus_client.

/// Every metric of the process.
#[derive(Default)]
pub struct Metrics {}
