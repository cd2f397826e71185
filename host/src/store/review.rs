//! Access reviews as they are stored: how one is opened, decided, and carried out, each step whole.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Result;
use crate::model::{AccountId, Actor, ConnectionId, Evidence, Grant, Instant, Review, ReviewDecision, ReviewLine, RoleId, TenantId};

/// The most lines that one request decides or hands to somebody else.
pub const LINES_AT_ONCE_LIMIT: usize = 500;
/// Reviewers who are reminded in one transaction.
pub const REVIEWERS_AT_ONCE: i64 = 200;
/// Holders of a role that are counted for a line's evidence: past it, it is many.
pub const PEERS_LIMIT: i64 = 1_000;

/// How far opening has come: the number of the role or connection, and behind which account or user.
pub type ReviewPlace = (i64, String);

/// A role that somebody holds and that is in a review's scope.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The account.
    pub account: AccountId,
    /// Its login name.
    pub user_name: Option<String>,
    /// Its address.
    pub email: Option<String>,
    /// Its manager, as the identity provider names them.
    pub manager: Option<String>,
    /// When it was last changed.
    pub last_change: Instant,
    /// The connection that feeds it.
    pub connection: Option<ConnectionId>,
    /// The role, with its reasons.
    pub grant: Grant,
}

/// The next part of what a review is about.
#[derive(Clone, Debug)]
pub struct OpeningPage {
    /// The review.
    pub review: Review,
    /// Behind which place it goes on.
    pub place: ReviewPlace,
    /// Where the next page begins; `None` after the last.
    pub next: Option<ReviewPlace>,
    /// The roles that are held, by account and role.
    pub candidates: Vec<Candidate>,
    /// How many hold each of the roles, as far as [`PEERS_LIMIT`] and one more.
    pub holders: BTreeMap<RoleId, i64>,
    /// The accounts in use that managers stand for, by connection and how the identity provider names them; none for a name that
    /// stands for several.
    pub managers: BTreeMap<(ConnectionId, String), (AccountId, String)>,
}

/// A line to be written.
#[derive(Clone, Debug)]
pub struct NewReviewLine {
    /// The account.
    pub account: AccountId,
    /// The role.
    pub role: RoleId,
    /// Who is to decide.
    pub reviewer: Option<String>,
    /// What is known.
    pub evidence: Evidence,
}

/// A step of opening.
#[derive(Clone, Debug)]
pub struct Filling {
    /// Where it began: nothing is written when another host has taken the step.
    pub from: ReviewPlace,
    /// Where the next one begins; `None` opens the review.
    pub to: Option<ReviewPlace>,
    /// The lines.
    pub lines: Vec<NewReviewLine>,
    /// When.
    pub at: Instant,
}

/// What a reviewer says about lines.
#[derive(Clone, Debug)]
pub struct LinesDecided {
    /// The lines: all or none are decided.
    pub lines: Vec<i64>,
    /// What.
    pub decision: ReviewDecision,
    /// Why.
    pub reason: Option<String>,
    /// What is to be asked for instead.
    pub instead: Option<String>,
    /// Who says so, as the token names them.
    pub by: String,
    /// The same, folded: lines of other reviewers are refused.
    pub key: String,
    /// The lines that go to somebody else with it, or to nobody.
    pub handed: BTreeMap<i64, Option<String>>,
    /// The token.
    pub actor: Actor,
    /// When.
    pub at: Instant,
}

/// Lines that somebody else is to decide.
#[derive(Clone, Debug)]
pub struct LinesReassigned {
    /// The lines: all or none.
    pub lines: Vec<i64>,
    /// Who is to decide.
    pub reviewer: String,
    /// Why.
    pub reason: String,
    /// The token.
    pub actor: Actor,
    /// When.
    pub at: Instant,
}

/// A review that is closed before its time.
#[derive(Clone, Debug)]
pub struct EarlyClose {
    /// Why.
    pub reason: String,
    /// Whether lines about which nobody has said anything follow what was set up for silence; otherwise there may be none.
    pub with_silence: bool,
}

