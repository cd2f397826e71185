//! The first sync of a connection: what it changes when it goes live, on one page; and going live with what was seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::TenancyError;
use super::governance::{check_words, not_for_oneself};
use crate::app::App;
use crate::lifecycle::adoption::{self, Line, Totals};
use crate::model::{AccountId, AccountState, ConnectionId, ConnectionState, Fate, Instant, ResourceId, RevisionHash, TenantId};
use crate::store::{
    AdoptionChoice, AdoptionPlan, AdoptionWord, ApiPrincipal, DIFFERENCE_PAGE_LIMIT, DifferenceMark, Staged, StoreError, TakeOver,
    Unadopted,
};

/// How much of the active revision's hash stands in a digest, in characters.
const HASH_CHARS: usize = 16;

/// A place in a difference: behind somebody of the connection, then behind an imported account, then behind somebody of the connection that is
/// taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// People.
    People(Option<ResourceId>),
    /// Imported accounts that are nobody's.
    Left(Option<AccountId>),
    /// Accounts of the connection that is taken over which are nobody's here.
    There(Option<ResourceId>),
}

impl Place {
    /// The place that a text stands for.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (part, behind) = text.split_once('.')?;
        let behind = Some(behind).filter(|behind| !behind.is_empty());
        match part {
            "people" => Some(Self::People(behind.map(ResourceId::from))),
            "left" => Some(Self::Left(behind.map(AccountId::from))),
            "there" => Some(Self::There(behind.map(ResourceId::from))),
            _ => None,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::People(behind) => write!(f, "people.{}", behind.as_ref().map_or("", ResourceId::as_str)),
            Self::There(behind) => write!(f, "there.{}", behind.as_ref().map_or("", ResourceId::as_str)),
            Self::Left(behind) => write!(f, "left.{}", behind.as_ref().map_or("", AccountId::as_str)),
        }
    }
}

/// What was seen, as a text: counts that only grow, so that two are equal where nothing has moved.
#[must_use]
pub fn digest(mark: &DifferenceMark) -> String {
    let DifferenceMark { people, deleted, versions, imports, revision, there } = mark;
    let hash = revision.as_ref().map_or("none", RevisionHash::as_str);
    let there = there.as_ref().map(|there| format!("-{}.{}.{}", there.people, there.deleted, there.versions)).unwrap_or_default();
    format!("{people}.{deleted}.{versions}-{imports}-{}{there}", hash.chars().take(HASH_CHARS).collect::<String>())
}

/// What has moved between two digests, as a sentence.
fn moved(seen: &str, now: &str) -> String {
    let parts = |digest: &str| digest.split('-').map(str::to_owned).collect::<Vec<_>>();
    let (seen, now) = (parts(seen), parts(now));
    let words = [
        "people of the connection were written or decided",
        "accounts were imported, protected, taken over or decided about",
        "another revision is active",
        "people of the connection that is taken over were written or decided",
    ];
    let differ = words.iter().enumerate().filter(|(number, _)| seen.get(*number) != now.get(*number)).map(|(_, word)| *word);
    differ.collect::<Vec<_>>().join("; ")
}

/// The connection's state.
pub(super) async fn state_of(app: &App, tenant: &TenantId, connection: &ConnectionId) -> Result<ConnectionState, TenancyError> {
    let found = app.store.find_connection(connection).await?.filter(|(owner, _)| owner == tenant);
    Ok(found.ok_or(StoreError::Missing("connection"))?.1)
}

/// The digest of a connection's difference, and whether the connection is in staging.
///
/// # Errors
/// `Store(Missing)`.
pub async fn stands(app: &App, tenant: &TenantId, connection: &ConnectionId) -> Result<(ConnectionState, String), TenancyError> {
    let state = state_of(app, tenant, connection).await?;
    Ok((state, digest(&app.store.difference_mark(tenant, connection).await?)))
}

/// The next lines of a difference, and the place behind them. Of a connection that is live those who wait for somebody alone, so that there may
/// be fewer than asked for, or none, and yet a place behind them.
///
/// # Errors
/// The store's.
pub async fn page(
    app: &App,
    tenant: &TenantId,
    (connection, state): (&ConnectionId, ConnectionState),
    place: &Place,
    limit: i64,
) -> Result<(Vec<Line>, Option<Place>), StoreError> {
    let limit = limit.clamp(1, DIFFERENCE_PAGE_LIMIT);
    let is_staged = state == ConnectionState::Staging;
    match place {
        Place::People(after) => {
            let (found, next) = people_behind(app, tenant, connection, after.as_ref(), limit).await?;
            let lines = if is_staged { found.iter().map(adoption::line).collect() } else { found.iter().filter_map(waiting).collect() };
            Ok((lines, next.or(is_staged.then_some(Place::Left(None)))))
        }
        Place::Left(_) | Place::There(_) if !is_staged => Ok((Vec::new(), None)),
        Place::Left(after) => {
            let found = app.store.unadopted(tenant, connection, after.as_ref(), limit).await?;
            let behind = found.last().map(|last| Place::Left(Some(last.account.clone())));
            let next = match behind.filter(|_| is_full(found.len(), limit)) {
                Some(next) => Some(next),
                None => app.store.predecessor(tenant, connection).await?.map(|_| Place::There(None)),
            };
            Ok((nobodys(app, tenant, connection, &found).await?, next))
        }
        Place::There(after) => {
            let found = app.store.untaken(tenant, connection, after.as_ref(), limit).await?;
            let next = found.last().filter(|_| is_full(found.len(), limit)).map(|last| Place::There(last.from.clone()));
            Ok((nobodys(app, tenant, connection, &found).await?, next))
        }
    }
}

