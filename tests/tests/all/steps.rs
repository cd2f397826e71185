//! What people have to do for those who join, move and leave, and invitations: set in `tenant.toml`, carried out over the API and the
//! command line, told to targets.

use rolecall_tests::receiver::Receiver;
use rolecall_tests::tenant::text;
use rolecall_tests::{Answer, Client, Database, Server, Tenant, on_both_databases, process};
use serde_json::{Value, json};

const EXTENSION: &str = "urn:example:params:scim:schemas:extension:work:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

const SETTINGS: &str = r#"
[processes]
time_zone = "Europe/Berlin"
start_date_attribute = "urn:example:params:scim:schemas:extension:work:2.0:User:firstDay"

[[processes.joiner.steps]]
id = "laptop"
title = "Hand out a laptop"
owner = "it@acme.example"
due = "-2 days"

[[processes.joiner.steps]]
id = "badge"
title = "Print a badge"
owner = "desk@acme.example"
due = "1 day"

[[processes.mover.steps]]
id = "handover"
title = "Hand over"
owner = "lead@acme.example"
due = "1 week"
when = { loses = "developer" }

[[processes.leaver.steps]]
id = "keys"
title = "Take the keys back"
owner = "desk@acme.example"
due = "4 hours"

[[schemas]]
id = "urn:example:params:scim:schemas:extension:work:2.0:User"
name = "Work"
attributes = [{ name = "firstDay", type = "string" }]
"#;

const POLICIES: &str = r#"
@id("engineers")
@reason("engineers work on the code")
permit (principal, action == Rolecall::Action::"hold", resource == Rolecall::Role::"developer")
when { principal has department && principal.department == "Engineering" };

@id("sellers")
@reason("sellers read")
permit (principal, action == Rolecall::Action::"hold", resource == Rolecall::Role::"reader")
when { principal has department && principal.department == "Sales" };
"#;

/// The one open process of a kind.
async fn open(acme: &Tenant, kind: &str) -> Value {
    let listed = acme.api.get(&format!("/processes?kind={kind}")).await.expect(200);
    assert_eq!(listed["processes"].as_array().map(Vec::len), Some(1), "{listed}");
    listed["processes"][0].clone()
}

async fn kinds(acme: &Tenant, server: &Server, kind: &str) -> usize {
    acme.events(server).await.iter().filter(|event| event["kind"] == kind).count()
}

/// The links that the target was told, oldest first.
fn links(receiver: &Receiver) -> Vec<String> {
    receiver
        .deliveries()
        .iter()
        .filter(|delivery| delivery.json()["type"] == "invitation.made")
        .map(|delivery| text(&delivery.json()["link"]))
        .collect()
}

/// An answer without what differs from request to request.
fn alike(answer: &Answer) -> (u16, String) {
    let mut body = answer.json();
    body["request_id"] = Value::Null;
    (answer.status.as_u16(), body.to_string())
}

