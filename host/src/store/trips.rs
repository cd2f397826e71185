//! Trips to the database that questions share. A small read costs what its trip costs, so questions of a kind that come while one is
//! asked wait for it and then go together. Who comes alone waits for nobody.
//!
//! Every answer was read after its question came: nothing is remembered. Knows no database.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{ConnectionCredential, Result, StoredResource, UserGroup};
use crate::model::{ConnectionId, ResourceId, TenantId};

/// The most questions that share a trip to the database.
const QUESTIONS_LIMIT: usize = 64;
/// How long a question waits for the trip before its own: a session that hangs holds up nobody else for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The questions that share trips: those that identity providers ask most, each answered by a look-up of a key.
#[derive(Default)]
pub(super) struct SharedTrips {
    /// What secrets stand for, by their keyed hashes.
    pub(super) credentials: Trips<(), String, ConnectionCredential>,
    /// Users of a connection by id.
    pub(super) users: Trips<(TenantId, ConnectionId), ResourceId, UserAndGroups>,
}

/// A user with its groups; without them where one statement does not see them all.
pub(super) type UserAndGroups = (StoredResource, Option<Vec<UserGroup>>);

/// Questions `Q` about a scope `S` (which is asked about in one statement), and their answers `A`.
pub(super) struct Trips<S: Hash + Eq, Q, A> {
    lanes: Arc<Lanes<S, Q, A>>,
    patience: Duration,
}

/// Who waits for the trip of a scope that is under way; a scope without one has no lane.
type Lanes<S, Q, A> = Mutex<HashMap<S, VecDeque<(Q, Told<S, Q, A>)>>>;

/// Where somebody who waits is told. It is dropped where the trip failed: then everybody makes one for itself and learns why.
type Told<S, Q, A> = oneshot::Sender<Word<S, Q, A>>;

/// What somebody who waits is told.
enum Word<S: Hash + Eq, Q, A> {
    /// The answer to its question, if there is one.
    Answer(Option<A>),
    /// To make the next trip, for those who wait too.
    Go(Turn<S, Q, A>),
}

/// What somebody is who comes.
enum Joined<S: Hash + Eq, Q, A> {
    /// The one to make a trip, since none is under way.
    First(Turn<S, Q, A>),
    /// One of those who wait.
    Waits(oneshot::Receiver<Word<S, Q, A>>),
}

/// The right to make a scope's trip. It goes to whoever waits next when it is dropped, for whatever reason.
struct Turn<S: Hash + Eq, Q, A> {
    lanes: Arc<Lanes<S, Q, A>>,
    /// `None` once it is somebody else's.
    scope: Option<S>,
}

impl<S: Hash + Eq, Q, A> Default for Trips<S, Q, A> {
    fn default() -> Self {
        Self { lanes: Arc::default(), patience: PATIENCE }
    }
}

impl<S: Hash + Eq + Clone, Q: Hash + Eq + Clone, A: Clone> Trips<S, Q, A> {
    /// The answer to a question, or `None` where there is none. `read` answers a few questions (each once) in one trip.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) async fn ask<F>(&self, scope: S, question: Q, read: impl Fn(Vec<Q>) -> F) -> Result<Option<A>>
    where
        F: Future<Output = Result<HashMap<Q, A>>>,
    {
        let turn = match self.join(scope, &question) {
            Joined::First(turn) => Some(turn),
            Joined::Waits(word) => match tokio::time::timeout(self.patience, word).await {
                Ok(Ok(Word::Answer(answer))) => return Ok(answer),
                Ok(Ok(Word::Go(turn))) => Some(turn),
                // It goes alone.
                Ok(Err(_)) | Err(_) => None,
            },
        };
        let mut others: HashMap<Q, Vec<Told<S, Q, A>>> = HashMap::new();
        for (asked, told) in turn.iter().flat_map(Turn::company) {
            others.entry(asked).or_default().push(told);
        }
        let alike = others.remove(&question).unwrap_or_default();
        let mut answers = read(others.keys().chain([&question]).cloned().collect()).await?;
        // Whose turn is next need not wait until all are told.
        drop(turn);
        let own = answers.remove(&question);
        tell(alike, own.clone());
        for (asked, others) in others {
            tell(others, answers.remove(&asked));
        }
        Ok(own)
    }

