//! `evaluate` is the one decision: what live traffic left behind is what the stored inputs give when they are evaluated again.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rolecall::evaluation::{self, Outcome, Subject};
use rolecall::model::{AccountState, ConnectionId, GrantState, Reason, ResourceId};
use rolecall::tenancy;
use rolecall_tests::tenant::{POLICIES, text, user};
use rolecall_tests::{Connection, Database, Server, Tenant, on_both_databases};
use serde_json::json;

/// People, groups and steps of one run.
const PEOPLE: usize = 6;
/// Groups: three have a handle that policies name, one is nested in the first, one is nobody's business.
const GROUPS: [&str; 5] = ["Engineering", "Staff", "Support", "Platform Team", "Lunch Club"];
/// Steps of one run; `make soak` takes more runs.
const STEPS: usize = 60;
/// Titles: plain ones, one that the mapping refuses, one out of scope, one that traps, one that a policy fails over.
const TITLES: [&str; 6] = ["engineer", "clerk", "refuse", "outside", "trap", "overflow"];

/// One request of an identity provider.
#[derive(Clone, Debug)]
enum Step {
    Add(usize, usize),
    Remove(usize, usize),
    Title(usize, usize),
    Active(usize, bool),
    Department(usize, bool),
    Delete(usize),
    Nest(bool),
    Rename(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let person = 0..PEOPLE;
    prop_oneof![
        6 => (person.clone(), 0..GROUPS.len()).prop_map(|(person, group)| Step::Add(person, group)),
        3 => (person.clone(), 0..GROUPS.len()).prop_map(|(person, group)| Step::Remove(person, group)),
        4 => (person.clone(), 0..TITLES.len()).prop_map(|(person, title)| Step::Title(person, title)),
        3 => (person.clone(), any::<bool>()).prop_map(|(person, active)| Step::Active(person, active)),
        2 => (person.clone(), any::<bool>()).prop_map(|(person, sales)| Step::Department(person, sales)),
        1 => person.clone().prop_map(Step::Delete),
        1 => any::<bool>().prop_map(Step::Nest),
        1 => (person.clone(), person).prop_map(|(person, name)| Step::Rename(person, name)),
    ]
}

/// Policies with a condition on an attribute, a `forbid`, and one that fails for some people.
fn policies() -> String {
    format!(
        "{POLICIES}{}{}",
        rolecall_tests::tenant::FAILING_POLICY,
        r#"
        @id("support-is-not-for-sales")
        @reason("sales must not see support tickets")
        forbid (principal, action == Rolecall::Action::"hold", resource == Rolecall::Role::"support")
        when { principal has title && principal.title == "clerk" };

        @id("supporters")
        @reason("supporters answer tickets")
        permit (principal in Rolecall::Group::"support", action == Rolecall::Action::"hold", resource == Rolecall::Role::"support");
        "#
    )
}

/// The world that steps are applied to: present SCIM ids by person.
struct World {
    connections: [Connection; 2],
    people: Vec<Option<String>>,
    groups: BTreeMap<(usize, usize), String>,
}

impl World {
    /// Every other person comes over the second connection, so that names can collide.
    fn connection(&self, person: usize) -> &Connection {
        &self.connections[person % 2]
    }

    fn name(number: usize) -> String {
        format!("person-{number}@acme.example")
    }

    async fn person(&mut self, person: usize) -> String {
        if let Some(id) = &self.people[person] {
            return id.clone();
        }
        let create = async |name: String| {
            let body = user(&name, json!({"externalId": format!("person-{person}")}));
            self.connection(person).scim.post("/Users", body).await
        };
        let mut answer = create(Self::name(person)).await;
        if answer.status == 409 {
            // Somebody of the same connection was renamed into this name meanwhile.
            answer = create(format!("other-{}", Self::name(person))).await;
        }
        let id = text(&answer.expect(201)["id"]);
        self.people[person] = Some(id.clone());
        id
    }

