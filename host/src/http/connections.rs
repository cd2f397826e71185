//! Connections of clients: how many there are, how long one may keep us waiting for a request, and how they end.
//!
//! Knows nothing of what is asked: that is the router's.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

/// The most connections at once, where the process may open files enough. Whoever comes then waits to be let in.
pub const CONNECTIONS_LIMIT: usize = 4_096;
/// How long a connection may be open without the head of a request: at its beginning, in the middle of one, and between two. Clients that
/// keep connections for later drop them after 90 seconds or sooner; one that we drop in the moment of its next request costs them that request.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(100);
/// How long a client may take nothing of an answer: whoever has stopped reading keeps a connection no longer.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Of four files that the process may open, how many may be connections: the others are the database's, plugins' and outgoing requests'.
const QUARTERS: u64 = 3;
/// How long nobody is let in after the system had no room for one more.
const PAUSE: Duration = Duration::from_millis(100);

/// How much clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// How long the head of a request may take.
    pub head_timeout: Duration,
    /// How long an answer may wait for its client to take some of it.
    pub write_timeout: Duration,
}

impl Bounds {
    /// The usual ones, and fewer connections where the process may not open as many files.
    #[must_use]
    pub fn of_process() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let connections = usize::try_from(files / 4 * QUARTERS).unwrap_or(CONNECTIONS_LIMIT).clamp(1, CONNECTIONS_LIMIT);
        Self { connections, head_timeout: HEAD_TIMEOUT, write_timeout: WRITE_TIMEOUT }
    }
}

/// Serves until it is told to stop, and then until every request that was begun has been answered.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    let mut full = false;
    loop {
        if room.available_permits() == 0 && !full {
            tracing::warn!(connections = bounds.connections, "as many connections as may be: whoever comes waits for one to end");
        }
        full = room.available_permits() == 0;
        let (stream, place) = tokio::select! {
            // An error means that the sender is gone, which is a stop too.
            _ = stopped.wait_for(|stopped| *stopped) => break,
            entered = enter(&listener, &room) => entered,
        };
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, router.clone(), bounds, stopped.clone(), place));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next client, when there is room.
async fn enter(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Nobody closes it: without a place there would be no bound, but nobody would be turned away either.
    let place = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // It has gone away before it was let in.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::error!(%error, "a connection can't be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    router: Router,
    bounds: Bounds,
    mut stopped: watch::Receiver<bool>,
    _place: Option<OwnedSemaphorePermit>,
) {
    // Answers that are sent in parts would otherwise wait for the client's word on the one before. Without it they are slower, no more.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(bounds.head_timeout);
    let mut stream = Box::pin(TimeoutStream::new(stream));
    stream.as_mut().set_write_timeout_pinned(Some(bounds.write_timeout));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let told = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    let early = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = told => None,
    };
    let ended = match early {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Clients hang up and send nonsense: whatever was a request has its own line.
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const REQUEST_OF_MUCH: &[u8] = b"GET /much HTTP/1.1\r\nhost: x\r\n\r\n";

    fn usual(connections: usize) -> Bounds {
        Bounds { connections, head_timeout: HEAD_TIMEOUT, write_timeout: WRITE_TIMEOUT }
    }

    async fn started(bounds: Bounds) -> (SocketAddr, watch::Sender<bool>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, (stop, stopped)) = (listener.local_addr().unwrap(), watch::channel(false));
        let much = get(async || vec![b'x'; 1 << 20]);
        let router = Router::new().route("/", get(async || "here")).route("/much", much);
        (addr, stop, tokio::spawn(serve(listener, router, bounds, stopped)))
    }

    async fn answer(stream: &mut TcpStream) -> String {
        let mut answer = vec![0; 1_024];
        let read = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }

    #[tokio::test]
    async fn whoever_begins_a_request_and_does_not_end_it_is_dropped() {
        let (addr, stop, server) = started(Bounds { head_timeout: Duration::from_millis(10), ..usual(10) }).await;
        for begun in [&b""[..], b"GET / HTTP/1.1\r\nhost: x\r\n"] {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(begun).await.unwrap();
            // To the end: nothing else ends this.
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        }
        stop.send_replace(true);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn whoever_does_not_read_an_answer_is_dropped() {
        let (addr, stop, server) = started(Bounds { write_timeout: Duration::from_millis(10), ..usual(1) }).await;
        let mut deaf = TcpStream::connect(addr).await.unwrap();
        // As many as it takes until nobody takes any more: what is sent fills the buffers on both sides, and then nothing moves.
        let asked = async { while deaf.write_all(&REQUEST_OF_MUCH.repeat(64)).await.is_ok() {} };
        let other = async {
            let mut other = TcpStream::connect(addr).await.unwrap();
            other.write_all(REQUEST).await.unwrap();
            // There is one place: it is free once the other has been dropped.
            assert!(answer(&mut other).await.ends_with("here"));
        };
        tokio::join!(asked, other);
        stop.send_replace(true);
        server.await.unwrap();
    }

    #[tokio::test]
    async fn beyond_the_bound_clients_wait_and_are_answered_then() {
        let (addr, stop, server) = started(usual(1)).await;
        let mut first = TcpStream::connect(addr).await.unwrap();
        first.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut first).await.ends_with("here"));
        let mut second = TcpStream::connect(addr).await.unwrap();
        second.write_all(REQUEST).await.unwrap();
        let mut byte = [0];
        let early = tokio::time::timeout(Duration::from_millis(10), second.peek(&mut byte)).await;
        assert!(early.is_err(), "there is one place, and it is taken");
        drop(first);
        assert!(answer(&mut second).await.ends_with("here"));
        stop.send_replace(true);
        server.await.unwrap();
    }

    #[test]
    fn a_process_leaves_files_for_other_things() {
        let bounds = Bounds::of_process();
        assert!((1..=CONNECTIONS_LIMIT).contains(&bounds.connections), "{bounds:?}");
    }
}