    fn join(&self, scope: S, question: &Q) -> Joined<S, Q, A> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = lanes.get_mut(&scope) {
            let (told, word) = oneshot::channel();
            waiting.push_back((question.clone(), told));
            return Joined::Waits(word);
        }
        lanes.insert(scope.clone(), VecDeque::new());
        Joined::First(Turn { lanes: Arc::clone(&self.lanes), scope: Some(scope) })
    }
}

/// Tells everybody who asked the same.
fn tell<S: Hash + Eq, Q, A: Clone>(all: Vec<Told<S, Q, A>>, answer: Option<A>) {
    for (answer, told) in std::iter::repeat_n(answer, all.len()).zip(all) {
        // Who has gone needs none.
        let _gone = told.send(Word::Answer(answer));
    }
}

impl<S: Hash + Eq, Q, A> Turn<S, Q, A> {
    /// Those who come along.
    fn company(&self) -> Vec<(Q, Told<S, Q, A>)> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = self.scope.as_ref().and_then(|scope| lanes.get_mut(scope)) else { return Vec::new() };
        let many = waiting.len().min(QUESTIONS_LIMIT - 1);
        waiting.drain(..many).collect()
    }
}

impl<S: Hash + Eq, Q, A> Drop for Turn<S, Q, A> {
    fn drop(&mut self) {
        let Some(mut scope) = self.scope.take() else { return };
        loop {
            let next = {
                let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
                let next = lanes.get_mut(&scope).and_then(VecDeque::pop_front);
                if next.is_none() {
                    lanes.remove(&scope);
                }
                next
            };
            let Some((_, told)) = next else { return };
            // Outside of the lock: a turn that nobody takes is dropped, which locks.
            match told.send(Word::Go(Self { lanes: Arc::clone(&self.lanes), scope: Some(scope) })) {
                // Whoever has gone gives it back.
                Err(Word::Go(mut back)) => match back.scope.take() {
                    Some(same) => scope = same,
                    None => return,
                },
                Ok(()) | Err(Word::Answer(_)) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::store::StoreError;

    /// Answers even numbers with their halves, one trip for each permit, and notes what was asked together.
    struct Table {
        trips: Trips<&'static str, u32, u32>,
        asked: Mutex<Vec<Vec<u32>>>,
        permits: Semaphore,
    }

    impl Table {
        fn new() -> Self {
            Self { trips: Trips::default(), asked: Mutex::default(), permits: Semaphore::new(0) }
        }

        async fn ask(&self, scope: &'static str, number: u32) -> Result<Option<u32>> {
            let read = |mut numbers: Vec<u32>| async move {
                numbers.sort_unstable();
                self.asked.lock().unwrap().push(numbers.clone());
                self.permits.acquire().await.unwrap().forget();
                if numbers.contains(&13) {
                    return Err(StoreError::Missing("luck"));
                }
                Ok(numbers.into_iter().filter(|number| number.is_multiple_of(2)).map(|number| (number, number / 2)).collect())
            };
            self.trips.ask(scope, number, read).await
        }

        /// What was asked together, trip by trip, since the last look.
        fn trips(&self) -> Vec<Vec<u32>> {
            std::mem::take(&mut *self.asked.lock().unwrap())
        }

        fn is_at_rest(&self) -> bool {
            self.trips.lanes.lock().unwrap().is_empty()
        }
    }

    /// Polls a question once: it has to wait.
    async fn waits<T>(question: &mut Pin<Box<impl Future<Output = T>>>) {
        let is_waiting = poll_fn(|context| Poll::Ready(question.as_mut().poll(context).is_pending())).await;
        assert!(is_waiting);
    }

    /// A question that was asked, and waits.
    async fn waiting<T, F: Future<Output = T>>(question: F) -> Pin<Box<F>> {
        let mut question = Box::pin(question);
        waits(&mut question).await;
        question
    }

    #[tokio::test]
    async fn who_comes_alone_waits_for_nobody() {
        let table = Table::new();
        table.permits.add_permits(2);
        assert_eq!(table.ask("a", 4).await.unwrap(), Some(2));
        assert_eq!(table.ask("a", 5).await.unwrap(), None);
        assert_eq!((table.trips(), table.is_at_rest()), (vec![vec![4], vec![5]], true));
    }

    #[tokio::test]
    async fn who_comes_during_a_trip_shares_the_next_one_in_its_scope() {
        let table = Table::new();
        let (first, other) = (waiting(table.ask("a", 2)).await, waiting(table.ask("b", 2)).await);
        let later = waiting(join_all([4, 6, 4, 7].map(|number| table.ask("a", number)))).await;
        assert_eq!(table.trips(), [vec![2], vec![2]]);
        table.permits.add_permits(3);
        assert_eq!((first.await.unwrap(), other.await.unwrap()), (Some(1), Some(1)));
        let answers: Vec<Option<u32>> = later.await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [Some(2), Some(3), Some(2), None]);
        assert_eq!((table.trips(), table.is_at_rest()), (vec![vec![4, 6, 7]], true));
    }

    #[tokio::test]
    async fn a_trip_has_its_limit() {
        let table = Table::new();
        let first = waiting(table.ask("a", 0)).await;
        let later = waiting(join_all((1..=100).map(|number| table.ask("a", number * 2)))).await;
        table.permits.add_permits(3);
        first.await.unwrap();
        let answers: Vec<Option<u32>> = later.await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, (1..=100).map(Some).collect::<Vec<_>>());
        assert_eq!((table.trips().iter().map(Vec::len).collect::<Vec<_>>(), table.is_at_rest()), (vec![1, 64, 36], true));
    }

    #[tokio::test]
    async fn a_trip_that_fails_is_made_by_each_alone() {
        let table = Table::new();
        let first = waiting(table.ask("a", 0)).await;
        let later = waiting(join_all([4, 13, 6].map(|number| table.ask("a", number)))).await;
        table.permits.add_permits(4);
        first.await.unwrap();
        let answers = later.await;
        // Who made the trip for all learns why it failed; the other failure is the one's own.
        assert_eq!(answers.iter().map(|answer| answer.as_ref().ok().copied()).collect::<Vec<_>>(), [None, None, Some(Some(3))]);
        assert!(table.is_at_rest());
    }

    #[tokio::test]
    async fn who_goes_away_holds_up_nobody() {
        let table = Table::new();
        let mut asked = Vec::new();
        for number in 0..4 {
            asked.push(waiting(table.ask("a", number * 2)).await);
        }
        // In the middle of its trip, while it waits, and after it was told to go.
        drop(asked.remove(0));
        drop(asked.remove(0));
        table.permits.add_permits(1);
        let (last, gone) = (asked.pop().unwrap(), asked.pop().unwrap());
        drop(gone);
        assert_eq!(last.await.unwrap(), Some(3));
        assert_eq!((table.trips().last(), table.is_at_rest()), (Some(&vec![6]), true));
    }

    #[tokio::test]
    async fn a_trip_that_hangs_holds_up_others_for_a_while_only() {
        let mut table = Table::new();
        table.trips.patience = Duration::ZERO;
        let hangs = waiting(table.ask("a", 0)).await;
        // It waits for its own trip, and not for the one that hangs.
        let mut other = Box::pin(table.ask("a", 2));
        while table.asked.lock().unwrap().len() < 2 {
            waits(&mut other).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(table.trips(), [vec![0], vec![2]]);
        table.permits.add_permits(2);
        assert_eq!((hangs.await.unwrap(), other.await.unwrap()), (Some(0), Some(1)));
        assert!(table.is_at_rest());
    }
}