    async fn group(&mut self, person: usize, group: usize) -> String {
        let key = (person % 2, group);
        if let Some(id) = self.groups.get(&key) {
            return id.clone();
        }
        // One connection's groups get the handles; the other's have names of their own.
        let name = if key.0 == 0 { GROUPS[group].to_owned() } else { format!("{} Two", GROUPS[group]) };
        let id = self.connections[key.0].group(&name, &[]).await;
        self.groups.insert(key, id.clone());
        id
    }

    async fn apply(&mut self, step: &Step) {
        match step {
            Step::Add(person, group) => {
                let (id, group) = (self.person(*person).await, self.group(*person, *group).await);
                self.connection(*person).add(&group, &id).await;
            }
            Step::Remove(person, group) => {
                let (id, group) = (self.person(*person).await, self.group(*person, *group).await);
                self.connection(*person).remove(&group, &id).await;
            }
            Step::Title(person, title) => {
                let id = self.person(*person).await;
                self.connection(*person).set(&id, "title", json!(TITLES[*title])).await;
            }
            Step::Active(person, active) => {
                let id = self.person(*person).await;
                self.connection(*person).set(&id, "active", json!(active)).await;
            }
            Step::Department(person, sales) => {
                let id = self.person(*person).await;
                let department = if *sales { "Sales" } else { "Engineering" };
                let path = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";
                self.connection(*person).set(&id, path, json!(department)).await;
            }
            Step::Delete(person) => {
                if let Some(id) = self.people[*person].take() {
                    self.connection(*person).scim.delete(&format!("/Users/{id}")).await.expect(204);
                }
            }
            Step::Nest(nested) => {
                let (outer, inner) = (self.group(0, 0).await, self.group(0, 3).await);
                if *nested { self.connections[0].add(&outer, &inner).await } else { self.connections[0].remove(&outer, &inner).await }
            }
            Step::Rename(person, name) => {
                let id = self.person(*person).await;
                let body = rolecall_tests::tenant::patch(json!([{"op": "replace", "path": "userName", "value": Self::name(*name)}]));
                let answer = self.connection(*person).scim.patch(&format!("/Users/{id}"), body).await;
                answer.expect_one_of(&[200, 409]);
            }
        }
    }
}

/// Evaluates everybody's stored inputs again, at the stored instant, and compares with what stands.
async fn expect_the_same_decisions(server: &Server, acme: &Tenant, world: &World, history: &[Step]) {
    let revision = tenancy::active_revision(server.app(), &acme.id).await.expect("the store answers").expect("a revision is active");
    for (person, id) in world.people.iter().enumerate().filter_map(|(person, id)| id.as_ref().map(|id| (person, id))) {
        let connection = ConnectionId::from(world.connection(person).id.as_str());
        let ids = [ResourceId::from(id.as_str())];
        let stored = server.app().store.people(&acme.id, &connection, &ids).await.expect("the store answers").remove(0);
        let shown = format!("person {person} after {history:?}:\n{stored:#?}");
        assert_eq!(stored.evaluation.evaluated_version, Some(stored.evaluation.input_version), "pending: {shown}");
        assert_eq!(stored.evaluation.evaluated_revision.as_ref().or(Some(&revision.hash)), Some(&revision.hash), "{shown}");
        let as_of = stored.evaluation.as_of.unwrap_or_else(|| panic!("never evaluated: {shown}"));
        let mut subject = Subject {
            user: stored.resource.id.clone(),
            connection: stored.connection.clone(),
            document: stored.resource.document.clone(),
            groups: stored.groups.clone(),
            collision: None,
            excepted: Vec::new(),
        };
        let mut evaluated = evaluation::evaluate(&revision, &subject, as_of);
        if let Outcome::Account(shape) = &evaluated.outcome {
            // A collision is a fact of the tenant: asked of the store, told to the decision.
            let key = rolecall::model::collision_key(&shape.user_name);
            let holders = server.app().store.name_holders(&acme.id, &[key]).await.expect("the store answers");
            subject.collision = holders.into_values().find(|holder| *holder != stored.account.id);
            evaluated = evaluation::evaluate(&revision, &subject, as_of);
        }
        let expected_state = match &evaluated.outcome {
            Outcome::Inactive | Outcome::Ended => Some(AccountState::Suspended),
            Outcome::Account(_) => Some(AccountState::Active),
            Outcome::Collision(..) => Some(AccountState::Held),
            Outcome::OutOfScope(_) => Some(AccountState::OutOfScope),
            // Doubts keep what stood: an account in use stays in use.
            Outcome::Refused(_) | Outcome::Fault(_) => None,
        };
        match expected_state {
            Some(state) => assert_eq!(stored.account.state, state, "{evaluated:#?}\n{shown}"),
            None => assert!(matches!(stored.account.state, AccountState::Active | AccountState::Held), "{evaluated:#?}\n{shown}"),
        }
        if let Outcome::Account(shape) | Outcome::Collision(shape, _) = &evaluated.outcome {
            assert_eq!(stored.account.profile, serde_json::to_value(shape).expect("a shape is JSON"), "{shown}");
            assert_eq!(stored.account.provenance, serde_json::to_value(&evaluated.provenance).expect("provenance is JSON"), "{shown}");
        }
        let granted: BTreeMap<&str, &Vec<Reason>> =
            evaluated.roles.iter().map(|decision| (decision.role.as_str(), &decision.reasons)).collect();
        let effective: BTreeMap<&str, &Vec<Reason>> = stored
            .grants
            .iter()
            .filter(|grant| grant.state == GrantState::Effective)
            .map(|grant| (grant.role.as_str(), &grant.reasons))
            .collect();
        assert_eq!(effective, granted, "{evaluated:#?}\n{shown}");
        let undecided: BTreeSet<&str> = evaluated.undecided.iter().map(|undecided| undecided.role.as_str()).collect();
        let doubt = matches!(evaluated.outcome, Outcome::Refused(_) | Outcome::Fault(_));
        for grant in stored.grants.iter().filter(|grant| grant.state == GrantState::Retained) {
            assert!(doubt || undecided.contains(grant.role.as_str()), "retained without a doubt: {shown}");
            assert!(grant.deadline.is_some(), "retained without a deadline: {shown}");
        }
    }
}

/// Steps of a run, from a seed that is in the test's output.
fn steps(seed: u8) -> Vec<Step> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tree = prop::collection::vec(step(), STEPS).new_tree(&mut runner).expect("steps can be made");
    tree.current()
}

