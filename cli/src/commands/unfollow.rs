//! `paintbox unfollow`.

use crate::client::{LOCAL_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::FollowJson;
use crate::render::sanitize;
use crate::session::Session;
use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The target that is followed, or the follow's name
    target: String,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let request = v1::DeleteFollowRequest { name: arguments.target.clone() };
    let follow = call("stop following", LOCAL_DEADLINE, client.follows().delete_follow(request)).await?;
    if session.json {
        session.out.json(&FollowJson::from(&follow))?;
    } else {
        session
            .out
            .line(&format!("No longer following {}. What was fetched stays.", sanitize::line(&follow.target)))?;
    }
    Ok(Exit::Done)
}
