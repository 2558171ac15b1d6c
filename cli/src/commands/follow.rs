//! `paintbox follow`.

use crate::client::{HUB_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::FollowJson;
use crate::render::progress::spin;
use crate::render::sanitize;
use crate::session::Session;
use paintbox_proto::v1;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// civitai:<username>, or hf:<author or organisation>
    target: String,
    /// How much of what is already there to fetch: all, none, or the number of newest versions
    #[arg(long, default_value = "all", value_parser = backfill, value_name = "all|none|N")]
    backfill: String,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let request = v1::CreateFollowRequest { target: arguments.target.clone(), backfill: arguments.backfill.clone() };
    let mut follows = client.follows();
    let asked = call("look up the creator", HUB_DEADLINE, follows.create_follow(request));
    let follow = spin(session.watched(), "asking the hub", asked).await?;
    if session.json {
        session.out.json(&FollowJson::from(&follow))?;
        return Ok(Exit::Done);
    }
    let earlier = match follow.policy.as_ref().map_or("all", |policy| policy.backfill.as_str()) {
        "all" => "with all earlier work".to_owned(),
        "none" => "from now on, without earlier work".to_owned(),
        number => format!("with the newest {number} of the earlier versions"),
    };
    session.out.line(&format!("Following {}, {earlier}.", sanitize::line(&follow.target)))?;
    session.note("`paintbox plan` says what that fetches, `paintbox sync --wait` fetches it now.")?;
    Ok(Exit::Done)
}

fn backfill(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    match text.as_str() {
        "all" | "none" => Ok(text),
        number => match number.parse::<u32>() {
            Ok(number) => Ok(number.to_string()),
            Err(_) => Err("write all, none, or a number".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backfill_is_all_none_or_a_number() {
        assert_eq!(
            (backfill("All"), backfill("none"), backfill("012")),
            (Ok("all".into()), Ok("none".into()), Ok("12".into()))
        );
        assert!(["", "some", "-1", "1.5"].iter().all(|text| backfill(text).is_err()));
    }
}
