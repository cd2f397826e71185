//! The methods of [`Reviews`]: each opens what it needs and calls one function of `reviews`.

use async_trait::async_trait;

use super::{Backend, Conn, give_up, has_nul, is_lost, review_keeping, review_opening, reviews};
use crate::model::{Actor, Instant, Review, TenantId};
use crate::store::{EarlyClose, Filling, LineQuery, LineView, LinesDecided, LinesReassigned, OpeningPage, Result, Reviews, StoreError};

fn known(review: &str) -> Result<String> {
    if has_nul(review) { Err(StoreError::Missing("review")) } else { Ok(review.to_owned()) }
}

#[async_trait]
impl Reviews for Backend {
    async fn claim_review(&self, now: Instant, lease_until: Instant) -> Result<Option<(TenantId, String)>> {
        let Some((tenant, review)) = read_once!(self.read_platform(), conn => reviews::due(conn, now))? else { return Ok(None) };
        let (scope, wanted) = (self.scope(&tenant), review.clone());
        let claimed = self
            .write(&tenant, move |conn: &mut Conn| {
                Box::pin(async move { reviews::claim(conn, &scope.tenant, &wanted, now, lease_until).await })
            })
            .await?;
        Ok(claimed.then_some((tenant, review)))
    }

    async fn create_review(&self, tenant: &TenantId, review: &Review) -> Result<()> {
        let (scope, review) = (self.scope(tenant), review.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { reviews::create(conn, &scope, &review).await })).await
    }

    async fn review(&self, tenant: &TenantId, review: &str) -> Result<Option<Review>> {
        if has_nul(review) {
            return Ok(None);
        }
        read_once!(self.read_one(tenant), conn => reviews::find(conn, tenant, review))
    }

    async fn reviews(&self, tenant: &TenantId, after: Option<&str>, limit: i64) -> Result<Vec<Review>> {
        read_once!(self.read_one(tenant), conn => reviews::newest(conn, tenant, after, limit))
    }

    async fn review_page(&self, tenant: &TenantId, review: &str, people: i64) -> Result<Option<OpeningPage>> {
        review_opening::page(&mut *self.read(tenant).await?, tenant, review, people).await
    }

    async fn fill_review(&self, tenant: &TenantId, review: &str, step: &Filling) -> Result<bool> {
        let (scope, review, step) = (self.scope(tenant), known(review)?, step.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { review_opening::fill(conn, &scope, &review, &step).await })).await
    }

    async fn remind_of_review(&self, tenant: &TenantId, review: &str, at: Instant) -> Result<()> {
        let (scope, review) = (self.scope(tenant), known(review)?);
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { review_keeping::remind(conn, &scope, &review, at).await })).await
    }

    async fn decide_lines(&self, tenant: &TenantId, review: &str, decided: &LinesDecided) -> Result<()> {
        let (scope, review, decided) = (self.scope(tenant), known(review)?, decided.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { reviews::decide(conn, &scope, &review, &decided).await })).await
    }

    async fn reassign_lines(&self, tenant: &TenantId, review: &str, reassigned: &LinesReassigned) -> Result<()> {
        let (scope, review, reassigned) = (self.scope(tenant), known(review)?, reassigned.clone());
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { reviews::reassign(conn, &scope, &review, &reassigned).await }))
            .await
    }

    async fn begin_closing(&self, tenant: &TenantId, review: &str, early: Option<&EarlyClose>, actor: &Actor, at: Instant) -> Result<()> {
        let (scope, review, early, actor) = (self.scope(tenant), known(review)?, early.cloned(), actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { reviews::begin_closing(conn, &scope, &review, early.as_ref(), &actor, at).await })
        })
        .await
    }

    async fn close_step(&self, tenant: &TenantId, review: &str, limit: i64, at: Instant) -> Result<bool> {
        let (scope, review) = (self.scope(tenant), known(review)?);
        self.write(tenant, move |conn: &mut Conn| Box::pin(async move { reviews::close_step(conn, &scope, &review, limit, at).await }))
            .await
    }

    async fn forgettable_reviews(&self, tenant: &TenantId, closed_before: Instant, limit: i64) -> Result<Vec<String>> {
        read_once!(self.read_one(tenant), conn => review_keeping::forgettable(conn, tenant, closed_before, limit))
    }

    async fn forget_review(&self, tenant: &TenantId, review: &str, lines: i64, actor: &Actor, at: Instant) -> Result<bool> {
        let (scope, review, actor) = (self.scope(tenant), known(review)?, actor.clone());
        self.write(tenant, move |conn: &mut Conn| {
            Box::pin(async move { review_keeping::forget(conn, &scope, &review, lines, &actor, at).await })
        })
        .await
    }

    async fn review_lines(&self, tenant: &TenantId, review: &str, query: &LineQuery) -> Result<Vec<LineView>> {
        if has_nul(review) || query.reviewer.as_deref().is_some_and(has_nul) {
            return Ok(Vec::new());
        }
        read_once!(self.read_one(tenant), conn => reviews::lines(conn, tenant, review, query))
    }
}