/// Which lines.
#[derive(Clone, Debug, Default)]
pub struct LineQuery {
    /// Of this reviewer, folded; an empty text for lines without one.
    pub reviewer: Option<String>,
    /// With this decision.
    pub decision: Option<ReviewDecision>,
    /// Exactly these, by number.
    pub lines: Option<Vec<i64>>,
    /// Behind this number.
    pub after: i64,
    /// At most so many.
    pub limit: i64,
}

/// A line with what its person goes by beside the login name.
#[derive(Clone, Debug)]
pub struct LineView {
    /// The line.
    pub line: ReviewLine,
    /// The person's address.
    pub email: Option<String>,
}

/// Access reviews.
#[async_trait]
pub trait Reviews: Send + Sync {
    /// Claims the review that has waited longest for a worker, of all tenants, until the end of the lease.
    async fn claim_review(&self, now: Instant, lease_until: Instant) -> Result<Option<(TenantId, String)>>;

    /// Stores a review that has not begun.
    async fn create_review(&self, tenant: &TenantId, review: &Review) -> Result<()>;
    /// A review.
    async fn review(&self, tenant: &TenantId, review: &str) -> Result<Option<Review>>;
    /// Reviews, newest first, behind one.
    async fn reviews(&self, tenant: &TenantId, after: Option<&str>, limit: i64) -> Result<Vec<Review>>;
    /// The next part of what a draft is about, of at most so many people; `None` when it is no draft.
    async fn review_page(&self, tenant: &TenantId, review: &str, people: i64) -> Result<Option<OpeningPage>>;
    /// Writes lines, and opens the review with the last of them. `false`, and nothing is written, when another host has taken the step.
    async fn fill_review(&self, tenant: &TenantId, review: &str, step: &Filling) -> Result<bool>;
    /// Reminds the next reviewers, at most [`REVIEWERS_AT_ONCE`], where it is time: each by one event, with how many of their lines are
    /// undecided. Several reminders that are due are sent as one. The review is due at once where there are more reviewers.
    async fn remind_of_review(&self, tenant: &TenantId, review: &str, at: Instant) -> Result<()>;
    /// Decides lines. `Conflict{review}` when the review is not open, `Conflict{reviewer}` when a line is another's, `Missing`.
    async fn decide_lines(&self, tenant: &TenantId, review: &str, decided: &LinesDecided) -> Result<()>;
    /// Hands lines to somebody else. `Conflict{review}` when the review is not open, `Missing`.
    async fn reassign_lines(&self, tenant: &TenantId, review: &str, reassigned: &LinesReassigned) -> Result<()>;
    /// Ends deciding, when it is time or before it. A draft is called off: nothing is carried out. `Conflict{review}` when it is
    /// closing or closed, `Conflict{undecided}` when something would follow silence and was not meant to.
    async fn begin_closing(&self, tenant: &TenantId, review: &str, early: Option<&EarlyClose>, actor: &Actor, at: Instant) -> Result<()>;
    /// Carries out the next lines of a review that is closing, at most so many, and closes it with the last. Whether there are more.
    async fn close_step(&self, tenant: &TenantId, review: &str, limit: i64, at: Instant) -> Result<bool>;
    /// Closed reviews, or such as were called off, that ended at an instant or before, the oldest first.
    async fn forgettable_reviews(&self, tenant: &TenantId, closed_before: Instant, limit: i64) -> Result<Vec<String>>;
    /// Removes the next lines of a closed review, at most so many, and the review with the last of them. From the first step on nobody
    /// sees it any more. Whether there are more.
    async fn forget_review(&self, tenant: &TenantId, review: &str, lines: i64, actor: &Actor, at: Instant) -> Result<bool>;
    /// Lines, by number.
    async fn review_lines(&self, tenant: &TenantId, review: &str, query: &LineQuery) -> Result<Vec<LineView>>;
}
