//! `paintbox library`.

mod scan;

use crate::client::{ALL, Client, DISK_DEADLINE, LARGEST_PAGE, LOCAL_DEADLINE, call, entries};
use crate::commands::volumes::{absolute, presence};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{ForgottenLibraryJson, LibraryJson};
use crate::render::progress::spin;
use crate::render::table::{Align, remarked};
use crate::render::{sanitize, units, words};
use crate::session::Session;
use clap::Subcommand;
use paintbox_proto::v1;
use std::path::{Component, Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Adopt folders where they are, and look through them at once; nothing in them is ever written or moved
    Add {
        /// Folders that are there
        #[arg(required = true, value_name = "DIR")]
        folders: Vec<PathBuf>,
    },
    /// List the libraries and how far each is known
    List,
    /// Look for what came, went or moved, without waiting for the daemon to notice
    Scan {
        /// Its number or its path; left out: every library
        #[arg(value_name = "LIBRARY")]
        libraries: Vec<Named>,
    },
    /// Forget libraries; their folders and the files in them stay as they are
    Remove {
        /// Its number or its path
        #[arg(required = true, value_name = "LIBRARY")]
        libraries: Vec<Named>,
    },
}

/// How a library is named on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Number(u64),
    Path(PathBuf),
}

impl From<std::ffi::OsString> for Named {
    /// `3` and `libraries/3` are numbers, as the list shows them; a folder of such a name is `./3`.
    fn from(text: std::ffi::OsString) -> Self {
        let number = text.to_str().and_then(|text| short(text).parse().ok());
        number.map_or_else(|| Self::Path(text.into()), Self::Number)
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("libraries/").unwrap_or(name)
}

pub(crate) async fn run(arguments: &Arguments, session: &mut Session) -> Result<Exit, CliError> {
    match &arguments.action {
        None | Some(Action::List) => list(session).await,
        Some(Action::Add { folders }) => {
            let paths = folders.iter().map(|folder| straight(folder)).collect::<Result<Vec<_>, _>>()?;
            let client = session.connect().await?;
            for path in paths {
                let request = v1::CreateLibraryRequest { path, ..Default::default() };
                let mut service = client.libraries();
                let asked = call("adopt the folder", DISK_DEADLINE, service.create_library(request));
                let library = spin(session.watched(), "looking at the folder", asked).await?;
                scan::added(&client, &library, session).await?;
            }
            scan::note_background(session)?;
            Ok(Exit::Done)
        }
        Some(Action::Scan { libraries }) => {
            let client = session.connect().await?;
            let names = names(libraries, &client).await?;
            scan::again(&client, names, session).await?;
            Ok(Exit::Done)
        }
        Some(Action::Remove { libraries }) => {
            let client = session.connect().await?;
            for name in names(libraries, &client).await? {
                forget(name, &client, session).await?;
            }
            Ok(Exit::Done)
        }
    }
}

/// A folder as the daemon wants it: absolute, and without detours. Where `..` leads is the system's to say, because a
/// link may stand before it; otherwise the path stays as it was written.
fn straight(folder: &Path) -> Result<String, CliError> {
    if !folder.components().any(|part| part == Component::ParentDir) {
        return absolute("DIR", folder);
    }
    let real = folder.canonicalize().map_err(CliError::io("find", folder))?;
    absolute("DIR", &real)
}

/// The resource names of libraries; those that are named by their path are looked up.
async fn names(libraries: &[Named], client: &Client) -> Result<Vec<String>, CliError> {
    let mut known = None;
    let mut names = Vec::new();
    for library in libraries {
        let path = match library {
            Named::Number(number) => {
                names.push(format!("libraries/{number}"));
                continue;
            }
            Named::Path(path) => straight(path)?,
        };
        let known: &Vec<v1::Library> = match &mut known {
            Some(known) => known,
            slot @ None => slot.insert(fetch(client).await?),
        };
        let found = known.iter().find(|library| Path::new(&library.path) == Path::new(&path));
        let found = found.ok_or_else(|| CliError::Argument {
            argument: "LIBRARY",
            given: path.clone(),
            problem: "no library lies there; `paintbox library list` shows them".to_owned(),
        })?;
        names.push(found.name.clone());
    }
    Ok(names)
}

async fn fetch(client: &Client) -> Result<Vec<v1::Library>, CliError> {
    entries(ALL, async |page_token| {
        let request = v1::ListLibrariesRequest { page_size: LARGEST_PAGE, page_token };
        let page = call("list the libraries", LOCAL_DEADLINE, client.libraries().list_libraries(request)).await?;
        Ok((page.libraries, page.next_page_token))
    })
    .await
}

async fn forget(name: String, client: &Client, session: &mut Session) -> Result<(), CliError> {
    let request = v1::DeleteLibraryRequest { name: name.clone() };
    let mut service = client.libraries();
    let asked = call("forget the library", DISK_DEADLINE, service.delete_library(request));
    spin(session.watched(), "forgetting the library", asked).await?;
    if session.json {
        return session.out.json(&ForgottenLibraryJson { name: &name, forgotten: true });
    }
    let number = sanitize::line(short(&name));
    session.say(&format!("Library {number} is forgotten. Its folder and the files in it stay as they are."))
}

async fn list(session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let libraries = fetch(&client).await?;
    if session.json {
        for library in &libraries {
            session.out.json(&LibraryJson::from(library))?;
        }
        return Ok(Exit::Done);
    }
    if libraries.is_empty() {
        session.note("No folder is adopted yet. `paintbox library add DIR` adopts one where it is.")?;
        return Ok(Exit::Done);
    }
    let titles = [
        ("NO", Align::Right),
        ("STATE", Align::Left),
        ("LAYOUT", Align::Left),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
        ("READ", Align::Right),
        ("ON A HUB", Align::Right),
        ("UNKNOWN", Align::Right),
        ("REFUSED", Align::Right),
        ("PATH", Align::Left),
    ];
    let rows: Vec<Vec<String>> = libraries.iter().map(|library| row(library, session)).collect();
    for line in remarked(&titles, &rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    if libraries.iter().any(|library| library.state() == v1::library::State::Away) {
        session.note("What is known of a library that is away stays, and its files count again once it is back.")?;
    }
    Ok(Exit::Done)
}

fn row(library: &v1::Library, session: &Session) -> Vec<String> {
    vec![
        sanitize::line(short(&library.name)),
        presence(&words::state(library.state().as_str_name()), library.away_since_time.as_ref(), session),
        sanitize::line(&library.layout),
        units::grouped(library.files),
        units::bytes(library.file_bytes),
        read(library),
        units::grouped(library.listed_files),
        units::grouped(library.unknown_files),
        units::grouped(library.refused_files),
        sanitize::line(&library.path),
    ]
}

/// How much of its bytes was read: never all as long as a file is left.
fn read(library: &v1::Library) -> String {
    if library.files == 0 {
        return "-".to_owned();
    }
    if library.read_files >= library.files {
        return "100 %".to_owned();
    }
    let parts = u128::from(library.read_bytes) * 100 / u128::from(library.file_bytes.max(1));
    format!("{} %", parts.min(99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_numbers_and_everything_else_is_a_path() {
        for (given, wanted) in [
            ("3", Named::Number(3)),
            ("libraries/3", Named::Number(3)),
            ("./3", Named::Path("./3".into())),
            ("/mnt/models", Named::Path("/mnt/models".into())),
            ("libraries/models", Named::Path("libraries/models".into())),
        ] {
            assert_eq!(Named::from(std::ffi::OsString::from(given)), wanted, "{given}");
        }
    }

    #[test]
    fn what_is_not_all_read_is_never_said_to_be() {
        for ((files, read_files), (file_bytes, read_bytes), wanted) in [
            ((0, 0), (0, 0), "-"),
            ((2, 0), (1000, 0), "0 %"),
            ((2, 1), (1000, 999), "99 %"),
            ((2, 1), (1000, 1000), "99 %"),
            ((2, 2), (1000, 1000), "100 %"),
            ((1, 1), (0, 0), "100 %"),
            ((2, 1), (u64::MAX, u64::MAX / 2), "49 %"),
        ] {
            let library = v1::Library { files, read_files, file_bytes, read_bytes, ..Default::default() };
            assert_eq!(read(&library), wanted);
        }
    }
}
