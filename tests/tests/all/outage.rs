//! A database that is away: 503 with `Retry-After`, no answer that is not true, and back by itself.

use std::net::SocketAddr;
use std::time::Duration;

use rolecall_tests::tenant::user;
use rolecall_tests::{Client, Database, Kind, Server};
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// How long the server may take to find its database again.
const BACK_LIMIT: Duration = Duration::from_secs(60);

/// A way to the database that a test can cut.
struct Proxy {
    addr: SocketAddr,
    cut: watch::Sender<bool>,
}

/// Where the real database listens.
#[derive(Clone)]
enum Upstream {
    Tcp(String),
    Unix(String),
}

impl Proxy {
    async fn start(upstream: Upstream) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let addr = listener.local_addr().expect("the listener has an address");
        let (cut, state) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { return };
                let (upstream, mut state) = (upstream.clone(), state.clone());
                tokio::spawn(async move {
                    if *state.borrow() {
                        return;
                    }
                    tokio::select! {
                        () = relay(client, upstream) => {}
                        _ = state.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Self { addr, cut }
    }
}

async fn relay(mut client: TcpStream, upstream: Upstream) {
    // Ends when either side does; which error it was is no matter here.
    let _ = match upstream {
        Upstream::Tcp(addr) => match TcpStream::connect(addr).await {
            Ok(mut server) => copy_bidirectional(&mut client, &mut server).await,
            Err(error) => Err(error),
        },
        Upstream::Unix(path) => match UnixStream::connect(path).await {
            Ok(mut server) => copy_bidirectional(&mut client, &mut server).await,
            Err(error) => Err(error),
        },
    };
}

/// The same database behind a proxy: its URL, and the proxy.
async fn behind_proxy(url: &str) -> (String, Proxy) {
    let options: sqlx::postgres::PgConnectOptions = url.parse().expect("the URL is PostgreSQL's");
    let port = options.get_port();
    let upstream = match options.get_socket() {
        Some(folder) => Upstream::Unix(folder.join(format!(".s.PGSQL.{port}")).display().to_string()),
        None if options.get_host().starts_with('/') => Upstream::Unix(format!("{}/.s.PGSQL.{port}", options.get_host())),
        None => Upstream::Tcp(format!("{}:{port}", options.get_host())),
    };
    let proxy = Proxy::start(upstream).await;
    let user = options.get_username();
    let database = options.get_database().expect("the URL names a database");
    let password = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).and_then(|(user, _)| user.split_once(':'));
    let password = password.map(|(_, password)| format!(":{password}")).unwrap_or_default();
    (format!("postgres://{user}{password}@{}/{database}?sslmode=disable", proxy.addr), proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_and_over_by_itself() {
    rolecall_tests::database::with(Kind::Postgres, async |database: Database| {
        let (url, proxy) = behind_proxy(&database.url).await;
        let server = Server::start_with(&database, |config| config.database_url = url).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let probe = Client::new(server.url(), None);

        proxy.cut.send_replace(true);
        let mut acknowledged = vec!["ada@acme.example".to_owned()];
        for index in 0..5 {
            let name = format!("during-{index}@acme.example");
            for answer in [entra.scim.post("/Users", user(&name, json!({}))).await, entra.scim.get(&format!("/Users/{ada}")).await] {
                answer.expect_scim_error(503, None);
                assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{answer:?}");
            }
        }
        probe.get("/readyz").await.expect(503);
        probe.get("/healthz").await.expect(200);
        acme.api.get("/accounts").await.expect(503);

        proxy.cut.send_replace(false);
        let back = async {
            loop {
                let answer = entra.scim.post("/Users", user("after@acme.example", json!({}))).await;
                if answer.status.is_success() {
                    return;
                }
                assert_eq!(answer.status, 503, "{answer:?}");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(BACK_LIMIT, back).await.expect("the server finds its database again");
        acknowledged.push("after@acme.example".to_owned());
        probe.get("/readyz").await.expect(200);
        let list = entra.scim.get("/Users").await.expect(200);
        let names: Vec<&str> = list["Resources"].as_array().expect("a list").iter().filter_map(|user| user["userName"].as_str()).collect();
        assert_eq!(names, acknowledged, "what was answered with success, and nothing else");
        server.settle().await;
        assert_eq!(acme.state("after@acme.example").await, "active");
        server.stop().await;
    })
    .await;
}
