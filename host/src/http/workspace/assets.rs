//! What browsers load beside pages: a style sheet and scripts, in the binary, under names that change with their content.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use flate2::Compression;

use crate::crypto;
use crate::http::compression::{gzip, takes_gzip};
use crate::http::error::{Error, Result};
use crate::http::guards::Anyone;
use crate::http::query::At;

/// A file that browsers load.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Every file. Those of other people's are as they were published, with their licence in `assets/README.md`.
const FILES: &[Asset] = &[
    Asset { name: "workspace.css", media_type: CSS, content: include_bytes!("assets/workspace.css") },
    Asset { name: "workspace.js", media_type: SCRIPT, content: include_bytes!("assets/workspace.js") },
    Asset { name: "htmx.min.js", media_type: SCRIPT, content: include_bytes!("assets/htmx.min.js") },
    Asset { name: "editor.js", media_type: SCRIPT, content: include_bytes!("assets/editor.js") },
    Asset { name: "editor.min.js", media_type: SCRIPT, content: include_bytes!("assets/editor.min.js") },
    Asset { name: "icon.svg", media_type: "image/svg+xml", content: include_bytes!("assets/icon.svg") },
];

/// How many digits of a content's hash stand in its name.
const HASH_CHARS: usize = 12;

/// The files' names with the hashes of their contents: `workspace.0123456789ab.css`.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let named = |asset: &Asset| {
        let (stem, extension) = asset.name.rsplit_once('.').unwrap_or((asset.name, ""));
        let hash: String = crypto::sha256_hex(asset.content).chars().take(HASH_CHARS).collect();
        format!("{stem}.{hash}.{extension}")
    };
    FILES.iter().map(named).collect()
});

/// The address of a file. An unknown one is a defect, and has the address of nothing.
#[must_use]
pub fn url(name: &str) -> String {
    let place = FILES.iter().position(|asset| asset.name == name);
    debug_assert!(place.is_some(), "there is no asset `{name}`");
    place.map_or_else(String::new, |place| format!("/workspace/assets/{}", NAMES[place]))
}

/// The files as gzip: made once, as small as it gets.
static COMPRESSED: LazyLock<Vec<Option<Bytes>>> =
    LazyLock::new(|| FILES.iter().map(|asset| gzip(asset.content, Compression::best())).collect());

/// GET /workspace/assets/{file}
///
/// # Errors
/// 404.
pub async fn file(_: Anyone, headers: HeaderMap, At(file): At<String>) -> Result<Response> {
    let place = NAMES.iter().position(|name| *name == file).ok_or_else(|| Error::not_found("such file"))?;
    let Asset { media_type, content, .. } = FILES[place];
    // The name changes with the content.
    let gzipped = takes_gzip(&headers);
    let headers = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "public, max-age=31536000, immutable"), (VARY, "accept-encoding")];
    match COMPRESSED[place].clone().filter(|_| gzipped) {
        Some(compressed) => Ok((headers, [(CONTENT_ENCODING, "gzip")], compressed).into_response()),
        None => Ok((headers, Bytes::from_static(content)).into_response()),
    }
}
