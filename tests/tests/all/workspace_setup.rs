//! The link to a connection's set-up: somebody without an account pastes the values, makes the token, sees the first request, and is done.

use rolecall_tests::browser::{Browser, of};
use rolecall_tests::{Client, Database, Server, on_both_databases};
use serde_json::json;

on_both_databases! {
    async fn somebody_without_an_account_sets_a_connection_up(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        acme.connection(&server, "Another").await;
        let ops = Browser::sign_in(&server, json!({})).await;
        let at = |rest: &str| format!("/workspace/t/acme/connections/{}{rest}", entra.id);
        assert!(ops.said(&at("/link"), &[("name", "sam@customer.example"), ("days", "31")]).await.contains("a link lasts"));
        let made = ops.post(&at("/link"), &[("name", "sam@customer.example"), ("days", "7"), ("for", "okta")]).await;
        let link = of(&made.text, "link").expect("the link");
        assert!(link.ends_with("?for=okta"), "{link}");
        let (base, _) = link.split_once('?').expect("a guide");
        let sam = Browser::stranger(&server);
        let page = sam.get(&link).await;
        let page = page.expect(&["SCIM connector base URL", &entra.id, "Make the token", "Waiting for the first request"]);
        page.lacks(&["Another", "form_token", "/workspace/t/"]);
        // Programs that look links up in advance change nothing.
        sam.get(&link).await.expect(&["It is shown once"]);
        server.clock.advance_seconds(1);
        let token_page = sam.post(&format!("{base}/credential?for=okta&kind=token"), &[]).await;
        let token = of(&token_page.text, "value-token").expect("the token");
        let waits = token_page.text.split_once("id=\"first\" hx-get=\"").and_then(|(_, rest)| rest.split_once('"'));
        let live = waits.expect("the page waits").0.replace("&amp;", "&");
        assert_eq!(sam.get(&live).await.status, 204);
        sam.get(&link).await.expect(&["make another"]).lacks(&[&token]);
        let scim = Client::scim(format!("{}/scim/{}/v2", server.url(), entra.id), &token);
        scim.get("/Users?count=1").await.expect(200);
        sam.until(&live, "It came").await;
        let events = acme.events(&server).await;
        assert!(events.iter().any(|event| event["actor"]["kind"] == "setup_link"), "{events:?}");

        let done = sam.post(&format!("{base}/done"), &[]).await;
        assert!(done.text.contains("Thank you") && done.text.contains("Requests come in"), "{done:?}");
        for path in ["", "/first"] {
            assert_eq!(sam.get(&format!("{base}{path}")).await.status, 404);
        }
        assert_eq!(sam.post(&format!("{base}/credential"), &[]).await.status, 404);
        scim.get("/Users?count=1").await.expect(200);
        server.stop().await;
    }

    /// Links end with time, with the next one, and by hand; guessing them comes to an end, and locks nobody out who has one.
    async fn a_link_ends_and_is_not_guessed(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ops = Browser::sign_in(&server, json!({})).await;
        let at = |rest: &str| format!("/workspace/t/acme/connections/{}{rest}", entra.id);
        let sam = Browser::stranger(&server);
        let make = || async {
            let made = ops.post(&at("/link"), &[("name", "sam"), ("days", "1")]).await;
            of(&made.text, "link").unwrap_or_else(|| panic!("no link: {made:?}"))
        };
        let (first, second) = (make().await, make().await);
        assert_eq!((sam.get(&first).await.status, sam.get(&second).await.status), (404, 200));
        let mut last = 0;
        for number in 0..1_000 {
            last = sam.get(&format!("/workspace/setup/rl_{number:043}")).await.status;
            if last == 429 {
                break;
            }
        }
        assert_eq!((last, sam.get(&second).await.status), (429, 200));
        assert!(ops.said(&at("/link/end"), &[]).await.contains("have ended"));
        server.clock.advance_seconds(3_600);
        assert_eq!(sam.get(&second).await.status, 404);
        let third = make().await;
        server.clock.advance_hours(25);
        assert_eq!(sam.get(&third).await.status, 404);
        server.stop().await;
    }
}
