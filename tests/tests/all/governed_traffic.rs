//! Whatever the order of requests, jobs, activations, answers and dates: who is inactive holds nothing, and what is held has a reason that
//! holds under the active revision, or somebody has said so and it counts still.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rolecall::evaluation::{self, Outcome, Subject};
use rolecall::lifecycle;
use rolecall::model::{AccountState, ConnectionId, GrantState, ResourceId, Ruling, RulingKind, RulingState};
use rolecall::tenancy;
use rolecall_tests::tenant::{POLICIES, text, user};
use rolecall_tests::{Client, Connection, Database, Server, Tenant, on_both_databases};
use serde_json::{Value, json};

use crate::leavers::confirm;

const PEOPLE: usize = 6;
/// Each gives a role; the last a privileged one.
const GROUPS: [&str; 3] = ["Engineering", "Staff", "Operations"];
const ROLES: [&str; 3] = ["developer", "reader", "admin"];
const STEPS: usize = 60;
/// One person within a window passes; everything else waits.
const SETTINGS: &str =
    "\n[guard]\npercent = 0\npeople = 0\nat_least = 1\nprivileged_percent = 0\nprivileged_people = 0\nprivileged_at_least = 1\n";

#[derive(Clone, Debug)]
enum Step {
    Add(usize, usize),
    Remove(usize, usize),
    Active(usize, bool),
    Delete(usize),
    OutOfScope(usize, bool),
    Contractor(usize, bool),
    Answer(usize, bool),
    Approve(usize, bool),
    Except(usize, usize, bool),
    EndException(usize),
    Activate(bool),
    Hours(i64),
    Jobs,
}

fn step() -> impl Strategy<Value = Step> {
    let person = 0..PEOPLE;
    prop_oneof![
        8 => (person.clone(), 0..GROUPS.len()).prop_map(|(person, group)| Step::Add(person, group)),
        5 => (person.clone(), 0..GROUPS.len()).prop_map(|(person, group)| Step::Remove(person, group)),
        4 => (person.clone(), any::<bool>()).prop_map(|(person, active)| Step::Active(person, active)),
        1 => person.clone().prop_map(Step::Delete),
        2 => (person.clone(), any::<bool>()).prop_map(|(person, outside)| Step::OutOfScope(person, outside)),
        2 => (person.clone(), any::<bool>()).prop_map(|(person, contractor)| Step::Contractor(person, contractor)),
        4 => (0..4_usize, any::<bool>()).prop_map(|(hold, release)| Step::Answer(hold, release)),
        3 => (0..4_usize, any::<bool>()).prop_map(|(request, yes)| Step::Approve(request, yes)),
        3 => (person, 0..ROLES.len(), any::<bool>()).prop_map(|(person, role, grants)| Step::Except(person, role, grants)),
        1 => (0..4_usize).prop_map(Step::EndException),
        2 => any::<bool>().prop_map(Step::Activate),
        2 => (1_i64..40).prop_map(Step::Hours),
        3 => Just(Step::Jobs),
    ]
}

/// A `forbid` that some people are under; the second revision has no permit for engineers.
fn policies(second: bool) -> String {
    let base =
        if second { POLICIES.replace("Rolecall::Group::\"engineering\"", "Rolecall::Group::\"nobody\"") } else { POLICIES.to_owned() };
    base + r#"
@id("no-contractors")
@reason("contractors read nothing")
forbid (principal, action == Rolecall::Action::"hold", resource == Rolecall::Role::"reader")
when { principal has userType && principal.userType == "contractor" };
"#
}

struct World<'a> {
    server: &'a Server,
    acme: &'a Tenant,
    entra: Connection,
    boss: Client,
    people: Vec<Option<String>>,
    groups: Vec<String>,
}

