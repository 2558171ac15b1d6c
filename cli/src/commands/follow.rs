//! `paintbox follow`.

mod policy;
mod preview;

use crate::client::{Client, LIST_DEADLINE, call};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::FollowedJson;
use crate::render::policy::Backfill;
use crate::render::progress::spin;
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;

const EXAMPLES: &str = "\
Targets:
  civitai:Konan                   a creator, by username
  civitai:tag:watercolor          models with a tag
  civitai:search:\"ink wash\"       models that a search finds
  civitai:collection:12345        a collection, by the number in its address
  civitai:4384                    new versions of one model
  civitai:following               everybody whom your account follows
  hf:stabilityai                  an author or organisation
  hf:likes:someone                what somebody likes
  hf:org/repo, hf:org/repo@main   one repository, or one branch of it
  https://civitai.com/user/Konan  the address of such a page

Examples:
  paintbox follow civitai:Konan
  paintbox follow civitai:Konan --backfill 5 --kind lora --max-total-size 200GB
  paintbox follow hf:stabilityai --backfill since:2026-01-31 --format safetensors --dry-run
  paintbox follow civitai:Konan --update --max-maturity r --quiet-hours 22:00-07:00";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Whom or what to follow; see the examples below
    target: String,
    /// Change a follow that exists: what is left out goes back to the configuration's default
    #[arg(long)]
    update: bool,
    /// Only say what would be fetched, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask, and do not mind if it exceeds the free space
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    policy: policy::PolicyArguments,
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let wish = Wish { target: &arguments.target, policy: arguments.policy.to_wire(), update: arguments.update };
    if arguments.dry_run {
        let follow = wish.send(&client, true, session).await?;
        print_dry_run(&follow, session)?;
        return Ok(Exit::Done);
    }
    let mut seen = None;
    if Backfill::of(Some(&wish.policy)) != Backfill::Nothing {
        seen = wish.send(&client, true, session).await?.backfill_preview;
        if let Some(seen) = &seen
            && !preview::agreed(seen, arguments, session)?
        {
            session.note(if arguments.update { "Nothing was changed." } else { "Nothing is followed." })?;
            return Ok(Exit::Failed);
        }
    }
    let mut follow = wish.send(&client, false, session).await?;
    follow.backfill_preview = follow.backfill_preview.or(seen);
    if session.json {
        session.out.json(&FollowedJson::from(&follow))?;
    } else {
        print(&follow, &wish, seen.is_some(), session)?;
    }
    Ok(Exit::Done)
}

/// What the command line asks for.
struct Wish<'a> {
    target: &'a str,
    policy: v1::FollowPolicy,
    update: bool,
}

impl Wish<'_> {
    fn says_more_than_backfill(&self) -> bool {
        let rest = v1::FollowPolicy { backfill: String::new(), ..self.policy.clone() };
        rest != v1::FollowPolicy::default()
    }

    /// Tells the daemon; with `validate_only`, only asks what would come of it.
    async fn send(&self, client: &Client, validate_only: bool, session: &Session) -> Result<v1::Follow, CliError> {
        let mut follows = client.follows();
        let (text, policy) = (self.target.to_owned(), Some(self.policy.clone()));
        let watched = session.watched();
        if self.update {
            let request = v1::UpdateFollowRequest {
                follow: Some(v1::Follow { name: text, policy, ..v1::Follow::default() }),
                update_mask: Some(prost_types::FieldMask { paths: vec!["policy".to_owned()] }),
                validate_only,
            };
            let asked = call("change the follow", LIST_DEADLINE, follows.update_follow(request));
            return spin(watched, "asking the hub what there is", asked).await;
        }
        let request = v1::CreateFollowRequest { target: text, policy, validate_only, ..Default::default() };
        let asked = call("look up what is to be followed", LIST_DEADLINE, follows.create_follow(request));
        spin(watched, "asking the hub what there is", asked).await
    }
}

fn print_dry_run(follow: &v1::Follow, session: &mut Session) -> Result<(), CliError> {
    if session.json {
        return session.out.json(&FollowedJson::from(follow));
    }
    let target = sanitize::line(&follow.target);
    let earlier = Backfill::of(follow.policy.as_ref());
    session.say(&format!("Would follow {target}, {}.", earlier.words()))?;
    match &follow.backfill_preview {
        Some(seen) if earlier == Backfill::Nothing => session.say(&preview::left_alone(seen))?,
        Some(seen) => session.say(&preview::words(seen))?,
        None => {}
    }
    session.note("Nothing was changed; without --dry-run it will be.")
}

fn print(follow: &v1::Follow, wish: &Wish<'_>, was_shown: bool, session: &mut Session) -> Result<(), CliError> {
    let target = sanitize::line(&follow.target);
    let earlier = Backfill::of(follow.policy.as_ref());
    let beginning = if wish.update { "Changed: following" } else { "Following" };
    session.say(&format!("{beginning} {target}, {}.", earlier.words()))?;
    if earlier == Backfill::Nothing {
        session.say(&preview::left_alone(&follow.backfill_preview.unwrap_or_default()))?;
        session.note(&format!(
            "To fetch earlier work too: `paintbox follow {} --update --backfill all`, \
             or a number of newest versions, or since:2026-01-31{}.",
            for_shell(&target),
            if wish.says_more_than_backfill() { "; with the other flags again, which it would drop" } else { "" }
        ))?;
    } else if let Some(seen) = follow.backfill_preview.filter(|_| !was_shown) {
        // The configuration asks for earlier work; nobody has seen yet how much that is.
        session.say(&preview::words(&seen))?;
    }
    if follow.policy.as_ref().is_some_and(|policy| policy.notify_only == Some(true)) {
        return session.note("New versions are told of and not fetched.");
    }
    let first = follow.next_check_time.as_ref();
    let when =
        first.map_or_else(String::new, |_| format!("The next check is {}. ", units::relative(first, session.now)));
    let target = for_shell(&target);
    session.note(&format!(
        "{when}`paintbox plan {target}` says what it fetches, `paintbox sync {target} --wait` fetches now."
    ))
}

/// A target as it has to be typed; those of searches have spaces.
fn for_shell(target: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, ':' | '/' | '@' | '.' | '_' | '-');
    if target.chars().all(is_plain) { target.to_owned() } else { format!("'{}'", target.replace('\'', "'\\''")) }
}
