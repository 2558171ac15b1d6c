//! `paintbox unfollow`.

use crate::client::{LOCAL_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::FollowJson;
use crate::render::{sanitize, units};
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
        return Ok(Exit::Done);
    }
    let target = sanitize::line(&follow.target);
    session.say(&format!("No longer following {target}. Nothing was deleted: what it brought stays."))?;
    if follow.pending_files > 0 {
        let files = units::count(follow.pending_files.into(), "file");
        session.say(&format!("It no longer waits for {files} that had not arrived yet."))?;
    }
    Ok(Exit::Done)
}
