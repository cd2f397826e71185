//! A webhook's receiving end: keeps what came, answers as it is told, and can be waited for.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::Notify;

/// How long a test waits for a delivery before it gives up.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// One delivery as it came.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What was answered.
    pub answered: StatusCode,
}

#[derive(Default)]
struct Inbox {
    deliveries: Mutex<Vec<Delivery>>,
    answers: Mutex<VecDeque<StatusCode>>,
    failing: AtomicBool,
    came: Notify,
}

/// A receiver on a free port.
pub struct Receiver {
    addr: SocketAddr,
    inbox: Arc<Inbox>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Starts it. The answers are given in turn; once they are used up, everything is acknowledged.
    pub async fn start(answers: impl IntoIterator<Item = u16>) -> Self {
        let inbox = Arc::new(Inbox::default());
        let answers = answers.into_iter().map(|status| StatusCode::from_u16(status).expect("the test names a status"));
        inbox.answers.lock().unwrap_or_else(PoisonError::into_inner).extend(answers);
        let router = Router::new().fallback(receive).with_state(Arc::clone(&inbox));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let addr = listener.local_addr().expect("the listener has an address");
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("the receiver runs") });
        Self { addr, inbox, task }
    }

    /// Where to deliver.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// From now on everything is answered with 500, or not any more.
    pub fn set_failing(&self, failing: bool) {
        self.inbox.failing.store(failing, Ordering::SeqCst);
    }

    /// What has come so far.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.inbox.deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what has come is enough.
    ///
    /// # Panics
    /// When it does not come in time, with what came instead.
    pub async fn wait_until(&self, enough: impl Fn(&[Delivery]) -> bool) -> Vec<Delivery> {
        let waiting = async {
            loop {
                let came = self.inbox.came.notified();
                let deliveries = self.deliveries();
                if enough(&deliveries) {
                    return deliveries;
                }
                came.await;
            }
        };
        tokio::time::timeout(DELIVERY_TIMEOUT, waiting).await.unwrap_or_else(|_| {
            let kinds: Vec<String> = self.deliveries().iter().map(|delivery| delivery.json()["type"].to_string()).collect();
            panic!("not delivered in {DELIVERY_TIMEOUT:?}; came: {kinds:?}")
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let planned = inbox.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let failing = inbox.failing.load(Ordering::SeqCst).then_some(StatusCode::INTERNAL_SERVER_ERROR);
    let answered = failing.or(planned).unwrap_or(StatusCode::NO_CONTENT);
    inbox.deliveries.lock().unwrap_or_else(PoisonError::into_inner).push(Delivery { headers, body, answered });
    inbox.came.notify_waiters();
    answered
}

impl Delivery {
    /// The body.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a delivery is JSON")
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether it is signed with the secret as Standard Webhooks says: `v1,` and the base64 of
    /// HMAC-SHA-256 over `id.timestamp.body`, one of several signatures separated by blanks.
    #[must_use]
    pub fn is_signed_with(&self, secret: &[u8]) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of every length");
        mac.update(format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).as_bytes());
        mac.update(&self.body);
        let expected = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        self.header("webhook-signature").split(' ').any(|signature| signature == format!("v1,{expected}"))
    }
}