on_both_databases! {
    /// Begun with the person's own copy, dated in the tenant's zone, told when overdue, carried out, called off.
    async fn people_carry_out_the_steps_of_a_tenant(database: Database) {
        let server = Server::start(&database).await;
        let builder = server.tenant("acme").with_policies(POLICIES).and_settings(SETTINGS);
        let files = builder.files();
        let acme = builder.create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let first = server.app().clock.now().plus_seconds(10 * 86_400).to_string()[..10].to_owned();
        let body = json!({EXTENSION: {"firstDay": first}, ENTERPRISE: {"department": "Engineering"}, "userType": "Employee"});
        let ada = entra.create_with("ada@acme.example", body).await;
        server.settle().await;
        let joiner = open(&acme, "joiner").await;
        assert_eq!((text(&joiner["user_name"]), text(&joiner["state"])), ("ada@acme.example".into(), "open".into()));
        let step = |process: &Value, at: usize| (text(&process["steps"][at]["id"]), text(&process["steps"][at]["state"]), text(&process["steps"][at]["due"]));
        let at = |text: &str| text.parse::<jiff::Timestamp>().expect("an instant");
        let days = |process: &Value, step: usize| {
            let zone = jiff::tz::TimeZone::get("Europe/Berlin").expect("a zone");
            let day = |instant: &Value| at(&text(instant)).to_zoned_datetime(zone.clone()).date();
            day(&process["steps"][step]["due"]).since(day(&process["anchor"])).expect("a span").get_days()
        };
        assert_eq!((days(&joiner, 0), days(&joiner, 1)), (-2, 1), "{joiner}");

        // What is set later is for those who come later.
        let mut later = files;
        let settings = String::from_utf8(later["tenant.toml"].clone()).expect("text").replace("Print a badge", "Make a badge");
        later.insert("tenant.toml".into(), settings.into_bytes());
        acme.activate(&server, later).await;
        server.settle().await;
        assert_eq!(open(&acme, "joiner").await["steps"][1]["title"], "Print a badge");

        server.clock.advance_hours(9 * 24);
        server.settle().await;
        server.settle().await;
        let overdue = acme.api.get("/processes?overdue=true").await.expect(200);
        assert_eq!(step(&overdue["processes"][0], 0).1, "overdue", "{overdue}");
        assert_eq!(kinds(&acme, &server, "step.overdue").await, 1);
        let events = json!(acme.events(&server).await);
        let told = events.as_array().expect("a list").iter().find(|event| event["kind"] == "step.overdue").expect("told").clone();
        assert_eq!((&told["data"]["step"], &told["personal"]["owner"]), (&json!("laptop"), &json!("it@acme.example")));

        let id = text(&joiner["id"]);
        let (url, token) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let run = async |arguments: &[&str]| process::run(arguments, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &token)]).await;
        let (done, said, error) = run(&["process", "list", "--tenant", "acme", "--overdue"]).await;
        assert!(done && said.contains(&id) && said.contains("ada@acme.example"), "{said}{error}");
        let (done, said, error) = run(&["process", "done", "--tenant", "acme", &id, "laptop"]).await;
        assert!(done && said.contains("Hand out a laptop") && said.contains("done"), "{said}{error}");
        acme.api.post(&format!("/processes/{id}/steps/laptop/done"), json!({})).await.expect(409);
        acme.api.post(&format!("/processes/{id}/steps/nothing/done"), json!({})).await.expect(404);
        acme.api.post(&format!("/processes/{id}/steps/badge/skip"), json!({})).await.expect(400);
        acme.api.post(&format!("/processes/{id}/steps/badge/skip"), json!({"reason": ""})).await.expect(422);
        let finished = acme.api.post(&format!("/processes/{id}/steps/badge/skip"), json!({"reason": "works from home"})).await.expect(200);
        assert_eq!((&finished["state"], &finished["steps"][1]["reason"]), (&json!("done"), &json!("works from home")));
        let (done, said, error) = run(&["process", "show", "--tenant", "acme", &id]).await;
        assert!(done && said.contains("works from home"), "{said}{error}");

        // She starts, moves and leaves.
        server.clock.advance_hours(3 * 24);
        server.settle().await;
        assert_eq!(acme.state("ada@acme.example").await, "active");
        assert_eq!(acme.api.get("/processes").await.expect(200)["processes"], json!([]), "a joiner joins once");
        entra.set(&ada, &format!("{ENTERPRISE}:department"), json!("Sales")).await;
        assert_eq!(open(&acme, "mover").await["steps"][0]["id"], "handover");
        entra.deactivate(&ada).await;
        let leaver = open(&acme, "leaver").await;
        let hours = at(&text(&leaver["steps"][0]["due"])).duration_since(at(&text(&leaver["anchor"]))).as_hours();
        assert_eq!((step(&leaver, 0).0, hours), ("keys".into(), 4));
        assert_eq!(acme.api.get("/processes?state=called_off").await.expect(200)["processes"][0]["kind"], "mover");
        assert_eq!(acme.roles("ada@acme.example").await.len(), 0, "no step holds up what goes with the write");
        entra.set(&ada, "active", json!(true)).await;
        assert_eq!(acme.api.get("/processes?account=ada@acme.example").await.expect(200)["processes"], json!([]), "who is back needs no leaver's steps");
        server.stop().await;
    }

    /// The end of a whole connection is a departure of each of its people, but of those who have an account through another.
    async fn people_leave_with_their_connection(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").with_policies(POLICIES).and_settings(SETTINGS).create().await;
        let (entra, okta) = (acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await);
        let engineer = || json!({ENTERPRISE: {"department": "Engineering"}});
        for name in ["ada@acme.example", "bob@acme.example"] {
            entra.create_with(name, engineer()).await;
        }
        let gone = entra.create_with("eve@acme.example", engineer()).await;
        let future = server.app().clock.now().plus_seconds(30 * 86_400).to_string()[..10].to_owned();
        entra.create_with("kim@acme.example", json!({EXTENSION: {"firstDay": future}})).await;
        entra.deactivate(&gone).await;
        okta.create_with("bob@acme.example", engineer()).await;
        server.settle().await;
        let before = acme.api.get("/processes?kind=leaver&state=open").await.expect(200);
        assert_eq!(before["processes"].as_array().map(Vec::len), Some(1), "{before}");
        let left_at = server.app().clock.now();
        acme.api.delete(&format!("/connections/{}", entra.id)).await.expect(204);
        server.clock.advance_hours(1);
        server.settle().await;
        let leavers = acme.api.get("/processes?kind=leaver").await.expect(200);
        let who = |process: &Value| text(&process["user_name"]);
        let mut named: Vec<String> = leavers["processes"].as_array().expect("a list").iter().map(who).collect();
        named.sort();
        assert_eq!(named, ["ada@acme.example", "eve@acme.example"], "bob is there still, and kim never came: {leavers}");
        let ada = leavers["processes"].as_array().expect("a list").iter().find(|process| who(process) == "ada@acme.example").expect("she left");
        let (anchor, soon) = (text(&ada["anchor"]), left_at.plus_seconds(60).to_string());
        assert!(left_at.to_string() <= anchor && anchor < soon, "counted from the end of the connection: {ada}");
        let receipt = acme.api.get("/accounts/ada@acme.example/receipt").await.expect(200);
        assert!(receipt.to_string().contains("developer"), "{receipt}");
        assert_eq!(acme.state("bob@acme.example").await, "active");
        server.stop().await;
    }

    /// A departure that a target has not acknowledged in time is told once.
    async fn a_target_that_is_late_is_told_of(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").and_settings("[processes]\ntarget_hours = 2\n").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let receiver = Receiver::start([]).await;
        acme.api.put("/targets/crm", json!({"url": receiver.url()})).await.expect(200);
        let (ada, bob) = (entra.create("ada@acme.example").await, entra.create("bob@acme.example").await);
        server.settle().await;
        entra.deactivate(&bob).await;
        server.settle().await;
        receiver.set_failing(true);
        entra.deactivate(&ada).await;
        server.clock.advance_hours(3);
        server.settle().await;
        server.settle().await;
        let late: Vec<Value> = acme.events(&server).await.into_iter().filter(|event| event["kind"] == "receipt.overdue").collect();
        assert_eq!(late.len(), 1, "{late:?}");
        assert_eq!((&late[0]["account"], &late[0]["data"]["targets"]), (&acme.account("ada@acme.example").await["id"], &json!(["crm"])));
        server.stop().await;
    }

    /// The link goes to targets alone and is good once; looking at it changes nothing.
    async fn a_link_is_good_once(database: Database) {
        let server = Server::start(&database).await;
        let acme = server.tenant("acme").and_settings("[processes.invitations]\naccounts = \"all\"\nexpire_hours = 24\n").create().await;
        let entra = acme.connection(&server, "Entra ID").await;
        let receiver = Receiver::start([]).await;
        acme.api.put("/targets/mail", json!({"url": receiver.url()})).await.expect(200);
        entra.create("ada@acme.example").await;
        server.settle().await;
        let link = links(&receiver).pop().expect("the target was told");
        let token = link.rsplit('/').next().expect("a token").to_owned();
        assert!(link.starts_with("/invitations/acme/ri_") && token.len() == 46, "{link}");
        let delivery = receiver.deliveries().into_iter().find(|delivery| delivery.json()["type"] == "invitation.made").expect("it came");
        assert_eq!(delivery.json()["data"]["personal"]["user_name"], "ada@acme.example");
        let anybody = Client::new(server.url(), None);
        let (good, bad) = (anybody.get(&link).await, anybody.get("/invitations/nobody/ri_nothing").await);
        assert_eq!((good.status.as_u16(), &good.text), (200, &bad.text), "nothing is looked up");
        assert!(good.headers["content-security-policy"].to_str().expect("text").contains("frame-ancestors 'none'"));
        assert!(!good.text.contains("ri_") && good.headers["referrer-policy"] == "no-referrer");
        assert_eq!(acme.api.get("/invitations").await.expect(200)["invitations"][0]["state"], "open");

        let unknown = alike(&anybody.post(&format!("/invitations/acme/ri_{}", "A".repeat(43)), json!({})).await);
        assert_eq!(unknown.0, 404);
        let accepted = anybody.send("POST", &link, &[("content-type", "application/x-www-form-urlencoded")], Some(Vec::new())).await;
        assert_eq!(accepted.status.as_u16(), 200, "{accepted:?}");
        let others = ["/invitations/globex/", "/invitations/acme/"].map(|start| format!("{start}{token}"));
        for used in &others {
            assert_eq!(alike(&anybody.post(used, json!({})).await), unknown, "{used}");
        }
        let looked = anybody.send("POST", &others[1], &[("accept", "text/html,*/*")], Some(Vec::new())).await;
        assert_eq!(looked.status.as_u16(), 404);
        for part in ["<title>Invitation</title>", "name=\"viewport\"", "Ask whoever invited you"] {
            assert!(looked.text.contains(part), "{part}: {looked:?}");
        }
        assert!(good.text.contains("name=\"viewport\"") && accepted.text.contains("name=\"viewport\""));
        assert_eq!(kinds(&acme, &server, "invitation.accepted").await, 1);

        // Sent again by hand: the one before ends; it expires; who leaves has no invitation.
        let (url, operator) = (server.url(), server.operator.token.clone().unwrap_or_default());
        let run = async |arguments: &[&str]| process::run(arguments, &[("ROLECALL_SERVER", &url), ("ROLECALL_TOKEN", &operator)]).await;
        for _ in 0..2 {
            let (done, said, error) = run(&["invitation", "send", "--tenant", "acme", "ada@acme.example"]).await;
            assert!(done && said.contains("is on its way") && !said.contains("ri_"), "{said}{error}");
            server.settle().await;
        }
        let sent = links(&receiver);
        assert_eq!(sent.len(), 3);
        assert_eq!(alike(&anybody.post(&sent[1], json!({})).await), unknown, "replaced");
        server.clock.advance_hours(25);
        assert_eq!(alike(&anybody.post(&sent[2], json!({})).await), unknown, "expired, though nobody has said so");
        server.settle().await;
        server.settle().await;
        assert_eq!(kinds(&acme, &server, "invitation.expired").await, 1);
        let bob = entra.create("bob@acme.example").await;
        server.settle().await;
        entra.deactivate(&bob).await;
        server.settle().await;
        assert_eq!(alike(&anybody.post(&links(&receiver)[3], json!({})).await), unknown, "left");
        acme.api.post("/accounts/bob@acme.example/invitation", json!({})).await.expect(422);
        entra.set(&bob, "active", json!(true)).await;
        server.settle().await;
        assert_eq!(links(&receiver).len(), 4, "not again");
        let revoked: Vec<Value> = acme.events(&server).await.into_iter().filter(|event| event["kind"] == "invitation.revoked").collect();
        assert_eq!(revoked.iter().map(|event| text(&event["data"]["why"])).collect::<Vec<_>>(), ["replaced", "left"]);

        let said = json!([acme.events(&server).await, acme.api.get("/invitations?state=accepted").await.expect(200)]).to_string();
        for link in links(&receiver) {
            let token = link.rsplit('/').next().expect("a token").to_owned();
            assert!(!said.contains(&token) && !rolecall_tests::logs::contains(&token), "{token}");
        }
        // Guessing comes to an end.
        let mut answers = std::collections::BTreeMap::<u16, usize>::new();
        for _ in 0..400 {
            *answers.entry(anybody.post("/invitations/acme/ri_guess", json!({})).await.status.as_u16()).or_default() += 1;
        }
        assert!(answers.contains_key(&429), "{answers:?}");
        server.stop().await;
    }

    /// Nobody is invited from staging, before a start, or without being meant; a connection that goes live invites.
    async fn nobody_is_invited_before_their_time(database: Database) {
        let server = Server::start(&database).await;
        let settings = format!("{SETTINGS}\n[processes.invitations]\naccounts = \"all\"\n");
        let acme = server.tenant("acme").and_settings(&settings).create().await;
        let made = acme.api.post("/connections", json!({"name": "staged"})).await.expect(201);
        let scim = Client::scim(text(&made["base_url"]), text(&made["token"]));
        scim.post("/Users", rolecall_tests::tenant::user("ada@acme.example", json!({}))).await.expect(201);
        let first = server.app().clock.now().plus_seconds(10 * 86_400).to_string()[..10].to_owned();
        scim.post("/Users", rolecall_tests::tenant::user("bob@acme.example", json!({EXTENSION: {"firstDay": first}}))).await.expect(201);
        server.settle().await;
        assert_eq!((kinds(&acme, &server, "invitation.made").await, kinds(&acme, &server, "process.begun").await), (0, 0));
        let connection = text(&made["id"]);
        let seen = acme.api.get(&format!("/connections/{connection}/difference")).await.expect(200);
        acme.api.post(&format!("/connections/{connection}/live"), json!({"digest": seen["digest"]})).await.expect(200);
        server.settle().await;
        assert_eq!((acme.state("ada@acme.example").await, acme.state("bob@acme.example").await), ("active".into(), "scheduled".into()));
        assert_eq!(kinds(&acme, &server, "invitation.made").await, 1, "ada alone");
        assert_eq!(open(&acme, "joiner").await["user_name"], "bob@acme.example", "who was there before the first sync does not join");
        server.clock.advance_hours(11 * 24);
        server.settle().await;
        assert_eq!(kinds(&acme, &server, "invitation.made").await, 2);
        server.stop().await;
    }
}
