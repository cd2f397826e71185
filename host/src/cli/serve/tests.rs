//! A server in this process: what it loads, how it stops.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::model::{Actor, RevisionHash, TenantId};
use crate::{reload, revision};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

const SETTINGS: &str = "name = \"Good\"\n\n[[roles]]\nid = \"member\"\nfamilies = [\"birthright\"]\n";
const POLICY: &str = "@id(\"birthright\")\n@reason(\"everybody\")\npermit (principal, action == Rolecall::Action::\"hold\", resource in Rolecall::RoleFamily::\"birthright\");\n";

fn write_tenant(dir: &Path, name: &str, settings: &str) {
    let folder = dir.join(name);
    std::fs::create_dir_all(folder.join("policies")).unwrap();
    std::fs::write(folder.join("tenant.toml"), settings).unwrap();
    std::fs::write(folder.join("policies/main.cedar"), POLICY).unwrap();
}

async fn active(running: &Running, tenant: &str) -> Option<RevisionHash> {
    running.app.store.tenant(&tenant.into()).await.unwrap().and_then(|tenant| tenant.active_revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_folder_stops_no_other_and_the_last_good_revision_stays() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = dir.path().join("tenants");
    write_tenant(&tenants, "good", SETTINGS);
    write_tenant(&tenants, "broken", "nome = \"x\"\n");
    write_tenant(&tenants, "Not A Name", SETTINGS);
    std::fs::create_dir(tenants.join("no-tenant")).unwrap();
    let config = Config { tenants: Some(tenants.clone()), ..Config::local(&dir.path().join("data")) };

    let running = start(&config).await.unwrap();
    let first = active(&running, "good").await.expect("the sound folder is loaded");
    assert_eq!(active(&running, "broken").await, None);
    let known: Vec<String> = running.app.store.tenants().await.unwrap().into_iter().map(|tenant| tenant.id.0).collect();
    assert!(!known.contains(&"no-tenant".to_owned()) && !known.contains(&"Not A Name".to_owned()), "{known:?}");
    running.stop().await;

    write_tenant(&tenants, "good", "nome = \"x\"\n");
    write_tenant(&tenants, "broken", SETTINGS);
    let running = start(&config).await.unwrap();
    assert_eq!(active(&running, "good").await, Some(first.clone()));
    assert_eq!(active(&running, "broken").await, Some(first), "the same files are the same revision, whosever they are");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owned_by_the_api_is_not_replaced_by_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let tenants = dir.path().join("tenants");
    let config = Config { tenants: Some(tenants.clone()), ..Config::local(&dir.path().join("data")) };
    write_tenant(&tenants, "acme", SETTINGS);
    let files = revision::read_folder(&tenants.join("acme")).unwrap();
    let running = start(&Config { tenants: None, ..config.clone() }).await.unwrap();
    reload::load_files(&running.app, &"acme".into(), files, "api").await.unwrap();
    let first = active(&running, "acme").await;
    running.stop().await;

    write_tenant(&tenants, "acme", &SETTINGS.replace("Good", "Other"));
    let running = start(&config).await.unwrap();
    assert_eq!(active(&running, "acme").await, first);
    running.stop().await;
}

/// A server with one connection, and a request to it whose handler waits for the second half of its body.
async fn request_in_flight(config: &Config) -> (Running, TcpStream, &'static str) {
    let running = start(config).await.unwrap();
    let tenant = TenantId::from("acme");
    let actor = Actor { kind: "startup".into(), id: "test".into() };
    tenancy::ensure_tenant(&running.app, &tenant, "Acme", "api").await.unwrap();
    let (connection, token) =
        tenancy::create_connection(&running.app, &tenant, "idp", (crate::model::ConnectionState::Active, true), &actor).await.unwrap();
    let body = r#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"robin@example.com"}"#;
    let mut stream = TcpStream::connect(running.addr).await.unwrap();
    let head = format!(
        "POST /scim/{}/v2/Users HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/scim+json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        connection.id,
        running.addr,
        *token.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body when the handler does: from here on the request is in flight.
    let asked = "HTTP/1.1 100 Continue\r\n\r\n";
    let mut answer = vec![0; asked.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), asked);
    (running, stream, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_answered_before_the_server_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (running, mut stream, body) = request_in_flight(&Config::local(dir.path())).await;
    let addr = running.addr;
    let stopping = tokio::spawn(running.stop());
    // The listener closes when the stop has begun: from then on nobody new is let in.
    let closed = async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the listener closes");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_never_ends_holds_the_server_no_longer_than_the_grace() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { shutdown_grace_seconds: 0, ..Config::local(dir.path()) };
    let (running, stream, _) = request_in_flight(&config).await;
    running.stop().await;
    // The stop has come back while the request is still waiting for its body: it was not waited for.
    let unanswered = stream.try_read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(unanswered, Err(std::io::ErrorKind::WouldBlock));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_never_ended_holds_up_no_job() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { shutdown_grace_seconds: 1, ..Config::local(dir.path()) };
    let (running, _stream, _) = request_in_flight(&config).await;
    assert_eq!(running.stop().await, Stopped { requests: false, jobs: true });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_and_a_key_that_is_none_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    for listen in [listen.as_str(), "banana"] {
        let error = start(&Config { listen: listen.into(), ..Config::local(dir.path()) }).await.err().unwrap();
        assert!(error.is::<ConfigError>() && error.to_string().contains(&format!("`listen` is `{listen}`")), "{error}");
    }
    let key = MasterKey::Hex(Zeroizing::new("secret-but-wrong".into()));
    let error = format!("{:#}", start(&Config { master_key: key, ..Config::local(dir.path()) }).await.err().unwrap());
    assert!(error.contains(MASTER_KEY_VARIABLE) && !error.contains("secret-but-wrong"), "{error}");
}
