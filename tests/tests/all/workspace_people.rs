//! People, groups and roles in the workspace, as identity teams use them: found, looked at, suspended and given back, invited, erased;
//! imported from a file; and what stands for nothing.

use rolecall_tests::browser::Browser;
use rolecall_tests::tenant::text;
use rolecall_tests::{Database, Server, Tenant, on_both_databases};
use serde_json::json;

const STEPS: &str = r#"
[processes]
time_zone = "UTC"

[[processes.joiner.steps]]
id = "laptop"
title = "Hand out a laptop"
owner = "it@acme.example"
due = "1 day"

[[processes.joiner.steps]]
id = "badge"
title = "Print a badge"
owner = "desk@acme.example"
due = "2 days"
"#;

/// The address of a person's page.
async fn page_of(acme: &Tenant, name: &str) -> String {
    format!("/workspace/t/acme/people/{}", text(&acme.account(name).await["id"]))
}

/// The address that the first form of a page is sent to that ends so.
fn action(page: &str, end: &str) -> String {
    let actions = page.split("action=\"").skip(1).filter_map(|rest| rest.split('"').next());
    actions.filter(|action| action.ends_with(end)).map(str::to_owned).next().unwrap_or_else(|| panic!("no form to …{end} in {page}"))
}

/// The address of the link with those words.
fn link(page: &str, words: &str) -> String {
    let before = page.split_once(&format!(">{words}</a>")).map(|(before, _)| before);
    let address = before.and_then(|before| before.rsplit("href=\"").next()).and_then(|rest| rest.split('"').next());
    address.unwrap_or_else(|| panic!("no link {words:?} in {page}")).replace("&amp;", "&")
}

