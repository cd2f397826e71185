//! What runs without a request: pending evaluations, fan-outs, numbering of events, deliveries.

use std::sync::Arc;

use crate::app::App;

/// Runs until `stop` resolves, then finishes what it is doing.
pub async fn run(app: Arc<App>, stop: tokio::sync::watch::Receiver<bool>) {
    let _ = (app, stop);
    unimplemented!()
}

/// Does everything that is due now, until nothing is: for tests, the demo and draining.
///
/// # Errors
/// The store's.
pub async fn run_until_idle(app: &Arc<App>) -> Result<(), crate::store::StoreError> {
    let _ = app;
    unimplemented!()
}
