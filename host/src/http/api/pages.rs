//! Answers that may be long: read and written a page after the other. Nothing is held between two pages.

use axum::body::Body;
use futures_util::{StreamExt as _, stream};

use crate::model::RoleId;
use crate::spreadsheet::defused;

/// Why an answer ends in the middle.
pub(in crate::http) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The pages of an answer.
pub(in crate::http) trait Pages: Send + Sized + 'static {
    /// What the log says of an answer that ends in the middle, because a page can't be read.
    const ENDS_EARLY: &'static str;

    /// The next page; `None` behind the last.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, Failed>> + Send;

    /// The answer, with what stands before all pages.
    fn streamed(self, first: impl Into<Vec<u8>> + Send + 'static) -> Body {
        let first = stream::once(async { Ok::<_, Failed>(first.into()) });
        let pages = stream::try_unfold(self, |mut pages| async move {
            match pages.next().await {
                Ok(page) => Ok(page.map(|page| (page, pages))),
                Err(error) => {
                    tracing::error!(%error, "{}", Self::ENDS_EARLY);
                    Err(error)
                }
            }
        });
        Body::from_stream(first.chain(pages))
    }
}

/// Rows of a CSV file, with cells that are no formulas.
pub(in crate::http) fn csv_of<const COLUMNS: usize>(rows: impl IntoIterator<Item = [String; COLUMNS]>) -> Result<Vec<u8>, Failed> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row.iter().map(|cell| defused(cell)))?;
    }
    Ok(writer.into_inner()?)
}

/// Roles in a cell of a CSV file.
pub(in crate::http) fn roles(roles: &[RoleId]) -> String {
    roles.iter().map(RoleId::as_str).collect::<Vec<_>>().join(" ")
}

/// The first row of a CSV file: names of ours.
pub(in crate::http) fn csv_head(columns: &[&str]) -> Vec<u8> {
    format!("{}\n", columns.join(",")).into_bytes()
}
