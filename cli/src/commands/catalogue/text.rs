//! The catalogue as text: from the daemon to a file or standard output, and back.

use crate::client::call;
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::ExportedJson;
use crate::render::progress::{Measure, Progress, spin};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;
use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const EXPORTING: &str = "export the catalogue";
const IMPORTING: &str = "import the catalogue";
/// Bytes of one message; no message of the API is larger than a mebibyte.
const PIECE_BYTES: usize = 512 << 10;
/// Messages that wait for the daemon.
const WAITING_PIECES: usize = 4;

fn is_stream(file: &Path) -> bool {
    file == Path::new("-")
}

/// Writes the export. A file gets its name when all of it is there.
pub(super) async fn export(file: &Path, session: &mut Session) -> Result<Exit, CliError> {
    let lost = |status| CliError::of_status(EXPORTING, status);
    let client = session.connect().await?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || CliError::io("write", file);
    let mut fresh = match is_stream(file) {
        true => None,
        false => Some(tempfile::NamedTempFile::new_in(folder).map_err(failed())?),
    };
    let mut pieces =
        client.catalogue_care().export_catalogue(v1::ExportCatalogueRequest {}).await.map_err(lost)?.into_inner();
    let mut progress = Progress::new(session.watched() && fresh.is_some());
    let (mut bytes, mut lines) = (0, 0_u64);
    let mut ends_a_line = false;
    while let Some(piece) = pieces.message().await.map_err(lost)? {
        match &mut fresh {
            Some(fresh) => fresh.write_all(&piece.data).map_err(failed())?,
            None => session.out.write(&piece.data)?,
        }
        if session.out.is_closed() {
            return Ok(Exit::Done);
        }
        bytes += piece.data.len() as u64;
        lines += piece.data.iter().filter(|byte| **byte == b'\n').count() as u64;
        ends_a_line = piece.data.last() == Some(&b'\n');
        progress.advance("export", "exporting", Measure::Bytes, bytes, 0);
    }
    progress.clear();
    // The first line and the last are no rows.
    let Some(rows) = lines.checked_sub(2).filter(|_| ends_a_line) else {
        return Err(CliError::AnswerCutShort { doing: EXPORTING });
    };
    let Some(fresh) = fresh else { return Ok(Exit::Done) };
    fresh.as_file().sync_all().map_err(failed())?;
    fresh.persist(file).map_err(|error| failed()(error.error))?;
    let file = file.display().to_string();
    if session.json {
        session.out.json(&ExportedJson { file, rows, bytes })?;
    } else {
        let sizes = format!("{}, {}", units::count(rows, "row"), units::bytes(bytes));
        session.say(&sanitize::line(&format!("{file}: {sizes}")))?;
    }
    Ok(Exit::Done)
}

/// Hands a file to the daemon, which then makes way for what it held.
pub(super) async fn import(
    file: &Path,
    replace: bool,
    session: &mut Session,
) -> Result<v1::ImportCatalogueResponse, CliError> {
    let source: Box<dyn Read + Send> = match is_stream(file) {
        true => std::mem::replace(&mut session.input, Box::new(std::io::empty())),
        false => Box::new(File::open(file).map_err(CliError::io("open", file))?),
    };
    let client = session.connect().await?;
    let (sender, pieces) = mpsc::channel(WAITING_PIECES);
    let reading = tokio::task::spawn_blocking(move || read(source, replace, &sender));
    let mut service = client.catalogue_care();
    // As long as it takes: how long that is depends on the file and the disk, and the daemon hangs up if it ends.
    let asked = call(IMPORTING, super::FILE_DEADLINE, service.import_catalogue(ReceiverStream::new(pieces)));
    let imported = spin(session.watched(), "importing", asked).await;
    // A file that could not be read to its end is one that ends early for the daemon. Whoever still waits for standard
    // input when the daemon has refused is left waiting.
    if imported.is_err()
        && reading.is_finished()
        && let Ok(Err(source)) = reading.await
    {
        return Err(CliError::io("read", file)(source));
    }
    imported
}

/// Reads pieces until the end, or until nobody takes them.
fn read(
    mut source: Box<dyn Read + Send>,
    replace: bool,
    pieces: &mpsc::Sender<v1::ImportCatalogueRequest>,
) -> std::io::Result<()> {
    loop {
        let mut data = Vec::with_capacity(PIECE_BYTES);
        source.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut data)?;
        let is_last = data.len() < PIECE_BYTES;
        if pieces.blocking_send(v1::ImportCatalogueRequest { replace, data }).is_err() || is_last {
            return Ok(());
        }
    }
}
