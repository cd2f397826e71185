//! The signed webhook target: one POST an event, as <https://www.standardwebhooks.com> describes it.
//! Knows what is sent and signing; when and in which order events are due is the store's to say.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use zeroize::Zeroizing;

use crate::crypto;
use crate::model::Instant;
use crate::outgoing::{Answer, Bounds, Client, Failed};
use crate::store::{DeliveryResult, DueDelivery, LinkToken};

/// How long a target may take to acknowledge; what it says beside the status is not read.
const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(15), bytes: 0 };
/// What a secret begins with, so that people and scanners recognise it.
pub const SECRET_PREFIX: &str = "whsec_";
/// Seconds until the next attempt, by how many were made: about three days in all, after which the delivery is given up.
const RETRY_SECONDS: [i64; 12] = [1, 5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 43_200, 64_800, 86_400];

/// A new secret, of 256 random bits: the text that the target's owner is shown once.
#[must_use]
pub fn new_secret() -> Zeroizing<String> {
    Zeroizing::new(format!("{SECRET_PREFIX}{}", BASE64.encode(crypto::random_key_bytes())))
}

/// The bytes that a secret stands for; `None` when it is not [`SECRET_PREFIX`] and Base64.
#[must_use]
pub fn secret_bytes(secret: &str) -> Option<Zeroizing<Vec<u8>>> {
    BASE64.decode(secret.strip_prefix(SECRET_PREFIX)?).ok().map(Zeroizing::new)
}

/// The `webhook-signature` of a message: HMAC-SHA-256 over `id.timestamp.body`. `None` for a malformed secret.
#[must_use]
pub fn signature(secret: &str, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = secret_bytes(secret)?;
    let signed = format!("{id}.{timestamp}.{body}");
    Some(format!("v1,{}", BASE64.encode(crypto::hmac_sha256(&key, signed.as_bytes()))))
}

/// Makes one attempt. `secret` is the opened secret of the target, `root` what links begin with.
pub async fn deliver(outgoing: &Client, due: &DueDelivery, secret: &str, root: &str, now: Instant) -> DeliveryResult {
    let mut body = json!({"type": due.event.kind, "timestamp": due.event.at, "tenant": due.tenant, "data": due.event});
    if let Some(LinkToken(token)) = &due.token {
        body["link"] = format!("{root}/invitations/{}/{}", due.tenant, **token).into();
    }
    let body = Zeroizing::new(body.to_string());
    let timestamp = now.timestamp().as_second();
    let Some(signature) = signature(secret, &due.event.id, timestamp, &body) else {
        return DeliveryResult::Dead("the target's secret is malformed: set the target again".into());
    };
    let timestamp = timestamp.to_string();
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", due.event.id.as_str()),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", &signature),
    ];
    match outgoing.post(&due.target.url, &headers, body.to_string(), BOUNDS).await {
        Ok(Answer { status: 200..300, .. }) => DeliveryResult::Acknowledged,
        // Standard Webhooks: 410 says that the receiver wants no more.
        Ok(Answer { status: 410, .. }) => DeliveryResult::Unwanted("the target answered 410: it wants no more".into()),
        Ok(Answer { status, .. }) => again(due.attempts, now, format!("the target answered {status}")),
        Err(failed) => again(due.attempts, now, reason(&failed)),
    }
}

fn reason(failed: &Failed) -> String {
    match failed {
        Failed::Refused(refusal) => format!("the target is not called: {refusal}"),
        Failed::Timeout => "the target did not answer in time".into(),
        Failed::Unreachable => "the target can't be reached".into(),
        Failed::Broken | Failed::Status(_) | Failed::TooLarge(_) => "the request to the target failed".into(),
    }
}

fn again(attempts: i64, now: Instant, why: String) -> DeliveryResult {
    let made = usize::try_from(attempts).unwrap_or(usize::MAX);
    match RETRY_SECONDS.get(made) {
        Some(seconds) => DeliveryResult::Retry(now.plus_seconds(*seconds), why),
        None => DeliveryResult::Dead(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn the_specifications_example_has_the_specifications_signature() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(signature("secret", "id", 0, body).is_none());
    }

    #[test]
    fn attempts_end() {
        assert!(matches!(again(0, Instant(0), String::new()), DeliveryResult::Retry(Instant(1_000_000), _)));
        assert!(matches!(again(12, Instant(0), String::new()), DeliveryResult::Dead(_)));
    }
}
