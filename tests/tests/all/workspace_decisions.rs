//! Holds, approvals, exceptions and reviews, decided at the workspace's pages by those who may.

use rolecall_tests::browser::Browser;
use rolecall_tests::tenant::{patch, text};
use rolecall_tests::{Database, Server, on_both_databases};
use serde_json::{Value, json};

use crate::leavers::confirm;

const ROOM: &str = "/workspace/t/acme/decisions";

on_both_databases! {
    /// Some of a hold are released, the others are rejected; an auditor reads, and changes nothing.
    async fn a_hold_is_released_in_part(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let people = entra.crowd("p", 12).await;
        let ids: Vec<&str> = people.iter().map(String::as_str).collect();
        let group = entra.group("Engineering", &ids).await;
        server.settle().await;
        acme.guard(&entra).await;
        let ops = Browser::sign_in(&server, json!({})).await;
        ops.get(ROOM).await.expect(&["No hold"]);
        let members: Vec<Value> = people.iter().map(|id| json!({"value": id})).collect();
        let body = patch(json!([{"op": "remove", "path": "members", "value": members}]));
        entra.scim.patch(&format!("/Groups/{group}"), body).await.expect_one_of(&[200, 204]);
        server.settle().await;

        let holds = acme.api.get("/holds?state=open").await.expect(200);
        let waiting = holds["holds"].as_array().expect("holds").iter().find(|hold| hold["people"] != 0).expect("one hold");
        let hold = text(&waiting["id"]);
        ops.get(ROOM).await.expect(&[&hold]);
        let path = format!("{ROOM}/holds/{hold}");
        ops.get(&path).await.expect(&["developer", "Release", "Reject"]);
        let auditor = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["auditor"]})).await;
        auditor.get(&path).await.expect(&["developer"]);
        let account = text(&acme.api.get(&format!("/holds/{hold}/people?state=open")).await.expect(200)["rulings"][0]["account"]);
        let release = [("answer", "release"), ("whom", "ticked"), ("reason", "the reorganisation"), ("account", &account)];
        auditor.said(&path, &release).await;
        assert_eq!(acme.api.get(&format!("/holds/{hold}")).await.expect(200)["people"], waiting["people"], "an auditor changes nothing");

        assert!(ops.said(&path, &[("answer", "release"), ("whom", "ticked"), ("reason", "so")]).await.contains("tick"));
        // Whoever is named and not held is told of, and nobody is answered about; a login name is as good as an id.
        let answer = |accounts: Value| json!({"accounts": accounts, "reason": "so"});
        let wrong = acme.api.post(&format!("/holds/{hold}/release"), answer(json!([account, "nobody@acme.example"]))).await.expect(422);
        assert!(text(&wrong["detail"]).starts_with("not held here: nobody@acme.example; nobody was answered about"), "{wrong}");
        assert_eq!(acme.api.get(&format!("/holds/{hold}")).await.expect(200)["people"], waiting["people"]);
        let other = text(&acme.api.get(&format!("/holds/{hold}/people?state=open")).await.expect(200)["rulings"][1]["user_name"]);
        assert_eq!(acme.api.post(&format!("/holds/{hold}/release"), answer(json!([other]))).await.expect(200)["answered"], 1);
        assert!(ops.said(&path, &release).await.contains("Release: 1 person"));
        let reject = [("answer", "reject"), ("whom", "all"), ("reason", "a wrong filter"), ("owner", "iam@acme.example"), ("ends", "2001-01-01")];
        assert!(ops.said(&path, &reject).await.contains("the end must be after"), "an end in the past");
        let reject = [("answer", "reject"), ("whom", "all"), ("reason", "a wrong filter"), ("owner", "iam@acme.example")];
        let nobodys = [&reject[..3], &[("owner", "")]].concat();
        ops.refused(&path, &nobodys).await.has(&["role=\"alert\"", "<textarea name=\"reason\" required maxlength=\"1000\">\na wrong filter</textarea>"]);
        let ends = server.clock_date(30);
        let said = ops.said(&path, &[&reject[..], &[("ends", ends.as_str())]].concat()).await;
        assert!(said.contains("Reject: "), "{said}");
        ops.get(&path).await.expect(&["a wrong filter", "iam@acme.example"]);
    }

    /// A person says yes to several at once, nobody to their own, and what stands is shown beside the line.
    async fn approvals_and_exceptions(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").asking().create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        let bob = entra.create("bob@acme.example").await;
        entra.group("Operations", &[&ada, &bob]).await;
        confirm(&acme, "operations").await;
        server.settle().await;
        let path = format!("{ROOM}/approvals");
        let own = Browser::sign_in(&server, json!({"tenant": "acme", "write": true, "person": "ada@acme.example"})).await;
        own.get(&path).await.expect(&["ada@acme.example", "bob@acme.example", "admin"]);
        let listed = acme.api.get("/approvals").await.expect(200);
        let ids: Vec<String> = listed["rulings"].as_array().expect("requests").iter().map(|request| text(&request["id"])).collect();
        let yes: Vec<(&str, &str)> =
            [("answer", "yes"), ("reason", "on call")].into_iter().chain(ids.iter().map(|id| ("request", id.as_str()))).collect();
        let said = own.said(&path, &yes).await;
        assert!(said.contains("1 line approved, 1 not: nobody approves"), "{said}");
        let grace = Browser::sign_in(&server, json!({"tenant": "acme", "write": true, "person": "grace@acme.example"})).await;
        assert!(grace.said(&path, &yes).await.contains("approved"));
        server.settle().await;
        assert!(acme.roles("ada@acme.example").await.contains("admin") && acme.roles("bob@acme.example").await.contains("admin"));
        let account = text(&acme.account("ada@acme.example").await["id"]);
        grace.get(&format!("{ROOM}/evidence/{account}/admin")).await.expect(&["operators", "operators run the platform"]);
        assert_eq!(grace.get(&format!("{ROOM}/evidence/nobody/admin")).await.status, 404);

        let ends = server.clock_date(30);
        let made = [("account", "bob@acme.example"), ("role", "reader"), ("effect", "grant"), ("reason", "stands in"), ("owner", "iam@acme.example"), ("ends", &ends)];
        let exceptions = format!("{ROOM}/exceptions");
        // What is refused comes back as it was typed, and what was right need not be typed again.
        let late = [&made[..5], &[("ends", "2001-01-01")]].concat();
        let again = grace.refused(&exceptions, &late).await;
        again.has(&["role=\"alert\"", "<details class=\"card\" open>", "required value=\"bob@acme.example\"", "value=\"reader\" selected", "\nstands in</textarea>"]);
        again.has(&["value=\"2001-01-01\""]);
        grace.get(&exceptions).await.lacks(&["stands in", "role=\"alert\""]);
        assert!(grace.said(&exceptions, &made).await.contains("reader is given"));
        server.settle().await;
        assert!(acme.roles("bob@acme.example").await.contains("reader"));
        grace.get(&exceptions).await.expect(&["stands in"]);
        let id = text(&acme.api.get("/exceptions?effect=grant").await.expect(200)["rulings"][0]["id"]);
        assert!(grace.said(&format!("{exceptions}/end"), &[("exception", &id)]).await.contains("1 line ended"));
        server.settle().await;
        assert!(!acme.roles("bob@acme.example").await.contains("reader"));
    }

    /// A review from its set-up to its export.
    async fn a_review_is_decided_in_bulk(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let (ada, bob) = (entra.create("ada@acme.example").await, entra.create("bob@acme.example").await);
        entra.group("Engineering", &[&ada, &bob]).await;
        server.settle().await;
        let scope = json!({"tenant": "acme", "write": true, "person": "grace@acme.example"});
        let grace = Browser::sign_in(&server, scope).await;
        let reviews = format!("{ROOM}/reviews");
        grace.get(&format!("{reviews}/new")).await.expect(&["developer"]);
        let closes = server.clock_date(20);
        let wanted = [
            ("name", "Spring"), ("role", "developer"), ("reviewers", "named"), ("named", "grace@acme.example"), ("fallback", "iam@acme.example"),
            ("closes", &closes), ("remind_hours", "48"), ("on_silence", "keep"), ("exception_days", "30"), ("exception_owner", "iam@acme.example"),
        ];
        let late = [&wanted[..5], &[("closes", "2001-01-01")], &wanted[6..]].concat();
        let again = grace.refused(&reviews, &late).await;
        again.has(&["value=\"Spring\"", "value=\"developer\" checked", "value=\"named\" selected", "\ngrace@acme.example</textarea>", "value=\"30\""]);
        assert!(grace.said(&reviews, &wanted).await.contains("is set up"));
        server.settle().await;
        let id = text(&acme.api.get("/reviews").await.expect(200)["reviews"][0]["id"]);
        let path = format!("{reviews}/{id}");
        grace.get(&path).await.expect(&["ada@acme.example", "bob@acme.example", "engineers", "2 undecided"]);
        assert!(grace.said(&path, &[("decision", "revoke"), ("line", "1")]).await.contains("reason"));
        assert!(grace.said(&path, &[("decision", "revoke"), ("line", "1"), ("reason", "has moved")]).await.contains("1 line is undecided"));
        assert!(grace.said(&path, &[("decision", "keep"), ("line", "2")]).await.contains("0 lines are undecided"));
        grace.get(&path).await.expect(&["Nothing is left here"]);
        grace.get(&format!("{path}?whose=all&said=any")).await.expect(&["has moved"]);
        let csv = grace.get(&format!("{path}/export?format=csv")).await;
        assert!(csv.status == 200 && csv.text.contains("has moved"), "{csv:?}");
        let reviewer = Browser::sign_in(&server, json!({"tenant": "acme", "admin_roles": ["reviewer"], "person": "rosa@acme.example"})).await;
        assert_eq!(reviewer.get(&format!("{reviews}/new")).await.status, 403);
        assert!(reviewer.said(&path, &[("decision", "keep"), ("line", "1")]).await.contains("grace@acme.example to decide"));
        assert!(grace.said(&format!("{path}/close"), &[("reason", "done")]).await.contains("closing"));
    }
}
