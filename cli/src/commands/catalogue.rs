//! `paintbox catalogue`.
//!
//! With `--json`: `backups` prints one object a backup, `backup` one, `{"name","path","kind","create_time","size_bytes"}`;
//! `check` prints `{"sound","depth","check_time","path","problems","problem_count","newest_backup"}` and ends with 1 when
//! the file is damaged; `export FILE` prints `{"file","rows","bytes"}`, and `export -` nothing but the export, which is
//! NDJSON itself (`proto/paintbox/v1/catalogue_care.proto` says of what form); `import` prints `{"rows","models"}` and
//! `restore` `{"restored","models"}`, both once the daemon runs on the new catalogue.

mod text;

use crate::client::{ALL, LARGEST_PAGE, LOCAL_DEADLINE, call, entries};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{BackupJson, CheckJson, InstalledJson};
use crate::render::progress::spin;
use crate::render::table::{Align, table};
use crate::render::{sanitize, units};
use crate::session::Session;
use crate::start;
use crate::start::is_absent;
use crate::supervisor::Inspected;
use paintbox_proto::v1;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A catalogue of gigabytes on a slow disk.
const FILE_DEADLINE: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Look whether the file is sound
    Check {
        /// Also compare every index with its table, which takes several times as long
        #[arg(long)]
        full: bool,
    },
    /// Make a backup now; it stays until you remove it
    Backup,
    /// List the backups, newest first
    Backups,
    /// Put a backup in the catalogue's place, also when the daemon does not start; the file that is there now is kept
    Restore {
        /// A name from the list, or the path of any file that is a catalogue
        #[arg(value_name = "BACKUP")]
        backup: PathBuf,
    },
    /// Write all of the catalogue as text, one JSON object a line
    Export {
        /// Where to; - or nothing for standard output
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Read what `export` wrote, of this release or an older one, into an empty catalogue
    Import {
        /// Where from; - for standard input
        file: PathBuf,
        /// Also when the catalogue is not empty; the file that is there now is kept
        #[arg(long)]
        replace: bool,
    },
}

pub(crate) async fn run(action: &Action, session: &mut Session) -> Result<Exit, CliError> {
    match action {
        Action::Check { full } => check(*full, session).await,
        Action::Backup => {
            let client = session.connect().await?;
            let mut service = client.catalogue_care();
            let asked = call("make a backup", FILE_DEADLINE, service.create_backup(v1::CreateBackupRequest::default()));
            let backup = spin(session.watched(), "copying the catalogue", asked).await?;
            if session.json {
                session.out.json(&BackupJson::from(&backup))?;
            } else {
                session.say(&sanitize::line(&format!("{}, {}", backup.path, units::bytes(backup.size_bytes))))?;
            }
            Ok(Exit::Done)
        }
        Action::Backups => list(session).await,
        Action::Restore { backup } => restore(backup, session).await,
        Action::Export { file } => text::export(file, session).await,
        Action::Import { file, replace } => {
            let before = session.supervised().await;
            let imported = text::import(file, *replace, session).await?;
            let models = started_again(before, session).await?;
            if session.json {
                session.out.json(&InstalledJson { rows: Some(imported.rows), restored: None, models })?;
            } else {
                let rows = units::count(imported.rows, "row");
                session.say(&format!("Imported {rows}; the catalogue has {} now.", units::count(models, "model")))?;
            }
            Ok(Exit::Done)
        }
    }
}

async fn check(full: bool, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let mut service = client.catalogue_care();
    let asked = call("look through it", FILE_DEADLINE, service.check_catalogue(v1::CheckCatalogueRequest { full }));
    let check = spin(session.watched(), "looking through the catalogue", asked).await?;
    if session.json {
        session.out.json(&CheckJson::from(&check))?;
    } else if check.sound {
        session.say(&sanitize::line(&format!("{} is sound.", check.path)))?;
    } else {
        for problem in &check.problems {
            session.say(&sanitize::line(problem))?;
        }
    }
    if check.sound { Ok(Exit::Done) } else { Err(CliError::of_check(&check)) }
}