impl World<'_> {
    fn later(&self, hours: i64) -> String {
        self.server.app().clock.now().plus_seconds(hours * 3_600).to_string()
    }

    async fn person(&mut self, person: usize) -> String {
        if let Some(id) = &self.people[person] {
            return id.clone();
        }
        let body = user(&format!("person-{person}@acme.example"), json!({"externalId": format!("person-{person}")}));
        let id = text(&self.entra.scim.post("/Users", body).await.expect(201)["id"]);
        self.people[person] = Some(id.clone());
        id
    }

    /// The id of the `n`th of a listing, if it has one.
    async fn nth(&self, path: &str, list: &str, n: usize) -> Option<String> {
        let listed = self.acme.api.get(path).await.expect(200);
        listed[list].as_array().expect("a list").get(n).map(|item| text(&item["id"]))
    }

    async fn apply(&mut self, step: &Step) {
        match step {
            Step::Add(person, group) => {
                let id = self.person(*person).await;
                self.entra.add(&self.groups[*group], &id).await;
            }
            Step::Remove(person, group) => {
                let id = self.person(*person).await;
                self.entra.remove(&self.groups[*group], &id).await;
            }
            Step::Active(person, active) => {
                let id = self.person(*person).await;
                self.entra.set(&id, "active", json!(active)).await;
            }
            Step::Delete(person) => {
                if let Some(id) = self.people[*person].take() {
                    self.entra.scim.delete(&format!("/Users/{id}")).await.expect(204);
                }
            }
            Step::OutOfScope(person, outside) => {
                let id = self.person(*person).await;
                self.entra.set(&id, "title", json!(if *outside { "outside" } else { "clerk" })).await;
            }
            Step::Contractor(person, contractor) => {
                let id = self.person(*person).await;
                self.entra.set(&id, "userType", json!(if *contractor { "contractor" } else { "employee" })).await;
            }
            Step::Answer(hold, release) => {
                let Some(id) = self.nth("/holds?state=open", "holds", *hold).await else { return };
                let (how, body) = if *release {
                    ("release", json!({"reason": "looked at"}))
                } else {
                    ("reject", json!({"reason": "looked at", "owner": "iam", "ends": self.later(30)}))
                };
                self.acme.api.post(&format!("/holds/{id}/{how}"), body).await.expect(200);
            }
            Step::Approve(request, yes) => {
                let Some(id) = self.nth("/approvals", "rulings", *request).await else { return };
                let how = if *yes { "approve" } else { "reject" };
                self.boss.post(&format!("/approvals/{id}/{how}"), json!({"reason": "looked at"})).await.expect(200);
            }
            Step::Except(person, role, grants) => {
                self.person(*person).await;
                let effect = if *grants { "grant" } else { "forbid" };
                let body = json!({"role": ROLES[*role], "effect": effect, "ends": self.later(30), "reason": "stands in", "owner": "iam"});
                let path = format!("/accounts/person-{person}@acme.example/exceptions");
                // Nobody has the name while its account is held; one exception a role.
                self.acme.api.post(&path, body).await.expect_one_of(&[201, 404, 409]);
            }
            Step::EndException(number) => {
                let Some(id) = self.nth("/exceptions?effect=grant", "rulings", *number).await else { return };
                self.acme.api.delete(&format!("/exceptions/{id}")).await.expect(204);
            }
            Step::Activate(second) => self.acme.activate(self.server, files(self.server, self.acme.id.as_str(), *second)).await,
            Step::Hours(hours) => self.server.clock.advance_hours(*hours),
            Step::Jobs => self.server.settle().await,
        }
    }
}

fn files(server: &Server, tenant: &str, second: bool) -> rolecall::revision::Files {
    let approvals = "\n[approvals]\nsecond_person = \"never\"\n";
    server.tenant(tenant).asking().with_probe().with_policies(&policies(second)).and_settings(&format!("{approvals}{SETTINGS}")).files()
}

/// What holds at every moment, whether jobs have run or not.
async fn nobody_inactive_holds_anything(world: &World<'_>, shown: &str) {
    for (name, account) in world.acme.accounts().await {
        let grants = account["grants"].as_array().expect("a list").clone();
        let in_effect: Vec<&Value> = grants.iter().filter(|grant| grant["state"] != "pending" && grant["state"] != "dormant").collect();
        if account["state"] != "active" {
            assert!(in_effect.is_empty(), "{name} holds something: {account:#}\n{shown}");
        }
        let id = account["source"]["id"].as_str();
        let document = match id {
            Some(id) => world.entra.scim.get(&format!("/Users/{id}")).await.expect(200),
            None => json!({"active": false}),
        };
        let restored = account["note"]["code"] == "restored";
        assert!(document["active"] != false || restored || in_effect.is_empty(), "{name} is inactive: {account:#}\n{shown}");
    }
}

