//! The parts of a person's page, each with what one may do there.

use maud::{Markup, html};

use super::super::page::{When, badge, token};
use super::super::path;
use super::super::words::{date_after, reasons};
use super::person::{Person, Seen};
use super::words;
use crate::lifecycle::receipt::StepState;
use crate::model::{
    AccountState, AdminAction, Instant, InvitationState, Process, ProcessState, ProcessStep, ProcessStepState, Ruling, RulingKind,
    RulingState,
};

/// For how many days somebody is suspended, unless another day is named.
const SUSPENDED_DAYS: i64 = 30;
/// For how many days an exception counts, unless another day is named.
const EXCEPTION_DAYS: i64 = 30;

/// The leaves that have begun or are to begin.
fn leaves(person: &Person) -> impl Iterator<Item = &Ruling> {
    person.rulings.iter().filter(|ruling| ruling.kind == RulingKind::Absence && ruling.state != RulingState::Ended)
}

/// Whether a leave is ahead.
fn is_ahead(leave: &Ruling, now: Instant) -> bool {
    leave.starts.is_some_and(|starts| starts > now)
}

/// Takes somebody out of use at once: a leave that begins now, so that one knows how it is undone.
pub(super) fn suspension(seen: &Seen<'_>, person: &Person) -> Markup {
    let account = &person.view.account;
    let is_away = leaves(person).any(|leave| !is_ahead(leave, seen.now));
    let possible = account.state == AccountState::Active && person.view.source.is_some() && !is_away;
    if !possible {
        return html! {};
    }
    if !seen.rights.may(AdminAction::ManageLeaves) {
        return html! { p.quiet { "Suspending somebody at once takes the right " code { (AdminAction::ManageLeaves) } ": a tenant owner has it." } };
    }
    html! {
        details.card {
            summary { strong { "Suspend now…" } }
            p {
                "Takes " strong { (words::name(&person.view)) } " out of use within seconds, whatever the identity provider says: no role is in effect, and targets are told to "
                "end their sessions. It is a leave that begins now: end it on this page to give everything back. Disable them at the identity provider as well if they are to stay out."
            }
            form method="post" action=(seen.at(person, "/suspend")) {
                (token(&seen.seat.guest))
                label { "Why" input type="text" name="reason" required maxlength="1000"; }
                label { "Until the end of" input type="date" name="ends" required value=(date_after(seen.now, SUSPENDED_DAYS)); }
                button.danger { "Suspend " (words::name(&person.view)) " now" }
            }
        }
    }
}

