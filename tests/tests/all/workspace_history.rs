//! History at the workspace's pages: told in sentences, searched, verified, kept.

use rolecall_tests::browser::{Browser, Page};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::json;

const ROOM: &str = "/workspace/t/acme/history";

/// The address of the first link of a page that has this in it.
fn link_of(page: &Page, part: &str) -> String {
    let links = page.text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    links.map(|link| link.replace("&amp;", "&")).find(|link| link.contains(part)).unwrap_or_else(|| panic!("no {part}: {page:?}"))
}

on_both_databases! {
    /// What happened to one person, and that nothing of it was altered.
    async fn history_is_told_and_verified(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        server.tenant("globex").create().await;
        let auditor = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["auditor"]})).await;
        let globex = Browser::sign_in(&server, json!({"tenant": "globex", "admin_roles": ["auditor"]})).await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (ada, bob) = (entra.create("ada@acme.example").await, entra.create("bob@acme.example").await);
        let staff = entra.group("Staff", &[&ada, &bob]).await;
        entra.crowd("worker", 60).await;
        server.settle().await;
        let first = auditor.get(&format!("{ROOM}?kind=account")).await;
        first.expect(&["got an account", "More"]);
        let next = first.text.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a link").replace("&amp;", "&");
        auditor.get(&next).await.expect(&["ada@acme.example"]);
        auditor.get(&format!("{ROOM}?kind=grant&person=ada%40acme.example")).await.expect(&["was given reader by everybody"]).lacks(&["bob@acme.example"]);
        auditor.get(&format!("{ROOM}?until=2001-01-01")).await.expect(&["Nothing happened"]);
        assert_eq!(auditor.get(&format!("{ROOM}?person=nobody")).await.status, 404);
        assert_eq!(auditor.get(&format!("{ROOM}?since=yesterday")).await.status, 400);
        let csv = auditor.get(&format!("{ROOM}/export?kind=grant")).await;
        assert!(csv.status == 200 && csv.text.contains("was given reader"), "{csv:?}");

        auditor.get(&format!("{ROOM}/held?role=reader")).await.expect(&["ada@acme.example", "everybody may read"]);
        entra.remove(&staff, &ada).await;
        server.settle().await;
        auditor.get(&format!("{ROOM}/held?role=reader")).await.expect(&["bob@acme.example"]).lacks(&["ada@acme.example"]);
        let seal = auditor.get(&format!("{ROOM}/verify")).await;
        seal.expect(&["Sealed up to event"]).lacks(&["none was altered"]);
        let begun = auditor.get(&link_of(&seal, "/verify?place=")).await;
        begun.expect(&["0 events verified", "There are more", "Stop"]);
        auditor.get(&link_of(&begun, "stopped=yes")).await.expect(&["Go on"]).lacks(&["hx-get", "Stop"]);
        let verified = auditor.get(&link_of(&begun, "/verify/part?place=")).await;
        verified.expect(&["none was altered", "That is all of history"]).lacks(&["Stop"]);
        // Nobody puts an address together that says of history what was not found.
        let place = link_of(&begun, "/verify?place=");
        for wrong in [place.replace("place=0.0.0.0", "place=9.9000.0.1"), format!("{ROOM}/verify?place=nothing")] {
            assert_eq!(auditor.get(&wrong).await.status, 400, "{wrong}");
        }
        assert_eq!(globex.get(&place.replace("acme", "globex")).await.status, 400, "another tenant's");
        let head = auditor.get(&format!("{ROOM}/head")).await;
        assert!(head.status == 200 && head.text.contains("\"signature\""), "{head:?}");
    }
}