async fn list(session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    let mut folder = String::new();
    let backups = entries(ALL, async |page_token| {
        let request = v1::ListBackupsRequest { page_size: LARGEST_PAGE, page_token };
        let page = call("list backups", LOCAL_DEADLINE, client.catalogue_care().list_backups(request)).await?;
        folder = page.folder;
        Ok((page.backups, page.next_page_token))
    })
    .await?;
    if session.json {
        backups.iter().try_for_each(|backup| session.out.json(&BackupJson::from(backup)))?;
        return Ok(Exit::Done);
    }
    if backups.is_empty() {
        session.note("There is no backup of the catalogue yet; `paintbox catalogue backup` makes one.")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = backups
        .iter()
        .map(|backup| {
            vec![
                sanitize::line(&backup.name),
                backup.kind.replace('_', " "),
                units::relative(backup.create_time.as_ref(), session.now),
                units::bytes(backup.size_bytes),
            ]
        })
        .collect();
    let titles = [("BACKUP", Align::Left), ("KIND", Align::Left), ("MADE", Align::Left), ("SIZE", Align::Right)];
    for line in table(&titles, &rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    session.note(&format!("They lie in {}.", sanitize::line(&folder)))?;
    Ok(Exit::Done)
}

/// The daemon makes the backup ready and ends; without a daemon its program does the same.
async fn restore(backup: &Path, session: &mut Session) -> Result<Exit, CliError> {
    let is_path = backup.components().count() > 1 || backup.is_file();
    let backup =
        if is_path { std::path::absolute(backup).map_err(CliError::io("find", backup))? } else { backup.into() };
    let before = session.supervised().await;
    let restored = match session.connect_only().await {
        Ok(client) => {
            let request = v1::RestoreBackupRequest { backup: backup.display().to_string() };
            let mut service = client.catalogue_care();
            let asked = call("restore the catalogue", FILE_DEADLINE, service.restore_backup(request));
            spin(session.watched(), "copying and checking the backup", asked).await?.path
        }
        Err(CliError::Unreachable { source, .. }) if is_absent(&source) && session.may_start() => {
            restore_alone(&backup, session)?
        }
        Err(error) => return Err(error),
    };
    let models = started_again(before, session).await?;
    if session.json {
        session.out.json(&InstalledJson { rows: None, restored: Some(restored), models })?;
    } else {
        let models = units::count(models, "model");
        session.say(&sanitize::line(&format!("Restored {restored}; the catalogue has {models} now.")))?;
        session.note("The file that was there before is in `paintbox catalogue backups`, as replaced.")?;
    }
    Ok(Exit::Done)
}

/// Has the daemon's program restore a backup while no daemon runs.
fn restore_alone(backup: &Path, session: &Session) -> Result<String, CliError> {
    let program = session.daemon()?;
    let mut command = Command::new(&program);
    command.arg("restore-catalogue").arg("--").arg(backup).stdin(Stdio::null());
    if let Some(home) = &session.paths.home {
        command.env("PAINTBOX_HOME", home);
    }
    let output = command.output().map_err(|source| CliError::Spawn { program, source })?;
    if output.status.success() {
        return Ok(sanitize::line(&String::from_utf8_lossy(&output.stdout)));
    }
    let (message, hint) = start::complaint(&String::from_utf8_lossy(&output.stderr));
    Err(CliError::NotRestored { message, hint })
}

/// Waits until the daemon that made way has ended, which it does by itself once its answer is out, and starts the next one;
/// how many models it has. `before` is how a supervisor had it.
async fn started_again(before: Option<Inspected>, session: &Session) -> Result<u64, CliError> {
    match before.map(|inspected| inspected.process_id()) {
        // A supervisor's socket outlives the daemon behind it.
        Some(Some(process_id)) => start::wait_until_replaced(&session.socket(), process_id).await?,
        Some(None) => {}
        None => start::wait_until_stopped(&session.socket(), 0).await?,
    }
    Ok(session.connect().await?.status().await?.models)
}