on_both_databases! {
    /// By name in pages, by address, display name and external id, by state; nobody is told what to do.
    async fn people_are_found_by_what_they_are_known_by(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let ops = Browser::sign_in(&server, json!({})).await;
        let people = "/workspace/t/acme/people";
        ops.get(people).await.expect(&["Nobody yet"]);
        let entra = acme.connection(&server, "Entra ID").await;
        let more = json!({"displayName": "Lovelace, Ada", "externalId": "ext-7", "emails": [{"value": "countess@acme.example", "type": "work"}]});
        entra.create_with("ada@acme.example", more).await;
        entra.crowd("worker", 60).await;
        let gone = entra.create("bob@acme.example").await;
        entra.deactivate(&gone).await;

        let found = ["q=ADA", "q=lovel", "q=countess%40", "q=ext-7"];
        for query in found {
            ops.get(&format!("{people}?{query}")).await.expect(&["ada@acme.example"]).lacks(&["bob@acme.example"]);
        }
        let first = ops.get(&format!("{people}?q=worker")).await;
        let second = ops.get(&link(&first.text, "More")).await;
        let rows = |page: &str| page.matches("href=\"/workspace/t/acme/people/").count();
        assert_eq!((rows(&first.text) >= 50, second.text.contains(">More</a>")), (true, false));
        second.expect(&["worker"]);
        ops.get(&format!("{people}?state=suspended")).await.expect(&["bob@acme.example"]).lacks(&["ada@acme.example"]);
        ops.get(&format!("{people}?q=b&state=active")).await.expect(&["Nobody found"]);
        ops.get(&format!("{people}?q=%00&after=%00")).await.expect(&["Nobody found"]);
        for missing in ["unknown", "unknown/history", "unknown/why?role=reader", "unknown/erase", "unknown/standing"] {
            assert_eq!(ops.get(&format!("{people}/{missing}")).await.status, 404, "{missing}");
        }
    }

    /// What the identity provider says and what was made of it; why and why not; suspended at once and given back; an exception; steps; the
    /// invitation; the history; in the end the departure with its receipt, and erasure.
    async fn one_person_is_looked_after_on_one_page(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").and_settings(STEPS).create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create_with("ada@acme.example", json!({"title": "Countess"})).await;
        entra.group("Engineering", &[&ada]).await;
        server.settle().await;
        let ops = Browser::sign_in(&server, json!({"tenant": "acme", "person": "olga@acme.example", "admin_roles": ["tenant-owner"]})).await;
        let page = page_of(&acme, "ada@acme.example").await;
        let shown = ops.get(&page).await;
        shown.expect(&["The account is in use", "Countess", "engineers work on the code", "through engineering", "Entra ID", "Hand out a laptop"]);
        shown.lacks(&["every 3s", "Receipt of the last departure", "Erase what is personal"]);
        ops.get(&format!("{page}/why?role=developer")).await.expect(&["The policies give it.", "engineers"]);
        ops.get(&format!("{page}/why?role=admin")).await.expect(&["No policy gives it.", "operators", "Not met"]);
        assert_eq!(ops.get(&format!("{page}/why?role=unknown")).await.status, 404);

        let step = action(&shown.text, "/laptop");
        assert_eq!(ops.said(&step, &[("said", "done")]).await, "The step is done.");
        let badge = action(&shown.text, "/badge");
        assert!(ops.said(&badge, &[("said", "skip")]).await.contains("why it is skipped"));
        assert_eq!(ops.said(&badge, &[("said", "skip"), ("reason", "has one")]).await, "The step is skipped.");
        assert!(ops.said(&format!("{page}/invite"), &[]).await.contains("is invited"));
        let invited = ops.get(&page).await;
        invited.expect(&["Send again with a new link", "has one"]);
        ops.said(&action(&invited.text, "/revoke"), &[]).await;
        ops.get(&page).await.expect(&["Send an invitation"]);

        assert!(ops.said(&format!("{page}/suspend"), &[("reason", "lost badge"), ("ends", "yesterday")]).await.contains("is a date such as"));
        let day = server.app().clock.now().plus_seconds(5 * 86_400).timestamp().strftime("%Y-%m-%d").to_string();
        // A leave that is ahead keeps nobody from being taken out of use now.
        let date = |days: i64| server.app().clock.now().plus_seconds(days * 86_400).timestamp().strftime("%Y-%m-%d").to_string();
        let ahead = [("reason", "a sabbatical"), ("starts", &*date(3)), ("ends", &*date(9))];
        assert!(ops.said(&format!("{page}/leave"), &ahead).await.contains("is noted"));
        ops.get(&page).await.expect(&["Suspend now", "a sabbatical", "Call the leave off"]);
        let said = ops.said(&format!("{page}/suspend"), &[("reason", "lost badge"), ("ends", &day)]).await;
        assert!(said.contains("being suspended"), "{said}");
        ops.get(&format!("{page}/standing")).await.expect(&["every 3s"]);
        server.settle().await;
        let suspended = ops.get(&page).await;
        suspended.expect(&["on leave", "lost badge", "olga@acme.example", "asleep"]).lacks(&["Suspend now"]);
        assert_eq!(acme.state("ada@acme.example").await, "suspended");
        // Each is ended by itself, and only for whom it is.
        let leaves = acme.api.get("/leaves").await.expect(200);
        let leave = |reason: &str| {
            let all = leaves["rulings"].as_array().expect("leaves");
            text(&all.iter().find(|leave| leave["reason"] == reason).unwrap_or_else(|| panic!("no {reason} in {leaves}"))["id"])
        };
        entra.create("eve@acme.example").await;
        server.settle().await;
        let others = page_of(&acme, "eve@acme.example").await;
        assert!(ops.said(&format!("{others}/leave/{}/end", leave("lost badge")), &[]).await.contains("of this person"));
        ops.said(&format!("{page}/leave/{}/end", leave("lost badge")), &[]).await;
        server.settle().await;
        assert!(acme.roles("ada@acme.example").await.contains("developer"));
        ops.get(&page).await.expect(&["a sabbatical"]).lacks(&["lost badge"]);
        ops.said(&format!("{page}/leave/{}/end", leave("a sabbatical")), &[]).await;
        server.settle().await;

        let exception = [("role", "reader"), ("effect", "grant"), ("reason", "stands in"), ("owner", "olga@acme.example"), ("ends", day.as_str())];
        ops.said(&format!("{page}/exceptions"), &exception).await;
        server.settle().await;
        let shown = ops.get(&page).await;
        shown.expect(&["has the role reader by an exception", "stands in"]);
        assert!(acme.roles("ada@acme.example").await.contains("reader"));
        ops.said(&action(&shown.text, "/end"), &[]).await;
        server.settle().await;
        assert!(!acme.roles("ada@acme.example").await.contains("reader"));

        ops.get(&format!("{page}/history")).await.expect(&["Had the role developer.", "engineers work on the code", "The account was suspended (absent)"]);

        entra.scim.delete(&format!("/Users/{ada}")).await.expect(204);
        server.settle().await;
        ops.get(&page).await.expect(&["Receipt of the last departure", "developer", "it deleted the person", "Erase what is personal…"]);
        let erase = format!("{page}/erase");
        ops.get(&erase).await.expect(&["can’t be undone", "ada@acme.example"]);
        assert!(ops.said(&erase, &[("reason", "DSR-7")]).await.contains("tick that you know"));
        assert!(ops.said(&erase, &[("reason", "ada@acme.example"), ("sure", "yes")]).await.contains("name a ticket"));
        assert_eq!(ops.said(&erase, &[("reason", "DSR-7"), ("sure", "yes")]).await, "What is personal is erased.");
        ops.get(&page).await.lacks(&["ada@acme.example", "Countess"]);
    }

    /// Rows that can be are imported, the others come back as a file with what is wrong, which can be imported when it is mended.
    async fn a_file_is_imported_as_far_as_it_can_be(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        entra.create("taken@acme.example").await;
        let ops = Browser::sign_in(&server, json!({})).await;
        let import = "/workspace/t/acme/people/import";
        ops.get(import).await.expect(&["user_name", "Import"]);
        let file = "user_name,emails,roles\nada,ada@acme.example,reader\nbob,nowhere,reader\ntaken@acme.example,,\neve,,emperor\nkim,,\n";
        let answer = ops.post(import, &[("content", file)]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for said in ["2 new", "3 failed", "`nowhere` is no e-mail address", "belongs to an account", "no role `emperor`"] {
            assert!(answer.text.contains(said), "{said} in {}", answer.text);
        }
        assert_eq!((acme.roles("ada").await.len(), acme.state("kim").await.as_str()), (1, "active"));
        let (_, failed) = answer.text.split_once("<textarea name=\"content\" hidden").expect("the rows that failed");
        let failed = failed.split_once('>').expect("the file").1.split_once("</textarea>").expect("the file").0.replace("&quot;", "\"");
        let kept = ops.post(&format!("{import}/failed"), &[("content", &failed)]).await;
        assert_eq!((kept.status.as_u16(), kept.header("content-disposition")), (200, "attachment; filename=\"failed-rows.csv\""));
        assert!(kept.text.starts_with("user_name,emails,roles,problem"), "{}", kept.text);
        let mended = kept.text.replace("nowhere", "bob@acme.example").replace("emperor", "reader").replace("taken@", "other@");
        let again = ops.post(import, &[("content", &mended)]).await;
        assert!(again.text.contains("3 new") && again.text.contains("no row failed"), "{}", again.text);
        let broken = ops.post(import, &[("content", "name,age\nada,36\n")]).await;
        assert!(broken.text.contains("Nothing is imported") && broken.text.contains("no column `user_name`"), "{}", broken.text);
        assert_eq!(ops.post(&format!("{import}/failed"), &[]).await.status, 400);
    }

    /// The catalogue, a role with its policies and holders, a group that waits for a yes, a handle that nobody has, what is unused.
    async fn groups_and_roles_are_looked_at_and_confirmed(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_role("spare/part", false).create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Engineering", &[&ada]).await;
        entra.group("Operations", &[&ada]).await;
        entra.group("Choir", &[&ada]).await;
        server.settle().await;
        let ops = Browser::sign_in(&server, json!({})).await;
        ops.get("/workspace/t/acme/roles").await.expect(&["developer", "privileged", "by nobody", "spare%2Fpart"]);
        ops.get("/workspace/t/acme/roles?q=dev").await.expect(&["developer"]).lacks(&["spare/part"]);
        ops.get("/workspace/t/acme/roles/developer").await.expect(&["engineers work on the code", "engineering", "ada@acme.example", "effective"]);
        ops.get("/workspace/t/acme/roles/spare%2Fpart").await.expect(&["No policy can give this role", "Nobody"]);
        assert_eq!(ops.get("/workspace/t/acme/roles/unknown").await.status, 404);
        let groups = ops.get("/workspace/t/acme/groups").await;
        groups.expect(&["Wait for a yes", "“Operations”", "no group has them", "staff", "Choir"]);
        ops.get("/workspace/t/acme/groups/unused").await.expect(&["choir", "spare/part", "Roles that nobody has"]);

        let said = ops.said(&action(&groups.text, "/confirm"), &[]).await;
        assert!(said.contains("operations is the group"), "{said}");
        server.settle().await;
        assert!(acme.roles("ada@acme.example").await.contains("admin"));
        ops.get("/workspace/t/acme/groups").await.lacks(&["Wait for a yes"]);
        assert!(ops.said("/workspace/t/acme/groups/unknown/confirm", &[]).await.contains("no"));
    }

    /// Each role sees all of it and is offered what it may; what it may not is refused, whatever it sends.
    async fn nobody_does_more_with_people_than_they_may(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").and_settings(STEPS).create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ada = entra.create("ada@acme.example").await;
        entra.group("Operations", &[&ada]).await;
        server.settle().await;
        let page = page_of(&acme, "ada@acme.example").await;
        let as_one = async |role: &str| {
            Browser::sign_in(&server, json!({"tenant": "acme", "person": "olga@acme.example", "admin_roles": [role]})).await
        };
        let auditor = as_one("auditor").await;
        auditor.get(&page).await.expect(&["Hand out a laptop", "Operations", "takes the right"]).lacks(&["Suspend now…", "value=\"done\"", "/invite"]);
        auditor.get("/workspace/t/acme/people/import").await.expect(&["takes the right"]);
        auditor.get("/workspace/t/acme/groups").await.expect(&["takes the right"]).lacks(&["/confirm"]);
        let author = as_one("policy-author").await;
        author.get("/workspace/t/acme/groups").await.expect(&["/confirm"]);
        author.get(&page).await.lacks(&["Suspend now…"]);
        let day = server.app().clock.now().plus_seconds(5 * 86_400).timestamp().strftime("%Y-%m-%d").to_string();
        let fields = [("reason", "x"), ("ends", day.as_str()), ("role", "reader"), ("effect", "grant"), ("owner", "o"), ("said", "done"), ("sure", "yes")];
        let laptop = action(&as_one("tenant-owner").await.get(&page).await.text, "/laptop");
        for (who, name) in [(&auditor, "auditor"), (&author, "author")] {
            let forms = ["/suspend", "/leave", "/exceptions", "/invite", "/erase"].map(|form| format!("{page}{form}"));
            for form in forms.iter().chain([&laptop]) {
                let said = who.said(form, &fields).await;
                assert!(said.contains("change nothing") || said.contains("may") || said.contains("allow"), "{name} {form}: {said}");
            }
        }
        let said = auditor.said("/workspace/t/acme/groups/operations/confirm", &[]).await;
        assert!(!said.contains("is the group"), "{said}");
        auditor.get("/workspace/t/acme/groups").await.expect(&["Wait for a yes"]);
        assert_eq!(auditor.post("/workspace/t/acme/people/import", &[("content", "user_name\nx\n")]).await.status, 403);
        assert_eq!(acme.state("ada@acme.example").await, "active");
        let other = as_one("tenant-owner").await;
        server.tenant("globex").create().await;
        assert_eq!(other.get("/workspace/t/globex/people").await.status, 404);
    }

    /// What needs somebody stands on the first page: people for whom a policy fails, and steps that are overdue.
    async fn today_tells_of_people_and_steps(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").and_settings(STEPS).and_policies(rolecall_tests::tenant::FAILING_POLICY).create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let ops = Browser::sign_in(&server, json!({})).await;
        ops.get("/workspace/t/acme").await.expect(&["Nothing needs you"]);
        let ada = entra.create_with("ada@acme.example", json!({"title": "overflow"})).await;
        entra.group("Engineering", &[&ada]).await;
        server.settle().await;
        ops.get("/workspace/t/acme").await.expect(&["can’t be decided about", "ada@acme.example", "policy `fails`"]);
        ops.get(&page_of(&acme, "ada@acme.example").await).await.expect(&["a policy fails", "Mend the policy"]);
        server.clock.advance_hours(30);
        let ops = Browser::sign_in(&server, json!({})).await;
        server.settle().await;
        ops.get("/workspace/t/acme").await.expect(&["Steps that are overdue", "Hand out a laptop"]).lacks(&["Print a badge"]);
    }
}