/// Those of the accounts that nobody of the connection has, or may have.
async fn nobodys(app: &App, tenant: &TenantId, connection: &ConnectionId, found: &[Unadopted]) -> Result<Vec<Line>, StoreError> {
    let alike: BTreeSet<ResourceId> = found.iter().flat_map(|left| left.alike.iter().cloned()).collect();
    let alike: Vec<ResourceId> = alike.into_iter().collect();
    let mut lines = Vec::new();
    // As many people as accounts, mostly; somebody with many addresses is alike to more.
    for some in alike.chunks(usize::try_from(DIFFERENCE_PAGE_LIMIT).unwrap_or(1)) {
        lines.extend(app.store.staged_of(tenant, connection, some).await?.iter().map(adoption::line));
    }
    Ok(found.iter().filter_map(|left| adoption::left(left, &lines)).collect())
}

/// People of a connection behind one, and the place behind them where there may be more.
async fn people_behind(
    app: &App,
    tenant: &TenantId,
    connection: &ConnectionId,
    after: Option<&ResourceId>,
    limit: i64,
) -> Result<(Vec<Staged>, Option<Place>), StoreError> {
    let found = app.store.staged(tenant, connection, after, limit).await?;
    let next = found.last().filter(|_| is_full(found.len(), limit)).map(|last| Place::People(Some(last.user.clone())));
    Ok((found, next))
}

fn is_full(found: usize, limit: i64) -> bool {
    i64::try_from(found).unwrap_or(i64::MAX) >= limit
}

/// Somebody of a live connection whom a person has to decide about.
fn waiting(staged: &Staged) -> Option<Line> {
    let is_held = staged.state == AccountState::Held || staged.state == AccountState::Suspended && staged.asked;
    Some(adoption::line(staged)).filter(|line| is_held && (!line.candidates.is_empty() || line.fate == Fate::Collision))
}

/// A whole difference: its numbers and what going live carries out.
///
/// # Errors
/// The store's.
pub async fn whole(app: &App, tenant: &TenantId, connection: &ConnectionId) -> Result<(Totals, AdoptionPlan), StoreError> {
    let (mut totals, mut plan) = (Totals::default(), AdoptionPlan::default());
    let mut claims = BTreeMap::<AccountId, usize>::new();
    let mut place = Some(Place::People(None));
    while let Some(from) = place {
        let (lines, next) = match &from {
            Place::People(after) => {
                let (found, next) = people_behind(app, tenant, connection, after.as_ref(), DIFFERENCE_PAGE_LIMIT).await?;
                let lines: Vec<Line> = found.iter().map(adoption::line).collect();
                for (staged, line) in found.iter().zip(&lines) {
                    match line.fate {
                        Fate::Adopted => {
                            *claims.entry(line.account.clone()).or_default() += 1;
                            plan.adopt.push((staged.user.clone(), staged.account.clone(), line.account.clone()));
                        }
                        Fate::Moved => {
                            *claims.entry(line.account.clone()).or_default() += 1;
                            let from = line.candidates.first().and_then(|candidate| candidate.from.clone());
                            plan.take_over.extend(from.map(|from_user| TakeOver {
                                user: staged.user.clone(),
                                made: staged.account.clone(),
                                account: line.account.clone(),
                                from_user,
                            }));
                        }
                        // Somebody who is asked about already is not asked about twice.
                        Fate::Doubt if !staged.asked => plan.doubts.push(staged.account.clone()),
                        _ => {}
                    }
                }
                (lines, Some(next.unwrap_or(Place::Left(None))))
            }
            Place::Left(_) | Place::There(_) => {
                page(app, tenant, (connection, ConnectionState::Staging), &from, DIFFERENCE_PAGE_LIMIT).await?
            }
        };
        lines.iter().for_each(|line| totals.add(line));
        place = next;
    }
    // People who are inactive want no name, so that two of them can claim one account unseen: nobody has it by being first.
    let (sure, unsure): (Vec<_>, Vec<_>) = plan.adopt.into_iter().partition(|(.., taken)| claims.get(taken) == Some(&1));
    plan.adopt = sure;
    plan.doubts.extend(unsure.into_iter().map(|(_, made, _)| made));
    let (sure, unsure): (Vec<_>, Vec<_>) = plan.take_over.into_iter().partition(|person| claims.get(&person.account) == Some(&1));
    plan.take_over = sure;
    plan.doubts.extend(unsure.into_iter().map(|person| person.made));
    plan.totals = json!(totals);
    Ok((totals, plan))
}

