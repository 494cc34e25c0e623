//! Port 3333: "is there anything new?"

use fwdrill_protocol::update_set::VersionAnswer;
use http::StatusCode;

use crate::http::{Caching, Content, NO_SET, Problem, Representation};
use crate::shelf::Shelf;

/// Where the version answer is.
const PATH: &str = "/version";

/// Finds what a path on the version service stands for: `/version`, a [`VersionAnswer`] as JSON, and nothing else.
pub(crate) async fn find(shelf: &Shelf, path: &str) -> Result<Representation, Problem> {
    if path != PATH {
        return Err(Problem(StatusCode::NOT_FOUND, "there is nothing here; see /version"));
    }
    let set = shelf.current().await.ok_or(NO_SET)?;
    let answer = VersionAnswer::of(set.manifest());
    let content = Content::Memory(answer.render().into());
    let found = Representation::new(content, "application/json", Caching::Revalidate);
    Ok(found.validated(answer.etag(), Some(answer.published)))
}