/// What the identity provider says beside what the mapping made of it.
pub(super) fn sides(seen: &Seen<'_>, person: &Person) -> Markup {
    let account = &person.view.account;
    let profile = account.profile.as_object();
    html! {
        div.two {
            section.card {
                h2 { "What the identity provider says" }
                @match (&person.scim, &person.connection) {
                    (Some((resource, groups)), Some((connection, name))) => {
                        p.quiet { "Over " a href=(seen.seat.at(&format!("connections/{connection}"))) { (name) } ", changed " (When { at: resource.modified, now: seen.now }) }
                        dl.pairs.even {
                            @for (path, value) in words::laid_out(&resource.document.to_value()) {
                                @if path != "schemas" { dt { code { (path) } } dd { (value) } }
                            }
                        }
                        h3 { "Groups" }
                        @if groups.is_empty() { p.quiet { "In no group." } }
                        ul.lines { @for group in groups { li { (group.display) @if !group.direct { span.quiet { " through another group" } } } } }
                        p.quiet { "SCIM id " code { (resource.id) } }
                    },
                    _ if person.view.imported.is_some() => p { "Nothing: the account comes from a file." },
                    _ => p { "Nothing any more: it deleted the person." },
                }
            }
            section.card {
                h2 { "What the mapping made of it" }
                @if profile.is_none_or(|profile| profile.is_empty()) {
                    p { "Nothing: there is no account to speak of." }
                } @else {
                    table.stack aria-label="The account’s attributes" {
                        thead { tr { th scope="col" { "Attribute" } th scope="col" { "Value" } th scope="col" { "Comes from" } } }
                        tbody {
                            @for (attribute, value) in words::laid_out(&account.profile) {
                                @let from = words::provenance(&account.provenance, &attribute);
                                tr { td { (attribute.replace('_', " ")) } td { (value) } td { @if let Some(from) = from { code { (words::text(from)) } } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The roles with why, and why not.
pub(super) fn roles(seen: &Seen<'_>, person: &Person) -> Markup {
    let why = seen.at(person, "/why");
    html! {
        section.card {
            h2 { "Roles" }
            @if person.view.grants.is_empty() { p { "None." } }
            @else {
                table.stack {
                    thead { tr { th scope="col" { "Role" } th scope="col" { "How" } th scope="col" { "Why" } th scope="col" { "Since" } } }
                    tbody {
                        @for grant in &person.view.grants {
                            tr {
                                td {
                                    a href=(seen.seat.at(&format!("roles/{}", path::segment(grant.role.as_str())))) { (grant.role) }
                                    " " a.quiet href=(path::with(&why, &[("role", grant.role.as_str())])) { "why" }
                                }
                                td {
                                    (words::of_grant(grant))
                                    @if let Some(deadline) = grant.deadline { br; span.quiet { "until " (When { at: deadline, now: seen.now }) } }
                                }
                                td { (reasons(&grant.reasons)) }
                                td { (When { at: grant.since, now: seen.now }) }
                            }
                        }
                    }
                }
            }
            @if !person.roles.is_empty() {
                form.search method="get" action=(why) {
                    label { "Why, or why not" select name="role" { @for role in &person.roles { option value=(role.id) { (role.id) } } } }
                    button { "Explain" }
                }
            }
        }
    }
}

/// What waits for somebody's answer.
pub(super) fn waiting(seen: &Seen<'_>, person: &Person) -> Markup {
    let open: Vec<&Ruling> = person.rulings.iter().filter(|ruling| ruling.state == RulingState::Open).collect();
    html! {
        @if !open.is_empty() {
            section.card {
                h2 { "Waits for somebody" }
                ul.lines {
                    @for ruling in open {
                        li {
                            (words::ruling(ruling)) " " span.quiet { (When { at: ruling.created, now: seen.now }) }
                            @if let Some(asks) = &ruling.asks { br; (asks) }
                            " "
                            @match (&ruling.hold, ruling.kind) {
                                (Some(hold), _) => a href=(seen.seat.at(&format!("decisions/holds/{hold}"))) { "To the hold" },
                                (None, RulingKind::Approval) => a href=(seen.seat.at("decisions/approvals")) { "To the approvals" },
                                (None, _) => a href=(seen.seat.at("connections")) { "To the connections" },
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What was said for a time: exceptions, and answers that count still.
pub(super) fn exceptions(seen: &Seen<'_>, person: &Person) -> Markup {
    let said: Vec<&Ruling> = person
        .rulings
        .iter()
        .filter(|ruling| !matches!(ruling.state, RulingState::Open | RulingState::Ended) && ruling.kind != RulingKind::Absence)
        .collect();
    let may = seen.rights.decides && person.view.source.is_some() && !person.roles.is_empty();
    html! {
        @if may || !said.is_empty() {
            section.card {
                h2 { "Exceptions, and what was answered" }
                @if said.is_empty() { p.quiet { "None. An exception gives a role that no policy gives, or keeps one away, for a time that somebody answers for." } }
                ul.lines { @for ruling in said { li { (one_said(seen, person, ruling)) } } }
                @if may {
                    details {
                        summary { "Make an exception" }
                        form method="post" action=(seen.at(person, "/exceptions")) {
                            (token(&seen.seat.guest))
                            label { "Role" select name="role" { @for role in &person.roles { option value=(role.id) { (role.id) } } } }
                            fieldset {
                                legend { "What it does" }
                                label.check { input type="radio" name="effect" value="grant" checked; "Gives the role although no policy does" }
                                label.check { input type="radio" name="effect" value="forbid"; "Keeps the role away although a policy gives it" }
                            }
                            label { "Why" input type="text" name="reason" required maxlength="1000"; }
                            label { "Who answers for it" input type="text" name="owner" required maxlength="200"; }
                            label { "Until the end of" input type="date" name="ends" required value=(date_after(seen.now, EXCEPTION_DAYS)); }
                            button.main { "Make the exception" }
                        }
                    }
                }
            }
        }
    }
}

fn one_said(seen: &Seen<'_>, person: &Person, ruling: &Ruling) -> Markup {
    let ends = matches!(ruling.kind, RulingKind::Grant | RulingKind::Forbid);
    html! {
        (words::ruling(ruling))
        @if let Some(ends) = ruling.ends { ", until " (When { at: ends, now: seen.now }) }
        @if let Some(reason) = &ruling.reason { br; "“" (reason) "”" }
        br;
        span.quiet {
            "by " (words::actor(ruling.decided_by.as_ref().unwrap_or(&ruling.created_by)))
            @if let Some(owner) = &ruling.owner { ", " (owner) " answers for it" }
        }
        @if ends && seen.rights.decides && ruling.state == RulingState::Yes {
            " "
            form.inline method="post" action=(seen.at(person, &format!("/exceptions/{}/end", ruling.id))) {
                (token(&seen.seat.guest)) button { "End it now" }
            }
        }
    }
}

/// Leaves of absence: those that there are, and one that can begin.
pub(super) fn leave(seen: &Seen<'_>, person: &Person) -> Markup {
    let may = seen.rights.may(AdminAction::ManageLeaves);
    let possible = person.view.source.is_some() && may;
    html! {
        @for leave in leaves(person) {
            section.card {
                h2 { "Leave" }
                p {
                    @match leave.starts {
                        Some(starts) if is_ahead(leave, seen.now) => { "Begins " (When { at: starts, now: seen.now }) },
                        _ => "On leave: out of use whatever the identity provider says",
                    }
                    @if let Some(ends) = leave.ends { ", until " (When { at: ends, now: seen.now }) }
                    "."
                    @if let Some(reason) = &leave.reason { " “" (reason) "”" }
                    " " span.quiet { "by " (words::actor(&leave.created_by)) }
                }
                @if may {
                    form method="post" action=(seen.at(person, &format!("/leave/{}/end", leave.id))) {
                        (token(&seen.seat.guest))
                        button.main { @if is_ahead(leave, seen.now) { "Call the leave off" } @else { "End the leave, and give everything back" } }
                    }
                }
            }
        }
        @if possible {
            details.card {
                summary { strong { "Send on leave…" } }
                p { "Out of use from a day on, and back by itself behind the last day." }
                form method="post" action=(seen.at(person, "/leave")) {
                    (token(&seen.seat.guest))
                    label { "From the beginning of" input type="date" name="starts"; }
                    label { "Until the end of" input type="date" name="ends" required; }
                    label { "Why" input type="text" name="reason" required maxlength="1000"; }
                    label { "Who answers for it" input type="text" name="owner" maxlength="200"; }
                    button.main { "Send on leave" }
                }
            }
        }
    }
}

/// What is to be done for somebody who joins, moves or leaves.
pub(super) fn processes(seen: &Seen<'_>, person: &Person) -> Markup {
    html! {
        @for process in &person.processes {
            section.card {
                h2 { (process.kind.word()) " process " (badge(process.state.word())) }
                p.quiet { "Counted from " (When { at: process.anchor, now: seen.now }) }
                ul.lines { @for step in &process.steps { li { (step_of(seen, person, process, step)) } } }
            }
        }
    }
}

fn step_of(seen: &Seen<'_>, person: &Person, process: &Process, step: &ProcessStep) -> Markup {
    let open = matches!(step.state, ProcessStepState::Open | ProcessStepState::Overdue) && process.state == ProcessState::Open;
    let to = format!("/steps/{}/{}", path::segment(&process.id), path::segment(&step.id));
    html! {
        strong { (step.title) } " " (badge(step.state.word()))
        br;
        span.quiet {
            (step.owner) ", due " (When { at: step.due, now: seen.now })
            @if let Some(by) = &step.decided_by { ", " (step.state.word()) " by " (words::actor(by)) }
        }
        @if let Some(reason) = &step.reason { br; "“" (reason) "”" }
        @if open && seen.rights.may(AdminAction::ManageTenant) {
            form.inline method="post" action=(seen.at(person, &to)) {
                (token(&seen.seat.guest))
                input type="text" name="reason" aria-label={ "What there is to say of “" (step.title) "”" } placeholder="What there is to say; why, to skip it";
                button name="said" value="done" { "Done" }
                button name="said" value="skip" { "Skip" }
            }
        }
    }
}

/// The invitation that is open, and making one.
pub(super) fn invitation(seen: &Seen<'_>, person: &Person) -> Markup {
    let open: Vec<_> = person.invitations.iter().filter(|invitation| invitation.state == InvitationState::Open).collect();
    let may = seen.rights.may(AdminAction::ManageTenant);
    let possible =
        may && person.view.account.state == AccountState::Active && person.view.imported.is_none_or(|imported| !imported.protected);
    html! {
        @if possible || !open.is_empty() {
            section.card {
                h2 { "Invitation" }
                @for invitation in &open {
                    p { "Invited " (When { at: invitation.made, now: seen.now }) " by " (words::actor(&invitation.made_by)) "; the link ends " (When { at: invitation.expires, now: seen.now }) "." }
                    @if may {
                        form.inline method="post" action=(seen.at(person, &format!("/invitations/{}/revoke", invitation.id))) {
                            (token(&seen.seat.guest)) button.danger { "Take it back" }
                        }
                    }
                }
                @if possible {
                    form.inline method="post" action=(seen.at(person, "/invite")) {
                        (token(&seen.seat.guest)) button { @if open.is_empty() { "Send an invitation" } @else { "Send again with a new link" } }
                    }
                    p.quiet { "Targets are told the link and send it; the link before is good no more." }
                }
            }
        }
    }
}

/// The receipt of the last departure.
pub(super) fn receipt(seen: &Seen<'_>, person: &Person) -> Markup {
    let Some(receipt) = &person.receipt else { return html! {} };
    html! {
        section.card {
            h2 { "Receipt of the last departure " (badge(if receipt.complete { "done" } else { "waiting" })) }
            p {
                "Asked " (When { at: receipt.request.at, now: seen.now }) " by " (words::actor(&receipt.request.actor))
                @if let Some(why) = &receipt.request.why { " (" (why.replace('_', " ")) ")" }
                @if let Some(request) = &receipt.request.request_id { ", request " code { (request) } }
                "."
            }
            @if !receipt.roles.is_empty() {
                p { "Roles that went: " @for (number, lost) in receipt.roles.iter().enumerate() { @if number > 0 { ", " } (lost.role) @if lost.dormant { " (asleep)" } } "." }
            }
            table.stack {
                thead { tr { th scope="col" { "What" } th scope="col" { "Whose" } th scope="col" { "How far" } th scope="col" { "When" } } }
                tbody {
                    @for step in &receipt.steps {
                        tr {
                            td { (step.name) }
                            td { (step.owner) }
                            td {
                                (badge(match step.state { StepState::Done => "done", StepState::Waiting => "waiting", StepState::Failed => "failed" }))
                                @if let Some(waits) = &step.waits_for { br; span.quiet { (waits) } }
                            }
                            td {
                                @if let Some(at) = step.at { (When { at, now: seen.now }) }
                                @else if let Some(due) = step.due { "due " (When { at: due, now: seen.now }) }
                            }
                        }
                    }
                }
            }
        }
    }
}
