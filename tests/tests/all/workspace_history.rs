//! History at the workspace's pages: told in sentences, searched, verified, kept.

use rolecall_tests::browser::Browser;
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::json;

const ROOM: &str = "/workspace/t/acme/history";

on_both_databases! {
    /// What happened to one person, and that nothing of it was altered.
    async fn history_is_told_and_verified(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let auditor = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["auditor"]})).await;
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
        auditor.get(&format!("{ROOM}/verify")).await.expect(&["Sealed up to event"]);
        let verified = auditor.post(&format!("{ROOM}/verify"), &[]).await;
        assert!(verified.status == 200 && verified.text.contains("none was altered"), "{verified:?}");
        let head = auditor.get(&format!("{ROOM}/head")).await;
        assert!(head.status == 200 && head.text.contains("\"signature\""), "{head:?}");
    }
}