async fn run(database: &Database, seed: u8) {
    println!("seed {seed}");
    let server = Server::start(database).await;
    let name = format!("acme-{seed}");
    let acme = server.tenant(&name).with_probe().with_policies(&policies()).with_role("support", false).create().await;
    let connections = [acme.connection(&server, "Entra ID").await, acme.connection(&server, "Okta").await];
    let mut world = World { connections, people: vec![None; PEOPLE], groups: BTreeMap::new() };
    let steps = steps(seed);
    for (index, step) in steps.iter().enumerate() {
        world.apply(step).await;
        // In the middle too: later steps may repair what an earlier one broke.
        if index % 20 == 19 {
            server.settle().await;
            expect_the_same_decisions(&server, &acme, &world, &steps[..=index]).await;
        }
    }
    assert!(world.people.iter().flatten().count() > 1, "hardly anybody was there: the run showed nothing");
    server.stop().await;
}

on_both_databases! {
    /// Live traffic, then the stored inputs evaluated again: the same accounts, grants and reasons.
    async fn live_traffic_and_the_stored_inputs_agree(database: Database) {
        let runs = if std::env::var_os("ROLECALL_TEST_SOAK").is_some() { 40 } else { 3 };
        // 31: somebody whose name another has is deactivated, comes back out of scope, and leaves.
        for seed in (1..=runs).chain((runs < 31).then_some(31)) {
            run(&database, seed).await;
        }
    }
}
