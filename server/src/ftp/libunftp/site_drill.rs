//! `SITE DRILL <id>`: any user's session can belong to a drill.

use ::libunftp::options::{Reply, ReplyCode, SiteCommandContext, SiteCommandHandler};
use async_trait::async_trait;

use super::guest::Guest;
use super::storage::Storage;

#[derive(Debug)]
pub(super) struct SiteDrill;

#[async_trait]
impl SiteCommandHandler<Storage, Guest> for SiteDrill {
    async fn handle(&self, context: &SiteCommandContext<Storage, Guest>) -> Reply {
        match context.arguments.trim().parse() {
            Ok(drill) => {
                context.storage.session().witness.belongs_to(drill);
                Reply::new(ReplyCode::CommandOkay, "This session belongs to the drill")
            }
            Err(_) => Reply::new(ReplyCode::ParameterSyntaxError, "A drill id is 32 hexadecimal digits"),
        }
    }
}