/// What holds when jobs have run: each role in effect has a reason that holds, or somebody's word.
async fn every_role_has_a_reason(world: &World<'_>, shown: &str) {
    let (server, acme) = (world.server, world.acme);
    let revision = tenancy::active_revision(server.app(), &acme.id).await.expect("the store answers").expect("a revision is active");
    let now = server.app().clock.now();
    for id in world.people.iter().flatten() {
        let connection = ConnectionId::from(world.entra.id.as_str());
        let stored = server.app().store.people(&acme.id, &connection, &[ResourceId::from(id.as_str())]).await.expect("answers").remove(0);
        let shown = format!("{shown}\n{stored:#?}");
        let subject = Subject {
            user: stored.resource.id.clone(),
            connection: stored.connection.clone(),
            document: stored.resource.document.clone(),
            groups: stored.groups.clone(),
            collision: None,
            excepted: lifecycle::excepted(&stored.rulings, &stored.grants),
        };
        let evaluated = evaluation::evaluate(&revision, &subject, lifecycle::as_of(now, None));
        let about = |kind, role: Option<&str>| {
            let of = move |ruling: &&Ruling| ruling.kind == kind && ruling.role.as_ref().map(|role| role.as_str()) == role;
            stored.rulings.iter().find(of)
        };
        let counts = |ruling: &Ruling| ruling.state == RulingState::Open || !ruling.is_over(now);
        let restored = about(RulingKind::Restored, None).is_some_and(|ruling| ruling.holds_at(now));
        let kept = about(RulingKind::Loss, None).is_some_and(counts);
        match &evaluated.outcome {
            Outcome::Inactive if !restored => assert_ne!(stored.account.state, AccountState::Active, "{shown}"),
            Outcome::OutOfScope(_) if !kept => assert_ne!(stored.account.state, AccountState::Active, "{shown}"),
            _ => {}
        }
        for grant in stored.grants.iter().filter(|grant| grant.state.in_effect()) {
            let role = grant.role.as_str();
            let given = evaluated.roles.iter().any(|decided| decided.role == role);
            let excepted =
                about(RulingKind::Grant, Some(role)).is_some_and(|ruling| ruling.holds_at(now)) && !evaluated.forbidden.contains(role);
            let held = about(RulingKind::Loss, Some(role)).is_some_and(counts);
            assert!(given || excepted || held || kept || restored, "`{role}` has no reason:\n{shown}");
            if role == "admin" && grant.state == GrantState::Effective {
                let approval = about(RulingKind::Approval, Some(role)).is_some_and(|ruling| ruling.holds_at(now));
                assert!(approval || held || kept || restored, "`{role}` has no approval:\n{shown}");
            }
            let forbid = about(RulingKind::Forbid, Some(role)).is_some_and(|ruling| ruling.holds_at(now));
            assert!(!forbid || kept || restored, "`{role}` is kept away by an exception:\n{shown}");
        }
    }
}

fn steps(seed: u8) -> Vec<Step> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    prop::collection::vec(step(), STEPS).new_tree(&mut runner).expect("steps can be made").current()
}

async fn run(database: &Database, seed: u8) -> BTreeSet<String> {
    println!("seed {seed}");
    let server = Server::start(database).await;
    let name = format!("acme-{seed}");
    let acme = server.tenant(&name).create_empty().await;
    acme.activate(&server, files(&server, &name, false)).await;
    let entra = acme.connection(&server, "Entra ID").await;
    let mut groups = Vec::new();
    for group in GROUPS {
        groups.push(entra.group(group, &[]).await);
    }
    confirm(&acme, "operations").await;
    acme.guard(&entra).await;
    let made = server.operator.post("/tokens", json!({"tenant": name, "write": true, "person": "grace@acme.example"})).await.expect(201);
    let boss = acme.api.with_token(made["token"].as_str());
    let mut world = World { server: &server, acme: &acme, entra, boss, people: vec![None; PEOPLE], groups };
    let steps = steps(seed);
    for (index, step) in steps.iter().enumerate() {
        world.apply(step).await;
        let shown = format!("seed {seed}, after {:?}", &steps[..=index]);
        nobody_inactive_holds_anything(&world, &shown).await;
        if index % 6 == 5 {
            server.settle().await;
            nobody_inactive_holds_anything(&world, &shown).await;
            every_role_has_a_reason(&world, &shown).await;
        }
    }
    let kinds = acme.events(&server).await.iter().map(|event| text(&event["kind"])).collect();
    server.stop().await;
    kinds
}

on_both_databases! {
    async fn what_is_held_has_a_reason_or_somebody_s_word(database: Database) {
        let runs = if std::env::var_os("ROLECALL_TEST_SOAK").is_some() { 40 } else { 4 };
        let mut kinds = BTreeSet::new();
        for seed in 1..=runs {
            kinds.extend(run(&database, seed).await);
        }
        for kind in ["hold.opened", "grant.loss_held", "grant.pending", "grant.dormant", "ruling.yes", "ruling.no", "exception.made"] {
            assert!(kinds.contains(kind), "no run came to `{kind}`, so this shows little: {kinds:?}");
        }
    }
}
