//! A reconciliation at the workspace's pages: an export is uploaded, what is wrong with it told, what differs shown, and carried out by whoever may.

use rolecall_tests::browser::Browser;
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::json;

on_both_databases! {
    async fn an_export_is_compared_and_carried_out_by_whoever_may(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create("ada@acme.example").await;
        entra.create("eve@acme.example").await;
        server.settle().await;
        let owner = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["tenant-owner"], "person": "grace@acme.example"})).await;
        let auditor = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["auditor"]})).await;
        let tab = format!("/workspace/t/acme/connections/{}/drift", entra.id);
        owner.get(&tab).await.expect(&["Nothing was compared yet", "Compare an export"]);
        auditor.get(&tab).await.expect(&["Nothing was compared yet", "Whoever may manage connections"]).lacks(&["Compare an export"]);
        assert!(owner.said(&tab, &[("content", " ")]).await.contains("choose a file"));
        let wrong = owner.post(&tab, &[("content", "user_name,active\nada@acme.example,perhaps\n")]).await;
        assert!(wrong.status == 422 && wrong.text.contains("Line 2, column 18"), "{wrong:?}");
        assert!(wrong.text.contains("\nada@acme.example,perhaps\n</textarea>"), "the text is there to be mended: {wrong:?}");
        let export = r#"[{"user_name": "ada@acme.example", "title": "Lead"}, {"user_name": "dave@acme.example"}]"#;
        auditor.said(&tab, &[("content", export), ("complete", "yes")]).await;
        owner.get(&tab).await.expect(&["Nothing was compared yet"]);
        let sent = owner.post(&tab, &[("content", export), ("complete", "yes")]).await;
        assert_eq!(sent.status, 303, "{sent:?}");
        let page = sent.header("location").to_owned();
        // The comparison goes on beside the request that began it.
        owner.until(&page, "is simulated").await;
        server.settle().await;
        let ready = owner.get(&page).await;
        ready.expect(&["waits for a yes", "1 missing, 1 extra, 1 differing", "Carry it out for 3 people", "<ins>Lead</ins>", "the account is then suspended"]);
        auditor.get(&page).await.expect(&["waits for a yes", "Whoever may manage connections"]).lacks(&["Carry it out for"]);
        owner.get(&format!("{page}?kind=extra")).await.expect(&["eve@acme.example"]).lacks(&["dave@acme.example"]);
        let csv = owner.get(&format!("{page}/export?kind=missing")).await;
        assert!(csv.text.contains("dave@acme.example") && !csv.text.contains("eve@acme.example"), "{csv:?}");
        owner.get("/workspace/t/acme").await.expect(&["3 people differ"]);
        let digest = ready.text.split_once("name=\"digest\" value=\"").and_then(|(_, rest)| rest.split_once('"')).expect("a digest").0;
        let said = [("digest", digest), ("reason", "a broken connector"), ("seen", "yes")];
        auditor.said(&format!("{page}/carry-out"), &said).await;
        owner.get(&page).await.expect(&["waits for a yes"]);
        let other = [("digest", "another"), said[1], said[2]];
        assert!(owner.said(&format!("{page}/carry-out"), &other).await.contains("look at it again"));
        assert!(owner.said(&format!("{page}/carry-out"), &said).await.contains("It is carried out"));
        server.settle().await;
        owner.get(&page).await.expect(&["Everybody is as listed.", "a broken connector"]);
        owner.get(&format!("{page}/progress?until=0&state=running")).await.expect(&["Everybody is as listed."]).lacks(&["hx-get"]);
        assert_eq!(acme.state("eve@acme.example").await, "suspended");
        assert!(owner.said(&format!("{page}/abandon"), &[("reason", "late")]).await.contains("carried out once"));
        assert_eq!(owner.get("/workspace/t/acme/drift/unknown").await.status, 404);
        server.stop().await;
    }
}
