//! `paintbox volumes`.

use crate::client::{ALL, Client, DISK_DEADLINE, LARGEST_PAGE, LOCAL_DEADLINE, call, entries};
use crate::commands::KINDS;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{ForgottenVolumeJson, VolumeJson};
use crate::render::progress::spin;
use crate::render::table::{Align, facts, remarked};
use crate::render::{sanitize, units, words};
use crate::session::Session;
use crate::size;
use clap::Subcommand;
use paintbox_proto::v1;
use std::path::{Path, PathBuf};

/// What `volumes set --kinds` takes in the place of kinds.
const NO_KINDS: &str = "none";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take a folder for files; the files of one that was a volume before are known again
    Add(Add),
    /// Change what goes to a volume, what stays free on it, or where it is by now
    Set(Set),
    /// Forget a volume; its folder and the files in it stay as they are
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What to call it: lower-case letters, digits and hyphens
    #[arg(value_parser = label)]
    label: String,
    /// A folder that is not there yet, an empty one, or one that was a volume before
    dir: PathBuf,
    /// Kinds of model whose files go there, such as lora,checkpoint; may be repeated
    #[arg(long, value_parser = KINDS, value_delimiter = ',', value_name = "KIND", hide_possible_values = true)]
    kinds: Vec<String>,
    /// Files go there that no other volume is named for
    #[arg(long)]
    everything_else: bool,
    /// Downloads leave so much of it free, such as 50GB; left out: as the configuration says
    #[arg(long, value_parser = keep_free, value_name = "SIZE")]
    keep_free: Option<KeepFree>,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
struct Set {
    /// Which one, as the list shows it
    #[arg(value_parser = label)]
    label: String,
    /// The folder that it is by now
    #[arg(long, value_name = "DIR", group = "change")]
    path: Option<PathBuf>,
    /// Kinds of model whose files go there, in the place of those before; none for no kind
    #[arg(
        long,
        value_parser = kind_or_none,
        value_delimiter = ',',
        value_name = "KIND",
        group = "change"
    )]
    kinds: Option<Vec<String>>,
    /// Whether files go there that no other volume is named for
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "true|false",
        hide_possible_values = true,
        group = "change"
    )]
    everything_else: Option<bool>,
    /// Downloads leave so much of it free, such as 50GB; `default` is as the configuration says
    #[arg(long, value_parser = keep_free, value_name = "SIZE", group = "change")]
    keep_free: Option<KeepFree>,
}

#[derive(Debug, clap::Args)]
struct Remove {
    /// Which one, as the list shows it
    #[arg(value_parser = label)]
    label: String,
    /// Also when files lie on it; those that lie nowhere else are absent from then on
    #[arg(long)]
    force: bool,
}

/// Bytes that stay free; none for what the configuration says.
#[derive(Debug, Clone, Copy)]
struct KeepFree(Option<u64>);

fn keep_free(text: &str) -> Result<KeepFree, String> {
    match text.trim() {
        // Nothing at all is a size here, and needs no unit.
        "0" => Ok(KeepFree(Some(0))),
        text if text.eq_ignore_ascii_case("default") => Ok(KeepFree(None)),
        text => size::bytes(text).map(|bytes| KeepFree(Some(bytes))),
    }
}

fn kind_or_none(text: &str) -> Result<String, String> {
    if text == NO_KINDS || KINDS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("write {}, or {NO_KINDS}", KINDS.join(", ")))
}