/// Ends staging, if what was seen is what stands still.
///
/// # Errors
/// `Held` where it has moved; `Store(Conflict)` for a connection that is not in staging; `Store(Missing)`.
pub async fn go_live(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    connection: &ConnectionId,
    seen: &str,
) -> Result<Totals, TenancyError> {
    if state_of(app, tenant, connection).await? != ConnectionState::Staging {
        return Err(StoreError::Conflict { what: "connection_state" }.into());
    }
    let mark = app.store.difference_mark(tenant, connection).await?;
    if seen != digest(&mark) {
        return Err(another(seen, &digest(&mark)));
    }
    let (totals, plan) = whole(app, tenant, connection).await?;
    let at: Instant = app.clock.now();
    if let Err(now) = app.store.go_live(tenant, connection, &plan, &mark, &who.actor(), at).await? {
        return Err(another(seen, &digest(&now)));
    }
    app.wake.notify_one();
    Ok(totals)
}

fn another(seen: &str, now: &str) -> TenancyError {
    TenancyError::Held(format!(
        "the difference is another by now ({}): look at it again (`rolecall connection difference`); its digest is `{now}`",
        moved(seen, now)
    ))
}

/// Says which account somebody adopts or takes over, or that theirs is a new one.
///
/// # Errors
/// `Forbidden` for one's own; `Store(Missing)`, `Store(Conflict)`.
pub async fn choose(
    app: &Arc<App>,
    tenant: &TenantId,
    who: &ApiPrincipal,
    connection: &ConnectionId,
    (user, account, reason): (ResourceId, Option<AccountId>, String),
) -> Result<(), TenancyError> {
    check_words(&reason, None)?;
    state_of(app, tenant, connection).await?;
    let staged = app.store.staged_of(tenant, connection, std::slice::from_ref(&user)).await?;
    let staged = staged.first().ok_or(StoreError::Missing("user"))?;
    let mut about = vec![staged.account.clone()];
    about.extend(account.clone());
    for account in about {
        let view = app.store.account(tenant, account.as_str()).await?.filter(|view| view.account.id == account);
        not_for_oneself(who, &view.ok_or(StoreError::Missing("account"))?, "says which account is their own")?;
    }
    let choice = account.map_or(AdoptionChoice::New, AdoptionChoice::Adopt);
    let word = AdoptionWord { user, choice, reason, actor: who.actor(), at: app.clock.now() };
    app.store.choose_account(tenant, connection, &word).await?;
    app.wake.notify_one();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MarkThere;

    #[test]
    fn a_digest_tells_what_has_moved() {
        let mark =
            DifferenceMark { people: 2, deleted: 0, versions: 5, imports: 3, revision: Some(RevisionHash("a".repeat(64))), there: None };
        let other = |change: fn(&mut DifferenceMark)| {
            let mut other = mark.clone();
            change(&mut other);
            moved(&digest(&mark), &digest(&other))
        };
        assert_eq!(digest(&mark), "2.0.5-3-aaaaaaaaaaaaaaaa");
        assert_eq!(other(|_| ()), "");
        assert_eq!(other(|mark| mark.versions += 1), "people of the connection were written or decided");
        assert_eq!(other(|mark| mark.imports += 1), "accounts were imported, protected, taken over or decided about");
        assert_eq!(other(|mark| mark.revision = None), "another revision is active");
        assert!(moved("nonsense", &digest(&mark)).contains("another revision"));
        let there = MarkThere { people: 1, deleted: 0, versions: 4 };
        let moving = DifferenceMark { there: Some(there.clone()), ..mark.clone() };
        let later = DifferenceMark { there: Some(MarkThere { versions: 5, ..there }), ..mark.clone() };
        assert_eq!(digest(&moving), "2.0.5-3-aaaaaaaaaaaaaaaa-1.0.4");
        assert_eq!(moved(&digest(&moving), &digest(&later)), "people of the connection that is taken over were written or decided");
    }

    #[test]
    fn places_are_read_as_they_are_written() {
        for place in [
            Place::People(None),
            Place::People(Some("u.1".into())),
            Place::Left(None),
            Place::Left(Some("a1".into())),
            Place::There(Some("u.2".into())),
        ] {
            assert_eq!(Place::read(&place.to_string()), Some(place));
        }
        assert_eq!(Place::read("elsewhere.1"), None);
        assert_eq!(Place::read(""), None);
    }
}