/// `fast` and `volumes/fast` are the same.
fn label(text: &str) -> Result<String, String> {
    match short(text) {
        "" => Err("it is empty".to_owned()),
        label => Ok(label.to_owned()),
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("volumes/").unwrap_or(name)
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    match &arguments.action {
        None => list(session).await,
        Some(Action::Add(add)) => {
            let request = v1::CreateVolumeRequest {
                label: add.label.clone(),
                path: absolute("DIR", &add.dir)?,
                kinds: add.kinds.clone(),
                everything_else: add.everything_else,
                keep_free_bytes: add.keep_free.and_then(|KeepFree(bytes)| bytes),
                ..Default::default()
            };
            let client = session.connect().await?;
            let mut service = client.store();
            let asked = call("take the folder", DISK_DEADLINE, service.create_volume(request));
            let volume = spin(session.watched(), "looking at the folder", asked).await?;
            tell(&volume, session)
        }
        Some(Action::Set(set)) => {
            let request = change(set)?;
            let client = session.connect().await?;
            let mut service = client.store();
            let asked = call("change the volume", DISK_DEADLINE, service.update_volume(request));
            let volume = spin(session.watched(), "looking at the volume", asked).await?;
            tell(&volume, session)
        }
        Some(Action::Remove(remove)) => {
            let client = session.connect().await?;
            forget(remove, &client, session).await
        }
    }
}

/// A folder as the daemon wants it, which does not know from where it was called.
pub(super) fn absolute(argument: &'static str, folder: &Path) -> Result<String, CliError> {
    let refuse = |problem: String| CliError::Argument { argument, given: folder.display().to_string(), problem };
    let whole = std::path::absolute(folder).map_err(|error| refuse(error.to_string()))?;
    let text = whole.to_str().ok_or_else(|| refuse("its name is not Unicode".to_owned()))?;
    Ok(text.to_owned())
}

/// Only what was given is changed.
fn change(set: &Set) -> Result<v1::UpdateVolumeRequest, CliError> {
    let mut volume = v1::Volume { name: format!("volumes/{}", set.label), ..Default::default() };
    let mut paths = Vec::new();
    if let Some(path) = &set.path {
        volume.path = absolute("--path", path)?;
        paths.push("path".to_owned());
    }
    if let Some(kinds) = &set.kinds {
        volume.kinds = kinds.iter().filter(|kind| *kind != NO_KINDS).cloned().collect();
        if !volume.kinds.is_empty() && volume.kinds.len() < kinds.len() {
            let given = kinds.join(",");
            let problem = format!("{NO_KINDS} stands alone");
            return Err(CliError::Argument { argument: "--kinds", given, problem });
        }
        paths.push("kinds".to_owned());
    }
    if let Some(everything_else) = set.everything_else {
        volume.everything_else = everything_else;
        paths.push("everything_else".to_owned());
    }
    if let Some(KeepFree(bytes)) = set.keep_free {
        volume.keep_free_bytes = bytes;
        paths.push("keep_free_bytes".to_owned());
    }
    let update_mask = Some(prost_types::FieldMask { paths });
    Ok(v1::UpdateVolumeRequest { volume: Some(volume), update_mask })
}

async fn forget(remove: &Remove, client: &Client, session: &mut Session) -> Result<Exit, CliError> {
    let name = format!("volumes/{}", remove.label);
    let request = v1::DeleteVolumeRequest { name: name.clone(), force: remove.force };
    call("forget the volume", DISK_DEADLINE, client.store().delete_volume(request)).await?;
    if session.json {
        session.out.json(&ForgottenVolumeJson { name: &name, forgotten: true })?;
    } else {
        let label = sanitize::line(&remove.label);
        session.say(&format!("{label} is no volume any more. Its folder and the files in it stay as they are."))?;
    }
    Ok(Exit::Done)
}

async fn list(session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let volumes = entries(ALL, async |page_token| {
        let request = v1::ListVolumesRequest { page_size: LARGEST_PAGE, page_token };
        let page = call("list the volumes", LOCAL_DEADLINE, client.store().list_volumes(request)).await?;
        Ok((page.volumes, page.next_page_token))
    })
    .await?;
    if session.json {
        for volume in &volumes {
            session.out.json(&VolumeJson::from(volume))?;
        }
        return Ok(Exit::Done);
    }
    let titles = [
        ("LABEL", Align::Left),
        ("STATE", Align::Left),
        ("TAKES", Align::Flexible),
        ("FILES", Align::Right),
        ("HELD", Align::Right),
        ("FREE", Align::Right),
        ("KEPT FREE", Align::Right),
        ("PATH", Align::Left),
    ];
    let rows: Vec<Vec<String>> = volumes.iter().map(|volume| row(volume, session)).collect();
    for line in remarked(&titles, &rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    if volumes.iter().any(|volume| volume.state() == v1::volume::State::Away) {
        session.note(
            "What lies on a volume that is away waits for it. `paintbox volumes set LABEL --path DIR` says where it is \
             by now.",
        )?;
    }
    Ok(Exit::Done)
}

fn row(volume: &v1::Volume, session: &Session) -> Vec<String> {
    vec![
        sanitize::line(short(&volume.name)),
        presence(&words::state(volume.state().as_str_name()), volume.away_since_time.as_ref(), session),
        takes(volume),
        units::grouped(volume.files),
        units::bytes(volume.file_bytes),
        volume.free_bytes.map_or_else(|| "-".to_owned(), units::bytes),
        volume.keep_free_bytes.map_or_else(|| "-".to_owned(), units::bytes),
        sanitize::line(&volume.path),
    ]
}

/// One volume in full, after it was changed.
fn tell(volume: &v1::Volume, session: &mut Session) -> Result<Exit, CliError> {
    if session.json {
        session.out.json(&VolumeJson::from(volume))?;
        return Ok(Exit::Done);
    }
    let files = format!("{}, {}", units::count(volume.files, "file"), units::bytes(volume.file_bytes));
    let kept = volume.keep_free_bytes.map_or_else(|| "as the configuration says".to_owned(), units::bytes);
    let about = [
        ("volume", sanitize::line(short(&volume.name))),
        ("path", sanitize::line(&volume.path)),
        ("state", presence(&words::state(volume.state().as_str_name()), volume.away_since_time.as_ref(), session)),
        ("takes", takes(volume)),
        ("holds", files),
        ("free", volume.free_bytes.map(units::bytes).unwrap_or_default()),
        ("kept free", kept),
    ];
    for line in facts(&about, session.terminal.columns) {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

/// Whether a folder is there: `present`, `away for 3 days`.
pub(super) fn presence(state: &str, away_since: Option<&prost_types::Timestamp>, session: &Session) -> String {
    let since = units::relative(away_since, session.now);
    match (state, since.strip_suffix(" ago")) {
        ("away", Some(time)) => format!("away for {time}"),
        (state, _) => sanitize::line(state),
    }
}

/// What goes there.
fn takes(volume: &v1::Volume) -> String {
    let mut words: Vec<String> = volume.kinds.iter().map(|kind| sanitize::line(kind)).collect();
    if volume.everything_else {
        words.push("everything else".to_owned());
    }
    match words.is_empty() {
        false => words.join(", "),
        // Example images and paintings are always kept in the home's own store.
        true if volume.name == "volumes/home" => "pictures".to_owned(),
        true => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_free_is_a_size_nothing_or_the_default() {
        for (given, wanted) in [("50GB", Some(50_000_000_000)), ("0", Some(0)), ("Default", None)] {
            assert_eq!(keep_free(given).map(|KeepFree(bytes)| bytes), Ok(wanted), "{given}");
        }
        for given in ["", "50", "0GB", "none"] {
            assert!(keep_free(given).is_err(), "{given}");
        }
    }
}
